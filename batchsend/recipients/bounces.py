"""Which outcomes in a results log say that there is nobody at an address."""

from __future__ import annotations

import re
from typing import Any, Final

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
_NOT_ABOUT_THE_MAILBOX: Final = re.compile(
    r"\b(?:daily|hourly|limit\w*|quota\w*|rates?|too many|exceed\w*|block\w*|spam\w*|polic(?:y|ies))\b", re.IGNORECASE
)
# Before RCPT no reply is about a recipient.
_STAGES: Final = (None, "rcpt", "data", "content")


def is_hard_bounce(fields: dict[str, Any]) -> bool:
    """Whether an outcome line is a verdict about the mailbox, which holds for the next campaign as well.

    A full mailbox, a policy, a quota or a block says no such thing: those who were refused for the relay's or the
    sender's reasons are good recipients.

    Args:
        fields: The line as a JSON object.
    """
    if fields.get("status") != "rejected" or fields.get("stage") not in _STAGES:
        return False
    reason = fields.get("reason")
    if reason in _MAILBOX_REASONS:
        return True
    if _NOT_ABOUT_THE_MAILBOX.search(str(fields.get("reply") or "")):
        return False
    if reason in _OLDER_WITHOUT_VERDICT:
        return str(fields.get("enhanced") or "").partition(".")[2] in _MAILBOX_CODES
    return reason in _OLDER_REASONS
