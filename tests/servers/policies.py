"""Policy services that a Postfix asks at each recipient, over its policy delegation protocol (SMTPD_POLICY_README)."""

from __future__ import annotations

import socketserver
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

GREYLISTED = "450 4.7.1 Greylisted, try again in {seconds:g} seconds"
USED_UP = "450 4.7.1 Quota exceeded: {messages} messages per hour; try again in {seconds:g} seconds"


class PolicyService:
    """A context manager: answers each request on a port of loopback by what `decide` says.

    Attributes:
        port: The port.
        refused: How many requests were answered by something else than ``DUNNO``.
    """

    def __init__(self) -> None:
        service = self

        class Asked(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked: dict[str, str] = {}
                for line in self.rfile:
                    name, equals, value = line.decode("utf-8", "replace").rstrip("\n").partition("=")
                    if equals:
                        asked[name] = value
                        continue
                    answer = service.answer(asked)
                    self.wfile.write(f"action={answer}\n\n".encode())
                    asked = {}

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Asked)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._lock = threading.Lock()
        self.port = int(self._server.server_address[1])
        self.refused = 0

    def answer(self, asked: dict[str, str]) -> str:
        """What the request of some attributes is answered."""
        with self._lock:
            answer = self.decide(asked)
            self.refused += answer != "DUNNO"
            return answer

    def decide(self, asked: dict[str, str]) -> str:
        """``DUNNO``, or a reply."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Greylist(PolicyService):
    """Refuses each recipient for now, until some seconds after the first attempt.

    Args:
        seconds: How many.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._seen: dict[tuple[str, str], float] = {}

    def decide(self, asked: dict[str, str]) -> str:
        """See `PolicyService`."""
        now = time.monotonic()
        first = self._seen.setdefault((asked["sender"], asked["recipient"]), now)
        return "DUNNO" if now >= first + self._seconds else GREYLISTED.format(seconds=self._seconds)


class QuotaDaemon(PolicyService):
    """Takes so many recipients, and no more until some seconds after the first of them.

    Args:
        messages: How many.
        seconds: How many.
    """

    def __init__(self, messages: int, seconds: float) -> None:
        super().__init__()
        self._messages = messages
        self._seconds = seconds
        self._began = 0.0
        self._used = 0

    def decide(self, asked: dict[str, str]) -> str:
        """See `PolicyService`."""
        now = time.monotonic()
        if now >= self._began + self._seconds:
            self._began, self._used = now, 0
        if self._used >= self._messages:
            left = max(1.0, round(self._began + self._seconds - now))
            return USED_UP.format(messages=self._messages, seconds=left)
        self._used += 1
        return "DUNNO"
