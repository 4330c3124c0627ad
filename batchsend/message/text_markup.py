"""HTML as the library that makes text of it is given it: what matters to a text, and nothing that it would mark.

Most of an e-mail's HTML is of no account to its text: layout tables, colours, indentation. What the library is not
given it need not read, and the tags of a template are read once for all its messages.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from markupsafe import escape

from batchsend.message.html_tokens import BLANKS, pieces_of, tokens, unescaped, unescaped_value
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.message.html_tokens import Token

    # What is written behind a link: of what the reader sees of it, and of where it leads.
    Address = Callable[[str, str], str]

_HEADER_CELL: Final = late_pattern(r"<[tT][hH]")
_TABLE_TAG: Final = late_pattern(r"<(/?)(?:table|caption|thead|tbody|tfoot|tr|td|th|center)(?=[\s/>])", re.IGNORECASE)
_BOUND: Final = late_pattern(r"<(?:(table)|(/table)|(th)|td)(?=[\s/>])", re.IGNORECASE)
_FOR_LAYOUT: Final = late_pattern(r"\srole\s*+=\s*+[\"']?(?:presentation|none)\b", re.IGNORECASE)
_OF_TABLES: Final = frozenset({"table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "center"})

# What Markdown gives a meaning, and the control characters that stand for it until the text is there: HTML shows none,
# so those of the source are left out. Character references can bring the few that are not among them.
MEANING: Final = "\\`*_{}[]()#+-.!|~>=<"
STAND_INS: Final = "\x80\x82\x83\x84\x86\x87\x88\x89\x8a\x8b\x8c\x8e\x91\x92\x93\x94\x95\x96\x97\x98"
_PRE: Final = late_pattern(r"<(/?)pre(?=[\s/>])", re.IGNORECASE)
_CONTROLS: Final = late_pattern(r"[\x01-\x08\x0b\x0e-\x1f\x80-\x84\x86-\x9f]")
_C0: Final = bytes({*range(1, 9), 11, *range(14, 32)})
_C1: Final = late_pattern(rb"\xc2[\x80-\x84\x86-\x9f]")

# Elements whose tags would become signs that nobody types in a letter.
_UNMARKED: Final = frozenset(
    {*("b", "strong", "i", "em", "u", "s", "del", "ins", "mark", "code", "kbd", "samp", "tt", "var", "dfn")}
    | {*("video", "audio", "embed", "object")}
)
# What is shown nowhere in the text. The library would leave it out too, and take the square of its length for it.
_UNSEEN: Final = frozenset(
    {*("style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes")} | {"meta", "link", "base"}
)
# Elements that are read as others, which have no signs of their own either.
_READ_AS: Final = {
    **dict.fromkeys(("h3", "h4", "h5", "h6"), "h2"),
    **dict.fromkeys(("summary", "legend", "caption"), "div"),
}
_BLOCKS: Final = _OF_TABLES | {
    *("html", "head", "body", "p", "div", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt"),
    *("dd", "pre", "blockquote", "address", "section", "article", "header", "footer", "main", "nav", "aside", "form"),
    *("figure", "figcaption", "fieldset", "legend", "details", "summary"),
}
# Attributes of which a text has anything; beside them, styles that hide or show again.
_COUNT: Final = frozenset({"start", "colspan", "rowspan", "hidden"})
_OF_SHOWING: Final = late_pattern(r"display|visibility|font(?!-(?:family|weight|style))", re.IGNORECASE)
_SHOWS: Final = late_pattern(r"\s*+(?:display|visibility|font(?:-size)?)\s*+:", re.IGNORECASE)
_HIDES: Final = late_pattern(r"hidden|none|font-size\s*+:\s*+\.?0", re.IGNORECASE)
_NOT_ONLY_DECLARATIONS: Final = late_pattern(r"[\"'(/\\]")

# A link as most are written: where it leads is found without a look at its other attributes. Each record has its own.
_LINK: Final = late_pattern(
    r"<a\s++(?:(?!href)[a-z-]++=(?:\"[^\"]*+\"|'[^']*+')\s++)*+href=(?:\"([^\"]*+)\"|'([^']*+)')", re.IGNORECASE
)

_KEPT: Final = 600
"""Characters of the markup of which it is kept what was made of it."""
_MOST: Final = 4_000
"""Pieces of markup of which it is."""


def prepared(html: str, address: Address, *, exactly: bool = False) -> str:
    """A document for the library: what it would escape or mark as Markdown stands in for itself, links as addresses.

    Args:
        html: A document or fragment.
        address: What is written behind a link.
        exactly: Whether blanks count, and tags that would become signs; otherwise the document decides.
    """
    html = html.replace("\0", "")
    exactly = exactly or "<pre" in html or "<PRE" in html
    pieces = pieces_of(html, with_blanks=not exactly)
    texts, markup = pieces[::2], pieces[1::2]
    tables = _data_tables(markup) if _HEADER_CELL.search(html) else []
    said = _said(markup, tables, _EXACT if exactly else _QUICK)
    special = [place for place, one in enumerate(said) if isinstance(one, _Special)]
    if any(said[place] is _AGAIN for place in special):
        return prepared(html, address, exactly=True)
    together = "\0".join(texts)
    if "&" in together:  # all at once, which is as good: no reference goes on behind a tag
        together = unescaped(together)
    texts = _without_controls(together).split("\0")
    pieces[1::2] = left = _written(texts, said, special, address)
    together = exchanged("\0".join(texts), MEANING, STAND_INS).replace("&", "&amp;")
    if not exactly:
        together = together.replace("\t", " ").replace("\f", " ")
    texts = together.split("\0")
    if "\t" in together or "\f" in together:
        _blank(texts, left)
    pieces[::2] = texts
    return "".join(pieces)


def with_layout_as_blocks(html: str) -> str:
    """The HTML with layout tables as blocks and images that are links as what is said of them.

    As tables the former would read as rows of pipes; a link of nothing would be called by its address.
    """
    pieces = pieces_of(html, with_blanks=True)
    markup = pieces[1::2]
    tables = _data_tables(markup)
    target = ""
    for place, (piece, one) in enumerate(zip(markup, _QUICK.data.of(markup), strict=True)):
        if _TABLE_TAG.match(piece) and not any(start <= place < end for start, end in tables):
            pieces[2 * place + 1] = _TABLE_TAG.sub(r"<\1div", piece)
        if not isinstance(one, _Special):
            continue
        if one.reading is _Reading.LINK:
            target = one.said
        elif one.reading is _Reading.IMAGE and target and one.said:
            pieces[2 * place + 1] = f"{escape(one.said)}{one.blank}"
    return "".join(pieces)


def exchanged(text: str, these: str, those: str) -> str:
    """A text with characters exchanged: one look for each is quicker than one at each character of the text."""
    for old, new in zip(these, those, strict=True):
        text = text.replace(old, new)
    return text


def _without_controls(text: str) -> str:
    """A text without control characters but NUL; that it has none is known of octets in a fraction of the time."""
    octets = text.encode("utf-8", "surrogatepass")
    if len(octets.translate(None, _C0)) == len(octets) and not _C1.search(octets):
        return text
    return _CONTROLS.sub("", text)


def _data_tables(markup: Sequence[str]) -> list[tuple[int, int]]:
    """Tables of data: they have header cells, others too, and no table inside. Every other one only places things.

    Frameworks for e-mails place things by tables of nothing but header cells.

    Returns:
        Of each, the place of its start tag, and the one behind its end tag.
    """
    found: list[tuple[int, int]] = []
    start, has_header, has_data = -1, False, False
    for place, piece in enumerate(markup):
        bound = _BOUND.match(piece)
        if bound is None:
            continue
        if bound[1]:
            start, has_header, has_data = -1 if _FOR_LAYOUT.search(piece) else place, False, False
        elif bound[3]:
            has_header = True
        elif not bound[2]:
            has_data = True
        else:
            if start >= 0 and has_header and has_data:
                found.append((start, place + 1))
            start = -1
    return found


def _written(texts: list[str], said: list[str | _Special], special: Sequence[int], address: Address) -> list[str]:
    """Write addresses behind links, what is said of images that are links, and quotation marks.

    Args:
        texts: What stands between tags.
        said: What is made of the tags between each of the texts and the next.
        special: Where that is not just markup.
        address: What is written behind a link.

    Returns:
        What is left of the tags.
    """
    left = cast("list[str]", said)
    target, opened = "", 0  # where the last link leads, and its place among the markup
    for place in special:
        reading, words, left[place] = cast("_Special", said[place])
        if reading is _Reading.LINK:
            if target:
                texts[place] += address("".join(texts[opened + 1 : place + 1]), target)
            target, opened = words, place
        elif reading is _Reading.QUOTE:
            texts[place] += words
        elif target and words:
            texts[place] += f" {words} "
    if target:
        texts[-1] += address("".join(texts[opened + 1 :]), target)
    return left


def _blank(texts: list[str], markup: Sequence[str]) -> None:
    """Make blanks of tabs and form feeds, as HTML has it but in ``pre``: the library does so in some texts only.

    Args:
        texts: What stands between tags.
        markup: The tags between each of the texts and the next.
    """
    depth = 0
    for place, text in enumerate(texts):
        if place and (tag := _PRE.match(markup[place - 1])):
            depth = max(depth - 1, 0) if tag[1] else depth + 1
        if not depth:
            texts[place] = text.replace("\t", " ").replace("\f", " ")


class _Reading(Enum):
    """What a piece of markup is, where it is not just that."""

    LINK = auto()
    IMAGE = auto()
    QUOTE = auto()
    AGAIN = auto()
    """The document is to be read exactly."""


class _Special(NamedTuple):
    """What is made of a piece of markup that is not just that.

    Attributes:
        reading: What it is.
        said: What it says: an address, a description or a sign.
        blank: The blank behind it.
    """

    reading: _Reading
    said: str
    blank: str


_AGAIN: Final = _Special(_Reading.AGAIN, "", "")


class _Readings(dict[str, "str | _Special"]):
    """What is made of pieces of markup: the messages of a campaign have most of their tags in common.

    Args:
        layout: Whether tables are read as blocks.
        exact: Whether blanks count, as they do in ``pre``, and tags that would become signs may hide what is in them.
    """

    def __init__(self, *, layout: bool, exact: bool) -> None:
        super().__init__()
        self._layout = layout
        self._exact = exact

    def of(self, markup: Sequence[str]) -> list[str | _Special]:
        """What is made of each piece."""
        return [self[piece] if len(piece) < _KEPT else self._read(piece) for piece in markup]

    def __missing__(self, piece: str) -> str | _Special:
        if len(self) >= _MOST:
            self.clear()
        made = self[piece] = self._read(piece)
        return made

    def _read(self, piece: str) -> str | _Special:
        markup = piece.rstrip(BLANKS)
        blank = piece[len(markup) :]
        if link := _LINK.match(markup):
            target = _CONTROLS.sub("", unescaped_value(link[1] or link[2] or "").strip())
            return _Special(_Reading.LINK, target, " " if blank else "")
        token = next(tokens(markup))
        if blank:
            blank = "\n" if "\n" in blank and token.name in _BLOCKS else " "
        match token.name:
            case "a":
                target = (token.value("href") or "") if token.kind == "start" else ""
                return _Special(_Reading.LINK, _CONTROLS.sub("", target.strip()), blank)
            case "img":
                return _Special(_Reading.IMAGE, _CONTROLS.sub("", (token.value("alt") or "").strip()), blank)
            case "q":
                return _Special(_Reading.QUOTE, '"', blank)
            case name if token.kind in {"start", "end"} and name not in _UNSEEN:
                return self._tag(markup, token, blank)
            case _:
                return blank

    def _tag(self, markup: str, token: Token, blank: str) -> str | _Special:
        name = token.name
        attributes = _attributes_that_count(markup, token) if token.kind == "start" else ""
        if name in _UNMARKED:
            if not self._exact:
                return _AGAIN if attributes and _HIDES.search(attributes) else blank
            name = "span"
        elif name == "pre" and not self._exact:
            return _AGAIN
        if self._layout and name in _OF_TABLES:
            name = "div"
        return f"<{'/' if token.kind == 'end' else ''}{_READ_AS.get(name, name)}{attributes}>{blank}"


class _Pair(NamedTuple):
    """What is made of markup in tables of data, and elsewhere."""

    data: _Readings
    layout: _Readings


_QUICK: Final = _Pair(_Readings(layout=False, exact=False), _Readings(layout=True, exact=False))
_EXACT: Final = _Pair(_Readings(layout=False, exact=True), _Readings(layout=True, exact=True))


def _said(markup: Sequence[str], tables: Sequence[tuple[int, int]], readings: _Pair) -> list[str | _Special]:
    """What is made of each piece of markup.

    Args:
        markup: The pieces.
        tables: Where tables of data begin and end.
        readings: What is known of markup.
    """
    if not tables:
        return readings.layout.of(markup)
    said: list[str | _Special] = []
    at = 0
    for start, end in tables:
        said += readings.layout.of(markup[at:start])
        said += readings.data.of(markup[start:end])
        at = end
    return said + readings.layout.of(markup[at:])


def _attributes_that_count(markup: str, token: Token) -> str:
    """The attributes of a start tag that the text depends on, with a blank before each."""
    if "=" not in markup and "hidden" not in markup.lower():
        return ""
    kept: dict[str, str] = {}
    for attribute in token.attributes:
        name = attribute.name
        if name in _COUNT:
            kept.setdefault(name, f" {markup[attribute.start : attribute.end]}")
        elif name == "style":
            value = attribute.value or ""
            if not _OF_SHOWING.search(value):
                kept.setdefault(name, "")
            elif _NOT_ONLY_DECLARATIONS.search(value):
                kept.setdefault(name, f" {markup[attribute.start : attribute.end]}")
            else:
                declarations = [one for one in value.split(";") if _SHOWS.match(one)]
                kept.setdefault(name, f' style="{";".join(declarations)}"' if declarations else "")
    return "".join(kept.values())
