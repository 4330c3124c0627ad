"""Results logs as a run writes them, line by line: what the report's tests are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.report.analysis import analyse
from batchsend.results.line import end_line, outcome_line, run_line
from batchsend.results.run import RecipientsFile, Run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchsend.report.report import CampaignReport

STARTED = 1_795_330_800.0
ID = "20261122T070000.abcdef"


_LIST = RecipientsFile(path="/campaigns/spring/recipients.csv", size=12, sha256="ab" * 32)


def begin(
    *,
    after: float = 0.0,
    id_: str = ID,
    campaign: str = "/campaigns/spring/campaign.toml",
    recipients: RecipientsFile = _LIST,
) -> bytes:
    """The line that a run begins with, so many seconds after the first run."""
    server = "smtp.example.com:587"
    return run_line(
        Run(id=id_, started=STARTED + after, campaign=campaign, recipients=recipients, version="0.1.0", server=server)
    )


def end(
    *, after: float = 60.0, id_: str = ID, stopped: str | None = None, learned: Mapping[str, float] | None = None
) -> bytes:
    """The line that a run ends with."""
    return end_line(id_, ended=STARTED + after, stopped=stopped, learned=learned or {})


def outcome(record: int, status: Outcome = Outcome.ACCEPTED, *, after: float = 1.0, **fields: Any) -> bytes:
    """An outcome's line: that of a message that was accepted, except for ``fields``."""
    told: dict[str, Any] = {
        "recipient": f"r{record}@example.com",
        "stage": Stage.CONTENT,
        "code": 250,
        "enhanced": "2.0.0",
        "reply": f"2.0.0 Ok: queued as 4F{record:08X}",
        "attempt": 1,
        "session": 1,
        "message_id": f"<{record}@example.com>",
        "elapsed": 0.01,
    }
    return outcome_line(DeliveryResult(record=record, status=status, time=STARTED + after, **{**told, **fields}))


def rejected(record: int, **fields: Any) -> bytes:
    """The line of a record whose mailbox is unknown, except for ``fields``."""
    told = {
        "stage": Stage.RCPT,
        "code": 550,
        "enhanced": "5.1.1",
        "reply": f"5.1.1 <r{record}@example.com>: User unknown",
        "reason": "unknown mailbox",
    }
    return outcome(record, Outcome.REJECTED, **{**told, **fields})


def deferred(record: int, **fields: Any) -> bytes:
    """The line of a record that was greylisted, except for ``fields``."""
    told = {
        "stage": Stage.RCPT,
        "code": 450,
        "enhanced": "4.2.0",
        "reply": f"4.2.0 <r{record}@example.com>: Greylisted for {60 + record} s",
        "reason": "mailbox",
    }
    return outcome(record, Outcome.DEFERRED, **{**told, **fields})


def invalid(record: int, reason: str, **fields: Any) -> bytes:
    """The line of a record that was never offered."""
    untold = dict.fromkeys(("stage", "code", "enhanced", "reply", "session", "message_id", "elapsed"))
    return outcome(record, Outcome.INVALID, **{**untold, "reason": reason, "attempt": 0, "line": record + 1, **fields})


def in_doubt(record: int, **fields: Any) -> bytes:
    """The line of a record whose connection was lost before the reply."""
    told = {"code": None, "enhanced": None, "reply": None, "reason": "the server closed the connection"}
    return outcome(record, Outcome.IN_DOUBT, **{**told, **fields})


def write(folder: Path, *lines: bytes) -> Path:
    """Keep lines as a results log."""
    path = folder / "results.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def report_of(folder: Path, *lines: bytes) -> CampaignReport:
    """What the log of these lines comes to."""
    return analyse(write(folder, *lines))


def everything() -> list[bytes]:
    """A log with all there is: every outcome, two runs, retries, sessions, several domains, what was learned."""
    lines = [begin()]
    lines += [
        outcome(record, after=record / 10, session=1 + record // 20, elapsed=0.005 + record / 2000)
        for record in range(1, 121)
    ]
    lines += [
        rejected(record, after=13.0, recipient=f"r{record}@gone.example.net", session=8) for record in range(121, 131)
    ]
    lines += [deferred(record, after=14.0, session=8) for record in range(131, 137)]
    lines += [outcome(record, after=17.0, attempt=2, session=9) for record in range(131, 135)]
    lines += [in_doubt(137, after=18.0, session=9), invalid(138, "recipient 'x y' is not an address", recipient="x y")]
    lines.append(invalid(139, "on a suppression list", recipient="no@example.org"))
    lines[-1] = lines[-1].replace(b'"invalid"', b'"suppressed"')
    lines.append(end(after=20.0, stopped="stopped by SIGINT", learned={"max_messages": 20}))
    lines.append(begin(after=86_400.0))
    lines += [deferred(record, after=86_401.0, attempt=2, session=1) for record in (135, 136)]
    lines.append(end(after=86_405.0, learned={"max_messages": 20, "rate": 40.5}))
    return lines
