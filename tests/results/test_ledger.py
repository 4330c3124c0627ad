"""The order in which the account is written: a kill between any two steps leaves what can be read back."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchsend.errors import RunError, UsageError
from batchsend.outcome import Outcome
from batchsend.results import syncpoint
from batchsend.results.choice import Choice
from batchsend.results.claim import Claim, refuse_used
from batchsend.results.journal import Entry, Journal, JournalError, journal_path, read_journal
from batchsend.results.ledger import Ledger
from batchsend.results.lock import InUseError, open_locked
from batchsend.results.resumption import Resumption
from tests.results.account import RUN, killed, ledger, open_files, result, room_for
from tests.tools.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def in_flight(log: Path) -> list[Entry]:
    """What the account has in flight when it is read back."""
    with Resumption(log, Choice()) as past:
        return sorted(past.in_flight)


def test_a_kill_at_each_step_of_a_message_is_told_apart(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        assert in_flight(killed(log, tmp_path / "begun")) == []
        account.commit(1, 1)
        assert in_flight(killed(log, tmp_path / "committed")) == [Entry(1, 1)]
        account.append(result(1))
        assert in_flight(killed(log, tmp_path / "answered")) == [Entry(1, 1, Outcome.ACCEPTED, 250)]
        account.flush()
        assert in_flight(killed(log, tmp_path / "written")) == []
        account.end(None, {})
    assert not journal_path(log).exists()
    assert in_flight(log) == []


def test_whoever_gets_the_lock_of_the_log_finds_no_journal_that_is_locked_yet(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that is opened while another thread closes it would be told of a run whose log was moved."""
    close, seen = os.close, []

    def closed(file: int) -> None:
        close(file)
        with monkeypatch.context() as own:
            own.setattr(os, "close", close)
            with suppress(InUseError):
                close(open_locked(log, make=False))
                seen.append(journal_path(log).exists())

    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        account.end(None, {})
        monkeypatch.setattr(os, "close", closed)
    assert seen[:1] == [False]


def test_a_child_that_ends_what_its_parent_has_begun_does_not_give_its_lock_back(log: Path) -> None:
    """Somebody else would go on with the run while the parent still sends."""
    with ledger(log) as account:
        account.commit(1, 1)
        if not (child := os.fork()):
            try:
                account.__exit__(None, None, None)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(InUseError):
            open_locked(log, make=False)


def test_what_is_written_is_not_kept_for_the_next_time(log: Path) -> None:
    with ledger(log) as account:
        for record in (1, 2):
            account.append(result(record))
            assert "1 outcomes to be written" in repr(account)
            account.flush()
            assert "0 outcomes to be written" in repr(account)


def test_a_kill_between_line_and_release_leaves_nothing_in_flight(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        before = killed(log, tmp_path / "before")
        account.flush()
        between = killed(log, tmp_path / "between")
        journal_path(before).replace(journal_path(between))
        assert in_flight(between) == []


@pytest.mark.parametrize("status", [Outcome.DEFERRED, Outcome.IN_DOUBT])
def test_a_second_attempt_is_in_flight_although_the_first_has_its_line(
    log: Path, tmp_path: Path, status: Outcome
) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1, status, code=None))
        account.flush()
        account.commit(1, 2)
        assert in_flight(killed(log, tmp_path / "second")) == [Entry(1, 2)]


def test_the_same_attempt_again_is_in_flight_although_its_deferral_has_a_line(log: Path, tmp_path: Path) -> None:
    """What is held back for the server's pace is sent again without a new number."""
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1, Outcome.DEFERRED, code=454))
        account.flush()
        account.commit(1, 1)
        assert in_flight(killed(log, tmp_path / "committed")) == [Entry(1, 1)]
        account.append(result(1))
        assert in_flight(killed(log, tmp_path / "answered")) == [Entry(1, 1, Outcome.ACCEPTED, 250)]


