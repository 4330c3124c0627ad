"""Cuts ids, numbers and addresses out of replies, so that the same refusal of two messages has the same wording."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

from batchsend.errors import without_values
from batchsend.patterns import late_pattern

ID: Final = "#"
"""What stands for a number, a queue id, a UUID, an IP address, a time."""

ADDRESS: Final = "…@…"
"""What stands for a mail address or a Message-ID."""

QUOTED: Final = "…"
"""What stands for a piece of a record."""

LONGEST: Final = 240
"""Characters of a wording."""

_READ: Final = 4 * LONGEST
_ENDS: Final = ".,;:)]>'\""

# Names of protocols, formats and algorithms that look like ids and are none.
_NAMES: Final = "ipv[46]|[78]bit(?:mime)?|(?:smtp)?utf-?8|base64|sha-?(?:1|256|512)|md5|ed25519|x509|tlsv?1"
_CODE: Final = r"[245]\.\d{1,3}\.\d{1,3}"  # RFC 3463 §2
_WITH_DIGIT: Final = r"(?:[^\W\d]|-)*+\d[\w-]*+"

# In a word. The lookbehinds let each part of it be looked at once, and possessive repeats never again: time is linear.
_PIECES: Final = late_pattern(
    r"(?<![^<>()\[\]\",;:=])(?P<address>[^<>()\[\]\",;:=@]++@(?:\[[^\]]*+\]|[\w-]++(?:\.[\w-]++)*+))"
    r"|(?<!\w)(?P<id>id=)[^,;()]++"
    rf"|(?<![\w.])(?P<code>{_CODE})(?!\w|\.\d)"
    rf"|(?<![\w-])(?P<name>{_NAMES})(?![\w-])"
    r"|(?<![\w:])(?=[a-f:]*+\d)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,}+"
    # A time, a version or a longer id goes on behind such a sign: 12:30:05, 1.2.3, abc-1/def-2.
    rf"|(?<![\w-]){_WITH_DIGIT}(?:[.:/+=~!]{_WITH_DIGIT})*+",
    re.IGNORECASE,
)
_REPEATED: Final = late_pattern(rf"{ID}(?:[.:/+=~!_-]?{ID})+")
_TELLING: Final = late_pattern(r"\d{1,2}|U\+[0-9A-F]{4,6}", re.ASCII)
_ENHANCED: Final = late_pattern(rf"{_CODE}(?!\w|\.\d)")
_REPLY_CODE: Final = late_pattern(r"\W?[245]\d\d", re.ASCII)


def wording(text: str) -> str:
    """Cut out of a server's text what differs from message to message, and nothing that says what happened.

    Numbers and ids become `ID`, addresses become `ADDRESS`; enhanced status codes, and reply codes before them, stay.

    Args:
        text: A reply's text, its lines joined by line feeds.
    """
    *head, last = text[:_READ].split() or [""]
    if not head:
        return _shortened(_without_ids(last))
    if head[-1] == "as" and "queued" in head:
        last = _identified(last)
    elif _ENHANCED.match(last):
        return _shortened(_phrase((*head, last)))
    else:
        last = _without_ids(last)
    return _shortened(f"{_phrase(tuple(head))} {last}")


def reason_wording(reason: str) -> str:
    """As `wording`, of one of our own reasons: what these quote is a record's too, but what they count tells much."""
    words = without_values(reason[:_READ], QUOTED).split()
    return _shortened(" ".join(word if _TELLING.fullmatch(word) else _without_ids(word) for word in words))


# What differs is mostly the last word, and what comes before it the same for thousands of messages.
@lru_cache(maxsize=1024)
def _phrase(words: tuple[str, ...]) -> str:
    cut = [_without_ids(word) for word in words]
    for place, (word, following) in enumerate(pairwise(words)):
        if _REPLY_CODE.fullmatch(word) and _ENHANCED.match(following):
            cut[place] = word
        elif word == "as" and "queued" in words[:place]:
            cut[place + 1] = _identified(following)
    return " ".join(cut)


def _identified(word: str) -> str:
    """A word that is an id by its place, whatever it looks like; the full stop behind it is not part of it."""
    end = len(word.rstrip(_ENDS))
    return ID + word[end:] if end else word


# Most words of a server's replies come again and again.
@lru_cache(maxsize=4096)
def _without_ids(word: str) -> str:
    return _REPEATED.sub(ID, _PIECES.sub(_stand_in, word))


def _stand_in(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind is None:
        return ID
    if kind == "address":
        return ADDRESS
    return f"{match[kind]}{ID}" if kind == "id" else match[0]


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    end = text.rfind(" ", 0, LONGEST)
    return f"{text[: end if end > 0 else LONGEST - 1]}…"
