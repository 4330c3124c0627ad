"""Leave to give a relay a message: its share of the work, the quotas and the rates all have to allow it.

Leave is *taken* for each message before it goes to a session, and *answered* for when the message has its outcome or
goes back. What is asked and what is done are apart: first everything is only asked, and only where all of it allows the
message is it counted anywhere.

One relay without a quota needs none of this: its own rate is all that there is, and the pool asks that itself.
"""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Final

from batchsend.delivery.relay import CLOSE_AFTER
from batchsend.delivery.statistics import RelayState, RelayStatistics
from batchsend.delivery.throttle import Throttle
from batchsend.delivery.turns import LEAD, Sharing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batchsend.campaign import Delivery
    from batchsend.delivery.quota import Meter
    from batchsend.delivery.relay import Relay

_LEAD_SECONDS: Final = 0.1
"""Of the campaign's rate, so many seconds' messages may a relay be ahead of its share."""

_SLOW_RATE: Final = 1.0
"""Messages a second that one session takes with most servers: at such a rate more are opened one by one as needed."""


class Leave:
    """Says whether a relay may be given a message now, and counts those that it was given. Time is given: the loop's.

    Args:
        relays: All of them.
        options: The limits of the whole campaign.
        now: The time.
        meter: What counts the messages of the whole campaign, or None.
        pace: The seconds until a relay's own rate and pauses allow a message; takes leave of them where it is 0.0.
        retire: Called with a relay whose sessions are to end, because it is to be sent nothing for a while.
        again: Called when those who wait may ask again.

    Attributes:
        several: There are several relays.
        counts: It has to be asked at all.
    """

    def __init__(
        self,
        relays: Sequence[Relay],
        options: Delivery,
        *,
        now: float,
        meter: Meter | None,
        pace: Callable[[Relay], float],
        retire: Callable[[Relay], None],
        again: Callable[[], None],
    ) -> None:
        self.several = len(relays) > 1
        self.meter = meter
        self.counts = self.several or self.meter is not None or relays[0].meter is not None
        self._relays = relays
        self._pace = pace
        self._retire = retire
        self._again = again
        # One relay has the campaign's rate as its own.
        rate = options.rate if self.several else None
        self._throttle = None if rate is None else Throttle(rate.per_second, now)
        self._sharing = Sharing(relays, self._room)
        self._set_lead()
        self._at_its_pace: set[Relay] = set()  # those that were held back by their own rates or pauses when last asked
        # What the loop's clock is behind the log's. Were it too much, what an earlier run has sent would leave the
        # quotas too soon; and ``now`` may be some milliseconds ago, in which a fast relay takes several messages.
        self._epoch = time.time() - max(now, time.monotonic())

    def take(self, relay: Relay, now: float) -> float:
        """Take leave for one message: 0.0 if it is given, otherwise the seconds until it may be asked for again.

        For ever (``inf``) where that depends on something else than the time: then ``again`` is called.
        """
        if self.several and not self._is_best(relay, now):
            return math.inf
        if wait := max((meter.wait(self._wall(now)) for meter in self._meters(relay)), default=0.0):
            return wait
        if self.several and not self._sharing.may_take(relay, now):
            return math.inf
        if self._throttle is not None and (wait := self._throttle.wait(now)):
            return wait
        if not relay.unlimited and (wait := self._pace(relay)):
            self._at_its_pace.add(relay)
            return wait
        self._at_its_pace.discard(relay)
        # It is given: now it is counted.
        if self._throttle is not None:
            self._throttle.spend()
        for meter in self._meters(relay):
            meter.take()
        if self.several and self._sharing.took(relay, now):
            self._again()
        return 0.0

    def take_more(self, relay: Relay, messages: int, now: float) -> int:
        """Take leave for further recipients of a message that has leave; for as many as the quotas leave room for."""
        messages = min(messages, self._room(relay, now))
        for _ in range(messages):
            for meter in self._meters(relay):
                meter.take()
            if self._throttle is not None:
                self._throttle.spend()
            if self.several and self._sharing.took(relay, now):
                self._again()
        return messages

    def answered(self, relay: Relay, now: float, *, counts: bool = False, back: bool = False) -> None:
        """A message has its outcome, or goes back to whoever can take it next.

        Args:
            relay: Whom it was given to.
            now: The time.
            counts: It was accepted, or may have been.
            back: It goes back.
        """
        if self.several:
            self._sharing.answered(relay, now, back=back)
        if self.meter is not None:
            self.meter.answered(self._wall(now), counts=counts)
            self._rest(self._relays, self.meter, now)
        if relay.meter is not None:
            relay.meter.answered(self._wall(now), counts=counts)
            self._rest([relay], relay.meter, now)
        if not counts:
            self._again()

    def may_work(self, relay: Relay, now: float, opening: int = 0) -> bool:
        """Whether a relay is to have another session: it can send, none goes before it, and there is work for it.

        None is opened that would be idle to a server that ends idle sessions, nor where the rate is slow: there is a
        message at once for each, which none of the open sessions has taken. A relay that others have taken over from is
        tried all the same, or it would not be seen that it is back: each message is theirs before its turn comes.

        Args:
            relay: It.
            now: The time.
            opening: How many of its sessions are being opened.
        """
        throttles = [throttle for throttle in (relay.throttle, self._throttle) if throttle is not None]
        is_slow = any(throttle.rate is not None and throttle.rate <= _SLOW_RATE for throttle in throttles)
        is_few = (relay.ends_idle or is_slow) and relay.ready(now)
        if is_few and not all(throttle.allows(opening + 1, now) for throttle in throttles):
            return False
        if self.several:
            return self._sharing.may_work(relay, now)
        return relay.can_send(now) and (not self.counts or self._room(relay, now) > 0)

    def changed(self) -> None:
        """Something was said of a relay: what was decided is decided anew."""
        self._sharing.changed()

    def refresh(self) -> None:
        """Something may have happened: those who ask next whether they may work are not answered from before it."""
        self._sharing.refresh()

    def look(self, now: float, waiting: Iterable[Relay]) -> None:
        """See whose quota is used up, and which relays are too slow for their shares; to be called twice a second.

        Args:
            now: The time.
            waiting: The relays with a session that has room and was given nothing.
        """
        if self.meter is not None:
            self._rest(self._relays, self.meter, now)
        for relay in self._relays:
            if relay.meter is not None:
                self._rest([relay], relay.meter, now)
        if self.several:
            self._sharing.look(now, set(waiting) - self._at_its_pace)

    def set_rate(self, rate: float | None, now: float) -> None:
        """Change the rate of the whole campaign, in messages a second; None for no limit."""
        if self.several:
            self._throttle = None if rate is None else Throttle(rate, now)
            self._set_lead()
        else:
            self._relays[0].set_rate(rate, now)

    @property
    def rate(self) -> float | None:
        """The most messages a second of the whole campaign, where there are several relays; None for no limit."""
        return None if self._throttle is None else self._throttle.rate

    def quotas(self, now: float) -> tuple[tuple[str, int, int], ...]:
        """Of each quota of the whole campaign: how it is written, what counts towards it, and what it allows."""
        return () if self.meter is None else tuple(self.meter.figures(self._wall(now)))

    def statistics(self, relay: Relay, sessions: int, now: float) -> RelayStatistics:
        """A relay as it is now, with so many sessions."""
        state, why = self._state(relay, now)
        return RelayStatistics(
            name=relay.name,
            state=state,
            why=why,
            until=self._wall(relay.asleep_until) if state is RelayState.ASLEEP else None,
            sessions=sessions,
            connections=relay.limits.allowed,
            max_connections=relay.limits.most,
            accepted=relay.accepted,
            goodput=relay.goodput.rate(now, relay.accepted),
            rate=relay.throttle.rate,
            quotas=() if relay.meter is None else tuple(relay.meter.figures(self._wall(now))),
        )

    def _state(self, relay: Relay, now: float) -> tuple[RelayState, str]:
        if relay.out_of_service is not None:
            return RelayState.OUT, relay.out_of_service.message
        if not relay.can_send(now):
            return RelayState.ASLEEP, f"the quota is {relay.sleeps_because}" if relay.rests else relay.sleeps_because
        if (missing := relay.unreached or relay.given_up) is not None:
            return RelayState.UNREACHED, missing.message
        if self._sharing.is_slow(relay, now):
            return RelayState.SLOW, "it takes less than its share"
        return RelayState.READY, ""

    def _set_lead(self) -> None:
        """Where the campaign's rate leaves little to share, it is shared out all the more exactly."""
        rate = None if self._throttle is None else self._throttle.rate
        self._sharing.lead = LEAD if rate is None else min(LEAD, max(1.0, rate * _LEAD_SECONDS))

    def _is_best(self, relay: Relay, now: float) -> bool:
        return relay.can_send(now) and self._sharing.is_best(relay, now)

    def _meters(self, relay: Relay) -> list[Meter]:
        return [meter for meter in (self.meter, relay.meter) if meter is not None]

    def _room(self, relay: Relay, now: float) -> int:
        """How many messages the quotas leave a relay."""
        return min((meter.room(self._wall(now)) for meter in self._meters(relay)), default=sys.maxsize)

    def _rest(self, relays: Sequence[Relay], meter: Meter, now: float) -> None:
        """Where a quota is used up and nothing is under way, let its relays sleep until it is not."""
        wall = self._wall(now)
        if meter.under_way or (quota := meter.used_up(wall)) is None:
            return
        wait = meter.wait(wall)
        for relay in relays:
            if relay.can_send(now):
                relay.rest(now, wait, str(quota))
                self._sharing.changed()
                self._again()
                if wait > CLOSE_AFTER:
                    self._retire(relay)

    def _wall(self, now: float) -> float:
        """The time of the log, in seconds since the epoch, at a time of the loop."""
        return self._epoch + now

    def __repr__(self) -> str:
        return f"<Leave {self._sharing!r}, {self.meter!r}>"