def test_an_outcome_that_is_taken_back_stays_taken_back(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        account.flush()
        account.append(result(1, Outcome.IN_DOUBT, code=None))
        assert in_flight(killed(log, tmp_path / "taken back")) == [Entry(1, 1, Outcome.IN_DOUBT)]
        account.flush()
        assert in_flight(killed(log, tmp_path / "written")) == []


def test_a_message_that_was_not_taken_after_all_is_not_in_flight(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.withdraw(1, 1)
        assert in_flight(killed(log, tmp_path / "withdrawn")) == []


def test_a_run_killed_while_it_takes_over_leaves_what_it_found(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        for record in (1, 2, 3):
            account.commit(record, 1)
        account.append(result(2))
        found = killed(log, tmp_path / "first")
    expected = [Entry(1, 1), Entry(2, 1, Outcome.ACCEPTED, 250), Entry(3, 1)]
    with (
        Resumption(found, Choice()) as past,
        Ledger(found, RUN, capacity=2, resumption=past) as account,
    ):
        assert in_flight(killed(found, tmp_path / "second")) == expected
        account.append(result(1, Outcome.IN_DOUBT, code=None))
        account.append(result(2))
        account.flush()
        assert in_flight(killed(found, tmp_path / "third")) == [Entry(3, 1)]
    assert {path.name for path in found.parent.iterdir()} == {"results.jsonl", "results.jsonl.inflight"}


def test_a_run_that_cannot_make_its_journal_leaves_the_old_one(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        found = killed(log, tmp_path / "killed")
    journal_path(found).with_name("results.jsonl.inflight.new").mkdir()
    before = journal_path(found).read_bytes()
    with (
        Resumption(found, Choice()) as past,
        pytest.raises(UsageError, match="cannot be made"),
        Ledger(found, RUN, capacity=2, resumption=past),
    ):
        pass
    assert journal_path(found).read_bytes() == before
    assert in_flight(found) == [Entry(1, 1)]


steps = st.lists(st.tuples(st.sampled_from(["commit", "answer", "flush"]), st.integers(1, 5)), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60))
@given(steps)
def test_log_and_journal_together_always_know_every_commit(
    tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[str, int]]
) -> None:
    """Whatever the order of commits, answers and flushes: a kill forgets none, and doubts only what is unanswered."""
    directory = tmp_path_factory.mktemp("account")
    log = directory / "results.jsonl"
    attempts: dict[int, int] = {}
    open_now: set[int] = set()
    with ledger(log) as account:
        for step, record in taken:
            if step == "commit" and record not in open_now:
                attempts[record] = attempts.get(record, 0) + 1
                account.commit(record, attempts[record])
                open_now.add(record)
            elif step == "answer" and record in open_now:
                account.append(result(record, Outcome.DEFERRED, attempt=attempts[record], code=450))
                open_now.discard(record)
            elif step == "flush":
                account.flush()
        copy = killed(log, directory / "killed")
    with Resumption(copy, Choice()) as past:
        assert {entry.record for entry in past.in_flight if entry.status is None} == open_now
        for record, attempt in attempts.items():
            expected = Outcome.IN_DOUBT if record in open_now else Outcome.DEFERRED
            assert past.account.tally.status(record) is expected
            assert past.account.tally.attempts(record) == attempt


# --- what was lost ----------------------------------------------------------------------------------------------------


def interrupted(log: Path, tmp_path: Path) -> Path:
    """A killed run: 1 and 2 are written, 3 is answered, 4 is not."""
    with ledger(log) as account:
        for record in (1, 2, 3, 4):
            account.commit(record, 1)
        account.append(result(1))
        account.append(result(2, Outcome.REJECTED, code=550))
        account.flush()
        account.append(result(3))
        return killed(log, tmp_path / "killed")


def test_a_line_torn_in_the_writing_loses_nothing(log: Path, tmp_path: Path) -> None:
    found = interrupted(log, tmp_path)
    whole = found.read_bytes()
    line = json.dumps({"record": 3, "recipient": "r3@example.com", "status": "accepted"}).encode()
    for length in range(1, len(line)):
        found.write_bytes(whole + line[:length])
        assert in_flight(found) == [Entry(3, 1, Outcome.ACCEPTED, 250), Entry(4, 1)]
    with Resumption(found, Choice()) as past, Ledger(found, RUN, capacity=2, resumption=past):
        pass
    assert found.read_bytes().startswith(whole + b'{"run":')


def test_a_log_cut_off_anywhere_is_refused_with_the_reason(log: Path, tmp_path: Path) -> None:
    found = interrupted(log, tmp_path)
    whole = found.read_bytes()
    run_line = whole.index(b"\n") + 1
    for size in range(run_line, len(whole)):
        found.write_bytes(whole[:size])
        with pytest.raises(JournalError, match=f" {len(whole) - size} octets? shorter") as caught:
            in_flight(found)
        assert "--accept-duplicates" in str(caught.value)


def test_a_log_cut_off_after_a_run_that_ended_is_refused_too(log: Path) -> None:
    with ledger(log) as account:
        account.append(result(1))
        account.end(None, {})
    whole = log.read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole)):
        log.write_bytes(whole[:size])
        with pytest.raises(JournalError, match="inflight is missing, and the run was killed"):
            in_flight(log)


