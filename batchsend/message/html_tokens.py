"""HTML in tokens, as browsers cut it, with the places where they stand in the source: one pass, whatever it is like.

The standard library's ``html.parser`` takes quadratic time for tags and comments that are never closed. Here, as the
HTML standard has it (§13.2.5), what is never closed ends with the document, so that nothing is looked at twice.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["text", "start", "end", "comment", "declaration"]

_TAG_NAME: Final = re.compile(r"[A-Za-z][^\s/>]*+")
_ATTRIBUTE: Final = re.compile(
    r"[\s/]*+(?P<name>[^\s/>][^\s/>=]*+)"
    r"(?:\s*+=\s*+(?:\"(?P<double>[^\"]*+)(?:\"|\Z)|'(?P<single>[^']*+)(?:'|\Z)|(?P<bare>[^\s>]*+)))?"
)
_BETWEEN: Final = re.compile(r"[\s/]*+")
_COMMENT_END: Final = re.compile(r"--!?>")
_EMPTY_COMMENT: Final = re.compile(r"-?>")
# Elements whose content is text up to their own end tag; of these two, character references count in it.
_REFERENCES_COUNT: Final = frozenset({"title", "textarea"})
_TEXT_ONLY: Final = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes"}) | _REFERENCES_COUNT
_ENDS: Final = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _TEXT_ONLY}
# Python refuses to make numbers of thousands of digits, and none of these is a character.
_NO_CHARACTER: Final = re.compile(r"&#(?:[0-9]{9,}+|[xX][0-9A-Fa-f]{8,}+);?")


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


class Token(NamedTuple):
    """A piece of the source.

    Attributes:
        kind: What it is; a declaration is what begins with ``<!`` or ``<?`` and is no comment, such as the doctype.
        start: Where it begins.
        end: Where it ends.
        name: The name of a tag in lower case; of a text within one of the elements that hold nothing else, that
            element's name.
        attributes: The attributes of a start tag, in order.
    """

    kind: Kind
    start: int
    end: int
    name: str = ""
    attributes: tuple[Attribute, ...] = ()

    def value(self, name: str) -> str | None:
        """The value of the first attribute of this name, its character references read; None where there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return unescaped(attribute.value or "")
        return None


def tokens(source: str) -> Iterator[Token]:
    """The tokens of a document or a fragment, in order; together they are all of it."""
    at = text_start = 0
    while (opening := source.find("<", at)) >= 0:
        token = _markup(source, opening)
        if token is None:  # a "<" that is text
            at = opening + 1
            continue
        if opening > text_start:
            yield Token("text", text_start, opening)
        yield token
        at = text_start = token.end
        if token.kind == "start" and token.name in _TEXT_ONLY:
            end = _ENDS[token.name].search(source, at)
            at = text_start = end.start() if end else len(source)
            if at > token.end:
                yield Token("text", token.end, at, token.name)
    if text_start < len(source):
        yield Token("text", text_start, len(source))


def text_of(source: str, token: Token) -> str:
    """What a text token says, its character references read where they count."""
    text = source[token.start : token.end]
    return text if token.name and token.name not in _REFERENCES_COUNT else unescaped(text)


def unescaped(text: str) -> str:
    """A text with its character references read, whatever they are."""
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text)) if "&" in text else text


def _markup(source: str, at: int) -> Token | None:
    """What begins at a ``<``, or None where that is text."""
    following = source[at + 1 : at + 2]
    closes = following == "/"
    if name := _TAG_NAME.match(source, at + 1 + closes):
        attributes, end = _attributes(source, name.end())
        if end > len(source):  # the document ends in the middle of it: it is no tag, and not shown either
            return Token("declaration", at, len(source))
        return Token("end" if closes else "start", at, end, name[0].lower(), () if closes else attributes)
    if source.startswith("<!--", at):
        closing = _EMPTY_COMMENT.match(source, at + 4) or _COMMENT_END.search(source, at + 4)
        return Token("comment", at, closing.end() if closing else len(source))
    if following in ("!", "?", "/") and at + 2 < len(source):
        end = source.find(">", at + 2)
        return Token("declaration", at, end + 1 if end >= 0 else len(source))
    return None


def _attributes(source: str, at: int) -> tuple[tuple[Attribute, ...], int]:
    """The attributes from there on, and where their tag ends; beyond the source where it does not."""
    found: list[Attribute] = []
    while attribute := _ATTRIBUTE.match(source, at):
        kind = next((kind for kind in ("double", "single", "bare") if attribute[kind] is not None), None)
        start, value_end = attribute.span("name") if kind is None else attribute.span(kind)
        if kind is None:
            start = value_end
        name = attribute["name"].lower()
        found.append(
            Attribute(
                name, attribute[kind] if kind else None, attribute.start("name"), start, value_end, attribute.end()
            )
        )
        at = attribute.end()
    between = _BETWEEN.match(source, at)
    at = between.end() if between else at
    return tuple(found), at + 1
