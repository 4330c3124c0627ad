"""The text that is made from HTML, for all records at once where that comes to the same.

HTML that is rendered is the template's own texts and what a record filled in by turns. Records with the same own texts
(the same branches of conditions, as many turns of loops) have the same text, but for these values. So it is made once
for each such skeleton, with tokens in the places of the values.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchsend.message.html_tokens import tokens, unescaped, unescaped_value
from batchsend.message.text import address_of, outline_of, text_from_html
from batchsend.message.text_layout import laid_out
from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.message.encoding import Encoded
    from batchsend.message.html_tokens import Attribute
    from batchsend.message.template import StructuredTemplate
    from batchsend.message.texts import Rendered, Text

_MOST: Final = 2_000_000
"""Characters of the skeletons that are kept."""
_LARGEST: Final = 500_000
"""Characters of one that is."""
_MOST_ONCE: Final = 1_000
"""Skeletons that have been met once, of which only a number is kept."""
_UNLIKE: Final = 100
"""So many records in a row without a known skeleton: each brings markup of its own, and is seldom looked at so."""
_SELDOM: Final = 16
"""One record of so many is, then."""

# Attributes that do not change what is shown of a text, or are said in it.
_SAID: Final = frozenset(
    {*("href", "src", "alt", "title", "background", "class", "id", "name", "target", "rel", "width", "height")}
    | {*("bgcolor", "color", "align", "valign", "border", "cellpadding", "cellspacing")}
)
_OF_COLOUR: Final = late_pattern(r"\s*+(?:background|border|color|fill)[a-z-]*+\s*+:", re.IGNORECASE)
# What ends with this may be the beginning of a tag or of a character reference, of which a value is the rest.
_BEGUN: Final = late_pattern(r"(?:&[#\w]{0,40}|<[/!?]?[\w:-]{0,40})\Z")
# What begins with this may be the end of a comment, of which a value is the beginning.
_ENDED: Final = late_pattern(r"-{0,2}!?>")
_REFERENCE_BEGUN: Final = late_pattern(r"&[#\w]*+\Z")
_WEB: Final = ("https://", "http://")
_DIRECT: Final = ("mailto:", "tel:")
_BREAKS_OUT: Final = late_pattern(r"[<>\"']")
_BLANKS: Final = late_pattern(r"^ |  | $", re.MULTILINE)
_HIDES: Final = late_pattern(r"none|hidden|:\s*0|;", re.IGNORECASE)


class HtmlAndText:
    """The HTML of a campaign and the text that is made from it.

    Args:
        html: The HTML, as messages have it; nothing is done to it once it is rendered.
        template: Its template, in which what is filled in can be told from what is not.
        encoded: Encodes a text.

    Raises:
        RecordError: The HTML cannot be read.
    """

    def __init__(self, html: Text, template: StructuredTemplate, encoded: Callable[[str], Encoded]) -> None:
        self._html = html
        self._template = template
        self._encoded = encoded
        self._token = secrets.token_hex(8)
        self._known: dict[tuple[str, ...], DerivedText | None] = {}
        self._size = 0
        self._once: set[int] = set()
        self._unlike = 0
        if template.own is not None:
            self._learned(template.own)

    def render(self, variables: dict[str, Any]) -> tuple[Rendered, Encoded]:
        """The HTML and the text of one record.

        Raises:
            RecordError: It cannot be rendered with this record.
        """
        template = self._template
        self._unlike += 1
        if self._unlike > _UNLIKE and self._unlike % _SELDOM:
            html = self._html.render(variables)
            return html, self._encoded(text_from_html(html[0]))
        own, values = template.own_and_data(variables)
        html = self._html.render(variables) if template.own is not None else self._html.encoded(joined(own, values))
        if "" in values or "<" in "".join(values):
            own, values = _with_structure(own, values)
        derived = self._known[own] if own in self._known else self._met(own)
        text = None if derived is None else derived.text(values)
        if text is not None:
            self._unlike = 0
        return html, self._encoded(text_from_html(html[0]) if text is None else text)

    def _met(self, own: tuple[str, ...]) -> DerivedText | None:
        """What is learned of a skeleton that is met for the second time; perhaps no other record is like the first."""
        key = hash(own)
        if key in self._once:
            return self._learned(own)
        if len(self._once) >= _MOST_ONCE:
            self._once.clear()
        self._once.add(key)
        return None

    def _learned(self, own: tuple[str, ...]) -> DerivedText | None:
        size = sum(map(len, own))
        if size > _LARGEST:
            return None
        self._size += size
        while self._size > _MOST:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._size -= sum(map(len, oldest))
        derived = self._known[own] = DerivedText.of(own, self._token)
        return derived


def joined(own: Sequence[str], between: Sequence[str]) -> str:
    """Texts and what stands between each and the next."""
    pieces = [""] * (2 * len(own) - 1)
    pieces[::2] = own
    pieces[1::2] = between
    return "".join(pieces)


def _with_structure(own: Sequence[str], values: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The same document with values that decide what it is made of, markup and nothing at all, among the own texts."""
    texts, others = [own[0]], list[str]()
    for value, text in zip(values, own[1:], strict=True):
        if not value or "<" in value:
            texts[-1] += value + text
        else:
            others.append(value)
            texts.append(text)
    return tuple(texts), others


