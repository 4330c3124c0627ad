"""The cascade (CSS Cascading Level 4 §6) of a document whose rules are written into style attributes.

A style attribute beats every normal declaration of a sheet. A reader that understands sheets is to show the same
as before, so this decides what is inlined where, in which order, and what in the sheets has to become important now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from batchsend.message.css_rules import Declaration, StyleRule, declarations, is_structural, looks_at_values, related

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchsend.message.html_tokens import Token


class RankedRule(NamedTuple):
    """A rule at its place.

    Attributes:
        rule: The rule.
        rank: Its place among all normal declarations: by specificity, then by order.
        conditional: Whether it holds under conditions only, its sheet's included.
        offset: Where its sheet begins in the source.
    """

    rule: StyleRule
    rank: tuple[tuple[int, int, int], int]
    conditional: bool
    offset: int


class Cascade:
    """Decides what is written into the style attribute of each tag.

    Args:
        source: The document or template.
        known: Its rules, in order.
        tags: Its start tags, in order.
        matched: Which rules match which tag; those that do not match now, and might, as their complements.

    Attributes:
        looks_at_values: Whether a rule looks at the values of attributes, or at whether there is any text.
        is_structural: Whether a rule looks at neighbours.
    """

    def __init__(self, source: str, known: list[RankedRule], tags: list[Token], matched: dict[int, list[int]]) -> None:
        self.looks_at_values = any(looks_at_values(one.rule) for one in known)
        self.is_structural = any(is_structural(one.rule) for one in known)
        self._source = source
        self._known = known
        self._tags = tags
        self._base: dict[int, list[int]] = {}
        self._conditional: dict[int, list[int]] = {}
        for place, numbers in matched.items():
            base = [number for number in numbers if number >= 0 and not known[number].conditional]
            if base:
                self._base[place] = sorted(base, key=lambda number: known[number].rank)
                later = {number if number >= 0 else ~number for number in numbers if number < 0 or number not in base}
                self._conditional[place] = sorted(later, key=lambda number: known[number].rank, reverse=True)
        self._own = {place: declarations(_own_style(tags[place])) for place in self._base}
        self._made: dict[object, str] = {}
        self._marked: set[tuple[int, int]] = set()

    def written(self) -> str:
        """The source with the style attributes in it, and ``!important`` where a sheet needs it now."""
        edits = [edit for tag, style in self.styles() if (edit := edited(self._source, tag, style))]
        return changed(self._source, [*edits, *self.important()])

    def styles(self) -> Iterator[tuple[Token, str]]:
        """What each tag gets, as `edited` takes it."""
        self._mark()
        for place in self._base:
            tag = self._tags[place]
            key = (*self._kind(place), _quote(self._source, tag))
            style = self._made.get(key)
            if style is None:
                style = self._made[key] = self._style(place)
            if style != "\0":
                yield tag, style

    def important(self) -> list[tuple[int, int, str]]:
        """What is written into the sheets; known after `styles`."""
        ends = {
            self._known[rule].offset + self._known[rule].rule.declarations[place].end for rule, place in self._marked
        }
        return [(end, end, " !important") for end in ends]

    def _mark(self) -> None:
        """Find the conditional declarations that have to beat what is inlined, and may.

        A style attribute beats every normal declaration of a sheet. One that held before has to become important, and
        may where that lets it beat nothing else: on every element, it won over all that is related to it.
        """
        concerned: dict[int, list[int]] = {}
        for place, numbers in self._conditional.items():
            for number in numbers:
                concerned.setdefault(number, []).append(place)
        for number in sorted(concerned, key=lambda number: self._known[number].rank, reverse=True):
            for place, declaration in enumerate(self._known[number].rule.declarations):
                if not declaration.important and self._may_win(number, declaration, concerned[number]):
                    self._marked.add((number, place))

    def _kind(self, place: int) -> tuple[object, ...]:
        """What decides about a tag: there are few kinds, however many tags."""
        return tuple(self._base[place]), tuple(self._conditional[place]), self._own[place]

    def _may_win(self, number: int, declaration: Declaration, places: list[int]) -> bool:
        """Whether a conditional declaration beats what is inlined, and before beat all that it would as important."""
        kinds = {self._kind(place): place for place in places}
        answers = [self._wins(number, declaration, place) for place in kinds.values()]
        return None not in answers and True in answers

    def _wins(self, number: int, declaration: Declaration, place: int) -> bool | None:
        """Whether it beats something there that is inlined; None where it does not beat all."""
        if any(related(declaration.name, own.name) for own in self._own[place]):
            return None
        rank = self._known[number].rank
        wins = False
        for other in self._base[place]:
            for one in self._known[other].rule.declarations:
                if related(declaration.name, one.name):
                    if one.important or self._known[other].rank > rank:
                        return None
                    wins = True
        for other in self._conditional[place]:
            if self._known[other].rank <= rank:
                break
            if self._holds_back(other, declaration):
                return None
        return wins

    def _holds_back(self, conditional: int, declaration: Declaration) -> bool:
        """Whether a conditional rule sets the same thing by a declaration that is not important and stays so."""
        return any(
            related(declaration.name, one.name) and not one.important and (conditional, at) not in self._marked
            for at, one in enumerate(self._known[conditional].rule.declarations)
        )

    def _style(self, place: int) -> str:
        """What is inlined into a tag: normal declarations, its own, important ones, in the order of the cascade."""
        normal: list[Declaration] = []
        important: list[Declaration] = []
        for number in self._base[place]:
            for one in self._known[number].rule.declarations:
                if one.important:
                    important.append(one)
                elif not self._is_overridden(place, number, one):
                    normal.append(one)
        own = self._own[place]
        before = _without_beaten([*normal], [*own, *important])
        after = _without_beaten(important, [])
        quote = _quote(self._source, self._tags[place])
        return "\0".join(["; ".join([_said(one, quote) for one in part]) for part in (before, after)])

    def _is_overridden(self, place: int, number: int, declaration: Declaration) -> bool:
        """Whether a conditional declaration has to win here that is not important, and not to be made so."""
        for other in self._conditional[place]:
            if self._known[other].rank < self._known[number].rank:
                break
            if self._holds_back(other, declaration):
                return True
        return False


def _without_beaten(found: list[Declaration], later: list[Declaration]) -> list[Declaration]:
    """The declarations that are not set anew later, or to what not every reader may know: a function's value."""
    kept: list[Declaration] = []
    names = {one.name for one in later if "(" not in one.value}
    for one in reversed(found):
        if one.name not in names:
            kept.append(one)
            if "(" not in one.value:
                names.add(one.name)
    return kept[::-1]


