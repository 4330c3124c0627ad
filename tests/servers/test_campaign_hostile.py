"""Thousands of records that try to be more than one message: nothing reaches a server that was not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.message.hostile.rows import rows
from tests.message.hostile.run import Result, send
from tests.message.hostile.servers import batchsend_sink, smtp_sink
from tests.message.hostile.strategy import found_rows

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 5_000
SEED = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder for a campaign."""
    path = tmp_path / "campaign"
    path.mkdir()
    return path


def test_nothing_unasked_is_at_smtp_sink(folder: Path) -> None:
    made = list(rows(COUNT, SEED))
    _require(send(folder, smtp_sink(), made, "--max-connections", "20"), len(made))


def test_nothing_unasked_is_at_a_server_with_chunking_and_smtputf8(folder: Path, tmp_path: Path) -> None:
    made = list(rows(COUNT // 10, SEED + 1))
    _require(send(folder, batchsend_sink(tmp_path), made, "--depth", "8"), len(made))


def test_nothing_unasked_is_at_a_server_without_8bitmime_of_what_hypothesis_makes_up(folder: Path) -> None:
    made = found_rows(COUNT // 25)
    _require(send(folder, smtp_sink(eight_bit=False), made), len(made))


def _require(result: Result, count: int) -> None:
    assert result.complaints == []
    assert result.counts.keys() == {"accepted", "invalid"}
    assert result.counts.total() == count
    assert min(result.counts.values()) > count // 10, "the records are hostile, and not all of them hopeless"
    assert result.received == result.counts["accepted"]