class _Outline(NamedTuple):
    """A text with places for values.

    Attributes:
        own: The texts between them.
        places: Which values stand there.
    """

    own: tuple[str, ...]
    places: tuple[int, ...]

    def filled(self, values: Sequence[str]) -> str:
        """The text with these values."""
        return joined(self.own, [values[place] for place in self.places])


class _Link(NamedTuple):
    """A link of which the values decide whether its address stands in the text: it may be what is said of it.

    Attributes:
        said: What the reader sees of it.
        target: Where it leads.
    """

    said: _Outline
    target: _Outline


class DerivedText:
    """The text of one skeleton.

    Args:
        outline: What is to be laid out, with places for the values; behind these, for the values as addresses; and
            behind those, for the addresses of ``links``.
        addresses: Which values stand in addresses.
        links: The links of which each record's values decide whether their addresses stand in the text.
        styles: The values that stand in ``style`` attributes.
    """

    def __init__(
        self, outline: _Outline, addresses: Sequence[int], links: Sequence[_Link], styles: Sequence[int]
    ) -> None:
        self._outline = outline
        self._addresses = addresses
        self._links = links
        self._styles = styles

    @classmethod
    def of(cls, own: Sequence[str], token: str) -> DerivedText | None:
        """The text of a skeleton; None where a value could change more than the places where it stands.

        Args:
            own: The template's own texts.
            token: What none of them has.

        Raises:
            RecordError: The HTML cannot be read.
        """
        if any(map(_BEGUN.search, own[:-1])) or any(map(_ENDED.match, own[1:])):
            return None
        numbered = [f"v{token}n{number}e" for number in range(len(own) - 1)]
        document = joined(own, numbered)
        mark = re.compile(f"v{token}([nal])([0-9]+)e")
        styles = _styles(document, mark)
        if styles is None:
            return None
        links: list[_Link] = []

        def address(said: str, target: str) -> str:
            decided = not _is_number(target, mark) and _differ(mark.split(said), mark.split(target))
            if not said.strip() or decided:
                return address_of(said, target).replace(f"v{token}n", f"v{token}a")
            links.append(_Link(_outline_of(said, mark), _outline_of(target, mark)))
            return f"v{token}l{len(links) - 1}e"

        parts = mark.split(outline_of(document, address))
        if _stands_apart(parts):
            return None
        marks = [(kind, int(number)) for kind, number in zip(parts[1::3], parts[2::3], strict=True)]
        addresses = sorted({number for kind, number in marks if kind == "a"})
        behind = {"n": 0, "l": len(own) - 1 + len(addresses)}
        places = [
            len(own) - 1 + addresses.index(number) if kind == "a" else behind[kind] + number for kind, number in marks
        ]
        return cls(_Outline(tuple(parts[::3]), tuple(places)), addresses, links, sorted(styles))

    def text(self, values: Sequence[str]) -> str | None:
        """The text with a record's values; None where these do not stand in it as they are.

        HTML knows no two blanks in a row, nor any around a text, and a paragraph with nothing in it is none.

        Args:
            values: As they stand in the HTML.
        """
        plain = "".join(values)
        if _BREAKS_OUT.search(plain):
            return None
        if "&" in plain:
            if any(map(_REFERENCE_BEGUN.search, values)):
                return None
            escaped, values = values, [unescaped(value) for value in values]
            if (self._addresses or self._links) and values != [unescaped_value(value) for value in escaped]:
                return None
            plain = "".join(values)
        if not plain.isprintable() or "" in values or (" " in plain and _BLANKS.search("\n".join(values))):
            return None
        if any(_HIDES.search(values[place]) for place in self._styles):
            return None
        if self._addresses:
            values = [*values, *[values[place].replace(" ", "%20") for place in self._addresses]]
        if self._links:
            given = values
            values = [*values, *[address_of(one.said.filled(given), one.target.filled(given)) for one in self._links]]
        return laid_out(self._outline.filled(values))


