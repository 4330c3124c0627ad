"""A rate: one bucket for all sessions of a relay, or of all relays together; a relay's follows what its server asks."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

# A bucket this deep evens out the timer's millisecond and never lets more than 1 % too many through in five seconds.
_DEPTH_SECONDS = 0.05

# After a cut the replies to what was under way still say the same: they are not another reason.
_SETTLING = 1.0
# Cut below what got through, so that the server's own window clears; then feel for the limit in small steps.
_CUT = 0.9
_STEP = 1.04
_STEP_SECONDS = 2.0
# One complaint may be about nothing, or about a rate that the run had not reached yet: a quick way back shows.
_FIRST_STEP = 1.5
_SLOWEST = 0.2
# What gets through counts: where the rate was cut and few are refused still, it is not the rate that they depend on.
# After a cut so many refusals cut no more, and then one for each twenty messages that get through, those of the last
# seconds at most. A refusal at the rate that was too much before is more likely about it, and counts for more.
_SPARE = 2.0
_SPARE_PER_MESSAGE = 0.05
_SPARE_SECONDS = 3.0
_SPARE_AT_THE_RATE = 1.5
_CLEARLY_BELOW = 0.97
# Grown this much since the last cut without a complaint: whatever the limit was, it is no more.
_LIFTED = 10.0


class Throttle:
    """A token bucket whose rate is cut when the server says "slower" and then recovers. Time is given, not asked for.

    Args:
        limit: Messages a second that are never exceeded, or None.
        now: Seconds on the clock that everything else is asked with.

    Attributes:
        rate: Messages a second at present, or None for as fast as the server takes them.
        cuts: How often in a row the rate was cut without having recovered.
        slowest: The rate after the last cut, or None where there was none.
    """

    def __init__(self, limit: float | None, now: float) -> None:
        self.rate = limit
        self.cuts = 0
        self._limit = limit
        self._tokens = 1.0
        self._updated = now
        self._changed = now
        self._spare = 0.0  # refusals that cut no more, and when that was counted
        self._spare_counted = now
        self._too_much = 0.0  # what got through when the rate was cut
        self.slowest: float | None = None

    def take(self, now: float) -> float:
        """Take leave to send one message: 0.0 if it is given, otherwise the seconds until it can be."""
        wait = self.wait(now)
        if not wait:
            self.spend()
        return wait

    def spend(self) -> None:
        """A message goes out, for which `wait` has just said 0.0."""
        if self.rate is not None:
            self._tokens -= 1.0

    def wait(self, now: float) -> float:
        """The seconds until leave to send one message can be taken; 0.0 for now."""
        rate = self._current(now)
        if rate is None:
            return 0.0
        capacity = max(1.0, rate * _DEPTH_SECONDS)
        self._tokens = min(capacity, self._tokens + (now - self._updated) * rate)
        self._updated = now
        if self._tokens >= 1.0:
            return 0.0
        return (1.0 - self._tokens) / rate

    def allows(self, messages: int, now: float) -> bool:
        """Whether leave to send so many messages could be taken now."""
        return not self.wait(now) and (self.rate is None or self._tokens >= messages)

    def charge(self, messages: int) -> None:
        """So many more go with the one that was given leave last: those that come later wait for them, too."""
        if self.rate is not None:
            self._tokens -= messages

    def set_limit(self, limit: float | None, now: float) -> None:
        """From now on another number of messages a second is not to be exceeded; None for no limit of ours."""
        self._limit = limit
        if not self.cuts or (limit is not None and (self.rate is None or self.rate > limit)):
            self.rate = limit
        self._tokens = min(self._tokens, 1.0)
        self._updated = max(self._updated, now)

    def slow_down(self, now: float, goodput: float) -> bool:
        """The server asks for less: cut the rate below what it takes.

        Args:
            now: The time.
            goodput: Messages a second that it has accepted of late.

        Returns:
            Whether the rate was cut; replies to what was still under way do not cut it again, and neither do a few
            among many that get through.
        """
        if self.cuts and (now - self._changed < _SETTLING or self._is_stray(now, goodput)):
            return False
        rate = goodput * _CUT if goodput > 0 else (self.rate or 1.0) / 2
        if self.rate is not None:
            rate = min(rate, self.rate * _CUT)
        self.rate = self.slowest = max(rate, _SLOWEST)
        self._tokens = min(self._tokens, 0.0)
        self._updated = now + _SETTLING  # a pause, for the server's window to clear
        self._changed = self._spare_counted = now
        self._spare = _SPARE
        self._too_much = goodput
        self.cuts += 1
        return True

    def _is_stray(self, now: float, goodput: float) -> bool:
        """Whether a refusal is one of a few among many messages that get through; it is counted."""
        spare = self._spare + goodput * (now - self._spare_counted) * _SPARE_PER_MESSAGE
        self._spare = min(spare, max(_SPARE, goodput * _SPARE_SECONDS * _SPARE_PER_MESSAGE))
        self._spare_counted = now
        below = self.rate is not None and self.rate < self._too_much * _CLEARLY_BELOW
        price = 1.0 if below else _SPARE_AT_THE_RATE
        if self._spare < price:
            return False
        self._spare -= price
        return True

    def _current(self, now: float) -> float | None:
        """The rate, after a step of recovery if one is due."""
        if self.cuts and self.rate is not None and now - self._changed >= _STEP_SECONDS:
            self._changed = now
            rate = self.rate * (_FIRST_STEP if self.cuts == 1 else _STEP)
            if self._limit is not None and rate >= self._limit:
                self.rate, self.cuts = self._limit, 0
            elif self._limit is None and rate >= (self.slowest or 0.0) * _LIFTED:
                self.rate, self.cuts = None, 0
            else:
                self.rate = rate
        return self.rate

    def __repr__(self) -> str:
        rate = "no limit" if self.rate is None else f"{self.rate:.3g}/s, {self._tokens:.2f} left"
        return f"<Throttle {rate}{f', cut {self.cuts} times' if self.cuts else ''}>"


class Goodput:
    """How many messages a second were accepted of late, from a running total.

    Args:
        now: When the total was 0.
    """

    # Long enough for limits that are counted by the second, short enough to forget how it was before a cut.
    WINDOW: ClassVar[float] = 3.0
    INTERVAL: ClassVar[float] = 0.5

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, 0)], maxlen=1 + int(self.WINDOW / self.INTERVAL))

    def restart(self, now: float, total: int) -> None:
        """Forget what was before: nothing was sent for a while, and not because the server was slow."""
        self._samples.clear()
        self._samples.append((now, total))

    def sample(self, now: float, total: int) -> None:
        """Note the total; to be called every ``INTERVAL`` seconds."""
        self._samples.append((now, total))

    def rate(self, now: float, total: int) -> float:
        """Messages a second over the last ``WINDOW`` seconds, or since the beginning; over a second at least."""
        since, before = self._samples[0]
        return (total - before) / max(now - since, 1.0)
