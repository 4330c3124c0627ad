"""Small files that would become large: what is unpacked has a bound, whatever the file says of itself."""

from __future__ import annotations

import gzip
import io
import re
import resource
import struct
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.recipients import open_records
from tests.recipients.sheets import ods, xlsx

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.recipients import BadRecord, Record

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
_DOCTYPE = f'<!DOCTYPE bomb [<!ENTITY l0 "laugh">{_LAUGHS}<!ENTITY out SYSTEM "file:///etc/passwd">]>'


def rows_of(path: Path) -> list[Record | BadRecord]:
    with open_records(path) as reader:
        return reader.read(100)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.slow
def test_one_line_without_an_end_is_refused_long_before_all_of_it_is_unpacked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"list.csv.{suffix}"
    with gzip.open(path, "wb", compresslevel=1) if suffix == "gz" else zstd.ZstdFile(path, "wb") as file:
        file.write(b"email\n")
        for _ in range(40):
            file.write(bytes(1 << 20).replace(b"\0", b"a"))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UsageError, match="longer than 16 MiB"):
        rows_of(path)


READ_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from batchsend.errors import BatchsendError
from batchsend.recipients import open_records
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
try:
    with open_records(Path(sys.argv[1])) as reader:
        while reader.read(100):
            pass
except BatchsendError as error:
    print(error.message)
"""


def read_in_little_memory(path: Path, octets: int) -> str:
    """Read a list in a process that may have so much memory; what it refuses it for, or nothing."""
    command = [sys.executable, "-c", READ_IN_LITTLE_MEMORY, str(path), str(octets)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_window_of_zstd_that_would_fill_memory_is_refused(tmp_path: Path) -> None:
    """RFC 8878 §3.1.1.1.2: a frame says how much of what was unpacked before has to be kept, and may say 2 GiB."""
    exponent = 31 - 10
    header = bytes([0b0000_0000, exponent << 3])  # no content size, no checksum; the window descriptor
    block = struct.pack("<I", 1 | 1 << 1 | (128 << 10) << 3)[:3] + b"a"  # the last one: one octet 131,072 times
    path = tmp_path / "list.csv.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + header + block)
    with pytest.raises(UsageError, match=r"broken|zstd"):
        rows_of(path)


def with_other_sizes(workbook: bytes, size: int) -> bytes:
    """A zip archive that says of each of its members that it unpacks to so many octets."""
    octets = bytearray(workbook)
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        begin = octets.find(mark)
        while begin >= 0:
            octets[begin + place : begin + place + 4] = struct.pack("<I", size)
            begin = octets.find(mark, begin + 4)
    return bytes(octets)


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY, reason="memory is bounded")
@pytest.mark.slow
def test_a_workbook_that_says_it_is_smaller_than_it_is_does_not_fill_memory(tmp_path: Path) -> None:
    """What unpacks to 100 MiB, and says of itself that it unpacks to a few octets."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx(Sheet=[["email"], ["a@example.com"]]))) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                content = content.replace(b"a@example.com", b"a" * (100 << 20) + b"@example.com")
            new.writestr(name, content)
    path = tmp_path / "list.xlsx"
    path.write_bytes(with_other_sizes(made.getvalue(), 100))
    assert path.stat().st_size < 1 << 20
    said = read_in_little_memory(path, 400 << 20)
    assert "a part has another size than the archive says" in said


