"""The table of wordings: what relays and providers say, and what it means.

The table is ``table.tsv`` beside this file. To add a wording, add a line: who says it; the reply as it came, its lines
separated by `` / ``, with addresses of example.com and 192.0.2.x; the stage; the verdict; the reason; what it says of
time, or ``-``; and where it was found.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.delivery.replies.kinds import kind_of
from batchsend.delivery.replies.parsing import parse
from batchsend.outcome import Stage
from batchsend.patterns import late_pattern
from batchsend.verdict import Reason, Verdict

if TYPE_CHECKING:
    from batchsend.smtp.replies import Reply

_COLUMNS: Final = 7


class WordingEntry(NamedTuple):
    """One line of the table.

    Attributes:
        line: Its number in the file, from 1.
        provider: Who says it.
        reply: The reply as it came.
        stage: Where it was seen.
        verdict: What it means.
        reason: Why.
        time: What it says of time, or None.
        source: Where it was found.
    """

    line: int
    provider: str
    reply: str
    stage: Stage
    verdict: Verdict
    reason: Reason
    time: str | None
    source: str


@cache
def entries() -> tuple[WordingEntry, ...]:
    """The table, read when it is asked for.

    Raises:
        ValueError: A line of the table is not one.
    """
    text = files(__package__).joinpath("table.tsv").read_text(encoding="utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != _COLUMNS:
            raise ValueError(f"table.tsv, line {number}: {len(cells)} columns instead of {_COLUMNS}")
        provider, reply, stage, verdict, reason, time, source = cells
        found.append(
            WordingEntry(
                number,
                provider,
                reply,
                Stage(stage),
                Verdict(verdict),
                Reason(reason),
                None if time == "-" else time,
                source,
            )
        )
    return tuple(found)


@cache
def _kinds() -> dict[tuple[int, tuple[str, ...]], tuple[WordingEntry, ...]]:
    known: dict[tuple[int, tuple[str, ...]], tuple[WordingEntry, ...]] = {}
    for entry in entries():
        reply = parse(entry.reply)
        key = reply.code, kind_of(reply.raw)
        known[key] = (*known.get(key, ()), entry)
    return known


def entry_for(stage: Stage, code: int, kind: tuple[str, ...]) -> WordingEntry | None:
    """The entry of a wording seen at this stage, or None."""
    return next((entry for entry in _kinds().get((code, kind), ()) if entry.stage is stage), None)


# How Postfix ends the reply that it quotes in a bounce or a log.
_IN_REPLY_TO: Final = (
    (late_pattern(rb"in reply to end of DATA", re.IGNORECASE), Stage.CONTENT),
    (late_pattern(rb"in reply to MAIL FROM", re.IGNORECASE), Stage.MAIL),
    (late_pattern(rb"in reply to RCPT TO", re.IGNORECASE), Stage.RCPT),
    (late_pattern(rb"in reply to DATA", re.IGNORECASE), Stage.DATA),
)
_LOGIN_CODES: Final = (534, 535, 538)


def usual_stage(reply: Reply) -> Stage:
    """The stage that a reply most likely belongs to, where nobody says which.

    That is where the table has seen the wording; else where Postfix says ``(in reply to …)``; else AUTH for the codes
    that belong to nothing else (RFC 4954 §6), and RCPT, where most refusals are.
    """
    entry = next(iter(_kinds().get((reply.code, kind_of(reply.raw)), ())), None)
    if entry is not None:
        return entry.stage
    said = next((stage for mark, stage in _IN_REPLY_TO if mark.search(reply.raw)), None)
    return said or (Stage.AUTH if reply.code in _LOGIN_CODES else Stage.RCPT)


# What says whose wording it is, where the table does not have it.
_SIGNATURES: Final = (
    (late_pattern(r"gsmtp|gcdp|http:google\.com", re.IGNORECASE), "Gmail"),
    (late_pattern(r"outlook\.com|\(as\d+\)|office\.com|storedrv|aka\.ms", re.IGNORECASE), "Microsoft 365"),
    (late_pattern(r"yahoo|\[TSS?\d\d\]", re.IGNORECASE), "Yahoo"),
    (late_pattern(r"qq\.com", re.IGNORECASE), "Tencent"),
    (late_pattern(r"163\.com|\b(?:mi|dt|hl|rp):[a-z]{3}\b"), "NetEase"),
    (late_pattern(r"icloud\.com|\.me\.com|support\.apple\.com", re.IGNORECASE), "iCloud"),
    (late_pattern(r"\bib\d{3}\b|secureserver"), "GoDaddy"),
    (late_pattern(r"\bofr\w*|orange\.fr"), "Orange"),
    (late_pattern(r"mimecast", re.IGNORECASE), "Mimecast"),
    (late_pattern(r"spamhaus", re.IGNORECASE), "Spamhaus"),
    (late_pattern(r"mailgun", re.IGNORECASE), "Mailgun"),
    (late_pattern(r"sendgrid", re.IGNORECASE), "SendGrid"),
    (late_pattern(r"zoho", re.IGNORECASE), "Zoho"),
)


def provider_of(text: str) -> str | None:
    """Whose wording a kind of reply is, by the marks that its author leaves in it.

    Args:
        text: The kind's words (see `kinds`).
    """
    return next((provider for mark, provider in _SIGNATURES if mark.search(text)), None)
