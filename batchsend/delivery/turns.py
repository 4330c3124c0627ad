"""Which relay may take how many messages now: one decision, made from what is known of all of them.

The rules:

1.  Of the relays that can send, those of the lowest ``priority`` share the work; the others get none.
2.  Work is pulled. A relay takes what it has room for, as long as it is not ahead of its share: the messages that it
    has taken, divided by its ``weight``, are its *turns*. The relay with the fewest turns may always take; none may be
    further ahead of it than the *lead*: so many messages of them all together.
3.  A relay that cannot send is not waited for: it sleeps, is blocked, gone, or has used its quota up. When it is back
    it has the lead to catch up with at most.
4.  Nor is a relay that is too slow for its share. It is, where another one would go less than half as fast with its
    share of the work as alone with all of it: where it is idle for that reason for `SLOW_AFTER` seconds, for more than
    ``1 - share / 2`` of the time, while the one behind asks for nothing. For `SLOW_FOR` seconds the slow one takes what
    it can, and nobody waits for it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.delivery.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


LEAD: Final = 64
"""Messages of all relays together that one may be ahead of its share."""

SLOW_AFTER: Final = 2.0
SLOW_FOR: Final = 60.0

# A decision holds for so many messages of a relay: nothing that matters changes meanwhile without being said.
_AT_ONCE: Final = 8

# Seconds for which one look at all relays answers whether a session is of use.
_HOLDS: Final = 0.01


class Standing(NamedTuple):
    """What the decision knows of one relay.

    Attributes:
        priority: Lower goes first.
        weight: Its share among equals; above 0.
        turns: The messages that it has taken, divided by its weight.
        ready: It can send now.
        awaited: Others wait for it to take its share.
        room: How many messages its own limits leave.
    """

    priority: int
    weight: int
    turns: float
    ready: bool
    awaited: bool = True
    room: int = sys.maxsize


class _Seen(NamedTuple):
    """What a look at all relays has come to.

    Attributes:
        when: The time.
        best: The lowest priority of those that were ready; beyond any where none was.
        allowed: How many messages each of those that were ready might take.
    """

    when: float
    best: int
    allowed: dict[Relay, int]


def decide(standings: Sequence[Standing], lead: float = LEAD) -> list[int]:
    """How many messages each relay may take now, by the rules above; it depends on nothing else."""
    best = min((one.priority for one in standings if one.ready and one.room > 0), default=None)
    allowed = [0] * len(standings)
    equals = [place for place, one in enumerate(standings) if one.ready and one.room > 0 and one.priority == best]
    least = min((standings[place].turns for place in equals if standings[place].awaited), default=None)
    weights = sum(standings[place].weight for place in equals)
    for place in equals:
        one = standings[place]
        most = sys.maxsize
        if least is not None and one.awaited:
            ahead = least + lead / weights - one.turns
            most = int(ahead * one.weight) + 1 if ahead >= 0 else 0
        allowed[place] = min(most, one.room)
    return allowed


def returning(standings: Sequence[Standing], lead: float = LEAD) -> list[float]:
    """The turns of each relay once those that nobody waits for have been taken along (rule 3)."""
    awaited = [one for one in standings if one.ready and one.awaited and one.room > 0]
    if not awaited:
        return [one.turns for one in standings]
    lowest = min(one.turns for one in awaited) - lead / sum(one.weight for one in awaited)
    return [max(one.turns, lowest) for one in standings]


class Sharing:
    """Keeps what the decision needs of the relays of a run, and acts on it. Time is given, not asked for.

    Args:
        relays: All of them.
        room: How many messages the quotas leave a relay now.

    Attributes:
        lead: How many messages of all of them one may be ahead of its share.
        held: Those that had room for work, and were not given it because they are ahead of their share.
    """

    def __init__(self, relays: Sequence[Relay], room: Callable[[Relay, float], int]) -> None:
        self.lead: float = LEAD
        self.held: dict[Relay, None] = {}
        self._relays = relays
        self._room = room
        self._weights = sum(relay.weight for relay in relays)
        self._before = {relay: [one for one in relays if one.priority < relay.priority] for relay in relays}
        self._seen: _Seen | None = None
        self._turns = dict.fromkeys(relays, 0.0)
        self._allowed = dict.fromkeys(relays, 0)
        self._out = dict.fromkeys(relays, 0)
        self._slow_until = dict.fromkeys(relays, 0.0)
        self._idle_since: dict[Relay, float] = {}  # of those that are held and have nothing under way
        self._idle = dict.fromkeys(relays, 0.0)  # seconds since the last look
        self._idle_for = dict.fromkeys(relays, 0.0)  # seconds in a row of looks at which it was idle for too long
        self._looked = 0.0

    def standings(self, now: float) -> list[Standing]:
        """What is known of each relay now."""
        return [
            Standing(
                relay.priority,
                relay.weight,
                self._turns[relay],
                relay.ready(now),
                relay.is_awaited and self._slow_until[relay] <= now,
                self._room(relay, now),
            )
            for relay in self._relays
        ]

    def may_take(self, relay: Relay, now: float) -> bool:
        """Whether a relay may take one message now; where it may not, it is held."""
        if self._allowed[relay] <= 0 and not self._decide(relay, now):
            if relay.ready(now) and self._room(relay, now) > 0:
                self.held[relay] = None
                if not self._out[relay]:
                    self._idle_since.setdefault(relay, now)
            return False
        return True

    def is_best(self, relay: Relay, now: float) -> bool:
        """Whether none that goes before a relay is ready now (rule 1)."""
        return not any(one.ready(now) for one in self._before[relay])

    def may_work(self, relay: Relay, now: float) -> bool:
        """Whether a session of a relay is of use now: there is work for it, or it has to be seen whether it is back.

        Most of what has one slot ask has the slots of all relays ask. They are all answered from one look at the
        relays; with one for each of them, relays that are refused one after the other would cost the third power of
        their number.
        """
        if not relay.can_send(now) or self._room(relay, now) <= 0:
            return False
        ready = relay.ready(now)
        if ready and self._allowed[relay] > 0:
            return True
        seen = self._seen
        # Of the relay itself that counts which is known by now, whether it was said or not.
        if seen is None or now - seen.when > _HOLDS or ready is not (relay in seen.allowed):
            seen = self._look_at_all(now)
        if not ready:
            return relay.priority <= seen.best
        self._allowed[relay] = min(seen.allowed[relay], _AT_ONCE)
        return self._allowed[relay] > 0

    def took(self, relay: Relay, now: float) -> bool:
        """A relay has taken a message; true if one that was held may go on."""
        self._allowed[relay] -= 1
        self._out[relay] += 1
        self._turns[relay] += 1 / relay.weight
        self._seen = None
        self.held.pop(relay, None)
        self._end_idleness(relay, now)
        if not self.held:
            return False
        allowed = decide(self.standings(now), self.lead)
        # Not one by one: a session that is woken takes what it has room for.
        return any(
            one in self.held and most >= min(_AT_ONCE, max(1, self.lead * one.weight // (2 * self._weights)))
            for one, most in zip(self._relays, allowed, strict=True)
        )

    def answered(self, relay: Relay, now: float, *, back: bool = False) -> None:
        """A message that a relay had taken was decided, or goes ``back`` to whoever takes it next."""
        self._out[relay] -= 1
        if back:
            self._turns[relay] -= 1 / relay.weight
        if relay in self.held and not self._out[relay]:
            self._idle_since[relay] = now

    def changed(self) -> None:
        """Something was said of a relay: decide anew."""
        self.refresh()
        for relay in self._relays:
            self._allowed[relay] = 0

    def refresh(self) -> None:
        """Something may have happened to a relay: who asks next is answered from a new look at all of them."""
        self._seen = None

    def look(self, now: float, asking: Collection[Relay]) -> None:
        """See which relays are too slow for their shares (rule 4); to be called every half a second or so.

        Args:
            now: The time.
            asking: The relays that have room for more than there is: they are not slow.
        """
        interval = now - self._looked
        standings = self.standings(now)
        best = min((one.priority for one in standings if one.ready and one.room > 0), default=None)
        equals = {
            relay: one
            for relay, one in zip(self._relays, standings, strict=True)
            if one.ready and one.awaited and one.room > 0 and one.priority == best
        }
        weights = sum(one.weight for one in equals.values())
        least = min((one.turns for one in equals.values()), default=0.0)
        last = [relay for relay, one in equals.items() if one.turns == least]
        for relay in self._relays:
            if relay in self._idle_since:
                self._end_idleness(relay, now)
                self._idle_since[relay] = now
            idle, self._idle[relay] = self._idle[relay], 0.0
            is_idle = relay in equals and idle >= (1 - relay.weight / weights / 2) * interval
            behind = [other for other in last if other is not relay] if is_idle else []
            if not is_idle or any(other in asking for other in behind):
                self._idle_for[relay] = 0.0
                continue
            self._idle_for[relay] += interval
            if self._idle_for[relay] >= SLOW_AFTER:
                self._slow_until.update(dict.fromkeys(behind, now + SLOW_FOR))
                self._idle_for[relay] = 0.0
                self.changed()
        self._looked = now  # not before: the idle seconds counted above are those since the look before this one

    def is_slow(self, relay: Relay, now: float) -> bool:
        """Whether a relay takes less than its share because it is slow."""
        return self._slow_until[relay] > now

    def _decide(self, relay: Relay, now: float) -> bool:
        allowed = self._look_at_all(now).allowed.get(relay, 0)
        self._allowed[relay] = min(allowed, _AT_ONCE)
        return allowed > 0

    def _look_at_all(self, now: float) -> _Seen:
        standings = self.standings(now)
        for place, turns in enumerate(returning(standings, self.lead)):
            if turns != standings[place].turns:
                self._turns[self._relays[place]] = turns
                standings[place] = standings[place]._replace(turns=turns)
        best = min((one.priority for one in standings if one.ready), default=sys.maxsize)
        decided = zip(self._relays, standings, decide(standings, self.lead), strict=True)
        self._seen = _Seen(now, best, {relay: most for relay, one, most in decided if one.ready})
        return self._seen

    def _end_idleness(self, relay: Relay, now: float) -> None:
        since = self._idle_since.pop(relay, None)
        if since is not None:
            self._idle[relay] += now - max(since, self._looked)

    def __repr__(self) -> str:
        shares = ", ".join(f"{relay.name}: {turns:.1f}" for relay, turns in self._turns.items())
        return f"<Sharing {shares}; held: {[relay.name for relay in self.held]}>"
