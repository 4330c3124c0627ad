"""Works out the charts of the HTML report: where each bar, line and label stands, in per cent of the chart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from batchsend import figures
from batchsend.outcome import Outcome
from batchsend.report.report import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batchsend.histogram import Histogram
    from batchsend.report.report import CampaignReport, Sessions
    from batchsend.report.timeline import Timeline

# On a telephone a bar is still three pixels wide.
_MOST_STEPS: Final = 100
_MOST_CLASSES: Final = 48
_MOST_ROWS: Final = 8
_GAP: Final = 0.15
_ROOM: Final = 15.0
STACKED: Final = (
    *(Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED, Outcome.IN_DOUBT, Outcome.INVALID, Outcome.SUPPRESSED),
)
"""The outcomes from the bottom of a stack to its top."""
_NICE: Final = (1, 2, 5, 10)
_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle; ``kind`` is its class in the style sheet."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Column:
    """What stands on one place of the horizontal axis, and what it says of itself."""

    title: str
    rects: list[Rect]


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis, and the side of its place on which it stands."""

    place: float
    label: str
    anchor: Literal["start", "middle", "end"] = "middle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Columns over a horizontal axis.

    Attributes:
        title: What it shows.
        description: What can be seen in it, in a sentence or two: for who does not see it.
        columns: From left to right.
        rows: The labels of the vertical axis.
        ticks: The labels of the horizontal axis.
        marks: Places on the horizontal axis that are told of above the chart.
    """

    title: str
    description: str
    columns: list[Column]
    rows: list[Tick]
    ticks: list[Tick]
    marks: list[Tick] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a bar chart that lies on its side."""

    label: str
    count: int
    width: float


def throughput(timeline: Timeline, *, attempts: int, elapsed: float, pauses: Sequence[float] = ()) -> Chart:
    """Attempts a second over time, by outcome.

    Args:
        timeline: The attempts.
        attempts: How many there are.
        elapsed: Seconds that they took.
        pauses: Where in the timeline pauses between runs were left out, in seconds from its beginning.
    """
    timeline = timeline.of_at_most(_MOST_STEPS)
    steps, width = list(timeline), timeline.width
    top, rows = vertical_axis(max((step.total for step in steps), default=0) / width, "/s")
    columns = []
    for place, step in enumerate(steps):
        rects, height = [], 0.0
        for outcome in STACKED:
            if count := step.counts[outcome]:
                part = 100 * count / width / top
                rects.append(_rect(place, len(steps), 100 - height - part, part, outcome.value))
                height += part
        said = ", ".join(f"{step.counts[o]:,} {o.label}" for o in STACKED if step.counts[o])
        columns.append(Column(f"{_moment(step.start)}, {figures.rate(step.total / width)}: {said or 'nothing'}", rects))
    whole = len(steps) * width
    return Chart(
        title="Attempts a second over time",
        description=f"{figures.count(attempts, 'attempt')} in {figures.duration(elapsed)}, at most "
        f"{figures.rate(timeline.fastest())}; each column is {_moment(width)}.",
        columns=columns,
        rows=rows,
        ticks=apart(moments(whole)),
        marks=[tick_at(100 * pause / whole, f"run {number}") for number, pause in enumerate(pauses, 2) if whole],
    )


def latency(latencies: Histogram) -> Chart:
    """How many replies took how long, on a logarithmic scale."""
    classes = list(latencies.histogram(_MOST_CLASSES))
    low, high = math.log10(classes[0][0]), math.log10(classes[-1][1])
    top, rows = vertical_axis(max(count for _, _, count in classes), "")
    columns = []
    for place, (start, end, count) in enumerate(classes):
        part = 100 * count / top
        title = f"{figures.latency(start)} to {figures.latency(end)}: {figures.count(count, 'reply', 'replies')}"
        columns.append(Column(title, [_rect(place, len(classes), 100 - part, part, "reply")]))
    quantiles = {name: latencies.quantile(part) for name, part in QUANTILES.items()}

    def tick(value: float, label: str) -> Tick:
        return tick_at(100 * (math.log10(max(value, classes[0][0])) - low) / (high - low), label)

    return Chart(
        title="Time to the reply",
        description="; ".join(f"{name} within {figures.latency(value)}" for name, value in quantiles.items())
        + f"; the longest took {figures.latency(latencies.longest)}.",
        columns=columns,
        rows=rows,
        ticks=apart(tick(value, figures.latency(value)) for value in powers(low, high)),
        marks=[tick(value, f"{name}: {figures.latency(value)}") for name, value in quantiles.items()],
    )


