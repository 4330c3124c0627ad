"""Header fields for machines: ASCII words that stay as they are, and what some of them must say to be understood."""

from __future__ import annotations

import re

from batchsend.errors import RecordError
from batchsend.message.words import HARD_LINE, LINE, fold
from batchsend.patterns import late_pattern

ONE_CLICK = "List-Unsubscribe=One-Click"
"""The only value of List-Unsubscribe-Post (RFC 8058 §3.1)."""

# By name: what the value must be, and how an error says it.
_FORMS = {
    "auto-submitted": (
        late_pattern(r"(?:no|auto-generated|auto-replied|auto-notified)(?: *;.*)?", re.IGNORECASE),
        "'no', 'auto-generated', 'auto-replied' or 'auto-notified' (RFC 3834 §5, RFC 5436 §2.7.1)",
    ),
    "feedback-id": (
        late_pattern(r"[!-9;-~]*(?::[!-9;-~]*){0,2}:[!-9;-~]+|[!-9;-~]+"),
        "at most four parts without spaces, separated by ':', the last of which says who sends",
    ),
    "list-id": (
        late_pattern(r"(?:.* )?<[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)+>"),
        "a domain-like name in angle brackets, with words before it or not (RFC 2919 §2)",
    ),
    "list-unsubscribe-post": (late_pattern(re.escape(ONE_CLICK)), f"{ONE_CLICK!r} and nothing else (RFC 8058 §3.1)"),
    "precedence": (
        late_pattern(r"bulk|list|junk|first-class|special-delivery", re.IGNORECASE),
        "'bulk', 'list' or 'junk'",
    ),
}

NAMES = frozenset(
    {*_FORMS, "in-reply-to", "references", "importance", "priority", "x-priority", "x-auto-response-suppress"}
    | {"content-language"}
)
"""The fields, in lower case. They are not text: an encoded-word in them would be taken for itself (RFC 2047 §5)."""


def tokens(name: str, text: str) -> str:
    """A field of ASCII words, none of which is changed, whatever its length.

    Args:
        name: The field's name.
        text: Its value; `words.clean` has seen it.

    Raises:
        RecordError: It is not ASCII, a word is too long for any line, or it is not what this field can say.
    """
    if not text.isascii():
        raise RecordError(f"header {name} may hold ASCII only")
    if form := _FORMS.get(name.lower()):
        pattern, expected = form
        if not pattern.fullmatch(text):
            raise RecordError(f"header {name} is {text[:80]!r}, and must be {expected}")
    if len(name) + 2 + len(text) <= LINE:
        return f"{name}: {text}\r\n"
    chunks = [f" {word}" for word in text.split()]
    if max(map(len, chunks)) + len(name) + 1 > HARD_LINE:
        raise RecordError(f"header {name} holds a word that is too long for a line of {HARD_LINE} characters")
    return fold(name, chunks)
