"""Whoever has lost a lot changes nothing of it any more: each statement looks at the lease's epoch, and what is known.

Two workers and one lot, statement by statement: what one of them does after the other has taken the lot over.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from msgspec.structs import replace

from batchsend.campaign import Overrides
from batchsend.campaign.loader import load
from batchsend.cluster import lots, schema
from batchsend.cluster.account import ClusterAccount
from batchsend.cluster.collect import name_left_behind
from batchsend.cluster.database import Database
from batchsend.cluster.lots import Known, Lease, Parcel, Taken
from batchsend.cluster.page import ClusterLive
from batchsend.cluster.publish import publish
from batchsend.cluster.quotas import SharedQuotas
from batchsend.cluster.serving import CampaignRow, Serving
from batchsend.cluster.serving import load as load_row
from batchsend.cluster.sharing import SharedLimits
from batchsend.cluster.status import drop
from batchsend.cluster.writer import UNDER_WAY, WAITING, Stored, Writer
from batchsend.errors import RefusalError
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.recipients import Record
from tests.cluster.house import GUARD, write_campaign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from batchsend.campaign import Campaign
    from batchsend.delivery.quota import Meter
    from tests.cluster.postgres import Postgres

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

_SIZE = 10
_WORKERS = _OLD, _NEW, _THIRD = 1001, 1002, 1003
_LONG = 60.0
_RELAY = "127.0.0.1:25"
_METER = f"relay {_RELAY}"
_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


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
        self._writers = {worker: Writer(database, worker, pytest.fail) for worker in _WORKERS}

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
            lambda connection: lots.take(connection, self.number, worker, seconds, _SIZE, not_these=not_these)
        )
        return None if taken is None else Lot(Lease(self.number, taken.lot, taken.epoch, _SIZE))

    async def taken_over(self) -> tuple[Lot, Lot]:
        """The first lot, as the worker knows it that has lost it, and as the one does that has taken it over."""
        old, new = await self.take(_OLD, 0.0), await self.take(_NEW, _LONG)
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
        row = CampaignRow(self.number, "fencing", "run", _SIZE, tuple(relays))
        loaded = await load_row(self.database, row, keys=None, environ={})
        try:
            async with asyncio.timeout(GUARD), self.writing(worker) as writer:
                serving = Serving(loaded, self.database, writer, worker=worker, lease=_LONG, notice=notice)
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


@pytest.fixture
async def scene(shared_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Scene]:
    """Return a campaign that nobody has begun."""
    database = Database(shared_postgres.url)
    await schema.init(database)
    path = write_campaign(tmp_path / "fencing", 25, 2 * _SIZE, 'quota = "15/day"')
    published = await publish(database, path, overrides=Overrides(), size=_SIZE)
    number = await database.call(
        lambda connection: connection.fetchval("SELECT id FROM batchsend.campaigns WHERE run = $1", published.run)
    )
    scene = Scene(database, load(path), number)
    enter = "INSERT INTO batchsend.workers (id, name, version, lease) SELECT unnest($1::bigint[]), 'one', '0', '1 min'"
    await scene.sql(enter, _WORKERS)
    yield scene
    await scene.sql("DELETE FROM batchsend.workers WHERE id = ANY($1::bigint[])", _WORKERS)
    for table in ("lots", "account", "files", "quota_held", "shares"):
        await scene.sql(f"DELETE FROM batchsend.{table} WHERE campaign = $1", number)
    for table in ("quotas", "quota_used", "quota_held"):
        await scene.sql(f"DELETE FROM batchsend.{table} WHERE meter = ANY($1)", [f"campaign {number}", _METER])
    await scene.sql("DELETE FROM batchsend.campaigns WHERE id = $1", number)
    await scene.sql("DELETE FROM batchsend.relays WHERE relay = $1", _RELAY)
    await database.close()


def outcome(lot: Lot, record: int, status: str, attempt: int = 1, *, doubts: bool = False) -> Stored:
    """What a worker has to say of a record."""
    return Stored(lot, record, attempt, status, b'{"record":%d}' % record, doubts=doubts)


# --- taking -----------------------------------------------------------------------------------------------------------


async def test_a_lease_that_holds_is_nobody_elses_and_each_has_an_epoch_of_its_own(scene: Scene) -> None:
    old, new = await scene.taken_over()
    assert new.lease.epoch == old.lease.epoch + 1
    other = await scene.take(_THIRD, _LONG)
    assert other is not None
    assert other.lease.lot == 1
    assert await scene.take(_THIRD, _LONG) is None


async def test_what_is_done_or_not_due_is_not_taken(scene: Scene) -> None:
    await scene.sql("UPDATE batchsend.lots SET done = true WHERE campaign = $1 AND lot = 0", scene.number)
    await scene.sql(
        "UPDATE batchsend.lots SET due = clock_timestamp() + interval '1 hour' WHERE campaign = $1 AND lot = 1",
        scene.number,
    )
    assert await scene.take(_NEW, _LONG) is None


@pytest.mark.parametrize("state", ["publishing", "paused", "stopped"])
async def test_no_lot_is_taken_of_a_campaign_that_is_not_active(scene: Scene, state: str) -> None:
    """Who does not know yet that it was stopped, and its log collected, does not go on with it."""
    await scene.sql("UPDATE batchsend.campaigns SET state = $2 WHERE id = $1", scene.number, state)
    assert await scene.take(_NEW, _LONG) is None


# --- storing ----------------------------------------------------------------------------------------------------------


async def test_who_has_lost_a_lot_may_send_nothing_of_it(scene: Scene) -> None:
    old, new = await scene.taken_over()
    assert not await scene.commit(_OLD, old, 1)
    assert old.lost
    assert await scene.account() == {}
    assert await scene.commit(_NEW, new, 1)
    assert not new.lost


async def test_who_has_lost_a_lot_stores_no_outcome_of_it_beside_those_of_another_lot(scene: Scene) -> None:
    old, new = await scene.taken_over()
    mine = await scene.take(_OLD, _LONG)
    assert mine is not None
    await scene.store(_OLD, outcome(old, 1, "accepted"), outcome(mine, 11, "accepted"))
    assert (old.lost, mine.lost) == (True, False)
    assert await scene.account() == {11: ("accepted", 1)}
    of_old: list[bool] = []
    of_mine: list[bool] = []
    async with scene.writing(_OLD) as writer:
        writer.commit(Stored(old, 2, 1, UNDER_WAY), of_old.append)
        writer.commit(Stored(mine, 12, 1, UNDER_WAY), of_mine.append)
    assert (of_old, of_mine) == ([False], [True])
    assert await scene.account() == {11: ("accepted", 1), 12: (UNDER_WAY, 1)}
    assert await scene.commit(_NEW, new, 2)


async def test_a_lot_that_is_being_taken_over_is_waited_for(scene: Scene, shared_postgres: Postgres) -> None:
    """Whoever takes a lot reads its account next: what is stored under the epoch before is there by then, or never."""
    old = await scene.take(_OLD, 0.0)
    assert old is not None
    taking = await asyncpg.connect(shared_postgres.url)
    told: list[bool] = []
    try:
        async with asyncio.timeout(GUARD), scene.writing(_OLD) as writer:
            async with taking.transaction():
                assert await lots.take(taking, scene.number, _NEW, _LONG, _SIZE) is not None
                writer.commit(Stored(old, 1, 1, UNDER_WAY), told.append)
                while not told and not await taking.fetchval(_WAITS):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            await writer.flush()
    finally:
        await taking.close()
    assert told == [False]
    assert await scene.account() == {}


async def test_a_statement_whose_turn_is_over_stores_nothing(scene: Scene) -> None:
    """It was held up on its way, and its sender has stored more meanwhile; or its worker is not listed any more."""
    lot = await scene.take(_NEW, _LONG)
    assert lot is not None
    await scene.store(_NEW, outcome(lot, 1, WAITING))
    await scene.store(_NEW, outcome(lot, 1, "rejected"))
    scene.begin_again(_NEW)
    await scene.store(_NEW, outcome(lot, 1, WAITING))
    assert await scene.account() == {1: ("rejected", 1)}
    await scene.sql("DELETE FROM batchsend.workers WHERE id = $1", _NEW)
    scene.begin_again(_NEW)
    assert not await scene.commit(_NEW, lot, 2)


async def test_a_session_that_waits_for_two_records_waits_until_both_are_stored(
    scene: Scene, shared_postgres: Postgres
) -> None:
    """The second one is committed while the statement is under way that stores the first one."""
    lot = await scene.take(_NEW, _LONG)
    assert lot is not None
    holding = await asyncpg.connect(shared_postgres.url)
    told: list[bool] = []
    release = told.append
    try:
        async with asyncio.timeout(GUARD), scene.writing(_NEW) as writer:
            async with holding.transaction():
                await holding.execute("SELECT FROM batchsend.lots WHERE campaign = $1 FOR UPDATE", scene.number)
                writer.commit(Stored(lot, 1, 1, UNDER_WAY), release)
                while not await holding.fetchval(_WAITS):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                writer.commit(Stored(lot, 2, 1, UNDER_WAY), release)
            await writer.flush()
    finally:
        await holding.close()
    assert told == [True], "it is let go once, and not after the first"
    assert await scene.account() == {1: (UNDER_WAY, 1), 2: (UNDER_WAY, 1)}


@pytest.mark.parametrize("status", ["accepted", "rejected", "in_doubt", "invalid", "suppressed"])
async def test_a_record_that_has_its_outcome_is_not_sent_again(scene: Scene, status: str) -> None:
    lot = await scene.take(_NEW, _LONG)
    assert lot is not None
    await scene.store(_NEW, outcome(lot, 1, status))
    assert not await scene.commit(_NEW, lot, 1, attempt=2)
    assert lot.refused == {1}
    assert await scene.account() == {1: (status, 1)}


@pytest.mark.parametrize("status", ["deferred", WAITING])
async def test_a_record_that_is_to_be_offered_again_is_sent(scene: Scene, status: str) -> None:
    lot = await scene.take(_NEW, _LONG)
    assert lot is not None
    await scene.store(_NEW, outcome(lot, 1, status))
    assert await scene.commit(_NEW, lot, 1, attempt=2)


async def test_a_record_under_way_is_sent_by_nobody_else_and_once(scene: Scene) -> None:
    """The same statement again, whose answer was lost, is no second one."""
    old = await scene.take(_OLD, 0.0)
    assert old is not None
    assert await scene.commit(_OLD, old, 1)
    assert await scene.commit(_OLD, old, 1), "it is the same attempt of the same worker"
    assert not await scene.commit(_OLD, old, 1, attempt=2)
    new = await scene.take(_NEW, _LONG)
    assert new is not None
    assert not await scene.commit(_NEW, new, 1)
    assert new.refused == {1}


async def test_an_older_attempt_says_nothing_over_a_newer_one(scene: Scene) -> None:
    lot = await scene.take(_NEW, _LONG)
    assert lot is not None
    await scene.store(_NEW, outcome(lot, 1, "accepted", 2))
    await scene.store(_NEW, outcome(lot, 1, "deferred", 1))
    assert await scene.account() == {1: ("accepted", 2)}


# --- what takes back what was said: of anybody's lot, for nobody sends it again ---------------------------------------


@pytest.mark.parametrize(
    ("known", "then"),
    [
        (("accepted", 1), "in_doubt"),
        (("rejected", 1), "in_doubt"),
        (("deferred", 1), "in_doubt"),
        (("rejected", 2), "in_doubt"),
        ((WAITING, 2), "in_doubt"),
        (("accepted", 2), "accepted"),
        ((UNDER_WAY, 2), UNDER_WAY),
    ],
)
async def test_doubts_of_an_attempt_hold_unless_a_later_one_counts(
    scene: Scene, known: tuple[str, int], then: str
) -> None:
    old, new = await scene.taken_over()
    status, attempt = known
    if status == UNDER_WAY:
        assert await scene.commit(_NEW, new, 1, attempt)
    else:
        await scene.store(_NEW, outcome(new, 1, status, attempt))
    await scene.store(_OLD, outcome(old, 1, "in_doubt", 1, doubts=True))
    assert (await scene.account())[1][0] == then


async def test_what_cannot_be_believed_of_a_record_that_is_out_again_is_not_stored(scene: Scene) -> None:
    """A later offer says what became of it; of a lot that is not held, whoever holds it does."""
    taken = await scene.database.call(lambda connection: lots.take(connection, scene.number, _NEW, _LONG, _SIZE))
    assert taken is not None
    async with scene.writing(_NEW) as writer:
        account = ClusterAccount(scene.number, _SIZE, writer, max_attempts=3, pause=30.0, notice=pytest.fail)
        lot = account.take_over(taken)
        lot.out = {1}
        for record in (1, 2, 11):
            earlier = DeliveryResult(
                record=record, recipient=f"r{record}@example.com", status=Outcome.REJECTED, attempt=1
            )
            account.supersede(earlier, replace(earlier, status=Outcome.DEFERRED))
    assert await scene.account() == {2: ("deferred", 1)}


# --- keeping and giving back ------------------------------------------------------------------------------------------


async def test_a_lease_is_renewed_by_its_worker_under_its_epoch_only(scene: Scene) -> None:
    old, new = await scene.taken_over()

    async def renewed(lease: Lease, worker: int) -> bool:
        kept = await scene.database.call(lambda connection: lots.renew(connection, [lease], worker, 3600.0))
        return bool(kept)

    until = (
        "SELECT lease_until < clock_timestamp() + interval '30 min' FROM batchsend.lots WHERE campaign = $1 AND lot = 0"
    )
    assert not await renewed(old.lease, _OLD)
    assert not await renewed(old.lease, _NEW)
    assert not await renewed(new.lease, _OLD)
    assert await scene.sql(until, scene.number) == [(True,)]
    assert await renewed(new.lease, _NEW)
    assert await scene.sql(until, scene.number) == [(False,)]


async def test_who_has_lost_a_lot_does_not_end_it(scene: Scene) -> None:
    old, new = await scene.taken_over()
    before = await scene.lot()
    assert before == (new.lease.epoch, _NEW, True, False)
    await scene.database.call(lambda connection: lots.finish(connection, [old.lease]))
    assert await scene.lot() == before
    await scene.database.call(lambda connection: lots.give_back(connection, [old.lease]))
    assert await scene.lot() == before
    await scene.database.call(lambda connection: lots.finish(connection, [new.lease]))
    assert await scene.lot() == (new.lease.epoch, None, False, True)


async def test_a_lot_is_lost_under_the_epoch_that_it_was_taken_under(scene: Scene) -> None:
    """What is said of an earlier lease is not about the one that holds."""
    said: list[str] = []
    async with scene.serving(_NEW, said.append) as serving:
        await scene.take(_NEW, 0.0)
        taken = await scene.database.call(lambda connection: lots.take(connection, scene.number, _NEW, _LONG, _SIZE))
        assert taken is not None
        lot = serving.account.take_over(taken)
        serving.account.give(lot, [], serving.pool)
        lot.out = {1}
        serving.lose(lot.lease._replace(epoch=lot.lease.epoch - 1))
        serving.lose(lot.lease._replace(lot=1))
        assert (lot.lost, said) == (False, [])
        serving.lose(lot.lease)
        assert lot.lost
        assert [notice.startswith("lot 0 was taken over") for notice in said] == [True]


@pytest.mark.parametrize("waits", [10, 11])
async def test_a_lot_is_done_when_nothing_of_it_waits_whatever_its_neighbour_has(scene: Scene, waits: int) -> None:
    """Records 1 to 10 are lot 0, and 11 to 20 are lot 1."""
    both = [await scene.take(_NEW, _LONG), await scene.take(_NEW, _LONG)]
    held = [lot for lot in both if lot is not None]
    later = Stored(held[0 if waits == 10 else 1], waits, 1, "deferred", b'{"record":%d}' % waits, pause=3600.0)
    await scene.store(_NEW, later)
    await scene.database.call(lambda connection: lots.finish(connection, [lot.lease for lot in held]))
    found = await scene.sql("SELECT lot, done FROM batchsend.lots WHERE campaign = $1 ORDER BY lot", scene.number)
    assert found == [(0, waits != 10), (1, waits != 11)]


async def test_twenty_of_those_that_a_lost_worker_had_under_way_are_named(scene: Scene) -> None:
    said: list[str] = []
    account = ClusterAccount(
        scene.number, 30, Writer(scene.database, _NEW, pytest.fail), max_attempts=3, pause=30.0, notice=said.append
    )
    records = range(1, 26)
    parcels = [Parcel(Record(number, number, {}), f"r{number}@example.com", None) for number in records]
    account.take_over(Taken(0, 2, parcels, {number: Known(1, UNDER_WAY, None) for number in records}))
    [notice] = said
    assert notice.endswith(f"now in doubt: 25 (record {', '.join(map(str, records[:20]))})")


async def test_what_is_left_behind_is_named_only_where_nobody_holds_the_lot(scene: Scene) -> None:
    held, over = await scene.take(_OLD, _LONG), await scene.take(_OLD, 0.0)
    assert held is not None
    assert over is not None
    assert await scene.commit(_OLD, held, 1)
    assert await scene.commit(_OLD, over, 11)
    assert await scene.database.call(lambda connection: name_left_behind(connection, scene.number, _SIZE)) == 1
    assert await scene.account() == {1: (UNDER_WAY, 1), 11: ("in_doubt", 1)}
    # The one that was away comes back: what it has to say comes too late, and it may send nothing more.
    await scene.store(_OLD, outcome(over, 11, "accepted"))
    assert over.lost
    assert not await scene.commit(_OLD, over, 12)
    assert await scene.account() == {1: (UNDER_WAY, 1), 11: ("in_doubt", 1)}


async def test_what_is_answered_while_it_is_named_keeps_its_answer(scene: Scene, shared_postgres: Postgres) -> None:
    """Its lease is over, but nobody has taken the lot: the epoch is still its own until the lot is taken from it."""
    old = await scene.take(_OLD, 0.0)
    assert old is not None
    assert await scene.commit(_OLD, old, 1)
    naming = Database(shared_postgres.url)
    holding = await asyncpg.connect(shared_postgres.url)
    try:
        async with asyncio.timeout(GUARD):
            async with holding.transaction():
                await holding.execute("SELECT FROM batchsend.lots WHERE campaign = $1 FOR SHARE", scene.number)
                named = asyncio.create_task(
                    naming.call(lambda connection: name_left_behind(connection, scene.number, _SIZE), seconds=GUARD)
                )
                while not await holding.fetchval(_WAITS):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                await scene.store(_OLD, outcome(old, 1, "accepted"))
            await named
    finally:
        await holding.close()
        await naming.close()
    assert await scene.account() == {1: ("accepted", 1)}


# --- what workers share -----------------------------------------------------------------------------------------------


async def test_who_stops_leaves_its_share_and_its_quota_to_the_others(scene: Scene) -> None:
    shares = "SELECT count(*) FROM batchsend.shares WHERE campaign = $1"
    held = "SELECT sum(held)::int FROM batchsend.quota_held WHERE campaign = $1"
    async with scene.serving(_NEW) as serving:
        await serving.share()
        assert await scene.sql(shares, scene.number) == [(1,)]
        assert await scene.sql(held, scene.number) == [(15,)]
    assert await scene.sql(shares, scene.number) == [(0,)]
    assert await scene.sql(held, scene.number) == [(0,)]


async def shares(scene: Scene) -> list[tuple[Any, ...]]:
    """The part of the rate and the connections of each worker."""
    found = "SELECT round(part::numeric, 3)::float8, connections FROM batchsend.shares WHERE campaign = $1"
    return await scene.sql(f"{found} ORDER BY worker", scene.number)


def connections(*servings: Serving) -> list[int]:
    """How many sessions each may have."""
    return [relay.limits.most for serving in servings for relay in serving.pool.relays]


async def test_each_worker_has_the_same_part_and_the_connections_that_are_left_over_go_to_the_first(
    scene: Scene,
) -> None:
    held = "SELECT worker, held::int FROM batchsend.quota_held WHERE campaign = $1 ORDER BY worker"
    async with scene.serving(_OLD) as one, scene.serving(_NEW) as two:
        await one.share()
        assert await shares(scene) == [(1.0, 5)]
        await two.share()
        assert await shares(scene) == [(1.0, 5), (0.0, 0)], "it waits until the other has given something up"
        await one.share()
        assert await shares(scene) == [(0.5, 3), (0.0, 0)]
        await two.share()
        assert await shares(scene) == [(0.5, 3), (0.5, 2)]
        assert await scene.sql(held, scene.number) == [(_OLD, 0), (_NEW, 8)], "half of the 15 that nobody needs"
        async with scene.serving(_THIRD) as three:
            for serving in 2 * (one, two, three):
                await serving.share()
            assert await shares(scene) == [(0.333, 2), (0.333, 2), (0.333, 1)]
            assert connections(one, two, three) == [2, 2, 1]
        for serving in (one, two):
            await serving.share()
        assert await shares(scene) == [(0.5, 3), (0.5, 2)]
        assert connections(one, two) == [3, 2]


async def test_who_has_only_a_claim_may_not_send_yet(scene: Scene) -> None:
    async with scene.serving(_OLD) as one, scene.serving(_NEW) as two:
        both = [
            SharedLimits(
                scene.number,
                [_RELAY],
                worker,
                serving.pool,
                campaign=scene.campaign,
                quotas=SharedQuotas(scene.number, scene.campaign, [_RELAY], worker),
            )
            for worker, serving in ((_OLD, one), (_NEW, two))
        ]
        may = [await scene.database.call(limits.update) for limits in (*both, *both)]
    assert may == [True, False, True, True]


async def test_who_comes_to_a_relay_that_takes_fewer_sessions_than_there_are_workers_ends(scene: Scene) -> None:
    most = "INSERT INTO batchsend.relays (relay, most_connections, most_until) VALUES ($1, 2, now() + interval '1 min')"
    await scene.sql(most, _RELAY)
    async with scene.serving(_OLD) as one, scene.serving(_NEW) as two, scene.serving(_THIRD) as three:
        for serving in 2 * (one, two, three):
            await serving.share()
        assert await shares(scene) == [(0.5, 1), (0.5, 1)]
        assert (one.stopped, two.stopped, three.stopped) == (False, False, True)


async def test_of_a_campaign_that_is_gone_nothing_is_left(scene: Scene) -> None:
    async with scene.serving(_NEW) as serving:
        await serving.share()
    await scene.sql("UPDATE batchsend.campaigns SET state = 'stopped' WHERE id = $1", scene.number)
    await drop(scene.database, "fencing")
    for table in ("lots", "files", "account", "shares", "quota_held"):
        assert await scene.sql(f"SELECT count(*) FROM batchsend.{table} WHERE campaign = $1", scene.number) == [(0,)]
    for table in ("quotas", "quota_used"):
        found = f"SELECT count(*) FROM batchsend.{table} WHERE meter = $1"
        assert await scene.sql(found, f"campaign {scene.number}") == [(0,)]


async def test_what_one_worker_meets_at_a_relay_holds_for_the_others(scene: Scene) -> None:
    async with scene.serving(_OLD) as one, scene.serving(_NEW) as other:
        for serving in (one, other, one, other):
            await serving.share()
        [met], [told] = one.pool.relays, other.pool.relays
        now = asyncio.get_running_loop().time()
        before = told.limits.most
        met.sleep(now, 3600.0, "5.4.5 Daily sending quota exceeded")
        met.limits.too_many_connections(2, now)
        await one.share()
        await other.share()
        assert told.asleep_until == pytest.approx(now + 3600.0, abs=5.0)
        assert told.sleeps_because == "5.4.5 Daily sending quota exceeded"
        assert (before, told.limits.most) == (2, 1), "of the 3 that one found to be allowed while the other had 2"
        [(remembered,)] = await scene.sql(
            "SELECT extract(epoch FROM most_until - clock_timestamp())::float8 FROM batchsend.relays WHERE relay = $1",
            _RELAY,
        )
        assert remembered == pytest.approx(600.0, abs=10.0)
        until = met.asleep_until, told.asleep_until
        await one.share()
        await other.share()
        assert (met.asleep_until, told.asleep_until) == until, "they are put to sleep once"


async def test_a_pace_that_one_worker_is_told_is_too_fast_is_cut_by_each_and_told_once(scene: Scene) -> None:
    slower = "SELECT slower, slowed_by FROM batchsend.relays WHERE relay = $1"
    async with scene.serving(_OLD) as one, scene.serving(_NEW) as other:
        for serving in (one, other, one, other):
            await serving.share()
        assert await scene.sql(slower, _RELAY) == []
        [met], [told] = one.pool.relays, other.pool.relays
        assert met.throttle.slow_down(asyncio.get_running_loop().time(), 100.0)
        await one.share()
        assert await scene.sql(slower, _RELAY) == [(1, _OLD)]
        assert told.throttle.cuts == 0
        for serving in (other, one, other):
            await serving.share()
        assert (met.throttle.cuts, told.throttle.cuts) == (1, 1)
        assert await scene.sql(slower, _RELAY) == [(1, _OLD)]


async def test_a_relay_that_has_refused_another_worker_is_not_tried(scene: Scene) -> None:
    await scene.sql("INSERT INTO batchsend.relays (relay, refuses) VALUES ($1, $2)", _RELAY, "554 5.7.1 not you")
    ending = scene.serving(_NEW)
    serving = await ending.__aenter__()
    await serving.share()
    [relay] = serving.pool.relays
    assert isinstance(relay.out_of_service, RefusalError)
    with pytest.raises(RefusalError, match="not you"):
        await ending.__aexit__(None, None, None)


async def test_the_page_shows_a_campaign_from_the_database(scene: Scene) -> None:
    lot = await scene.take(_NEW, _LONG)
    assert lot is not None
    await scene.store(_NEW, outcome(lot, 1, "accepted"), outcome(lot, 2, "accepted"), outcome(lot, 3, "rejected"))
    assert await scene.commit(_NEW, lot, 4)
    await scene.sql(
        "INSERT INTO batchsend.shares (campaign, worker, part, connections, pace, until) "
        "VALUES ($1, $2, 1, 5, 2, now() + interval '1 min')",
        *(scene.number, _NEW),
    )
    await scene.sql("DELETE FROM batchsend.workers WHERE id <> ALL($1::bigint[])", [_OLD])
    lacks = "UPDATE batchsend.workers SET lacks = $2, accepted = 1200, pace = 2 WHERE id = $1"
    await scene.sql(lacks, _OLD, json.dumps({"1": "needs a key"}))
    live = ClusterLive(scene.database, "fencing")
    assert live.encoded == b""
    await live.refresh()
    shown = json.loads(live.encoded)
    names = "name", "state", "said", "accepted", "pace", "sessions", "quotas"
    worker = dict(zip(names, ("one", "ready", "needs a key", "1,200", "2/s", "", []), strict=True))
    assert [row for row in shown["relays"] if row["state"] == "ready"] == [worker]
    assert {name: value for name, value in shown.items() if name not in ("relays", "outcomes")} == {
        "state": "sending",
        "notes": ["needs a key"],
        "share": "15 %",
        "said": "20 records, 2 accepted",
        "figures": [["Pace", "2/s", "1 worker"], ["Lots", "0 of 2", "1 leased"], ["Left", "17", "8.5 s left"]],
        "chart": None,
        "quotas": [],
        "replies": [],
        "sessions": [],
        "sessions_said": "1 message stored as under way",
        "paused": False,
        "stopping": False,
        "rate": None,
        "connections": 0,
    }
    assert [(row["kind"], row["count"], row["part"]) for row in shown["outcomes"]] == [
        ("accepted", "2", 10.0),
        ("rejected", "1", 5.0),
    ]
    await scene.store(_OLD, outcome(lot, 5, "accepted"))
    await scene.sql("UPDATE batchsend.shares SET pace = 0.5 WHERE campaign = $1", scene.number)
    await live.refresh()
    shown = json.loads(live.encoded)
    assert len(shown["chart"]["columns"]) == 1, "of the first second"
    assert shown["figures"][2] == ["Left", "16", ""], "less than one a second tells nothing of the end"


# --- quotas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lease", "grant"),
    [(0.0, -1.0), (_LONG, -1.0), (0.0, _LONG)],
    ids=["both are over", "its lease holds", "its grant holds"],
)
async def test_what_a_silent_worker_was_granted_is_free_once_it_can_send_no_more(
    scene: Scene, lease: float, grant: float
) -> None:
    """It is reckoned by its account then, to which nothing may come any more; before, all that was granted counts."""
    over = lease <= 0 and grant <= 0
    old = await scene.take(_OLD, lease)
    assert old is not None
    assert await scene.commit(_OLD, old, 1)
    meter = f"campaign {scene.number}"
    await scene.sql("INSERT INTO batchsend.quotas (meter, campaign) VALUES ($1, $2)", meter, scene.number)
    await scene.sql(
        "INSERT INTO batchsend.quota_held (meter, campaign, worker, held, reported, until) "
        "VALUES ($1, $2, $3, 5, 0, clock_timestamp() + $4 * interval '1 second')",
        *(meter, scene.number, _OLD, grant),
    )
    quotas = SharedQuotas(scene.number, scene.campaign, [_RELAY], _NEW)
    await scene.database.call(quotas.settle)
    [(held, reported)] = await scene.sql(
        "SELECT held, reported FROM batchsend.quota_held WHERE meter = $1 AND worker = $2", meter, _OLD
    )
    assert (held, reported) == ((0, 1) if over else (5, 0))
    assert await scene.commit(_OLD, old, 2) is not over


async def by_the_minute(scene: Scene, folder: Path, *counted: tuple[str, int]) -> tuple[list[int], Meter]:
    """What a worker asks for of a quota of a relay's, which is 10 a minute.

    Args:
        scene: Where.
        folder: Where the campaign file is.
        counted: How long ago messages were sent through the relay, and how many.

    Returns:
        What the database still counts, and what the worker knows.
    """
    path = write_campaign(folder / "minute", 25, 1)
    path.write_text(path.read_text().replace('tls = "none" }', 'tls = "none", quota = "10/min" }'))
    await scene.sql("INSERT INTO batchsend.quotas (meter) VALUES ($1)", _METER)
    used = "INSERT INTO batchsend.quota_used VALUES ($1, clock_timestamp() - $2::text::interval, $3)"
    for ago, count in counted:
        await scene.sql(used, _METER, ago, count)
    quotas = SharedQuotas(scene.number, load(path), [_RELAY], _NEW)
    await scene.database.call(quotas.settle)
    [meter] = quotas.meters.relays.values()
    left = "SELECT count::int FROM batchsend.quota_used WHERE meter = $1 ORDER BY moment"
    return [count for (count,) in await scene.sql(left, _METER)], meter


async def test_a_quota_by_the_minute_forgets_nothing_that_another_campaign_counts_by_the_day(
    scene: Scene, tmp_path: Path
) -> None:
    """Of the same relay; what is older than a day counts for nobody."""
    left, meter = await by_the_minute(scene, tmp_path, ("25 hours", 1), ("23 hours", 7), ("30 seconds", 3))
    assert left == [7, 3]
    assert meter.figures(0.0) == [("10/min", 3, 10)]
    assert meter.used_up(0.0) is None


async def test_a_quota_is_used_up_until_enough_of_what_counts_is_out_of_its_window(
    scene: Scene, tmp_path: Path
) -> None:
    before = ("2 minutes", 9), ("40 seconds", 1), ("30 seconds", 8), ("10 seconds", 5)
    _, meter = await by_the_minute(scene, tmp_path, *before)
    assert meter.figures(0.0) == [("10/min", 14, 10)]
    assert str(meter.used_up(0.0)) == "10/min"
    assert meter.wait(0.0) == pytest.approx(30.0, abs=5.0), "then 5 are left"
    told = "SELECT figures, extract(epoch FROM used_up_until - clock_timestamp())::float8 FROM batchsend.quotas"
    [(figures, seconds)] = await scene.sql(f"{told} WHERE meter = $1", _METER)
    assert figures == "14 of 10/min"
    assert seconds == pytest.approx(30.0, abs=5.0)


async def test_of_a_lost_worker_whose_campaign_was_dropped_all_that_it_was_granted_counts(
    scene: Scene, tmp_path: Path
) -> None:
    """Nobody knows what it has sent; of a campaign that there is, the account does, and it says nothing here."""
    held = "INSERT INTO batchsend.quota_held VALUES ($1, $2, $3, 4, 0, clock_timestamp() - interval '1 second')"
    for campaign in (scene.number, -1):
        await scene.sql(held, _METER, campaign, _OLD)
    left, _ = await by_the_minute(scene, tmp_path)
    assert left == [4]
    still = "SELECT campaign, held::int FROM batchsend.quota_held WHERE meter = $1 AND worker = $2 ORDER BY campaign"
    assert await scene.sql(still, _METER, _OLD) == [(-1, 0), (scene.number, 0)]
