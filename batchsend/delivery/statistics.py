"""What a pool looks like from outside at one moment: for a view of the run and for metrics, never for decisions."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


class SessionState(StrEnum):
    """What a session is doing."""

    SPARE = "spare"
    """It is open, and waits for another one's rotation."""

    OPEN = "open"
    """It has nothing to send: no work is left, or the rate holds it back."""

    SENDING = "sending"
    """Transactions are unanswered."""

    RETIRING = "retiring"
    """It begins nothing more, and ends with the replies that it awaits."""


class SessionStatistics(Struct, frozen=True):
    """A session that is open.

    Attributes:
        number: Its number within the run, from 1.
        state: What it is doing.
        messages: Transactions that it has begun.
        max_messages: Transactions after which it is rotated.
        unanswered: Transactions whose last reply it awaits.
    """

    number: int
    state: SessionState
    messages: int
    max_messages: int
    unanswered: int


class Slowdown(Struct, frozen=True):
    """The last time the server asked for a slower pace.

    Attributes:
        time: When, in seconds since the epoch.
        said: The server's code and words, safe to print, on one line.
        cuts: How often in a row the rate has been cut without having recovered.
    """

    time: float
    said: str
    cuts: int


class Asleep(Struct, frozen=True):
    """No relay can send now, and one will.

    Attributes:
        until: When, in seconds since the epoch.
        said: What that relay said, safe to print, on one line; or the quota of ours that is used up.
        is_ours: It is a quota of ours: the relay has said nothing.
    """

    until: float
    said: str
    is_ours: bool = False


class RelayState(StrEnum):
    """What is to be expected of a relay."""

    READY = "ready"
    """It can be sent to."""

    SLOW = "slow"
    """It can, and takes less than its share."""

    ASLEEP = "asleep"
    """A quota is used up, the relay's or ours for it."""

    UNREACHED = "unreached"
    """No session can be opened at present; it is tried again."""

    OUT = "out"
    """It is not used any more in this run."""


class RelayStatistics(Struct, frozen=True, kw_only=True):
    """One relay at one moment.

    Attributes:
        name: What it is called.
        state: What is to be expected of it.
        why: What it said, or what is the matter, safe to print, on one line; ``""`` where it is ready.
        until: Until when it sleeps, in seconds since the epoch, or None.
        sessions: How many sessions are open with it.
        connections: How many there may be at once, at present.
        max_connections: How many the campaign allows it.
        accepted: Messages that it has accepted in this run.
        goodput: Of these, a second of late.
        rate: The most messages a second at present, or None.
        quotas: Of each quota: how it is written, how many messages count towards it, and how many it allows.
    """

    name: str
    state: RelayState
    why: str
    until: float | None
    sessions: int
    connections: int
    max_connections: int
    accepted: int
    goodput: float
    rate: float | None
    quotas: tuple[tuple[str, int, int], ...] = ()


class PoolStatistics(Struct, frozen=True, kw_only=True):
    """A pool at one moment.

    Attributes:
        sessions: The open ones, by number.
        opening: Sessions that are being opened.
        opened: Sessions that were opened since the beginning.
        connections: How many sessions there may be at once, at present.
        in_flight: Submissions that sessions hold.
        backlog: Submissions that wait for a session.
        goodput: Messages accepted a second of late.
        rate: The most messages a second at present, or None for as many as the server takes.
        slowdown: Why ``rate`` is below what the campaign allows, or None where it is not.
        replies: How many submissions were decided by each reply code.
        asleep: Until when nothing is sent because the quotas are used up, or None.
        relays: Each relay, in the order of the campaign.
        quotas: Of the whole campaign, as a relay's.
    """

    sessions: tuple[SessionStatistics, ...]
    opening: int
    opened: int
    connections: int
    in_flight: int
    backlog: int
    goodput: float
    rate: float | None
    slowdown: Slowdown | None
    replies: Mapping[int, int]
    asleep: Asleep | None = None
    relays: tuple[RelayStatistics, ...] = ()
    quotas: tuple[tuple[str, int, int], ...] = ()
