"""`Sink`, the embedded SMTP server for sandboxes, benchmarks and tests: listens, and owns its connections."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, Self

import anyio

from batchsend.errors import UsageError, require, require_callable
from batchsend.room import Room
from batchsend.sink.connection import ServerConnection
from batchsend.sink.options import SinkOptions
from batchsend.sink.received import Counts, Maildir
from batchsend.sink.session import ServerSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from batchsend.sink.certificate import ServerCertificate
    from batchsend.sink.received import Received
    from batchsend.trace import SessionTrace, Trace

_BACKLOG: Final = 512
_BIND_ATTEMPTS: Final = 10
_GRACE: Final = 2.0
"""Seconds that clients have for taking the last reply when the sink closes."""


class Sink:
    """An SMTP server that takes messages and delivers them nowhere; an async context manager that serves while open.

    It runs on the current asyncio loop, or on uvloop's, which is the faster one.

    Args:
        options: How it listens and behaves; None for the defaults.
        trace: Where each session's dialogue is written; None for nowhere. It is the caller's to close.
        on_message: Told each message before it is answered. It runs on the loop: it must be quick. If it raises OSError
            the message is answered 452 and not counted.

    Attributes:
        options: As given.
        counts: What it has seen so far.
        ca_pem: The certificate to trust in order to verify the sink's; empty where TLS is not spoken.

    Raises:
        UsageError: On entering: the address cannot be listened on, or the maildir not be made.
        TypeError: An argument is of a wrong type.
    """

    def __init__(
        self,
        options: SinkOptions | None = None,
        *,
        on_message: Callable[[Received], None] | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.options = SinkOptions() if options is None else require(options, "options", SinkOptions)
        if on_message is not None:
            require_callable(on_message, "on_message")
        self.counts = Counts()
        self.ca_pem = b""
        self._on_message = on_message
        self._trace = trace
        self._addresses: list[tuple[str, int]] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[ServerConnection] = set()

    @property
    def port(self) -> int:
        """The TCP port it listens on; the same at each of ``hosts``."""
        return self._addresses[0][1]

    @property
    def hosts(self) -> list[str]:
        """The addresses it listens on."""
        return [host for host, _ in self._addresses]

    @property
    def blocked(self) -> int:
        """How many clients do not read their replies, and so are not read from."""
        return sum(connection.blocked for connection in self._connections)

    def client_context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts this sink's authority, and only that."""
        return ssl.create_default_context(cadata=self.ca_pem.decode("ascii"))

    def write_ca(self, path: Path) -> None:
        """Write the certificate to trust to a file, in PEM: what a campaign calls ``ca_file``.

        Raises:
            OSError: It cannot be written.
        """
        path.write_bytes(self.ca_pem)

    async def __aenter__(self) -> Self:
        options = self.options
        deliver = self._delivery()
        listeners = await self._listen()
        certificate = self._certificate()
        context = None if certificate is None else certificate.context
        implicit = options.tls == "implicit"
        room = None if options.max_held is None else Room(options.max_held)

        def open_session() -> ServerSession:
            self.counts.connections += 1
            number = self.counts.connections
            return ServerSession(options, self.counts, deliver, number=number, encrypted=implicit, room=room)

        def begin_trace(peer: str) -> SessionTrace | None:
            return None if self._trace is None else self._trace.session(self.counts.connections, peer)

        def accept() -> ServerConnection:
            return ServerConnection(
                open_session,
                context,
                options.idle_timeout,
                self._connections,
                begin_trace,
                most=options.max_sessions,
                longest=options.session_timeout,
            )

        loop = asyncio.get_running_loop()
        for listener in listeners:
            self._servers.append(
                await loop.create_server(accept, sock=listener, backlog=_BACKLOG, ssl=context if implicit else None)
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        # Shielded, for leaving is how a sink is usually cancelled; bounded, for a client need not take what it is sent.
        with anyio.move_on_after(_GRACE, shield=True):
            for connection in list(self._connections):
                connection.end(b"421 4.3.2 Shutting down")
            await self._lost()
        with anyio.CancelScope(shield=True):
            for connection in list(self._connections):
                connection.abort()
            await self._lost()

    async def _lost(self) -> None:
        while self._connections:
            await asyncio.wait([connection.lost for connection in self._connections])

    def _delivery(self) -> Callable[[Received], None] | None:
        """Return what is done with messages, or None where nobody wants them."""
        on_message = self._on_message
        if self.options.maildir is None:
            return on_message
        maildir = Maildir(self.options.maildir)
        if on_message is None:
            return maildir.store

        def deliver(message: Received) -> None:
            maildir.store(message)
            on_message(message)

        return deliver

    def _certificate(self) -> ServerCertificate | None:
        if self.options.tls == "none":
            return None
        from batchsend.sink.certificate import make_certificate  # noqa: PLC0415 - cryptography is slow to import

        certificate = make_certificate(self.options.host, *self.hosts)
        self.ca_pem = certificate.ca_pem
        return certificate

    async def _listen(self) -> list[socket.socket]:
        """Open a listening socket for each address of the host, all on one port."""
        host, port = self.options.host, self.options.port
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
            for attempt in range(_BIND_ATTEMPTS):
                try:
                    sockets = _bind(addresses, port)
                except OSError as error:
                    # A port that was free at the first address may be taken at the next: then another one is.
                    if port or error.errno != errno.EADDRINUSE or attempt == _BIND_ATTEMPTS - 1:
                        raise
                else:
                    break
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise UsageError(
                f"cannot listen on {host} port {port}: {reason}",
                remedy="choose an address of this machine and a free port, or port 0 for any free one",
            ) from error
        self._addresses = [listener.getsockname()[:2] for listener in sockets]
        return sockets


def _bind(addresses: Sequence[tuple[int, Any]], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            listener = socket.create_server((address[0], port), family=family, backlog=_BACKLOG)
            sockets.append(listener)
            listener.setblocking(False)
            port = listener.getsockname()[1]
    except OSError:
        for listener in sockets:
            listener.close()
        raise
    return sockets
