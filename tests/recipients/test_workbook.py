"""Workbooks as lists: what a person reads in a sheet is what a template shows."""

from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.recipients import Record, open_records, workbook
from batchsend.recipients.shown_numbers import shown_numbers
from tests.recipients.sheets import Cell, Formatted, ods, xlsx

if TYPE_CHECKING:
    from collections.abc import Callable

GUESTS: list[list[Cell]] = [
    ["Email Address", "Name", "Seats", "Price", "Date", "Vip", None],
    ["a@example.com", "Zoë", 2, 12.5, dt.date(2026, 12, 1), True, None],
    [None, None, None, None, None, None, None],
    ["b@example.com", "007", 1234567890123, 0.1, dt.datetime(2026, 12, 1, 9, 30), False, None],  # noqa: DTZ001 - a cell
]
RECORDS = [
    (
        1,
        {
            "Email Address": "a@example.com",
            "Name": "Zoë",
            "Seats": "2",
            "Price": "12.5",
            "Date": "2026-12-01",
            "Vip": "TRUE",
        },
    ),
    (
        2,
        {
            "Email Address": "b@example.com",
            "Name": "007",
            "Seats": "1234567890123",
            "Price": "0.1",
            "Date": "2026-12-01 09:30",
            "Vip": "FALSE",
        },
    ),
]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (0.1 + 0.2, "0.3"),
        (1.1 * 3, "3.3"),
        (1234.5, "1234.5"),
        (-0.25, "-0.25"),
        (0.00001, "0.00001"),
        (1e20, "100000000000000000000"),
        (1e300, "1e+300"),
    ],
)
def test_a_number_has_the_digits_that_a_spreadsheet_shows(tmp_path: Path, stored: float, shown: str) -> None:
    path = tmp_path / "list.xlsx"
    path.write_bytes(xlsx(Sheet=[["email", "n"], ["a@example.com", stored]]))
    with open_records(path) as reader:
        (record,) = reader.read(1)
    assert isinstance(record, Record)
    assert record.fields["n"] == shown


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (dt.timedelta(hours=26, minutes=5), "26:05"),
        (dt.timedelta(minutes=90, seconds=7), "1:30:07"),
        (dt.timedelta(hours=9), "9:00"),
    ],
)
def test_a_length_of_time_is_hours_and_minutes(tmp_path: Path, length: dt.timedelta, shown: str) -> None:
    path = tmp_path / "list.xlsx"
    path.write_bytes(xlsx(Sheet=[["email", "takes"], ["a@example.com", length]]))
    with open_records(path) as reader:
        (record,) = reader.read(1)
    assert isinstance(record, Record)
    assert record.fields["takes"] == shown


@pytest.mark.parametrize("made", [xlsx, ods])
def test_a_moment_is_the_minute_that_was_written(tmp_path: Path, made: Callable[..., bytes]) -> None:
    day = dt.datetime(2026, 12, 1)  # noqa: DTZ001 - a cell
    moments = [day + dt.timedelta(minutes=7 * number + 1) for number in range(205)]
    path = tmp_path / f"list.{made.__name__}"
    path.write_bytes(made(Sheet=[["email", "at"], *[["a@example.com", moment] for moment in moments]]))
    with open_records(path) as reader:
        rows = reader.read(len(moments))
    found = [row.fields["at"] for row in rows if isinstance(row, Record)]
    assert found == [f"{moment:%Y-%m-%d %H:%M}" for moment in moments]


@pytest.mark.parametrize(("suffix", "made"), [(".xlsx", xlsx), (".ods", ods), (".XLSX", xlsx)])
def test_a_sheet_is_read_as_a_person_reads_it(tmp_path: Path, suffix: str, made: Callable[..., bytes]) -> None:
    path = tmp_path / f"list{suffix}"
    path.write_bytes(made(Guests=GUESTS, Others=[["email"], ["x@example.com"]]))
    for _ in range(2):  # the numbers are the same whenever it is read
        with open_records(path) as reader:
            assert reader.fields == tuple(name for name in GUESTS[0] if name)
            assert [(row.number, row.fields) for row in reader.read(10)] == RECORDS
            assert reader.read(10) == []
            assert reader.progress == 1.0
    with open_records(path, sheet="Others") as reader:
        assert [row.fields for row in reader.read(10)] == [{"email": "x@example.com"}]
    with pytest.raises(UsageError, match="has no sheet 'Guest'") as caught:
        open_records(path, sheet="Guest")
    assert caught.value.remedy == "its sheets are 'Guests', 'Others'"


