"""HTML in tokens, as browsers cut it, with the places where they stand in the source: one pass, whatever it is like.

The standard library's ``html.parser`` takes quadratic time for tags and comments that are never closed. Here, as the
HTML standard has it (§13.2.5), what is never closed ends with the document, so that nothing is looked at twice.
"""

from __future__ import annotations

import html
import re
from html.entities import html5
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["text", "start", "end", "comment", "declaration"]

_TAG_NAME: Final = late_pattern(r"[A-Za-z][^\s/>]*+")
_ATTRIBUTE: Final = late_pattern(
    r"[\s/]*+(?P<name>[^\s/>][^\s/>=]*+)"
    r"(?:\s*+=\s*+(?:\"(?P<double>[^\"]*+)(?:\"|\Z)|'(?P<single>[^']*+)(?:'|\Z)|(?P<bare>[^\s>]*+)))?"
)
_TAG: Final = late_pattern(
    r"<(/?)([A-Za-z][^\s/>]*+)(?:[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^\s>]*+))?)*+[\s/]*+>"
)
_COMMENT_END: Final = late_pattern(r"--!?>")
_EMPTY_COMMENT: Final = late_pattern(r"-?>")
# Elements whose content is text up to their own end tag; of these two, character references count in it.
_REFERENCES_COUNT: Final = frozenset({"title", "textarea"})
_TEXT_ONLY: Final = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes"}) | _REFERENCES_COUNT
_ENDS: Final = {name: late_pattern(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _TEXT_ONLY}
# A tag, a comment, or an element that holds nothing but text, with that. Where many can be left open, all are known to
# be closed before this is asked, so that nothing is looked at again and again.
_MARKUP: Final = (
    r"<(?:(?!(?ai:style|script|title|textarea)[\s/>])/?[A-Za-z]"
    r"[^<>\"'=]*+(?:=(?:\s*+\"[^\"]*+\"|\s*+'[^']*+'|(?!\s*+[\"']))[^<>\"'=]*+)*+>"
    r"|!--(?!-?>)[^-]*+(?:-(?!->)[^-]*+)*+-->"
    + "".join(
        rf"|(?ai:{name})(?=[\s/>])[^<>]*+>[^<]*+(?:<(?!/(?ai:{name})[\s/>])[^<]*+)*+</(?ai:{name})\s*+>"
        for name in ("style", "script", "title", "textarea")
    )
    + r"|![A-Za-z\[][^<>]*+>)"
)
_PIECE: Final = late_pattern(f"({_MARKUP})")
BLANKS: Final = " \t\n\r\f"
"""What HTML knows as blank (§13.2.5): no other space, such as one that does not break, is one of these."""
_PIECE_AND_BLANKS: Final = late_pattern(f"({_MARKUP}[{BLANKS}]*+)")
# What begins a piece that goes on to its own end: a comment, or an element that holds nothing but text. A group has the
# names of those, and another one those of what has no end that counts.
_LONG_PIECE: Final = late_pattern(
    r"<(?ai:!--|(style|script|title|textarea)(?=[\s/>])|((?:xmp|iframe|noembed|noframes|plaintext)[\s/>]))"
)
_FEW: Final = 50
"""So many pieces may be looked for to the end of the document and in vain."""
# Of a srcset: a URL, and what says for which screen it is, up to the comma that ends it (HTML standard, §4.8.4.2.1).
_CANDIDATE: Final = late_pattern(r"([^\s,](?:\S*[^\s,])?)(?:,|\s[^,]*+)?")
# Python refuses to make numbers of thousands of digits, and none of these is a character.
_NO_CHARACTER: Final = late_pattern(r"&#(?:[0-9]{9,}+|[xX][0-9A-Fa-f]{8,}+);?")

_REFERENCE: Final = late_pattern(r"&#?[A-Za-z0-9]{1,8};")
_NAMED: Final = late_pattern(r"&([A-Za-z][A-Za-z0-9]*+)([;=]?)")
_FEW_REFERENCES: Final = 20
"""So many are read one by one, and so many different ones all of a kind at once."""


class Attribute(NamedTuple):
    """An attribute of a start tag.

    Attributes:
        name: Its name in lower case.
        value: Its value as it stands in the source, without quotation marks; None where there is no ``=``.
        start: Where its name begins.
        value_start: Where its value begins, and ``value_end`` where that ends.
        value_end: See ``value_start``; both are the end of the name where there is no value.
        end: Where the attribute ends, its quotation marks included.
    """

    name: str
    value: str | None
    start: int
    value_start: int
    value_end: int
    end: int


class Token:
    """A piece of the source.

    Args:
        kind: What it is; a declaration is what begins with ``<!`` or ``<?`` and is no comment, such as the doctype.
        source: The source.
        start: Where it begins.
        end: Where it ends.
        name: The name of a tag in lower case; of a text within one of the elements that hold nothing else, that
            element's name.

    Attributes:
        kind: As given.
        start: As given.
        end: As given.
        name: As given.
    """

    __slots__ = ("_attributes", "_source", "end", "kind", "name", "start")

    def __init__(self, kind: Kind, source: str, start: int, end: int, name: str = "") -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.name = name
        self._source = source
        self._attributes: tuple[Attribute, ...] | None = None

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes of a start tag, in order; most tags are never asked for them."""
        if self._attributes is None:
            self._attributes = ()
            if self.kind == "start" and self.end - self.start > len(self.name) + 2:
                self._attributes = _attributes(self._source, self.start + 1 + len(self.name))
        return self._attributes

    def value(self, name: str) -> str | None:
        """The value of the first attribute of this name, its character references read; None where there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return unescaped_value(attribute.value or "")
        return None


def tokens(source: str) -> Iterator[Token]:
    """The tokens of a document or a fragment, in order; together they are all of it."""
    at = text_start = 0
    while (opening := source.find("<", at)) >= 0:
        token: Token | None
        if tag := _TAG.match(source, opening):
            name = tag[2].lower()
            token = Token("end" if tag[1] else "start", source, opening, tag.end(), name)
        else:
            token = _no_tag(source, opening)
        if token is None:  # a "<" that is text
            at = opening + 1
            continue
        if opening > text_start:
            yield Token("text", source, text_start, opening)
        yield token
        at = text_start = token.end
        if token.kind == "start" and token.name in _TEXT_ONLY:
            end = _ENDS[token.name].search(source, at)
            at = text_start = end.start() if end else len(source)
            if at > token.end:
                yield Token("text", source, token.end, at, token.name)
    if text_start < len(source):
        yield Token("text", source, text_start, len(source))


def plain_pieces(source: str, *, with_blanks: bool = False) -> list[str] | None:
    """A document in texts and markup by turns, in a fraction of the time that `tokens` takes.

    The first and the last piece are texts, perhaps empty. A comment is one piece of markup, and so is an element that
    holds nothing but text (``style``, ``title``) with what it holds.

    Args:
        source: The document.
        with_blanks: Leave the blanks that follow a piece of markup at its end; in most documents these are the most of
            the text, and the same ones over and over.

    Returns:
        None where the document is not as plain as that: what is opened is not closed, or a ``<`` is text.
    """
    long_pieces = _LONG_PIECE.findall(source)
    if any(endless for _, endless in long_pieces):
        return None
    if len(long_pieces) > _FEW:
        if source.rfind("<!--") > source.rfind("-->"):
            return None
        names = [name.lower() for name, _ in long_pieces if name]
        lower = source.lower() if len(names) > _FEW else ""
        if any(lower.rfind(f"<{name}") > lower.rfind(f"</{name}") for name in set(names)):
            return None
    pieces = (_PIECE_AND_BLANKS if with_blanks else _PIECE).split(source)
    return None if "<" in "".join(pieces[::2]) else pieces


def pieces_of(source: str, *, with_blanks: bool) -> list[str]:
    """A document in texts and markup by turns, as `plain_pieces`, whatever it is like.

    Args:
        source: The document.
        with_blanks: As there; but where it is not as plain as that, the blanks may be left to the texts.
    """
    pieces = plain_pieces(source, with_blanks=with_blanks)
    if pieces is not None:
        return pieces
    pieces = [""]
    inside = ""  # the element whose text or end comes next, where it holds nothing but text
    for token in tokens(source):
        piece = source[token.start : token.end]
        belongs = token.name == inside and token.kind in {"text", "end"}
        if inside and belongs:
            pieces[-2] += piece
        elif token.kind == "text":
            pieces[-1] += piece
        else:
            pieces += [piece, ""]
        opens = token.kind == "start" and token.name in _TEXT_ONLY
        inside = token.name if opens or (inside and belongs and token.kind == "text") else ""
    return pieces


def candidates(srcset: str) -> Iterator[tuple[int, int]]:
    """Where the URLs of a ``srcset`` begin and end, in order."""
    return (candidate.span(1) for candidate in _CANDIDATE.finditer(srcset))


def text_of(source: str, token: Token) -> str:
    """What a text token says, its character references read where they count."""
    text = source[token.start : token.end]
    return text if token.name and token.name not in _REFERENCES_COUNT else unescaped(text)


def unescaped(text: str) -> str:
    """A text with its character references read, whatever they are."""
    if text.count("&") > _FEW_REFERENCES:
        # The same few again and again, such as the blanks behind a preview text. What is not ASCII is part of no other.
        distinct = set(_REFERENCE.findall(text))
        if len(distinct) < _FEW_REFERENCES:
            for one in distinct:
                character = html.unescape(one)
                if not character.isascii():
                    text = text.replace(one, character)
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text)) if "&" in text else text


