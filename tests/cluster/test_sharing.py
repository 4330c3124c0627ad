"""Rate, connections, quota and blocks are the cluster's: shared by its workers, by the SMTP server's own account."""

from __future__ import annotations

import asyncio
import signal
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.cluster.house import House, Times, check, until, write_campaign
from tests.tools.faulty import ACCEPT, FaultyServer, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend import Stage
    from tests.tools.faulty import Action
    from tests.tools.wire import Wire

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]


def accept(*_: object) -> Action:
    """Decide: every command is taken."""
    return ACCEPT


class Counting(FaultyServer):
    """Counts the connections that are open."""

    open_now = 0
    most = 0

    async def play(self, wire: Wire) -> None:
        self.open_now += 1
        self.most = max(self.most, self.open_now)
        try:
            await super().play(wire)
        finally:
            self.open_now -= 1


async def test_a_rate_is_the_clusters_while_workers_come_and_go(house: House, tmp_path: Path) -> None:
    rate, workers, seconds, decide = 500, 3, 90, Times()
    async with FaultyServer(decide, pipelining=True) as server:
        campaign = write_campaign(
            tmp_path / "campaign", server.port, rate * seconds, f'rate = "{rate}/s"\nmax_connections = 9'
        )
        await house.command("publish", campaign, "--lot", "100")
        options = ("--until-done", "--lease", "2s")
        started = [await house.work(*options) for _ in range(workers)]
        paces = [await settled_pace(house, decide, rate, workers)]
        started[0].send(signal.SIGKILL)
        paces.append(await settled_pace(house, decide, rate, workers - 1))
        started.append(await house.work(*options))
        paces.append(await settled_pace(house, decide, rate, workers))
        await house.command("stop", "campaign")
        for worker in started[1:]:
            assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        _, found = check(tmp_path / "results.jsonl", server, rate * seconds)
        wrong = [line for line in found if not line.endswith("the server took it 0 times")]  # but what was left
    first, killed, joined = paces
    beyond = decide.beyond(rate)
    print(
        f"{rate}/s by {workers}: {first:.1f}; one killed: {killed:.1f}; one joined: {joined:.1f}; {beyond:.0f} beyond"
    )
    assert wrong == []
    assert beyond <= rate, "exceeded by more than a second's worth"
    assert [pace for pace in paces if not 0.95 * rate <= pace <= 1.05 * rate] == []


async def settled_pace(house: House, decide: Times, rate: int, workers: int) -> float:
    """The pace, once so many workers share all of the rate and the last one has begun."""
    shares = "SELECT rate FROM batchsend.shares WHERE until > now()"
    while len(found := await house.sql(shares)) != workers or sum(share for (share,) in found) < rate - 0.01:
        assert any(worker.running for worker in house.workers), found
        await asyncio.sleep(0.2)
    pace = 0.0
    for _ in range(3):  # a machine that has other things to do loses some seconds now and then
        first = len(decide.taken) + 2 * rate
        await until(lambda: len(decide.taken) > first + 5 * rate)  # noqa: B023 - it is waited for here
        ends = [decide.taken[first + number * rate] for number in range(6)]
        pace = median(rate / (end - begin) for begin, end in pairwise(ends))
        if 0.95 * rate <= pace <= 1.05 * rate:
            break
    return pace


