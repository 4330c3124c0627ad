"""What a line or a cell of a suppression list says: addresses and whole domains, however people write them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from batchsend.errors import RecordError
from batchsend.recipients.addresses import cleaned, forward_path

DOMAIN: Final = "@"
"""What a whole domain begins with, in what :func:`entries` returns."""

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+)
    |(?P<end>[,;])
    |(?P<comment>\#.*)
    |<(?P<angle>[^<>]*)>
    |\((?P<remark>[^()]*)\)
    |"(?P<quoted>(?:[^"\\]|\\.)*+)"(?![^\s,;<>()"])
    |(?P<word>(?:"(?:[^"\\]|\\.)*+"|[^\s,;<>"])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_AFTER_ADDRESS: Final = re.compile(r"(@[^#@]*)#.*", re.DOTALL)
_JOINERS: Final = "\u200c\u200d"  # Letters of some scripts need them; everything else that is invisible is left out.
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
    text = "".join(c for c in text if unicodedata.category(c) != "Cf" or c in _JOINERS)
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise RecordError(f"{_shown(text[place:])} is no address: {text[place]!r} is never closed")
        place = token.end()
        kind, value = token.lastgroup or "", token[token.lastgroup or 0]
        if kind == "comment":
            break
        if kind == "angle":
            found += _name_with_addresses(names)
            names = []
            found.append(_normalised(value))
        elif kind == "quoted" or (kind == "word" and "@" not in value):
            names.append(value)
        elif kind == "word":
            found.append(_normalised(_AFTER_ADDRESS.sub(r"\1", value)))
            if _AFTER_ADDRESS.search(value):
                break
        elif kind == "remark" and "@" in value:
            raise RecordError(f"{_shown(value)} stands in parentheses: is it to be suppressed, too?")
        elif value == ";":
            found += _addresses_only(names)
            names = []
    return found + _addresses_only(names)


def comparable(address: str) -> str:
    """An address as suppression compares it: one name for each mailbox, without regard to case.

    A local part is case-sensitive by RFC 5321 §2.4, and nowhere in practice: who unsubscribed as Bob@ is bob@, too.

    Raises:
        RecordError: It is no address that could be written to.
    """
    return forward_path(cleaned(address)).casefold()


def _normalised(text: str) -> str:
    address = cleaned(text)
    if address.startswith(("@", "*@")):
        return DOMAIN + comparable(f"x{address.removeprefix('*')}").partition("@")[2]
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
