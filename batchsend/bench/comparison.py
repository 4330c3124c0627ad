"""Two benches of the same kind beside each other: what is surely faster in one, and what may be the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchsend import figures
from batchsend.bench.findings import per_second
from batchsend.bench.grid import GridPoint
from batchsend.bench.interval import Interval
from batchsend.bench.load import LATENCIES, name_of
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KINDS = ("ladder", "load")


def read(path: Path) -> dict[str, Any]:
    """What ``batchsend bench --json`` has written.

    Raises:
        UsageError: The file cannot be read, or is something else.
    """
    try:
        told = json.loads(path.read_bytes(), parse_constant=_refuse)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("kind") not in _KINDS:
        raise UsageError(f"{path} is not what `batchsend bench --json` writes")
    return told


def _refuse(constant: str) -> None:
    """NaN and Infinity are not JSON, and no bench writes them."""
    raise ValueError(constant)


def compare(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Lines that say how the second differs from the first.

    Args:
        first: The one compared with.
        second: The other.

    Raises:
        UsageError: They are not of the same kind, or lack what every bench tells.
    """
    if first["kind"] != second["kind"]:
        raise UsageError(
            "these two cannot be compared: one measured settings, the other a given rate or time",
            remedy="run `batchsend bench --json` in the same way twice",
        )
    compared = _ladders if first["kind"] == "ladder" else _loads
    try:
        return [*_conditions(first, second), *compared(first, second)]
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError):
        raise UsageError("one of the files is not complete: it lacks what `batchsend bench --json` writes") from None


def _conditions(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """What was not the same in the two, beside what was measured."""
    for one, other in zip(_conditions_of(first), _conditions_of(second), strict=True):
        if one != other:
            yield f"not the same: {one} in the first, {other} in the second"
    for told, which in ((first, "first"), (second, "second")):
        if told.get("stopped") is not None:
            yield f"the {which} ended before its time: {told['stopped']}"


def _conditions_of(told: dict[str, Any]) -> Iterator[str]:
    # The embedded server has another port each time.
    yield f"the server {str(told['server']).rpartition(':')[0] or 'none'}"
    yield f"messages of {told['octets']:,} octets"
    if told["kind"] == "load":
        yield str(GridPoint(told["connections"], told["depth"]))
        yield (
            "no given rate"
            if told["wanted_rate"] is None
            else f"{per_second(told['wanted_rate'])} messages due a second"
        )
        yield figures.duration(told["duration"])


def _ladders(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    before, after = (
        {GridPoint(point["connections"], point["depth"]): point for point in told["grid"]} for told in (first, second)
    )
    yield "connections  depth     first/s    second/s  difference"
    for place in sorted({*before, *after}):
        one, other = before.get(place), after.get(place)
        shown = [per_second(point["rate"]) if point is not None else "-" for point in (one, other)]
        said = _difference(one, other) if one is not None and other is not None else "measured in one of them only"
        yield f"{place.connections:>11}  {place.depth:>5}  {shown[0]:>10}  {shown[1]:>10}  {said}"


def _difference(point: dict[str, Any], other: dict[str, Any]) -> str:
    if not point["rate"]:
        return "nothing to compare with"
    times = other["rate"] / point["rate"]
    said = f"{abs(times - 1):.0%} {'faster' if times >= 1 else 'slower'}"
    before, after = _interval(point), _interval(other)
    if before is None or after is None:
        return f"{said}; measured too few times to be sure"
    if before.overlaps(after):
        return "none that is sure"
    if not before.low:
        return f"{said} (at least {after.low / before.high - 1:+.0%})" if before.high else said
    return f"{said} (between {after.low / before.high - 1:+.0%} and {after.high / before.low - 1:+.0%})"


def _interval(point: dict[str, Any]) -> Interval | None:
    low, high = point["low"], point["high"]
    return Interval(float(low), float(high)) if low is not None and high is not None else None


def _loads(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    yield "                  first      second"
    yield f"messages/s  {per_second(_rate(first)):>11} {per_second(_rate(second)):>11}"
    for percent in LATENCIES:
        name = name_of(percent)
        shown = [figures.milliseconds(float(told[name])) if told[name] is not None else "-" for told in (first, second)]
        yield f"{name.replace('_', '.'):<10}  {shown[0]:>11} {shown[1]:>11}"
    for told, which in ((first, "first"), (second, "second")):
        if not told["kept_up"]:
            yield f"the {which} did not keep up with {per_second(told['wanted_rate'])} messages a second"


def _rate(told: dict[str, Any]) -> float:
    seconds = sum(float(one["seconds"]) for one in told["slices"])
    return sum(float(one["accepted"]) for one in told["slices"]) / seconds if seconds else 0.0
