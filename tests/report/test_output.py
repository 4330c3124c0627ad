"""What a report is written to: whole or not at all, as private as the log, and never over what it tells of."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RunError, UsageError
from batchsend.report.analysis import analyse
from batchsend.report.output import Output
from batchsend.results.journal import journal_path
from tests.report.logs import begin, outcome, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    campaign = tmp_path / "campaign.toml"
    campaign.write_text("the campaign")
    return write(tmp_path, begin(campaign=str(campaign)), outcome(1))


@pytest.fixture
def output(log: Path) -> Output:
    return Output(analyse(log))


def test_a_file_is_as_private_as_the_log(log: Path, output: Output, tmp_path: Path) -> None:
    for mode in (0o600, 0o640):
        log.chmod(mode)
        output.write(tmp_path / "report.html", [b"a ", b"report"])
        assert (tmp_path / "report.html").read_bytes() == b"a report"
        assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == mode


def test_an_earlier_report_stays_until_the_new_one_is_whole(output: Output, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("the earlier one")

    def breaking_off() -> Iterator[bytes]:
        yield b"half of the new one"
        raise RunError("the log cannot be read")

    before = set(tmp_path.iterdir())
    with pytest.raises(RunError):
        output.write(path, breaking_off())
    assert path.read_text() == "the earlier one"
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["results.jsonl", "campaign.toml", "another-name", "link", "results.jsonl.inflight"])
def test_what_it_tells_of_is_not_written_over(log: Path, output: Output, tmp_path: Path, name: str) -> None:
    journal_path(log).write_bytes(b"the journal")
    (tmp_path / "link").symlink_to(log)
    (tmp_path / "another-name").hardlink_to(log)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="is not written over"):
        output.write(tmp_path / name, [b"a report"])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_link_stays_a_link(output: Output, tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "report.html")
    output.write(tmp_path / "link.html", [b"a report"])
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "report.html").read_bytes() == b"a report"


def test_a_pipe_is_written_to_and_not_replaced(output: Output, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        output.write(pipe, [b"a ", b"report"])
        assert os.read(reader, 100) == b"a report"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_place_that_cannot_be_written_to(output: Output, tmp_path: Path) -> None:
    for path, remedy in ((tmp_path / "no" / "such.html", "make that folder"), (tmp_path, "name a file, not a folder")):
        with pytest.raises(UsageError, match="cannot be written") as refused:
            output.write(path, [b"a report"])
        assert remedy in str(refused.value.remedy)
