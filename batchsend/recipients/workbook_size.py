"""What the cells of a workbook take in memory, reckoned from its XML before anything holds them.

A few kilobytes can stand for any number of cells, each with a text of any length: two cells at the corners of a sheet
make all between them (ECMA-376 part 1 §18.3.1.4), a shared text stands in as many cells as refer to it (§18.4.9), and a
cell or a row of OpenDocument says how often it is repeated (part 3 §19.675, §19.677). What reads workbooks makes all of
it, and ends the process where memory does not suffice.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from itertools import chain, pairwise
from typing import BinaryIO, Final, NamedTuple

# Of a part's local file header (APPNOTE.TXT §4.3.7): its octets, and where the lengths of name and extra field stand.
_LOCAL_HEADER: Final = 30
_LENGTHS: Final = 26
_ENCRYPTED: Final = 1

ARCHIVE_FAULTS: Final = (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What `zipfile` raises of an archive that is not whole, or that is made as no spreadsheet makes one: a part that is
encrypted or packed in another way is a `RuntimeError`, a name in no encoding a `ValueError`."""

_PREFIX: Final = rb"<(?:[\w.-]{1,40}:)?"
_CELL: Final = re.compile(_PREFIX + rb"""(?:(row)|c)(?=[\s/>])([^<>]{0,2000}+)>""")
_PLACE: Final = re.compile(rb"""\sr\s{0,9}=\s{0,9}["']([A-Za-z]{0,3})(\d{1,7})["']""")
_TEXT: Final = re.compile(_PREFIX + rb"si(?=[\s/>])")
_VALUE: Final = re.compile(_PREFIX + rb"v(?=[\s>])[^<>]{0,200}+>\s{0,9}([^<\s]{1,40})")
_REPEATED: Final = re.compile(
    _PREFIX + rb"(?:(table-row)|(?:covered-)?table-cell)(?=[\s/>])([^<>]{0,4000}+)>", re.IGNORECASE
)
_ACROSS: Final = re.compile(rb"""columns-repeated\s{0,9}=\s{0,9}["'](\d{1,12})["']""")
_DOWN: Final = re.compile(rb"""rows-repeated\s{0,9}=\s{0,9}["'](\d{1,12})["']""")


class Reckoned(NamedTuple):
    """What the cells of a workbook come to.

    Attributes:
        cells: The cells of its largest sheet, with the empty ones between others.
        octets: Of the texts in the cells of all of its sheets.
    """

    cells: int
    octets: int


def reckon(file: BinaryIO, archive: zipfile.ZipFile) -> Reckoned:
    """Reckon a workbook's cells; of what is no sheet there are none.

    Args:
        file: The workbook.
        archive: The same as an archive; as it says of its parts, they fit into memory.

    Raises:
        zipfile.BadZipFile: A part is not what the archive says of it.
    """
    cells = octets = 0
    texts: list[int] = []
    # Sheets whose texts stand in another part, which may come later, and how many values each has at most.
    refer: list[tuple[zipfile.ZipInfo, int]] = []
    for item in archive.infolist():
        part = _unpacked(file, item)
        texts += _lengths(part)
        if b"sheetData" in part:
            cells = max(cells, _of_xlsx(part))
            refer.append((item, part.count(b"v>")))
        elif b"spreadsheet>" in part:
            sheet, more = _of_ods(part)
            cells, octets = max(cells, sheet), octets + more
    longest = max(texts, default=0)
    for item, values in refer:
        if longest * values > item.file_size:  # otherwise they are no more than the sheet itself
            octets += _filled_in(_unpacked(file, item), texts)
    return Reckoned(cells, octets)


def _unpacked(file: BinaryIO, item: zipfile.ZipInfo) -> bytes:
    """A part. `zipfile` reads as much as the archive says that it has, and leaves what may be behind that unread."""
    size = os.fstat(file.fileno()).st_size
    if not 0 <= item.header_offset < size or item.compress_size > size:
        raise zipfile.BadZipFile("a part is not where the archive says")
    file.seek(item.header_offset)
    head = file.read(_LOCAL_HEADER)
    if len(head) < _LOCAL_HEADER or item.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile("a part is cut off, or encrypted")
    file.seek(sum(struct.unpack_from("<HH", head, _LENGTHS)), os.SEEK_CUR)
    content = file.read(item.compress_size)
    if item.compress_type == zipfile.ZIP_DEFLATED:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, item.file_size + 1)
        except zlib.error as error:
            raise zipfile.BadZipFile(str(error)) from None
    elif item.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile("a part is compressed as no spreadsheet does it")
    if len(content) != item.file_size:
        raise zipfile.BadZipFile("a part has another size than the archive says")
    return content


def _lengths(part: bytes) -> list[int]:
    """The lengths of shared texts."""
    places = [found.start() for found in _TEXT.finditer(part)] if b"sst" in part else []
    return [end - begin for begin, end in pairwise([*places, len(part)])]


def _of_xlsx(part: bytes) -> int:
    """The cells of a sheet, from the first to the last that has a value."""
    rows = columns = row = column = 0
    for found in _CELL.finditer(part):
        place = _PLACE.search(found[2])
        if found[1]:
            row, column = row + 1 if place is None else int(place[2]), 0
            continue
        column = column + 1 if place is None or not place[1] else _column(place[1])
        if not found[2].endswith(b"/"):
            rows = max(rows, row if place is None else int(place[2]))
            columns = max(columns, column)
    return rows * columns


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number


def _filled_in(part: bytes, texts: list[int]) -> int:
    """The octets of the texts that a sheet's values may refer to: a number is taken for a reference, too."""
    longest = max(texts)
    filled = 0
    for found in _VALUE.finditer(part):
        value = found[1]
        if value.isdigit():
            filled += texts[number] if (number := int(value)) < len(texts) else 0
        elif b"&" in value:  # a number that is written in another way
            filled += longest
    return filled


def _of_ods(part: bytes) -> tuple[int, int]:
    """The cells of a sheet up to the last that has a value, and the octets of their texts."""
    rows = columns = octets = row = column = down = 0
    for this, following in pairwise(chain(_REPEATED.finditer(part), (None,))):
        if this is None:
            break
        end = len(part) if following is None else following.start()
        if this[1]:
            repeated = _DOWN.search(this[2])
            down = 1 if repeated is None else int(repeated[1])
            row, column = row + down, 0
            continue
        repeated = _ACROSS.search(this[2])
        across = 1 if repeated is None else int(repeated[1])
        column += across
        if not this[2].endswith(b"/"):
            rows, columns = max(rows, row), max(columns, column)
            octets += across * down * (end - this.end())
    return rows * columns, octets
