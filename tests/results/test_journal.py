"""The in-flight journal: what it holds outlives its process, and what it does not hold is not believed."""

from __future__ import annotations

import errno
import os
import random
import struct
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import RunError, UsageError
from batchsend.outcome import Outcome
from batchsend.results.beside import set_aside_file
from batchsend.results.format import MAX_RECORD
from batchsend.results.journal import Entry, Journal, JournalError, journal_path, read_journal
from batchsend.results.tally import MAX_ATTEMPTS
from tests.results.account import open_files

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


@pytest.mark.parametrize(("record", "attempt", "outcome"), [(0, 1, 0), (1, 0, 0), (MAX_RECORD + 1, 1, 0), (1, 1, 7)])
def test_what_no_journal_holds_is_no_entry_although_its_check_fits(record: int, attempt: int, outcome: int) -> None:
    word = record << 26 | attempt << 13 | outcome
    assert Entry.unpack(word << 5 | word % 31) is None


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


@pytest.mark.parametrize("status", Outcome)
def test_what_is_released_is_forgotten_whatever_became_of_it(log: Path, status: Outcome) -> None:
    for code in (None, 250, 451, 550):
        journal = Journal(log, "run", 2)
        journal.mark(1, 1)
        journal.answer(1, 1, status, code)
        journal.release([1], log_size=10)
        assert left(log) == []
        journal.close(remove=True)


def test_a_place_is_used_again_also_where_nothing_was_sent(log: Path) -> None:
    journal = Journal(log, "run", 2)
    size = journal_path(log).stat().st_size
    for record in range(1, 100):
        journal.mark(record, 1)
        journal.withdraw(record, 1)
    assert (left(log), journal_path(log).stat().st_size) == ([], size)
    journal.close(remove=False)


def test_one_of_a_log_that_is_empty_does_not_say_that_something_stood_there(log: Path) -> None:
    Journal(log, "run", 1).close(remove=False)
    found = read_journal(log)
    assert found is not None
    assert (found.log_size, found.begun) == (0, 0)


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


def test_all_of_its_places_are_used_before_it_grows(log: Path) -> None:
    journal = Journal(log, "run", 6, [Entry(1, 1)])
    size = journal_path(log).stat().st_size
    for record in range(2, 7):
        journal.mark(record, 1)
    assert journal_path(log).stat().st_size == size
    journal.mark(7, 1)
    assert journal_path(log).stat().st_size == size + 6 * 8, "there are twice as many now"
    assert left(log) == [Entry(record, 1) for record in range(1, 8)]
    journal.close(remove=False)


@pytest.mark.parametrize("durable", [False, True])
def test_it_says_whether_its_run_waits_for_the_disk(log: Path, durable: bool) -> None:
    (Journal(log, "run", 1, durable=True) if durable else Journal(log, "run", 1)).close(remove=False)
    found = read_journal(log)
    assert found is not None
    assert found.durable is durable


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


