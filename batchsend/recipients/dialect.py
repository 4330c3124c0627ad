"""How a CSV file separates its fields, and the reading of a record that the csv module refuses for its length."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

DELIMITERS: Final = (",", ";", "\t", "|")
_RARE: Final = ("^", "~", "\x1f", "\x01", "¦", ":")
"""Taken where none of the others is in the header, and every record has as many of them."""

OPEN_AT_END: Final = "unexpected end of data"
"""The csv module's error for a quoted field that is not closed; it tells its errors apart by their words only."""

_SAMPLE: Final = 200  # records
_QUOTED: Final = late_pattern(r'"[^"]*"?')
# Excel writes and reads this line: it names the delimiter, and is no record.
_SEP_LINE: Final = late_pattern(r'"?sep=(?P<delimiter>[^\w"\s]|\t|\\t)"?\s*', re.IGNORECASE)


def named_delimiter(line: str) -> str | None:
    """The delimiter that a line ``sep=;`` names; None for any other line."""
    match = _SEP_LINE.fullmatch(line)
    if match is None:
        return None
    return "\t" if match["delimiter"] == "\\t" else match["delimiter"]


def likely_delimiter(lines: Sequence[str]) -> str:
    """The delimiter by which the header has many fields, and the records have as many as the header.

    Args:
        lines: The first lines of the file, the header first.

    Returns:
        Of equally likely ones the first of comma, semicolon, tab and vertical bar; where the header has none of these,
        another one that fits all records.
    """
    header = _QUOTED.sub("", lines[0])

    def likelihood(delimiter: str) -> float:
        count = header.count(delimiter)
        return count * _share_of_fitting(lines, delimiter) if count else 0.0

    likely = max(DELIMITERS, key=likelihood)
    if likely in header:
        return likely
    rare = (one for one in _RARE if one in header and len(lines) > 1 and _share_of_fitting(lines, one) == 1.0)
    return next(rare, likely)


def has_blanks_before_quotes(lines: Sequence[str], delimiter: str) -> bool:
    """Whether blanks stand between delimiters and the quotes behind them, which are quotes all the same.

    Args:
        lines: The header and the line behind it: no more, so that it does not matter in what pieces the file is read.
        delimiter: What separates its fields.
    """
    return any(re.search(rf'{re.escape(delimiter)} +"', line) for line in lines)


def _share_of_fitting(lines: Sequence[str], delimiter: str) -> float:
    """How many of the first records have as many fields as the header, from 0 to 1; 1 where there is only a header."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    fitting = total = 0
    try:
        width = len(next(reader))
        for row in reader:
            if any(row):
                total += 1
                fitting += len(row) == width
            if total == _SAMPLE:
                break
    except (csv.Error, StopIteration):
        pass  # What was read until then is enough to tell by; the parser says what is wrong with the rest.
    # A little is left where nothing fits: the header alone tells then.
    return max(fitting / total, 0.001) if total else 1.0


class LongRecord(NamedTuple):
    """What was made of the lines at which a record begins.

    Attributes:
        row: Its fields; empty where there is an error.
        lines: How many lines it takes.
        error: The error in the csv module's words, or None.
    """

    row: list[str]
    lines: int
    error: str | None


def read_long_record(
    lines: Sequence[str], begin: int, delimiter: str, reach: int, *, skips_blanks: bool = False
) -> LongRecord:
    """Read one record as the csv module does when it is strict, whatever the length of its fields.

    The module's own limit for a field holds for the whole process, so it is the program's around us to set.

    Args:
        lines: Lines with their line ends.
        begin: The place of the record's first line.
        delimiter: What separates its fields.
        reach: How many characters may precede the record's last line.
        skips_blanks: Whether blanks at the beginning of a field are none of it.
    """
    row: list[str] = []
    number, text, place, size = begin, lines[begin], 0, 0
    stop = re.compile(f"[{re.escape(delimiter)}\\r\\n]")
    while True:
        while skips_blanks and text.startswith(" ", place):
            place += 1
        if text.startswith('"', place):
            pieces: list[str] = []
            place += 1
            while (end := _closing_quote(text, place)) < 0:
                pieces.append(text[place:])
                number += 1
                size += len(text)
                if number == len(lines) or size > reach:
                    return LongRecord([], number - begin, OPEN_AT_END)
                text, place = lines[number], 0
            pieces.append(text[place:end])
            row.append("".join(pieces).replace('""', '"'))
            place = end + 1
        else:
            match = stop.search(text, place)
            end = len(text) if match is None else match.start()
            row.append(text[place:end])
            place = end
        if not text.startswith(delimiter, place):
            break
        place += 1
    if text[place:].strip("\r\n"):
        return LongRecord([], number - begin + 1, f"""'{delimiter}' expected after '"'""")
    return LongRecord(row, number - begin + 1, None)


def _closing_quote(text: str, place: int) -> int:
    """The place of the quote that closes a field, from a place inside it on; -1 where the line has none."""
    while (found := text.find('"', place)) >= 0 and text.startswith('"', found + 1):
        place = found + 2
    return found
