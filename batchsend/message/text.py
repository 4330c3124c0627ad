"""The plain-text body where the campaign has none: what a reader of the HTML would read, as a person would write it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from batchsend.errors import RecordError
from batchsend.message.html_tokens import text_of, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_TABLE_TAG = re.compile(r"<(/?)(?:table|caption|thead|tbody|tfoot|tr|td|th|center)(?=[\s/>])", re.IGNORECASE)
# A table of data: it has header cells and no table inside. Every other table of an e-mail only places things.
_DATA_TABLE = re.compile(
    r"<table(?=[\s>])(?>(?:(?!</?table[\s>]).)*?<th[\s>])(?:(?!</?table[\s>]).)*+</table\s*>", re.IGNORECASE | re.DOTALL
)

# What Markdown gives a meaning, and what stands for it until the text is there: characters for private use, which are
# taken to mean nothing by whoever writes messages.
_MEANING: Final = "\\`*_{}[]()#+-.!|~>=<"
_MEANT: Final = {ord(character): chr(0xF5A00 + place) for place, character in enumerate(_MEANING)}
_SAID: Final = {ord(stand_in): chr(character) for character, stand_in in _MEANT.items()}

# Elements whose tags would become signs that nobody types in a letter.
_UNMARKED: Final = frozenset({"b", "strong", "i", "em", "u", "s", "del", "ins", "mark", "code", "kbd", "samp", "tt"})
# What is shown nowhere in the text. The library would leave it out too, and take the square of its length for it.
_UNSEEN: Final = frozenset({"style", "script", "title"})
_LOWER_HEADINGS: Final = frozenset({"h3", "h4", "h5", "h6"})


def text_from_html(html: str) -> str:
    """Say in plain text what the HTML says: links keep their addresses, hidden text and images are left out.

    An image that is a link by itself is said by its alternative text. Whatever stands in the HTML stands in the text as
    it is: nothing is escaped.

    Args:
        html: A rendered document or fragment.

    Raises:
        RecordError: The HTML cannot be read.
    """
    try:
        text = _converter()("".join(_prepared(_without_layout(html))))
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"text: cannot be derived from the HTML: {type(error).__name__}") from error
    return _trimmed(text.translate(_SAID))


def _trimmed(text: str) -> str:
    """A text without blanks at the ends of its lines, nor blank lines around it."""
    return "".join([f"{line.rstrip()}\n" for line in text.strip("\n").split("\n")])


def markdown_from_html(html: str) -> str:
    """The same as Markdown, for who shows that: emphasis, links and headings are marked, and what looks so is escaped.

    Raises:
        RecordError: As `text_from_html`.
    """
    try:
        text = _converter()(_without_layout(html))
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"text: cannot be derived from the HTML: {type(error).__name__}") from error
    return _trimmed(text)


def _without_layout(html: str) -> str:
    """The HTML with layout tables as blocks: as tables they would read as rows of pipes."""
    pieces: list[str] = []
    at = 0
    if "<th" in html.lower():
        for table in _DATA_TABLE.finditer(html):
            pieces += [_TABLE_TAG.sub(r"<\1div", html[at : table.start()]), table.group()]
            at = table.end()
    pieces.append(_TABLE_TAG.sub(r"<\1div", html[at:]))
    return "".join(pieces)


def _prepared(html: str) -> Iterator[str]:
    """The HTML as the library is given it: what it would escape or mark as Markdown stands in for itself."""
    link = _Link("")
    for token in tokens(html):
        if token.kind == "text" and not token.name:  # of no style sheet, script or title
            text = text_of(html, token)
            link.said.append(text)
            yield _literal(text)
        elif token.name == "a" and token.kind in ("start", "end"):
            yield _literal(link.address)
            link = _Link((token.value("href") or "").strip() if token.kind == "start" else "")
        elif token.name == "img" and token.kind == "start":
            if link.target and (described := (token.value("alt") or "").strip()):
                link.said.append(described)
                yield f" {_literal(described)} "
        elif token.name in _LOWER_HEADINGS:
            yield "<h2>" if token.kind == "start" else "</h2>"
        elif token.name not in _UNMARKED and token.name not in _UNSEEN and html[token.end - 1] == ">":
            yield html[token.start : token.end]  # a tag that never ends is none to a browser either
    yield _literal(link.address)


class _Link:
    """A link on its way into the text.

    Args:
        target: Where it leads; nothing where there is no link.

    Attributes:
        target: As given.
        said: What the reader sees of it.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.said: list[str] = []

    @property
    def address(self) -> str:
        """What follows what is said: where it leads, in angle brackets (RFC 3986, appendix C), unless that is clear."""
        if not self.target or self.target.startswith("#"):
            return ""
        said = " ".join("".join(self.said).split())
        if not said:
            return ""
        bare = self.target.removeprefix("mailto:").removeprefix("tel:").removeprefix("https://").removeprefix("http://")
        if said.removeprefix("https://").removeprefix("http://").rstrip("/") == bare.rstrip("/"):
            return ""
        return f" <{''.join(self.target.split())}>"


def _literal(text: str) -> str:
    """A text as HTML in which nothing means anything."""
    return text.translate(_MEANT).replace("&", "&amp;")


@cache
def _converter() -> Callable[[str], str]:
    from html_to_markdown import (  # noqa: PLC0415 - a large library, needed by campaigns without a text of their own
        ConversionOptions,
        PreprocessingOptions,
        convert,
    )

    options = ConversionOptions(
        heading_style="underlined",
        code_block_style="indented",
        extract_metadata=False,
        skip_images=True,
        hidden_content="drop",
        preprocessing=PreprocessingOptions(enabled=False),  # it takes headers and navigation for noise
    )
    return lambda html: convert(html, options).content or ""
