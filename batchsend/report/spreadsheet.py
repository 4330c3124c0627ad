"""A results log as a table for spreadsheets: a row for each record, and no cell that they would take for a formula."""

from __future__ import annotations

import csv
import re
from array import array
from io import StringIO
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from batchsend.display import visible
from batchsend.report.lines import Line, LogLines, WholeLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLUMNS: Final = (
    *("record", "recipient", "status", "reason", "code", "enhanced", "reply", "stage", "attempt", "session"),
    *("time", "elapsed", "message_id", "line"),
)
_BYTE_ORDER_MARK: Final = "\ufeff"

# OWASP, "CSV Injection": a cell that begins with one of these is a formula, also in its full-width form. The beginning
# of a cell is also what follows a separator, for who opens the file chooses which character that is.
_SEPARATORS: Final = r",;\t\r\n|"
_SIGNS: Final = r"=+\-@\uff1d\uff0b\uff0d\uff20"
_SIGN: Final = re.compile(f"[{_SIGNS}]")
# What may stand before a sign without making it anything else than the beginning of a cell.
_BEFORE: Final = re.compile(rf"[{_SEPARATORS}\s\"']++")
_CELL_ENDS: Final = ",;|"
_HARMLESS: Final = re.compile(rf"[^{_SEPARATORS}{_SIGNS}\s\"'][^{_SEPARATORS}]*")
_cells = attrgetter(*_COLUMNS)


def rows(path: Path) -> Iterator[bytes]:
    """The table as CSV (RFC 4180) in UTF-8 with a byte-order mark, in the order of the log, about a megabyte at a time.

    Args:
        path: The results log; it is read twice, and what is added to it meanwhile is left out.

    Raises:
        UsageError: It cannot be opened, or is not a results log.
        RunError: It cannot be read further.
    """
    last = _last_lines(path)
    buffer = StringIO()
    table = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    buffer.write(_BYTE_ORDER_MARK)
    table.writerow(_COLUMNS)
    number = 0
    for lines in LogLines(path).read(WholeLine):
        for line in lines:
            number += 1
            if line.run is None and line.record < len(last) and last[line.record] == number:
                table.writerow([defused(cell) for cell in _cells(line)])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def defused(value: str | float | None) -> str | float:
    """A cell that no spreadsheet takes for a formula: a text that begins like one begins with an apostrophe instead.

    Control characters are written as escapes.
    """
    if value is None:
        return ""
    # Nearly all cells end here. A million records have ten million of them, so this has to be quick.
    if not isinstance(value, str) or (value.isprintable() and _HARMLESS.fullmatch(value)):
        return value
    marked = _BEFORE.sub(_marked, visible(value))
    return f"'{marked}" if _SIGN.match(marked) else marked


def _marked(before: re.Match[str]) -> str:
    """A run of separators, white space and quotation marks, with an apostrophe where a formula would begin.

    That is behind each separator from which only white space and quotation marks lead to a sign, and before a tab or a
    carriage return. It is looked at from its end, once: what follows decides.
    """
    run = before[0]
    to_sign = _SIGN.match(before.string, before.end()) is not None
    following = ""
    reversed_pieces: list[str] = []
    for character in reversed(run):
        if character in ",;\t\r\n|" and (to_sign or following in ("\t", "\r")):
            reversed_pieces.append("'")
        reversed_pieces.append(character)
        to_sign = to_sign and character not in _CELL_ENDS
        following = character
    if not before.start() and (to_sign or following in ("\t", "\r")):
        reversed_pieces.append("'")
    return "".join(reversed(reversed_pieces))


def _last_lines(path: Path) -> array[int]:
    """The number of each record's last line, from 1; eight octets a record."""
    last = array("Q")
    number = 0
    for lines in LogLines(path).read(Line):
        for line in lines:
            number += 1
            if line.record >= len(last):
                last.frombytes(bytes(last.itemsize * (line.record * 5 // 4 + 1024 - len(last))))
            last[line.record] = number
    return last
