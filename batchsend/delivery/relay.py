"""One relay as the pool sees it: what it allows, whether it can send now, and how the pool backs off from it.

Everything that bounds what a relay is asked for in a minute is decided here and nowhere else, whatever the relay says
or does. Time is given, not asked for. The rules:

1.  The *rate* is the throttle's: one bucket for all sessions of the relay, cut when the server asks for less.
2.  A session that came to nothing (it could not be opened, or it ended before a message was accepted), and a refusal
    that is about the relay, pause the whole relay, not one slot: for 0.2 s, doubled each time up to a minute, with
    full jitter above the half. A message that is accepted ends that. So at most about
    ``max_connections + 1`` sessions, logins and refused messages come of each pause.
3.  A *quota* puts the relay to sleep until it is over. Afterwards one session with one message tries it first. How
    many messages it took before that is remembered: near as many, the next time, one message is under way at once, so
    that one is refused and not one of each session.
4.  A relay that *refuses us* is out of service for this run.
5.  Until a first session was opened, only one is being opened: a login that is refused is not tried five times.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Final

from batchsend.campaign import places
from batchsend.delivery.limits import Limits
from batchsend.delivery.throttle import Goodput, Throttle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batchsend.campaign import Delivery, Server
    from batchsend.delivery.quota import Meter, Meters
    from batchsend.errors import RunError

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 60.0
# A relay that pauses for longer than this is not ready: others take over meanwhile.
_SHORT_PAUSE: Final = 1.0

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
        quota: How many messages it took before it spoke of its quota, or None.
        careful: It has taken nearly as many again: one message at a time.
        trying: After a sleep only one session with one message is tried, until it is accepted.
        unreached: Why no session can be opened at present, or None.
        given_up: Why nobody waits for it any more, although it is still tried now and then; or None.
        no_pipelining: It offers PIPELINING, and answers the first command of a group only.
        no_chunking: It offers CHUNKING and refuses BDAT.
        chunking_works: A BDAT was accepted.
    """

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
    ) -> None:
        self.name = name
        self.priority = priority
        self.weight = weight
        self.meter = meter
        self._own_rate = own_rate
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
        self.quota: int | None = None
        self.careful = False
        self.unreached: RunError | None = None
        self.given_up: RunError | None = None
        self.no_pipelining = False
        self.no_chunking = False
        self.chunking_works = False
        self._depth = options.depth
        self.set_connections(options.max_connections)
        self._window_began = 0  # how many were accepted when the quota began to be counted
        self._careful_from = sys.maxsize  # so many accepted
        self._paused_until = 0.0
        self._pause = _FIRST_PAUSE
        self._failing_since: float | None = None

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
        # So many messages may be on their way when the last one is taken that comes before the careful ones.
        self._margin = (connections + 1) * max(self._depth, 2)

    def set_rate(self, rate: float | None, now: float) -> None:
        """From now on the campaign has this rate; its own still holds."""
        rates = [one for one in (rate, self._own_rate) if one is not None]
        self.throttle.set_limit(min(rates, default=None), now)

    # --- what happened ------------------------------------------------------------------------------------------------

    def took(self) -> None:
        """A message was accepted: whatever the relay was paused for is over."""
        self.accepted += 1
        if self.accepted >= self._careful_from:
            self._come_near_quota()
        if self._failing_since is not None or self._pause > _FIRST_PAUSE or self.trying:
            self._failing_since = None
            self._pause = _FIRST_PAUSE
            self._paused_until = 0.0
            self.trying = False

    def answered(self) -> None:
        """The server decided a message: it is there."""
        self._failing_since = None

    @property
    def unlimited(self) -> bool:
        """Nothing holds a message back: there is no need to ask `wait_to_send`."""
        return self.throttle.rate is None and not (self._paused_until or self.trying or self.careful)

    def wait_to_send(self, now: float) -> float:
        """Take leave to send one message: 0.0 if it is given, otherwise the seconds until it may be asked for again."""
        if self._paused_until or self.trying:
            wait = self.wait(now)
            if wait:
                return wait
            self._paused_until = 0.0  # the pause is over; the rate counts as before
        return self.throttle.take(now)

    def reached(self) -> None:
        """A session was opened."""
        self.proven = True
        self.unreached = self.given_up = None
        self._failing_since = None

    def back_off(self, now: float) -> bool:
        """Something came to nothing: pause the relay (rule 2). What failed together counts once, and only then true."""
        if now < self._paused_until:
            return False
        self._paused_until = now + self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True

    def back_off_for(self, now: float, seconds: float) -> None:
        """The server asks for a pause of its own length, such as minutes after too many logins."""
        self._paused_until = max(self._paused_until, now + seconds * random.uniform(0.75, 1.25))  # noqa: S311 - jitter

    def failing(self, now: float) -> float:
        """It does not answer: for how many seconds it has not."""
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since

    def sleep(self, now: float, seconds: float, because: str) -> None:
        """Its quota is used up for so many seconds (rule 3)."""
        self.asleep_until = max(self.asleep_until, now + seconds)
        self.sleeps_because = because
        self.rests = False
        self.expect_quota(self.accepted - self._window_began or self.quota)

    def rest(self, now: float, seconds: float, quota: str) -> None:
        """Our own quota for it is used up for so many seconds: it has said nothing, and is not tried first."""
        if now + seconds > self.asleep_until:
            self.asleep_until = now + seconds
            self.sleeps_because = quota
            self.rests = True

    def expect_quota(self, messages: int | None) -> None:
        """A quota begins to be counted, of about so many messages; whether it does, one message is to try."""
        self.trying = True
        self.quota = messages
        self._window_began = self.accepted
        self.careful = False
        self._careful_from = sys.maxsize
        if messages is not None:
            self._careful_from = self.accepted + messages - self._margin
            self.careful = self._careful_from <= self.accepted

    def _come_near_quota(self) -> None:
        """As many were accepted as before the quota was spoken of, but for a few; or more, and it is another now."""
        self.careful = self.quota is not None and self.accepted - self._window_began <= self.quota + self._margin
        if not self.careful:
            self.quota = None
            self._careful_from = sys.maxsize

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
        if self.quota is not None:
            learned["quota"] = self.quota
        return learned

    def __repr__(self) -> str:
        state = "out of service" if self.out_of_service else "asleep" if self.trying else "in service"
        return f"<Relay {self.name}, {state}, {self.limits!r}, {self.throttle!r}>"


def relays_of(
    servers: Sequence[Server],
    options: Sequence[Delivery],
    learned: Mapping[str, float],
    meters: Meters,
    now: float,
) -> list[Relay]:
    """What is known of each relay when a run begins.

    Args:
        servers: What the campaign says of them.
        options: The limits of each.
        learned: What an earlier run has learned of them.
        meters: What counts the messages that they take.
        now: The loop's time.
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
        )
        if quota := learned.get("quota" if len(servers) == 1 else f"{place.name}.quota"):
            relay.expect_quota(int(quota))
        relays.append(relay)
    return relays
