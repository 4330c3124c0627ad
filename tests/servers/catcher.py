"""The place where a real server delivers to: an LMTP server (RFC 2033) in threads that keeps every message exactly."""

from __future__ import annotations

import socketserver
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Self

from tests.servers.stored import Stored
from tests.tools.wire import path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_POLL = 0.02
_LHLO = b"250-catcher.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            self._converse()
        except OSError:
            return  # The server under test was killed; what it had delivered is kept.

    def _converse(self) -> None:
        self._say(b"220 catcher.example.org LMTP\r\n")
        sender, recipients = b"", list[bytes]()
        while line := self.rfile.readline():
            command = line.removesuffix(b"\r\n")
            match command[:4].upper():
                case b"MAIL":
                    sender, recipients = path(command), []
                    self._say(b"250 2.1.0 Ok\r\n")
                case b"RCPT":
                    recipients.append(path(command))
                    self._say(b"250 2.1.5 Ok\r\n")
                case b"DATA":
                    self._say(b"354 Go on\r\n")
                    self.server.keep(sender, recipients, self._content())
                    self._say(b"250 2.0.0 Ok\r\n" * len(recipients))
                case b"LHLO":
                    self._say(_LHLO)
                case b"QUIT":
                    self._say(b"221 2.0.0 Bye\r\n")
                    return
                case b"RSET" | b"NOOP":
                    self._say(b"250 2.0.0 Ok\r\n")
                case _:
                    self._say(b"500 5.5.2 Command unrecognised\r\n")

    def _content(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise ConnectionError
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def _say(self, reply: bytes) -> None:
        self.wfile.write(reply)
        self.wfile.flush()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, keep: Callable[[bytes, list[bytes], bytes], None]) -> None:
        self.keep = keep
        super().__init__(("127.0.0.1", 0), _Handler)


class Catcher:
    """A context manager that keeps what is delivered to its port in a file, so that any number of messages fits."""

    def __init__(self) -> None:
        self._server = _Server(self._keep)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the catcher is
        self._index: list[tuple[bytes, bytes, int, int]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._file.close()

    def wait(self, idle: Callable[[], bool], *, within: float) -> None:
        """Wait until ``idle()`` says that everything has been delivered: a server does not tell, it must be asked.

        Raises:
            TimeoutError: Nothing has been delivered for ``within`` seconds, and it is not idle.
        """
        seen, deadline = 0, time.monotonic() + within
        while not idle():
            time.sleep(_POLL)
            if len(self._index) > seen:
                seen, deadline = len(self._index), time.monotonic() + within
            elif time.monotonic() > deadline:
                raise TimeoutError(f"{seen} messages have been delivered, the others not for {within} s")

    def received(self) -> Iterator[Stored]:
        """Yield every message for each of its recipients, in the order of delivery."""
        for sender, recipient, start, length in list(self._index):
            with self._lock:
                self._file.seek(start)
                content = self._file.read(length)
            yield Stored(recipient.decode(), sender.decode(), content)

    def _keep(self, sender: bytes, recipients: list[bytes], content: bytes) -> None:
        with self._lock:
            start = self._file.seek(0, 2)
            self._file.write(content)
            self._index.extend((sender, recipient, start, len(content)) for recipient in recipients)
