"""How fast the machine is at the moment: a loop of fixed length, run before and after each round.

Other work on the machine, and a processor that changes its speed, disturb a round. Ratios within a round bear most of
it, but a disturbance that begins in the middle of one does not hit everybody alike.
"""

from __future__ import annotations

import statistics
import time
from typing import Final

TOLERANCE: Final = 0.15
"""So much slower than the fastest calibration of a scenario one may be before its round is repeated."""

_LOOPS: Final = 5
_STEPS: Final = 100_000


def calibrate() -> float:
    """Seconds that some arithmetic takes now: the median of a few times, some 10 ms each."""
    return statistics.median(_timed() for _ in range(_LOOPS))


def _timed() -> float:
    began = time.perf_counter()
    number = 1
    for _ in range(_STEPS):
        number = number * 1_103_515_245 + 12_345 & 0x7FFFFFFF
    return time.perf_counter() - began
