"""Prints the report of ``batchsend check``: wrapped to the terminal's width, in colour where that is wanted."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Final, Self

import click

from batchsend import figures
from batchsend.check import Report, Severity
from batchsend.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from batchsend.check import Finding, Section

_NARROWEST: Final = 40
_WIDEST: Final = 120
_COLOURS: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_INTERVAL: Final = 0.2


def print_report(report: Report) -> None:
    """Print a report on standard output."""
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    plain = bool(os.environ.get("NO_COLOR"))
    for line in _lines(report, width):
        click.echo(line, color=False if plain else None)


def _lines(report: Report, width: int) -> Iterator[str]:
    for section in report.sections:
        yield from _wrapped(section.title, width, "", bold=True)
        yield from _facts(section, width)
        for finding in section.findings:
            yield from _finding(finding, width)
        yield ""
    counts = ", ".join(figures.count(report.count(severity), severity.value) for severity in Severity)
    yield from _wrapped(f"{report.campaign}: {counts}", width, "", bold=True)


def _facts(section: Section, width: int) -> Iterator[str]:
    longest = max(map(len, section.facts), default=0)
    for name, value in section.facts.items():
        yield from _wrapped(value, width, f"  {name:<{longest}}  ")


def _finding(finding: Finding, width: int) -> Iterator[str]:
    lead = f"  {finding.severity.value:<7}  "
    records = f" ({finding.count:,} records)" if finding.count > 1 else ""
    yield from _wrapped(f"{finding.what}{records}", width, lead, colour=_COLOURS[finding.severity])
    yield from _wrapped(finding.where, width, f"{'':11}at: ")
    if finding.remedy is not None:
        yield from _wrapped(finding.remedy, width, f"{'':11}do: ")


def _wrapped(text: str, width: int, lead: str, *, colour: str | None = None, bold: bool = False) -> Iterator[str]:
    """A text in lines under its own beginning; the lead takes the colour where there is one."""
    room = max(width - len(lead), _NARROWEST // 2)
    lines = textwrap.wrap(printable(text), room, break_on_hyphens=False) or [""]
    yield click.style(lead, fg=colour, bold=colour is not None) + click.style(lines[0], bold=bold or None)
    for line in lines[1:]:
        yield " " * len(lead) + click.style(line, bold=bold or None)


class Watch:
    """Says on a terminal how far the records have come; says nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = time.monotonic() + _INTERVAL

    def tick(self, records: int, share: float | None) -> None:
        """So many records are done, and, where that is known, this share of the file."""
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + _INTERVAL
            part = "" if share is None else f" ({share:.0%})"
            click.echo(f"\r\x1b[K{figures.count(records, 'record')}{part}", err=True, nl=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