def damage(journal: Path, how: str) -> None:
    """What may become of a journal."""
    if how == "missing":
        journal.unlink()
    elif how == "garbage":
        journal.write_bytes(b"garbage" * 100)
    else:
        journal.unlink()
        Journal(journal.with_name("results.jsonl"), "another", 2).close(remove=False)


@pytest.mark.parametrize("how", ["missing", "garbage", "another run's"])
def test_without_its_journal_a_killed_run_is_refused_unless_duplicates_are_accepted(
    log: Path, tmp_path: Path, how: str
) -> None:
    found = interrupted(log, tmp_path)
    damage(journal_path(found), how)
    with pytest.raises(JournalError, match=r"results\.jsonl\.inflight") as caught:
        in_flight(found)
    assert "cannot be known" in str(caught.value)
    with Resumption(found, Choice(), accept_duplicates=True) as past:
        assert past.in_flight == []
        assert [past.next_attempt(record) for record in (1, 2, 3, 4)] == [0, 0, 1, 1]


def test_without_its_journal_a_torn_line_still_puts_its_record_in_doubt(log: Path, tmp_path: Path) -> None:
    found = interrupted(log, tmp_path)
    journal_path(found).unlink()
    whole = found.read_bytes()
    for torn, named in (
        (b'{"record":3,"recipient":"r3@exa', [Entry(3, 1)]),
        (b'{"record":3,"recipient":"r3@example.com","status":"accepted","sta', [Entry(3, 1)]),
        (b'{"record":3,"recipient":"r3@example.com","status":"rejected","sta', []),
        (b'{"record":3', []),
    ):
        found.write_bytes(whole + torn)
        with Resumption(found, Choice(), accept_duplicates=True) as past:
            assert past.in_flight == named


