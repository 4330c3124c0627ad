"""What a report's words mean: the reply in them, judged as delivery judges replies."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from batchsend.delivery.replies import judge
from batchsend.feedback.wordings import IN_REPORTS, SUMMARIES
from batchsend.outcome import Stage
from batchsend.recipients.bounces import is_hard_bounce
from batchsend.smtp.replies import Reply
from batchsend.verdict import Reason

MOST_SAID: Final = 2000
"""Characters of a report's words that are looked at, and kept."""

_ENHANCED: Final = r"[245]\.\d{1,3}\.\d{1,3}(?![\d.]*\d)"
_BOTH: Final = re.compile(
    rf"(?<![\w./-])(?P<code>[45]\d\d)(?:[ -]|: ?|, ERROR_CODE ?:){{1,2}}[#(<'\"]{{0,2}}(?P<enhanced>{_ENHANCED})"
)
_CODE: Final = re.compile(
    r"(?:^|[:;<>'\"(\[,]|said|with|>>>|<<<|SMTP error)[ \t]*#?(?:smtp;[ \t]*)?(?P<code>[45]\d\d)"
    r"(?=[ \t:,;\"'-]|$)(?!-\d)",
    re.MULTILINE | re.IGNORECASE,
)
_NAMED: Final = re.compile(r"(?:Response|ERROR|SMTP|status)[ _-]?code[ :=]{1,3}(?P<code>[45]\d\d)\b", re.IGNORECASE)
_ALONE: Final = re.compile(rf"(?<![\w.:/\[-])#?(?P<enhanced>{_ENHANCED})(?![\w.])")
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
_BEGINS_REPLY: Final = re.compile(r"([245]\d\d)(?:[ -]|$)")
_CONTINUED: Final = re.compile(r"\n[ \t]*[45]\d\d[ -](?:[245]\.\d{1,3}\.\d{1,3}[ \t])?")
_STAGES: Final = (
    (re.compile(r"after (?:the )?end of data|final DATA|end of DATA|in reply to end", re.IGNORECASE), Stage.CONTENT),
    (re.compile(r"DATA command|to DATA\b|^[ \t]*(?:>>> )?DATA[ \t]*$", re.IGNORECASE | re.MULTILINE), Stage.CONTENT),
    (re.compile(r"MAIL FROM|to MAIL\b", re.IGNORECASE), Stage.MAIL),
    (
        re.compile(r"initial connection|while connected|my name was rejected|refused to talk", re.IGNORECASE),
        Stage.GREETING,
    ),
    (re.compile(r"\b(?:EHLO|HELO) command|after (?:EHLO|HELO)", re.IGNORECASE), Stage.EHLO),
)
_RCPT: Final = re.compile(r"RCPT\b|does not like recipient", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s+")


class Meaning(NamedTuple):
    """What a report's words come to.

    Attributes:
        code: The reply code in them, or None.
        enhanced: The enhanced status code, or None.
        reason: Why, or None.
        hard: Whether it is a verdict about the mailbox.
    """

    code: int | None
    enhanced: str | None
    reason: Reason | None
    hard: bool


def meaning(
    said: str, status: str | None = None, *, for_good: bool = True, around: str = "", free_form: bool = False
) -> Meaning:
    """What words of a report mean.

    Args:
        said: The words: a server's reply, or a program's own sentence, with what stands around it.
        status: The enhanced status code that the report has in a field of its own, or None.
        for_good: Whether nobody tries any more.
        around: Where else the report may say at which command the reply came; in a free form it may say so of others'.
        free_form: Whether they stand in a report that has no fields (RFC 3464).
    """
    said = SUMMARIES.sub("", said[:MOST_SAID])
    code, enhanced, words = _reply(said)
    enhanced = _believed(code, enhanced, _status(status))
    judged = code
    if judged is None:
        judged = 450 if (enhanced or "5")[0] == "4" or not for_good else 550
    stage = _stage(said) or (None if free_form else _stage(around))
    # A gateway that quotes a reply without saying to what may have had it after the content, from a filter. Its own
    # words are about the recipient, and so is an enhanced code.
    sure = not free_form or stage is not None or code is None or enhanced is not None or _says_rcpt(said, around)
    reason, hard = _judged(stage or Stage.RCPT, judged, enhanced, words, sure_of_stage=sure)
    return Meaning(code, enhanced, reason, hard and for_good)


def _status(status: str | None) -> str | None:
    match = _STATUS.search(status or "")
    return None if match is None else match[0]


def _believed(code: int | None, said: str | None, status: str | None) -> str | None:
    """The enhanced code: the server's own where it says more than the field, which may be the reporter's stand-in."""
    if said is None or status is None:
        return said or status
    if status.endswith(".0.0") or said[0] == status[0]:
        return status if said.endswith(".0.0") and not status.endswith(".0.0") else said
    return said if code is not None and said[0] == str(code)[0] else status


def _reply(said: str) -> tuple[int | None, str | None, str]:
    """Code, enhanced code and words of the reply in a text."""
    both = [match for match in _BOTH.finditer(said) if match["code"][0] == match["enhanced"][0]]
    if both:
        # Of several the first is the server's, unless it is a summary of the one that follows in brackets.
        first = both[0]
        return int(first["code"]), first["enhanced"], _own_words(said[first.end() :], first["code"])
    code = _NAMED.search(said) or _CODE.search(said)
    alone = _ALONE.search(said)
    number = None if code is None else int(code["code"])
    enhanced = None if alone is None else alone["enhanced"]
    if code is not None and enhanced is not None and enhanced[0] != code["code"][0]:
        enhanced = None
    return number, enhanced, said if code is None else _own_words(said[code.end() :], code["code"])


def _own_words(text: str, code: str) -> str:
    """The words of a reply: up to the next paragraph, or the next line of a transcript that is not its own."""
    lines = text.split("\n")
    for number, line in enumerate(lines[1:], 1):
        bare = line.strip()
        again = _BEGINS_REPLY.match(bare)
        if not bare or bare.startswith((">>>", "<<<", "---")) or (again is not None and again[1] != code):
            return "\n".join(lines[:number])
    return text


def _stage(said: str) -> Stage | None:
    return next((stage for pattern, stage in _STAGES if pattern.search(said)), None)


def _says_rcpt(said: str, around: str) -> bool:
    return _RCPT.search(said) is not None or _RCPT.search(around) is not None


def _judged(
    stage: Stage, code: int, enhanced: str | None, words: str, *, sure_of_stage: bool
) -> tuple[Reason | None, bool]:
    words = _SPACE.sub(" ", _CONTINUED.sub(" ", words)).strip()
    reason: Reason | None = None
    for pattern, known in IN_REPORTS:
        if pattern.search(words):
            reason = known
            break
    if reason is None:
        text = f"{enhanced} {words}" if enhanced is not None else words
        reason = judge(stage, Reply(code, text.encode("utf-8", "replace"))).reason
    fields = {"status": "rejected" if code >= 500 else "deferred", "stage": stage.value, "code": code, "reason": reason}
    line = {**fields, "enhanced": enhanced, "reply": words}
    return reason, is_hard_bounce(line, reported=True, sure_of_stage=sure_of_stage)
