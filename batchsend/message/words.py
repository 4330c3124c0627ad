"""The words of a header field: encoded-words (RFC 2047), phrases (RFC 5322 §3.2.5) and folding (§2.2.3)."""

from __future__ import annotations

import re
from binascii import b2a_base64
from functools import lru_cache
from typing import TYPE_CHECKING

from batchsend.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Sequence

LINE = 78
"""Characters a line should not exceed, CRLF not counted (RFC 5322 §2.1.1)."""

HARD_LINE = 998
"""Characters a line must not exceed, CRLF not counted (RFC 5322 §2.1.1)."""

_ENCODED_WORD = 75
_Q, _B, _END = "=?utf-8?q?", "=?utf-8?b?", "?="
_ROOM = _ENCODED_WORD - len(_Q) - len(_END)
_LEAST_ROOM = 12  # any one character fits, even after the longest field name

# The narrowest of RFC 2047 §5's sets, that of a phrase: right everywhere.
_Q_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/ "
_Q_OCTET = [chr(octet) if octet in _Q_SAFE else f"={octet:02X}" for octet in range(256)]
_Q_OCTET[0x20] = "_"

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Looked for only where no blank stands before it: within a long run of blanks nothing is looked at twice.
_CHUNK = re.compile("(?<! ) *+[^ ]++")


def clean(text: str, where: str) -> str:
    """What a header's text may be: no control character but the tab, which becomes a space; nothing blank around it.

    Raises:
        RecordError: It holds a control character, a line separator or half a character.
    """
    if not text.isprintable():
        text = text.replace("\t", " ")
        if found := _FORBIDDEN.search(text):
            raise RecordError(f"{where} contains the control character U+{ord(found.group()):04X}")
    return text.strip(" ")


def fold(name: str, chunks: Sequence[str]) -> str:
    """A header field of lines no longer than 78 where its chunks allow it.

    Args:
        name: The field's name.
        chunks: What may not be broken; each begins with the space at which a line may be folded before it.
    """
    lines: list[str] = []
    line = (
        f"{name}:{chunks[0]}"  # a line of nothing but the name would be legal, and is shown as an empty header by some
    )
    for chunk in chunks[1:]:
        if len(line) + len(chunk) > LINE:
            lines.append(line)
            line = chunk
        else:
            line += chunk
    lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def unstructured(name: str, text: str, *, longest: int = LINE) -> str:
    """A field of plain words (RFC 5322 §3.2.5), with encoded-words where it needs them.

    Args:
        name: The field's name.
        text: Its value; `clean` has seen it.
        longest: The longest ASCII word that is kept as it is, however the line comes out.
    """
    if text.isascii() and "=?" not in text:  # what looks like an encoded-word must be encoded to be read as it is
        if len(name) + 2 + len(text) <= LINE:
            return f"{name}: {text}\r\n"
        chunks = _CHUNK.findall(f" {text}")
        if max(map(len, chunks)) <= longest - 1:
            return fold(name, chunks)
    return fold(name, [f" {word}" for word in encoded_words(text, len(name) + 2)])


def phrase(text: str, used: int) -> list[str]:
    """A display-name as words that may be folded between: atoms, a quoted-string or encoded-words.

    Args:
        text: The name; `clean` has seen it.
        used: Characters of the first line that are taken already.
    """
    if text.isascii() and "=?" not in text:
        if used + len(text) <= LINE and _ATOMS.fullmatch(text):
            return [text]
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        if used + len(quoted) + 2 <= LINE:
            return [f'"{quoted}"']
    return encoded_words(text, used)


def encoded_words(text: str, used: int) -> list[str]:
    """UTF-8 as encoded-words of at most 75 characters, Q or B, whichever is shorter; no character is split.

    Args:
        text: What they say together.
        used: Characters of the first line that are taken already.
    """
    octets = text.encode()
    first = max(min(_ROOM, LINE - 2 - used - len(_Q) - len(_END)), _LEAST_ROOM)
    q_length = len(octets) + 2 * len(octets.translate(None, _Q_SAFE))
    if q_length <= (len(octets) + 2) // 3 * 4:
        if q_length <= first:
            return [f"{_Q}{''.join([_Q_OCTET[octet] for octet in octets])}{_END}"]
        return _q_words(text, first)
    return _b_words(octets, first)


def _q_words(text: str, room: int) -> list[str]:
    words: list[str] = []
    word = ""
    for character in text:
        encoded = _q_character(character)
        if len(word) + len(encoded) > room:
            words.append(f"{_Q}{word}{_END}")
            word, room = "", _ROOM
        word += encoded
    words.append(f"{_Q}{word}{_END}")
    return words


@lru_cache(maxsize=4096)
def _q_character(character: str) -> str:
    return "".join([_Q_OCTET[octet] for octet in character.encode()])


def _b_words(octets: bytes, room: int) -> list[str]:
    words: list[str] = []
    start = 0
    while start < len(octets):
        end = start + room // 4 * 3
        while end < len(octets) and octets[end] & 0xC0 == 0x80:  # in the middle of a character (RFC 3629 §3)
            end -= 1
        words.append(f"{_B}{b2a_base64(octets[start:end], newline=False).decode('ascii')}{_END}")
        start, room = end, _ROOM
    return words