def test_its_octets_are_those_of_version_3(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes on with a run may have another release than the one that was killed."""
    monkeypatch.setattr("batchsend.results.syncpoint.boot_id", lambda: b"boot")
    journal = Journal(log, "run", 2, log_size=77)
    journal.mark(5, 2)
    journal.mark(6, 1)
    journal.answer(6, 1, Outcome.REJECTED, 550)
    journal.require_kept()
    journal.close(remove=False)
    static = struct.pack("=8sIII64s40s", b"bsflight", 3, 2, 0, b"run", b"boot")
    header = static + struct.pack("=I3Q", zlib.crc32(static + struct.pack("=Q", 77)), 77, 77, 2)
    words = (5 << 26 | 2 << 13, 6 << 26 | 1 << 13 | 550 << 3 | 2)
    table = struct.pack("=2Q", *(word << 5 | word % 31 for word in words))
    assert journal_path(log).read_bytes() == header.ljust(192, b"\0") + table


@pytest.mark.parametrize("durable", [False, True])
def test_it_leaves_no_file_open(log: Path, durable: bool) -> None:
    before = open_files()
    first = Journal(log, "run", 1, durable=durable)
    first.mark(1, 1)
    first.mark(2, 1)
    first.close(remove=False)
    second = Journal(log, "run", 1, durable=durable, resumes=True)
    second.close(remove=True)
    assert open_files() == before
    assert not journal_path(log).exists()


def test_it_has_its_octets_on_the_disk_before_its_name_and_then_the_name(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the machine goes down, the name must not lead to a file without the entries of the run before."""
    brought: list[str] = []
    sync = os.fsync

    def note(file: int) -> None:
        what = "folder" if os.path.samestat(os.fstat(file), log.parent.stat()) else "journal"
        brought.append(f"{what}, {'with' if journal_path(log).exists() else 'without'} a name")
        sync(file)

    monkeypatch.setattr(os, "fsync", note)
    Journal(log, "run", 1).close(remove=True)
    assert brought == [], "nobody waits for the disk"
    Journal(log, "run", 1, durable=True).close(remove=True)
    assert brought == ["journal, without a name", "folder, with a name", "folder, without a name"]


def test_what_it_has_grown_out_of_is_let_go(log: Path) -> None:
    journal = Journal(log, "run", 1)
    before = len(list(Path("/dev/fd").iterdir()))
    for record in range(1, 40):
        journal.mark(record, 1)
    assert len(list(Path("/dev/fd").iterdir())) == before
    journal.close(remove=True)


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
    new = Journal(log, "run", 1, left(log), resumes=True)
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
    with pytest.raises(RunError, match="cannot be made anew: No space left on device"):
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
    with pytest.raises(JournalError, match=r"damaged.*\nbring it back as it was; or go on"):
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
    """The header's checksum covers all but the log's present size; a taken place has a check of its own."""
    journal = Journal(log, "run", 1)
    journal.mark(1, 1)
    journal.close(remove=False)
    whole = journal_path(log).read_bytes()
    relied_on = [*range(124), *range(136, 144), *range(len(whole) - 8, len(whole))]
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
    monkeypatch.setattr("batchsend.results.syncpoint.boot_id", lambda: b"another")
    found = read_journal(log)
    assert found is not None
    assert found.rebooted


def test_a_journal_of_version_2_is_read(log: Path) -> None:
    journal = Journal(log, "run", 2, log_size=77)
    journal.mark(5, 2)
    journal.close(remove=False)
    whole = bytearray(journal_path(log).read_bytes())
    whole[8:12] = (2).to_bytes(4, sys.byteorder)
    whole[124:128] = zlib.crc32(whole[:124]).to_bytes(4, sys.byteorder)
    whole[136:144] = bytes(8)
    journal_path(log).write_bytes(whole)
    found = read_journal(log)
    assert found is not None
    assert (found.run, found.log_size, found.entries, found.begun) == ("run", 77, [Entry(5, 2)], None)


def test_a_journal_of_a_version_to_come_says_what_to_do(log: Path) -> None:
    Journal(log, "run", 1).close(remove=False)
    whole = bytearray(journal_path(log).read_bytes())
    whole[8:12] = (99).to_bytes(4, sys.byteorder)
    whole[124:128] = zlib.crc32(whole[:124] + whole[136:144]).to_bytes(4, sys.byteorder)
    journal_path(log).write_bytes(whole)
    with pytest.raises(JournalError, match=r"written by another version.*\nresume with that version.*or go on"):
        read_journal(log)


# --- another run's ----------------------------------------------------------------------------------------------------


def test_one_that_has_something_in_flight_is_not_overwritten_by_a_new_run(log: Path) -> None:
    old = Journal(log, "first", 2)
    old.mark(7, 1)
    old.close(remove=False)
    before = journal_path(log).read_bytes()
    with pytest.raises(UsageError, match="1 message of run first was in flight") as caught:
        Journal(log, "second", 2)
    assert "--results FILE" in str(caught.value)
    assert journal_path(log).read_bytes() == before
    journal_path(log).write_bytes(b"garbage" * 100)
    with pytest.raises(UsageError, match="damaged"):
        Journal(log, "second", 2)


def test_one_that_has_nothing_in_flight_is(log: Path) -> None:
    Journal(log, "first", 2).close(remove=False)
    Journal(log, "second", 2).close(remove=True)
    assert list(log.parent.iterdir()) == [], "nor is it kept under another name"


def test_that_of_a_run_that_goes_on_is_not_taken_whatever_is_in_it(log: Path) -> None:
    """Its log may have been moved away, and with it the lock that keeps others out."""
    running = Journal(log, "first", 2)
    for resumes in (False, True):
        with pytest.raises(UsageError, match="the journal of a run that goes on"):
            Journal(log, "second", 2, resumes=resumes)
    running.mark(1, 1)
    assert left(log) == [Entry(1, 1)]
    running.close(remove=True)
    Journal(log, "second", 2).close(remove=True)


def test_a_run_removes_and_replaces_no_journal_but_its_own(log: Path) -> None:
    first = Journal(log, "first", 1)
    journal_path(log).rename(log.with_name("moved"))
    second = Journal(log, "second", 1)
    second.mark(2, 1)
    first.mark(1, 1)
    with pytest.raises(RunError, match="cannot be made anew: it was moved or replaced"):
        first.mark(3, 1)
    first.close(remove=True)
    assert left(log) == [Entry(2, 1)]
    second.close(remove=True)


def test_one_that_was_not_believed_is_kept_beside(log: Path) -> None:
    Journal(log, "first", 2).close(remove=False)
    for name in ("results.jsonl.inflight.1", "results.jsonl.inflight.2"):
        before = journal_path(log).read_bytes()
        Journal(log, "second", 2, resumes=True, set_aside=True).close(remove=False)
        assert log.with_name(name).read_bytes() == before


def test_however_many_were_kept_beside_before_one_more_is_kept(log: Path) -> None:
    Journal(log, "first", 2).close(remove=False)
    before = journal_path(log).read_bytes()
    for number in range(1, 1001):
        log.with_name(f"results.jsonl.inflight.{number}").touch()
    Journal(log, "second", 2, resumes=True, set_aside=True).close(remove=False)
    assert log.with_name("results.jsonl.inflight.1001").read_bytes() == before


def test_what_a_link_leads_to_gets_no_other_name(log: Path, tmp_path: Path) -> None:
    """A link that stands in the place of a file beside the log is kept as the link that it is."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    journal_path(log).symlink_to(elsewhere)
    set_aside_file(journal_path(log))
    assert log.with_name("results.jsonl.inflight.1").is_symlink()
    assert elsewhere.stat().st_nlink == 1


def test_it_is_made_where_nothing_is_and_through_no_link(log: Path, tmp_path: Path) -> None:
    """What a killed run has left under the name that is used meanwhile is taken away, and not written to."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    log.with_name("results.jsonl.inflight.new").symlink_to(elsewhere)
    Journal(log, "run", 1).close(remove=True)
    journal_path(log).symlink_to(elsewhere)
    with pytest.raises(UsageError, match="cannot be made"):
        Journal(log, "run", 1)
    assert elsewhere.read_text() == "precious"


def test_an_earlier_attempt_never_takes_the_place_of_a_later_one(log: Path) -> None:
    """The retry is under way when the first attempt is found to be in doubt: a kill must still name the retry."""
    journal = Journal(log, "run", 4)
    journal.mark(1, 2)
    journal.mark_again(1, 1)
    assert left(log) == [Entry(1, 2)]
    journal.answer(1, 1, Outcome.IN_DOUBT, None)
    assert left(log) == [Entry(1, 2)]
    journal.release([1], 0)
    assert left(log) == [Entry(1, 2)]
    journal.answer(1, 2, Outcome.ACCEPTED, 250)
    assert left(log) == [Entry(1, 2, Outcome.ACCEPTED, 250)]
    journal.close(remove=False)


@pytest.mark.parametrize("how", ["taken over", "grown"])
def test_nor_does_it_once_the_journal_was_made_anew(log: Path, how: str) -> None:
    if how == "taken over":
        journal = Journal(log, "run", 1, [Entry(1, 2)])
    else:
        journal = Journal(log, "run", 1)
        journal.mark(1, 2)
        journal.mark(2, 1)
    journal.answer(1, 1, Outcome.IN_DOUBT, None)
    assert left(log)[0] == Entry(1, 2)
    journal.mark_again(1, 1)
    assert left(log)[0] == Entry(1, 2)
    journal.answer(1, 2, Outcome.REJECTED, 550)
    assert left(log)[0] == Entry(1, 2, Outcome.REJECTED, 550)
    journal.close(remove=False)


def test_an_attempt_in_doubt_that_has_no_place_any_more_gets_one_again(log: Path) -> None:
    journal = Journal(log, "run", 4)
    journal.mark_again(1, 1)
    journal.answer(1, 1, Outcome.IN_DOUBT, None)
    assert left(log) == [Entry(1, 1, Outcome.IN_DOUBT)]
    journal.close(remove=False)


def test_what_was_answered_is_not_withdrawn_with_what_was_not_sent(log: Path) -> None:
    """The outcome of the first attempt is not with the kernel yet when the second one goes back."""
    journal = Journal(log, "run", 4)
    journal.mark(1, 1)
    journal.answer(1, 1, Outcome.IN_DOUBT, None)
    journal.withdraw(1, 2)
    journal.withdraw(1, 1)
    assert left(log) == [Entry(1, 1, Outcome.IN_DOUBT)]
    journal.close(remove=False)


@pytest.mark.parametrize("durable", [False, True])
def test_its_removal_is_waited_for_where_the_disk_is(log: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    journal = Journal(log, "run", 4, durable=durable)

    def fails(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    if durable:
        with pytest.raises(RunError, match="does not keep the account"):
            journal.close(remove=True)
    else:
        journal.close(remove=True)
    assert not journal_path(log).exists()
