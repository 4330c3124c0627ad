"""Connections within one process and virtual time: octets take their time, come in pieces, and may not come at all.

An end is what asyncio calls a transport. What is written to it is in its send buffer until there is room in the window;
from then on it is on its way, and arrives even if the end that has sent it is gone. What is in the buffer is lost with
its end, as what a process had not handed to the kernel.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextvars import Context
    from random import Random

    from tests.simulation.case import Break

_HIGH_WATER: Final = 65536
_DRIP_SECONDS: Final = 40.0
_NEXT_ADDRESS: Final = 0.25  # Connection Attempt Delay (RFC 8305 §5)


class SimulatedSocket:
    """As much of a socket as is asked of one on which a transport stands.

    Args:
        end: The end of the connection that it belongs to.
        place: The address and the port of the other one.
    """

    def __init__(self, end: End, place: tuple[Any, ...]) -> None:
        self.end = end
        self._place = place
        self._linger = False

    def getpeername(self) -> tuple[Any, ...]:
        return self._place

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.end.resets = True

    def fileno(self) -> int:
        return -1 if self.end.is_closing() else 0

    def shutdown(self, how: int) -> None:
        self.end.abort()

    def close(self) -> None:
        self.end.abort()


class End(asyncio.Transport):
    """One end of a connection.

    Args:
        random: Where pieces and times come from.
        window: How many octets may be on their way.
        happens: Called with a word when something is about to happen at the client's end, or has happened.

    Attributes:
        other: The other end.
        resets: Closing it at once resets the connection.
        arrived: How many octets have come.
        heard: Called with that number when some have come and were taken in.
        watched: Called with what is written.
        broken: What befalls the connection on the way from here, and after how many octets; None for nothing.
        is_dead: The process that it belonged to is gone.
        far: Seconds that everything from here is on its way, at least.
        context: In which context what happens at this end runs; None for that of whoever brings it about.
    """

    def __init__(self, random: Random, window: int, happens: Callable[[str], None] | None) -> None:
        super().__init__()
        self.other: End = self
        self.resets = False
        self.arrived = 0
        self.heard: Callable[[int], None] | None = None
        self.watched: Callable[[bytes | bytearray | memoryview], None] | None = None
        self.broken: Break | None = None
        self.is_dead = False
        self.far = 0.0
        self.context: Context | None = None
        self._random = random
        self._window = window
        self._happens = happens
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol | None = None
        self._socket: SimulatedSocket | None = None
        self._buffer = bytearray()
        self._on_its_way = 0
        self._sent = 0
        self._next = 0.0
        self._closing = self._eof = self._gone = self._paused = self._full = False
        self._waiting: list[bytes | None] = []  # arrived while reading was paused

    # --- what a transport is asked ------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket if name == "socket" else default

    def set_socket(self, place: tuple[Any, ...]) -> SimulatedSocket:
        """Make the socket of this end."""
        self._socket = SimulatedSocket(self, place)
        return self._socket

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def attach(self, protocol: asyncio.BaseProtocol) -> None:
        """Begin to give what arrives to a protocol."""
        self.set_protocol(protocol)
        protocol.connection_made(self)
        if self._gone:
            self._loop.call_soon(self._lose, None, context=self.context)
        self.resume_reading()

    def is_closing(self) -> bool:
        return self._closing or self._gone

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self._loop.call_soon(self._arrive, data, context=self.context)

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._eof = True
        self._push()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_dead or self.is_closing() or self._eof:
            return
        if not self._tell("before octets leave"):
            return
        if self.watched is not None:
            self.watched(data)
        self._buffer += data
        self._push()
        self._tell("octets have left")
        if len(self._buffer) > _HIGH_WATER and not self._full and self._protocol is not None:
            self._full = True
            self._protocol.pause_writing()

    def _tell(self, what: str) -> bool:
        """Something happens at the client's end; false where that was its process's last moment."""
        if self._happens is not None:
            self._happens(what)
        return not self.is_dead

    def close(self) -> None:
        if not self.is_closing():
            self._closing = True
            self._push()

    def abort(self) -> None:
        if self._gone:
            return
        if self.resets:
            self._later(self.other._lose, ConnectionResetError("reset"))
        self._closing = True
        self._buffer.clear()
        self._push()

    def die(self) -> None:
        """The process that it belongs to is gone: what is on its way arrives, and nothing follows but the end."""
        self.is_dead = True
        self._happens = None
        self._buffer.clear()
        self._closing = True
        self._push()

    # --- the way to the other end -------------------------------------------------------------------------------------

    def _later(self, call: Callable[..., None], *arguments: object, least: float = 0.0) -> None:
        # A loop's timers of one moment come in any order, so there are no two of one moment.
        pause = self._random.choice((1e-6, 1e-6, 0.001, 0.02))
        self._next = max(self._next, self._loop.time() + self.far) + max(pause, least)
        self._loop.call_at(self._next, call, *arguments, context=self.other.context)

    def _push(self) -> None:
        """Send as much as there is room for on its way; then, where this end is closing, the end of it."""
        while self._buffer and self._on_its_way < self._window:
            length = min(len(self._buffer), self._window - self._on_its_way)
            length = self._random.choice((length, length, self._random.randint(1, length)))
            if not self._send(length):
                return
        if self._full and len(self._buffer) <= _HIGH_WATER // 4 and self._protocol is not None and not self._closing:
            self._full = False
            self._protocol.resume_writing()
        if not self._buffer and (self._closing or self._eof) and not self._gone:
            self._later(self.other._arrive, None)
            if self._closing:
                self._gone = True
                self._loop.call_soon(self._lose, None, context=self.context)

    def _send(self, length: int) -> bool:
        """Send octets on their way; false where nothing follows them."""
        broken = self.broken
        least = 0.0
        if broken is not None:
            length = min(length, max(0, broken.octets - self._sent)) or (1 if broken.what == "drip" else 0)
            least = _DRIP_SECONDS if self._sent >= broken.octets else 0.0
        if not length:
            return self._break_off()
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._sent += length
        self._on_its_way += length
        self._later(self._came, data, least=least)
        return True

    def _break_off(self) -> bool:
        """What was to befall the connection does."""
        assert self.broken is not None
        if self.broken.what in ("mute", "deaf"):
            return False  # nothing arrives any more, and nobody is told
        error = ConnectionResetError("reset") if self.broken.what == "reset" else None
        self._later(self.other._lose, error)
        self._buffer.clear()
        self._gone = True
        self._loop.call_soon(self._lose, error, context=self.context)
        return False

    def _came(self, data: bytes) -> None:
        self._on_its_way -= len(data)
        self.other._arrive(data)
        if self.context is None:
            self._push()
        else:
            self._loop.call_soon(self._push, context=self.context)

    def _arrive(self, data: bytes | None) -> None:
        if self.is_dead or self._protocol is None or self._paused or self._waiting:
            if not self.is_dead and not self._gone:
                self._waiting.append(data)
            return
        if self._gone or self._closing:
            return
        if data is None:
            if not self._protocol.eof_received():
                self.close()
            return
        if not self._tell("before octets arrive"):
            return
        self._protocol.data_received(data)
        self.arrived += len(data)
        if self.heard is not None and not self.is_dead:
            self.heard(self.arrived)
        self._tell("octets have arrived")

    def _lose(self, error: Exception | None) -> None:
        self._gone = True
        if self._protocol is not None:
            protocol, self._protocol = self._protocol, None
            protocol.connection_lost(error)


def connected(random: Random, window: int, happens: Callable[[str], None], broken: Break | None) -> tuple[End, End]:
    """The client's and the server's end of a new connection."""
    client, server = End(random, window, happens), End(random, _HIGH_WATER, None)
    client.other, server.other = server, client
    if broken is not None:
        (client if broken.upward or broken.what == "deaf" else server).broken = broken
    return client, server


async def first_of(
    places: Sequence[tuple[Any, ...]], dial: Callable[[tuple[Any, ...]], Awaitable[SimulatedSocket]]
) -> SimulatedSocket:
    """Connect to the first of several addresses that answers; where one does not, the next is tried beside it.

    Args:
        places: Addresses and ports.
        dial: Connects to one of them.

    Raises:
        OSError: None takes the connection.
    """
    left = list(places)
    tried: list[asyncio.Future[SimulatedSocket]] = []
    taken: asyncio.Future[SimulatedSocket] | None = None
    try:
        while left or not all(one.done() for one in tried):
            if left:
                tried.append(asyncio.ensure_future(dial(left.pop(0))))
            pending = [one for one in tried if not one.done()]
            await asyncio.wait(pending, timeout=_NEXT_ADDRESS if left else None, return_when=asyncio.FIRST_COMPLETED)
            taken = next((one for one in tried if one.done() and one.exception() is None), None)
            if taken is not None:
                break
    finally:
        for one in tried:
            if not one.cancel() and one is not taken and not one.cancelled() and one.exception() is None:
                one.result().close()  # nobody waits for it any more
    return await (taken or tried[-1])
