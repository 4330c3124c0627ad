"""Tables of an earlier version are brought forward in the middle of a campaign, which ends as it would have."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import asyncpg
import pytest

from tests.cluster.house import House, address, last_lines
from tests.cluster.postgres import Postgres
from tests.tools.faulty import ACCEPT, FaultyServer

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

_VERSION_1 = Path(__file__).with_name("version1.sql")
_TAKEN_BEFORE = {1, *range(5, 16)}
_RECORDS = 42


async def test_a_campaign_under_way_in_version_1_ends_with_everybody_once(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    async with FaultyServer(lambda *_: ACCEPT) as server:
        with Postgres() as postgres:
            house = House(postgres, tmp_path)
            connection = await asyncpg.connect(postgres.url)
            await connection.execute(_VERSION_1.read_text().replace("PORT", str(server.port)))
            await connection.close()
            for command in ("list", "work"):
                said = await house.command(command, code=2)
                assert "has tables of version 1, and this is version 3" in said
            assert await house.command("init") == "from version 1 to 3\n"
            assert await house.command("init") == "the tables are there: version 3\n"
            assert "active" in await house.command("list")
            for worker in [await house.work("--until-done") for _ in range(2)]:
                assert await worker.wait() == 0, worker.output.read_text()
            await house.command("collect", "campaign", "--results", results)
            assert "is gone" in await house.command("drop", "campaign")
            await house.end()
        taken = Counter(recipient for message in server.accepted for recipient in message.recipients)
    lines = last_lines(results)
    by_status: dict[str, set[int]] = {}
    for record, line in lines.items():
        by_status.setdefault(line["status"], set()).add(record)
    others = {"rejected": {2}, "suppressed": {3, 42}, "in_doubt": {15}, "invalid": {41}}
    assert by_status == {"accepted": set(range(1, _RECORDS + 1)) - set().union(*others.values()), **others}
    assert taken == {address(record): 1 for record in by_status["accepted"] - _TAKEN_BEFORE}
    assert lines[4]["attempt"] == 2, "it was deferred, and came back"
