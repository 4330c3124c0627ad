"""Counts times in narrow classes on a logarithmic scale: quantiles and bars of any number, in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CLASSES: Final = 96
"""Classes a decade: a quantile is right to 1.2 per cent."""

_LOG_LEAST: Final = -6
_LEAST: Final = 10**_LOG_LEAST
# Added before and taken off after int(), which rounds towards zero: what it rounds is then never negative.
_SHIFT: Final = -_LOG_LEAST * _CLASSES


class Histogram:
    """Times in seconds, of which quantiles and a histogram can be had.

    Attributes:
        count: How many there are.
        longest: The longest of them; 0 where there are none.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._classes: Counter[int] = Counter()

    def update(self, times: Sequence[float]) -> None:
        """Take more of them in."""
        if times:
            self.count += len(times)
            self.longest = max(self.longest, *times)
            log = math.log10
            self._classes.update(
                [int((log(time) if time > _LEAST else _LOG_LEAST) * _CLASSES + _SHIFT) - _SHIFT for time in times]
            )

    def quantile(self, part: float) -> float:
        """The time within which this part of them (0 to 1) lies; 0 where there are none."""
        needed = part * self.count
        for place in sorted(self._classes):
            needed -= self._classes[place]
            if needed <= 0:
                return min(10 ** ((place + 0.5) / _CLASSES), self.longest)
        return self.longest

    def histogram(self, bars: int) -> Iterator[tuple[float, float, int]]:
        """Bars of equal width on a logarithmic scale: from where, to where, how many.

        Args:
            bars: At most so many; a decade has 1, 2, 4, 8, … of them.
        """
        if not self._classes:
            return
        first, last = min(self._classes), max(self._classes)
        merged = next(
            (width for width in (3, 6, 12, 24, 48, _CLASSES) if last // width - first // width < bars), _CLASSES
        )
        counts: Counter[int] = Counter()
        for place, count in self._classes.items():
            counts[place // merged] += count
        for place in range(first // merged, last // merged + 1):
            yield 10 ** (place * merged / _CLASSES), 10 ** ((place + 1) * merged / _CLASSES), counts[place]
