"""How fast a run goes, from one sample of it after the other, and how long it still takes if it goes on like this."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.monitor.sample import Sample

_NOW: Final = 5.0
"""Seconds that "now" looks back: a whole second's hiccup of a server is not to look like a halt."""

_OF_LATE: Final = 60.0
"""Seconds that the time left is reckoned from: long enough to be calm, short enough to notice a slower server."""

_TOO_SHORT: Final = 2.0
"""Seconds below which nothing can be said about the time left."""


class Speed(NamedTuple):
    """How fast a run goes.

    Attributes:
        elapsed: Seconds since its beginning.
        now: Records a second of late.
        overall: Records a second since the beginning.
        left: Seconds until its end, or None where that cannot be told.
    """

    elapsed: float
    now: float
    overall: float
    left: float | None


class Pace:
    """Works out the speed from one sample after the other.

    Args:
        first: The first sample, taken when the run began.

    Attributes:
        samples: Those of the last minute, and the newest before it.
    """

    def __init__(self, first: Sample) -> None:
        self._first = first
        self.samples = deque([first])

    def add(self, sample: Sample) -> Speed:
        """Take the next sample in; the speed as of now."""
        samples = self.samples
        samples.append(sample)
        # One sample older than needed stays: it is where the time looked back to begins.
        while sample.time - samples[1].time >= _OF_LATE:
            samples.popleft()
        return Speed(
            elapsed=sample.time - self._first.time,
            now=_rate(_at(samples, sample.time - _NOW), sample),
            overall=_rate(self._first, sample),
            left=_left(samples[0], sample),
        )


def _at(samples: Iterable[Sample], moment: float) -> Sample:
    """The last sample that is not younger than the moment, or else the first of all."""
    samples = iter(samples)
    found = next(samples)
    for sample in samples:
        if sample.time > moment:
            break
        found = sample
    return found


def _rate(since: Sample, sample: Sample) -> float:
    seconds = sample.time - since.time
    return (sample.records - since.records) / seconds if seconds > 0 else 0.0


def _left(since: Sample, sample: Sample) -> float | None:
    seconds = sample.time - since.time
    if sample.progress is None or since.progress is None or seconds < _TOO_SHORT:
        return None
    gained = sample.progress - since.progress
    return (1.0 - sample.progress) * seconds / gained if gained > 0 else None
