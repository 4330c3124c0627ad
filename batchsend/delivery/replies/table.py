"""The table of wordings: what relays and providers say, and what it means.

The table is ``table.tsv`` beside this file. To add a wording, add a line: who says it; the reply as it came, its lines
separated by `` / ``, with addresses of example.com and 192.0.2.x; the stage; the verdict; the reason; what it says of
time, or ``-``; and where it was found.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.delivery.replies.family import WordFamily
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
    return tuple(_entry(number, line) for number, line in _lines())


@cache
def _lines() -> tuple[tuple[int, str], ...]:
    """The lines of the table that are wordings, with their numbers."""
    # Not by `importlib.resources`: at the first refusal of a run nothing else has loaded it, and it is slow to load.
    text = Path(__file__).with_name("table.tsv").read_text(encoding="utf-8")
    return tuple(
        (number, line) for number, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")
    )


def _entry(number: int, line: str) -> WordingEntry:
    cells = line.split("\t")
    if len(cells) != _COLUMNS:
        raise ValueError(f"table.tsv, line {number}: {len(cells)} columns instead of {_COLUMNS}")
    provider, reply, stage, verdict, reason, time, source = cells
    return WordingEntry(
        number,
        provider,
        reply,
        Stage(stage),
        Verdict(verdict),
        Reason(reason),
        None if time == "-" else time,
        source,
    )


@cache
def _with_code(code: int) -> dict[str, list[tuple[int, str]]]:
    """The lines whose reply has this code, by the names of their stages."""
    found: dict[str, list[tuple[int, str]]] = {}
    for number, line in _lines():
        _, reply, stage, _ = line.split("\t", 3)
        if reply.startswith(str(code)):
            found.setdefault(stage, []).append((number, line))
    return found


@cache
def _kinds(stage: str, code: int) -> dict[tuple[str, ...], WordingEntry]:
    """The wordings of one code at one stage: of a whole table most are never heard in a run."""
    known = [_entry(number, line) for number, line in _with_code(code).get(stage, ())]
    return {kind_of(parse(entry.reply).raw): entry for entry in known}


def entry_for(stage: Stage, code: int, kind: tuple[str, ...]) -> WordingEntry | None:
    """The entry of a wording seen at this stage, or None."""
    return _kinds(stage.value, code).get(kind)


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
    kind = kind_of(reply.raw)
    known = [entry for stage in _with_code(reply.code) if (entry := _kinds(stage, reply.code).get(kind)) is not None]
    if known:
        return min(known).stage  # the first of the table
    said = next((stage for mark, stage in _IN_REPLY_TO if mark.search(reply.raw)), None)
    return said or (Stage.AUTH if reply.code in _LOGIN_CODES else Stage.RCPT)


# What says whose wording it is, where the table does not have it.
_SIGNATURES: Final = (
    (WordFamily(r"gsmtp|gcdp|http:google\.com"), "Gmail"),
    (WordFamily(r"outlook\.com|\(as\d+\)|office\.com|storedrv|aka\.ms"), "Microsoft 365"),
    (WordFamily(r"yahoo|\[tss?\d\d\]"), "Yahoo"),
    (WordFamily(r"qq\.com"), "Tencent"),
    (WordFamily(r"163\.com|\b(?:mi|dt|hl|rp):[a-z]{3}\b"), "NetEase"),
    (WordFamily(r"icloud\.com|\.me\.com|support\.apple\.com"), "iCloud"),
    (WordFamily(r"\bib\d{3}\b|secureserver"), "GoDaddy"),
    (WordFamily(r"\bofr\w*|orange\.fr"), "Orange"),
    (WordFamily(r"mimecast"), "Mimecast"),
    (WordFamily(r"spamhaus"), "Spamhaus"),
    (WordFamily(r"mailgun"), "Mailgun"),
    (WordFamily(r"sendgrid"), "SendGrid"),
    (WordFamily(r"zoho"), "Zoho"),
)


def provider_of(text: str) -> str | None:
    """Whose wording a kind of reply is, by the marks that its author leaves in it.

    Args:
        text: The kind's words (see `kinds`).
    """
    return next((provider for mark, provider in _SIGNATURES if mark.search(text)), None)