def attempts(report: CampaignReport) -> list[Row]:
    """Accepted records by the number of attempts that it took."""
    needed = {attempts: count for (outcome, attempts), count in report.needed.items() if outcome is Outcome.ACCEPTED}
    return _rows((figures.count(number, "attempt"), count) for number, count in sorted(needed.items()))


def sessions(found: Sessions) -> list[Row]:
    """Sessions by the number of messages in them."""
    messages: Mapping[int, int] = found.messages
    if len(messages) <= _MOST_ROWS:
        return _rows((figures.count(number, "message"), count) for number, count in sorted(messages.items()))
    width = _nice(found.most / (_MOST_ROWS - 1))
    classes: dict[int, int] = {}
    for number, count in sorted(messages.items()):
        place = (number - 1) // width
        classes[place] = classes.get(place, 0) + count
    return _rows(
        (f"{place * width + 1:,} to {min((place + 1) * width, found.most):,} messages", count)
        for place, count in classes.items()
    )


def _rows(counted: Iterable[tuple[str, int]]) -> list[Row]:
    found = list(counted)
    most = max((count for _, count in found), default=0)
    return [Row(label, count, rounded(100 * count / most)) for label, count in found]


def _rect(place: int, places: int, y: float, height: float, kind: str) -> Rect:
    width = 100 / places
    return Rect(rounded((place + _GAP / 2) * width), rounded(y), rounded((1 - _GAP) * width), rounded(height), kind)


def vertical_axis(most: float, unit: str) -> tuple[float, list[Tick]]:
    """The top of a vertical axis, and its labels."""
    step = _step(most / 3)
    lines = max(1, math.ceil(most / step - 1e-9))
    return lines * step, [
        Tick(rounded(100 - 100 * line / lines), f"{line * step:,g}{unit}", "start") for line in range(1, lines + 1)
    ]


def _step(least: float) -> float:
    """The smallest of 1, 2 and 5 by a power of ten that is not less."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next((digit * power for digit in _NICE if digit * power >= least * (1 - 1e-9)), 10 * power)


def _nice(least: float) -> int:
    return max(1, round(_step(least)))


def powers(low: float, high: float) -> Iterable[float]:
    """Times between two, of which these are the logarithms: powers of ten, or what else there is few of."""
    digits = (1,) if high - low > 2 else (1, 2, 5) if high - low > 1 else (1, 2, 3, 4, 6, 8)
    for power in range(math.floor(low), math.ceil(high) + 1):
        for digit in digits:
            value = digit * 10.0**power
            if low - 1e-9 <= math.log10(value) <= high + 1e-9:
                yield value


def moments(whole: float) -> Iterable[Tick]:
    """The labels of an axis of time: at most six, the first at the beginning."""
    if whole < 2:
        step = _step(whole / 4)
    else:
        step = next((float(step) for step in _SECONDS if whole / step <= 5), math.ceil(whole / 5 / 86400) * 86400.0)
    moment = 0.0
    while moment <= whole and whole > 0:
        yield tick_at(100 * moment / whole, _moment(moment).removesuffix(" min"))
        moment += step


def _moment(seconds: float) -> str:
    """A time since the beginning."""
    if seconds < 60:
        return f"{seconds:g} s" if seconds == round(seconds) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d} h" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def tick_at(place: float, label: str) -> Tick:
    """A label that stays within the chart."""
    place = rounded(place)
    return Tick(place, label, "start" if place < 8 else "end" if place > 88 else "middle")


def apart(ticks: Iterable[Tick]) -> list[Tick]:
    """Those labels that have room beside each other on a telephone."""
    kept: list[Tick] = []
    for tick in ticks:
        room = _ROOM * (1.8 if tick.anchor == "end" or (kept and kept[-1].anchor == "start") else 1)
        if not kept or tick.place - kept[-1].place >= room:
            kept.append(tick)
    return kept


def rounded(number: float) -> float:
    """A place in per cent, to a hundredth."""
    return round(number, 2)
