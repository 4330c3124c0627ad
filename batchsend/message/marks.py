"""Where the marks of Jinja2 stand in a source, found in one pass whatever the source is like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPENING: Final = re.compile(r"\{[{%#]")
_CLOSING: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_RAW: Final = re.compile(r"\{%[-+]?\s*+raw\s*+-?%\}")
_END_RAW: Final = re.compile(r"\{%[-+]?\s*+endraw\s*+[-+]?%\}")

COVER: Final = "\0"
"""What `covered` puts in the place of each character of a mark."""


def marks(source: str) -> Iterator[tuple[int, int]]:
    """The beginnings and ends of ``{{ … }}``, ``{% … %}`` and ``{# … #}``; a raw block is one, with all that is in it.

    What is opened and never closed is none. That no closing is left is remembered, so the time is linear.
    """
    at = 0
    unclosed: set[str] = set()
    while opening := _OPENING.search(source, at):
        kind, start = opening[0], opening.start()
        at = start + 1
        if kind in unclosed:
            continue
        end = source.find(_CLOSING[kind], start + 2)
        if end < 0:
            unclosed.add(kind)
            continue
        at = end + 2
        if "raw" not in unclosed and _RAW.match(source, start):
            if last := _END_RAW.search(source, at):
                at = last.end()
            else:
                unclosed.add("raw")
        yield start, at


def has_marks(source: str) -> bool:
    """Whether there is any mark in a source."""
    return next(marks(source), None) is not None


def covered(source: str) -> str:
    """The source, as long as it is, with each mark covered: what is in marks may look like the end of anything."""
    pieces: list[str] = []
    at = 0
    for start, end in marks(source):
        pieces += [source[at:start], COVER * (end - start)]
        at = end
    pieces.append(source[at:])
    return "".join(pieces)
