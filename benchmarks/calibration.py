"""How fast each core is at the moment: a loop of fixed length, before, after and during each contestant's run.

Other work makes a core slower, on a virtual machine also that of another one which has the same core's second thread.
It comes and goes in seconds and has one core at a time, so ratios within a round do not bear it: one contestant meets
it, and the next does not.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Calibration = tuple[float, ...]
"""Of each core, the seconds that the loop took."""

TOLERANCE: Final = 0.15
"""So much slower than at its fastest a core may be before and after a run that is not repeated."""

TOLERANCE_DURING: Final = 0.1
"""So much slower on average over a run a core may be than in the least disturbed one."""

_LOOPS: Final = 5
_STEPS: Final = 50_000
_SAMPLE_STEPS: Final = 5_000
_SAMPLE_SECONDS: Final = 0.1
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
    return statistics.median(_timed(_STEPS, time.perf_counter) for _ in range(_LOOPS))


def _timed(steps: int, clock: Callable[[], float]) -> float:
    began = clock()
    number = 1
    for _ in range(steps):
        number = number * 1_103_515_245 + 12_345 & 0x7FFFFFFF
    return clock() - began


@contextmanager
def sample(cores: Iterable[int] | None = None) -> Iterator[Callable[[], Calibration]]:
    """Look at one core after the other while the context lasts; its value tells the mean of each.

    It is the processor's time of some 0.4 ms of arithmetic: what runs on the same core meanwhile does not lengthen it,
    but another machine's work on the core's second thread does. Nothing is told before each core was looked at.

    Args:
        cores: The cores that are looked at; None for all that this process may use.
    """
    seconds: dict[int, list[float]] = {core: [] for core in sorted(os.sched_getaffinity(0) if cores is None else cores)}
    over = threading.Event()

    def look() -> None:
        for core, found in cycle(seconds.items()):
            if over.wait(_SAMPLE_SECONDS):
                return
            os.sched_setaffinity(0, {core})  # of this thread alone
            found.append(_timed(_SAMPLE_STEPS, time.thread_time))

    def means() -> Calibration:
        return tuple(map(statistics.fmean, seconds.values())) if all(seconds.values()) else ()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield means
    finally:
        over.set()
        thread.join()


def excess(seconds: Calibration, least: Calibration) -> float:
    """How much more than the least it was at the core where it was most: 0.1 is a tenth."""
    return max((one / other for one, other in zip(seconds, least, strict=True)), default=1.0) - 1


def least(many: Iterable[Calibration]) -> Calibration:
    """Of each core, the fewest seconds."""
    return tuple(map(min, zip(*many, strict=True)))


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
        self._fastest = least((self._fastest or now, now))
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
        return excess(calibration, self._fastest)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """What happens within is on the account of what is allowed."""
        began = self._clock()
        try:
            yield
        finally:
            self.allowed -= self._clock() - began
