"""What a check has found: how bad it is, what, where, and how to fix it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The campaign cannot be sent as it is, or none of its messages would arrive."""

    WARNING = "warning"
    """It can be sent; some messages will not be, or receivers will hold it against them."""

    NOTE = "note"
    """Worth knowing; nothing is wrong, or it could not be found out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: A name that stays the same, for programs.
        severity: How bad it is.
        what: What was found; one line, with whatever the record, the server or the DNS said in it, not yet escaped.
        where: File and lines, key of the campaign file, server, or name in the DNS.
        remedy: How to fix it, or None where there is nothing to fix.
        count: How many records it was found in; 1 for what is not about records.
        lines: The first of their lines in the recipients file, from 1.
    """

    kind: str
    severity: Severity
    what: str
    where: str
    remedy: str | None = None
    count: int = 1
    lines: tuple[int, ...] = ()


@dataclass(slots=True)
class Section:
    """What one part of the check came to.

    Attributes:
        title: What was looked at.
        facts: What was seen, by name: what a reader wants to know although nothing is wrong with it.
        findings: What was found, in the order of looking.
    """

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def error(self, kind: str, what: str, *, where: str, remedy: str | None) -> None:
        """Add what keeps the campaign from being sent."""
        self.findings.append(Finding(kind=kind, severity=Severity.ERROR, what=what, where=where, remedy=remedy))

    def warning(self, kind: str, what: str, *, where: str, remedy: str) -> None:
        """Add what receivers will hold against the messages."""
        self.findings.append(Finding(kind=kind, severity=Severity.WARNING, what=what, where=where, remedy=remedy))

    def note(self, kind: str, what: str, *, where: str, remedy: str | None = None) -> None:
        """Add what is worth knowing."""
        self.findings.append(Finding(kind=kind, severity=Severity.NOTE, what=what, where=where, remedy=remedy))

    def add(self, kind: str, severity: Severity, what: str, *, where: str, remedy: str) -> None:
        """Add what is more or less bad as the case may be."""
        self.findings.append(Finding(kind=kind, severity=severity, what=what, where=where, remedy=remedy))


@dataclass(slots=True)
class Report:
    """All that a check has found.

    Attributes:
        campaign: The campaign file, as it was given.
        sections: What was looked at, in order.
    """

    campaign: str
    sections: list[Section] = field(default_factory=list)

    def findings(self) -> Iterator[Finding]:
        """Every finding, in order."""
        for section in self.sections:
            yield from section.findings

    def count(self, severity: Severity) -> int:
        """How many findings are as bad as that."""
        return sum(finding.severity is severity for finding in self.findings())

    @property
    def exit_code(self) -> int:
        """2 where there is an error, 1 where there is a warning, otherwise 0; notes do not count."""
        if self.count(Severity.ERROR):
            return 2
        return 1 if self.count(Severity.WARNING) else 0

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return {
            "campaign": self.campaign,
            "exit_code": self.exit_code,
            **{f"{severity.value}s": self.count(severity) for severity in Severity},
            "sections": [asdict(section) for section in self.sections],
        }
