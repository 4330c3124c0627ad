"""What came back of a campaign, from its feedback log: what was delivered, who complained, why messages bounced."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from batchsend.campaign.model import feedback_path
from batchsend.outcome import Outcome
from batchsend.recipients.feedback import feedback_lines
from batchsend.report.causes import cause_of, in_a_program
from batchsend.report.kinds import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.report.causes import Cause

TOLERATED: Final = 0.001
"""The share of complaints that Gmail and Yahoo ask senders to stay below."""

REFUSED: Final = 0.003
"""The share of complaints from which on they refuse or sort out what a sender sends."""


def said_of_share(share: float) -> str:
    """What a share of complaints at a domain means to the sender."""
    if share >= REFUSED:
        return "above 0.3 %: Gmail and Yahoo refuse such senders; stop, and ask who wants this mail"
    return "above 0.1 %, which Gmail and Yahoo ask senders to stay below" if share >= TOLERATED else "tolerated"


@dataclass(slots=True)
class Returns:
    """What the feedback log of a run says; what is tied to no record counts as untied only.

    Attributes:
        bounced: The records that bounced.
        complained: The records whose recipients complained, by domain.
        unsubscribed: The records whose recipients want no more.
        hard: How many of the bounced ones did so for good.
        delayed: How many were delayed, whatever became of them later.
        untied: Lines that are about no record that is known.
        causes: Why records bounced, the most frequent first.
    """

    bounced: set[int] = field(default_factory=set)
    complained: dict[str, set[int]] = field(default_factory=dict)
    unsubscribed: set[int] = field(default_factory=set)
    hard: int = 0
    delayed: int = 0
    untied: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)

    @property
    def complaints(self) -> int:
        """How many records' recipients complained."""
        return sum(map(len, self.complained.values()))

    def note(self, line: dict[str, Any]) -> None:
        """Take a line of the log. A record that bounces again counts once, by what it was at first."""
        record, kind = line["record"], line["kind"]
        if not isinstance(record, int):
            self.untied += 1
        elif kind == "bounced" and record not in self.bounced:
            self.bounced.add(record)
            self.hard += line.get("hard") is True
            self.causes[_cause(line)] += 1
        elif kind == "complained" and line.get("reason") is None:
            domain = str(line.get("recipient") or "").rpartition("@")[2].lower()
            self.complained.setdefault(domain, set()).add(record)
        elif kind == "unsubscribed":
            self.unsubscribed.add(record)
        elif kind == "delayed":
            self.delayed += 1

    def to_json(self, delivered: int, accepted: dict[str, int]) -> dict[str, Any]:
        """As one JSON object.

        Args:
            delivered: Records that were accepted and have not bounced.
            accepted: How many were accepted, by domain.
        """
        return {
            "delivered": delivered,
            "bounced": len(self.bounced),
            "hard": self.hard,
            "complained": self.complaints,
            "unsubscribed": len(self.unsubscribed),
            "delayed": self.delayed,
            "untied": self.untied,
            "causes": [
                {"cause": cause.name, "advice": cause.advice, "records": count}
                for cause, count in self.causes.most_common()
            ],
            "complaints": [
                {"domain": domain, "complained": count, "accepted": of} for domain, count, of in self.shares(accepted)
            ],
        }

    def shares(self, accepted: dict[str, int]) -> list[tuple[str, int, int]]:
        """Domains, complaints and accepted records of each, those with the highest share of complaints first."""
        found = [(domain, len(records), accepted.get(domain, 0)) for domain, records in self.complained.items()]
        return sorted(found, key=lambda one: (-one[1] / max(one[2], 1), one[0]))


def read_returns(results: Path, *, of_a_program: bool = False) -> Returns | None:
    """What came back; None where there is no feedback log.

    Args:
        results: The results log.
        of_a_program: Whether that is a `Sender`'s, so that advice is for who writes the program.

    Raises:
        UsageError: It cannot be read.
    """
    log = feedback_path(results)
    if not log.exists():
        return None
    returns = Returns()
    for line in feedback_lines(log):
        returns.note(line)
    if of_a_program:
        returns.causes = Counter({in_a_program(cause): count for cause, count in returns.causes.items()})
    return returns


def _cause(line: dict[str, Any]) -> Cause:
    """Why a message bounced: what its reply means, as for those that were refused at once."""
    code, said = line.get("code"), line.get("said")
    return cause_of(
        Kind(
            outcome=Outcome.REJECTED,
            code=code if isinstance(code, int) else 550,
            enhanced=line.get("enhanced"),
            reason=line.get("reason"),
            text=str(said or ""),
            stage="rcpt",
        )
    )
