"""How far a file that grows was read, and whether it is still that file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from batchsend.results.reached import Reached

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHOLE = b"".join(b"line %d\n" % number for number in range(200))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "log"
    path.write_bytes(WHOLE)
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def reached(file: int) -> Reached:
    reached = Reached()
    assert reached.place == 0
    assert not reached.look(file), "nothing was read of it yet"
    reached.reach(file, len(WHOLE))
    return reached


def test_a_file_that_grows_is_the_same(file: int, reached: Reached) -> None:
    os.pwrite(file, b"more\n", len(WHOLE))
    assert reached.look(file)
    assert reached.place == len(WHOLE)


@pytest.mark.parametrize("now", [b"", WHOLE[:-1], WHOLE[:-8] + b"other 1\n" + WHOLE, b"other\n" * 1000])
def test_a_file_that_was_written_anew_in_its_place_is_another(file: int, reached: Reached, now: bytes) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, now, 0)
    assert not reached.look(file)
    assert reached.place == 0


def test_a_file_that_was_exchanged_is_another(tmp_path: Path, reached: Reached) -> None:
    (tmp_path / "new").write_bytes(WHOLE + WHOLE)
    with (tmp_path / "new").open("rb") as other:
        assert not reached.look(other.fileno())
        reached.reach(other.fileno(), 3)
        assert reached.look(other.fileno())


def test_one_that_has_not_grown_is_the_same(file: int, reached: Reached) -> None:
    assert reached.look(file)


def test_the_first_octet_of_a_short_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"one\n")
    reached = Reached()
    with path.open("r+b") as opened:
        assert not reached.look(opened.fileno())
        reached.reach(opened.fileno(), 4)
        os.pwrite(opened.fileno(), b"O", 0)
        assert not reached.look(opened.fileno())
