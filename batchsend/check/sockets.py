"""The sockets by which the DNS is asked."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from dns.asyncbackend import Backend, get_backend  # type: ignore[attr-defined]  # it is imported there, documented so


class SocketMaker(Backend):
    """Makes dnspython's sockets of asyncio; a cancellation leaves none of them open.

    uvloop loses sight of a UDP socket whose making is cancelled. It stays open as long as the loop; and where warnings
    are errors, uvloop waits for it for ever when the loop is closed, in C, where no handler of a signal can run.
    """

    def __init__(self) -> None:
        self._asyncio: Any = get_backend("asyncio")

    def name(self) -> str:
        """As all of asyncio's."""
        return str(self._asyncio.name())

    async def make_socket(self, af: int, socktype: int, *arguments: Any, **options: Any) -> Any:
        """Make a socket; a UDP socket to its end, which is a turn of the loop or two, and then it is closed."""
        work = self._asyncio.make_socket(af, socktype, *arguments, **options)
        if socktype != socket.SOCK_DGRAM:
            return await work
        making = asyncio.ensure_future(work)
        cancelled: asyncio.CancelledError | None = None
        while not making.done():
            try:
                await asyncio.wait([making])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            return making.result()
        if making.exception() is None:
            await making.result().close()
        raise cancelled

    async def sleep(self, interval: float) -> None:
        """Wait, between two attempts."""
        await asyncio.sleep(interval)
