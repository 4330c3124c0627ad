"""The figures as a table on the terminal."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.calibration import TOLERANCE
from benchmarks.scenarios import plural
from benchmarks.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.figures import Figures, Outcome
    from benchmarks.targets import Target

_WORDS = {True: "met", False: "MISSED", None: "not measured"}


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """A scenario: medians, spread, and the first contestant's rate by each other's, round by round."""
    octets = f", {outcome.octets:,} octets a message" if outcome.octets else ""
    yield f"{outcome.name}: {outcome.title}; {plural(outcome.connections)}{octets}"
    yield f"  {'':<46} {'median':>11}  {'least to most':>19}  {'ratio':>7}  {'least to most':>16}  {'peak':>7}"
    first = outcome.timings[0] if outcome.timings else None
    for timing in outcome.timings:
        if not timing.taken:
            continue
        values = timing.rates if timing.messages else timing.taken
        unit, digits = ("/s", 0) if timing.messages else (" s", 3)
        spread = f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"
        ratios = first.ratios(timing) if first is not None and timing.messages and first.messages else []
        ratio = f"{statistics.median(ratios):>7.2f}  {f'{min(ratios):.2f} to {max(ratios):.2f}':>16}" if ratios else ""
        yield (
            f"  {timing.name:<46} {statistics.median(values):>9,.{digits}f}{unit}  {spread:>19}  {ratio:>25}"
            f"  {max(timing.peak_mb):>4.0f} MB"
        )
    for name, why in outcome.missing.items():
        yield f"  {name:<46} left out: {why}"
    if said := disturbance([outcome]):
        repeated = f"; {outcome.repeated} repeated" if outcome.repeated else ""
        yield f"  {said}{repeated}"


def disturbance(outcomes: Iterable[Outcome]) -> str:
    """How far the machine was disturbed beside the runs that count; empty where nobody looked."""
    slower = [one for outcome in outcomes for timing in outcome.timings for one in timing.slower if one is not None]
    if not slower:
        return ""
    many = sum(one > TOLERANCE for one in slower)
    return (
        f"the machine was more than {TOLERANCE:.0%} slower than at its fastest beside {many:,} of {len(slower):,} runs,"
        f" {max(slower):.0%} at most"
    )


def target_lines(figures: Figures) -> Iterator[str]:
    """The targets: what was promised, what was measured, and whether that is met."""
    yield f"{'target':<76} {'bound':>10}  {'measured':>10}"
    for target in TARGETS:
        measured = target.measure(figures)
        shown = "-" if measured is None else f"{measured:.2f}"
        yield f"{target.name:<76} {bound(target):>10}  {shown:>10}  {_WORDS[target.met(figures)]}"


def bound(target: Target) -> str:
    """What a target demands."""
    return f"{'≥' if target.at_least else '≤'} {target.bound:g}{f' {target.unit}' if target.unit else ''}"
