"""A reply as people have it: on one line or many, pasted from a log, a bounce or a terminal."""

from __future__ import annotations

import re
from typing import Final

from batchsend.errors import UsageError
from batchsend.patterns import late_pattern
from batchsend.smtp.replies import Reply

_LINES: Final = late_pattern(
    r"\r\n|\r|\n|\\r\\n|\\n| / (?!\d* ?(?:d|h|m|s|days?|hours?|hrs?|min(?:ute)?s?|sec(?:ond)?s?|months?)\b)"
)
_CODED: Final = late_pattern(r"([2-5]\d\d)(?:[ -](.*))?", re.ASCII | re.DOTALL)


def parse(text: str) -> Reply:
    r"""A reply from its text.

    Args:
        text: Code and text; lines are separated by line ends, by ``\n`` as two characters, or by `` / ``. Later lines
            may begin with the code again (RFC 5321 §4.2.1) or not.

    Raises:
        UsageError: It does not begin with a reply code.
    """
    first, *others = [line.strip() for line in _LINES.split(text.strip().strip("\"'"))]
    match = _CODED.fullmatch(first)
    if match is None:
        raise UsageError(
            f"no reply code in {first[:60]!r}", remedy='give the whole reply, such as "550 5.1.1 User unknown"'
        )
    code = match[1]
    lines = [match[2] or ""]
    for line in others:
        again = _CODED.fullmatch(line)
        lines.append((again[2] or "") if again is not None and again[1] == code else line)
    return Reply(int(code), "\n".join(line.strip() for line in lines).strip().encode())
