"""Two benches of the same kind beside each other: what is surely faster in one, and what may be the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchsend import figures
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
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("kind") not in _KINDS:
        raise UsageError(f"{path} is not what `batchsend bench --json` writes")
    return told


def compare(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
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
    try:
        yield from _ladders(first, second) if first["kind"] == "ladder" else _loads(first, second)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UsageError("one of the files is not complete: it lacks what `batchsend bench --json` writes") from None


def _ladders(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    others = {(point["connections"], point["depth"]): point for point in second["grid"]}
    yield "connections  depth     first/s    second/s  difference"
    for point in first["grid"]:
        place = point["connections"], point["depth"]
        other = others.get(place)
        if other is None:
            continue
        said = _difference(point, other)
        yield f"{place[0]:>11}  {place[1]:>5}  {point['rate']:>10,.0f}  {other['rate']:>10,.0f}  {said}"


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
    return f"{said} (between {after.low / before.high - 1:+.0%} and {after.high / before.low - 1:+.0%})"


def _interval(point: dict[str, Any]) -> Interval | None:
    low, high = point["low"], point["high"]
    return Interval(float(low), float(high)) if low is not None and high is not None else None


def _loads(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    yield "                  first      second"
    yield f"messages/s  {_rate(first):>11,.0f} {_rate(second):>11,.0f}"
    for percent in LATENCIES:
        name = name_of(percent)
        shown = [figures.milliseconds(float(told[name])) for told in (first, second)]
        yield f"{name.replace('_', '.'):<10}  {shown[0]:>11} {shown[1]:>11}"
    for told, which in ((first, "first"), (second, "second")):
        if not told["kept_up"]:
            yield f"the {which} did not keep up with {told['wanted_rate']:g} messages a second"


def _rate(told: dict[str, Any]) -> float:
    seconds = sum(float(one["seconds"]) for one in told["slices"])
    return sum(float(one["accepted"]) for one in told["slices"]) / seconds if seconds else 0.0
