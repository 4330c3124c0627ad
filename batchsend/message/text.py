"""The plain-text body where the campaign has none: what a reader of the HTML would read."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from batchsend.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable

_TABLE_TAG = re.compile(r"<(/?)(?:table|caption|thead|tbody|tfoot|tr|td|th|center)(?=[\s/>])", re.IGNORECASE)
# A table of data: it has header cells and no table inside. Every other table of an e-mail only places things.
_DATA_TABLE = re.compile(
    r"<table(?=[\s>])(?>(?:(?!</?table[\s>]).)*?<th[\s>])(?:(?!</?table[\s>]).)*+</table\s*>", re.IGNORECASE | re.DOTALL
)


def text_from_html(html: str) -> str:
    """Say in plain text what the HTML says: links keep their addresses, hidden text and images are left out.

    Args:
        html: A rendered document or fragment.

    Raises:
        RecordError: The HTML cannot be read.
    """
    try:
        text = _converter()(_without_layout(html))
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"text: cannot be derived from the HTML: {type(error).__name__}") from error
    return "".join([f"{line.rstrip()}\n" for line in text.strip("\n").split("\n")])


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


@cache
def _converter() -> Callable[[str], str]:
    from html_to_markdown import (  # noqa: PLC0415 - a large library, needed by campaigns without a text of their own
        ConversionOptions,
        PreprocessingOptions,
        convert,
    )

    options = ConversionOptions(
        heading_style="underlined",
        extract_metadata=False,
        skip_images=True,
        hidden_content="drop",
        preprocessing=PreprocessingOptions(enabled=False),  # it takes headers and navigation for noise
    )
    return lambda html: convert(html, options).content or ""
