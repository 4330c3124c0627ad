"""From a stage and a reply to what it means: the table first, then the rules; each kind of reply is judged once."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.delivery.replies.enhanced import reason_of
from batchsend.delivery.replies.kinds import kind_of
from batchsend.delivery.replies.policy import ends_session_only, policy_of
from batchsend.delivery.replies.rules import Ruling, Said, plain, ruling
from batchsend.delivery.replies.table import WordingEntry, entry_for, provider_of, usual_stage
from batchsend.outcome import Outcome
from batchsend.smtp.replies import Reply
from batchsend.verdict import Reason, Scope, Verdict

if TYPE_CHECKING:
    from batchsend.outcome import Stage

_KINDS: Final = 4096
_ENHANCED: Final = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})", re.ASCII)
_QMAILS: Final = re.compile(r"#([245])\.(\d{1,3}\.\d{1,3})", re.ASCII)

_GOES_BACK: Final = frozenset({Verdict.SESSION_FULL, Verdict.CONNECTIONS, Verdict.PACE, Verdict.QUOTA, Verdict.RELAY})
_DEFERS: Final = frozenset({Verdict.GREYLISTED, Verdict.LATER})


class Judgement(NamedTuple):
    """What a reply means.

    Attributes:
        verdict: What it means.
        outcome: What the record gets, or None where it goes back: not an attempt, not an outcome.
        reason: Why, or None where nothing says so.
        scope: How far it reaches.
        rule: The rule or the table's entry that said so.
        provider: Whose wording it is, or None.
        entry: The table's entry, or None where a rule decided.
    """

    verdict: Verdict
    outcome: Outcome | None
    reason: Reason | None
    scope: Scope
    rule: str
    provider: str | None = None
    entry: WordingEntry | None = None


_ACCEPTED: Final = Judgement(Verdict.ACCEPTED, Outcome.ACCEPTED, None, Scope.RECIPIENT, "2yz")


def judge(stage: Stage, reply: Reply) -> Judgement:
    """What a reply means.

    Args:
        stage: Where in the dialogue it came.
        reply: The server's reply.
    """
    if reply.code < 400:
        return _ACCEPTED
    return _judge(stage, reply.code, kind_of(reply.raw))


def judge_said(stage: Stage | None, code: int, text: str) -> Judgement:
    """What a reply means of which a log, or a bounce, tells.

    Args:
        stage: Where in the dialogue it came; None where that is not said: where this wording is known from.
        code: The reply code.
        text: Its text with the enhanced code, lines separated by LF.
    """
    reply = Reply(code, text.encode("utf-8", "surrogatepass"))
    return judge(usual_stage(reply) if stage is None else stage, reply)


def judge_by_rules(stage: Stage, reply: Reply) -> Judgement:
    """As `judge`, without the table: what would be made of the wording if nobody had ever seen it."""
    kind = kind_of(reply.raw)
    words, enhanced = _split(reply.code, kind)
    return _judgement(reply.code, kind, enhanced, _ruled(stage, reply.code, words, enhanced), None)


@lru_cache(maxsize=_KINDS)
def _judge(stage: Stage, code: int, kind: tuple[str, ...]) -> Judgement:
    words, enhanced = _split(code, kind)
    entry = entry_for(stage, code, kind)
    if entry is not None:
        found = Ruling(entry.verdict, entry.reason, f"the table: {entry.provider}, line {entry.line}")
    else:
        found = _ruled(stage, code, words, enhanced)
    return _judgement(code, kind, enhanced, found, entry)


def _ruled(stage: Stage, code: int, words: tuple[str, ...], enhanced: str | None) -> Ruling:
    text = plain(words)
    detail = (enhanced or _qmails(code, text) or "").partition(".")[2]
    return ruling(Said(stage, code, detail, text))


def _split(code: int, kind: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The words without the enhanced code that each line may begin with (RFC 2034 §4), and that code.

    It is believed only if its class is the code's first digit.
    """
    if not kind or (match := _ENHANCED.fullmatch(kind[0])) is None:
        return kind, None
    words = tuple(word for word in kind if word != kind[0])
    return words, kind[0] if int(match[1]) == code // 100 else None


def _qmails(code: int, text: str) -> str | None:
    """The enhanced code as qmail and others write it, ``(#5.1.1)``."""
    match = _QMAILS.search(text)
    return match[0][1:] if match is not None and int(match[1]) == code // 100 else None


def _judgement(
    code: int, kind: tuple[str, ...], enhanced: str | None, found: Ruling, entry: WordingEntry | None
) -> Judgement:
    verdict = found.verdict
    reason = found.reason or reason_of(enhanced, for_good=code >= 500)
    return Judgement(
        verdict,
        _outcome(verdict, code, reason),
        reason,
        policy_of(verdict, code, reason).scope,
        found.rule,
        entry.provider if entry is not None else provider_of(" ".join(kind)),
        entry,
    )


def _outcome(verdict: Verdict, code: int, reason: Reason | None) -> Outcome | None:
    if verdict in _GOES_BACK or ends_session_only(verdict, code, reason):
        return None
    # A refusal for now is a deferral, whoever it is about.
    return Outcome.DEFERRED if verdict in _DEFERS or code < 500 else Outcome.REJECTED
