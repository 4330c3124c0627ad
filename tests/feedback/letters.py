"""Messages that came back, written for the tests, and a results log that they are about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.results.line import outcome_line, run_line
from batchsend.results.run import RecipientsFile, Run

if TYPE_CHECKING:
    from pathlib import Path

RUN = "20261127T080000.abcdef012345"
SENT = ("anna@example.org", "bert@example.org", "carl@example.net", "dora@example.net", "dora@example.net")


def dsn(
    recipient: str = "anna@example.org",
    *,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "550 5.1.1 <anna@example.org>: User unknown",
    to: str = "bounce@mail.example.com",
    message_id: str = "<other@elsewhere.example>",
    envelope_id: str = "",
    date: str = "Fri, 27 Nov 2026 09:00:00 +0100",
) -> bytes:
    """A delivery status notification (RFC 3464)."""
    envelope = f"Original-Envelope-Id: {envelope_id}\n" if envelope_id else ""
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example.org>
To: {to}
Date: {date}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_1"

--=_1
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.org.

--=_1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
{envelope}
Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}

--=_1
Content-Type: text/rfc822-headers

From: news@mail.example.com
To: {recipient}
Message-ID: {message_id}
Subject: News

--=_1--
""".encode()


def letter(text: str, *, subject: str = "News", sender: str = "Anna <anna@example.org>", more: str = "") -> bytes:
    """A message of one part of plain text."""
    return (
        f"From: {sender}\nTo: news@mail.example.com\nSubject: {subject}\n{more}"
        f"Content-Type: text/plain; charset=utf-8\n\n{text}\n"
    ).encode()


def complaint(feedback_type: str = "abuse", recipient: str = "carl@example.net") -> bytes:
    """An abuse report (RFC 5965)."""
    original = f"Original-Rcpt-To: <{recipient}>\n" if recipient else ""
    return f"""\
From: fbl@provider.example
To: abuse@mail.example.com
Date: Fri, 27 Nov 2026 10:00:00 +0000
Subject: FW: News
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=x

--x
Content-Type: text/plain

This is an email abuse report.

--x
Content-Type: message/feedback-report

Feedback-Type: {feedback_type}
User-Agent: Example/1.0
Version: 1
{original}
--x
Content-Type: message/rfc822

From: news@mail.example.com
To: hidden@provider.example
Message-ID: <{RUN}.3@mail.example.com>
Subject: News

Hello
--x--
""".encode()


def results_log(folder: Path, recipients: tuple[str, ...] = SENT) -> Path:
    """A results log in which everybody was accepted; the last record is of an address that comes twice."""
    path = folder / "results.jsonl"
    run = Run(id=RUN, started=0.0, campaign="/c.toml", recipients=RecipientsFile(path="/r.csv"), version="1")
    lines = [run_line(run)]
    for record, recipient in enumerate(recipients, 1):
        result = DeliveryResult(
            record=record,
            recipient=recipient,
            status=Outcome.ACCEPTED,
            stage=Stage.CONTENT,
            code=250,
            attempt=1,
            session=1,
            message_id=f"<{RUN}.{record}@mail.example.com>",
        )
        lines.append(outcome_line(result))
    path.write_bytes(b"".join(lines))
    return path


def lines_of(path: Path) -> list[dict[str, object]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
