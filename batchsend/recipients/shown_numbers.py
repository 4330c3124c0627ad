"""Which numbers of a sheet have a format, and how each is shown there; the library that reads the cells does not say.

The sheet's part of the archive is gone through once more, in step with the cells and in flat memory; where no cell of
the workbook has such a format, it is not. An .xlsx file says the format, and what is shown is made from it; an .ods
file has the text itself beside the number.
"""

from __future__ import annotations

import zipfile
from bisect import bisect_right
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias
from xml.parsers import expat

from batchsend.errors import RunError
from batchsend.patterns import late_pattern
from batchsend.recipients.number_formats import BUILT_IN, format_of
from batchsend.recipients.workbook_size import ARCHIVE_FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Attributes: TypeAlias = dict[str, str]

Shown: TypeAlias = "str | Callable[[float], str]"
"""How a number is shown: the text, or what makes it."""

_BLOCK: Final = 64 * 1024
_RELATION: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships id"
_STRICT_RELATION: Final = "http://purl.oclc.org/ooxml/officeDocument/relationships id"
_OASIS: Final = "urn:oasis:names:tc:opendocument:xmlns"
_OFFICE: Final = f"{_OASIS}:office:1.0 "
_TABLE: Final = f"{_OASIS}:table:1.0 "
_TEXT: Final = f"{_OASIS}:text:1.0 "
_STYLE: Final = f"{_OASIS}:style:1.0 "
_NUMBER: Final = f"{_OASIS}:datastyle:1.0 "
# What numbers have around them; and what no number is shown with here.
_SHOWN_APART: Final = frozenset(
    {f"{_NUMBER}text", f"{_NUMBER}currency-symbol", f"{_NUMBER}fill-character", f"{_STYLE}map"}
)
_WRITTEN_OUT: Final = frozenset({f"{_NUMBER}fraction", f"{_NUMBER}scientific-number"})
_MOST_COLUMNS: Final = 16_384  # that a sheet may have
_MOST_BLANKS: Final = 100  # in a row
_POWER_OF_TEN: Final = late_pattern(r"\d[Ee][+-]?\d")


def shown_numbers(path: Path, sheet: str) -> Iterator[tuple[int, dict[int, Shown]]] | None:
    """The numbers of a sheet that are not shown as they are.

    Args:
        path: The workbook, .xlsx or .ods.
        sheet: The name of the sheet.

    Returns:
        Row by row, where a row has any: its number, and its columns with how they are shown, all counted from 0. None
        where the workbook has no format of this kind.

    Raises:
        RunError: It is broken; what is returned raises it as well.
    """
    with readable(path), zipfile.ZipFile(path) as archive:
        if "content.xml" in archive.namelist():
            formatted = _formatted_styles(archive)
            return _rows(path, "content.xml", _OdsCells(sheet, formatted)) if formatted else None
        formats = _formats(archive)
        part = part_of(archive, sheet) if formats else None
    return None if part is None else _rows(path, part, _XlsxCells(formats))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say of whatever is wrong with the parts of a workbook that it cannot be read.

    Raises:
        RunError: Something is.
    """
    try:
        yield
    except (*ARCHIVE_FAULTS, expat.ExpatError) as error:
        raise RunError(
            f"{path} cannot be read further: {error}", remedy="open it in a spreadsheet, save it anew, and resume"
        ) from None


def _rows(path: Path, part: str, cells: _XlsxCells | _OdsCells) -> Iterator[tuple[int, dict[int, Shown]]]:
    with readable(path), zipfile.ZipFile(path) as archive:
        for _ in _read(archive, part, cells):
            for row, times, found in cells.taken():
                for again in range(times):
                    yield row + again, found
            if cells.is_over:
                return
        cells.finish()
        yield from ((row, found) for row, _, found in cells.taken())


def _read(archive: zipfile.ZipFile, part: str, reader: _ElementReader) -> Iterator[None]:
    """Hand the elements of a part to a reader; yields after each block of it."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.start
    # What a reader does not ask for takes no time.
    if type(reader).end is not _ElementReader.end:
        parser.EndElementHandler = reader.end
    if type(reader).read is not _ElementReader.read:
        parser.CharacterDataHandler = reader.read
    parser.StartDoctypeDeclHandler = _refuse_entities
    parser.buffer_text = True
    with archive.open(part) as file:
        while block := file.read(_BLOCK):
            parser.Parse(block)
            yield
    parser.Parse(b"", True)
    yield


def _refuse_entities(*_: object) -> None:
    """No program that makes workbooks declares entities; they could be made to take all memory."""
    raise ValueError("a part of it has a document type declaration")


class _ElementReader:
    """What is told of the elements of a part, their names with their namespaces before them."""

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends."""

    def read(self, text: str) -> None:
        """A text."""


class _Elements(_ElementReader):
    """Keeps the elements of a small part: each one's own name and its attributes."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Attributes]] = []

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""
        self.found.append((name.rpartition(" ")[2], attributes))


