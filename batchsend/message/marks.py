"""Where the marks of Jinja2 stand in a source, found in one pass whatever the source is like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batchsend.message.html_tokens import tokens
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPENING: Final = late_pattern(r"\{[{%#]")
_CLOSING: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_RAW: Final = late_pattern(r"\{%[-+]?\s*+raw\s*+-?%\}")
_END_RAW: Final = late_pattern(r"\{%[-+]?\s*+endraw\s*+[-+]?%\}")

# From the tag that opens a style sheet to the one that closes it, within a comment: there it is no element.
_SHEET: Final = late_pattern(r"<style(?=[\s/>])[^<]*+(?:<(?!/style[\s/>])[^<]*+)*+", re.IGNORECASE)
# An id, and a block, before anything that would close a comment.
_SELECTOR: Final = late_pattern(r"\{#(?=[A-Za-z_-](?:(?!#\})[^{}])*+\{)")

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


def with_sheets_that_are_no_comments(source: str) -> str:
    """An HTML template in whose style sheets ``{#name …{`` is a block with a selector, and no comment of Jinja2's.

    That is how minified sheets begin the rules for an id within ``@media``, those in comments that only Outlook reads
    (``<!--[if mso]>``) as well. A blank between brace and hash says so; a comment that is closed before any block
    begins stays one.
    """
    if "{#" not in source:
        return source
    pieces: list[str] = []
    at = 0
    for start, end in _sheets(source):
        pieces += [source[at:start], _SELECTOR.sub("{ #", source[start:end])]
        at = end
    pieces.append(source[at:])
    return "".join(pieces)


def _sheets(source: str) -> Iterator[tuple[int, int]]:
    """Where the style sheets of an HTML template begin and end, in order; those in comments with their opening tags."""
    for token in tokens(source):
        if token.kind == "text" and token.name == "style":
            yield token.start, token.end
        elif token.kind == "comment":
            yield from (sheet.span() for sheet in _SHEET.finditer(source, token.start, token.end))


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
