"""One connection of the sink: a session's steps carried out on an asyncio transport."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, cast

from batchsend.sink.state import Pause, StartTls
from batchsend.trace import smtp_log

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from batchsend.sink.session import ServerSession
    from batchsend.sink.state import ServerStep
    from batchsend.trace import SessionTrace

LINGER: Final = 5.0
"""Seconds that a closed connection has for sending what was written before."""


class ServerConnection(asyncio.Protocol):
    """Carries octets between a transport and a session.

    Args:
        open_session: Makes the session, when the connection is there.
        context: For STARTTLS; None where it is not offered.
        idle_timeout: Seconds of silence after which the session is ended.
        connections: Where the connection keeps itself while it exists.
        most: So many of them may exist at once; None for no limit.
        longest: Seconds after which the session is ended, whatever goes on in it; None for no limit.
        begin_trace: Begins the trace of the session that was just made, with the client's address; returns None where
            nobody wants one.

    Attributes:
        lost: Done when the connection is gone.
        blocked: The client does not read: its commands are not read either.
    """

    def __init__(
        self,
        open_session: Callable[[], ServerSession],
        context: ssl.SSLContext | None,
        idle_timeout: float,
        connections: set[ServerConnection],
        begin_trace: Callable[[str], SessionTrace | None],
        *,
        most: int | None = None,
        longest: float | None = None,
    ) -> None:
        self._most = most
        self._longest = math.inf if longest is None else longest
        self._open_session = open_session
        self._context = context
        self._idle_timeout = idle_timeout
        self._connections = connections
        self._begin_trace = begin_trace
        self._trace: SessionTrace | None = None
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._heard = self._loop.time()
        self._over = math.inf
        self._pause: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._early = b""
        self._waits = False  # a pause is over, and what was received meanwhile waits until the client reads
        self.blocked = False
        self._session: ServerSession
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._session = self._open_session()
        peer = _address(transport.get_extra_info("peername"))
        smtp_log.debug("sink: %s has connected", peer)
        self._trace = self._begin_trace(peer)
        if self._trace is not None and transport.get_extra_info("sslcontext") is not None:
            self._trace.tls_started()
        self._over = self._loop.time() + self._longest
        self._timer = self._loop.call_later(min(self._idle_timeout, self._longest), self._check_time)
        if self._most is not None and len(self._connections) > self._most:
            self.end(b"421 4.3.2 Too many connections")
            return
        self._perform(self._session.greet())

    def data_received(self, data: bytes) -> None:
        """Hand what the client sent to the session, and do what the session says."""
        self._heard = self._loop.time()
        if self._handshake is not None:
            # The client's first command may come with the end of its handshake, before `start_tls` has returned: the
            # reply has to wait for the transport that encrypts it. In clear, nothing was read after STARTTLS.
            self._early += data
        else:
            self._receive(data)

    def pause_writing(self) -> None:
        """Stop reading while the client does not read: what it is owed must not grow without bound."""
        self.blocked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on with what was received, and with reading, unless the session is paused."""
        self.blocked = False
        if self._waits:
            self._resume()
        else:
            self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for timer in (self._pause, self._timer):
            if timer is not None:
                timer.cancel()
        self._connections.discard(self)
        self._session.lost()
        if self._trace is not None:
            self._trace.close(f"the connection was lost: {exc}" if exc is not None else "the connection is closed")
        if not self.lost.done():
            smtp_log.debug("sink: a connection has ended: %s", exc or "closed")
            self.lost.set_result(None)

    def end(self, reply: bytes) -> None:
        """End the session from this side.

        Args:
            reply: A 421 reply without its CRLF.
        """
        if self._handshake is not None or self.blocked:
            # Nothing can be said in the middle of a handshake, nor to a client that does not read.
            self.abort()
        else:
            self._perform(self._session.end(reply))

    def abort(self) -> None:
        """Cut the connection, whatever is under way."""
        if self._handshake is not None:
            self._handshake.cancel()
        self._transport.abort()

    def _receive(self, data: bytes) -> None:
        if self._trace is not None:
            self._trace.received(data)
        self._perform(self._session.receive(data))

    def _perform(self, steps: list[ServerStep]) -> None:
        for step in steps:
            if isinstance(step, bytes):
                self._transport.write(step)
                if self._trace is not None:
                    self._trace.sent(step)
            elif isinstance(step, Pause):
                self._transport.pause_reading()
                self._pause = self._loop.call_later(step.seconds, self._resume)
            elif isinstance(step, StartTls):
                # What arrives from now on is the handshake's, and not for this protocol to read.
                self._transport.pause_reading()
                self._handshake = self._loop.create_task(self._start_tls())
            else:
                self._close()

    def _resume(self) -> None:
        self._pause = None
        self._waits = self.blocked
        if self._waits:
            return  # it is owed enough as it is
        self._heard = self._loop.time()
        self._perform(self._session.resume())
        self._read_on()

    def _read_on(self) -> None:
        if not (self.blocked or self._pause or self._handshake or self._transport.is_closing()):
            self._transport.resume_reading()

    async def _start_tls(self) -> None:
        if self._context is None:
            raise RuntimeError("a session that offers STARTTLS needs a TLS context")
        transport: asyncio.Transport | None = None
        try:
            transport = await self._loop.start_tls(self._transport, self, self._context, server_side=True)
        except OSError:
            pass  # ssl.SSLError, a time-out, a lost connection: the client's affair, as in implicit TLS's handshake
        finally:
            self._handshake = None
            if transport is None:
                self._transport.abort()
                # Of a connection that is lost in its handshake, the loops do not always tell the protocol.
                self.connection_lost(None)
        if transport is None:
            return
        self._transport = transport
        self._heard = self._loop.time()
        self._session.tls_started()
        if self._trace is not None:
            self._trace.tls_started()
        early, self._early = self._early, b""
        self._receive(early)

    def _check_time(self) -> None:
        now = self._loop.time()
        waiting = self._pause is not None or self._handshake is not None
        quiet = self._idle_timeout if waiting else self._heard + self._idle_timeout - now
        left = min(quiet, self._over - now)
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_time)
        else:
            self.end(b"421 4.4.2 Idle for too long" if quiet <= 0 else b"421 4.4.2 Open for too long")

    def _close(self) -> None:
        self._waits = False
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()
        # A client that never reads what it was sent would keep a closed connection for ever.
        self._timer = self._loop.call_later(LINGER, self._transport.abort)


def _address(peer: object) -> str:
    """Host and port of a socket's peer; empty where there is none any more."""
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