async def test_connections_are_the_clusters(house: House, tmp_path: Path) -> None:
    records = 1200
    async with Counting(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "150/s"\nmax_connections = 4')
        await house.command("publish", campaign, "--lot", "30")
        workers = [await house.work("--until-done") for _ in range(3)]
        for worker in workers:
            assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert (counts, wrong) == ({"accepted": records}, [])
    assert server.most <= 4 + len(workers), "one more of each worker while it rotates"


async def test_a_number_of_sessions_that_is_found_to_be_too_high_is_the_clusters(house: House, tmp_path: Path) -> None:
    """The relay takes 4 sessions, and 9 were asked for: those who have not met it heed it, too."""
    records, allowed = 1500, 4
    refused_at: list[int] = []

    def refuse_more(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "greeting" and server.open_now > allowed:
            refused_at.append(len(server.accepted))
            return refuse(421, "4.7.0 Too many concurrent connections from your address")
        return ACCEPT

    async with Counting(refuse_more) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "150/s"\nmax_connections = 9')
        await house.command("publish", campaign, "--lot", "30")
        workers = [await house.work("--until-done") for _ in range(3)]
        for worker in workers:
            assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
        [(learned,)] = await house.sql(
            f"SELECT most_connections FROM batchsend.relays WHERE relay LIKE '%:{server.port}'"
        )
    print(f"{len(refused_at)} sessions refused, after messages {refused_at}; {learned} are allowed as it was found")
    assert (counts, wrong) == ({"accepted": records}, [])
    assert allowed - 1 <= learned <= allowed + 1
    assert sum(at > records // 2 for at in refused_at) <= records // 200, "but for some while sessions are replaced"


async def test_a_pace_that_one_is_told_is_too_fast_is_cut_for_all(house: House, tmp_path: Path) -> None:
    """One session each: who is told pauses, and goes on more slowly; so does the other, who is told by the database."""
    records, armed, complained = 3600, False, (0, 0.0)
    taken: dict[int, list[float]] = {}

    def complain_once(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        nonlocal complained
        if stage != "content" or not armed:
            return ACCEPT
        if not complained[0] and len(taken) == 2 and min(map(len, taken.values())) > 50:
            complained = connection, time.monotonic()
            return refuse(454, "4.7.0 Throttling failure: Maximum sending rate exceeded")
        taken.setdefault(connection, []).append(time.monotonic())
        return ACCEPT

    async with Counting(complain_once) as server:
        settings = 'rate = "200/s"\nmax_connections = 2\nmax_messages = 100000'
        campaign = write_campaign(tmp_path / "campaign", server.port, records, settings)
        await house.command("publish", campaign, "--lot", "50")
        workers = [await house.work("--until-done") for _ in range(2)]
        shares = "SELECT connections FROM batchsend.shares WHERE until > now()"
        while await house.sql(shares) != [(1,), (1,)] or server.open_now != 2:
            assert all(worker.running for worker in workers)
        armed = True
        for worker in workers:
            assert await worker.wait() == 0, worker.output.read_text()
        told = await house.sql(f"SELECT slower FROM batchsend.relays WHERE relay LIKE '%:{server.port}'")
    assert len(server.accepted) == records
    connection, moment = complained
    [other] = [times for number, times in taken.items() if number != connection]
    gaps = [later - earlier for earlier, later in pairwise(other) if moment < later < moment + 10.0]
    print(f"one was told to send more slowly: the other paused for {max(gaps):.2f} s")
    assert told == [(1,)]
    assert max(gaps) > 0.9


async def test_a_quota_that_one_meets_stops_all(house: House, tmp_path: Path) -> None:
    quota, refused = 3000, 0

    def count(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        nonlocal refused
        if stage == "mail" and len(server.accepted) >= quota:
            refused += 1
            return refuse(454, "4.7.0 Daily message quota exceeded")
        return ACCEPT

    async with FaultyServer(count) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 9000, 'rate = "600/s"\nmax_connections = 6')
        await house.command("publish", campaign, "--lot", "100")
        workers = [await house.work() for _ in range(3)]
        await until(lambda: refused > 0)
        while "sending limit" not in await house.command("status"):
            assert all(worker.running for worker in workers)
        await asyncio.sleep(3.0)  # a promise about time: all have heard of it by now
        before = refused
        late = await house.work()
        await asyncio.sleep(3.0)
        assert refused == before, "somebody has asked again, or who came later did"
        status = await house.status("campaign")
        for worker in (*workers, late):
            worker.send(signal.SIGTERM)
            assert await worker.wait() == 0, worker.output.read_text()
    print(f"a quota of {quota:,} a day: {len(server.accepted):,} taken; {before} refusals, none of them later")
    assert len(server.accepted) <= quota + 6
    assert status["campaigns"][0]["outcomes"].get("rejected", 0) == 0
    assert status["campaigns"][0]["state"] == "active"


async def test_a_relay_that_refuses_one_worker_stops_the_campaign(house: House, tmp_path: Path) -> None:
    def block(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "mail" and len(server.accepted) >= 100:
            return refuse(554, "5.7.1 Sending paused for this account")
        return ACCEPT

    async with FaultyServer(block) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 900, 'rate = "100/s"')
        await house.command("publish", campaign, "--lot", "30")
        for worker in [await house.work("--until-done") for _ in range(2)]:
            assert await worker.wait() == 0, worker.output.read_text()
    status = await house.status("campaign")
    assert status["campaigns"][0]["state"] == "stopped"
    assert "refuses to send for us" in status["campaigns"][0]["why"]
    assert status["campaigns"][0]["outcomes"].get("rejected", 0) == 0