def _styles(document: str, mark: re.Pattern[str]) -> set[int] | None:
    """The values that stand in ``style`` attributes; None where a value could change what is shown, or how, elsewhere.

    Args:
        document: The HTML with tokens in the places of values.
        mark: What finds these.
    """
    found: set[int] = set()
    for one in tokens(document):
        if one.kind in {"text", "comment"} or mark.search(document, one.start, one.end) is None:
            continue
        if one.kind != "start" or mark.search(one.name):
            return None
        for attribute in one.attributes:
            if mark.search(attribute.name) or not _stands_alone(attribute, mark):
                return None
            if attribute.name == "style":
                found.update(int(number) for _, number in mark.findall(attribute.value or ""))
    return found


def _stands_alone(attribute: Attribute, mark: re.Pattern[str]) -> bool:
    """Whether what a record brings into an attribute changes nothing beside it."""
    if mark.search(attribute.value or "") is None:
        return True
    if attribute.end == attribute.value_end:  # without quotation marks, a blank ends it
        return False
    if attribute.name == "style":
        declarations = [one for one in unescaped(attribute.value or "").split(";") if mark.search(one)]
        return all(map(_OF_COLOUR.match, declarations))
    return attribute.name in _SAID or attribute.name.startswith("data-")


def _stands_apart(parts: Sequence[str]) -> bool:
    """Whether the address of one of the undecided links stands behind a blank or in a line of its own.

    Args:
        parts: Texts, kinds and numbers of marks by turns. A link that says nothing but a value is glued to that.
    """
    texts, kinds = parts[::3], parts[1::3]
    return any(
        kind == "l" and not (text[-1:].strip() or (place and not text))
        for place, (text, kind) in enumerate(zip(texts, kinds, strict=False))
    )


def _differ(said: Sequence[str], target: Sequence[str]) -> bool:
    """Whether values decide nothing of a link: it has none, or begins with other words than its address does.

    Args:
        said: What the reader sees of it; texts, kinds and numbers of marks by turns.
        target: Where it leads; likewise.
    """
    if len(said) == 1 and len(target) == 1:
        return True
    beginnings: list[str] = []
    for parts, schemes in ((said, _WEB), (target, (*_DIRECT, *_WEB))):
        beginning = " ".join(parts[0].split())
        for scheme in schemes:
            if scheme.startswith(beginning) and len(parts) > 1:
                return False
            beginning = beginning.removeprefix(scheme)
        beginnings.append(beginning)
    first, second = beginnings
    return bool(first and second) and not first.startswith(second) and not second.startswith(first)


def _is_number(target: str, mark: re.Pattern[str]) -> bool:
    """Whether values stand in a telephone number, whose blanks are not encoded."""
    return target[:4].lower() == "tel:" and mark.search(target) is not None


def _outline_of(text: str, mark: re.Pattern[str]) -> _Outline:
    parts = mark.split(text)
    return _Outline(tuple(parts[::3]), tuple(map(int, parts[2::3])))
