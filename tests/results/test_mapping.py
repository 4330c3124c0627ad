"""A mapped file that others cut short: the process goes on and knows; a fault elsewhere is still what it was."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RunError
from batchsend.outcome import Outcome
from batchsend.results.journal import Entry, Journal, journal_path, read_journal
from batchsend.results.mapping import Mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = mmap.PAGESIZE
PAGES = 3

FAULT = """
import faulthandler, mmap, os, sys
from batchsend.results.mapping import Mapping

def words(path):
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.truncate(path, mmap.PAGESIZE)
    return file

ours, foreign = sys.argv[1:3]
if sys.argv[3] == "heeded":
    faulthandler.enable()
mapping = Mapping(words(ours))
others = mmap.mmap(words(foreign), 0)
os.truncate(ours, 0)
mapping.words[0] = 1
assert mapping.lost
second = Mapping(words(ours))
os.truncate(foreign, 0)
print("about to fault", flush=True)
others[0] = 1
print("not reached")
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "words", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(descriptor, bytes(PAGES * PAGE))
    yield descriptor
    os.close(descriptor)


def handler() -> int | None:
    """Where SIGBUS leads in this process: what a structure begins with."""
    found = ctypes.create_string_buffer(256)
    ctypes.CDLL(None).sigaction(signal.SIGBUS, None, found)
    return ctypes.c_void_p.from_buffer(found).value


@pytest.mark.parametrize("kept", [0, 1, PAGE, PAGE + 8])
def test_words_that_were_cut_off_can_be_used_and_are_known_to_be_lost(file: int, kept: int) -> None:
    mapping = Mapping(file)
    mapping.words[0] = 7
    whole = mapping.is_whole
    os.ftruncate(file, kept)
    assert (whole, mapping.is_whole) == (True, False)
    last = PAGES * PAGE // 8 - 1
    assert mapping.words[last] == 0  # reading faults just as storing does
    assert mapping.lost
    mapping.words[last] = mapping.words[0] = 9
    assert (mapping.words[last], mapping.words[0]) == (9, 9)
    assert os.fstat(file).st_size == kept, "the file is left as it was found"
    mapping.close()


def test_a_file_that_cannot_be_asked_for_its_size_is_not_whole(file: int) -> None:
    """As one that a file server has removed; here the mapping's own descriptor is one of no file for a while."""
    before = descriptors()
    mapping = Mapping(file)
    (own,) = descriptors() - before
    kept = os.dup(own)
    os.close(own)
    try:
        is_whole = mapping.is_whole
    finally:
        os.dup2(kept, own, inheritable=False)
        os.close(kept)
    assert (is_whole, mapping.is_whole) == (False, True)
    mapping.close()


def descriptors() -> set[int]:
    """Those that are open in this process; the one of their list is not any more."""
    found = set()
    for one in Path("/dev/fd").iterdir():
        with suppress(OSError):
            os.fstat(int(one.name))
            found.add(int(one.name))
    return found


def test_only_the_file_that_was_cut_short_is_given_up(file: int, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(PAGE))
    other = os.open(tmp_path / "other", os.O_RDWR)
    one, two = Mapping(file), Mapping(other)
    os.ftruncate(file, 0)
    one.words[0] = 1
    two.words[0] = 258
    assert (one.lost, two.lost) == (True, False)
    assert os.pread(other, 2, 0) == b"\x02\x01"
    one.close()
    two.close()
    os.close(other)


def test_one_file_after_another_may_be_cut_short(tmp_path: Path) -> None:
    mappings = []
    for name in ("first", "second", "third"):
        (tmp_path / name).write_bytes(bytes(PAGE))
        with (tmp_path / name).open("r+b") as opened:
            mappings.append(Mapping(opened.fileno()))
    for name, mapping in zip(("first", "second", "third"), mappings, strict=True):
        os.truncate(tmp_path / name, 0)
        mapping.words[0] = 1
        assert mapping.lost
        mapping.close()


@pytest.fixture
def heeded() -> Iterator[None]:
    """Have this process heed the signal, as a program may that uses batchsend."""
    before = signal.signal(signal.SIGBUS, lambda *_: None)
    yield
    signal.signal(signal.SIGBUS, before)


