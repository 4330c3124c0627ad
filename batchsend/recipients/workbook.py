"""Workbooks as lists: one sheet of an .xlsx or .ods file, its first row the header."""

from __future__ import annotations

import datetime as dt
import zipfile
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from batchsend.errors import RunError, UsageError
from batchsend.patterns import late_pattern
from batchsend.recipients.addresses import without_invisible_ends
from batchsend.recipients.columns import listed, with_all_named
from batchsend.recipients.number_formats import ShownNumber, plain_number
from batchsend.recipients.record import BadRecord, Record
from batchsend.recipients.shown_numbers import shown_numbers
from batchsend.recipients.source import file_mark
from batchsend.recipients.workbook_size import ARCHIVE_FAULTS, reckon
from batchsend.version import with_extra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from python_calamine import CalamineSheet

    from batchsend.recipients.shown_numbers import Shown

LARGEST: Final = 256 * 2**20
"""The most octets that a workbook may unpack to.

Its cells are held in memory, which takes about twice as much: 80 MB for 100,000 rows of 8 columns.
"""

MOST_CELLS: Final = 20_000_000
"""The most cells of a sheet, with the empty ones between others: each takes 32 octets, whatever is in it."""

_BLOCK: Final = 1000
# How .ods files have lengths of time (XML Schema Part 2 §3.2.6); those of more than a day are read as texts.
_LENGTH: Final = late_pattern(r"(-?)PT(\d{1,6})H(\d{1,2})M(\d{1,2}(?:\.\d{1,9})?)S")
_SAVE_AS_CSV: Final = "save the sheet as CSV UTF-8, which is read in flat memory"


class Workbook:
    """The records of one sheet; source and parser of a `RecordReader` in one.

    Numbers and dates become texts as a person would write them: ``42`` and not ``42.0``, ``2026-12-01``, ``TRUE``. A
    number whose cell has a number format is shown as it is there: ``25%``, ``1,234.50 €``. As in CSV, rows without a
    value are no records.

    Args:
        path: The workbook.
        sheet: The sheet's name; None for the first.
        names_all: Give the last columns that have no name one, as `open_records` takes it.

    Attributes:
        name: What to call the file.
        fields: The names in the header.
        unnamed: The row of the first value behind the last of these columns; 0 for none.
        size: Its octets.
        position: As many, once the sheet is read.
        blocking: False.
        opened, mark: The file's mark before it was read.

    Raises:
        UsageError: It cannot be read; it has no such sheet, or no header; or the extra ``sheets`` is not installed.
    """

    def __init__(self, path: Path, sheet: str | None, *, names_all: bool = False) -> None:
        self.name = str(path)
        self.blocking = False
        self.size = self.position = 0
        self.opened = self.mark = file_mark(path)  # what was read stays as it was
        self._rows = _rows(path, sheet)
        self.size = self.position = path.stat().st_size
        self._number = 0
        self._line = 0
        self.unnamed = 0
        with _before_anybody_is_written_to():
            self.fields = self._header(path, names_all=names_all)

    def next(self) -> list[Record | BadRecord] | None:
        """The next rows, perhaps none; None after the last.

        Raises:
            RunError: The formats of the numbers cannot be read further.
        """
        rows = list(islice(self._rows, _BLOCK))
        if not rows:
            return None
        records: list[Record | BadRecord] = []
        for row in rows:
            self._line += 1
            cells = [_text(cell) for cell in row]
            if not any(cells):
                continue
            self._number += 1
            fields: dict[str, Any] = dict(zip(self.fields, cells, strict=False))
            if not self.unnamed and any(cells[len(self.fields) :]):
                self.unnamed = self._line
            fault = _fault(cells)
            record = Record(self._number, self._line, fields)
            records.append(record if fault is None else BadRecord(self._number, self._line, fault, fields))
        return records

    def close(self) -> None:
        """Let go of the rows."""
        self._rows = iter(())

    def _header(self, path: Path, *, names_all: bool) -> tuple[str, ...]:
        remedy = "the first row names the columns, each once, as in: email, name"
        for row in self._rows:
            self._line += 1
            names = [without_invisible_ends(_text(cell)) for cell in row]
            if not any(names):
                continue
            width = len(names)
            while not names[-1]:
                names.pop()
            place = f"{self.name}, row {self._line}"
            for number, name in enumerate(names):
                if not name:
                    raise UsageError(f"{place}: column {number + 1} of the header has no name", remedy=remedy)
                if name in names[:number]:
                    raise UsageError(f"{place}: the header names {name!r} twice", remedy=remedy)
            if any("@" in name for name in names):
                raise UsageError(f"{place}: an address where the header belongs", remedy=remedy)
            return tuple(with_all_named([*names, *[""] * (width - len(names))]) if names_all else names)
        raise UsageError(f"{self.name}: the sheet is empty", remedy=_other_sheets(path) or remedy)


def _other_sheets(path: Path) -> str | None:
    """How to name a sheet that is not empty; None where all are."""
    filled = [
        name
        for name, sheet in _sheets(path)
        if any(_text(cell) for row in islice(sheet.iter_rows(), _BLOCK) for cell in row)
    ]
    return f'name another one, sheet = "{filled[0]}"; those with content are {listed(filled)}' if filled else None


