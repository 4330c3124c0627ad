"""Whoever has lost a lot changes nothing of it any more: each statement looks at the lease's epoch, and what is known.

Two workers and one lot, statement by statement: what one of them does after the other has taken the lot over.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from msgspec.structs import replace

from batchsend.cluster import lots
from batchsend.cluster.account import ClusterAccount
from batchsend.cluster.collect import name_left_behind
from batchsend.cluster.database import Database
from batchsend.cluster.lots import Known, Lease, Parcel, Taken
from batchsend.cluster.writer import UNDER_WAY, WAITING, Stored, Writer
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.recipients import Record
from tests.cluster.fencing import LONG, NEW, OLD, SIZE, THIRD, WAITS, Scene, outcome
from tests.cluster.house import GUARD

if TYPE_CHECKING:
    from tests.cluster.postgres import Postgres

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]


# --- taking -----------------------------------------------------------------------------------------------------------


async def test_a_lease_that_holds_is_nobody_elses_and_each_has_an_epoch_of_its_own(scene: Scene) -> None:
    old, new = await scene.taken_over()
    assert new.lease.epoch == old.lease.epoch + 1
    other = await scene.take(THIRD, LONG)
    assert other is not None
    assert other.lease.lot == 1
    assert await scene.take(THIRD, LONG) is None


async def test_what_is_done_or_not_due_is_not_taken(scene: Scene) -> None:
    await scene.sql("UPDATE batchsend.lots SET done = true WHERE campaign = $1 AND lot = 0", scene.number)
    await scene.sql(
        "UPDATE batchsend.lots SET due = clock_timestamp() + interval '1 hour' WHERE campaign = $1 AND lot = 1",
        scene.number,
    )
    assert await scene.take(NEW, LONG) is None


@pytest.mark.parametrize("state", ["publishing", "paused", "stopped"])
async def test_no_lot_is_taken_of_a_campaign_that_is_not_active(scene: Scene, state: str) -> None:
    """Who does not know yet that it was stopped, and its log collected, does not go on with it."""
    await scene.sql("UPDATE batchsend.campaigns SET state = $2 WHERE id = $1", scene.number, state)
    assert await scene.take(NEW, LONG) is None


# --- storing ----------------------------------------------------------------------------------------------------------


async def test_who_has_lost_a_lot_may_send_nothing_of_it(scene: Scene) -> None:
    old, new = await scene.taken_over()
    assert not await scene.commit(OLD, old, 1)
    assert old.lost
    assert await scene.account() == {}
    assert await scene.commit(NEW, new, 1)
    assert not new.lost


async def test_who_has_lost_a_lot_stores_no_outcome_of_it_beside_those_of_another_lot(scene: Scene) -> None:
    old, new = await scene.taken_over()
    mine = await scene.take(OLD, LONG)
    assert mine is not None
    await scene.store(OLD, outcome(old, 1, "accepted"), outcome(mine, 11, "accepted"))
    assert (old.lost, mine.lost) == (True, False)
    assert await scene.account() == {11: ("accepted", 1)}
    of_old: list[bool] = []
    of_mine: list[bool] = []
    async with scene.writing(OLD) as writer:
        writer.commit(Stored(old, 2, 1, UNDER_WAY), of_old.append)
        writer.commit(Stored(mine, 12, 1, UNDER_WAY), of_mine.append)
    assert (of_old, of_mine) == ([False], [True])
    assert await scene.account() == {11: ("accepted", 1), 12: (UNDER_WAY, 1)}
    assert await scene.commit(NEW, new, 2)


async def test_a_lot_that_is_being_taken_over_is_waited_for(scene: Scene, shared_postgres: Postgres) -> None:
    """Whoever takes a lot reads its account next: what is stored under the epoch before is there by then, or never."""
    old = await scene.take(OLD, 0.0)
    assert old is not None
    taking = await asyncpg.connect(shared_postgres.url)
    told: list[bool] = []
    try:
        async with asyncio.timeout(GUARD), scene.writing(OLD) as writer:
            async with taking.transaction():
                assert await lots.take(taking, scene.number, NEW, LONG, SIZE) is not None
                writer.commit(Stored(old, 1, 1, UNDER_WAY), told.append)
                while not told and not await taking.fetchval(WAITS):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            await writer.flush()
    finally:
        await taking.close()
    assert told == [False]
    assert await scene.account() == {}


async def test_a_statement_whose_turn_is_over_stores_nothing(scene: Scene) -> None:
    """It was held up on its way, and its sender has stored more meanwhile; or its worker is not listed any more."""
    lot = await scene.take(NEW, LONG)
    assert lot is not None
    await scene.store(NEW, outcome(lot, 1, WAITING))
    await scene.store(NEW, outcome(lot, 1, "rejected"))
    scene.begin_again(NEW)
    await scene.store(NEW, outcome(lot, 1, WAITING))
    assert await scene.account() == {1: ("rejected", 1)}
    await scene.sql("DELETE FROM batchsend.workers WHERE id = $1", NEW)
    scene.begin_again(NEW)
    assert not await scene.commit(NEW, lot, 2)


async def test_a_session_that_waits_for_two_records_waits_until_both_are_stored(
    scene: Scene, shared_postgres: Postgres
) -> None:
    """The second one is committed while the statement is under way that stores the first one."""
    lot = await scene.take(NEW, LONG)
    assert lot is not None
    holding = await asyncpg.connect(shared_postgres.url)
    told: list[bool] = []
    release = told.append
    try:
        async with asyncio.timeout(GUARD), scene.writing(NEW) as writer:
            async with holding.transaction():
                await holding.execute("SELECT FROM batchsend.lots WHERE campaign = $1 FOR UPDATE", scene.number)
                writer.commit(Stored(lot, 1, 1, UNDER_WAY), release)
                while not await holding.fetchval(WAITS):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                writer.commit(Stored(lot, 2, 1, UNDER_WAY), release)
            await writer.flush()
    finally:
        await holding.close()
    assert told == [True], "it is let go once, and not after the first"
    assert await scene.account() == {1: (UNDER_WAY, 1), 2: (UNDER_WAY, 1)}


@pytest.mark.parametrize("status", ["accepted", "rejected", "in_doubt", "invalid", "suppressed"])
async def test_a_record_that_has_its_outcome_is_not_sent_again(scene: Scene, status: str) -> None:
    lot = await scene.take(NEW, LONG)
    assert lot is not None
    await scene.store(NEW, outcome(lot, 1, status))
    assert not await scene.commit(NEW, lot, 1, attempt=2)
    assert lot.refused == {1}
    assert await scene.account() == {1: (status, 1)}


@pytest.mark.parametrize("status", ["deferred", WAITING])
async def test_a_record_that_is_to_be_offered_again_is_sent(scene: Scene, status: str) -> None:
    lot = await scene.take(NEW, LONG)
    assert lot is not None
    await scene.store(NEW, outcome(lot, 1, status))
    assert await scene.commit(NEW, lot, 1, attempt=2)


async def test_a_record_under_way_is_sent_by_nobody_else_and_once(scene: Scene) -> None:
    """The same statement again, whose answer was lost, is no second one."""
    old = await scene.take(OLD, 0.0)
    assert old is not None
    assert await scene.commit(OLD, old, 1)
    assert await scene.commit(OLD, old, 1), "it is the same attempt of the same worker"
    assert not await scene.commit(OLD, old, 1, attempt=2)
    new = await scene.take(NEW, LONG)
    assert new is not None
    assert not await scene.commit(NEW, new, 1)
    assert new.refused == {1}


async def test_an_older_attempt_says_nothing_over_a_newer_one(scene: Scene) -> None:
    lot = await scene.take(NEW, LONG)
    assert lot is not None
    await scene.store(NEW, outcome(lot, 1, "accepted", 2))
    await scene.store(NEW, outcome(lot, 1, "deferred", 1))
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
        assert await scene.commit(NEW, new, 1, attempt)
    else:
        await scene.store(NEW, outcome(new, 1, status, attempt))
    await scene.store(OLD, outcome(old, 1, "in_doubt", 1, doubts=True))
    assert (await scene.account())[1][0] == then


async def test_what_cannot_be_believed_of_a_record_that_is_out_again_is_not_stored(scene: Scene) -> None:
    """A later offer says what became of it; of a lot that is not held, whoever holds it does."""
    taken = await scene.database.call(lambda connection: lots.take(connection, scene.number, NEW, LONG, SIZE))
    assert taken is not None
    async with scene.writing(NEW) as writer:
        account = ClusterAccount(scene.number, SIZE, writer, max_attempts=3, pause=30.0, notice=pytest.fail)
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
    assert not await renewed(old.lease, OLD)
    assert not await renewed(old.lease, NEW)
    assert not await renewed(new.lease, OLD)
    assert await scene.sql(until, scene.number) == [(True,)]
    assert await renewed(new.lease, NEW)
    assert await scene.sql(until, scene.number) == [(False,)]


async def test_who_has_lost_a_lot_does_not_end_it(scene: Scene) -> None:
    old, new = await scene.taken_over()
    before = await scene.lot()
    assert before == (new.lease.epoch, NEW, True, False)
    await scene.database.call(lambda connection: lots.finish(connection, [old.lease]))
    assert await scene.lot() == before
    await scene.database.call(lambda connection: lots.give_back(connection, [old.lease]))
    assert await scene.lot() == before
    await scene.database.call(lambda connection: lots.finish(connection, [new.lease]))
    assert await scene.lot() == (new.lease.epoch, None, False, True)


async def test_a_lot_is_lost_under_the_epoch_that_it_was_taken_under(scene: Scene) -> None:
    """What is said of an earlier lease is not about the one that holds."""
    said: list[str] = []
    async with scene.serving(NEW, said.append) as serving:
        await scene.take(NEW, 0.0)
        taken = await scene.database.call(lambda connection: lots.take(connection, scene.number, NEW, LONG, SIZE))
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
    both = [await scene.take(NEW, LONG), await scene.take(NEW, LONG)]
    held = [lot for lot in both if lot is not None]
    later = Stored(held[0 if waits == 10 else 1], waits, 1, "deferred", b'{"record":%d}' % waits, pause=3600.0)
    await scene.store(NEW, later)
    await scene.database.call(lambda connection: lots.finish(connection, [lot.lease for lot in held]))
    found = await scene.sql("SELECT lot, done FROM batchsend.lots WHERE campaign = $1 ORDER BY lot", scene.number)
    assert found == [(0, waits != 10), (1, waits != 11)]


async def test_twenty_of_those_that_a_lost_worker_had_under_way_are_named(scene: Scene) -> None:
    said: list[str] = []
    account = ClusterAccount(
        scene.number, 30, Writer(scene.database, NEW, pytest.fail), max_attempts=3, pause=30.0, notice=said.append
    )
    records = range(1, 26)
    parcels = [Parcel(Record(number, number, {}), f"r{number}@example.com", None) for number in records]
    account.take_over(Taken(0, 2, parcels, {number: Known(1, UNDER_WAY, None) for number in records}))
    [notice] = said
    assert notice.endswith(f"now in doubt: 25 (record {', '.join(map(str, records[:20]))})")


async def test_what_is_left_behind_is_named_only_where_nobody_holds_the_lot(scene: Scene) -> None:
    held, over = await scene.take(OLD, LONG), await scene.take(OLD, 0.0)
    assert held is not None
    assert over is not None
    assert await scene.commit(OLD, held, 1)
    assert await scene.commit(OLD, over, 11)
    assert await scene.database.call(lambda connection: name_left_behind(connection, scene.number, SIZE)) == 1
    assert await scene.account() == {1: (UNDER_WAY, 1), 11: ("in_doubt", 1)}
    # The one that was away comes back: what it has to say comes too late, and it may send nothing more.
    await scene.store(OLD, outcome(over, 11, "accepted"))
    assert over.lost
    assert not await scene.commit(OLD, over, 12)
    assert await scene.account() == {1: (UNDER_WAY, 1), 11: ("in_doubt", 1)}


async def test_what_is_answered_while_it_is_named_keeps_its_answer(scene: Scene, shared_postgres: Postgres) -> None:
    """Its lease is over, but nobody has taken the lot: the epoch is still its own until the lot is taken from it."""
    old = await scene.take(OLD, 0.0)
    assert old is not None
    assert await scene.commit(OLD, old, 1)
    naming = Database(shared_postgres.url)
    holding = await asyncpg.connect(shared_postgres.url)
    try:
        async with asyncio.timeout(GUARD):
            async with holding.transaction():
                await holding.execute("SELECT FROM batchsend.lots WHERE campaign = $1 FOR SHARE", scene.number)
                named = asyncio.create_task(
                    naming.call(lambda connection: name_left_behind(connection, scene.number, SIZE), seconds=GUARD)
                )
                while not await holding.fetchval(WAITS):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                await scene.store(OLD, outcome(old, 1, "accepted"))
            await named
    finally:
        await holding.close()
        await naming.close()
    assert await scene.account() == {1: ("accepted", 1)}
