"""Findings about records, those that are alike gathered into one: a million bad records are one with a count."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchsend.check.finding import Finding, Section, Severity
from batchsend.errors import without_values

if TYPE_CHECKING:
    from batchsend.recipients import BadRecord, Record

_LINES: Final = 10
_GROUPS: Final = 200
_LISTED: Final = re.compile(r"…(?:, …)++")


@dataclass(slots=True)
class _Group:
    """Findings that are alike.

    Attributes:
        severity: How bad they are.
        what: What the first of them says.
        alike: What all of them say.
        remedy: How to fix them.
        count: How many there are.
        lines: The lines of the first of them.
        varied: They do not all say the same.
        last: The record that was counted last.
    """

    severity: Severity
    what: str
    alike: str
    remedy: str
    count: int = 0
    lines: list[int] = field(default_factory=list)
    varied: bool = False
    last: int = 0


class Gathering:
    """Takes findings about records and puts those that differ only in what they quote into one.

    Whatever the number of records, at most 200 groups with ten line numbers each are kept; what fits into none of them
    is counted by its kind.

    Args:
        file: What to call the recipients file.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._groups: dict[tuple[str, str], _Group] = {}

    def warn(self, kind: str, what: str, row: Record | BadRecord, remedy: str) -> None:
        """Take one finding that is a warning; the arguments are those of `add`."""
        self.add(kind, Severity.WARNING, what, row, remedy=remedy)

    def add(self, kind: str, severity: Severity, what: str, row: Record | BadRecord, *, remedy: str) -> None:
        """Take one finding.

        Args:
            kind: Its name.
            severity: How bad it is.
            what: What was found; values that it quotes do not count when it is compared with others.
            row: The record.
            remedy: How to fix it.
        """
        # However many values are listed, the finding is one.
        alike = _LISTED.sub("…", without_values(what, "…"))
        group = self._groups.get((kind, alike))
        if group is None:
            if len(self._groups) >= _GROUPS:
                alike = "and others of this kind"
            group = self._groups.setdefault((kind, alike), _Group(severity, what, alike, remedy))
        if group.last == row.number:  # one record is one, however often it has the fault
            return
        group.last = row.number
        group.count += 1
        group.varied = group.varied or what != group.what
        if len(group.lines) < _LINES:
            group.lines.append(row.line)

    def conclude(self, section: Section) -> None:
        """Put what was gathered into a section: the worst first, and what concerns more records before the rest."""
        order = list(Severity)
        groups = sorted(self._groups.items(), key=lambda item: (order.index(item[1].severity), -item[1].count))
        section.findings += [
            Finding(
                kind=kind,
                severity=group.severity,
                what=group.alike if group.varied else group.what,
                where=self._where(group),
                remedy=group.remedy,
                count=group.count,
                lines=tuple(group.lines),
            )
            for (kind, _), group in groups
        ]

    def _where(self, group: _Group) -> str:
        lines = ", ".join(map(str, group.lines))
        more = f" and {group.count - len(group.lines):,} more" if group.count > len(group.lines) else ""
        return f"{self._file}, line{'s' if group.count > 1 else ''} {lines}{more}"
