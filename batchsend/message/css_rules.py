"""Style sheets taken apart: selectors, declarations, what they depend on, and where each stands in the sheet.

One pass over the sheet, whatever it is like (CSS Syntax Module Level 3 §5, as far as rules and declarations go).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a brace, a semicolon or a comma in it would be mistaken for; and the brackets and marks themselves.
_PIECE: Final = re.compile(
    r"(?P<comment>/\*(?:[^*]|\*(?!/))*+(?:\*/)?|<!--|-->)|\"(?:[^\"\\\n]|\\[\s\S])*+\"?|'(?:[^'\\\n]|\\[\s\S])*+'?"
    r"|url\(\s*+(?![\"'\s])[^\"'()\\]*+\)|\\[\s\S]|(?P<mark>[{}();:,\[\]])",
    re.IGNORECASE,
)
_IMPORTANT: Final = re.compile(r"!\s*+important\s*+\Z", re.IGNORECASE)
_PROPERTY: Final = re.compile(r"-{0,2}[A-Za-z_][A-Za-z0-9_-]*")
_CONDITIONS: Final = re.compile(r"@(?:media|supports|layer|container|scope|document|-moz-document)\b", re.IGNORECASE)
# What holds of an element once and for all: every other pseudo-class depends on what happens to it.
_STATIC: Final = frozenset(
    {*("first-child", "last-child", "only-child", "nth-child", "nth-last-child", "first-of-type", "last-of-type")}
    | {*("only-of-type", "nth-of-type", "nth-last-of-type", "empty", "root", "not")}
)
_PSEUDO: Final = re.compile(r"::?([A-Za-z-]+)(\()?")
# One that is not closed ends with its line, as in `_PIECE`: otherwise each of many would look through all the rest.
_STRING: Final = re.compile(r"\"(?:[^\"\\\n]|\\[\s\S])*+\"?|'(?:[^'\\\n]|\\[\s\S])*+'?")
# A bracket that is not closed goes on to the end: otherwise the rest would be looked through for each of many.
_SPECIFIC: Final = re.compile(
    r"(?P<id>#[^\s#.:\[\]>+~*,()]++)|(?P<class>\.[^\s#.:\[\]>+~*,()]++|\[[^\]]*+\]?)|(?P<element>::[\w-]++)"
    r"|:(?P<negation>not)\(|(?P<pseudo>:[\w-]++(?:\([^)]*+\)?)?)|(?P<type>[^\s#.:\[\]>+~*,()]++)",
    re.IGNORECASE,
)
_STRUCTURAL: Final = re.compile(r"[+~]|:(?:first|last|only|nth|empty)", re.IGNORECASE)
_NAMED: Final = re.compile(r"\[(?:[^\]\"']|\"[^\"]*+\"|'[^']*+')*+\]?|(?P<name>[.#](?:\\[\s\S]|[\w-]|[^\x00-\x7f])++)")
_COMPOUND_END: Final = re.compile(r"[\s>+~]+(?=[^\s>+~]*$)")


class Declaration(NamedTuple):
    """One property and its value.

    Attributes:
        name: The property in lower case.
        value: Its value, without ``!important``.
        important: Whether it is.
        end: Where it ends in the sheet: there ``!important`` could be put.
    """

    name: str
    value: str
    important: bool
    end: int


class StyleRule(NamedTuple):
    """One selector with its declarations; a rule of several selectors is several of these.

    Attributes:
        selector: The selector.
        matching: The selector of the elements that it may concern some day: without what depends on what happens.
        specificity: How specific it is (Selectors Level 4 §17).
        conditional: Whether it holds under conditions only: on some screens, for some states, in some mail readers.
        declarations: In order.
    """

    selector: str
    matching: str
    specificity: tuple[int, int, int]
    conditional: bool
    declarations: tuple[Declaration, ...]


@lru_cache(maxsize=64)
def rules(sheet: str) -> tuple[StyleRule, ...]:
    """The rules of a style sheet, in order; those of ``@media`` and its like are conditional."""
    return tuple(_Scanner(sheet).rules())


@lru_cache(maxsize=4096)
def declarations(style: str) -> tuple[Declaration, ...]:
    """The declarations of a style attribute."""
    return tuple(_declarations(style, 0, len(style)))


def is_structural(rule: StyleRule) -> bool:
    """Whether a rule looks at an element's neighbours or contents."""
    return _STRUCTURAL.search(_STRING.sub("", rule.selector)) is not None


def looks_at_values(rule: StyleRule) -> bool:
    """Whether a rule looks at the values of attributes, or at whether there is any text."""
    return "[" in rule.selector or ":empty" in rule.selector.lower()


def related(one: str, other: str) -> bool:
    """Whether setting one property may set the other: they are the same, or one is short for both."""
    if one == other:
        return True
    if one.startswith("--") or other.startswith("--"):
        return False
    shorter, longer = sorted((one, other), key=len)
    return (
        longer.startswith(f"{shorter}-")
        or shorter == "all"
        or {shorter, longer} <= _FONT
        or {shorter, longer} <= _BOX
        or (shorter.startswith("border") and longer.startswith("border"))
    )


_FONT: Final = frozenset({"font", "line-height", "font-size", "font-family", "font-weight", "font-style"})
_BOX: Final = frozenset({"inset", "top", "right", "bottom", "left"})


