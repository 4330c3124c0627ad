"""Small files that would become large: what is unpacked has a bound, whatever the file says of itself."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.recipients import open_records
from tests.recipients.sheets import xlsx

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.recipients import BadRecord, Record

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
_DOCTYPE = f'<!DOCTYPE bomb [<!ENTITY l0 "laugh">{_LAUGHS}<!ENTITY out SYSTEM "file:///etc/passwd">]>'


def rows_of(path: Path) -> list[Record | BadRecord]:
    with open_records(path) as reader:
        return reader.read(100)


def test_one_line_without_an_end_is_refused_long_before_all_of_it_is_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "list.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"email\n")
        for _ in range(40):
            file.write(bytes(1 << 20).replace(b"\0", b"a"))
    assert (tmp_path / "list.csv.gz").stat().st_size < 1 << 20
    with pytest.raises(UsageError, match="longer than 16 MiB"):
        rows_of(tmp_path / "list.csv.gz")


@pytest.mark.parametrize("entity", ["l9", "out"])
@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/sharedStrings.xml"])
def test_entities_of_a_workbook_are_not_expanded(tmp_path: Path, part: str, entity: str) -> None:
    """The billion laughs, and a file of this machine."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx(Sheet=[["email"], ["laughs@example.com"]]))) as old,
        zipfile.ZipFile(made, "w") as new,
    ):
        for name in old.namelist():
            text = old.read(name).decode()
            if name == part:
                text = re.sub(r"^(<\?xml[^>]*\?>)?", lambda found: f"{found[0]}{_DOCTYPE}", text, count=1)
                text = text.replace("laughs@", f"&{entity};@")
            new.writestr(name, text)
    (tmp_path / "list.xlsx").write_bytes(made.getvalue())
    try:
        rows = rows_of(tmp_path / "list.xlsx")
    except UsageError:
        return
    assert len(str(rows)) < 1000
    assert "root:" not in str(rows)


@pytest.mark.parametrize("corner", ["XFD1048576", "ALL30000", "AA1048576"])
def test_one_cell_in_a_far_corner_does_not_take_all_memory(tmp_path: Path, corner: str) -> None:
    """The library that reads the cells would make room for all that are before it."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx(Sheet=[["email"], ["a@example.com"]]))) as old,
        zipfile.ZipFile(made, "w") as new,
    ):
        for name in old.namelist():
            cell = f'<row r="{corner.lstrip("AFLDX")}"><c r="{corner}"><v>1</v></c></row></sheetData>'
            new.writestr(name, old.read(name).decode().replace("</sheetData>", cell))
    (tmp_path / "list.xlsx").write_bytes(made.getvalue())
    with pytest.raises(UsageError, match="cells are the most: they are held in memory"):
        open_records(tmp_path / "list.xlsx")
