"""Encoded-words (RFC 2047) as they are read; `words` writes them."""

from __future__ import annotations

import codecs
import re
from binascii import Error, a2b_base64, a2b_qp
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_FOLD: Final = re.compile(r"\r?\n(?=[ \t])")
_WORD: Final = r"=\?[^?\s]++\?[BbQq]\?[^?\s]*+\?="
_RUN: Final = re.compile(rf"{_WORD}(?:\s++{_WORD})*+")
_ONE: Final = re.compile(r"=\?(?P<charset>[^?*\s]++)(?:\*[^?\s]*+)?\?(?P<kind>[BbQq])\?(?P<text>[^?\s]*+)\?=")
_NO_CHARSETS: Final = frozenset({"punycode", "idna"})  # Python calls them codecs; punycode takes quadratic time


def unfolded(raw: str) -> str:
    """A header's value on one line, its octets read as UTF-8.

    Raises:
        UnicodeError: They are not.
    """
    return on_one_line(raw).strip().encode("ascii", "surrogateescape").decode()


def on_one_line(raw: str) -> str:
    """A header's value without the line ends by which it is folded (RFC 5322 §2.2.3)."""
    return _FOLD.sub("", raw)


def read_words(text: str, use: Callable[[str], str] = lambda said: said) -> str:
    """A text with each run of encoded-words replaced by what they say together (§6.2).

    Args:
        text: A header's value.
        use: What is made of that before it is put in its place.

    Raises:
        LookupError: They are in a charset that there is not.
        ValueError: They are not in the charset that they name, or are no base64.
    """
    return _RUN.sub(lambda run: use(_said(run[0])), text)


def decode(octets: bytes, charset: str) -> str:
    """Text in a charset of the message's own choice.

    Raises:
        LookupError: There is no such charset.
        ValueError: It is not in that charset.
    """
    if codecs.lookup(charset).name in _NO_CHARSETS:
        raise LookupError(f"{charset} is for domains")
    return octets.decode(charset)


def _said(run: str) -> str:
    words = [_ONE.fullmatch(word) for word in run.split()]
    if None in words:
        return run
    pieces = ((word["charset"].lower(), _octets(word["kind"], word["text"])) for word in words if word)
    # A character may be cut in two by who splits octets, so words in one charset are read together.
    return "".join(
        decode(b"".join([octets for _, octets in together]), charset)
        for charset, together in groupby(pieces, lambda piece: piece[0])
    )


def _octets(kind: str, text: str) -> bytes:
    octets = text.encode("ascii")
    if kind in "Qq":
        return a2b_qp(octets, header=True)
    try:
        return a2b_base64(octets + b"=" * (-len(octets) % 4))
    except Error as error:
        raise ValueError(f"no base64: {error}") from error