class _Scanner:
    """Goes through a sheet once."""

    def __init__(self, sheet: str) -> None:
        self._sheet = sheet
        self._at = 0

    def rules(self) -> Iterator[StyleRule]:
        """The rules of the sheet, in order."""
        conditional = False
        # Blocks within blocks are kept on a list of our own: a sheet may open as many as it likes.
        outer: list[bool] = []
        broken = False
        while (found := self._prelude()) is not None:
            prelude, mark = found
            closed = bool(outer)
            if mark == "}" and outer:
                conditional = outer.pop()
            elif mark == "{":
                if broken:
                    self._skip_block()
                elif not prelude.startswith("@"):
                    start = self._at
                    end = self._skip_block()
                    yield from _rules(self._sheet, prelude, start, end, conditional=conditional)
                elif _CONDITIONS.match(prelude):
                    outer.append(conditional)
                    conditional = True
                else:
                    self._skip_block()
            # A semicolon ends an at-rule only. To what follows it belongs as a stray brace does, and breaks it (§5.4).
            broken = (mark == "}" and not closed) or (mark == ";" and not prelude.startswith("@"))

    def _prelude(self) -> tuple[str, str] | None:
        """What stands before the next ``{``, ``}`` or ``;``, without comments, and which of them it is."""
        pieces: list[str] = []
        depth = 0
        start = self._at
        while piece := _PIECE.search(self._sheet, self._at):
            self._at = piece.end()
            if piece["comment"]:
                pieces.append(self._sheet[start : piece.start()])
                start = piece.end()
            mark = piece["mark"]
            if mark in ("(", "["):
                depth += 1
            elif mark in (")", "]"):
                depth = max(depth - 1, 0)
            elif mark in ("{", "}") or (mark == ";" and not depth):
                pieces.append(self._sheet[start : piece.start()])
                return "".join(pieces).strip(), mark
        self._at = len(self._sheet)
        return None

    def _skip_block(self) -> int:
        """Go behind the ``}`` that ends the block that was just opened; returns where it stands."""
        depth = 1
        while piece := _PIECE.search(self._sheet, self._at):
            self._at = piece.end()
            depth += {"{": 1, "}": -1}.get(piece["mark"] or "", 0)
            if not depth:
                return piece.start()
        self._at = len(self._sheet)
        return self._at


def _rules(sheet: str, prelude: str, start: int, end: int, *, conditional: bool) -> Iterator[StyleRule]:
    found = tuple(_declarations(sheet, start, end))
    if not found:
        return
    for selector in _split(prelude):
        plain = _STRING.sub('""', selector)
        dynamic = any(name.lower() not in _STATIC for name, _ in _PSEUDO.findall(plain)) or "::" in plain
        matching = _without_states(selector) if dynamic else selector
        yield StyleRule(selector, matching, _specificity(plain), conditional or dynamic, found)


def _declarations(sheet: str, start: int, end: int) -> Iterator[Declaration]:
    """The declarations between two places; what is none is passed over."""
    for left, right in _pieces(sheet, start, end, ";"):
        text = _without_comments(sheet[left:right])
        name, colon, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not value or not _PROPERTY.fullmatch(name) or "{" in value:
            continue
        important = _IMPORTANT.search(value)
        value = value[: important.start()].rstrip() if important else value
        yield Declaration(name, value, important is not None, left + len(sheet[left:right].rstrip()))


def _pieces(text: str, start: int, end: int, separator: str) -> Iterator[tuple[int, int]]:
    """The pieces between separators that stand within no brackets."""
    depth, left = 0, start
    for piece in _PIECE.finditer(text, start, end):
        mark = piece["mark"]
        if mark in ("(", "[", "{"):
            depth += 1
        elif mark in (")", "]", "}"):
            depth = max(depth - 1, 0)
        elif mark == separator and not depth:
            yield left, piece.start()
            left = piece.end()
    yield left, end


def _split(prelude: str) -> list[str]:
    """The selectors of a rule."""
    selectors = [prelude[left:right].strip() for left, right in _pieces(prelude, 0, len(prelude), ",")]
    return [selector for selector in selectors if selector]


def _without_comments(text: str) -> str:
    return _PIECE.sub(lambda piece: "" if piece["comment"] else piece[0], text) if "/*" in text else text


def in_small_letters(selector: str) -> str:
    """A selector whose classes and ids are in small letters, as documents without a doctype compare them."""
    return _NAMED.sub(lambda found: found[0].lower() if found["name"] else found[0], selector)


def last_compound(selector: str) -> str:
    """What a selector says of the element itself, without where that has to be."""
    found = _COMPOUND_END.split(selector.strip())
    return found[-1] or "*"


def _without_states(selector: str) -> str:
    """A selector without the pseudo-classes and pseudo-elements that depend on what happens."""
    text = re.sub(r"::?(?!(?:first|last|only|nth|root|not|empty)[a-z-]*)[A-Za-z-]+(?:\([^()]*\))?", "", selector)
    text = re.sub(r"::?first-(?:letter|line)\b", "", text)
    text = text.strip()
    return f"{text}*" if not text or text[-1] in ">+~" else text


def _specificity(selector: str) -> tuple[int, int, int]:
    identifiers = classes = types = 0
    for found in _SPECIFIC.finditer(selector):
        kind = found.lastgroup
        if kind == "id":
            identifiers += 1
        elif kind in ("class", "pseudo"):
            classes += 1
        elif kind in ("type", "element"):
            types += 1
    return identifiers, classes, types
