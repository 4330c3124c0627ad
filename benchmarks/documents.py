"""What the documents say of the figures: parts between two marks, made from the results and from nothing else."""

from __future__ import annotations

import re
import statistics
from typing import TYPE_CHECKING

from benchmarks import scenarios as names
from benchmarks.process import ROOT
from benchmarks.table import bound, disturbance
from benchmarks.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figures, Outcome
    from benchmarks.targets import Target

RESULTS = ROOT / "benchmarks" / "results.json"
LOADED = RESULTS.with_name("loaded.json")
"""The figures of a run beside which one core was busy with something else."""

README = ROOT / "README.md"
PERFORMANCE = ROOT / "batchsend" / "manual" / "performance.md"

_MARKS = re.compile(r"(<!-- generated: (headline|figures) -->\n).*?(?=<!-- /generated -->)", re.DOTALL)
_NOTHING = "Nothing has been measured yet: `make bench` does, and writes its figures here."
_SHOWN = {"loopback": names.JOB, "distance-50": names.DEEP}
_NEAR, _FAR = _SHOWN
_MET = {True: "met", False: "missed", None: "not measured"}


def fill(text: str, figures: Figures, loaded: Figures) -> str:
    """A document with what it says of the figures, wherever it has a place for that.

    Args:
        text: The document.
        figures: Those of a quiet machine.
        loaded: Those of one with a core that was busy meanwhile.

    Raises:
        ValueError: It has none.
    """
    made = {"headline": headline(figures), "figures": section(figures, loaded)}
    filled, places = _MARKS.subn(lambda match: f"{match[1]}{made[match[2]]}", text)
    if not places:
        raise ValueError("no place for the figures: <!-- generated: figures --> … <!-- /generated -->")
    return filled


def headline(figures: Figures) -> str:
    """The figures in two sentences, for the README."""
    return "\n".join(_headline(figures) if {_NEAR, _FAR} <= figures.outcomes.keys() else [_NOTHING]) + "\n"


def section(figures: Figures, loaded: Figures) -> str:
    """All of the figures: those of a quiet machine, and what the targets came to beside a busy core."""
    return "\n".join(_lines(figures, loaded) if figures.outcomes else [_NOTHING]) + "\n"


def _headline(figures: Figures) -> Iterator[str]:
    near, far = figures.outcomes[_NEAR], figures.outcomes[_FAR]
    rivals = ((names.NODEMAILER, "Nodemailer's pool"), (names.AIOSMTPLIB_EMAIL, "aiosmtplib with EmailMessage"))
    hot_path = "compiled" if figures.machine.get("compiled") else "not compiled"
    yield f"On {figures.machine['cores']} cores, {hot_path}, the whole job to a server on the same machine runs at"
    yield f"**{_rate(near, names.JOB)} messages a second**: {_compared(near, names.JOB, rivals)}."
    yield f"To a real Postfix 50 ms away, over {names.plural(far.connections)}, it is"
    yield f"**{_rate(far, names.DEEP)}**: {_compared(far, names.DEEP, rivals[:1])}."


def _rate(outcome: Outcome, name: str) -> str:
    timing = outcome.timing(name)
    return "not measured" if timing is None or not timing.taken else f"{timing.rate:,.0f}"


def _compared(outcome: Outcome, name: str, rivals: tuple[tuple[str, str], ...]) -> str:
    ours = outcome.timing(name)
    pairs = ((called, outcome.timing(rival)) for rival, called in rivals)
    return ", ".join(
        f"{_times(statistics.median(ours.ratios(timing)))} as many as {called}"
        for called, timing in pairs
        if ours is not None and timing is not None and timing.taken
    )


def _lines(figures: Figures, loaded: Figures) -> Iterator[str]:
    yield "![Messages a second, by contestant](../../benchmarks/results.svg)"
    yield ""
    programs = ", ".join(f"{name} {version}" for name, version in figures.versions.items() if name != "batchsend")
    machine = f"{figures.machine['cores']} cores, Python {figures.machine['python']}"
    hot_path = "compiled" if figures.machine.get("compiled") else "not compiled"
    yield f"Measured on {figures.measured}: {machine}, batchsend {hot_path}; {programs}."
    if said := disturbance(figures.outcomes.values()):
        yield f"{said[0].upper()}{said[1:]}."
    for scenario, ours in _SHOWN.items():
        outcome = figures.outcomes.get(scenario)
        if outcome is not None and outcome.timing(ours) is not None:
            yield ""
            yield from _table(outcome, ours)
    yield ""
    when = f", on {loaded.measured}" if loaded.outcomes else ""
    yield f"| target | | measured | | with one core busy{when} | |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for target in TARGETS:
        cells = (cell for one in (figures, loaded) for cell in _met(target, one))
        yield f"| {target.name} | {bound(target)} | {' | '.join(cells)} |"


def _met(target: Target, figures: Figures) -> tuple[str, str]:
    measured = target.measure(figures)
    return "" if measured is None else f"{measured:.2f}", _MET[target.met(figures)]


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
