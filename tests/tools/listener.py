"""What the asynchronous test servers share: a loopback port, a task for each connection, an end that ends them all."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from tests.tools.wire import Connection, PeerClosedError, Wire

if TYPE_CHECKING:
    import ssl
    from types import TracebackType


class ServerError(AssertionError):
    """A test's server met something that its script did not allow for."""


class Listener(ABC):
    """An asynchronous context manager that listens on a free loopback port while it is entered.

    Tests that are not asynchronous run it in a thread: ``anyio.from_thread.start_blocking_portal()`` and the portal's
    ``wrap_async_context_manager``.

    Args:
        tls: The context of implicit TLS (RFC 8314 §3.3), or None for plaintext.
        receive_buffer: Octets of the kernel's receive buffer (SO_RCVBUF): small, to make a zero window come soon.

    Attributes:
        host: The loopback address.
        port: The port, known once entered.
        connections: The record of every connection, in the order of connecting.
        failures: What went otherwise than the script allows; leaving the context raises :class:`ServerError` for it.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.connections: list[Connection] = []
        self.failures: list[str] = []
        self._tls = tls
        self._receive_buffer = receive_buffer
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = False
        self._ended = 0
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @abstractmethod
    async def play(self, wire: Wire) -> None:
        """Play one connection to its end; the wire is closed afterwards."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, self.host, 0, ssl=self._tls, backlog=1024)
        listening = self._server.sockets[0]
        if self._receive_buffer is not None:
            # Before any connection is accepted: accepted sockets inherit it, and it bounds the window they offer.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        self.port = listening.getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        if self._server is not None:
            self._server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        if self.failures:
            if error is None:
                raise ServerError("; ".join(self.failures))
            error.add_note(f"the test's server also saw: {'; '.join(self.failures)}")

    async def ended(self, count: int) -> None:
        """Wait until ``count`` connections have ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended >= count)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._left:
            writer.transport.abort()  # it was accepted in the moment in which the server was left
            return
        connection = Connection(number=len(self.connections) + 1)
        self.connections.append(connection)
        task = asyncio.get_running_loop().create_task(self._run(Wire(reader, writer, connection)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step does not get to close anything itself.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _run(self, wire: Wire) -> None:
        try:
            await self.play(wire)
            wire.connection.completed = True
            await wire.close()
        except PeerClosedError:
            return  # Noted in the connection's record; whether it should have stayed is the test's to say.
        except Exception as error:
            # A task has nobody to raise to: raised again when the server is left.
            self.failures.append(f"connection {wire.connection.number}: {error!r}")
        finally:
            wire.abort()
            await wire.close()
            async with self._changed:
                self._ended += 1
                self._changed.notify_all()
