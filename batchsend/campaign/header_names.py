"""Which header fields a campaign may set itself: one rule for the campaign file, for objects and for whole messages."""

from __future__ import annotations

from typing import Final

from batchsend.patterns import late_pattern

_NAME: Final = late_pattern(r"[!-9;-~]{1,76}")  # RFC 5322 §3.6.8, on a line of at most 78 characters

_ONE_RECIPIENT: Final = "a message goes to its record's recipient alone"
_MADE_HERE: Final = "batchsend makes this header itself"
_NOT_SET: Final = {
    "from": "set it by the key from of [message]",
    "to": "set it by the key to of [message]",
    "reply-to": "set it by the key reply_to of [message]",
    "subject": "set it by the key subject of [message]",
    "return-path": "set it by the key return_path of [message]",
    "cc": _ONE_RECIPIENT,
    "bcc": _ONE_RECIPIENT,
    "date": _MADE_HERE,
    "message-id": _MADE_HERE,
    "mime-version": _MADE_HERE,
    "received": "servers add this header, not the sender",
}


def refusal(name: str, seen: dict[str, str]) -> tuple[str, str] | None:
    """Why a header may not be set, and what to do instead; None where it may.

    Args:
        name: Its name.
        seen: The names before it, by themselves in lower case; this one is added where it may be set.
    """
    lower = name.lower()
    if not _NAME.fullmatch(name):
        return "is not a header name", "expected 1 to 76 ASCII characters without spaces and colons (RFC 5322 §3.6.8)"
    # Content-Language is about the message (RFC 3282 §2); every other one is about how a part is written.
    if lower.startswith("content-") and lower != "content-language":
        return "cannot be set", _MADE_HERE
    if lower in _NOT_SET:
        return "cannot be set", _NOT_SET[lower]
    if lower in seen:
        return f"is there twice: {seen[lower]} is the same header", "leave one of them out"
    seen[lower] = name
    return None