def _changed(workbook: bytes, part: str, content: str, **more: str) -> bytes:
    """A workbook with another part in the place of one, and some more."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, content if name == part else old.read(name).decode())
        for name, text in more.items():
            new.writestr(f"xl/{name}.xml", text)
    return made.getvalue()


def _sheet(*cells: str) -> bytes:
    rows = "".join(f"<row>{cell}</row>" for cell in cells)
    strings = f'<sst xmlns="{MAIN}"><si><t>{"a" * 1_000_000}</t></si></sst>'
    part = f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'
    return _changed(xlsx(A=[["email"]]), "xl/worksheets/sheet1.xml", part, sharedStrings=strings)


def _opened(content: str) -> bytes:
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    table = f'<table:table table:name="A">{content}</table:table>'
    body = f"<office:body><office:spreadsheet>{table}</office:spreadsheet></office:body>"
    return _changed(
        ods(A=[["email"]]), "content.xml", f"<office:document-content {spaces}>{body}</office:document-content>"
    )


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
HEADER = '<c r="A1" t="inlineStr"><is><t>email</t></is></c>'
CELL = '<table:table-cell {}office:value-type="string"><text:p>a@example.com</text:p></table:table-cell>'
REPEATED = 'table:number-columns-repeated="90000000" '
GROWN = {
    "one text in many cells": ("xlsx", _sheet(HEADER, '<c t="s"><v>0</v></c>' * 2000)),
    "the same, written in another way": ("xlsx", _sheet(HEADER, '<c t="s"><v>&#48;</v></c>' * 2000)),
    "two cells at the corners": ("xlsx", _sheet(HEADER, '<c r="XFD1048576"><v>1</v></c>')),
    "a row far away": ("xlsx", _sheet(HEADER + "<c/>" * 200 + "<c><v>1</v></c>", '<c r="A1000000"><v>1</v></c>')),
    "a cell that is repeated": (
        "ods",
        _opened(f"<table:table-row>{CELL.format(REPEATED)}</table:table-row>"),
    ),
    "a row that is repeated": (
        "ods",
        _opened(f'<table:table-row table:number-rows-repeated="90000000">{CELL.format("")}</table:table-row>'),
    ),
}


@pytest.mark.parametrize("what", GROWN)
def test_a_workbook_whose_cells_would_fill_memory_is_refused_before_they_do(what: str, tmp_path: Path) -> None:
    suffix, octets = GROWN[what]
    path = tmp_path / f"list.{suffix}"
    path.write_bytes(octets)
    assert path.stat().st_size < 20_000
    with pytest.raises(UsageError, match="are the most: they are held in memory"):
        rows_of(path)


def test_empty_cells_without_an_end_are_none(tmp_path: Path) -> None:
    """As spreadsheets write them behind what is there: to the last column, and to the last row."""
    empty = '<table:table-cell table:number-columns-repeated="16383"/>'
    rest = f'<table:table-row table:number-rows-repeated="1048570">{empty}</table:table-row>'
    rows = [
        f"<table:table-row>{CELL.format('').replace('a@example.com', text)}{empty}</table:table-row>"
        for text in ("email", "a@b.example")
    ]
    path = tmp_path / "list.ods"
    path.write_bytes(_opened("".join(rows) + rest))
    assert len(rows_of(path)) == 1


@pytest.mark.parametrize("entity", ["l9", "out"])
@pytest.mark.parametrize(
    ("suffix", "part"),
    [
        *(("xlsx", f"xl/{part}.xml") for part in ("worksheets/sheet1", "workbook", "sharedStrings")),
        *(("ods", f"{part}.xml") for part in ("content", "META-INF/manifest")),
    ],
)
def test_entities_of_a_workbook_are_not_expanded(tmp_path: Path, suffix: str, part: str, entity: str) -> None:
    """The billion laughs, and a file of this machine."""
    cells = [["email"], ["laughs@example.com"]]
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx(Sheet=cells) if suffix == "xlsx" else ods(Sheet=cells))) as old,
        zipfile.ZipFile(made, "w") as new,
    ):
        for name in old.namelist():
            text = old.read(name).decode()
            if name == part:
                text = re.sub(r"^(<\?xml[^>]*\?>)?", lambda found: f"{found[0]}{_DOCTYPE}", text, count=1)
                text = text.replace("laughs@", f"&{entity};@")
            new.writestr(name, text)
    path = tmp_path / f"list.{suffix}"
    path.write_bytes(made.getvalue())
    try:
        rows = rows_of(path)
    except UsageError:
        return
    assert len(str(rows)) < 1000
    assert "root:" not in str(rows)
