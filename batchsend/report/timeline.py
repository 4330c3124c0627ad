"""Outcomes counted by time, in steps that grow with the length of the run, so that memory stays bounded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.outcome import Outcome

_MOST_STEPS: Final = 8192
# Widths of a step in milliseconds, as the log has its times. Each divides the next: a wider step is made of whole
# narrower ones. Beyond the last one the width is doubled.
_SECOND: Final = 1000
_WIDTHS: Final = (100, 500, *(_SECOND * seconds for seconds in (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 21600, 86400)))


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One step of time.

    Attributes:
        start: Seconds from the beginning of the first run; pauses between runs do not count.
        counts: Attempts that came to their end in it, by outcome.
    """

    start: float
    counts: Counter[Outcome]

    @property
    def total(self) -> int:
        """All attempts that came to their end in it."""
        return self.counts.total()


class Timeline:
    """Counts outcomes by time, in steps of one width, which grows with the time there is to tell of.

    Args:
        finest: The width to begin with, in seconds: one of those that there are.
    """

    def __init__(self, finest: float = _WIDTHS[0] / _SECOND) -> None:
        self._width = round(finest * _SECOND)
        self._steps: dict[tuple[int, Outcome], int] = {}
        self._end = 0

    @property
    def width(self) -> float:
        """Seconds of a step."""
        return self._width / _SECOND

    def add(self, time: float, outcome: Outcome, count: int = 1) -> None:
        """Count an outcome.

        Args:
            time: Seconds from the beginning.
            outcome: What became of the attempt.
            count: How many had it.
        """
        milliseconds = round(time * _SECOND)
        key = milliseconds // self._width, outcome
        steps = self._steps
        if key in steps:
            steps[key] += count
            return
        steps[key] = count
        self._end = max(self._end, milliseconds)
        if len(steps) > _MOST_STEPS:
            self._widen()

    def of_at_most(self, steps: int) -> Timeline:
        """The same, in at most so many steps from its beginning to its end."""
        coarser = Timeline()
        coarser._width, coarser._steps, coarser._end = self._width, dict(self._steps), self._end
        while coarser._end // coarser._width >= steps:
            coarser._widen()
        return coarser

    def __iter__(self) -> Iterator[TimelineStep]:
        """Every step from the beginning to the end, also those in which nothing happened."""
        counts: dict[int, Counter[Outcome]] = {}
        for (step, outcome), count in self._steps.items():
            counts.setdefault(step, Counter())[outcome] = count
        for step in range(max(counts, default=-1) + 1):
            yield TimelineStep(step * self.width, counts.get(step, Counter()))

    def fastest(self) -> float:
        """The most attempts a second, in any step of a second or more."""
        totals: Counter[int] = Counter()
        width = max(self._width, _SECOND)
        for (step, _), count in self._steps.items():
            totals[step * self._width // width] += count
        return max(totals.values(), default=0) * _SECOND / width

    def _widen(self) -> None:
        width = next((width for width in _WIDTHS if width > self._width), self._width * 2)
        ratio = width // self._width
        steps: dict[tuple[int, Outcome], int] = {}
        for (step, outcome), count in self._steps.items():
            key = step // ratio, outcome
            steps[key] = steps.get(key, 0) + count
        self._width, self._steps = width, steps
