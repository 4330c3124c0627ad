"""The rate: one bucket for the whole pool, so that N connections never send N times as fast."""

from __future__ import annotations

# A bucket this deep evens out the timer's millisecond and never lets more than 1 % too many through in five seconds.
_DEPTH_SECONDS = 0.05


class Throttle:
    """A token bucket; time is given, not asked for.

    Args:
        rate: Messages a second, or None for no limit.
        now: Seconds on the clock that `take` is asked with.
    """

    def __init__(self, rate: float | None, now: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, (rate or 0.0) * _DEPTH_SECONDS)
        self._tokens = 1.0
        self._updated = now

    def take(self, now: float) -> float:
        """Take leave to send one message: 0.0 if it is given, otherwise the seconds until it can be."""
        if self._rate is None:
            return 0.0
        self._tokens = min(self._capacity, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate

    def __repr__(self) -> str:
        rate = "no limit" if self._rate is None else f"{self._rate:g}/s, {self._tokens:.2f} left"
        return f"<Throttle {rate}>"
