"""A campaign in a folder, a database, an SMTP server with an account of its own, and workers in processes beside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

from tests.cluster.gate import Gate
from tests.cluster.postgres import Postgres
from tests.cluster.worker import CLOCK
from tests.crash.house import CAMPAIGN
from tests.tools.faulty import ACCEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batchsend import Stage
    from tests.tools.faulty import Action, FaultyServer

GUARD = 240.0
"""Seconds after which something hangs."""

_POLL = 0.02


def address(record: int) -> str:
    """The recipient of a record."""
    return f"r{record}@example.com"


def write_campaign(directory: Path, port: int, records: int, delivery: str = "") -> Path:
    """Write a campaign of so many records; return its file."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{address(record)}\n" for record in range(1, records + 1))
    (directory / "recipients.csv").write_text(f"email\n{rows}")
    campaign = directory / "campaign.toml"
    campaign.write_text(CAMPAIGN.format(port=port, delivery=f'max_attempts = 3\nretry_after = "200ms"\n{delivery}'))
    return campaign


class Worker:
    """A worker's process, and its own way to the database."""

    def __init__(self, process: asyncio.subprocess.Process, gates: list[Gate], output: Path) -> None:
        self.gate = gates[0]
        self._gates = gates
        self.output = output
        self._process = process

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Return its exit code; where it does not end, its output says where its tasks and threads were."""
        try:
            async with asyncio.timeout(GUARD):
                return await self._process.wait()
        except TimeoutError:
            self.send(signal.SIGUSR1)
            await asyncio.sleep(1.0)  # it has nothing else to do
            self.send(signal.SIGABRT)
            await self._process.wait()
            raise AssertionError(f"it did not end:\n{self.output.read_text()}") from None

    async def end(self) -> None:
        if self.running:
            self.send(signal.SIGKILL)
            await self._process.wait()
        for gate in self._gates:
            await gate.__aexit__()


class House:
    """Runs the commands of a cluster against one database.

    Args:
        postgres: The database.
        directory: Where output goes.
        replicas: Other servers that every URL names after it.
    """

    def __init__(self, postgres: Postgres, directory: Path, *replicas: Postgres) -> None:
        self.postgres = postgres
        self._servers = (postgres, *replicas)
        self.workers: list[Worker] = []
        self._directory = directory

    @property
    def url(self) -> str:
        """The URL that names all servers."""
        return Postgres.url_at(*(server.port for server in self._servers))

    async def command(self, *arguments: str | Path, url: str | None = None, code: int | None = 0) -> str:
        """Run ``batchsend cluster …``; return what it said on standard output and error."""
        process = await self.begin(*arguments, url=url)
        async with asyncio.timeout(GUARD):
            said, _ = await process.communicate()
        assert code is None or process.returncode == code, said.decode()
        return said.decode()

    async def begin(self, *arguments: str | Path, url: str | None = None) -> asyncio.subprocess.Process:
        """Start ``batchsend cluster …``."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "batchsend",
            "cluster",
            *map(str, arguments),
            env=self._environment(url or self.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        connection = await asyncpg.connect(self.url)
        try:
            if not statement.startswith("SELECT"):
                await connection.execute(statement)
                return []
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    async def work(self, *options: str, user: str = "postgres", clock: float = 0.0) -> Worker:
        """Start a worker, as this user of the database; its clock is so many seconds before that of the others."""
        gates = [await Gate(server.port).__aenter__() for server in self._servers]
        output = self._directory / f"worker{len(self.workers)}.txt"
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.cluster.worker",
                "cluster",
                "work",
                *options,
                env=self._environment(Postgres.url_at(*(gate.port for gate in gates)).replace("postgres@", f"{user}@"))
                | {CLOCK: str(clock)},
                stdout=file,
                stderr=asyncio.subprocess.STDOUT,
            )
        worker = Worker(process, gates, output)
        self.workers.append(worker)
        return worker

    async def end(self) -> None:
        """End the workers that are left."""
        for worker in self.workers:
            await worker.end()

    async def until(self, reached: Callable[[], bool], working: Sequence[Worker]) -> None:
        """Wait until these workers have reached something; where they do not, say what each of them waits for."""
        try:
            await until(reached, lambda: all(worker.running for worker in working))
        except TimeoutError:
            for worker in working:
                worker.send(signal.SIGUSR1)
            await asyncio.sleep(1.0)  # they have nothing else to do
            said = [await self.command("status", "--json"), *(worker.output.read_text() for worker in working)]
            tables = ("shares", "quotas", "quota_held", "quota_used", "relays")
            said += [f"{table}: {await self.sql(f'SELECT * FROM batchsend.{table}')}" for table in tables]
            raise AssertionError("\n".join(said)) from None
        assert all(worker.running for worker in working), [worker.output.read_text() for worker in working]

    async def status(self, name: str) -> dict[str, Any]:
        """What is said of a campaign."""
        found: dict[str, Any] = json.loads(await self.command("status", name, "--json"))
        return found

    @staticmethod
    def _environment(url: str) -> dict[str, str]:
        paths = os.pathsep.join(path for path in sys.path if path)
        return dict(os.environ, BATCHSEND_DATABASE=url, PYTHONPATH=paths, PYTHONFAULTHANDLER="1")


async def until(reached: Callable[[], bool], still: Callable[[], bool] = lambda: True) -> None:
    """Wait until something is reached that another process brings about, or nobody is left to do so."""
    async with asyncio.timeout(GUARD):
        while not reached() and still():  # noqa: ASYNC110 - nothing tells of other processes
            await asyncio.sleep(_POLL)


class Times:
    """What a server decides: everything is taken, and when is noted.

    Attributes:
        taken: When each message was taken, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "content":
            self.taken.append(time.monotonic())
        return ACCEPT

    def beyond(self, rate: float) -> float:
        """The most messages beyond a rate: in any stretch of time, how many more than ``rate`` times its seconds."""
        most = since = 0.0  # the greatest excess of any stretch that ends with a message, and of any at all
        before = self.taken[0]
        for moment in self.taken:
            since = max(since - rate * (moment - before), 0.0) + 1
            most, before = max(most, since), moment
        return most


def last_lines(log: Path) -> dict[int, dict[str, Any]]:
    """The line of each record in a collected log."""
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    return {line["record"]: line for line in lines if "record" in line}


def check(log: Path, server: FaultyServer, records: int) -> tuple[Counter[str], list[str]]:
    """Hold a log against what the server has taken.

    Returns:
        How many records there are of each outcome, and what must not be, one line each.
    """
    lines = last_lines(log)
    taken = Counter(recipient for message in server.accepted for recipient in message.recipients)
    counts: Counter[str] = Counter()
    wrong = []
    for record in range(1, records + 1):
        status = lines.get(record, {}).get("status")
        counts[str(status)] += 1
        times = taken[address(record)]
        allowed = {"accepted": (1,), "in_doubt": (0, 1)}.get(str(status), (0,))
        if status is None:
            wrong.append(f"record {record} is lost; the server took it {times} times")
        elif times not in allowed:
            wrong.append(f"record {record} is {status}, and was delivered {times} times")
    return counts, wrong
