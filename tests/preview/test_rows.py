"""Records by number, in whatever order they are asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from batchsend.preview.rows import Rows
from batchsend.recipients import BadRecord, Record, open_records

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "many.csv"
    path.write_text("email\n" + "".join(f"r{number}@example.com\n" for number in range(1, 2501)))
    return path


def test_forwards_and_backwards(file: Path) -> None:
    with Rows(partial(open_records, file)) as rows:
        for number in (1, 2, 1000, 1001, 2500, 2499, 1, 1700, 999):
            row = rows.find(number)
            assert isinstance(row, Record)
            assert (row.number, row.fields["email"]) == (number, f"r{number}@example.com")


def test_beyond_the_end_and_back(file: Path) -> None:
    with Rows(partial(open_records, file)) as rows:
        assert rows.find(2501) is None
        assert rows.known == 2500
        assert rows.find(2500) is not None
        assert rows.find(10**9) is None
        assert rows.find(1) is not None


def test_a_bad_row_has_its_number_too(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("email,name\na@example.com\nb@example.com,B\n")
    with Rows(partial(open_records, tmp_path / "bad.csv")) as rows:
        assert isinstance(rows.find(1), BadRecord)
        assert isinstance(rows.find(2), Record)


def test_a_file_without_records(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("email\n")
    with Rows(partial(open_records, tmp_path / "none.csv")) as rows:
        assert rows.find(1) is None
        assert rows.known == 0
