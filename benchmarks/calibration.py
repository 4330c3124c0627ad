"""How fast each core is at the moment: a loop of fixed length, run before and after each contestant's run.

Other work makes a core slower, on a virtual machine also that of another one which has the same core's second thread.
It comes and goes in seconds and has one core at a time, so ratios within a round do not bear it: one contestant meets
it, and the next does not.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Calibration = tuple[float, ...]
"""Of each core, the seconds that the loop took."""

TOLERANCE: Final = 0.15
"""So much slower than at its fastest a core may be before and after a run that is not repeated."""

_LOOPS: Final = 5
_STEPS: Final = 50_000
_PATIENCE: Final = 5.0


def calibrate(cores: Iterable[int] | None = None) -> Calibration:
    """Seconds that some arithmetic takes now on each core: the median of a few times, some 4 ms each.

    Args:
        cores: The cores that are looked at; None for all that this process may use.
    """
    allowed = os.sched_getaffinity(0)
    try:
        return tuple(_on(core) for core in sorted(allowed if cores is None else cores))
    finally:
        os.sched_setaffinity(0, allowed)


def _on(core: int) -> float:
    os.sched_setaffinity(0, {core})
    return statistics.median(_timed() for _ in range(_LOOPS))


def _timed() -> float:
    began = time.perf_counter()
    number = 1
    for _ in range(_STEPS):
        number = number * 1_103_515_245 + 12_345 & 0x7FFFFFFF
    return time.perf_counter() - began


class Calm:
    """Tells whether the machine is disturbed, and waits for it to be quiet, for no longer than it is allowed.

    Each core is judged by its own fastest calibration so far: not all cores of a machine need be equally fast.

    Args:
        calibrate: Says how long a fixed piece of work takes now on each core.
        clock: The time, in seconds.

    Attributes:
        allowed: Seconds that waiting, and what else is done within `spending`, may still take.
    """

    def __init__(self, calibrate: Callable[[], Calibration], clock: Callable[[], float]) -> None:
        self.allowed = 0.0
        self._calibrate = calibrate
        self._clock = clock
        self._fastest: Calibration = ()

    def look(self) -> Calibration:
        """Calibrate once."""
        now = self._calibrate()
        self._fastest = tuple(map(min, self._fastest or now, now))
        return now

    def wait(self, needed: float = 0.0) -> Calibration:
        """Wait until the machine is quiet, some seconds at most; the last calibration.

        Args:
            needed: Seconds of what is allowed that are for something else.
        """
        until = self._clock() + min(_PATIENCE, self.allowed - needed)
        while self.slower(now := self.look()) > TOLERANCE and self._clock() < until:
            pass
        return now

    def slower(self, calibration: Calibration) -> float:
        """How much slower than at its fastest so far the most disturbed core was: 0.1 is a tenth."""
        pairs = zip(calibration, self._fastest, strict=True)
        return max((seconds / fastest for seconds, fastest in pairs), default=1.0) - 1

    @contextmanager
    def spending(self) -> Iterator[None]:
        """What happens within is on the account of what is allowed."""
        began = self._clock()
        try:
            yield
        finally:
            self.allowed -= self._clock() - began
