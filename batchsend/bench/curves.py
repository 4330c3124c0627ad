"""Works out the curves of a bench's page: where each point, line and label stands, in per cent of the chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchsend import figures
from batchsend.bench.load import LATENCIES, name_of
from batchsend.bench.measurement import PERCENTILES
from batchsend.report.charts import Tick, apart, moments, powers, rounded, tick_at, vertical_axis

if TYPE_CHECKING:
    from collections.abc import Iterable

_MEGABYTE: Final = 1_000_000


class Dot(NamedTuple):
    """A point of a curve.

    Attributes:
        x: From left to right.
        y: From the top down.
        title: What it says of itself.
        low: The lower end of its interval, or None.
        high: The upper one.
        follows: The point before it is its neighbour: nothing between them is missing.
    """

    x: float
    y: float
    title: str
    low: float | None = None
    high: float | None = None
    follows: bool = True


class Stretch(NamedTuple):
    """A straight piece of a curve."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points.

    Attributes:
        label: What it is of.
        number: Which of the style sheet's colours it has, from 1.
        dots: Its points, from left to right.
    """

    label: str
    number: int
    dots: list[Dot]

    @property
    def stretches(self) -> list[Stretch]:
        """The pieces between its points."""
        pairs = zip(self.dots, self.dots[1:], strict=False)
        return [Stretch(one.x, one.y, two.x, two.y) for one, two in pairs if two.follows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Curves over a horizontal axis.

    Attributes:
        title: What is shown.
        description: What can be seen in it, in a sentence: for who does not see it.
        curves: From the first to be drawn to the last.
        rows: The labels of the vertical axis.
        ticks: The labels of the horizontal axis.
        across: What the horizontal axis is.
    """

    title: str
    description: str
    curves: list[Curve]
    rows: list[Tick]
    ticks: list[Tick] = field(default_factory=list)
    across: str = ""


class _Axis(NamedTuple):
    """A vertical axis: its labels, where a value stands on it, and how a value is told."""

    rows: list[Tick]
    height: Callable[[float], float]
    told: Callable[[float], str]


