"""Workers killed, stopped and cut off, PostgreSQL killed and restarted: no record lost, none delivered twice.

``python -m tests.cluster 60`` is the long version; ``BATCHSEND_CLUSTER_FAULTS`` sets the number here.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cluster.house import GUARD, House, check, last_lines, until, write_campaign
from tests.cluster.postgres import Postgres
from tests.cluster.table import rows
from tests.cluster.trial import run_trials
from tests.tools.faulty import ACCEPT, FaultyServer, Then, drop

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend import Stage
    from tests.tools.faulty import Action

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

FAULTS = int(os.environ.get("BATCHSEND_CLUSTER_FAULTS", "7"))


def accept(*_: object) -> Action:
    """Decide: every command is taken."""
    return ACCEPT


async def test_no_fault_loses_a_record_or_delivers_one_twice(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    trials = await run_trials(FAULTS, 600, seed, tmp_path)
    print(f"\nseed {seed}")
    for row in rows(trials):
        print(row)
    wrong = [f"{setting}: {line}" for setting, found in trials for line in found.wrong]
    assert not wrong, "\n".join(wrong)


async def test_a_worker_that_begins_while_the_database_is_away_waits_for_it(tmp_path: Path) -> None:
    with Postgres() as postgres:
        house = House(postgres, tmp_path)
        async with FaultyServer(accept) as server:
            await house.command("init")
            await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 20))
            await asyncio.to_thread(postgres.stop)
            worker = await house.work("--until-done")
            await asyncio.to_thread(postgres.start)
            assert await worker.wait() == 0, worker.output.read_text()
            await house.end()
        assert len(server.accepted) == 20


async def test_status_is_watched_on_when_the_database_is_back(tmp_path: Path) -> None:
    with Postgres() as postgres:
        house = House(postgres, tmp_path)
        await house.command("init")
        await house.command("publish", write_campaign(tmp_path / "campaign", 25, 20))
        watching = await house.begin("status", "--watch", "--json")
        assert watching.stdout is not None
        async with asyncio.timeout(GUARD):
            assert b'"offered":20' in await watching.stdout.readline()
            await asyncio.to_thread(postgres.stop)
            while b"asked again" not in await watching.stdout.readline():
                pass
            await asyncio.to_thread(postgres.start)
            while b'"offered":20' not in await watching.stdout.readline():
                pass
            watching.send_signal(signal.SIGINT)
            assert await watching.wait() == 130


async def test_what_a_killed_worker_had_under_way_is_named_also_where_nobody_takes_it_over(
    house: House, tmp_path: Path
) -> None:
    """The last worker is killed with messages unanswered, and the campaign is stopped: one machine goes on with it."""
    unanswered: set[str | None] = set()

    def hold(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "content" and len(server.accepted) >= 50 and len(unanswered) < 3 and not stopped:
            unanswered.add(recipient)
            return drop(Then.SILENCE, succeeds=True)
        return ACCEPT

    stopped = False
    async with FaultyServer(hold) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 300, "max_connections = 3")
        await house.command("publish", campaign, "--lot", "100")
        worker = await house.work("--lease", "1s")
        await until(lambda: len(unanswered) == 3)
        worker.send(signal.SIGKILL)
        await worker.wait()
        stopped = True
        await house.command("stop", "campaign")
        results = tmp_path / "results.jsonl"
        while "not over" in await house.command("collect", "campaign", "--results", results):
            assert "stopped" in await house.command("list")
        lines = last_lines(results)
        in_doubt = {line["recipient"] for line in lines.values() if line["status"] == "in_doubt"}
        assert unanswered <= in_doubt
        assert len(in_doubt) <= 2 * (3 + 1)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "batchsend", "resume", str(results), "--no-progress"
        )
        assert await process.wait() == 1, "some are in doubt, and are not sent again"
        _, wrong = check(results, server, 300)
    assert wrong == []