def test_after_a_restart_of_the_machine_a_killed_run_is_refused(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = interrupted(log, tmp_path)
    monkeypatch.setattr("batchsend.results.syncpoint.boot_id", lambda: b"another")
    with pytest.raises(JournalError, match="the machine went down"):
        in_flight(found)


def test_an_older_journal_of_the_run_is_not_taken_for_the_last_one(log: Path, tmp_path: Path) -> None:
    """Put back from a backup, it does not know of what was committed since."""
    with ledger(log) as account:
        account.commit(1, 1)
        older = journal_path(killed(log, tmp_path / "older")).read_bytes()
        account.append(result(1))
        account.commit(2, 1)
        account.append(result(2))
        account.flush()
        account.commit(3, 1)
        found = killed(log, tmp_path / "killed")
    assert in_flight(found) == [Entry(3, 1)]
    journal_path(found).write_bytes(older)
    with pytest.raises(JournalError, match="is an older journal of the run: its log has gone on since"):
        in_flight(found)
    with (
        Resumption(found, Choice(), accept_duplicates=True) as past,
        Ledger(found, RUN, capacity=2, resumption=past) as account,
    ):
        account.end(None, {})
    kept = found.with_name("results.jsonl.inflight.1")
    assert kept.read_bytes() == older, "what was not believed is not thrown away either"


def test_the_journal_of_a_run_before_the_last_one_is_not_taken_for_the_last_one(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        found = killed(log, tmp_path / "first")
    older = journal_path(found).read_bytes()
    with Resumption(found, Choice()) as past, Ledger(found, RUN, capacity=2, resumption=past) as account:
        account.append(result(1, Outcome.IN_DOUBT, code=None))
        account.end(None, {})
    with Resumption(found, Choice()) as past, Ledger(found, RUN, capacity=2, resumption=past) as account:
        account.commit(2, 1)
        second = killed(found, tmp_path / "second")
    assert in_flight(second) == [Entry(2, 1)]
    journal_path(second).write_bytes(older)
    with pytest.raises(JournalError, match="is an older journal"):
        in_flight(second)


def test_a_kill_between_journal_and_run_line_is_neither_of_these(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        found = killed(log, tmp_path / "first")
    with Resumption(found, Choice()) as past:
        entries, size = past.in_flight, past.account.size
    Journal(found, RUN.id, 2, entries, log_size=size, resumes=True).close(remove=False)
    assert in_flight(found) == [Entry(1, 1)]


def test_an_older_journal_is_known_by_the_first_line_behind_it_however_many_are_before(
    log: Path, tmp_path: Path
) -> None:
    with ledger(log) as account:
        for record in range(1, 51):
            account.commit(record, 1)
            account.append(result(record))
        account.flush()
        older = journal_path(log).read_bytes()
        account.commit(51, 1)
        account.append(result(51))
        account.flush()
        account.commit(52, 1)
        found = killed(log, tmp_path / "killed")
    assert in_flight(found) == [Entry(52, 1)], "the last one is none"
    journal_path(found).write_bytes(older)
    with pytest.raises(JournalError, match="is an older journal of the run"):
        in_flight(found)


@pytest.mark.parametrize(("durable", "rebooted"), [(False, False), (True, False), (False, True), (True, True)])
def test_only_where_the_machine_went_down_and_the_disk_was_waited_for_a_line_is_a_hole(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool, rebooted: bool
) -> None:
    with Ledger(log, RUN, capacity=2, durable=durable) as account:
        account.commit(1, 1)
        found = killed(log, tmp_path / "killed")
    found.write_bytes(found.read_bytes() + b"\0\0\0\n")
    if rebooted:
        monkeypatch.setattr(syncpoint, "boot_id", lambda: b"another")
    if durable and rebooted:
        assert in_flight(found) == [Entry(1, 1)]
        return
    for accept_duplicates in (False, True):
        with (
            pytest.raises(UsageError, match="not a line of a results log"),
            Resumption(found, Choice(), accept_duplicates=accept_duplicates),
        ):
            pass


def test_a_run_that_cannot_be_gone_on_with_leaves_its_journal_and_a_new_one_leaves_none(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = interrupted(log, tmp_path)
    left = in_flight(found)

    def fails(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as failing:
        failing.setattr(syncpoint, "sync", fails)
        with (
            Resumption(found, Choice()) as past,
            pytest.raises(RunError, match="Input/output error"),
            Ledger(found, RUN, capacity=2, resumption=past, durable=True),
        ):
            pass
        new = tmp_path / "new.jsonl"
        with pytest.raises(RunError, match="Input/output error"), Ledger(new, RUN, capacity=2, durable=True):
            pass
    assert in_flight(found) == left != []
    assert not journal_path(new).exists()


def test_where_there_are_too_many_open_files_for_a_sync_none_of_its_own_stays_open(log: Path) -> None:
    def also() -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with Ledger(log, RUN, capacity=2, also=also) as account:
        before = len(list(Path("/dev/fd").iterdir()))
        with pytest.raises(RunError, match="Too many open files"):
            account.begin_sync()
        assert len(list(Path("/dev/fd").iterdir())) == before
        account.end(None, {})


# --- a run that does not begin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("occurrence", range(1, 7))
def test_where_a_sync_at_the_beginning_fails_resume_and_send_both_go_on(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, occurrence: int
) -> None:
    """Nothing was sent: neither may be told that it cannot be known what was."""
    calls = 0

    def fails_once(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls == occurrence:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails_once)
    monkeypatch.setattr(syncpoint, "sync", fails_once)
    before = open_files()
    with (
        pytest.raises(RunError, match="Input/output error"),
        Ledger(log, RUN, capacity=2, durable=True),
    ):
        pass
    assert calls >= occurrence
    assert open_files() == before
    assert log.read_bytes().count(b"\n") == 2, "its beginning, and its end"
    copy = tmp_path / "copy.jsonl"
    shutil.copy(log, copy)
    with Resumption(log, Choice()) as past, Ledger(log, RUN, capacity=2, resumption=past, durable=True) as account:
        assert (past.in_flight, past.counts.total()) == ([], 0)
        account.end(None, {})
    refuse_used(copy)
    with Ledger(copy, RUN, capacity=2, durable=True) as account:
        account.end(None, {})
    assert copy.read_bytes().count(b"\n") == 2


def test_a_disk_that_takes_only_a_part_of_the_first_line_leaves_no_log_behind(log: Path) -> None:
    """A part of a line would be in the way of the next run, and `resume` could not go on with it either."""
    with ledger(log) as account:
        account.end(None, {})
    first = log.read_bytes().index(b"\n") + 1
    for octets in (first - 1, first // 2 + 100):
        log.unlink(missing_ok=True)
        with room_for(octets), pytest.raises(RunError, match="cannot be written"), ledger(log):
            pass
        assert list(log.parent.iterdir()) == []


def test_a_run_that_cannot_begin_for_another_reason_than_the_disk_leaves_no_log_behind(log: Path) -> None:
    journal_path(log).with_name("results.jsonl.inflight.new").mkdir()
    with pytest.raises(UsageError, match="cannot be made"), ledger(log):
        pass
    assert not log.exists()


def test_where_there_is_no_room_for_its_end_the_run_says_so_and_its_journal_stays(log: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        account.flush()
        with room_for(log.stat().st_size + 10), pytest.raises(RunError, match="cannot be written"):
            account.end(None, {})
    assert journal_path(log).exists()
    with Resumption(log, Choice()) as past:
        assert (past.in_flight, past.counts, past.account.ended) == ([], {Outcome.ACCEPTED: 1}, True)


def test_the_journal_of_a_run_that_has_just_begun_knows_how_long_the_log_is(log: Path, tmp_path: Path) -> None:
    with ledger(log):
        found = killed(log, tmp_path / "killed")
    found.write_bytes(found.read_bytes()[:-1])
    with pytest.raises(UsageError):
        in_flight(found)
    left = read_journal(found)
    assert left is not None
    assert left.log_size == found.stat().st_size + 1


def test_what_is_on_the_disk_when_a_run_begins_knows_how_much_of_the_log_is_there(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[tuple[str, int]] = []

    def note(file: int) -> None:
        left = read_journal(log)
        assert left is not None
        what = "log" if os.path.samestat(os.fstat(file), log.stat()) else "journal"
        known.append((what, left.log_size))

    monkeypatch.setattr(syncpoint, "sync", note)
    with Ledger(log, RUN, capacity=2, durable=True) as account:
        size = log.stat().st_size
        assert known == [("log", 0), ("journal", 0), ("log", size), ("journal", size)]
        account.end(None, {})


def test_wherever_a_run_is_killed_while_it_begins_anew_send_may_begin_again(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of the run before, in which nobody was written to, are gone before there is a journal of this one."""
    with ledger(log) as account:
        account.end("the server is gone", {})
    copies: list[Path] = []

    def kept(file: int) -> None:
        copies.append(tmp_path / str(len(copies)) / log.name)
        copies[-1].parent.mkdir()
        for path in (log, journal_path(log)):
            if path.exists():
                shutil.copy(path, copies[-1].with_name(path.name))

    monkeypatch.setattr(os, "fsync", kept)
    with Ledger(log, RUN, capacity=2, durable=True) as account:
        account.end(None, {})
    assert [path.stat().st_size for path in copies[:2]] == [0, 0]
    assert journal_path(copies[1]).exists()
    for path in copies[:3]:
        refuse_used(path)


def test_log_journal_and_what_else_there_is_are_all_brought_to_the_disk(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    also = tmp_path / "messages"
    also.touch()
    brought: list[int] = []
    monkeypatch.setattr(syncpoint, "sync", lambda file: brought.append(os.fstat(file).st_ino))
    with Ledger(log, RUN, capacity=2, durable=True, also=lambda: os.open(also, os.O_RDONLY | os.O_CLOEXEC)) as account:
        brought.clear()
        before = open_files()
        with account.begin_sync() as point:
            point.sync()
        account.synced(point)
        assert open_files() == before
        assert brought == [path.stat().st_ino for path in (log, journal_path(log), also)]
        account.end(None, {})


def test_a_log_in_which_somebody_has_an_outcome_is_used_and_one_without_may_be_begun_anew(log: Path) -> None:
    with ledger(log) as account:
        account.end("the server is gone", {})
    refuse_used(log)
    with ledger(log) as account:
        account.append(result(1, Outcome.INVALID, attempt=0, code=None))
        account.end(None, {})
    with pytest.raises(UsageError, match="already holds the results of a run"):
        refuse_used(log)


def test_a_log_with_a_torn_line_is_used_and_one_that_is_not_may_be_claimed_again_and_again(log: Path) -> None:
    with ledger(log) as account:
        account.end("the server is gone", {})
    for _ in range(2):
        with Claim(log) as claim:
            assert claim.is_held
        assert not claim.is_held
    with log.open("ab") as file:
        file.write(b'{"record":1')
    with pytest.raises(UsageError, match="already holds the results of a run"), Claim(log):
        pass


def test_a_log_of_a_killed_run_is_used_where_something_may_have_been_sent(log: Path, tmp_path: Path) -> None:
    with ledger(log) as account:
        refuse_used(killed(log, tmp_path / "nothing"))
        without = killed(log, tmp_path / "without")
        journal_path(without).unlink()
        account.commit(1, 1)
        committed = killed(log, tmp_path / "committed")
    for used in (without, committed):
        with pytest.raises(UsageError, match="already holds the results of a run"):
            refuse_used(used)


def test_a_claim_keeps_others_out_and_leaves_nothing_that_is_not_used(log: Path) -> None:
    with Claim(log):
        with pytest.raises(UsageError, match="is at work on it"), Claim(log):
            pass
        assert log.exists()
    assert not log.exists()
    with Claim(log) as claim, Ledger(log, RUN, capacity=2, claim=claim) as account:
        account.end(None, {})
    assert log.exists()


# --- what is done to it while the run goes on -------------------------------------------------------------------------


def move(log: Path) -> None:
    log.rename(log.with_name("results.jsonl.1"))


def rotate(log: Path) -> None:
    log.rename(log.with_name("results.jsonl.1"))
    log.touch()


def replace_by_another(log: Path) -> None:
    log.rename(log.with_name("results.jsonl.1"))
    log.write_text("the account of another run\n")


def copytruncate(log: Path) -> None:
    shutil.copy(log, log.with_name("results.jsonl.1"))
    os.truncate(log, 0)


def remove(log: Path) -> None:
    log.unlink()


def add(log: Path) -> None:
    with log.open("a") as file:
        file.write("a note\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (move, "was moved or replaced while the run went on\nthe account goes on in .*results.jsonl.1: move it back"),
        (rotate, "was moved or replaced while the run went on\nthe account goes on in .*results.jsonl.1: move it"),
        (
            replace_by_another,
            "results.jsonl.1: another file has its name now: move that one elsewhere and this one back",
        ),
        (
            copytruncate,
            r"was cut short while the run went on: it had [0-9]+ octets, and has [0-9]+\nput what was there",
        ),
        (remove, "was removed while the run went on"),
        (add, "something else has written to the results log"),
    ],
)
def test_what_is_done_to_a_log_is_noticed(log: Path, change: Callable[[Path], None], said: str) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        account.flush()
        account.look()
        change(log)
        with pytest.raises(RunError, match=said):
            account.look()
        account.commit(2, 1)
        account.append(result(2))
        with pytest.raises(RunError, match=said):
            account.end("stopped", {})


def test_a_log_that_was_moved_is_whole_and_can_be_gone_on_with(log: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        move(log)
        account.append(result(1))
        with pytest.raises(RunError, match="moved"):
            account.end("stopped", {})
    moved = log.with_name("results.jsonl.1")
    assert not journal_path(log).exists()
    moved.rename(log)
    with Resumption(log, Choice()) as past:
        assert (past.in_flight, past.counts) == ([], {Outcome.ACCEPTED: 1})


def test_a_log_that_was_removed_is_written_anew(log: Path) -> None:
    """Nobody else has what stood there, and without it everybody would get the message again."""
    before = open_files()
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        account.flush()
        remove(log)
        account.commit(2, 1)
        account.append(result(2))
        with pytest.raises(RunError, match="was removed while the run went on, and is written anew"):
            account.end("stopped", {})
    assert log.stat().st_mode & 0o777 == 0o600
    assert not journal_path(log).exists()
    assert open_files() == before
    with Resumption(log, Choice()) as past:
        assert (past.in_flight, past.counts) == ([], {Outcome.ACCEPTED: 2})


def test_a_log_that_was_removed_and_cannot_be_written_anew_leaves_its_journal(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may believe that the account is there again; nor that of another run, which has the name by now."""

    def fails(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for why in ("the disk fails", "the name is taken"):
        with ledger(log) as account:
            account.commit(1, 1)
            account.append(result(1))
            account.flush()
            remove(log)
            if why == "the name is taken":
                log.write_bytes(b"another's")
            with monkeypatch.context() as failing:
                failing.setattr(os, "fsync", fails)
                with pytest.raises(RunError, match="was removed") as caught:
                    account.end("stopped", {})
        assert "written anew" not in str(caught.value)
        assert journal_path(log).exists()
        assert log.exists() is (why == "the name is taken")
        journal_path(log).unlink()
    assert log.read_bytes() == b"another's"


def test_the_journal_of_a_run_that_has_ended_is_believed_to_be_a_copy(log: Path, tmp_path: Path) -> None:
    """Put back from a backup, it says of the last message what it said while that one was under way."""
    with ledger(log) as account:
        account.commit(1, 1)
        copy = killed(log, tmp_path / "copy")
        account.append(result(1, Outcome.DEFERRED, code=451))
        account.commit(2, 1)
        account.append(result(2))
        account.end(None, {})
    journal_path(copy).rename(journal_path(log))
    assert in_flight(log) == []


def test_what_is_sent_again_can_be_asked_by_outcome(log: Path) -> None:
    with ledger(log) as account:
        account.end(None, {})
    with Resumption(log, Choice(["in_doubt"])) as past:
        assert [status for status in Outcome if past.sends(status)] == [Outcome.DEFERRED, Outcome.IN_DOUBT]


def test_after_a_log_was_cut_short_its_journal_stays_and_knows_how_long_it_was(log: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        account.flush()
        copytruncate(log)
        account.commit(2, 1)
        account.append(result(2))
        with pytest.raises(RunError, match="cut short"):
            account.end("stopped", {})
    rest = log.read_bytes()
    copy = log.with_name("results.jsonl.1").read_bytes()
    log.write_bytes(copy)
    with pytest.raises(JournalError, match="octets shorter than it was"):
        in_flight(log)
    log.write_bytes(copy + rest)
    with Resumption(log, Choice()) as past:
        assert (past.in_flight, past.counts) == ([], {Outcome.ACCEPTED: 2})


def test_where_both_were_cut_short_the_journal_is_made_anew_and_knows_how_long_the_log_was(log: Path) -> None:
    with ledger(log) as account:
        account.commit(1, 1)
        account.append(result(1))
        account.flush()
        copytruncate(log)
        os.truncate(journal_path(log), 0)
        with pytest.raises(RunError, match="cut short"):
            account.end("stopped", {})
    log.write_bytes(log.with_name("results.jsonl.1").read_bytes())
    with pytest.raises(JournalError, match="octets shorter than it was"):
        in_flight(log)


def test_a_journal_that_is_taken_away_is_noticed(log: Path) -> None:
    with ledger(log) as account:
        account.look()
        journal_path(log).rename(log.with_name("elsewhere"))
        with pytest.raises(RunError, match="the journal of what is in flight was moved, replaced or removed"):
            account.look()


# --- what is sent again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "sent"),
    [
        ([], {4: 2, 7: 1}),
        (["in_doubt"], {4: 2, 5: 2, 7: 1}),
        (["rejected", "invalid"], {2: 2, 3: 2, 4: 2, 6: 1, 7: 1}),
        (["550"], {2: 2, 4: 2, 7: 1}),
        (["554", "550"], {2: 2, 3: 2, 4: 2, 7: 1}),
    ],
)
def test_retry_widens_what_is_sent(log: Path, retry: list[str], sent: dict[int, int]) -> None:
    with ledger(log) as account:
        account.append(result(1))
        account.append(result(2, Outcome.REJECTED, code=550))
        account.append(result(3, Outcome.REJECTED, code=554))
        account.append(result(4, Outcome.DEFERRED, code=550))
        account.append(result(5, Outcome.IN_DOUBT, code=None))
        account.append(result(6, Outcome.INVALID, attempt=0, code=None))
        account.end(None, {})
    with Resumption(log, Choice(retry)) as past:
        attempts = {record: past.next_attempt(record) for record in range(1, 8)}
    assert {record: attempt for record, attempt in attempts.items() if attempt} == sent


def test_what_is_no_number_of_a_record_is_named(log: Path) -> None:
    with ledger(log) as account:
        account.end(None, {})
    wrong: Any = "1"
    with Resumption(log, Choice()) as past:
        for asked in (past.next_attempt, past.was_offered):
            with pytest.raises(TypeError, match="record"):
                asked(wrong)


def test_a_code_counts_only_where_it_is_the_last_lines(log: Path) -> None:
    with ledger(log) as account:
        account.append(result(1, Outcome.REJECTED, code=550))
        account.append(result(1, Outcome.ACCEPTED, attempt=2))
        account.append(result(2, Outcome.REJECTED, code=550))
        account.append(result(2, Outcome.REJECTED, attempt=2, code=554))
        account.end(None, {})
    with Resumption(log, Choice(["550"])) as past:
        assert past.next_attempt(1) == 0
        assert past.next_attempt(2) == 0
