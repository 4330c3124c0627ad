"""How sure a figure is that was measured several times: the mean's confidence interval."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST: Final = 3
"""Of fewer figures no interval is told: two that happen to agree would look sure."""

# Student's t for a two-sided 95 per cent interval, by degrees of freedom; beyond these the last is near enough.
_STUDENT: Final = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145)


class Interval(NamedTuple):
    """Where a figure lies, 95 times of a hundred.

    Attributes:
        low: Not below this.
        high: Not above this.
    """

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two figures may be the same."""
        return self.low <= other.high and other.low <= self.high

    @property
    def within(self) -> float:
        """How far it reaches to each side, as a part of its middle."""
        middle = (self.low + self.high) / 2
        return (self.high - self.low) / 2 / middle if middle > 0 else math.inf


def interval_of(figures: Sequence[float]) -> Interval | None:
    """The 95 per cent confidence interval of the mean, by Student's t; None where there are too few to tell.

    Args:
        figures: What was measured each time.
    """
    count = len(figures)
    if count < FEWEST:
        return None
    mean = statistics.fmean(figures)
    spread = _STUDENT[min(count - 1, len(_STUDENT)) - 1] * statistics.stdev(figures) / math.sqrt(count)
    return Interval(max(0.0, mean - spread), mean + spread)