@pytest.mark.usefixtures("heeded")
def test_what_the_signal_did_before_it_does_again_afterwards(file: int) -> None:
    before = handler()
    assert before
    one, two = Mapping(file), Mapping(file)
    one.close()
    assert handler() != before
    two.close()
    assert handler() == before


@pytest.mark.usefixtures("heeded")
def test_what_somebody_else_has_the_signal_do_meanwhile_stays(file: int) -> None:
    mapping = Mapping(file)
    signal.signal(signal.SIGBUS, signal.SIG_IGN)
    meanwhile = handler()
    mapping.close()
    assert handler() == meanwhile == signal.SIG_IGN


def test_a_mapping_keeps_no_descriptor_when_it_is_closed(file: int) -> None:
    before = descriptors()
    mapping = Mapping(file)
    assert descriptors() != before
    mapping.close()
    assert descriptors() == before


@pytest.mark.parametrize("heeded", ["heeded", "default"])
def test_a_fault_that_is_about_something_else_ends_the_process_as_ever(tmp_path: Path, heeded: str) -> None:
    program = (sys.executable, "-c", FAULT, tmp_path / "ours", tmp_path / "foreign", heeded)
    ended = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGBUS, ended.stderr
    assert ended.stdout == "about to fault\n"
    assert ("Fatal Python error: Bus error" in ended.stderr) == (heeded == "heeded")


# --- the journal ------------------------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_nothing_is_committed_once_the_journal_was_cut_short(log: Path) -> None:
    journal = Journal(log, "run", 4)
    journal.mark(1, 1)
    os.truncate(journal.path, 0)
    with pytest.raises(RunError, match="was cut short or overwritten while the run went on"):
        journal.mark(2, 1)
    with pytest.raises(RunError, match="was cut short"):
        journal.require_kept()
    journal.answer(1, 1, Outcome.ACCEPTED, 250)
    journal.release([1], 10)
    journal.close(remove=True)
    assert not journal.path.exists()


def test_a_journal_that_was_cut_short_does_not_grow_into_one_that_looks_whole(log: Path) -> None:
    journal = Journal(log, "run", 1)
    journal.mark(1, 1)
    os.truncate(journal.path, 0)
    with pytest.raises(RunError, match="was cut short"):
        journal.mark(2, 1)
    assert journal.path.stat().st_size == 0
    journal.close(remove=False)


@pytest.mark.parametrize("taken", ["at first", "later"])
def test_an_older_copy_that_is_written_over_it_is_noticed(log: Path, taken: str) -> None:
    journal = Journal(log, "run", 4)
    if taken == "later":
        journal.require_kept()
    older = journal.path.read_bytes()
    journal.require_kept()
    journal.mark(1, 1)
    journal.path.write_bytes(older)
    with pytest.raises(RunError, match="was cut short or overwritten"):
        journal.require_kept()
    journal.close(remove=False)


def test_one_that_is_emptied_and_made_as_long_again_is_noticed(log: Path) -> None:
    journal = Journal(log, "run", 4)
    size = journal.path.stat().st_size
    os.truncate(journal.path, 0)
    os.truncate(journal.path, size)
    with pytest.raises(RunError, match="was cut short or overwritten"):
        journal.require_kept()
    journal.close(remove=False)


def test_with_nothing_in_flight_it_can_be_made_anew_and_says_how_long_the_log_was(log: Path) -> None:
    journal = Journal(log, "run", 4)
    journal.release([], 100)
    whole = journal.path.read_bytes()
    journal.renew(100)
    assert journal.path.read_bytes() == whole, "one that is whole is left alone"
    os.truncate(journal.path, 8)
    journal.renew(100)
    journal.mark(3, 1)
    journal.close(remove=False)
    left = read_journal(log)
    assert left is not None
    assert (left.log_size, left.entries) == (100, [Entry(3, 1)])
    assert journal_path(log).exists()


def test_one_that_is_made_anew_knows_nothing_of_what_was_in_it(log: Path) -> None:
    journal = Journal(log, "run", 4)
    journal.mark(1, 1)
    os.truncate(journal.path, 8)
    journal.renew(100)
    assert journal.in_flight == 0
    journal.answer(1, 1, Outcome.ACCEPTED, 250)
    journal.close(remove=False)
    left = read_journal(log)
    assert left is not None
    assert left.entries == []
