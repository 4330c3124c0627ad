"""The table for spreadsheets: a row a record, in UTF-8 that they recognise, and no cell that they would calculate."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchsend.errors import UsageError
from batchsend.outcome import Outcome
from batchsend.report.spreadsheet import defused, rows
from tests.report.logs import begin, deferred, end, everything, in_doubt, invalid, outcome, rejected, write
from tests.tools.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def parsed(path: Path) -> list[dict[str, str]]:
    """The rows of the table, as a program reads them."""
    octets = b"".join(rows(path))
    assert octets.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(octets.decode("utf-8-sig"), newline=""), strict=True))


def test_each_record_has_a_row_with_its_last_outcome(tmp_path: Path) -> None:
    found = parsed(write(tmp_path, *everything()))
    assert sorted(int(row["record"]) for row in found) == list(range(1, 140))
    by_record = {int(row["record"]): row for row in found}
    assert by_record[131]["status"] == "accepted"
    assert by_record[131]["attempt"] == "2"
    assert by_record[135]["status"] == "deferred"
    assert list(by_record[137].values()) == [
        *("137", "r137@example.com", "in_doubt", "the server closed the connection", "", "", "", "content", "1", "9"),
        *("2026-11-22T07:00:18.000Z", "0.01", "<137@example.com>", ""),
    ]
    assert by_record[138]["line"] == "139"


def test_letters_of_every_script_are_as_they_were(tmp_path: Path) -> None:
    found = parsed(
        write(tmp_path, begin(), outcome(1, recipient="zoë@bücher.example.com", reply="謝謝\n“quoted”, 1;2"))
    )
    assert (found[0]["recipient"], found[0]["reply"]) == ("zoë@bücher.example.com", "謝謝\n“quoted”, 1;2")


@pytest.mark.parametrize("beginning", FORMULA)
def test_no_cell_is_a_formula(tmp_path: Path, beginning: str) -> None:
    text = f"{beginning}cmd|' /C calc'!A1"
    lines = [invalid(1, f"{text} is bad", recipient=text), rejected(2, reply=text, reason=text, message_id=text)]
    for row in parsed(write(tmp_path, begin(), *lines)):
        assert not any(cell.startswith(FORMULA) for cell in row.values())
        assert not row["reason"].startswith(FORMULA)


@pytest.mark.parametrize("separator", [",", ";", "\t", "\n", "|"])
def test_nor_is_what_begins_behind_any_separator(separator: str) -> None:
    """Who opens the file chooses the separator: in many countries it is the semicolon."""
    for text in (f"a{separator}=1+1", f'a"{separator}"=1+1', f"a{separator} =1+1", f"a{separator}@SUM(A1)"):
        cells = str(defused(text)).replace('"', "").split(separator)
        assert not any(cell.strip().startswith(FORMULA) for cell in cells), text


@given(st.text())
def test_whatever_a_text_is_it_is_no_formula(text: str) -> None:
    cell = str(defused(text))
    assert not cell.startswith(FORMULA)
    assert not cell.lstrip(" \n\"'").startswith(FORMULA) or cell.lstrip(' \n"').startswith("'")
    assert "\x00" not in cell


@pytest.mark.parametrize(
    "text", ["reader@example.com", "5.1.1 <a@b>: no", "2026-11-22T07:00:00.123Z", "<1@x>", "a - b"]
)
def test_what_is_none_stays_as_it_was(text: str) -> None:
    assert defused(text) == text


def test_control_characters_are_escaped() -> None:
    assert defused("a\x00b\x1b[31m\x85") == "a\\x00b\\x1b[31m\\x85"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30))
@given(st.lists(st.sampled_from([outcome, rejected, deferred, in_doubt]), max_size=30))
def test_there_are_as_many_rows_as_records(tmp_path: Path, made: list[type[bytes]]) -> None:
    lines = [make(1 + place % 7) for place, make in enumerate(made)]
    found = parsed(write(tmp_path, begin(), *lines, end()))
    assert len(found) == min(len(made), 7)
    assert {row["status"] for row in found} <= {outcome.value for outcome in Outcome}


def test_what_is_added_while_the_table_is_made_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, begin(), outcome(1), deferred(2))
    table = rows(path)
    first = next(table)
    with path.open("ab") as log:
        log.write(outcome(2, attempt=2) + outcome(3))
    text = (first + b"".join(table)).decode("utf-8-sig")
    assert [row["record"] for row in csv.DictReader(io.StringIO(text))] == ["1", "2"]


def test_a_file_that_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not begin"):
        list(rows(write(tmp_path, b"record,recipient\n")))
