"""Style sheets as style attributes, which every mail reader heeds: once where the template allows it."""

from __future__ import annotations

import re
import secrets
from functools import cache
from html.parser import HTMLParser
from itertools import accumulate
from typing import TYPE_CHECKING

from batchsend.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.message.template import Template

# Selectors that look at values: of attributes, and at whether there is any text.
_VALUE_SELECTOR = re.compile(r"\[|:empty", re.IGNORECASE)
_STYLES = re.compile(r"<style\b.*?</style", re.IGNORECASE | re.DOTALL)
_DEEPEST = 2_000  # the library goes six times as deep on a stack of eight megabytes
# Tags of elements that may lie within each other without end: neither void ones, nor those that close each other.
_NESTED = re.compile(
    r"<(?!/?(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|p|li|dt|dd|tr|td|th|option)[\s/>])"
    r"(/?)(table|[a-z])",
    re.IGNORECASE,
)
_CHOSEN_BY = frozenset({"class", "id", "style"})


def inlined(html: str) -> str:
    """A document with its ``<style>`` sheets in the style attributes of what they apply to.

    Rules that depend on the screen (``@media``) stay in a ``<style>``. Nothing is fetched or read from anywhere.

    Args:
        html: A rendered document; of a fragment, one is made.

    Raises:
        RecordError: It cannot be done.
    """
    require_shallow(html)
    try:
        return _inliner()(html)
    except Exception as error:  # the library is foreign code that reads whatever the record brought
        raise RecordError(f"inline_css: {type(error).__name__}: {str(error)[:200]!r}") from error


def inlined_source(template: Template) -> str | None:
    """The source of the same template with its style sheets inlined, for all records.

    A record changes which rules apply wherever it brings elements or what selectors look at. So this is for templates
    that fill in nothing but variables, and these in texts and in attributes that do not choose rules.

    Args:
        template: The HTML template; it has something to fill in.

    Returns:
        The source, or None where each record has to be inlined by itself.

    Raises:
        RecordError: As `inlined`.
    """
    filling = template.filling
    if filling is None:
        return None
    token = f"v{secrets.token_hex(8)}n"
    marks = [f"{token}{number}e" for number in range(len(filling.names))]
    document = "".join(filling.interleave(marks))
    if "{{" in document or "{%" in document or "{#" in document or not _fills_in_values_only(document, token):
        return None
    parts = re.split(f"{token}([0-9]+)e", inlined(document))
    if sorted(map(int, parts[1::2])) != list(range(len(marks))):
        return None
    parts[1::2] = [f"{{{{ {filling.names[int(number)]} }}}}" for number in parts[1::2]]
    return "".join(parts)


def _fills_in_values_only(document: str, token: str) -> bool:
    places = _Places(token)
    places.feed(document)
    places.close()
    if places.decides:
        return False
    looks_at_values = any(_VALUE_SELECTOR.search(style) for style in _STYLES.findall(document))
    return not looks_at_values


class _Places(HTMLParser):
    """Finds out whether a token stands where it could decide which rules apply.

    Args:
        token: What stands for data.

    Attributes:
        decides: Whether it does.
    """

    def __init__(self, token: str) -> None:
        super().__init__(convert_charrefs=False)
        self._token = token
        self.decides = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag: its own name, an attribute's name, or the value of one that selectors look at first."""
        for name, value in attrs:
            if self._token in name or (self._token in (value or "") and name in _CHOSEN_BY):
                self.decides = True
        if self._token in tag:
            self.decides = True

    def handle_data(self, data: str) -> None:
        """A text: harmless, except in a style sheet or a script."""
        if self.cdata_elem is not None and self._token in data:
            self.decides = True

    def handle_comment(self, data: str) -> None:
        """A comment: a conditional one may hold whole elements."""
        if self._token in data and "<" in data:
            self.decides = True


def require_shallow(html: str) -> None:
    """Let HTML pass whose elements lie no deeper within each other than the library's recursion goes.

    It would end the process. A tag that closes nothing is not counted, and one that is never closed is.

    Raises:
        RecordError: They lie deeper.
    """
    # A table brings at least a body, a row and a cell with it.
    levels = [(-1 if closes else 1) * (4 if len(name) > 1 else 1) for closes, name in _NESTED.findall(html)]
    if max(accumulate(levels, lambda depth, level: max(depth + level, 0)), default=0) > _DEEPEST:
        raise RecordError(f"inline_css: the HTML has more than {_DEEPEST:,} elements within each other")


@cache
def _inliner() -> Callable[[str], str]:
    import css_inline  # noqa: PLC0415 - only for campaigns that ask for it

    inliner = css_inline.CSSInliner(keep_at_rules=True, keep_link_tags=True, load_remote_stylesheets=False)
    return inliner.inline