class _Line(NamedTuple):
    """A curve before it is placed: its values from left to right, each with its interval, if there is one.

    A value that is None is missing: the curve has a gap there.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    intervals: Sequence[tuple[float, float] | None] | None = None


def of_ladder(found: dict[str, Any]) -> list[Curves]:
    """Messages a second and latency over the number of connections, a curve for each depth."""
    grid = [point for point in found["grid"] if point["rate"] > 0]
    if not grid:
        return []
    connections = sorted({point["connections"] for point in grid})
    place = _spread(connections)
    ticks = apart(tick_at(place(number), f"{number:,}") for number in connections)

    def chart(title: str, description: str, figure: str, *, bounds: bool) -> Curves:
        lines = []
        for depth in sorted({point["depth"] for point in grid}):
            points = [point for point in grid if point["depth"] == depth and point[figure] is not None]
            intervals = [_bounds(point) for point in points] if bounds else None
            xs = [point["connections"] for point in points]
            lines.append(_Line(f"depth {depth}", xs, [point[figure] for point in points], intervals))
        axis = _linear(lines, "/s", figures.rate) if bounds else _logarithmic(lines)
        curves = _placed(lines, axis, place)
        return Curves(
            title=title, description=description, curves=curves, rows=axis.rows, ticks=ticks, across="connections"
        )

    fastest = max(grid, key=lambda point: point["rate"])
    said = (
        f"At most {figures.rate(fastest['rate'])}, with {figures.count(fastest['connections'], 'connection')} at depth "
        f"{fastest['depth']}. The strokes are how sure each figure is."
    )
    return [chart("Messages a second", said, "rate", bounds=True)] + [
        chart(f"Time to the reply, p{percent}", f"Within it are {percent} of a hundred.", f"p{percent}", bounds=False)
        for percent in (PERCENTILES[0], PERCENTILES[-1])
        if any(point[f"p{percent}"] for point in grid)
    ]


def of_load(found: dict[str, Any]) -> list[Curves]:
    """Messages a second, latency and memory over time."""
    slices = found["slices"]
    if not any(one["accepted"] for one in slices):
        return []
    whole = max(one["start"] + one["seconds"] for one in slices)
    ticks = apart(moments(whole))
    xs = [one["start"] + one["seconds"] / 2 for one in slices]

    def chart(title: str, description: str, lines: Sequence[_Line], axis: _Axis) -> Curves:
        curves = _placed(lines, axis, lambda seconds: rounded(100 * seconds / whole))
        return Curves(title=title, description=description, curves=curves, rows=axis.rows, ticks=ticks, across="time")

    wanted = found["wanted_rate"]
    rates = [_Line("accepted", xs, [one["rate"] for one in slices])]
    if wanted:
        rates.insert(0, _Line("due", [0.0, whole], [wanted, wanted]))
    since = "since the message was due" if wanted else "since hand-over"
    latencies = [_Line(f"p{percent:g}", xs, [one[name_of(percent)] or None for one in slices]) for percent in LATENCIES]
    charts = [
        chart("Messages a second", "What was accepted, over time.", rates, _linear(rates, "/s", figures.rate)),
        chart("Time to the reply", f"Counted {since}.", latencies, _logarithmic(latencies)),
    ]
    if any(one["memory"] for one in slices):
        memory = [_Line("memory", xs, [one["memory"] / _MEGABYTE for one in slices])]
        charts.append(
            chart("Memory", "Of this process.", memory, _linear(memory, " MB", lambda value: f"{value:,.1f} MB"))
        )
    return charts


def _bounds(point: dict[str, Any]) -> tuple[float, float] | None:
    return (point["low"], point["high"]) if point["low"] is not None else None


def _spread(numbers: Sequence[int]) -> Callable[[float], float]:
    """Places numbers on a logarithmic axis, with room at both ends; a single one stands in the middle."""
    low, high = math.log(numbers[0]), math.log(numbers[-1])
    return lambda number: rounded(4 + 92 * (math.log(number) - low) / (high - low)) if high > low else 50.0


def _linear(lines: Sequence[_Line], unit: str, told: Callable[[float], str]) -> _Axis:
    """An axis that begins with nothing."""
    values = [value for line in lines for value in line.ys if value is not None]
    values += [high for line in lines for bounds in line.intervals or () if bounds for high in bounds]
    top, rows = vertical_axis(max(values), unit)
    return _Axis(rows, lambda value: rounded(100 - 100 * value / top), told)


def _logarithmic(lines: Sequence[_Line]) -> _Axis:
    """An axis of times on which each line is ten times the one below, or a part of that."""
    values = [value for line in lines for value in line.ys if value is not None]
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = low - max(0.05, (high - low) * 0.1), high + max(0.05, (high - low) * 0.1)

    def height(value: float) -> float:
        return rounded(100 - 100 * (math.log10(value) - low) / (high - low))

    rows = [Tick(height(value), figures.latency(value), "start") for value in powers(low, high)]
    return _Axis(rows, height, figures.latency)


def _placed(lines: Iterable[_Line], axis: _Axis, place: Callable[[float], float]) -> list[Curve]:
    curves = []
    for number, line in enumerate(lines, 1):
        dots = []
        follows = True
        for at, (x, y) in enumerate(zip(line.xs, line.ys, strict=True)):
            if y is not None:
                bounds = line.intervals[at] if line.intervals else None
                low, high = (axis.height(bounds[0]), axis.height(bounds[1])) if bounds else (None, None)
                dots.append(Dot(place(x), axis.height(y), f"{line.label}: {axis.told(y)}", low, high, follows))
            follows = y is not None
        curves.append(Curve(line.label, number, dots))
    return curves
