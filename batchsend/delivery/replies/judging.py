"""From a stage and a reply to what it means: the table first, then the rules; each kind of reply is judged once."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from batchsend.delivery.replies.enhanced import reason_of
from batchsend.delivery.replies.kinds import kind_of
from batchsend.delivery.replies.policy import BEFORE_MAIL, GOES_BACK, IDLE, Effects, effects_of, ends_session_only
from batchsend.delivery.replies.rules import Ruling, Said, plain, ruling
from batchsend.delivery.replies.table import WordingEntry, entry_for, provider_of, usual_stage
from batchsend.outcome import Outcome, Stage
from batchsend.patterns import late_pattern
from batchsend.smtp.closing_replies import ABOUT_IDLENESS
from batchsend.smtp.replies import Reply
from batchsend.verdict import Reason, Scope, Verdict

_KINDS: Final = 4096
_ENHANCED: Final = late_pattern(r"([245])\.(\d{1,3}\.\d{1,3})", re.ASCII)
_QMAILS: Final = late_pattern(r"#([245])\.(\d{1,3}\.\d{1,3})", re.ASCII)

_DEFERS: Final = frozenset({Verdict.GREYLISTED, Verdict.LATER})


class Judgement(NamedTuple):
    """What a reply means.

    Attributes:
        verdict: What it means.
        outcome: What the record gets, or None where it goes back: not an attempt, not an outcome.
        reason: Why, or None where nothing says so.
        effects: What is done.
        rule: The rule or the table's entry that said so.
        provider: Whose wording it is, or None.
        entry: The table's entry, or None where a rule decided.
    """

    verdict: Verdict
    outcome: Outcome | None
    reason: Reason | None
    effects: Effects
    rule: str
    provider: str | None = None
    entry: WordingEntry | None = None

    @property
    def scope(self) -> Scope:
        """How far it reaches."""
        return self.effects.scope


_ACCEPTED: Final = Judgement(
    Verdict.ACCEPTED, Outcome.ACCEPTED, None, effects_of(Stage.CONTENT, Verdict.ACCEPTED, 250, None), "2yz"
)


def judge(stage: Stage, reply: Reply) -> Judgement:
    """What a reply means.

    Args:
        stage: Where in the dialogue it came.
        reply: The server's reply.
    """
    if reply.code < 400:
        return _ACCEPTED
    return _judge(stage, reply.code, kind_of(reply.raw), idle=_is_idle(stage, reply))


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
    found = _ruled(stage, reply.code, words, enhanced, idle=_is_idle(stage, reply))
    return _judgement(stage, reply.code, kind, enhanced, found)


def _is_idle(stage: Stage, reply: Reply) -> bool:
    """Whether a session takes this for a closing reply, and not for the answer to MAIL: it asks the same."""
    return stage is Stage.MAIL and ABOUT_IDLENESS.search(reply.raw) is not None


@lru_cache(maxsize=_KINDS)
def _judge(stage: Stage, code: int, kind: tuple[str, ...], *, idle: bool) -> Judgement:
    words, enhanced = _split(code, kind)
    entry = entry_for(stage, code, kind)
    if entry is not None:
        effects = IDLE if idle and entry.verdict not in GOES_BACK else None
        found = Ruling(entry.verdict, entry.reason, f"the table: {entry.provider}, line {entry.line}", effects)
    else:
        found = _ruled(stage, code, words, enhanced, idle=idle)
    return _judgement(stage, code, kind, enhanced, found, entry=entry)


def _ruled(stage: Stage, code: int, words: tuple[str, ...], enhanced: str | None, *, idle: bool) -> Ruling:
    text = plain(words)
    detail = (enhanced or _qmails(code, text) or "").partition(".")[2]
    found = ruling(Said(stage, code, detail, text))
    if not idle or found.verdict in GOES_BACK or ends_session_only(found.verdict, code, found.reason):
        return found
    return Ruling(Verdict.LATER, Reason.NETWORK, "words of a closing reply, before MAIL was read", IDLE)


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
    stage: Stage,
    code: int,
    kind: tuple[str, ...],
    enhanced: str | None,
    found: Ruling,
    *,
    entry: WordingEntry | None = None,
) -> Judgement:
    verdict = found.verdict
    reason = found.reason or reason_of(enhanced, for_good=code >= 500)
    return Judgement(
        verdict,
        None if found.effects is not None else _outcome(stage, verdict, code, reason),
        reason,
        found.effects or effects_of(stage, verdict, code, reason),
        found.rule,
        entry.provider if entry is not None else provider_of(" ".join(kind)),
        entry,
    )


def _outcome(stage: Stage, verdict: Verdict, code: int, reason: Reason | None) -> Outcome | None:
    if stage in BEFORE_MAIL or verdict in GOES_BACK or ends_session_only(verdict, code, reason):
        return None
    # A refusal for now is a deferral, whoever it is about.
    return Outcome.DEFERRED if verdict in _DEFERS or code < 500 else Outcome.REJECTED
