"""Writes a manual page in roff, the language of man(7): sections, paragraphs, described terms, verbatim lines."""

from __future__ import annotations

import re
from typing import Final

_LITERAL: Final = re.compile(r"``(?P<literal>[^`]+)``")
_ESCAPES: Final = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
)


class Page:
    """A manual page under construction.

    Args:
        name: Its name.
        section: Its section of the manual.
        source: What it belongs to, with the version.
    """

    def __init__(self, name: str, section: int, source: str) -> None:
        self._lines = [f'.TH {name.upper()} {section} "" "{escaped(source)}"', ".nh", ".ad l"]

    def section(self, title: str) -> None:
        """A heading."""
        self._lines.append(f'.SH "{escaped(title)}"')

    def subsection(self, title: str) -> None:
        """A heading below one."""
        self._lines.append(f'.SS "{escaped(title)}"')

    def paragraph(self, text: str) -> None:
        """A paragraph; ``literals`` are set in bold."""
        self._lines += [*self._space(), _line(_marked(text))]

    def term(self, term: str, description: str) -> None:
        """A term, and what there is to say about it."""
        self._lines += [".TP", rf"\fB{escaped(term)}\fR", _line(_marked(description) or r"\&")]

    def verbatim(self, text: str) -> None:
        """Lines that are kept as they are."""
        self._lines += [*self._space(), ".EX", *(_line(escaped(line)) for line in text.splitlines()), ".EE"]

    def _space(self) -> list[str]:
        """What begins a paragraph; a heading has begun one."""
        return [] if self._lines[-1].startswith((".SH", ".SS")) else [".PP"]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def escaped(text: str) -> str:
    """Text in which no character means anything to roff."""
    text = text.translate(_ESCAPES)
    return "".join(character if character.isascii() else rf"\[u{ord(character):04X}]" for character in text)


def _marked(text: str) -> str:
    pieces = _LITERAL.split(" ".join(text.split()))
    return "".join(
        escaped(piece) if place % 2 == 0 else rf"\fB{escaped(piece)}\fR" for place, piece in enumerate(pieces)
    )


def _line(text: str) -> str:
    """A line that is not a request, whatever it begins with."""
    return rf"\&{text}" if text.startswith(".") else text
