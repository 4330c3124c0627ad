"""One relay as the pool sees it: what it allows, whether it can send now, and how the pool backs off from it.

Everything that bounds what a relay is asked for in a minute is decided here and nowhere else, whatever the relay says
or does. Time is given, not asked for. The rules:

1.  The *rate* is the throttle's: one bucket for all sessions of the relay, cut when the server asks for less.
2.  A session that came to nothing (it could not be opened, or it ended before a message was accepted), and a refusal
    that is about the relay, pause the whole relay, not one slot: for 0.2 s, doubled each time up to a minute, with
    full jitter above the half. A message that is accepted ends that. So at most about
    ``max_connections + 1`` sessions, logins and refused messages come of each pause.
    Where no session is open, one is tried again before ``give_up_after`` is over.
3.  A *quota* puts the relay to sleep until it is over. Afterwards one session with one message tries it first. How
    many messages it took before that is remembered, and foreseen the next time (`Foresight`).
4.  A relay that *refuses us* is out of service for this run.
5.  Until a first session was opened, only one is being opened, and another beside it where it is silent for long
    (`batchsend.delivery.attempts`): a login that is refused is not tried five times.
6.  A relay whose replies could not be believed in 20 sessions in a row is out of service, too: each such session leaves
    messages in doubt.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from batchsend.campaign import places
from batchsend.delivery.foresight import Foresight
from batchsend.delivery.limits import Limits
from batchsend.delivery.quota import found_before
from batchsend.delivery.throttle import Goodput, Throttle
from batchsend.jitter import spread
from batchsend.smtp.replies import KnownReplies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from batchsend.campaign import Delivery, Quota, Server
    from batchsend.delivery.quota import Meter, Meters
    from batchsend.errors import RunError

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 60.0
# A relay that pauses for longer than this is not ready: others take over meanwhile.
_SHORT_PAUSE: Final = 1.0
_BROKEN_SESSIONS: Final = 20  # rule 6

CLOSE_AFTER: Final = 30.0
"""Seconds of sleep for a quota of ours beyond which sessions are closed: servers end those that are idle for long."""


class Relay:
    """What is known of one relay in a run.

    Args:
        name: What logs and messages call it.
        options: The campaign's limits.
        now: The loop's time.
        priority: Where several can send, those of the lowest share the work.
        weight: Its share among equals.
        meter: What counts the messages that it takes, or None where it has neither quota nor warm-up.
        own_rate: The most messages a second that it may be sent, whatever the rate of the campaign; None for no limit.
        eased: Called with it when a pause is over before its time, or is to be over sooner.

    Attributes:
        priority: As given.
        weight: As given.
        meter: As given.
        throttle: Its rate.
        limits: How many sessions, and how many messages in each.
        goodput: What it has accepted of late.
        accepted: How many messages it has accepted.
        asleep_until: When its quota is over, on the loop's clock; 0.0 where none is known to be used up.
        sleeps_because: What it said when it was put to sleep; where it is our own quota, that.
        rests: It is our own quota that it sleeps for.
        out_of_service: Why it is not used any more in this run, or None.
        proven: A session was opened.
        foresight: What its refusals have shown of its quota.
        careful: It has taken nearly as many as that, or a round number: each message counts.
        trying: After a sleep only one session with one message is tried, until it is accepted.
        tried_in_vain: How often in a row that message was refused because of a quota.
        unreached: Why no session can be opened at present, or None.
        given_up: Why nobody waits for it any more, although it is still tried now and then; or None.
        no_pipelining: It offers PIPELINING, and answers the first command of a group only.
        no_chunking: It offers CHUNKING and refuses BDAT.
        chunking_works: A BDAT was accepted.
        ends_idle: It has ended a session that was idle.
        known_replies: What it has said to commands, for the parsers of its sessions.
    """

    # Python 3.11 keeps more than thirty attributes in a dictionary of the object's own, and looks each method up anew.
    # fmt: off
    __slots__ = (
        "_broken", "_depth", "_dormant", "_eased", "_failing_since", "_fruitless_since", "_most_sessions",
        "_own_rate", "_part", "_pause", "_paused_until", "_rate", "_recipients", "accepted", "asleep_until",
        "careful", "chunking_works", "ends_idle", "foresight", "given_up", "goodput", "known_replies", "limits",
        "meter", "name", "no_chunking", "no_pipelining", "out_of_service", "priority", "proven", "rests",
        "sleeps_because", "throttle", "tried_in_vain", "trying", "unreached", "weight",
    )
    # fmt: on

    def __init__(
        self,
        name: str,
        options: Delivery,
        now: float,
        *,
        priority: int = 1,
        weight: int = 1,
        meter: Meter | None = None,
        own_rate: float | None = None,
        eased: Callable[[Relay], None] = lambda _: None,
    ) -> None:
        self._eased = eased
        self.name = name
        self.priority = priority
        self.weight = weight
        self.meter = meter
        self._own_rate = own_rate
        self._rate = options.rate.per_second if options.rate else None
        self._part = 1.0  # of its own rate; the rest is for others
        self.throttle = Throttle(options.rate.per_second if options.rate else None, now)
        self.limits = Limits(options.max_connections, options.max_messages)
        self.goodput = Goodput(now)
        self.accepted = 0
        self.asleep_until = 0.0
        self.sleeps_because = ""
        self.rests = False
        self.out_of_service: RunError | None = None
        self.proven = False
        self.trying = False
        self.tried_in_vain = 0
        self.careful = False
        self.unreached: RunError | None = None
        self.given_up: RunError | None = None
        self.no_pipelining = False
        self.no_chunking = False
        self.chunking_works = False
        self.ends_idle = False
        self.known_replies = KnownReplies()
        self._depth = options.depth
        self._recipients = 1  # of a transaction, at most so far
        self._most_sessions = options.max_connections
        self.foresight = Foresight(self._most_under_way, now)
        self._dormant = False  # the sleep that it was put to is not over, and something may still be under way
        self._paused_until = 0.0
        self._pause = _FIRST_PAUSE
        self._failing_since: float | None = None
        self._fruitless_since: float | None = None
        self._broken = 0  # sessions in a row

    def can_send(self, now: float) -> bool:
        """Whether it may be given work at all; a pause for backing off does not count, it is short."""
        return self.out_of_service is None and self.asleep_until <= now

    def ready(self, now: float) -> bool:
        """Whether it can be sent to now: others may take over while it cannot."""
        return self.can_send(now) and self.unreached is None and self._paused_until - now <= _SHORT_PAUSE

    @property
    def is_awaited(self) -> bool:
        """Whether others wait for it to take its share: not while it has yet to show that it takes anything."""
        return self.proven and self._pause == _FIRST_PAUSE and not (self.trying or self.careful)

    def wait(self, now: float) -> float:
        """Seconds until a message or a session may be tried; 0.0 for now. For ever is ``inf``."""
        if self.out_of_service is not None:
            return float("inf")
        return max(0.0, self.asleep_until - now, self._paused_until - now)

    def connections(self, now: float) -> int:
        """How many sessions it may have."""
        if self.trying:
            return 1
        return self.limits.connections(now)

    def set_connections(self, connections: int) -> None:
        """From now on so many sessions are allowed by whoever sends."""
        self.limits.set_most(connections)
        self._most_sessions = connections
        self.foresight.set_margin(self._most_under_way)

    def shares(self, recipients: int) -> None:
        """A transaction may have so many recipients."""
        if recipients > self._recipients:
            self._recipients = recipients
            self.foresight.set_margin(self._most_under_way)

    @property
    def _most_under_way(self) -> int:
        # The one: a session that takes its leave. The two: a transaction is begun with the content of the one before.
        return (self._most_sessions + 1) * max(self._depth, 2) * self._recipients

    def set_rate(self, rate: float | None, now: float) -> None:
        """From now on the campaign has this rate; its own still holds."""
        self._rate = rate
        self._set_limit(now)

    def set_part(self, part: float, now: float) -> None:
        """From now on only this part of its own rate may be used here: others use the rest."""
        if part != self._part:
            self._part = part
            self._set_limit(now)

    def _set_limit(self, now: float) -> None:
        rates = [] if self._rate is None else [self._rate]
        if self._own_rate is not None:
            rates.append(self._own_rate * self._part)
        self.throttle.set_limit(min(rates, default=None), now)

    # --- what happened ------------------------------------------------------------------------------------------------

    def took(self) -> bool:
        """A message was accepted: whatever the relay was paused for is over.

        Returns:
            Whether others wait for this answer, because each message counts.
        """
        self.accepted += 1
        if self.accepted >= self.foresight.careful_from:
            self.careful = True
        if self._failing_since is not None or self._pause > _FIRST_PAUSE or self.trying:
            self._failing_since = self._fruitless_since = None
            self._pause = _FIRST_PAUSE
            if not self._dormant:
                self.trying = False
                self.tried_in_vain = 0
            if self._paused_until:
                self._paused_until = 0.0
                self._eased(self)
        return self.careful

    def answered(self) -> None:
        """The server decided a message: it is there."""
        self._failing_since = self._fruitless_since = None

    @property
    def unlimited(self) -> bool:
        """Nothing holds a message back: there is no need to ask `wait_to_send`."""
        return self.throttle.rate is None and not (self._paused_until or self.trying or self.careful)

    def wait_to_send(self, now: float, under_way: int = 0) -> float:
        """Take leave to send one message.

        Args:
            now: The time.
            under_way: How many messages are on their way to it; only needed where it is `careful`.

        Returns:
            0.0 if it is given, otherwise the seconds until it may be asked for again; for ever (``inf``) where that
            depends on the answers to what is under way.
        """
        if self._paused_until or self.trying:
            wait = self.wait(now)
            if wait:
                return wait
            self._paused_until = 0.0  # the pause is over; the rate counts as before
            if self._dormant:
                self._dormant = False
                self.foresight.woken(self.accepted, now)
                self.careful = self.accepted >= self.foresight.careful_from
        if self.careful and (wait := self._wait_for_quota(now, under_way)):
            return wait
        return self.throttle.take(now)

    def _wait_for_quota(self, now: float, under_way: int) -> float:
        """Seconds until the quota that it was found to have leaves room for one more; it rests for so long."""
        wait = self.foresight.wait(self.accepted, under_way, now)
        self.careful = self.accepted >= self.foresight.careful_from
        if 0 < wait < float("inf"):
            self.rest(now, wait, f"{self.foresight.quota}, as its refusals have shown")
            self.foresight.rests()
            self.trying = True  # its clock need not be ours
        return wait

    def reached(self) -> None:
        """A session was opened."""
        self.proven = True
        self.unreached = self.given_up = None
        self._failing_since = None

    def back_off(self, now: float) -> bool:
        """Something came to nothing: pause the relay (rule 2). What failed together counts once, and only then true."""
        if now < self._paused_until:
            return False
        self._paused_until = now + spread(self._pause, 0.5, 1.0)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True

    def back_off_for(self, now: float, seconds: float) -> None:
        """The server asks for a pause of its own length, such as minutes after too many logins."""
        self._paused_until = max(self._paused_until, now + spread(seconds))

    def is_tried_by(self, latest: float) -> None:
        """It is tried again at this time at the latest, however long it is paused for."""
        if latest < self._paused_until:
            self._paused_until = latest
            self._eased(self)

    def failing(self, now: float, silent: float) -> float:
        """It does not answer: for how many seconds it has not, ``silent`` ones at least."""
        if self._failing_since is None:
            self._failing_since = now - silent
        return now - self._failing_since

    def fruitless_since(self, now: float) -> float:
        """A session has ended before any message was decided: since when that is so of all sessions."""
        if self._fruitless_since is None:
            self._fruitless_since = now
        return self._fruitless_since

    def is_believed(self, *, is_broken: bool, answered: int) -> bool:
        """A session with DATA has ended; False where it is the last of so many that broke (rule 6).

        Args:
            is_broken: Its replies could not be believed.
            answered: How many messages it has decided.
        """
        if is_broken:
            self._broken += 1
        elif answered:
            self._broken = 0
        return self._broken < _BROKEN_SESSIONS

    def sleep(self, now: float, seconds: float, because: str, *, period: float | None = None) -> None:
        """Its quota is used up for so many seconds (rule 3).

        Args:
            now: The time.
            seconds: How long.
            because: What it said.
            period: How long the quota counts, in seconds; None where it was somebody else who was refused.
        """
        first = self.trying and not self._dormant
        self.tried_in_vain += first
        self.asleep_until = max(self.asleep_until, now + seconds)
        self._fruitless_since = None  # while it sleeps, nothing is asked of it
        self.sleeps_because = because
        self.rests = False
        self.trying = self._dormant = True
        self.careful = False
        if period is not None:
            self.foresight.refused(self.accepted, now, period, first=first)

    def rest(self, now: float, seconds: float, quota: str) -> None:
        """Our own quota for it is used up for so many seconds: it has said nothing, and is not tried first."""
        if now + seconds > self.asleep_until:
            self.asleep_until = now + seconds
            self._fruitless_since = None
            self.sleeps_because = quota
            self.rests = True

    def sample(self, now: float) -> None:
        """Count what was accepted up to now; to be called twice a second."""
        self.goodput.sample(now, self.accepted)
        self.foresight.sample(self.accepted, now)
        self.careful = self.accepted >= self.foresight.careful_from

    def remember_quota(self, quota: Quota, believed: int, sent: Iterable[tuple[float, int]], now: float) -> None:
        """An earlier run has found its quota: whether that has room again, one message is to try.

        Args:
            quota: It.
            believed: How often its end is believed.
            sent: When messages were accepted, and how many at once.
            now: The time.
        """
        self.trying = True
        self.foresight.remember(quota, believed, sent, now)
        self.careful = self.foresight.careful_from <= 0

    def retire(self, error: RunError) -> None:
        """It refuses us: out of service for this run (rule 4)."""
        if self.out_of_service is None:
            self.out_of_service = error

    @property
    def learned(self) -> dict[str, float]:
        """What the server has shown it allows, by the name of the option that would set it."""
        learned = dict(self.limits.learned)
        if self.throttle.slowest is not None:
            learned["rate"] = round(self.throttle.slowest, 1)
        return learned | self.foresight.learned

    def __repr__(self) -> str:
        state = "out of service" if self.out_of_service else "asleep" if self.trying else "in service"
        return f"<Relay {self.name}, {state}, {self.limits!r}, {self.throttle!r}>"


def relays_of(
    servers: Sequence[Server],
    options: Sequence[Delivery],
    learned: Mapping[str, float],
    meters: Meters,
    now: float,
    *,
    eased: Callable[[Relay], None] = lambda _: None,
) -> list[Relay]:
    """What is known of each relay when a run begins.

    Args:
        servers: What the campaign says of them.
        options: The limits of each.
        learned: What an earlier run has learned of them.
        meters: What counts the messages that they take.
        now: The loop's time.
        eased: As each of them has it.
    """
    relays = []
    for server, its_options, place in zip(servers, options, places(servers), strict=True):
        relay = Relay(
            place.name,
            its_options,
            now,
            priority=place.priority,
            weight=place.weight,
            meter=meters.relays.get(place.name),
            own_rate=None if server.rate is None else server.rate.per_second,
            eased=eased,
        )
        if (found := found_before(learned, None if len(servers) == 1 else place.name)) is not None:
            quota, believed = found
            # The log has the time of the day, and the loop has its own.
            ago = time.time() - now
            relay.remember_quota(
                quota, believed, [(when - ago, many) for when, many in meters.watched(place.name)], now
            )
        relays.append(relay)
    return relays
