"""What one session tells of a server: how long it takes to open, how far away the server is, and what it offers."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import anyio

from batchsend.delivery.opening import OpeningError
from batchsend.errors import RunError
from batchsend.smtp.replies import Reply, ReplyParser

if TYPE_CHECKING:
    from batchsend.campaign import Timeouts
    from batchsend.delivery.opening import Opener
    from batchsend.smtp.extensions import Extensions

_SESSIONS = 3
_QUESTIONS = 5


class Probe(NamedTuple):
    """A server from one session at a time.

    Attributes:
        where: Host and port.
        opening: Seconds from the first SYN until MAIL may be sent, TLS and AUTH included: what a rotation costs.
        round_trip: Seconds from a command that asks nothing of the server (NOOP) to its reply.
        extensions: What it offers, in the session as it is when messages are sent.
    """

    where: str
    opening: float
    round_trip: float
    extensions: Extensions


class _Answers(asyncio.Protocol):
    """Awaits one reply at a time."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.closed = anyio.Event()
        self._transport = transport
        self._parser = ReplyParser()
        self._reply: asyncio.Future[Reply | None] | None = None

    def data_received(self, data: bytes) -> None:
        replies = self._parser.feed(data)
        if replies or self._parser.error:
            self._answer(replies[-1] if replies else None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed.set()
        self._answer(None)

    async def ask(self, command: bytes) -> Reply | None:
        """The reply to a command, or None where there is none."""
        if self.closed.is_set() or self._parser.error:
            return None
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(command)
        return await self._reply

    def _answer(self, reply: Reply | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)


async def probe(opener: Opener, timeouts: Timeouts) -> Probe:
    """Open a few sessions, one after the other, and ask in each how far away the server is.

    Args:
        opener: Opens the sessions.
        timeouts: How long to wait for a reply; RFC 5321 gives NOOP no time of its own, so MAIL's counts.

    Raises:
        RunError: No session can be opened, or the server does not answer in it.
    """
    openings: list[float] = []
    round_trips: list[float] = []
    for _ in range(_SESSIONS):
        began = time.perf_counter()
        try:
            opened = await opener.open()
        except OpeningError as error:
            raise RunError(error.message, remedy=error.remedy) from None
        openings.append(time.perf_counter() - began)
        answers = _Answers(opened.transport)
        opened.transport.set_protocol(answers)
        try:
            round_trips += [await _seconds(answers, opened.where, timeouts) for _ in range(_QUESTIONS)]
            with anyio.move_on_after(timeouts.quit):
                await answers.ask(b"QUIT\r\n")
        finally:
            await _leave(opened.transport, answers, timeouts)
    return Probe(opened.where, statistics.median(openings), statistics.median(round_trips), opened.extensions)


async def _seconds(answers: _Answers, where: str, timeouts: Timeouts) -> float:
    """How long the reply to NOOP takes; whatever it says."""
    reply = None
    began = time.perf_counter()
    with anyio.move_on_after(timeouts.mail):
        reply = await answers.ask(b"NOOP\r\n")
    seconds = time.perf_counter() - began
    if reply is None:
        raise RunError(f"{where}: no answer to NOOP", remedy="a server must know NOOP (RFC 5321 §4.5.1); is it one?")
    if reply.code == 421:
        raise RunError(f"{where}: the server said {reply}", remedy="it does not want to be asked now; try later")
    return seconds


async def _leave(transport: asyncio.Transport, answers: _Answers, timeouts: Timeouts) -> None:
    """See the transport closed: a loop must not end with open ones."""
    transport.close()
    with anyio.move_on_after(timeouts.quit, shield=True):
        await answers.closed.wait()
    transport.abort()