def unescaped_value(value: str) -> str:
    """The value of an attribute with its character references read.

    There a name without a semicolon is none before a letter, a digit or ``=`` (HTML standard, §13.2.5.73): ``&sect=2``
    and ``&copy=1`` in an address are what they look like.
    """
    return unescaped(_NAMED.sub(_unless_it_counts, value) if "&" in value else value)


def _unless_it_counts(reference: re.Match[str]) -> str:
    name, sign = reference.groups()
    counts = f"{name};" in html5 if sign == ";" else not sign and name in html5
    return reference[0] if counts else f"&amp;{reference[0][1:]}"


def _no_tag(source: str, at: int) -> Token | None:
    """What begins at a ``<`` that begins no whole tag, or None where that is text."""
    following = source[at + 1 : at + 2]
    if _TAG_NAME.match(source, at + 1 + (following == "/")):
        # The document ends in the middle of it: it is no tag, and not shown either.
        return Token("declaration", source, at, len(source))
    if source.startswith("<!--", at):
        closing = _EMPTY_COMMENT.match(source, at + 4) or _COMMENT_END.search(source, at + 4)
        return Token("comment", source, at, closing.end() if closing else len(source))
    if following in ("!", "?", "/") and at + 2 < len(source):
        end = source.find(">", at + 2)
        return Token("declaration", source, at, end + 1 if end >= 0 else len(source))
    return None


def _attributes(source: str, at: int) -> tuple[Attribute, ...]:
    """The attributes of a tag, from behind its name."""
    found: list[Attribute] = []
    while attribute := _ATTRIBUTE.match(source, at):
        kind = next((kind for kind in ("double", "single", "bare") if attribute[kind] is not None), None)
        start, value_end = attribute.span(kind or "name")
        found.append(
            Attribute(
                attribute["name"].lower(),
                attribute[kind] if kind else None,
                attribute.start("name"),
                start if kind else value_end,
                value_end,
                attribute.end(),
            )
        )
        at = attribute.end()
    return tuple(found)