def _elements(archive: zipfile.ZipFile, part: str) -> list[tuple[str, Attributes]]:
    reader = _Elements()
    for _ in _read(archive, part, reader):
        pass
    return reader.found


def _formats(archive: zipfile.ZipFile) -> dict[str, Callable[[float], str]]:
    """What shows the numbers of cells, by the style that a cell names (ECMA-376 Part 1 §18.8.10, §18.8.31)."""
    if "xl/styles.xml" not in archive.namelist():
        return {}
    codes = dict(BUILT_IN)
    found: dict[str, Callable[[float], str]] = {}
    numbers = count()
    is_of_cells = False
    for name, attributes in _elements(archive, "xl/styles.xml"):
        if name == "numFmt":
            codes[int(attributes["numFmtId"])] = attributes["formatCode"]
        elif name in ("cellXfs", "cellStyleXfs", "cellStyles", "dxfs"):
            is_of_cells = name == "cellXfs"
        elif name == "xf" and is_of_cells:
            style = str(next(numbers))
            if (shown := format_of(codes.get(int(attributes.get("numFmtId", "0")), ""))) is not None:
                found[style] = shown
    return found


def part_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The part of an .xlsx file in which a sheet is; None where it has none of that name."""
    wanted = next(
        (
            attributes.get(_RELATION) or attributes.get(_STRICT_RELATION)
            for name, attributes in _elements(archive, "xl/workbook.xml")
            if name == "sheet" and attributes.get("name") == sheet
        ),
        None,
    )
    for name, attributes in _elements(archive, "xl/_rels/workbook.xml.rels"):
        if name == "Relationship" and attributes.get("Id") == wanted:
            target = attributes["Target"]
            return target[1:] if target.startswith("/") else f"xl/{target}"
    return None


class _XlsxCells(_ElementReader):
    """Finds the cells of a sheet whose style has a format (ECMA-376 Part 1 §18.3.1.4, §18.3.1.73)."""

    is_over = False

    def __init__(self, formats: dict[str, Callable[[float], str]]) -> None:
        self._formats = formats
        self._columns: dict[str, int] = {}
        self._row = self._column = -1
        self._found: dict[int, Shown] = {}
        self._rows: list[tuple[int, int, dict[int, Shown]]] = []

    def taken(self) -> list[tuple[int, int, dict[int, Shown]]]:
        """The rows that are whole by now: their numbers, how often they are there, and what was found."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""
        if name.endswith(" c"):
            reference = attributes.get("r")
            self._column = self._column + 1 if reference is None else self._column_of(reference)
            shown = self._formats.get(attributes.get("s", ""))
            if shown is not None and attributes.get("t", "n") == "n":
                self._found[self._column] = shown
        elif name.endswith(" row"):
            self.finish()
            self._row = int(attributes.get("r", self._row + 2)) - 1
            self._column = -1

    def finish(self) -> None:
        """The row is whole."""
        if self._found:
            self._rows.append((self._row, 1, self._found))
            self._found = {}

    def _column_of(self, reference: str) -> int:
        letters = reference.rstrip("0123456789")
        column = self._columns.get(letters)
        if column is None:
            column = self._columns[letters] = column_of(letters)
        return column


def column_of(letters: str) -> int:
    """The number of a column, from 0: that of ``AB`` is 27."""
    column = -1
    for letter in letters:
        column = (column + 1) * 26 + int(letter, 36) - 10
    return column


def _formatted_styles(archive: zipfile.ZipFile) -> frozenset[str]:
    """The styles of cells that show numbers in a format of their own."""
    styles = _OdsStyles()
    for part in ("styles.xml", "content.xml"):
        if part in archive.namelist():
            for _ in _read(archive, part, styles):
                if styles.is_over:
                    break
    return styles.formatted()


class _OdsStyles(_ElementReader):
    """Finds out which styles of cells have a format (ODF 1.3 Part 3 §16.2, §16.29)."""

    def __init__(self) -> None:
        self.is_over = False
        self._formats: dict[str, bool | None] = {}  # None where numbers are written out all the same
        self._style = ""
        self._styles: dict[str, tuple[str | None, str | None]] = {}  # format and parent

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""
        if name == f"{_OFFICE}body":
            self.is_over = True
        elif name == f"{_STYLE}style":
            self._style = ""
            if attributes.get(f"{_STYLE}family") == "table-cell":
                given = attributes.get(f"{_STYLE}data-style-name"), attributes.get(f"{_STYLE}parent-style-name")
                self._styles[attributes.get(f"{_STYLE}name", "")] = given
        elif name.startswith(_NUMBER) and name.endswith("-style"):
            self._style = attributes.get(f"{_STYLE}name", "")
            self._formats[self._style] = False  # whatever a style of this name was in another part
        elif self._style and self._formats[self._style] is not None:
            # A style that maps to others has different ones for numbers above and below zero.
            if name in _WRITTEN_OUT:
                self._formats[self._style] = None
            elif name in _SHOWN_APART or (name == f"{_NUMBER}number" and _says_how(attributes)):
                self._formats[self._style] = True

    def formatted(self) -> frozenset[str]:
        """The names of the styles."""
        return frozenset(name for name in self._styles if self._is_formatted(name))

    def _is_formatted(self, name: str | None) -> bool:
        seen: set[str] = set()
        while name is not None and name not in seen:
            seen.add(name)
            style, name = self._styles.get(name, (None, None))
            if style is not None:
                return bool(self._formats.get(style))
        return False


