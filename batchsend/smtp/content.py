"""Content on the wire: line ends and transparency (RFC 5321 §2.3.8, §4.5.2)."""

from __future__ import annotations

import re
from typing import Final

END_OF_DATA: Final = b".\r\n"

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


def canonical(content: bytes) -> bytes:
    """The content with every line ended by CRLF, the last one too.

    A bare CR or LF may not be sent (RFC 5321 §2.3.8), and servers disagree about what it means: that is how one message
    is made to look like two. Content that is right already is returned as it is.
    """
    lines = content.count(b"\r\n")
    if content.count(b"\n") != lines or content.count(b"\r") != lines:
        content = _LINE_END.sub(b"\r\n", content)
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def dot_stuffed(content: bytes) -> bytes:
    """Canonical content as it follows DATA: a dot before each line that begins with one, and the end of data."""
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content + END_OF_DATA
