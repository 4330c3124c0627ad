"""A receiver of events: it verifies each request with the library of Standard Webhooks, and answers as it is told.

As a program (``python -m tests.events.receiver PORT BEHAVIOUR``) it can be killed: it prints a line of JSON for each
request. It is ``right``, ``slow`` (it answers late), ``wrong`` (it answers 500) or ``silent`` (it does not answer).
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, TYPE_CHECKING, Any, Self

from standardwebhooks import Webhook

from tests.cli.commandline import environment
from tests.servers.daemon import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
        before_answer: Called between a request and its answer.
        trickles: Whether answers never come to their end: the lines of the header go on and on.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[str] = []
        self.batches: list[list[str]] = []
        self.events: list[dict[str, Any]] = []
        self.seen: list[str] = []
        self.answers: list[int | None] = []
        self.wrong: list[str] = []
        self.arrived = threading.Semaphore(0)
        self.before_answer: Callable[[], None] = lambda: None
        self.trickles = threading.Event()
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
                receiver.before_answer()
                if receiver.trickles.is_set():
                    self.trickle()
                if answer is None:
                    self.close_connection = True
                else:
                    self.send_response(answer)
                    self.send_header("content-length", "0")
                    if 300 <= answer < 400:
                        self.send_header("location", "/elsewhere")
                    self.end_headers()
                receiver.arrived.release()

            def trickle(self) -> None:
                """Go on with the header for as long as the client listens."""
                self.close_connection = True
                with suppress(OSError):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    while receiver.trickles.is_set():
                        self.wfile.write(b"x-more: to come\r\n")
                        self.wfile.flush()
                        time.sleep(0.01)

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        return Handler


class ReceiverProcess:
    """A receiver as a program, which is killed whenever it shall behave in another way.

    Attributes:
        url: Where it is, when it is there.
        taken: The identities of the requests that it has taken, in order, each with its events.
    """

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}/events"
        self.taken: list[tuple[str, list[dict[str, Any]]]] = []
        self._output: IO[str]

    @contextmanager
    def behaving(self, behaviour: str) -> Iterator[None]:
        """It is there while the context lasts; then it is killed."""
        command = [sys.executable, "-m", "tests.events.receiver", str(self._port), behaviour]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as running:
            assert running.stdout is not None
            self._output = running.stdout
            assert self._output.readline() == "ready\n"
            try:
                yield
            finally:
                running.kill()
                for line in self._output:
                    self._note(line)

    def hear(self) -> list[dict[str, Any]]:
        """Wait for the next request; what it has taken of it."""
        return self._note(self._output.readline())

    def _note(self, line: str) -> list[dict[str, Any]]:
        heard: dict[str, Any] = json.loads(line)
        assert heard["wrong"] == []
        if heard["events"]:
            self.taken.append((heard["id"], heard["events"]))
        return heard["events"]  # type: ignore[no-any-return]


def main(port: int, behaviour: str) -> None:
    """Receive until killed."""
    with Receiver(port) as receiver:
        if behaviour == "wrong":
            receiver.answers = [500] * 1_000_000

        def before_answer() -> None:
            taken = behaviour in ("right", "slow") and not receiver.wrong
            events = receiver.events[-len(receiver.batches[-1]) :] if taken else []
            line = {"id": receiver.seen[-1], "wrong": receiver.wrong, "events": events}
            print(json.dumps(line), flush=True)
            if behaviour == "slow":
                time.sleep(0.3)
            if behaviour == "silent":
                threading.Event().wait()

        receiver.before_answer = before_answer
        print("ready", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
