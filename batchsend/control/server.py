"""Listens on a run's control socket: one request a connection, from the run's own user, answered in bounded time."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from batchsend.control.place import bound, peer, socket_path
from batchsend.control.protocol import MAX_REQUEST, ControlAnswer, encoded, request_of
from batchsend.errors import BatchsendError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from batchsend.control.protocol import ControlRequest

_SECONDS: Final = 10.0
"""How long a request may take to come, and its answer to be taken."""

_MOST: Final = 8
"""Connections at once; further ones wait with the kernel."""

_PAUSE: Final = 1.0
"""Seconds until the next try, where there is no descriptor left for a connection."""


@asynccontextmanager
async def control_socket(
    log: Path, obey: Callable[[ControlRequest], ControlAnswer], notice: Callable[[str], None]
) -> AsyncIterator[None]:
    """Let the run that keeps a results log be controlled while the context lasts.

    Where the socket cannot be made, that is said, and the run goes on without: it is no reason not to send.

    Args:
        log: The log, which this run has locked.
        obey: Does what a request asks for, at once.
        notice: Called with why there is no socket, where there is none.
    """
    path = socket_path(log)
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(bound(path))
        except OSError as error:
            notice(f"{path}: this run cannot be controlled: {error.strerror}")
            yield
            return
        server = asyncio.ensure_future(_ControlServer(listener, obey).run())
        try:
            yield
        finally:
            server.cancel()
            with suppress(asyncio.CancelledError):
                await server


class _ControlServer:
    """Takes connections, a few at a time.

    Args:
        listener: The socket that listens.
        obey: Does what a request asks for.
    """

    def __init__(self, listener: socket.socket, obey: Callable[[ControlRequest], ControlAnswer]) -> None:
        self._listener = listener
        self._obey = obey
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Answer until cancelled."""
        places = asyncio.Semaphore(_MOST)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await places.acquire()
                try:
                    connection, _ = await self._loop.sock_accept(self._listener)
                except OSError:  # too many open files: the connection waits with the kernel
                    places.release()
                    await asyncio.sleep(_PAUSE)
                    continue
                tasks.create_task(self._serve(connection)).add_done_callback(lambda _: places.release())

    async def _serve(self, connection: socket.socket) -> None:
        """Answer one request; whatever goes wrong with the connection is the other end's business."""
        with connection, suppress(OSError, TimeoutError):
            async with asyncio.timeout(_SECONDS):
                connection.setblocking(False)
                if peer(connection) not in {os.geteuid(), 0}:
                    return
                if (line := await self._line(connection)) is not None:
                    await self._loop.sock_sendall(connection, encoded(self._answer(line)))

    async def _line(self, connection: socket.socket) -> bytes | None:
        """What comes until the first line feed, or until it is too much; None where none comes."""
        line = b""
        while b"\n" not in line and len(line) < MAX_REQUEST:
            octets = await self._loop.sock_recv(connection, MAX_REQUEST - len(line))
            if not octets:
                return None
            line += octets
        return line.partition(b"\n")[0]

    def _answer(self, line: bytes) -> ControlAnswer:
        try:
            return self._obey(request_of(line))
        except BatchsendError as error:
            return ControlAnswer(ok=False, message=error.message, remedy=error.remedy)
