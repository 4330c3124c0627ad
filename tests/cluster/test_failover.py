"""A primary that is lost, and its synchronous replica that takes over: no record lost, none delivered twice.

The URL names both servers, as libpq has it; nobody tells the workers which of them is the primary.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.cluster.house import House, check, until, write_campaign
from tests.cluster.postgres import REPLICA, Postgres
from tests.tools.faulty import ACCEPT, FaultyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from batchsend import Stage
    from tests.tools.faulty import Action

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

_CONNECTIONS = 4


def accept(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    """Decide: every command is taken."""
    return ACCEPT


@asynccontextmanager
async def replicated(directory: Path) -> AsyncIterator[tuple[House, Postgres, Postgres]]:
    """A primary and a replica that it waits for, with tables, and what runs commands with both in the URL."""
    with (
        Postgres(f"synchronous_standby_names={REPLICA}") as primary,
        Postgres(primary=primary) as replica,
    ):
        house = House(primary, directory, replica)
        connection = await asyncpg.connect(primary.url)
        async with asyncio.timeout(30.0):
            while await connection.fetchval("SELECT sync_state FROM pg_stat_replication") != "sync":  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        await connection.close()
        await house.command("init")
        try:
            yield house, primary, replica
        finally:
            await house.end()


async def waits_for_replica(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Whether a statement waits for the replica."""
    found = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    return bool(found)


@pytest.mark.parametrize("how", ["is killed and gone", "is killed and comes back", "falls silent"])
async def test_a_replica_takes_over(tmp_path: Path, how: str) -> None:
    """The old primary may be gone, come back without knowing, or take connections and say nothing."""
    records, workers, results = 3000, 3, tmp_path / "results.jsonl"
    async with replicated(tmp_path) as (house, primary, replica), FaultyServer(accept) as server:
        delivery = f'rate = "400/s"\nmax_connections = {_CONNECTIONS}'
        campaign = write_campaign(tmp_path / "campaign", server.port, records, delivery)
        await house.command("publish", campaign, "--lot", "50")
        options = ("--until-done", "--lease", "10s")
        started = [await house.work(*options) for _ in range(workers)]
        await until(lambda: len(server.accepted) >= records // 4)
        if how == "falls silent":
            await asyncio.to_thread(primary.freeze)
        else:
            await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(replica.promote)
        if how == "is killed and comes back":
            await asyncio.to_thread(primary.start)
        moment = len(server.accepted)
        await until(lambda: len(server.accepted) >= moment + records // 4)
        started.append(await house.work(*options))
        for worker in started:
            assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", results)
        counts, wrong = check(results, server, records)
    assert wrong == []
    assert counts["accepted"] + counts["in_doubt"] == records
    # No worker was lost, so nothing is in doubt unless its lot was taken over while there was no database.
    assert counts["in_doubt"] <= workers * 2 * (_CONNECTIONS + 1)


async def test_nothing_is_sent_that_only_the_primary_knows(tmp_path: Path) -> None:
    """Somebody cancels the statements that wait for a replica that is gone: the primary calls them done."""
    records, results = 600, tmp_path / "results.jsonl"
    async with replicated(tmp_path) as (house, primary, replica), FaultyServer(accept) as server:
        delivery = f'rate = "200/s"\nmax_connections = {_CONNECTIONS}'
        campaign = write_campaign(tmp_path / "campaign", server.port, records, delivery)
        await house.command("publish", campaign, "--lot", "50")
        worker = await house.work("--until-done")
        await until(lambda: len(server.accepted) >= 100)
        await asyncio.to_thread(replica.stop)
        connection = await asyncpg.connect(primary.url)
        async with asyncio.timeout(60.0):
            before = -1
            # Until what was stored before has its answers.
            while before < len(server.accepted) or not await waits_for_replica(connection):
                before = len(server.accepted)
                await asyncio.sleep(0.5)
            for _ in range(4):
                while not await waits_for_replica(connection):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.02)
                await connection.execute(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                )
        await connection.close()
        assert len(server.accepted) == before
        await asyncio.to_thread(replica.start)
        assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", results)
        counts, wrong = check(results, server, records)
    assert wrong == []
    assert counts["accepted"] + counts["in_doubt"] == records
