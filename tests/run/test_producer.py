"""How the records of a list become messages: in which groups, who has a turn meanwhile, and what ends it."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from batchsend import Batch, Envelope, Outcome, RunError, Stage, Submission
from batchsend.message import Suppression
from batchsend.recipients import open_records
from batchsend.recipients.admission import Admission
from batchsend.results import syncpoint
from batchsend.run.producer import Producer
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.test_batch import campaign
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from batchsend.recipients import Record


def rows(count: int) -> str:
    return "".join(f"r{number}@example.com,N{number}\n" for number in range(1, count + 1))


class Sized:
    """Makes messages of as many octets as their records say."""

    def compose(self, row: Record) -> Submission:
        envelope = Envelope("from@example.com", row.fields["email"])
        return Submission(record=row.number, envelope=envelope, content=b"x" * row.fields["octets"])


async def groups(folder: Path, *octets: int) -> list[list[int]]:
    """The records that are handed over together, where their messages have so many octets."""
    listed = folder / "list.jsonl"
    listed.write_text("".join(f'{{"email": "r@example.com", "octets": {count}}}\n' for count in octets))
    handed_over: list[list[int]] = []

    async def hand_over(batch: list[Submission]) -> None:
        handed_over.append([one.record for one in batch])

    composer: Any = Sized()
    with open_records(listed) as reader:
        await Producer(reader, composer, Admission(Suppression()), report=print).run(hand_over)
    return handed_over


@pytest.mark.interpreted
async def test_messages_are_handed_over_together_unless_they_are_large(tmp_path: Path) -> None:
    """The first one is by itself, for with it is made what all need."""
    small, large = 1000, 2_000_000
    assert await groups(tmp_path, *[small] * 6) == [[1], [2, 3, 4, 5, 6]]
    assert await groups(tmp_path, small, small, small, large, small, small) == [[1], [2, 3, 4], [5, 6]]
    assert await groups(tmp_path, *[large] * 4) == [[1], [2], [3], [4]]


async def test_others_have_their_turn_in_a_long_row_of_records_that_are_not_sent_to(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server, "nobody,X\n" * 1000))
        running = asyncio.create_task(batch.run())
        seen = set[int]()
        while not running.done():
            seen.add(batch.summary.records)
            await asyncio.sleep(0)
        await running
    assert [records for records in seen if 0 < records < 1000] != []
    assert batch.counts == {Outcome.INVALID: 1000}


async def test_whoever_interrupts_a_rehearsal_is_heeded(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        batch = Batch(campaign(tmp_path, server, rows(1000)))
    await batch.prepare()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await batch.rehearse()
    assert scope.cancelled_caught
    assert batch.summary.ready < 1000


@pytest.mark.parametrize("work", ["run", "rehearse"])
async def test_what_is_said_of_the_list_is_said_in_a_rehearsal_too(tmp_path: Path, work: str) -> None:
    said: list[str] = []
    async with CountingServer(well_behaved) as server:
        batch = Batch(campaign(tmp_path, server), notice=said.append)
        (tmp_path / "recipients.csv").write_text("Email Address,name\na@example.com,A\n")
        await getattr(batch, work)()
    assert said == ["addresses are taken from the column 'Email Address'"]


class Unreadable:
    """A list that cannot be read."""

    blocking = False

    def read(self, most: int) -> list[Record]:
        raise RunError("it cannot be read")


@pytest.mark.interpreted
async def test_of_a_list_that_cannot_be_read_because_it_was_written_to_that_is_said() -> None:
    async def look() -> None:
        raise RunError("it was written to")

    async def see_nothing() -> None:
        pass

    async def hand_over(batch: list[Submission]) -> None:
        raise AssertionError(batch)

    reader: Any = Unreadable()
    composer: Any = Sized()
    for looks, said in ((look, "it was written to"), (see_nothing, "it cannot be read"), (None, "it cannot be read")):
        producer = Producer(reader, composer, Admission(Suppression()), report=print, look=looks)
        with pytest.raises(RunError, match=f"^{said}"):
            await producer.run(hand_over)


@asynccontextmanager
async def run_of_a_pipe(folder: Path, arrived: Callable[[Batch], None]) -> AsyncIterator[Batch]:
    """A run whose list is a pipe: three records come by it, and no end.

    Args:
        folder: Where.
        arrived: Called with the run when a message has arrived.
    """

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.CONTENT:
            arrived(batch)
        return ACCEPT

    async with CountingServer(decide) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(folder, server))
        (folder / "recipients.csv").unlink()
        os.mkfifo(folder / "recipients.csv")
        pipe = os.open(folder / "recipients.csv", os.O_RDWR)  # which waits for no reader
        try:
            os.write(pipe, b"email,name\n" + rows(3).encode())
            yield batch
        finally:
            os.close(pipe)  # the thread that reads comes to the end


async def test_a_run_that_is_cancelled_does_not_wait_for_a_silent_pipe(tmp_path: Path) -> None:
    arrived = asyncio.Event()
    async with run_of_a_pipe(tmp_path, lambda _: arrived.set()) as batch:
        running = asyncio.create_task(batch.run())
        await arrived.wait()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
    assert batch.summary.stopped == "cancelled"


async def test_of_a_pipe_nobody_knows_how_many_are_left(tmp_path: Path) -> None:
    async with run_of_a_pipe(tmp_path, lambda batch: batch.stop("enough")) as batch:
        summary = await batch.run()
    assert (summary.stopped, batch.rest, batch.outlook.told()) == ("enough", None, None)


async def test_no_process_is_started_for_the_few_messages_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message takes 10 ms here, and 65 of 100 are composed when that is known: a third of a second is left."""
    caplog.set_level("INFO", logger="batchsend")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr(time, "thread_time", itertools.count(0.0, 0.64).__next__)
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        summary = await Batch(campaign(tmp_path, server, rows(100))).run()
    assert +summary.counts == {Outcome.ACCEPTED: 100}
    assert "compose messages" not in caplog.text


@pytest.mark.parametrize(("durability", "waits"), [("process", False), ("power", True)])
async def test_a_message_waits_for_the_disk_where_the_power_may_fail_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, waits: bool
) -> None:
    synced, before = 0, list[int]()
    really = syncpoint.sync

    def sync(file: int) -> None:
        nonlocal synced
        really(file)
        synced += 1

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.CONTENT:
            before.append(synced)
        return ACCEPT

    monkeypatch.setattr(syncpoint, "sync", sync)
    async with CountingServer(decide) as server, asyncio.timeout(GUARD):
        summary = await Batch(campaign(tmp_path, server, durability=durability)).run()
    assert +summary.counts == {Outcome.ACCEPTED: 10}
    assert (before[0] > 0) is waits