@pytest.mark.parametrize(
    ("suffix", "made", "row", "hidden"),
    [
        (".xlsx", xlsx, b'<row r="2">', b'<row r="2" hidden="1">'),
        (".ods", ods, b"<table:table-row>", b'<table:table-row table:visibility="filter">'),
    ],
)
def test_hidden_rows_are_read_as_all_others(
    tmp_path: Path, suffix: str, made: Callable[..., bytes], row: bytes, hidden: bytes
) -> None:
    shown = made(A=[["email"], ["a@example.com"], ["b@example.com"]])
    path = tmp_path / f"list{suffix}"
    with zipfile.ZipFile(io.BytesIO(shown)) as old, zipfile.ZipFile(path, "w") as new:
        contents = {name: old.read(name) for name in old.namelist()}
        assert sum(row in content for content in contents.values()) == 1
        for name, content in contents.items():
            new.writestr(name, content.replace(row, hidden))
    with open_records(path) as reader:
        assert [one.number for one in reader.read(10)] == [1, 2]


def test_more_rows_than_are_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "list.xlsx").write_bytes(xlsx(A=[["email"], *([f"u{n}@example.com"] for n in range(2500))]))
    with open_records(tmp_path / "list.xlsx") as reader:
        numbers = []
        while rows := reader.read(700):
            numbers += [row.number for row in rows]
    assert numbers == list(range(1, 2501))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["email", None, "name"]], "row 1: column 2 of the header has no name"),
        ([[None], ["email", "email"]], "row 2: the header names 'email' twice"),
        ([["a@example.com", "Ann"]], "row 1: an address where the header belongs"),
        ([], "the sheet is empty"),
    ],
)
def test_a_header_that_cannot_name_fields(tmp_path: Path, rows: list[list[str | None]], said: str) -> None:
    (tmp_path / "list.xlsx").write_bytes(xlsx(A=rows))
    with pytest.raises(UsageError, match=said) as caught:
        open_records(tmp_path / "list.xlsx")
    assert caught.value.remedy


def test_what_is_no_workbook(tmp_path: Path) -> None:
    (tmp_path / "list.xlsx").write_text("email\na@example.com\n")
    with pytest.raises(UsageError, match="cannot be read as a workbook"):
        open_records(tmp_path / "list.xlsx")
    with pytest.raises(UsageError, match="there is no such file"):
        open_records(tmp_path / "none.xlsx")
    (tmp_path / "list.csv").write_text("email\na@example.com\n")
    with pytest.raises(UsageError, match="has no sheets"):
        open_records(tmp_path / "list.csv", sheet="A")


def test_a_workbook_that_would_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.xlsx").write_bytes(xlsx(A=[["email"], ["a@example.com"]]))
    monkeypatch.setattr(workbook, "LARGEST", 100)
    with pytest.raises(UsageError, match=r"unpacks to 0 MiB, and 0 MiB is the most: it is held in memory") as caught:
        open_records(tmp_path / "list.xlsx")
    assert "flat memory" in str(caught.value.remedy)


def test_without_the_extra_one_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.xlsx").write_bytes(xlsx(A=[["email"], ["a@example.com"]]))
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(UsageError, match="is a workbook, and what reads those is not installed") as caught:
        open_records(tmp_path / "list.xlsx")
    assert "pip install 'batchsend-smtp[sheets]'; or " in str(caught.value.remedy)


EUROS = r"#,##0.00\ [$€-407]"
PRICES: list[list[Cell]] = [
    [None, None, None, None, None],
    [None, "email", "off", "price", "points"],
    [
        None,
        "a@example.com",
        Formatted(0.25, 9, "25%"),
        Formatted(1234.5, EUROS, "1,234.50 €"),
        Formatted(0.5, 2, "0.50"),
    ],
    [None, None, None, None, None],
    [None, "b@example.com", 0.25, "free", Formatted(12, 2, "12.00")],
]


@pytest.mark.parametrize("made", [xlsx, ods])
def test_a_number_is_shown_as_its_cell_shows_it(tmp_path: Path, made: Callable[..., bytes]) -> None:
    path = tmp_path / f"list.{made.__name__}"
    path.write_bytes(made(Other=[["email"]], Prices=PRICES))
    with open_records(path, sheet="Prices") as reader:
        rows = [row for row in reader.read(10) if isinstance(row, Record)]
    assert [(row.number, row.line, row.fields) for row in rows] == [
        (1, 3, {"email": "a@example.com", "off": "25%", "price": "1,234.50 €", "points": "0.50"}),
        (2, 5, {"email": "b@example.com", "off": "0.25", "price": "free", "points": "12.00"}),
    ]
    assert [float(rows[0].fields[name]) for name in ("off", "price", "points")] == [0.25, 1234.5, 0.5]


