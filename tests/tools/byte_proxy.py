"""A TCP proxy on loopback that makes a server seem far away: delay and small segments, order and half-closes kept."""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from types import TracebackType

# What may be on its way in one direction of one connection, as a long fat pipe's window would bound it.
_WINDOW = 16 << 20
# The usual loops' timers tick in milliseconds; half a tick early keeps the mean delay what was asked for.
_TICK = 0.001


class _Mark(enum.Enum):
    FIN = enum.auto()
    RST = enum.auto()


class _End(asyncio.Protocol):
    """One end of a proxied connection; what it receives leaves at the other end half a round trip later."""

    def __init__(self, proxy: ByteProxy) -> None:
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._peer: _End | None = None
        self._pipe: deque[tuple[float, bytes | _Mark]] = deque()
        self._octets_in_pipe = 0
        self._timer: asyncio.TimerHandle | None = None
        self._blocked = False
        self._received_fin = False
        self._handed_on_fin = False
        self._is_broken_off = False

    def join(self, peer: _End) -> None:
        """Connect both directions; what was received meanwhile is already on its way.

        Where one was broken off meanwhile, the other one had to wait until now.
        """
        self._peer, peer._peer = peer, self
        if self._is_broken_off or peer._is_broken_off:
            self.break_off()
        self._schedule()
        peer._schedule()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._proxy.ends.add(self)

    def data_received(self, data: bytes) -> None:
        self._octets_in_pipe += len(data)
        self._set_reading()
        size = self._proxy.segment or len(data)
        for start in range(0, len(data), size):
            self._put(data[start : start + size])

    def eof_received(self) -> bool:
        self._received_fin = True
        self._put(_Mark.FIN)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._proxy.ends.discard(self)
        if exc is not None:
            self._put(_Mark.RST)

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer._blocked = True

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer._blocked = False
            self._peer._schedule()

    def reset(self) -> None:
        """Close with RST."""
        if self._transport is not None:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    def break_off(self) -> None:
        """Reset the connection at both its ends; what is on its way is lost."""
        for end in (self, self._peer):
            if end is not None:
                end._is_broken_off = True
                end._pipe.clear()
                end.reset()

    def abandon(self) -> None:
        """Close at once; nothing more is handed on."""
        self._pipe.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _put(self, piece: bytes | _Mark) -> None:
        self._pipe.append((self._loop.time() + self._proxy.round_trip / 2, piece))
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None and self._pipe and not self._blocked and self._peer is not None:
            self._timer = self._loop.call_at(self._pipe[0][0] - self._proxy.tick / 2, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        horizon = self._loop.time() + self._proxy.tick / 2
        while self._pipe and self._pipe[0][0] <= horizon and not self._blocked:
            self._hand_on(self._pipe.popleft()[1])
        self._set_reading()
        self._schedule()

    def _hand_on(self, piece: bytes | _Mark) -> None:
        peer = self._peer
        if peer is None or peer._transport is None:
            self._pipe.clear()
        elif piece is _Mark.RST:
            peer.reset()
        elif piece is _Mark.FIN:
            self._handed_on_fin = True
            if peer._handed_on_fin:
                peer._close()
                self._close()
            else:
                peer._transport.write_eof()
        elif isinstance(piece, bytes):
            self._octets_in_pipe -= len(piece)
            if not peer._transport.is_closing():  # it may have been reset meanwhile
                peer._transport.write(piece)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _set_reading(self) -> None:
        if self._transport is None or self._received_fin:
            return
        if self._octets_in_pipe > _WINDOW:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class ByteProxy:
    """An asynchronous context manager: connections to its port reach the server with a round trip of the given length.

    Opening costs what it costs across such a distance: the server sees the connection one and a half round trips after
    the client began it, so that a greeting arrives after two. (The client's own ``connect`` returns at once: it is the
    proxy's kernel that answers it.)

    Args:
        host: The server's address.
        port: The server's port.
        round_trip: Seconds from a client's octet to the answering octet of a server that answers at once.
        tick: Seconds between two ticks of the loop's timers; half of them has to be less than half a round trip, or
            there is no distance at all.
        segment: Octets are handed on in pieces of at most so many, each written by itself; None: as they came.

    Attributes:
        host: The loopback address to connect to.
        port: The port to connect to, known once entered.
    """

    def __init__(
        self, host: str, port: int, *, round_trip: float = 0.0, tick: float = _TICK, segment: int | None = None
    ) -> None:
        if 0 < round_trip <= tick:
            raise ValueError(f"a loop that ticks every {tick} s cannot delay by {round_trip / 2} s")
        self.host = "127.0.0.1"
        self.port = 0
        self.round_trip = round_trip
        self.tick = tick
        self.segment = segment
        self.ends: set[_End] = set()
        self._target = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accepted, self.host, 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self.ends:
            for end in self.ends:
                end.abandon()
            await asyncio.sleep(0)
        if self._server is not None:
            await self._server.wait_closed()

    def _accepted(self) -> _End:
        client = _End(self)
        task = asyncio.get_running_loop().create_task(self._open(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return client

    async def _open(self, client: _End) -> None:
        loop = asyncio.get_running_loop()
        if self.round_trip:
            await asyncio.sleep(1.5 * self.round_trip)
        try:
            _, server = await loop.create_connection(lambda: _End(self), *self._target)
        except OSError:
            client.reset()
            return
        client.join(server)
