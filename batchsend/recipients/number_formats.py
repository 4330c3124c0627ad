"""How a spreadsheet shows a number: by the number format of its cell (ECMA-376 Part 1 §18.8.30 and §18.8.31)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, Literal

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DOLLARS: Final = r'"$"#,##0{0}_);{1}\("$"#,##0{0}\)'
_PLAIN: Final = "#,##0{0}_);{1}(#,##0{0})"
_ACCOUNT: Final = r'_({1}* #,##0{0}_);_({1}* \(#,##0{0}\);_({1}* "-"_);_(@_)'
BUILT_IN: Final[Mapping[int, str]] = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    9: "0%",
    10: "0.00%",
    5: _DOLLARS.format("", ""),
    6: _DOLLARS.format("", "[Red]"),
    7: _DOLLARS.format(".00", ""),
    8: _DOLLARS.format(".00", "[Red]"),
    37: _PLAIN.format("", ""),
    38: _PLAIN.format("", "[Red]"),
    39: _PLAIN.format(".00", ""),
    40: _PLAIN.format(".00", "[Red]"),
    41: _ACCOUNT.format("", ""),
    42: _ACCOUNT.format("", '"$"'),
    43: _ACCOUNT.format(".00", ""),
    44: _ACCOUNT.format(".00", '"$"'),
}
"""The formats that a workbook may use without writing them down.

