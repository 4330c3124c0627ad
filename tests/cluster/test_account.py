"""What a worker keeps of the lots that it holds, and what of it is stored, and collected."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

from batchsend.cluster import lots
from batchsend.cluster.collect import collect
from batchsend.cluster.database import ClusterError
from batchsend.cluster.status import set_state
from batchsend.cluster.writer import UNDER_WAY, WAITING, Stored
from batchsend.outcome import Outcome
from batchsend.results.line import outcome_line
from tests.cluster.fencing import LONG, NEW, OLD, SIZE, Scene, account_of, outcome, result, submission
from tests.cluster.house import GUARD

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]


async def test_what_waits_of_a_lot_that_is_refused_or_lost_is_taken_out_of_the_pool(scene: Scene) -> None:
    said: list[str] = []
    async with scene.serving(NEW, said.append) as serving:
        account, pool = serving.account, serving.pool
        taken = await scene.database.call(lambda connection: lots.take(connection, scene.number, NEW, LONG, SIZE))
        assert taken is not None
        lot = account.take_over(taken)

        def there() -> tuple[set[int], int]:
            return lot.out, pool.statistics().backlog

        account.give(lot, [submission(1), submission(2), submission(3)], pool)
        assert there() == ({1, 2, 3}, 3)
        lot.refuse(2)
        assert there() == ({1, 3}, 2)
        lot.lose()
        lot.lose()
        assert there() == (set(), 0)
        assert (account.lots, serving.leases) == ({}, [])
        account.give(lot, [submission(4)], pool)
        assert there() == (set(), 0)
        assert len(said) == 1


async def test_a_record_is_committed_while_its_lot_is_held_and_it_was_not_refused(scene: Scene) -> None:
    told: dict[int, bool] = {}
    async with account_of(scene) as (account, lot):
        lot.out = {1, 2, 3}
        lot.refuse(2)
        for record in (1, 2, 11):
            assert not account.commit(submission(record), partial(told.__setitem__, record)), (
                "it waits for the database"
            )
        lot.lost = True
        assert not account.commit(submission(3), partial(told.__setitem__, 3))
    assert told == {1: True, 2: False, 3: False, 11: False}
    assert await scene.account() == {1: (UNDER_WAY, 1)}


async def test_an_account_stores_what_becomes_of_records_that_are_its_own(scene: Scene) -> None:
    async with account_of(scene) as (account, lot):
        lot.out, lot.committed, lot.refused = set(range(1, 11)), {1, 2, 3}, {7}
        account.settle(submission(1), result(1, Outcome.ACCEPTED))
        account.withdraw(submission(2))
        account.retry(submission(3), result(3, Outcome.DEFERRED))
        account.withdraw(submission(5))
        account.retry(submission(6), result(6, Outcome.DEFERRED))
        account.settle(submission(7), result(7, Outcome.ACCEPTED))
        account.settle(submission(11), result(11, Outcome.ACCEPTED))
        account.withheld(lot, result(8, Outcome.INVALID, attempt=0))
        account.settle(submission(9, 2), result(9, Outcome.DEFERRED))
        account.settle(submission(10, 3), result(10, Outcome.DEFERRED, attempt=3))
        account.supersede(None, result(1, Outcome.REJECTED))
        lot.lost = True
        account.settle(submission(4), result(4, Outcome.ACCEPTED))
        account.supersede(result(4, Outcome.ACCEPTED), result(4, Outcome.REJECTED))
        assert account.accepted == 1
        assert lot.out == {2, 3, 5, 6, 8}
    assert await scene.account() == {
        1: ("accepted", 1),
        2: (WAITING, 1),
        3: (WAITING, 1),
        8: ("invalid", 0),
        9: ("deferred", 2),
        10: ("deferred", 3),
    }, "neither what was never committed, nor what is refused or somebody else's"
    again = "SELECT record FROM batchsend.account WHERE campaign = $1 AND due IS NOT NULL"
    assert await scene.sql(again, scene.number) == [(9,)], "the other one has had all its attempts"


async def test_doubts_are_stored_at_once_whoever_has_the_lot(scene: Scene) -> None:
    both = [await scene.take(OLD, 0.0), await scene.take(OLD, 0.0, 0)]
    for lot, record in zip(both, (1, 11), strict=True):
        assert lot is not None
        await scene.store(OLD, outcome(lot, record, WAITING))
    async with account_of(scene) as (account, _):
        account.retry(submission(1), result(1, Outcome.IN_DOUBT))
        account.retry(submission(11), result(11, Outcome.IN_DOUBT, attempt=0))
    assert await scene.account() == {1: ("in_doubt", 1), 11: ("in_doubt", 1)}


async def test_a_lot_of_which_nothing_is_to_be_offered_is_done_at_once(scene: Scene) -> None:
    """Also where there is nothing else to store."""
    async with account_of(scene) as (account, lot), asyncio.timeout(GUARD):
        account.all_offered(lot)
        while not (await scene.lot())[3]:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_a_log_is_whole_when_the_campaign_is_over_and_nobody_holds_a_lot(scene: Scene, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"

    def stopped() -> object:
        return json.loads(results.read_text().splitlines()[-1])["run"]["stopped"]

    lot = await scene.take(NEW, LONG)
    assert lot is not None
    line = outcome_line(result(1, Outcome.ACCEPTED)).rstrip()
    await scene.store(NEW, Stored(lot, 1, 1, "accepted", line))
    await scene.sql("UPDATE batchsend.campaigns SET state = 'stopped' WHERE id = $1", scene.number)
    first = await collect(scene.database, "fencing", results)
    assert (first.records, first.over) == (1, False)
    await scene.database.call(lambda connection: lots.give_back(connection, [lot.lease]))
    assert await collect(scene.database, "fencing", results) == first._replace(over=True)
    assert stopped() == "stopped"
    await scene.sql("UPDATE batchsend.campaigns SET why = 'enough' WHERE id = $1", scene.number)
    await collect(scene.database, "fencing", results)
    assert stopped() == "enough"
    with pytest.raises(ClusterError, match="people would get the message twice"):
        await set_state(scene.database, "fencing", "active", only_from=("stopped",))
    assert not await set_state(scene.database, "fencing", "stopped", only_from=("active",)), "it was before"
