"""What a line or a cell of a suppression list says: addresses and whole domains, however people write them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

from batchsend.errors import RecordError
from batchsend.patterns import late_pattern
from batchsend.recipients.addresses import cleaned, forward_path, without_invisible

DOMAIN: Final = "@"
"""What a whole domain begins with, in what :func:`entries` returns."""

_TOKEN: Final = late_pattern(
    r"""(?P<blank>\s+)
    |(?P<end>[,;])
    |(?P<comment>\#[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]*)
    |<(?P<angle>[^<>]*)>
    |\((?P<remark>[^()]*)\)
    |"(?P<quoted>(?:[^"\\]|\\.)*+)"(?![^\s,;<>()"])
    |(?P<word>(?:"(?:[^"\\]|\\.)*+"|[^\s,;<>"]++)++)
    """,
    re.VERBOSE | re.DOTALL,
)
_AFTER_ADDRESS: Final = late_pattern(r"@[^#@]*(?P<comment>#)")
# All that some program shows as the end of a line: what follows it is no part of a comment.
_LINE_END: Final = late_pattern(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
# What a spreadsheet writes where a formula failed, in several languages: "#N/A", "#NAME?", "#WERT!", "#¿NOMBRE?".
_FAILED_FORMULA: Final = late_pattern(r"#(?:[¿¡]?\w[\w/]{0,20}[!?]|\w/\w|NV|GETTING_DATA)\s*")
_NUMBERED: Final = late_pattern(r"#\s*\d{1,9}(?:[.):]\s*|\s+)[^\s#]*@")
_JOINERS: Final = "\u200c\u200d"  # Domains in some scripts need them; everything else that is invisible is left out.
_WILDCARDS: Final = late_pattern(r"[*?]")
# What people and programs put before an address and what belongs to a local part only now and then: a bullet, a quote
# that is not closed, a formula's mark, "email=".
_MARKS: Final = late_pattern(r'(?:[a-z._-]{0,30}=|_|[^\w"])++(?=[\w"])')
_NUMBER: Final = late_pattern(r"(\d{1,9})[._-](?=.*@)")
_BARE: Final = late_pattern(r"""['"<]?([^\s'"<>@(),;:|\\\[\]]++@[^\s'"<>@(),;:|\\\[\]]++)['">]?""")
_PIECES: Final = late_pattern(r"[,;|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_SHOWN: Final = 60


def entries(text: str) -> list[str]:
    """The addresses in a line or a cell, normalised for comparison; a whole domain begins with :data:`DOMAIN`.

    Understood are bare addresses, ``Name <address>``, quotes around an address or a name, ``mailto:``, ``@domain`` and
    ``*@domain``, several of these on a line, remarks in parentheses, and comments from ``#`` to the end of the line.
    Nothing else is passed over: whoever is missed would be written to.

    Raises:
        RecordError: Something else is there; the message says what.
    """
    found: list[str] = []
    names: list[str] = []  # Words that are no addresses: part of a name, if an address in angle brackets follows.
    text = without_invisible(text, keeps=_JOINERS)
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise RecordError(f"{_shown(text[place:])} is no address: {text[place]!r} is never closed")
        place = token.end()
        kind, value = token.lastgroup or "", token[token.lastgroup or 0]
        if kind == "angle":
            found += _name_with_addresses(names)
            names = []
            found.append(_normalised(value))
        elif kind == "quoted" or (kind == "word" and "@" not in value):
            names.append(value)
        elif kind == "word":
            if comment := _AFTER_ADDRESS.search(value):
                place = _end_of_line(text, token.start())
                value = value[: comment.start("comment")]
            found.append(_normalised(value))
        elif kind == "comment":
            _require_comment(value)
        elif kind == "remark" and "@" in value:
            raise RecordError(f"{_shown(value)} stands in parentheses: is it to be suppressed, too?")
        elif value == ";":
            found += _addresses_only(names)
            names = []
    return found + _addresses_only(names)


def _require_comment(comment: str) -> None:
    """Refuse what begins like a comment and stands where an address was."""
    if _FAILED_FORMULA.fullmatch(comment) and comment.isupper():
        raise RecordError(f"{_shown(comment)} is what a spreadsheet writes where a formula failed: who stood there?")
    if _NUMBERED.match(comment):
        raise RecordError(f"{_shown(comment)} is a comment or a numbered entry: is it to be suppressed?")


def addresses_among(text: str) -> list[str]:
    """The addresses that stand alone between the delimiters and line ends of any text, normalised for comparison.

    It is for the cells of a table that need not have an address: whatever else is in them is passed over.
    """
    found: list[str] = []
    for piece in _PIECES.split(without_invisible(text, keeps=_JOINERS)):
        if (bare := _BARE.fullmatch(cleaned(piece))) is None:
            continue
        try:
            found.append(comparable(bare[1]))
        except RecordError:
            continue  # it only looks like an address, so nobody is written to there
    return found


def without_number(entry: str, place: int) -> str:
    """An entry without the number of its place in the list: ``bob@…`` of ``7.bob@…``, which is the seventh entry."""
    number = _NUMBER.match(entry)
    return entry if number is None or int(number[1]) != place else entry[number.end() :]


def without_marks(entry: str) -> str:
    """An entry without what may be a mark of a list and no part of the address: ``bob@…`` of ``-bob@…``.

    Such a character is allowed in a local part (RFC 5321 §4.1.2), so both addresses may be meant. Where there is none,
    it is the entry itself.
    """
    marks = None if entry.startswith(DOMAIN) else _MARKS.match(entry.partition("@")[0])
    return entry if marks is None else entry[marks.end() :]


def _end_of_line(text: str, place: int) -> int:
    end = _LINE_END.search(text, place)
    return len(text) if end is None else end.start()


def comparable(address: str) -> str:
    """An address as suppression compares it: one name for each mailbox, however its letters are written.

    A local part is case-sensitive by RFC 5321 §2.4, and nowhere in practice: who unsubscribed as Bob@ is bob@, too.
    Letters of other scripts have several forms (RFC 6532 §3.1), and characters that show nothing are none of a name:
    by their forms under Unicode's compatibility mapping, and without the latter, they are one mailbox as well.

    Raises:
        RecordError: It is no address that could be written to.
    """
    path = forward_path(cleaned(address))
    if path.isascii():
        return path.lower()
    local, _, domain = path.rpartition("@")
    local = unicodedata.normalize("NFKC", without_invisible(unicodedata.normalize("NFKC", local)).casefold())
    return f"{local}@{domain.lower()}"


def _normalised(text: str) -> str:
    address = cleaned(text)
    if address.startswith(("@", "*@")):
        return DOMAIN + comparable(f"x{address.removeprefix('*')}").partition("@")[2]
    before, _, behind = text.partition("?")
    if "mailto:" in before.lower() and "@" in unquote(behind):
        raise RecordError(f"{_shown(text)} has another address behind the '?': is it to be suppressed, too?")
    if not address.startswith('"') and _WILDCARDS.search(address.rpartition("@")[0]):
        raise RecordError(f"{_shown(text)} is a pattern, and only whole domains are understood, as in @example.org")
    return comparable(address)


def _name_with_addresses(names: list[str]) -> list[str]:
    """The addresses in a display name: people have their address there, too."""
    return [_normalised(name) for name in names if "@" in name]


def _addresses_only(names: list[str]) -> list[str]:
    """The addresses in quotes that no angle brackets follow; anything else in the place of an address is refused."""
    for name in names:
        if "@" not in name:
            advice = f"; for a whole domain write @{name}" if re.fullmatch(r"[\w-]+(\.[\w-]+)+", name) else ""
            raise RecordError(f"{_shown(name)} is no address{advice}")
    return [entry for name in names for entry in entries(name)]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
