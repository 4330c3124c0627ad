"""Connections whose dialogue is written to a trace: a transport and a protocol that tell of what passes through them.

Only sessions that are to be traced have them. They stand between the loop's transport and whatever protocol drives it,
first aiosmtplib's and then the session's own, so that neither knows of them and a session that is not traced has
nothing of it in its way. Above TLS: what they tell of is plain text.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from batchsend.delivery.login_client import LoginClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.trace import SessionTrace


class TracedClient(LoginClient):
    """aiosmtplib's client, on a connection that is traced from its first octet.

    Args:
        trace: The trace of the session that is being opened.
        options: As of `LoginClient`.
    """

    def __init__(self, trace: SessionTrace, **options: Any) -> None:
        self._traced_session = trace
        super().__init__(**options)

    def _around(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        """The running loop, whose connections are traced."""
        return cast("asyncio.AbstractEventLoop", _TracingLoop(loop, self._traced_session))


class _TracingLoop:
    """A loop whose connections are traced; in everything else the loop itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, trace: SessionTrace) -> None:
        self._loop = loop
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], **options: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """As of the loop; the transport is a `TracedTransport`."""
        protocol = _TracedProtocol(factory(), self._trace)
        await self._loop.create_connection(lambda: protocol, **options)
        return protocol.transport, protocol.driver

    async def start_tls(
        self, transport: TracedTransport, protocol: asyncio.Protocol, context: Any, **options: Any
    ) -> TracedTransport:
        """As of the loop (RFC 3207); the transport is a `TracedTransport` again, and its trace in plain text."""
        below = transport.protocol
        below.driver = protocol
        upgraded = await self._loop.start_tls(transport.real, below, context, **options)
        if upgraded is None:  # typeshed: where the transport is closed already
            raise ConnectionResetError("the connection was closed while TLS was begun")
        self._trace.tls_started()
        below.transport = TracedTransport(upgraded, below, self._trace)
        return below.transport


class _TracedProtocol(asyncio.Protocol):
    """What the loop takes for the protocol: hands everything on to the one that drives the transport.

    Attributes:
        driver: That one.
        transport: What the driver takes for the transport.
    """

    transport: TracedTransport

    def __init__(self, driver: asyncio.Protocol, trace: SessionTrace) -> None:
        self.driver = driver
        self._trace = trace

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if transport.get_extra_info("sslcontext") is not None:  # implicit TLS (RFC 8314)
            self._trace.tls_started()
        self.transport = TracedTransport(cast("asyncio.Transport", transport), self, self._trace)
        self.driver.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        self._trace.received(data)
        self.driver.data_received(data)

    def eof_received(self) -> bool | None:
        return self.driver.eof_received()

    def pause_writing(self) -> None:
        self.driver.pause_writing()

    def resume_writing(self) -> None:
        self.driver.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        driver = self.driver
        driver.connection_lost(exc)
        # What opens a session says itself why it could not, and closes the trace.
        if self.transport.taken_over:
            self._trace.close("the connection is closed" if exc is None else f"the connection was lost: {exc}")


class TracedTransport(asyncio.Transport):
    """A transport whose octets are told to a trace, in everything else the real one.

    Attributes:
        real: The loop's own transport.
        protocol: What the loop takes for its protocol.
        taken_over: A second protocol drives it: the session is open, or it sends nothing but NOOP.
    """

    def __init__(self, real: asyncio.Transport, protocol: _TracedProtocol, trace: SessionTrace) -> None:
        super().__init__()
        self.real = real
        self.protocol = protocol
        self.taken_over = False
        self._trace = trace

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Tell the trace, and write."""
        self._trace.sent(bytes(data))
        self.real.write(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol drive it."""
        self.protocol.driver = cast("asyncio.Protocol", protocol)
        self.taken_over = True

    def get_protocol(self) -> asyncio.BaseProtocol:
        """What drives it."""
        return self.protocol.driver

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of the real one."""
        return self.real.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """As of the real one."""
        return self.real.is_closing()

    def close(self) -> None:
        """As of the real one."""
        self.real.close()

    def abort(self) -> None:
        """As of the real one."""
        self.real.abort()

    def pause_reading(self) -> None:
        """As of the real one."""
        self.real.pause_reading()

    def resume_reading(self) -> None:
        """As of the real one."""
        self.real.resume_reading()

    def is_reading(self) -> bool:
        """As of the real one."""
        return self.real.is_reading()

    def get_write_buffer_size(self) -> int:
        """As of the real one."""
        return self.real.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As of the real one."""
        self.real.set_write_buffer_limits(high, low)