def _says_how(attributes: Attributes) -> bool:
    return (
        f"{_NUMBER}decimal-places" in attributes
        or attributes.get(f"{_NUMBER}grouping") == "true"
        or int(attributes.get(f"{_NUMBER}min-integer-digits", "1")) > 1
    )


class _OdsCells(_ElementReader):
    """Finds the texts of formatted numbers in one table (ODF 1.3 Part 3 §9.1)."""

    def __init__(self, sheet: str, formatted: frozenset[str]) -> None:
        self.is_over = False
        self._sheet = sheet
        self._formatted = formatted
        self._is_in = False
        self._depth = 0
        self._cell = 0  # how deep the cell is that we are in, or 0
        self._is_shown = False
        self._text: list[str] = []
        self._paragraphs = 0
        self._is_text = False
        self._row = self._column = 0
        self._times = self._cell_times = 1
        self._row_style: str | None = None
        self._ends: list[int] = []  # of the columns, with the styles of their cells
        self._styles: list[str | None] = []
        self._found: dict[int, Shown] = {}
        self._rows: list[tuple[int, int, dict[int, Shown]]] = []

    def taken(self) -> list[tuple[int, int, dict[int, Shown]]]:
        """The rows that are whole by now: their numbers, how often they are there, and what was found."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""
        self._depth += 1
        if self._cell:
            self._start_in_cell(name, attributes)
        elif name == f"{_TABLE}table":
            self._is_in = attributes.get(f"{_TABLE}name") == self._sheet
        elif not self._is_in:
            return
        elif name in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            self._start_cell(attributes)
        elif name == f"{_TABLE}table-row":
            self._times = int(attributes.get(f"{_TABLE}number-rows-repeated", "1"))
            self._row_style = attributes.get(f"{_TABLE}default-cell-style-name")
            self._column = 0
        elif name == f"{_TABLE}table-column":
            before = self._ends[-1] if self._ends else 0
            self._ends.append(before + int(attributes.get(f"{_TABLE}number-columns-repeated", "1")))
            self._styles.append(attributes.get(f"{_TABLE}default-cell-style-name"))

    def _start_cell(self, attributes: Attributes) -> None:
        self._cell = self._depth
        self._cell_times = int(attributes.get(f"{_TABLE}number-columns-repeated", "1"))
        kind = attributes.get(f"{_OFFICE}value-type")
        self._is_shown = kind in ("percentage", "currency")
        if kind == "float":
            style = attributes.get(f"{_TABLE}style-name") or self._row_style or self._style_of_column()
            self._is_shown = style in self._formatted
        self._text = []
        self._paragraphs = 0

    def _style_of_column(self) -> str | None:
        place = bisect_right(self._ends, self._column)
        return self._styles[place] if place < len(self._styles) else None

    def _start_in_cell(self, name: str, attributes: Attributes) -> None:
        """A paragraph of the cell itself is what is shown; one of a remark or a drawing lies deeper."""
        if not self._is_shown:
            return
        if name == f"{_TEXT}p" and self._depth == self._cell + 1:
            self._text += ["\n"] if self._paragraphs else []
            self._paragraphs += 1
            self._is_text = True
        elif name == f"{_TEXT}s" and self._is_text:
            self._text.append(" " * min(int(attributes.get(f"{_TEXT}c", "1")), _MOST_BLANKS))

    def read(self, text: str) -> None:
        """A text."""
        if self._is_text:
            self._text.append(text)

    def end(self, name: str) -> None:
        """An element ends."""
        if self._cell == self._depth:
            self._end_cell()
        elif self._cell:
            self._is_text = self._is_text and self._depth != self._cell + 1
        elif self._is_in and name == f"{_TABLE}table-row":
            if self._found:
                self._rows.append((self._row, self._times, self._found))
                self._found = {}
            self._row += self._times
        elif self._is_in and name == f"{_TABLE}table":
            self.is_over = True
        self._depth -= 1

    def finish(self) -> None:
        """A table ends with its last element."""

    def _end_cell(self) -> None:
        shown = "".join(self._text).strip()
        # Powers of ten are written out, as they are in other sheets.
        if self._is_shown and shown and not _POWER_OF_TEN.search(shown):
            for column in range(self._column, min(self._column + self._cell_times, _MOST_COLUMNS)):
                self._found[column] = shown
        self._column += self._cell_times
        self._cell = 0
