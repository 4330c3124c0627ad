"""The connection to PostgreSQL: whatever is done on it ends in time, also where the server is silent."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from batchsend.cluster.database import Database, DatabaseGoneError
from tests.cluster.gate import Gate
from tests.cluster.house import GUARD, House, until, write_campaign
from tests.cluster.postgres import Postgres
from tests.tools.faulty import ACCEPT, FaultyServer

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend import Stage
    from batchsend.cluster.database import Connection
    from tests.tools.faulty import Action

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

_IN_TIME = 0.5


@pytest.mark.parametrize("last", ["a statement", "the commit"])
async def test_a_transaction_without_an_answer_is_given_up(shared_postgres: Postgres, last: str) -> None:
    """The driver rolls back a transaction that ends with an error, and that would wait for the server once more."""

    async with Gate(shared_postgres.port) as gate:
        database = Database(Postgres.url_at(gate.port))

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute("SELECT 1")
                gate.cut(from_database=True)
                if last == "a statement":
                    await connection.execute("SELECT 2")

        async with asyncio.timeout(GUARD):
            assert await database.call(lambda connection: connection.fetchval("SELECT 1")) == 1
            with pytest.raises(DatabaseGoneError):
                await database.call(work, seconds=_IN_TIME)
            gate.heal()
            assert await database.call(lambda connection: connection.fetchval("SELECT 3")) == 3
            await database.close()


async def test_a_worker_whose_last_outcome_cannot_be_stored_ends_all_the_same(house: House, tmp_path: Path) -> None:
    """It holds no lease any more then, for all of its lot has its outcome; the database is away for good."""

    def cut_off(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "content":
            worker.gate.cut(to_database=True, from_database=True)
        return ACCEPT

    async with FaultyServer(cut_off) as server:
        await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 1))
        worker = await house.work("--lease", "2s")
        await until(lambda: len(server.accepted) == 1)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 3
    assert "it will be in doubt" in worker.output.read_text()


async def test_a_worker_that_may_not_store_what_it_does_ends_and_says_so(house: House, tmp_path: Path) -> None:
    """It may do everything else, so nothing but the store of the account fails."""
    await house.sql(
        "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA batchsend TO reader;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA batchsend TO reader;"
        "REVOKE INSERT ON batchsend.account FROM reader"
    )
    try:
        async with FaultyServer(lambda *_: ACCEPT) as server:
            campaign = write_campaign(tmp_path / "campaign", server.port, 3)
            await house.command("publish", campaign)
            worker = await house.work(user="reader")
            assert await worker.wait() == 2
            assert server.accepted == []
        assert "the database refuses us: permission denied for table account" in worker.output.read_text()
    finally:
        await house.sql("DROP OWNED BY reader; DROP ROLE reader")
