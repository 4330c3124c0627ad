"""The plain-text body where the campaign has none: what a reader of the HTML would read, as a person would write it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from batchsend.errors import RecordError
from batchsend.message.text_layout import laid_out, outlined
from batchsend.message.text_markup import MEANING, STAND_INS, exchanged, prepared, with_layout_as_blocks
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.message.text_markup import Address


_FOLDS: Final = str.maketrans("", "", "\t\n\r")
_BLANK: Final = late_pattern(r"\s")


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
        text = outlined(_converter(compact=True)(prepared(html, address)))
        return exchanged(text, STAND_INS, MEANING)
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"text: cannot be derived from the HTML: {type(error).__name__}") from error


def markdown_from_html(html: str) -> str:
    """The same as Markdown, for who shows that: emphasis, links and headings are marked, and what looks so is escaped.

    Raises:
        RecordError: As `text_from_html`.
    """
    try:
        text = _converter(compact=False)(with_layout_as_blocks(html))
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"text: cannot be derived from the HTML: {type(error).__name__}") from error
    return "".join([f"{line.rstrip()}\n" for line in text.strip("\n").split("\n")])


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
    return f" <{_written_out(target)}>"


def _written_out(target: str) -> str:
    """An address without blanks: browsers leave out those that fold its lines, and encode the others (URL standard)."""
    target = target.translate(_FOLDS)
    if target[:4].lower() == "tel:":
        return "".join(target.split())
    return _BLANK.sub(lambda blank: quote(blank[0]), target)


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
