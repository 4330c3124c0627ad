"""A server that takes no part in closing TLS: the run ends all the same, at once and without a word about it."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.servers.command import CampaignFolder
from tests.tools import certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tools.certificates import Certificates

_REPLIES = {b"EHLO": b"250-x\r\n250 AUTH PLAIN\r\n", b"DATA": b"354 Go on\r\n", b"QUIT": b"221 Bye\r\n"}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, authority: Certificates, auth: bytes) -> None:
        self.context = authority.server_context()
        self.auth = auth
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        with self.server.context.wrap_socket(self.request, server_side=True) as connection:
            with suppress(OSError):  # The client need not wait.
                self._converse(connection)
            # What the client sends now, close_notify (RFC 8446 §6.1) too, is neither read nor answered.
            self.server.over.wait()

    def _converse(self, connection: ssl.SSLSocket) -> None:
        connection.sendall(b"220 x\r\n")
        file = connection.makefile("rb")
        while line := file.readline():
            if line == b".\r\n" or line[:4] in (b"MAIL", b"RCPT"):
                connection.sendall(b"250 Ok\r\n")
            elif line[:4] == b"AUTH":
                connection.sendall(self.server.auth)
            elif line[:4] in _REPLIES:
                connection.sendall(_REPLIES[line[:4]])
            if line == b"QUIT\r\n" or (line[:4] == b"AUTH" and self.server.auth.startswith(b"5")):
                return


@contextmanager
def _serving(authority: Certificates, auth: bytes) -> Iterator[int]:
    server = _Server(authority, auth)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("auth", "code"), [(b"235 Ok\r\n", 0), (b"535 5.7.8 No\r\n", 3)], ids=["sent", "refused"])
def test_a_run_leaves_no_transport_open(tmp_path: Path, auth: bytes, code: int) -> None:
    authority = certificates.issue(tmp_path)
    (tmp_path / "recipients.csv").write_text("email\n" + "".join(f"r{number}@example.com\n" for number in range(10)))
    folder = CampaignFolder(tmp_path)
    with _serving(authority, auth) as port:
        server = {"host": "127.0.0.1", "port": port, "tls": "implicit", "ca_file": str(authority.ca_file)}
        folder.write(
            top={"recipients": "recipients.csv", "results": "results.jsonl"},
            server=server | {"username": "campaign", "password": "secret"},
            message={"from": "a@mail.example.com", "subject": "x", "text": "x\n"},
            **{"delivery.timeouts": {"quit": "100ms"}},
        )
        ended = folder.send()
    assert ended.code == code, ended.errors
    assert "Warning" not in ended.errors