Spreadsheets write those of a currency down all the same, as it is the country's. Programs that do not mean the dollar,
as the standard has it.
"""

_SMALLEST: Final = 1e-9  # from here on a number is written out
_LARGE: Final = 1e21  # and up to here
_EXACT: Final = 2**53  # up to here a number of a sheet holds every integer
# More digits than the largest number of a sheet has. Spreadsheets round 2.675 to 2.68.
_EXACTLY: Final = Context(prec=700, rounding=ROUND_HALF_UP)
_LONGEST: Final = 255  # characters of a format: more no spreadsheet writes
_PIECE: Final = late_pattern(
    r'"(?P<quoted>[^"]*+)"?|\\(?P<escaped>.)|(?P<space>_).|(?P<fill>\*).|\[\$(?P<currency>[^\]-]*+)[^\]]*+\]?'
    r"|\[(?P<sign><=|>=|<>|<|>|=)(?P<limit>-?\d+(?:\.\d+)?)\]|\[(?P<elapsed>h++|m++|s++)\]|(?P<other>\[)[^\]]*+\]?"
    r"|(?P<general>general)|(?P<unlike>E[+-]|[ymdhsbge]++|AM/PM|A/P|/)|(?P<mark>.)",
    re.IGNORECASE | re.DOTALL,
)
_BLANKS: Final = late_pattern(" {2,}")
_CONDITIONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": lambda value, limit: value < limit,
    ">": lambda value, limit: value > limit,
    "=": lambda value, limit: value == limit,
    "<=": lambda value, limit: value <= limit,
    ">=": lambda value, limit: value >= limit,
    "<>": lambda value, limit: value != limit,
}


class ShownNumber(str):
    """A number of a sheet as it is shown there: ``25%``, ``1,234.50 €``. Its value is the number all the same.

    Jinja2's filters ``int`` and ``float`` take the value, so that templates and ``where`` can reckon with it.
    """

    __slots__ = ("_value",)

    _value: float

    @classmethod
    def of(cls, shown: str, value: float) -> ShownNumber:
        """A number that is shown like this."""
        made = cls(shown)
        made._value = value
        return made

    def __float__(self) -> float:
        return self._value

    def __reduce__(self) -> tuple[Callable[[str, float], ShownNumber], tuple[str, float]]:
        return ShownNumber.of, (str(self), self._value)


def plain_number(value: float) -> str:
    """A number with the 15 digits at most that spreadsheets show: 0.3 where 0.30000000000000004 is stored."""
    if value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    shown = f"{value:.15g}"
    return format(Decimal(shown), "f") if _SMALLEST <= abs(value) < _LARGE else shown


@lru_cache(maxsize=512)
def format_of(code: str) -> Callable[[float], str] | None:
    """What shows a number in a format.

    Point and comma are those of the format as the file has it, whatever the reader's country has.

    Args:
        code: The format, such as ``0.00%`` or ``#,##0.00 [$€-407];[Red]-#,##0.00 [$€-407]``.

    Returns:
        None where a number is shown as `plain_number` does; and for dates, fractions and powers of ten, which are not
        shown here.
    """
    if len(code) > _LONGEST or not code.strip():
        return None
    sections = [one for one in _sections(code)[:4] if not one.is_text][:3]
    if not sections or any(one.is_unlike for one in sections):
        return None
    if all(one.is_general for one in sections):
        return None
    return _Format(sections).shown


@dataclass
class _Section:
    """One of the up to three formats that a format consists of: for numbers above, below and equal to zero.

    Attributes:
        pieces: What it is made of, in order: texts, placeholders of one digit, the point, the number as it is.
        before: Where the placeholders before the point are among these.
        behind: Where those behind the point are.
        factor: What the number is multiplied by.
        is_grouped: Thousands are told apart.
        holds: Which numbers it is for; None where its place says it.
        has_sign: It says itself that a number is below zero.
        is_text: It is for texts.
        is_unlike: It is a date, a fraction or a power of ten.
    """

    pieces: list[tuple[Literal["text", "digit", "point", "general"], str]] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    factor: Decimal = Decimal(1)
    is_grouped: bool = False
    holds: Callable[[float], bool] | None = None
    has_sign: bool = False
    is_text: bool = False
    is_unlike: bool = False

    @property
    def is_general(self) -> bool:
        """Whether it shows the number as it is."""
        return self.pieces == [("general", "")]

    @cached_property
    def _unit(self) -> Decimal:
        """One of the last digit that is shown."""
        return Decimal(1).scaleb(-len(self.behind))

    @cached_property
    def _around(self) -> tuple[str, str] | None:
        """What stands before and behind the digits where these are in one piece, as Python itself would write them."""
        kinds = "".join(kind[0] for kind, _ in self.pieces)
        marks = "".join(text for kind, text in self.pieces if kind in ("digit", "point"))
        if not re.fullmatch("t*d+(?:pd+)?t*", kinds) or not re.fullmatch(r"#*0(?:\.0+)?", marks):
            return None
        first = self.before[0]
        before, behind = self.pieces[:first], self.pieces[first + len(marks) :]
        return "".join(text for _, text in before).lstrip(" "), "".join(text for _, text in behind).rstrip(" ")

    def shown(self, value: float) -> str:
        """A number that is not below zero."""
        number = _EXACTLY.multiply(Decimal(f"{value:.15g}"), self.factor)
        number = _EXACTLY.quantize(number, self._unit)
        if self._around is not None:
            return f"{self._around[0]}{format(number, ',f' if self.is_grouped else 'f')}{self._around[1]}"
        digits = format(number, "f")
        whole, _, fraction = digits.partition(".")
        texts = [text if kind in ("text", "point") else "" for kind, text in self.pieces]
        self._place_fraction(texts, fraction)
        has_fraction = any(texts[place].strip() for place in self.behind)
        for place, (kind, _) in enumerate(self.pieces):
            if kind == "general":
                texts[place] = plain_number(value)
            elif kind == "point" and not has_fraction:  # nobody writes "1."
                texts[place] = ""
        self._place_whole(texts, whole.lstrip("0"))
        return _BLANKS.sub(" ", "".join(texts)).strip(" ")

    def _place_whole(self, texts: list[str], whole: str) -> None:
        """Put the digits before the point into their places, from the right; the first place takes all that is left."""
        if not self.before:
            if whole and self.behind:  # ".00" has no place for them, and they stand before the point
                point = next(place for place, (kind, _) in enumerate(self.pieces) if kind == "point")
                texts[point] = whole + texts[point]
            return
        count = max(len(whole), len(self.before))
        for at in range(count):  # from the right
            place = self.before[-1 - at] if at < len(self.before) else self.before[0]
            mark = self.pieces[place][1]
            digit = whole[-1 - at] if at < len(whole) else {"0": "0", "?": " "}.get(mark, "")
            comma = "," if self.is_grouped and at and at % 3 == 0 and digit.strip() else ""
            texts[place] = digit + comma + texts[place]

    def _place_fraction(self, texts: list[str], fraction: str) -> None:
        """Put the digits behind the point into their places; zeros at the end stand in places that ask for them."""
        is_end = True
        for place, digit in reversed([*zip(self.behind, fraction, strict=True)]):
            mark = self.pieces[place][1]
            is_end = is_end and digit == "0" and mark != "0"
            texts[place] = ("" if mark == "#" else " ") if is_end else digit


class _Format:
    """A whole format."""

    def __init__(self, sections: list[_Section]) -> None:
        self._sections = sections
        self._has_conditions = any(one.holds for one in sections)
        if len(sections) > 1 and not self._has_conditions:
            sections[1].has_sign = True

    def shown(self, value: float) -> str:
        """A number in this format."""
        section = self._section(value) if math.isfinite(value) else None
        if section is None:
            return plain_number(value)
        shown = section.shown(abs(value))
        if value < 0 and not section.has_sign and any(digit in shown for digit in "123456789"):
            return f"-{shown}"
        return shown

    def _section(self, value: float) -> _Section | None:
        if self._has_conditions:
            return next((one for one in self._sections if one.holds is None or one.holds(value)), None)
        place = 1 if value < 0 else 2 if value == 0 else 0
        return self._sections[place if place < len(self._sections) else 0]


def _sections(code: str) -> list[_Section]:
    """The sections of a format."""
    sections = [_Section()]
    commas = 0  # behind the last digit
    for piece in _PIECE.finditer(code):
        section, mark = sections[-1], piece["mark"]
        if mark == ",":
            commas += bool(section.before or section.behind)
            continue
        if mark in ("0", "#", "?"):
            section.is_grouped = section.is_grouped or (commas > 0 and not section.behind)
            commas = 0
        elif mark in (".", ";"):
            section.factor = section.factor.scaleb(-3 * commas)
            commas = 0
        if mark == ";":
            sections.append(_Section())
        else:
            _add(section, piece)
    sections[-1].factor = sections[-1].factor.scaleb(-3 * commas)
    return sections


def _add(section: _Section, piece: re.Match[str]) -> None:
    """Add one piece of a format to its section."""
    mark = piece["mark"]
    match piece.lastgroup:
        case "quoted" | "escaped" | "currency" as kind:
            section.pieces.append(("text", piece[kind]))
        case "space":
            section.pieces.append(("text", " "))
        case "limit":
            holds, limit = _CONDITIONS[piece["sign"]], float(piece["limit"])
            section.holds = lambda value: holds(value, limit)
            section.has_sign = piece["sign"] in ("<", "<=") and limit <= 0
        case "elapsed" | "unlike":
            section.is_unlike = True
        case "general":
            section.pieces.append(("general", ""))
        case "mark" if mark == "@":
            section.is_text = True
        case "mark" if mark in ("0", "#", "?"):
            has_point = any(kind == "point" for kind, _ in section.pieces)
            (section.behind if has_point else section.before).append(len(section.pieces))
            section.pieces.append(("digit", mark))
        case "mark":
            is_point = mark == "." and not any(kind == "point" for kind, _ in section.pieces)
            if mark == "%":
                section.factor = section.factor.scaleb(2)
            section.pieces.append(("point" if is_point else "text", mark))
