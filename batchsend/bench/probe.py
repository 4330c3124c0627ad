"""Asks a server, before anything is sent, how long a session takes to open, how far away it is and what it offers."""

from __future__ import annotations

import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import anyio

from batchsend.delivery.connector import ConnectError
from batchsend.delivery.dialogue import NOOP, Dialogue
from batchsend.errors import RunError, SessionError
from batchsend.smtp.commands import QUIT
from batchsend.smtp.extensions import Extensions

if TYPE_CHECKING:
    import asyncio

    from batchsend.campaign import Timeouts
    from batchsend.delivery.connector import Connector

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


async def probe(connector: Connector, timeouts: Timeouts) -> Probe:
    """Open a few sessions, one after the other, and ask in each how far away the server is.

    Args:
        connector: Opens the sessions.
        timeouts: How long to wait for a reply; RFC 5321 gives NOOP no time of its own, so MAIL's counts.

    Raises:
        RunError: No session can be opened, or the server does not answer in it.
    """
    openings: list[float] = []
    round_trips: list[float] = []
    for _ in range(_SESSIONS):
        began = time.perf_counter()
        try:
            opened = await connector.open()
        except ConnectError as error:
            raise RunError(error.message, remedy=error.remedy) from None
        openings.append(time.perf_counter() - began)
        dialogue = Dialogue(opened.transport, opened.where)
        try:
            round_trips += [await _seconds(dialogue, opened.where, timeouts) for _ in range(_QUESTIONS)]
            with suppress(SessionError), anyio.move_on_after(timeouts.quit):
                await dialogue.ask(QUIT)
        finally:
            await _close(opened.transport, dialogue, timeouts)
    return Probe(opened.where, statistics.median(openings), statistics.median(round_trips), opened.extensions)


async def _seconds(dialogue: Dialogue, where: str, timeouts: Timeouts) -> float:
    """How long the reply to NOOP takes; whatever it says."""
    reply = None
    began = time.perf_counter()
    with suppress(SessionError), anyio.move_on_after(timeouts.mail):
        reply = await dialogue.ask(NOOP)
    seconds = time.perf_counter() - began
    if reply is None:
        raise RunError(f"{where}: no answer to NOOP", remedy="a server must know NOOP (RFC 5321 §4.5.1); is it one?")
    if reply.code == 421:
        raise RunError(f"{where}: the server said {reply}", remedy="it does not want to be asked now; try later")
    return seconds


async def _close(transport: asyncio.Transport, dialogue: Dialogue, timeouts: Timeouts) -> None:
    """See the transport closed: a loop must not end with open ones."""
    transport.close()
    with anyio.move_on_after(timeouts.quit, shield=True):
        await dialogue.closed.wait()
    transport.abort()