def _said(declaration: Declaration, quote: str) -> str:
    """A declaration as it stands in an attribute with these quotation marks."""
    value = " ".join(declaration.value.split()).replace("&", "&amp;")
    other = "'" if quote == '"' else '"'
    value = value.replace(quote, other if other not in value else "&quot;" if quote == '"' else "&#39;")
    return f"{declaration.name}: {value}"


def _own_style(tag: Token) -> str:
    return tag.value("style") or ""


def _quote(source: str, tag: Token) -> str:
    for attribute in tag.attributes:
        if attribute.name == "style" and source[attribute.value_end : attribute.value_end + 1] == "'":
            return "'"
    return '"'


def edited(source: str, tag: Token, style: str) -> tuple[int, int, str] | None:
    """How a tag gets a style attribute, or more in the one that it has.

    Args:
        source: What the tag stands in.
        tag: The tag.
        style: What stands before its own style, a NUL, and what stands behind.
    """
    before, _, after = style.partition("\0")
    if any(mark in style for mark in ("{{", "{%", "{#")):
        return None
    for attribute in tag.attributes:
        if attribute.name == "style":
            quote = _quote(source, tag)
            own = source[attribute.value_start : attribute.value_end].strip().rstrip("; ")
            together = "; ".join([part for part in (before, own, after) if part])
            whole = source[attribute.start : attribute.end]
            return attribute.start, attribute.end, f"{whole[:5]}={quote}{together}{quote}"
    end = tag.attributes[-1].end if tag.attributes else tag.start + 1 + len(tag.name)
    return end, end, f' style="{"; ".join([part for part in (before, after) if part])}"'


def changed(source: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """The source with these pieces of it replaced; no two of them overlap."""
    pieces: list[str] = []
    at = 0
    for start, end, new in sorted(edits):
        pieces += [source[at:start], new]
        at = end
    pieces.append(source[at:])
    return "".join(pieces)
