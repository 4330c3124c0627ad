"""A campaign of two lots, and what three workers do with it, statement by statement."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Envelope, Submission
from batchsend.campaign import Overrides
from batchsend.campaign.loader import load
from batchsend.cluster import lots, schema
from batchsend.cluster.account import ClusterAccount, HeldLot
from batchsend.cluster.database import Database
from batchsend.cluster.lots import Lease, Taken
from batchsend.cluster.publish import publish
from batchsend.cluster.serving import CampaignRow, Serving
from batchsend.cluster.serving import load as load_row
from batchsend.cluster.writer import UNDER_WAY, Stored, Writer
from batchsend.outcome import DeliveryResult, Outcome
from tests.cluster.house import GUARD, write_campaign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from batchsend.campaign import Campaign

SIZE = 10
"""Records of a lot."""

WORKERS = OLD, NEW, THIRD = 1001, 1002, 1003

LONG = 60.0
"""Seconds of a lease that holds."""

RELAY = "127.0.0.1:25"
METER = f"relay {RELAY}"
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


class Lot:
    """A lot that a worker believes to hold, and what it was told of it."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lost = False
        self.refused: set[int] = set()

    def lose(self) -> None:
        self.lost = True

    def refuse(self, record: int) -> None:
        self.refused.add(record)


class Scene:
    """A campaign of two lots in the database, and what two workers do with the first of them."""

    def __init__(self, database: Database, campaign: Campaign, number: int) -> None:
        self.database = database
        self.campaign = campaign
        self.number = number
        self._writers = {worker: Writer(database, worker, pytest.fail) for worker in WORKERS}

    @asynccontextmanager
    async def writing(self, worker: int) -> AsyncIterator[Writer]:
        """What stores for a worker; in the end, everything is stored."""
        writer = self._writers[worker]
        task = asyncio.create_task(writer.run())
        try:
            yield writer
            async with asyncio.timeout(GUARD):
                await writer.flush()
        finally:
            task.cancel()

    def begin_again(self, worker: int) -> None:
        """What a worker stores next has the number of its first statement, as one has that was late."""
        self._writers[worker] = Writer(self.database, worker, pytest.fail)

    async def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        rows = await self.database.call(lambda connection: connection.fetch(statement, *values))
        return [tuple(row) for row in rows]

    async def take(self, worker: int, seconds: float, *not_these: int) -> Lot | None:
        """Take the next lot; a lease of no time is over at once."""
        taken: Taken | None = await self.database.call(
            lambda connection: lots.take(connection, self.number, worker, seconds, SIZE, not_these=not_these)
        )
        return None if taken is None else Lot(Lease(self.number, taken.lot, taken.epoch, SIZE))

    async def taken_over(self) -> tuple[Lot, Lot]:
        """The first lot, as the worker knows it that has lost it, and as the one does that has taken it over."""
        old, new = await self.take(OLD, 0.0), await self.take(NEW, LONG)
        assert old is not None
        assert new is not None
        assert old.lease.lot == new.lease.lot == 0
        return old, new

    async def store(self, worker: int, *entries: Stored) -> None:
        """Have a worker store something, all in one group."""
        async with self.writing(worker) as writer:
            for entry in entries:
                writer.store(entry)

    async def commit(self, worker: int, lot: Lot, record: int, attempt: int = 1) -> bool:
        """Whether a worker may send a record."""
        told: list[bool] = []
        async with self.writing(worker) as writer:
            writer.commit(Stored(lot, record, attempt, UNDER_WAY), told.append)
        [may] = told
        return may

    @asynccontextmanager
    async def serving(self, worker: int, notice: Callable[[str], None] = pytest.fail) -> AsyncIterator[Serving]:
        """The campaign as a worker sends it, which ends in order."""
        [(relays,)] = await self.sql("SELECT relays FROM batchsend.campaigns WHERE id = $1", self.number)
        row = CampaignRow(self.number, "fencing", "run", SIZE, tuple(relays))
        loaded = await load_row(self.database, row, keys=None, environ={})
        try:
            async with asyncio.timeout(GUARD), self.writing(worker) as writer:
                serving = Serving(loaded, self.database, writer, worker=worker, lease=LONG, notice=notice)
                yield serving
                serving.stop()
                await serving.run()
        finally:
            loaded.close()

    async def account(self) -> dict[int, tuple[str, int]]:
        """Status and attempt of each record in the account."""
        found = await self.sql("SELECT record, status, attempt FROM batchsend.account WHERE campaign = $1", self.number)
        return {record: (status, attempt) for record, status, attempt in found}

    async def lot(self) -> tuple[Any, ...]:
        """Epoch, worker, whether its lease holds, and whether it is done."""
        [found] = await self.sql(
            "SELECT epoch, worker, coalesce(lease_until > clock_timestamp(), false), done FROM batchsend.lots "
            "WHERE campaign = $1 AND lot = 0",
            self.number,
        )
        return found


@asynccontextmanager
async def two_lots(url: str, folder: Path) -> AsyncIterator[Scene]:
    """A campaign that nobody has begun, which is gone afterwards."""
    database = Database(url)
    await schema.init(database)
    path = write_campaign(folder / "fencing", 25, 2 * SIZE, 'quota = "15/day"')
    published = await publish(database, path, overrides=Overrides(), size=SIZE)
    number = await database.call(
        lambda connection: connection.fetchval("SELECT id FROM batchsend.campaigns WHERE run = $1", published.run)
    )
    scene = Scene(database, load(path), number)
    enter = "INSERT INTO batchsend.workers (id, name, version, lease) SELECT unnest($1::bigint[]), 'one', '0', '1 min'"
    await scene.sql(enter, WORKERS)
    yield scene
    await scene.sql("DELETE FROM batchsend.workers WHERE id = ANY($1::bigint[])", WORKERS)
    for table in ("lots", "account", "files", "quota_held", "shares"):
        await scene.sql(f"DELETE FROM batchsend.{table} WHERE campaign = $1", number)
    for table in ("quotas", "quota_used", "quota_held"):
        await scene.sql(f"DELETE FROM batchsend.{table} WHERE meter = ANY($1)", [f"campaign {number}", METER])
    await scene.sql("DELETE FROM batchsend.campaigns WHERE id = $1", number)
    await scene.sql("DELETE FROM batchsend.relays WHERE relay = $1", RELAY)
    await database.close()


def outcome(lot: Lot, record: int, status: str, attempt: int = 1, *, doubts: bool = False) -> Stored:
    """What a worker has to say of a record."""
    return Stored(lot, record, attempt, status, b'{"record":%d}' % record, doubts=doubts)


def submission(record: int, attempt: int = 1) -> Submission:
    """A message."""
    envelope = Envelope("from@example.com", f"r{record}@example.com")
    return Submission(record=record, envelope=envelope, content=b"Subject: x\r\n\r\nText\r\n", attempt=attempt)


def result(record: int, status: Outcome, attempt: int = 1) -> DeliveryResult:
    """What became of one."""
    return DeliveryResult(record=record, recipient=f"r{record}@example.com", status=status, attempt=attempt)


@asynccontextmanager
async def account_of(scene: Scene) -> AsyncIterator[tuple[ClusterAccount, HeldLot]]:
    """The account of a worker that has taken the first lot; in the end, everything is stored."""
    taken = await scene.database.call(lambda connection: lots.take(connection, scene.number, NEW, LONG, SIZE))
    assert taken is not None
    async with scene.writing(NEW) as writer:
        account = ClusterAccount(scene.number, SIZE, writer, max_attempts=3, pause=30.0, notice=pytest.fail)
        yield account, account.take_over(taken)