@pytest.mark.parametrize("made", [xlsx, ods])
def test_formats_of_more_rows_than_are_read_at_once(tmp_path: Path, made: Callable[..., bytes]) -> None:
    path = tmp_path / f"list.{made.__name__}"
    rows = [["a@example.com", Formatted(number / 100, 9, f"{number}%")] for number in range(2500)]
    path.write_bytes(made(Sheet=[["email", "off"], *rows]))
    with open_records(path) as reader:
        found = []
        while read := reader.read(700):
            found += [row.fields["off"] for row in read if isinstance(row, Record)]
    assert found == [f"{number}%" for number in range(2500)]


WORKBOOKS = Path(__file__).parent / "workbooks"
SHOWN = [
    {
        "E-Mail": "a@example.com",
        "Rabatt": "25%",
        "Preis": "1,234.50 €",
        "Punkte": "12.00",
        "PLZ": "01067",
        "Datum": "2026-12-01",
        "Zeit": "09:30",
        "Dollar": "$5",
        "Acc": "$(7.50)",
        "Sci": "1200000",
        "Bruch": "0.5",
        "Yes": "Yes",
        "Neg": "-1,234.6",
        "Kurz": "1.2M",
        "Text": "x",
        "IBAN": "42",
    },
    {
        "E-Mail": "b@example.com",
        "Rabatt": "8.25%",
        "Preis": "£99.00",
        "Punkte": "1,000,000",
        "PLZ": "99999",
        "Datum": "2026-12-01 18:05",
        "Zeit": "26:30",
        "Dollar": "($5)",
        "Acc": "$-",
        "Sci": "0.00012",
        "Bruch": "1.25",
        "Yes": "No",
        "Neg": "3.0",
        "Kurz": "0.0M",
        "Text": "7",
        "IBAN": "12.5",
    },
]


@pytest.mark.parametrize("name", ["openpyxl.xlsx", "libreoffice.xlsx", "libreoffice.ods"])
def test_workbooks_as_programs_write_them(name: str) -> None:
    """One sheet, saved by LibreOffice as well: what its .ods file has as text is what is made of the others."""
    with open_records(WORKBOOKS / name) as reader:
        assert [row.fields for row in reader.read(10)] == SHOWN


def test_lengths_of_time_of_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "list.ods").write_bytes(
        ods(A=[["email", "takes"], ["a@example.com", dt.timedelta(hours=26, minutes=5)]])
    )
    with open_records(tmp_path / "list.ods") as reader:
        (record,) = reader.read(1)
    assert isinstance(record, Record)
    assert record.fields["takes"] == "26:05"


DOCTYPE = '<!DOCTYPE x [<!ENTITY a "laugh"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("made", "part", "old", "new"),
    [
        (xlsx, "xl/styles.xml", "<styleSheet", f"{DOCTYPE}<styleSheet"),
        (xlsx, "xl/worksheets/sheet1.xml", "<worksheet", f"{DOCTYPE}<worksheet"),
        (xlsx, "xl/workbook.xml", "<workbook", f"{DOCTYPE}<workbook"),
        (ods, "content.xml", "<office:document", f"{DOCTYPE}<office:document"),
        (xlsx, "xl/styles.xml", "</styleSheet>", ""),
        (xlsx, "xl/styles.xml", 'numFmtId="9"', 'numFmtId="nine"'),
    ],
)
def test_a_part_that_cannot_be_read_is_one_error_before_anybody_is_written_to(
    tmp_path: Path, made: Callable[..., bytes], part: str, old: str, new: str
) -> None:
    path = tmp_path / f"list.{made.__name__}"
    with (
        zipfile.ZipFile(io.BytesIO(made(A=[["email", "n"], ["a@example.com", Formatted(0.5, 9, "50%")]]))) as whole,
        zipfile.ZipFile(path, "w") as changed,
    ):
        for name in whole.namelist():
            text = whole.read(name).decode()
            changed.writestr(name, text.replace(old, new, 1) if name == part else text)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        open_records(path)
    assert caught.value.remedy


def test_a_workbook_without_formats_is_gone_through_once(tmp_path: Path) -> None:
    for made in (xlsx, ods):
        path = tmp_path / f"list.{made.__name__}"
        path.write_bytes(made(Sheet=GUESTS))
        assert shown_numbers(path, "Sheet") is None
