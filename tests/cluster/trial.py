"""A campaign sent by several workers while things fail; the SMTP server's own account says whether that went well."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchsend import Stage
from tests.cluster.house import House, Worker, check, until, write_campaign
from tests.cluster.postgres import Postgres
from tests.tools.faulty import ACCEPT, Action, FaultyServer, drop, refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FAULTS = ("kill", "stop", "cut to", "cut from", "cut", "database killed", "database restarted")
"""What fails: a worker is killed, or stopped for longer than its lease and let go on; what it says to the database, or
is told, or both, is held back; PostgreSQL is killed, or restarted in order."""

LEASE = 2.0
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """What a trial is made of."""

    records: int
    workers: int
    faults: tuple[str, ...]
    depth: int
    refusals: int
    seed: int

    @property
    def bound(self) -> int:
        """How many records may be in doubt: for each worker that each fault may have cost its leases, twice its window;
        and one for each session that the server has broken."""
        window = 2 * (_CONNECTIONS + 1) * self.depth
        lost = sum(self.workers if fault.startswith("database") else 1 for fault in self.faults)
        return lost * window + self.refusals * self.depth


@dataclass(slots=True)
class Findings:
    """What came of it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class _Decide:
    """The server's decisions: a few recipients meet a fault, each once."""

    KINDS = (refuse(550, "5.1.1 no such user"), refuse(451, "4.3.0 later"), drop(succeeds=True), drop(succeeds=False))

    def __init__(self, setting: Setting, moments: random.Random) -> None:
        chosen = moments.sample(range(1, setting.records + 1), setting.refusals)
        self._left = {f"r{record}@example.com": moments.choice(self.KINDS) for record in chosen}

    def __call__(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient is not None:
            return self._left.pop(recipient, ACCEPT)
        return ACCEPT


async def run_trial(setting: Setting, directory: Path, postgres: Postgres) -> Findings:
    """Publish, work, fail, and hold the account against the server's."""
    moments = random.Random(setting.seed)
    found = Findings()
    house = House(postgres, directory)
    name = f"trial{setting.seed}"
    began = asyncio.get_running_loop().time()
    chunking = setting.depth > 1
    async with FaultyServer(_Decide(setting, moments), pipelining=True, chunking=chunking) as server:
        delivery = f"max_connections = {_CONNECTIONS}\nmax_messages = 50\ndepth = {setting.depth}"
        campaign = write_campaign(directory, server.port, setting.records, delivery)
        await house.command("publish", campaign, "--name", name, "--lot", "50")
        options = ("--lease", f"{LEASE:g}s", "--until-done")
        try:
            for _ in range(setting.workers):
                await house.work(*options)
            moments_of_faults = sorted(moments.randint(1, setting.records * 9 // 10) for _ in setting.faults)
            for fault, moment in zip(setting.faults, moments_of_faults, strict=True):
                await until(_sent(server, moment), lambda: any(worker.running for worker in house.workers))
                await _fail(fault, house, moments, options)
            for worker in house.workers:
                code = await worker.wait()
                if code not in (0, -signal.SIGKILL):
                    found.wrong.append(f"exit code {code}: {worker.output.read_text()[-500:]}")
        finally:
            await house.end()
        await house.command("collect", name, "--results", directory / "results.jsonl")
        found.outcomes, wrong = check(directory / "results.jsonl", server, setting.records)
    found.wrong += wrong
    if (in_doubt := found.outcomes["in_doubt"]) > setting.bound:
        found.wrong.append(f"{in_doubt} in doubt, {setting.bound} may be")
    found.seconds = asyncio.get_running_loop().time() - began
    return found


def _sent(server: FaultyServer, messages: int) -> Callable[[], bool]:
    return lambda: len(server.accepted) >= messages


async def _fail(fault: str, house: House, moments: random.Random, options: tuple[str, ...]) -> None:
    running = [worker for worker in house.workers if worker.running]
    if not running:
        return
    worker: Worker = moments.choice(running)
    away = moments.uniform(0.2, 2.5) * LEASE
    if fault == "kill":
        worker.send(signal.SIGKILL)
        await house.work(*options)
    elif fault == "stop":
        worker.send(signal.SIGSTOP)
        await asyncio.sleep(LEASE + away)
        worker.send(signal.SIGCONT)
    elif fault.startswith("cut"):
        worker.gate.cut(to_database=fault != "cut from", from_database=fault != "cut to")
        await asyncio.sleep(away)
        worker.gate.heal()
    else:
        if fault == "database killed":
            await asyncio.to_thread(house.postgres.kill)
        else:
            await asyncio.to_thread(house.postgres.stop)
        await asyncio.sleep(moments.choice((0.0, away)))
        await asyncio.to_thread(house.postgres.start)


async def run_trials(faults: int, records: int, seed: int, scratch: Path) -> list[tuple[Setting, Findings]]:
    """Trials until there were so many faults; every kind about as often as any other."""
    choose = random.Random(seed)
    deck: list[str] = []
    trials: list[tuple[Setting, Findings]] = []
    with Postgres() as postgres:
        await House(postgres, scratch).command("init")
        while (left := faults - sum(len(setting.faults) for setting, _ in trials)) > 0:
            while len(deck) < 6:
                deck += choose.sample(FAULTS, len(FAULTS))
            several = min(left, choose.randint(4, 6))
            setting = Setting(
                records=records,
                workers=choose.choice((2, 3, 4)),
                faults=tuple(deck[:several]),
                depth=choose.choice((1, 1, 8)),
                refusals=choose.choice((0, 20)),
                seed=choose.randrange(2**32),
            )
            del deck[:several]
            directory = scratch / str(len(trials))
            directory.mkdir()
            trials.append((setting, await run_trial(setting, directory, postgres)))
    return trials