def require_one_sheet(path: Path) -> None:
    """Refuse a workbook of which more than one sheet has an address: whoever is on the others would be missed.

    Raises:
        UsageError: It has several such sheets, or cannot be read.
    """
    named = [
        name for name, sheet in _sheets(path) if any("@" in _text(cell) for row in sheet.iter_rows() for cell in row)
    ]
    if len(named) > 1:
        raise UsageError(
            f"{path} has more than one sheet with addresses: {listed(named)}",
            remedy=f'name each that is meant: {{ file = "{path.name}", sheet = "{named[-1]}" }}',
        )


@contextmanager
def _before_anybody_is_written_to() -> Iterator[None]:
    """What cannot be read is the list's fault then, and no run has to stop for it."""
    try:
        yield
    except RunError as error:
        raise UsageError(error.message, remedy=error.remedy) from None


def _rows(path: Path, sheet: str | None) -> Iterator[list[Any]]:
    """The rows of a sheet from its first one, those without a value included; numbers with a format as it has them."""
    name, found = next(_sheets(path, sheet, is_first=True))
    with _before_anybody_is_written_to():
        shown = shown_numbers(path, name)
    return found.iter_rows() if shown is None else _as_shown(found, shown)


def _as_shown(sheet: CalamineSheet, formatted: Iterator[tuple[int, dict[int, Shown]]]) -> Iterator[list[Any]]:
    first = sheet.start[1] if sheet.start else 0  # columns before the first one with a value are left out
    place, found = next(formatted, (-1, {}))
    for number, row in enumerate(sheet.iter_rows()):
        cells: list[Any] = row
        while -1 < place < number:
            place, found = next(formatted, (-1, {}))
        if place == number:
            for column, shown in found.items():
                at = column - first
                if 0 <= at < len(cells) and type(cells[at]) in (float, int):
                    text = shown if isinstance(shown, str) else shown(cells[at])
                    cells[at] = ShownNumber.of(text, float(cells[at]))
        yield cells


def _sheets(path: Path, sheet: str | None = None, *, is_first: bool = False) -> Iterator[tuple[str, CalamineSheet]]:
    """The sheets of a workbook, by their names.

    Args:
        path: The workbook.
        sheet: The only one that is wanted; None for all.
        is_first: Only the first one is wanted.
    """
    try:
        import python_calamine  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            f"{path} is a workbook, and what reads those is not installed",
            remedy=f"{with_extra('sheets')}; or {_SAVE_AS_CSV}",
        ) from None
    try:
        _require_bounded(path)
        workbook = python_calamine.CalamineWorkbook.from_path(str(path))
        names = workbook.sheet_names
        if not names or (sheet is not None and sheet not in names):
            raise UsageError(f"{path} has no sheet {sheet!r}", remedy=f"its sheets are {listed(names)}")
        wanted = [sheet] if sheet is not None else names[:1] if is_first else names
        for name in wanted:
            yield name, workbook.get_sheet_by_name(name)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file", remedy="name the recipients file") from None
    except (*ARCHIVE_FAULTS, python_calamine.CalamineError) as error:
        raise UsageError(
            f"{path} cannot be read as a workbook: {error}", remedy=f"open it in a spreadsheet and {_SAVE_AS_CSV}"
        ) from None


def _require_bounded(path: Path) -> None:
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        size = sum(item.file_size for item in archive.infolist())
        if size > LARGEST:
            raise UsageError(
                f"{path} unpacks to {size // 2**20:,} MiB, and {LARGEST // 2**20} MiB is the most: "
                "it is held in memory",
                remedy=_SAVE_AS_CSV,
            )
        found = reckon(file, archive)
    if found.cells > MOST_CELLS or found.octets > LARGEST:
        raise UsageError(
            f"{path} has {found.cells:,} cells and {found.octets // 2**20:,} MiB of texts in them, and {MOST_CELLS:,} "
            f"cells and {LARGEST // 2**20} MiB are the most: they are held in memory",
            remedy=f"delete what stands apart from the list; or {_SAVE_AS_CSV}",
        )


def _fault(cells: list[str]) -> str | None:
    return "a NUL character in a cell" if any("\0" in cell for cell in cells) else None


def _text(cell: Any) -> str:
    """A cell as a person would write it."""
    shown: str
    if isinstance(cell, str):  # the most, and numbers that are shown in a format
        return _length_or_text(cell) if cell.endswith("S") else cell
    match cell:
        case None:
            shown = ""
        case bool():
            shown = "TRUE" if cell else "FALSE"
        case float():
            shown = plain_number(cell)
        case dt.datetime() if cell.time() == dt.time():
            shown = cell.date().isoformat()
        case dt.datetime():
            shown = cell.isoformat(sep=" ", timespec="seconds" if cell.second else "minutes")
        case dt.time():
            shown = cell.isoformat(timespec="seconds" if cell.second else "minutes")
        case dt.timedelta():
            shown = _duration(cell)
        case _:
            shown = str(cell)
    return shown


def _length_or_text(cell: str) -> str:
    length = _LENGTH.fullmatch(cell)
    if length is None:
        return cell
    sign, hours, minutes, seconds = length.groups()
    passed = dt.timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    return _duration(-passed if sign else passed)


def _duration(length: dt.timedelta) -> str:
    """Hours, minutes and, where there are any, seconds: ``26:30``."""
    seconds = round(abs(length).total_seconds())
    shown = f"{'-' if length < dt.timedelta() else ''}{seconds // 3600}:{seconds // 60 % 60:02}"
    return f"{shown}:{seconds % 60:02}" if seconds % 60 else shown
