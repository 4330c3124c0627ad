"""The plain-text body where the campaign has none: what a reader of the HTML would read, as a person would write it."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from markupsafe import escape

from batchsend.errors import RecordError
from batchsend.message.html_tokens import pieces_of, tokens, unescaped
from batchsend.message.text_layout import laid_out, outlined
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # What is written behind a link: of what the reader sees of it, and of where it leads.
    Address = Callable[[str, str], str]


_HEADER_CELL = late_pattern(r"<[tT][hH]")
_TABLE_TAG = late_pattern(r"<(/?)(?:table|caption|thead|tbody|tfoot|tr|td|th|center)(?=[\s/>])", re.IGNORECASE)
# A table of data: it has header cells and no table inside. Every other table of an e-mail only places things.
_DATA_TABLE = late_pattern(
    r"<table(?=[\s>])(?>(?:(?!</?table[\s>]).)*?<th[\s>])(?:(?!</?table[\s>]).)*+</table\s*>", re.IGNORECASE | re.DOTALL
)

# What Markdown gives a meaning, and the control characters that stand for it until the text is there: HTML shows none,
# so those of the source are left out. Character references can bring the few that are not among them.
_MEANING: Final = "\\`*_{}[]()#+-.!|~>=<"
_STAND_INS: Final = "\x80\x82\x83\x84\x86\x87\x88\x89\x8a\x8b\x8c\x8e\x91\x92\x93\x94\x95\x96\x97\x98"
_PRE: Final = late_pattern(r"<(/?)pre(?=[\s/>])", re.IGNORECASE)
_CONTROLS: Final = late_pattern(r"[\0-\x08\x0b\x0e-\x1f\x80-\x84\x86-\x9f]")

# Elements whose tags would become signs that nobody types in a letter.
_UNMARKED: Final = frozenset(
    {*("b", "strong", "i", "em", "u", "s", "del", "ins", "mark", "code", "kbd", "samp", "tt", "var", "dfn")}
    | {*("video", "audio", "embed", "object")}
)
# What is shown nowhere in the text. The library would leave it out too, and take the square of its length for it.
_UNSEEN: Final = frozenset({"style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes"})
# Elements that are read as others, which have no signs of their own either.
_READ_AS: Final = {
    **dict.fromkeys(("h3", "h4", "h5", "h6"), "h2"),
    **dict.fromkeys(("summary", "legend", "caption"), "div"),
}


_KEPT: Final = 300
"""Characters of the markup that `_read` keeps what it read of."""


def text_from_html(html: str) -> str:
    """Say in plain text what the HTML says: links keep their addresses, hidden text and images are left out.

    An image that is a link by itself is said by its alternative text. Whatever stands in the HTML stands in the text as
    it is: nothing is escaped.

    Args:
        html: A rendered document or fragment.

    Raises:
        RecordError: The HTML cannot be read.
    """
    return laid_out(outline_of(html, address_of))


def outline_of(html: str, address: Address) -> str:
    """The text, but for what is as long as something else: `laid_out` settles that.

    Args:
        html: A rendered document or fragment.
        address: What is written behind a link.

    Raises:
        RecordError: The HTML cannot be read.
    """
    try:
        if not html.replace("\n", "").isprintable():
            html = _CONTROLS.sub("", html)
        if has_data := _HEADER_CELL.search(html) is not None:
            html = _without_layout(html)
        text = outlined(_converter(compact=True)(_prepared(html, address, has_data=has_data)))
        return _exchanged(text, _STAND_INS, _MEANING)
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"text: cannot be derived from the HTML: {type(error).__name__}") from error


def markdown_from_html(html: str) -> str:
    """The same as Markdown, for who shows that: emphasis, links and headings are marked, and what looks so is escaped.

    Raises:
        RecordError: As `text_from_html`.
    """
    try:
        text = _converter(compact=False)(_with_said_images(_without_layout(html)))
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"text: cannot be derived from the HTML: {type(error).__name__}") from error
    return "".join([f"{line.rstrip()}\n" for line in text.strip("\n").split("\n")])


def _with_said_images(html: str) -> str:
    """The HTML with images that are links as what is said of them; a link of nothing would be called by its address."""
    pieces = pieces_of(html)
    target = ""
    for place, markup in enumerate(pieces[1::2]):
        reading, said = _read.__wrapped__(markup)
        if reading is _Reading.LINK:
            target = said
        elif reading is _Reading.IMAGE and target and said:
            pieces[2 * place + 1] = str(escape(said))
    return "".join(pieces)


def address_of(said: str, target: str) -> str:
    """What follows a link: where it leads, in angle brackets (RFC 3986, appendix C), unless that is clear.

    Args:
        said: What the reader sees of it.
        target: Where it leads.
    """
    if not target or target.startswith("#"):
        return ""
    said = " ".join(said.split())
    if not said:
        return ""
    bare = target.removeprefix("mailto:").removeprefix("tel:").removeprefix("https://").removeprefix("http://")
    if said.removeprefix("https://").removeprefix("http://").rstrip("/") == bare.rstrip("/"):
        return ""
    return f" <{''.join(target.split())}>"


def _without_layout(html: str) -> str:
    """The HTML with layout tables as blocks: as tables they would read as rows of pipes."""
    pieces: list[str] = []
    at = 0
    if _HEADER_CELL.search(html):
        for table in _DATA_TABLE.finditer(html):
            pieces += [_TABLE_TAG.sub(r"<\1div", html[at : table.start()]), table.group()]
            at = table.end()
    pieces.append(_TABLE_TAG.sub(r"<\1div", html[at:]))
    return "".join(pieces)


def _prepared(html: str, address: Address, *, has_data: bool) -> str:
    """The HTML as the library is given it: what it would escape or mark as Markdown stands in for itself.

    Args:
        html: A document or fragment.
        address: What is written behind a link.
        has_data: Whether the tables that are left in it are tables of data; otherwise they only place things.
    """
    pieces = pieces_of(html)
    read = _read if has_data else _read_as_layout
    texts = pieces[::2]
    if "&" in html:  # all at once, which is as good: no reference goes on behind a tag
        texts = unescaped("\0".join(texts)).split("\0")
    target, opened = "", 0  # where the last link leads, and its place among the markup
    markup: list[str] = []
    for place, piece in enumerate(pieces[1::2]):
        reading, said = read(piece) if len(piece) < _KEPT else read.__wrapped__(piece)
        if reading is not _MARKUP:
            if reading is _Reading.LINK:
                if target:
                    texts[place] += address("".join(texts[opened + 1 : place + 1]), target)
                target, opened = said, place
            elif reading is _Reading.QUOTE:
                texts[place] += said
            elif target and said:
                texts[place] += f" {said} "
            said = ""
        markup.append(said)
    if target:
        texts[-1] += address("".join(texts[opened + 1 :]), target)
    literal = _exchanged("\0".join(texts), _MEANING, _STAND_INS).replace("&", "&amp;")
    texts = literal.split("\0")
    if "\t" in literal or "\f" in literal:
        _blank(texts, markup)
    pieces[::2] = texts
    pieces[1::2] = markup
    return "".join(pieces)


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
    """What is made of a piece of markup."""

    MARKUP = auto()
    LINK = auto()
    IMAGE = auto()
    QUOTE = auto()


_MARKUP: Final = _Reading.MARKUP


@lru_cache(maxsize=2_000)
def _read(markup: str) -> tuple[_Reading, str]:
    """What is made of a piece of markup, and what it says: other markup, an address, a description or a sign.

    The messages of a campaign have most of their tags in common.
    """
    token = next(tokens(markup))
    match token.name:
        case "a":
            target = (token.value("href") or "").strip() if token.kind == "start" else ""
            return _Reading.LINK, target
        case "img":
            return _Reading.IMAGE, (token.value("alt") or "").strip()
        case "q":
            return _Reading.QUOTE, '"'
        case name if name in _READ_AS:
            return _Reading.MARKUP, f"<{'' if token.kind == 'start' else '/'}{_READ_AS[name]}>"
        case name if token.kind in {"start", "end"} and name not in _UNMARKED and name not in _UNSEEN:
            return _Reading.MARKUP, markup
        case _:
            return _Reading.MARKUP, ""


@lru_cache(maxsize=2_000)
def _read_as_layout(markup: str) -> tuple[_Reading, str]:
    """The same where no table is one of data: each is read as blocks."""
    tag = _TABLE_TAG.match(markup)
    return _read.__wrapped__(markup if tag is None else f"<{tag[1]}div{markup[tag.end() :]}")


def _exchanged(text: str, these: str, those: str) -> str:
    """A text with characters exchanged: one look for each is quicker than one at each character of the text."""
    for old, new in zip(these, those, strict=True):
        text = text.replace(old, new)
    return text


@cache
def _converter(*, compact: bool) -> Callable[[str], str]:
    """The library's conversion to Markdown.

    Args:
        compact: Leave the columns of tables as narrow as each cell, and headings without lines below: `outlined`.
    """
    # A large library, needed by campaigns without a text of their own.
    import html_to_markdown as library  # noqa: PLC0415

    # All that are names of something are given as what they name: the library would look them up for each message.
    options = library.ConversionOptions(
        heading_style=library.HeadingStyle.ATX if compact else library.HeadingStyle.UNDERLINED,
        code_block_style=library.CodeBlockStyle.INDENTED,
        hidden_content=library.HiddenContent.DROP,
        list_indent_type=library.ListIndentType.SPACES,
        highlight_style=library.HighlightStyle.DOUBLE_EQUAL,
        whitespace_mode=library.WhitespaceMode.NORMALIZED,
        newline_style=library.NewlineStyle.SPACES,
        inline_data_media=library.InlineDataMedia.KEEP,
        url_escape_style=library.UrlEscapeStyle.ANGLE,
        link_style=library.LinkStyle.INLINE,
        output_format=library.OutputFormat.MARKDOWN,
        tier_strategy=library.TierStrategy.AUTO,
        extract_metadata=False,
        skip_images=True,
        compact_tables=compact,
        expand_abbreviations=False,  # their titles are no more shown than any other
        preprocessing=library.PreprocessingOptions(  # it takes headers and navigation for noise
            enabled=False, preset=library.PreprocessingPreset.STANDARD
        ),
    )
    return lambda html: library.convert(html, options).content or ""
