"""A receiver of events: it verifies each request with the library of Standard Webhooks, and answers as it is told."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from standardwebhooks import Webhook

if TYPE_CHECKING:
    from types import TracebackType

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Receiver:
    """Serves on loopback while the context lasts.

    Args:
        port: The port; 0 for any free one.

    Attributes:
        requests: The identities of the requests that were taken, in order.
        batches: The identities of the events in each of them.
        events: The events in them.
        seen: The identities of all requests, whatever was answered.
        answers: What the next requests are answered: a status, or None to cut the connection after reading; when there
            are no more, 200.
        wrong: What was wrong with requests that the library did not verify.
        arrived: Released for each request.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[str] = []
        self.batches: list[list[str]] = []
        self.events: list[dict[str, Any]] = []
        self.seen: list[str] = []
        self.answers: list[int | None] = []
        self.wrong: list[str] = []
        self.arrived = threading.Semaphore(0)
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/events"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, headers: dict[str, str], body: bytes) -> int | None:
        """What a request is answered."""
        self.seen.append(headers["webhook-id"])
        try:
            document = Webhook(SECRET).verify(body.decode(), headers)
        except Exception as error:
            self.wrong.append(str(error))
            return 400
        answer = self.answers.pop(0) if self.answers else 200
        if answer is not None and 200 <= answer < 300:
            self.requests.append(headers["webhook-id"])
            self.batches.append([event["id"] for event in document["data"]["events"]])
            assert document == json.loads(body)
            self.events += document["data"]["events"]
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
                if answer is None:
                    self.close_connection = True
                else:
                    self.send_response(answer)
                    self.send_header("content-length", "0")
                    if 300 <= answer < 400:
                        self.send_header("location", "/elsewhere")
                    self.end_headers()
                receiver.arrived.release()

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        return Handler
