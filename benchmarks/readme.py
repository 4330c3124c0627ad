"""The README's figures: the part between two marks, made from the results and from nothing else."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks import scenarios as names
from benchmarks.process import ROOT
from benchmarks.table import bound
from benchmarks.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figures, Outcome

README = ROOT / "README.md"
BEGINNING = "<!-- figures: written by `python -m benchmarks` -->"
END = "<!-- end of the figures -->"

_NOTHING = "Nothing has been measured yet: `make bench` does, and writes its figures here."
_SHOWN = {"loopback": names.JOB, "distance-50": names.DEEP}
_MET = {True: "met", False: "missed", None: "not measured"}


def fill(text: str, figures: Figures) -> str:
    """The README's text with the figures between the marks.

    Raises:
        ValueError: The marks are not there.
    """
    before, beginning, rest = text.partition(BEGINNING)
    _, end, after = rest.partition(END)
    if not (beginning and end):
        raise ValueError(f"{README.name} has no place for the figures: {BEGINNING} … {END}")
    return f"{before}{BEGINNING}\n{section(figures)}\n{END}{after}"


def section(figures: Figures) -> str:
    """What stands between the marks."""
    if not figures.outcomes:
        return _NOTHING
    return "\n".join(_lines(figures))


def _lines(figures: Figures) -> Iterator[str]:
    yield "![Messages a second, by contestant](benchmarks/results.svg)"
    yield ""
    programs = ", ".join(f"{name} {version}" for name, version in figures.versions.items() if name != "batchsend")
    machine = f"{figures.machine['cores']} cores, Python {figures.machine['python']}"
    hot_path = "compiled" if figures.machine.get("compiled") else "not compiled"
    yield f"Measured on {figures.measured}: {machine}, batchsend {hot_path}; {programs}."
    for scenario, ours in _SHOWN.items():
        outcome = figures.outcomes.get(scenario)
        if outcome is not None and outcome.timing(ours) is not None:
            yield ""
            yield from _table(outcome, ours)
    yield ""
    yield "| target | | measured | |"
    yield "| --- | --- | --- | --- |"
    for target in TARGETS:
        measured = target.measure(figures)
        shown = "" if measured is None else f"{measured:.2f}"
        yield f"| {target.name} | {bound(target)} | {shown} | {_MET[target.met(figures)]} |"


def _table(outcome: Outcome, ours: str) -> Iterator[str]:
    octets = f", {outcome.octets:,} octets a message" if outcome.octets else ""
    yield f"| {outcome.title}; {names.plural(outcome.connections)}{octets} | in a run | messages/s | {ours} is |"
    yield "| --- | ---: | ---: | ---: |"
    first = outcome.timing(ours)
    for timing in sorted(outcome.timings, key=lambda timing: -timing.rate if timing.taken else 0):
        if not timing.taken:
            continue
        ratios = first.ratios(timing) if first is not None and timing is not first else []
        times = f"{_times(statistics.median(ratios))} as fast" if ratios else ""
        yield f"| {timing.name} | {timing.messages:,} | {timing.rate:,.0f} | {times} |"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"
