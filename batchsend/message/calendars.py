"""Calendars that ask for something, such as invitations: mail readers act on them as an alternative of the message."""

from __future__ import annotations

import re

from batchsend.message.encoding import encode_text
from batchsend.patterns import late_pattern

# RFC 5546 §1.4, without PUBLISH, which asks for nothing; the first property of a calendar's own decides.
_METHOD = late_pattern(
    r"^METHOD:(REQUEST|REPLY|ADD|CANCEL|REFRESH|COUNTER|DECLINECOUNTER)[ \t]*$", re.IGNORECASE | re.MULTILINE
)


def request(content: bytes) -> tuple[str, str] | None:
    """Look into a calendar file.

    Args:
        content: The file's octets (RFC 5545).

    Returns:
        The method of an iTIP message (RFC 5546) in capitals, and its text; None if it is no such message, or not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    # What stands behind the first component could be a component's own text.
    head, component, _ = text.replace("\r\n", "\n").partition("\nBEGIN:")
    method = _METHOD.search(head) if component else None
    return (method[1].upper(), text) if method else None


def calendar_part(method: str, text: str, delimiter: str) -> list[bytes]:
    """An invitation as a part: headers and text, in pieces. RFC 6047 §2.4 wants the method among the parameters.

    Args:
        method: The calendar's method.
        text: The calendar.
        delimiter: As for `encode_text`.
    """
    return [
        f"Content-Type: text/calendar; charset=utf-8; method={method}\r\n".encode("ascii"),
        *encode_text(text, delimiter, "calendar"),
    ]
