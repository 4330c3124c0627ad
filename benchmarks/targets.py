"""The targets, and whether what was measured meets them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import scenarios as names

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures import Figures

    Measure = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Target:
    """One promise about speed or size.

    Attributes:
        name: What is promised.
        measure: What was measured; None where that was not.
        bound: The least it may be, or the most.
        at_least: Which of the two.
        unit: What is measured; empty for a ratio.
    """

    name: str
    measure: Measure
    bound: float
    at_least: bool = True
    unit: str = ""

    def met(self, figures: Figures) -> bool | None:
        """Whether it is kept; None where nothing was measured."""
        measured = self.measure(figures)
        if measured is None:
            return None
        return measured >= self.bound if self.at_least else measured <= self.bound

    def to_json(self, figures: Figures) -> dict[str, object]:
        """The target and what became of it."""
        measured = self.measure(figures)
        return {
            "name": self.name,
            "at_least" if self.at_least else "at_most": self.bound,
            "unit": self.unit,
            "measured": None if measured is None else round(measured, 3),
            "met": self.met(figures),
        }


def _times(scenario: str, ours: str, theirs: str, what: Callable[[list[float]], float] = statistics.median) -> Measure:
    """One rate by another: of the ratios of all rounds the median, or what else is asked of them."""

    def measure(figures: Figures) -> float | None:
        one, other = figures.timing(scenario, ours), figures.timing(scenario, theirs)
        ratios = one.ratios(other) if one and other else []
        return what(ratios) if ratios else None

    return measure


def _of(scenario: str, ours: str, per_second: float) -> Measure:
    """The median rate by a rate that is known."""

    def measure(figures: Figures) -> float | None:
        timing = figures.timing(scenario, ours)
        return timing.rate / per_second if timing else None

    return measure


def _constancy(figures: Figures) -> float | None:
    """The rate with a million records by the median rate with ten thousand."""
    few, many = figures.timing("constant", names.FEW), figures.timing("constant", names.MANY)
    return many.rate / few.rate if few and many else None


def _peak(figures: Figures) -> float | None:
    many = figures.timing("constant", names.MANY)
    return max(many.peak_mb) if many else None


def _beside(figures: Figures) -> float | None:
    """The most that one of the processes beside the run's own holds."""
    signed = figures.timing("signed", names.RSA)
    return max(signed.beside_mb, default=None) if signed else None


def _growth(figures: Figures) -> float | None:
    few, many = figures.timing("constant", names.FEW), figures.timing("constant", names.MANY)
    return max(many.peak_mb) - statistics.median(few.peak_mb) if few and many else None


def _start(figures: Figures) -> float | None:
    one, other = figures.timing("start", names.ONE), figures.timing("start", names.IMPORTS)
    if one is None or other is None:
        return None
    return statistics.median(ours / theirs for ours, theirs in zip(one.taken, other.taken, strict=False))


_AWAY = "50 ms, 5 connections, Postfix"

TARGETS = (
    Target("whole job against smtp-source", _times("loopback", names.JOB, names.SMTP_SOURCE), 1.15),
    Target("whole job against smtp-source, worst round", _times("loopback", names.JOB, names.SMTP_SOURCE, min), 1.0),
    Target("whole job against aiosmtplib, ready-made bytes", _times("loopback", names.JOB, names.AIOSMTPLIB_BYTES), 4),
    Target("whole job against aiohttp's REST posts", _times("loopback", names.JOB, names.AIOHTTP), 2.5),
    Target("whole job against Nodemailer's pool", _times("loopback", names.JOB, names.NODEMAILER), 15),
    Target("whole job against aiosmtplib with EmailMessage", _times("loopback", names.JOB, names.AIOSMTPLIB_EMAIL), 30),
    Target("whole job against smtplib, kept open", _times("loopback", names.JOB, names.SMTPLIB_KEPT), 30),
    Target("ready-made content against smtp-source", _times("loopback", names.READY_MADE, names.SMTP_SOURCE), 2.0),
    Target("statement, 57 substitutions, against smtp-source", _times("statement", names.JOB, names.SMTP_SOURCE), 0.7),
    Target("signed by RSA-2048: processes against one", _times("signed", names.RSA, names.RSA_ONE), 1.8),
    Target("signed by RSA-2048: memory of a process beside", _beside, 40, at_least=False, unit="MB"),
    Target("TLS against plain", _times("tls", names.TLS, names.JOB), 0.75),
    Target(f"{_AWAY}: depth 32 against no distance", _times("distance-50", names.DEEP, names.DEEP_NEAR), 0.95),
    Target(f"{_AWAY}: depth 32 against Nodemailer's pool", _times("distance-50", names.DEEP, names.NODEMAILER), 15),
    Target(f"{_AWAY}: PIPELINING against 5 / 0.05 s", _of("distance-50", names.JOB, 5 / 0.05), 0.9),
    Target(
        f"{_AWAY}, TLS and AUTH: rotation at 100 against never",
        _times("rotation", names.JOB, names.NEVER_ROTATING),
        0.95,
    ),
    Target("journal and log against none", _times("journal", names.LOGGED, names.UNLOGGED), 0.95),
    Target("1,000,000 records against 10,000: rate, at least", _constancy, 0.95),
    Target("1,000,000 records against 10,000: rate, at most", _constancy, 1.05, at_least=False),
    Target("1,000,000 records: peak memory", _peak, 80, at_least=False, unit="MB"),
    Target("1,000,000 records against 10,000: more memory", _growth, 5, at_least=False, unit="MB"),
    Target("one record: time against that of the imports alone", _start, 1.5, at_least=False),
    Target("200 callers against aiosmtplib", _times("service", names.SERVICE, names.SERVICE_AIOSMTPLIB), 5),
    Target(
        "200 callers against aiosmtplib, both never rotating",
        _times("service", names.NEVER_ROTATING, names.SERVICE_AIOSMTPLIB),
        5,
    ),
    Target("Django, 1 ms: send_mass_mail", _times("django-1", names.DJANGO, names.DJANGO_SMTP), 10),
    Target("Django, 20 ms: send_mass_mail", _times("django-20", names.DJANGO, names.DJANGO_SMTP), 10),
)


def account(figures: Figures) -> list[dict[str, object]]:
    """Every target and what became of it, as it is kept."""
    return [target.to_json(figures) for target in TARGETS]
