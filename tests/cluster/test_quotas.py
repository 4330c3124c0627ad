"""A quota that the campaign file names is the cluster's, by the SMTP server's own count, whoever comes or goes."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.house import GUARD, House, Times, check, until, write_campaign
from tests.tools.faulty import FaultyServer
from tests.tools.virtual import most_within

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]


async def used_up(house: House, name: str) -> None:
    """Wait until the database has counted all that a quota allows."""
    async with asyncio.timeout(60.0):
        while "used up" not in await house.command("status", name):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.3)


async def relay_used_up(house: House, server: FaultyServer) -> dict[str, Any]:
    """Wait until that is so of a relay's quota; return what status says of it."""
    async with asyncio.timeout(60.0):
        while True:
            found: list[dict[str, Any]] = json.loads(await house.command("status", "--json"))["quotas"]
            for one in found:
                if one["whose"] == f"relay 127.0.0.1:{server.port}" and one["used_up"] is not None:
                    return one
            await asyncio.sleep(0.3)


@pytest.mark.parametrize("whose", ["campaign", "relay"])
async def test_a_quota_is_used_up_exactly_although_a_worker_is_killed(house: House, tmp_path: Path, whose: str) -> None:
    quota, decide = 600, Times()
    async with FaultyServer(decide) as server:
        campaign = write_campaign(
            tmp_path / "campaign",
            server.port,
            1000,
            'rate = "200/s"\nmax_connections = 6' + ('\nquota = "600/day"' if whose == "campaign" else ""),
        )
        if whose == "relay":
            text = campaign.read_text().replace('tls = "none" }', 'tls = "none", quota = ["600/day"] }')
            campaign.write_text(text)
        await house.command("publish", campaign, "--lot", "30")
        workers = [await house.work("--lease", "2s") for _ in range(3)]
        await house.until(lambda: len(decide.taken) >= 200, workers)
        workers[0].send(signal.SIGKILL)
        await house.until(lambda: len(decide.taken) >= 300, workers[1:])
        workers.append(await house.work("--lease", "2s"))
        await used_up(house, "campaign")
        late = await house.work("--lease", "2s")
        async with asyncio.timeout(GUARD):
            while len(json.loads(await house.command("status", "--json"))["workers"]) < len(workers):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.3)
        await asyncio.sleep(2.0)  # a promise about time: whoever comes late has heard of it by now
        for worker in (*workers[1:], late):
            assert worker.running, worker.output.read_text()
            worker.send(signal.SIGTERM)
            assert await worker.wait() == 0, worker.output.read_text()
        await house.command("stop", "campaign")
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, _ = check(tmp_path / "results.jsonl", server, 1000)
    # A worker that is killed may have stored messages as under way that it did not come to send.
    assert counts["accepted"] + counts["in_doubt"] == quota
    assert quota - counts["in_doubt"] <= len(decide.taken) <= quota


async def test_two_campaigns_share_the_quota_of_their_relay(house: House, tmp_path: Path) -> None:
    quota, decide = 300, Times()
    async with FaultyServer(decide) as server:
        for name in ("first", "second"):
            campaign = write_campaign(tmp_path / name, server.port, 400, 'rate = "200/s"')
            text = campaign.read_text().replace('tls = "none" }', 'tls = "none", warm_up = ["300/day", "900/day"] }')
            campaign.write_text(text)
            await house.command("publish", campaign, "--lot", "30")
        workers = [await house.work() for _ in range(2)]
        await until(lambda: len(decide.taken) >= quota)
        told = await relay_used_up(house, server)
        assert told["figures"] == "300 of 300/day"
        assert 86_000 < told["used_up"] <= 86_500, "the first messages are a day old then"
        for worker in workers:
            worker.send(signal.SIGTERM)
            assert await worker.wait() == 0, worker.output.read_text()
    assert len(decide.taken) == quota


async def test_a_campaign_whose_number_for_a_relay_is_greater_goes_on_when_the_other_rests(
    house: House, tmp_path: Path
) -> None:
    """What both send counts for both, and each heeds its own number."""
    decide = Times()
    async with FaultyServer(decide) as server:
        for name, quota in (("careful", 40), ("bold", 120)):
            campaign = write_campaign(tmp_path / name, server.port, 200, 'rate = "200/s"')
            text = campaign.read_text().replace('tls = "none" }', f'tls = "none", quota = "{quota}/day" }}')
            campaign.write_text(text)
        await house.command("publish", tmp_path / "careful" / "campaign.toml", "--lot", "20")
        worker = await house.work()
        await relay_used_up(house, server)
        assert len(decide.taken) == 40
        await asyncio.sleep(2.0)  # a promise about time: what is told to all workers is told by now
        await house.command("publish", tmp_path / "bold" / "campaign.toml", "--lot", "20")
        await until(lambda: len(decide.taken) >= 120, lambda: worker.running)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0, worker.output.read_text()
    assert len(decide.taken) == 120


async def test_a_relay_that_warms_up_takes_the_second_days_number_a_day_after_its_first_message(
    house: House, tmp_path: Path
) -> None:
    first_day, second_day, decide = 40, 70, Times()
    async with FaultyServer(decide) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 200, 'rate = "200/s"')
        warm_up = f'tls = "none", warm_up = ["{first_day}/day", "{second_day}/day"] }}'
        campaign.write_text(campaign.read_text().replace('tls = "none" }', warm_up))
        await house.command("publish", campaign, "--lot", "20")
        for most in (first_day, first_day + second_day):
            worker = await house.work()
            await until(lambda: len(decide.taken) >= most, lambda: worker.running)  # noqa: B023 - it is waited for here
            await relay_used_up(house, server)
            worker.send(signal.SIGTERM)
            assert await worker.wait() == 0, worker.output.read_text()
            assert len(decide.taken) == most
            # A day goes by.
            await house.sql("UPDATE batchsend.quotas SET first = first - interval '1 day', used_up_until = NULL")
            await house.sql("UPDATE batchsend.quota_used SET moment = moment - interval '1 day'")


async def test_a_quota_rolls(house: House, tmp_path: Path) -> None:
    records, quota, decide = 250, 200, Times()
    async with FaultyServer(decide) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, f'quota = "{quota}/min"')
        await house.command("publish", campaign, "--lot", "20")
        for worker in [await house.work("--until-done") for _ in range(2)]:
            assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert (counts, wrong) == ({"accepted": records}, [])
    assert most_within(decide.taken, 60.0) <= quota
    assert 60.0 <= decide.taken[-1] - decide.taken[0] <= 90.0


async def test_a_rate_and_connections_of_a_relay_are_the_clusters(house: House, tmp_path: Path) -> None:
    rate, records, decide = 60, 600, Times()
    async with FaultyServer(decide) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records)
        own = f'tls = "none", rate = "{rate}/s", max_connections = 4 }}'
        campaign.write_text(campaign.read_text().replace('tls = "none" }', own))
        await house.command("publish", campaign, "--lot", "20")
        for worker in [await house.work("--until-done") for _ in range(3)]:
            assert await worker.wait() == 0, worker.output.read_text()
    assert len(decide.taken) == records
    assert most_within(decide.taken, 1.0) <= 2 * rate
    assert most_within(decide.taken, 5.0) <= 6 * rate
