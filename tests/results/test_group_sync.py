"""What waits for the disk goes on when the disk has it, and not before; where it has it not, it is told so."""

from __future__ import annotations

from contextlib import asynccontextmanager
from threading import Event
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from batchsend.errors import RunError
from batchsend.outcome import Outcome
from batchsend.results import syncpoint
from batchsend.results.book import Book
from batchsend.results.groupsync import GroupSync
from batchsend.results.journal import journal_path, read_journal
from batchsend.results.ledger import Ledger
from tests.results.account import RUN, result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


class Waiter:
    """Somebody who waits for the disk.

    Attributes:
        told: What he was told, in order.
    """

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.heard = anyio.Event()

    def release(self, safe: bool) -> None:
        self.told.append(safe)
        self.heard.set()


@asynccontextmanager
async def kept(log: Path) -> AsyncIterator[tuple[Ledger, GroupSync]]:
    """An account that is brought to the disk."""
    with Ledger(log, RUN, capacity=8, durable=True) as ledger:
        disk = GroupSync(ledger)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(disk.run)
            yield ledger, disk
            tasks.cancel_scope.cancel()
        ledger.end(None, {})


async def test_who_comes_while_the_disk_is_at_work_waits_for_the_next_sync(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = _slow_disk(monkeypatch)
    first, second = Waiter(), Waiter()
    go_on.set()
    async with kept(log) as (ledger, disk):
        go_on.clear()
        at_work.clear()
        ledger.commit(1, 1)
        disk.wait(first.release)
        await anyio.to_thread.run_sync(at_work.wait)
        ledger.commit(2, 1)
        disk.wait(second.release)
        assert (first.told, second.told) == ([], [])
        go_on.set()
        await first.heard.wait()
        assert second.told == []
        await second.heard.wait()
        assert (first.told, second.told) == ([True], [True])


async def test_who_has_more_to_wait_for_is_told_once_when_all_of_it_is_there(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = _slow_disk(monkeypatch)
    waiter, last = Waiter(), Waiter()
    go_on.set()
    async with kept(log) as (ledger, disk):
        go_on.clear()
        at_work.clear()
        ledger.commit(1, 1)
        disk.wait(waiter.release)
        await anyio.to_thread.run_sync(at_work.wait)
        ledger.commit(2, 1)
        disk.wait(waiter.release)
        disk.wait(last.release)
        go_on.set()
        await last.heard.wait()
        assert waiter.told == [True]


async def test_a_message_leaves_the_journal_when_its_line_is_on_the_disk(log: Path) -> None:
    async with kept(log) as (ledger, disk):
        ledger.commit(1, 1)
        ledger.append(result(1))
        ledger.flush()
        left = read_journal(log)
        assert left is not None
        assert left.durable
        assert [(entry.record, entry.status) for entry in left.entries] == [(1, Outcome.ACCEPTED)]
        size_before = left.log_size
        waiter = Waiter()
        disk.wait(waiter.release)
        await waiter.heard.wait()
        left = read_journal(log)
        assert left is not None
        assert left.entries == []
        assert left.log_size == len(await anyio.Path(log).read_bytes()) > size_before


async def test_what_is_not_with_the_kernel_yet_is_brought_to_the_disk_too(log: Path) -> None:
    async with kept(log) as (ledger, disk):
        ledger.append(result(1))
        waiter = Waiter()
        disk.wait(waiter.release)
        await waiter.heard.wait()
        assert (await anyio.Path(log).read_bytes()).count(b"\n") == 2


async def test_the_disk_is_left_in_peace_while_nobody_waits(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought: list[int] = []
    async with kept(log) as (_, disk):
        waiter = Waiter()
        disk.wait(waiter.release)
        await waiter.heard.wait()
        monkeypatch.setattr(syncpoint, "sync", brought.append)
        for _ in range(20):
            await anyio.to_thread.run_sync(int)
        assert brought == []


async def test_a_message_leaves_when_its_mark_is_on_the_disk_and_not_before(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = _slow_disk(monkeypatch)
    go_on.set()
    async with kept(log) as (ledger, disk):
        go_on.clear()
        at_work.clear()
        waiter = Waiter()
        assert not Book(ledger, disk).commit(1, 1, waiter.release)
        await anyio.to_thread.run_sync(at_work.wait)
        left = read_journal(log)
        assert left is not None
        assert [entry.record for entry in left.entries] == [1]
        assert waiter.told == []
        go_on.set()
        await waiter.heard.wait()
        assert waiter.told == [True]


async def test_a_disk_that_fails_once_is_not_believed_again(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiter, later = Waiter(), Waiter()
    errors: list[RunError] = []

    async def send() -> None:
        async with kept(log) as (ledger, disk):
            disk.on_failure = errors.append
            with monkeypatch.context() as failing:
                failing.setattr(syncpoint, "sync", _fail)
                ledger.commit(1, 1)
                disk.wait(waiter.release)
                await waiter.heard.wait()
            disk.wait(later.release)
            await later.heard.wait()

    with pytest.raises(RunError, match="does not keep the account"):
        await send()
    assert (waiter.told, later.told) == ([False], [False])
    assert len(errors) == 1
    assert journal_path(log).exists()


def _fail(_: int) -> None:
    raise OSError(5, "Input/output error")


def _slow_disk(monkeypatch: pytest.MonkeyPatch) -> tuple[Event, Event]:
    """A disk that is at work until it is let go on: the events for the one and the other."""
    at_work, go_on = Event(), Event()
    sync = syncpoint.sync

    def wait(file: int) -> None:
        at_work.set()
        go_on.wait()
        sync(file)

    monkeypatch.setattr(syncpoint, "sync", wait)
    return at_work, go_on
