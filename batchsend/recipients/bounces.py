"""Which refusals say that there is nobody at an address: the one rule for results logs and for what comes back."""

from __future__ import annotations

import re
from typing import Any, Final

from batchsend.patterns import late_pattern

_MAILBOX_REASONS: Final = frozenset(
    {"unknown_mailbox", "mailbox_disabled", "mailbox_moved", "unknown_domain", "no_mail_domain", "bad_address"}
)
# Logs of older versions have these words, by the enhanced code alone, whatever the reply said.
_OLDER_REASONS: Final = frozenset(
    {"unknown mailbox", "mailbox disabled", "mailbox moved", "unknown domain", "domain takes no mail"}
)
_OLDER_WITHOUT_VERDICT: Final = (None, "address")
# RFC 3463 §3.2, RFC 7505 §5.1: bad mailbox, bad system, bad syntax, moved, null MX; §3.3: mailbox disabled.
_MAILBOX_CODES: Final = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"})
# With these words a relay speaks of itself or of the sender, whatever enhanced code it puts before them.
_NOT_ABOUT_THE_MAILBOX: Final = late_pattern(
    r"\b(?:daily|hourly|limit\w*|quota\w*|rates?|too many|exceed\w*|block\w*|spam\w*|polic(?:y|ies))\b", re.IGNORECASE
)
# With these it speaks of the sender even where its code says the opposite and no phrase is known that says so.
_ABOUT_THE_SENDER: Final = late_pattern(
    r"\b(?:reputation|credits?|thresholds?|allowance|sandbox|trial|free accounts?|maximum (?:number of )?recipients"
    r"|your (?:ip|host|plan|limits?|server|subscription))\b",
    re.IGNORECASE,
)
# Before RCPT no reply is about a recipient.
_STAGES: Final = (None, "rcpt", "data", "content")
_AFTER_RCPT: Final = ("data", "content")
# No filter says so of a message that it does not like.
_OF_NO_FILTER: Final = frozenset({"no_mail_domain", "unknown_domain", "mailbox_moved"})
# Who says so knows the account, whenever he says it: Yahoo looks it up after the content.
_NAMES_THE_ACCOUNT: Final = late_pattern(r"this user doesn't have a \S+ account", re.IGNORECASE)


def is_hard_bounce(fields: dict[str, Any], *, reported: bool = False, sure_of_stage: bool = True) -> bool:
    """Whether a refusal is a verdict about the mailbox, which holds for the next campaign as well.

    A full mailbox, a policy, a quota or a block says no such thing: those who were refused for the relay's or the
    sender's reasons are good recipients.

    What a report says at second hand is believed less than a reply to batchsend itself. A bounce that is called soft is
    not lost: the third one in a feedback log suppresses, while a results log counts nothing.

    Args:
        fields: An outcome line of a results log as a JSON object, or what a report says in the same fields.
        reported: Whether a report says it.
        sure_of_stage: Whether the report says at which command the refusal came, or from whom.
    """
    if fields.get("status") != "rejected" or fields.get("stage") not in _STAGES:
        return False
    reason = fields.get("reason")
    words = str(fields.get("reply") or "")
    detail = str(fields.get("enhanced") or "").partition(".")[2]
    doubted = reported and not _holds_at_second_hand(reason, fields.get("stage"), detail, words, sure_of_stage)
    if doubted or _ABOUT_THE_SENDER.search(words):
        return False
    if reason in _MAILBOX_REASONS:
        return True
    if _NOT_ABOUT_THE_MAILBOX.search(words):
        return False
    if reason in _OLDER_WITHOUT_VERDICT:
        return detail in _MAILBOX_CODES
    return reason in _OLDER_REASONS


def _holds_at_second_hand(reason: object, stage: object, detail: str, words: str, sure_of_stage: bool) -> bool:
    """Whether a report is clear enough: its enhanced code (without the class), words and stage do not contradict."""
    subject = detail.partition(".")[0]
    if reason == "mailbox_disabled":
        return False  # a mailbox that was closed may be opened again
    if reason == "bad_address":
        return subject == "1"  # or else the reporter did not understand a header
    if reason in _OF_NO_FILTER or subject == "1" or _NAMES_THE_ACCOUNT.search(words):
        return True
    # A server that took the recipient and refuses him after the content speaks for a filter; and where the code says
    # policy and the words say unknown, one of them is wrong.
    return sure_of_stage and stage not in _AFTER_RCPT and subject != "7"
