"""The in-flight journal: what it holds outlives its process, and what it does not hold is not believed."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import RunError, UsageError
from batchsend.outcome import Outcome
from batchsend.results.format import MAX_RECORD
from batchsend.results.journal import Entry, Journal, JournalError, journal_path, read_journal
from batchsend.results.tally import MAX_ATTEMPTS

if TYPE_CHECKING:
    from pathlib import Path

entries = st.builds(
    Entry,
    record=st.integers(1, MAX_RECORD),
    attempt=st.integers(1, MAX_ATTEMPTS),
    status=st.none() | st.sampled_from(Outcome),
    code=st.none() | st.integers(200, 599),
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def left(log: Path) -> list[Entry]:
    """What the journal of a log holds."""
    found = read_journal(log)
    assert found is not None
    return sorted(found.entries)


@given(entries)
def test_every_entry_comes_back_from_64_bits(entry: Entry) -> None:
    assert entry.pack() < 2**64
    assert Entry.unpack(entry.pack()) == entry


@given(entries, st.integers(0, 63))
def test_a_flipped_bit_makes_no_other_entry(entry: Entry, bit: int) -> None:
    assert Entry.unpack(entry.pack() ^ (1 << bit)) is None


def test_what_is_marked_and_answered_is_in_the_file_at_once(log: Path) -> None:
    journal = Journal(log, "run", 4)
    journal.mark(12, 1)
    journal.mark(7, 3)
    journal.answer(7, 3, Outcome.REJECTED, 550)
    assert left(log) == [Entry(7, 3, Outcome.REJECTED, 550), Entry(12, 1)]
    journal.close(remove=False)


def test_what_hot_path_and_entry_write_is_the_same(log: Path) -> None:
    journal = Journal(log, "run", 1)
    journal.mark(5, 2)
    assert left(log) == [Entry(5, 2)]
    journal.answer(5, 2, Outcome.ACCEPTED, 250)
    assert left(log) == [Entry(5, 2, Outcome.ACCEPTED, 250)]
    journal.close(remove=False)


def test_a_place_is_used_again_after_its_release_and_not_before(log: Path) -> None:
    journal = Journal(log, "run", 2)
    size = journal_path(log).stat().st_size
    for record in range(1, 1000):
        journal.mark(record, 1)
        journal.answer(record, 1, Outcome.ACCEPTED, 250)
        assert left(log) == [Entry(record, 1, Outcome.ACCEPTED, 250)]
        journal.release([record], log_size=record)
        assert left(log) == []
    assert journal_path(log).stat().st_size == size
    journal.close(remove=False)


def test_it_grows_and_keeps_what_it_has(log: Path) -> None:
    journal = Journal(log, "run", 1, [Entry(1, 9)])
    journal.release([], log_size=77)
    for record in range(2, 40):
        journal.mark(record, 1)
    journal.answer(3, 1, Outcome.ACCEPTED, 250)
    journal.release([3], log_size=78)
    assert left(log) == [Entry(1, 9), *(Entry(record, 1) for record in range(2, 40) if record != 3)]
    found = read_journal(log)
    assert found is not None
    assert found.log_size == 78
    journal.close(remove=False)


def test_marking_a_record_twice_takes_one_place(log: Path) -> None:
    journal = Journal(log, "run", 2)
    journal.mark(1, 1)
    journal.mark(1, 1)
    assert journal.in_flight == 1
    journal.withdraw(1, 1)
    assert left(log) == []
    journal.close(remove=False)


def test_what_was_marked_again_is_not_released_by_its_earlier_line(log: Path) -> None:
    journal = Journal(log, "run", 2)
    journal.mark(1, 1)
    journal.answer(1, 1, Outcome.DEFERRED, 454)
    journal.mark(1, 1)
    journal.release([1], log_size=10)
    assert left(log) == [Entry(1, 1)]
    journal.close(remove=False)


def test_a_record_without_a_place_is_answered_and_released_in_peace(log: Path) -> None:
    journal = Journal(log, "run", 2)
    journal.answer(1, 1, Outcome.REJECTED, 550)
    journal.release([1], log_size=10)
    assert left(log) == []
    journal.close(remove=False)


def test_a_new_journal_takes_the_old_ones_entries_over(log: Path) -> None:
    old = Journal(log, "run", 4)
    for record in (3, 4, 5):
        old.mark(record, 1)
    old.close(remove=False)
    new = Journal(log, "run", 1, left(log))
    assert left(log) == [Entry(3, 1), Entry(4, 1), Entry(5, 1)]
    for record in (3, 4, 5):
        new.answer(record, 1, Outcome.IN_DOUBT, None)
    new.release([3, 4, 5], log_size=1)
    new.mark(6, 1)
    assert left(log) == [Entry(6, 1)]
    new.close(remove=False)


def test_a_log_named_by_a_link_has_the_same_journal(log: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.jsonl"
    link.symlink_to(log)
    log.touch()
    journal = Journal(link, "run", 1)
    journal.mark(1, 1)
    assert left(log) == [Entry(1, 1)]
    journal.close(remove=True)
    assert read_journal(log) is None


def test_only_its_owner_may_read_it(log: Path) -> None:
    Journal(log, "run", 1).close(remove=False)
    assert journal_path(log).stat().st_mode & 0o777 == 0o600


def test_where_it_cannot_be_made_the_error_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone/results\.jsonl\.inflight: .* cannot be made: No such file") as caught:
        Journal(tmp_path / "gone" / "results.jsonl", "run", 1)
    assert "--results" in str(caught.value)


def test_where_it_cannot_grow_the_run_stops(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(log, "run", 1)
    journal.mark(1, 1)

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RunError, match="cannot grow: No space left on device"):
        journal.mark(2, 1)
    monkeypatch.undo()
    assert left(log) == [Entry(1, 1)]
    assert sorted(path.name for path in log.parent.iterdir()) == ["results.jsonl.inflight"]
    journal.close(remove=False)


# --- what is not a journal --------------------------------------------------------------------------------------------


def test_there_may_be_none(log: Path) -> None:
    assert read_journal(log) is None


@pytest.mark.parametrize("garbage", [b"", b"\0" * 4096, b"garbage " * 512, os.urandom(1000), b"bsflight"])
def test_garbage_is_no_journal(log: Path, garbage: bytes) -> None:
    journal_path(log).write_bytes(garbage)
    with pytest.raises(JournalError, match="damaged"):
        read_journal(log)


def test_a_journal_cut_off_anywhere_is_damaged(log: Path) -> None:
    journal = Journal(log, "run", 3)
    journal.mark(1, 1)
    journal.close(remove=False)
    whole = journal_path(log).read_bytes()
    for size in range(len(whole)):
        journal_path(log).write_bytes(whole[:size])
        with pytest.raises(JournalError):
            read_journal(log)


def test_no_flipped_bit_of_what_is_relied_on_goes_unseen(log: Path) -> None:
    """The header's checksum covers all but the log's size; a taken place has a check of its own."""
    journal = Journal(log, "run", 1)
    journal.mark(1, 1)
    journal.close(remove=False)
    whole = journal_path(log).read_bytes()
    relied_on = [*range(124), *range(len(whole) - 8, len(whole))]
    for place in random.sample(relied_on, 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.randrange(8)
        journal_path(log).write_bytes(damaged)
        with pytest.raises(JournalError):
            read_journal(log)


def test_a_journal_of_another_start_of_the_machine_says_so(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(log, "run", 1).close(remove=False)
    found = read_journal(log)
    assert found is not None
    assert not found.rebooted
    monkeypatch.setattr("batchsend.results.boot_id.boot_id", lambda: b"another")
    found = read_journal(log)
    assert found is not None
    assert found.rebooted
