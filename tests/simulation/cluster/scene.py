"""A cluster in virtual time in which a test says what happens, and sees when it does and what the database is asked."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from batchsend.campaign import Overrides
from batchsend.cluster import lots
from batchsend.cluster.database import Database
from batchsend.cluster.publish import publish
from batchsend.cluster.status import set_state
from batchsend.cluster.work import Worker
from batchsend.jitter import JITTER
from tests.simulation.case import Relay
from tests.simulation.cluster.case import ClusterCase
from tests.simulation.cluster.running import MEMORY, URL, Cluster, around
from tests.simulation.cluster.workers import EPOCH, NOBODY, ClusterLoop
from tests.simulation.people import campaign_text, write_list
from tests.simulation.running import end_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.simulation.case import Reply
    from tests.simulation.cluster.database import RealDatabase

Result = TypeVar("Result")

SEED: Final = 1
_LIST: Final = "recipients.csv"
_SOON: Final = 0.05


class Scene(Cluster):
    """A cluster, and the hand on it.

    Args:
        script: What happens.
        case: What the relays and the clocks are like.
        loop: Where it happens.
        real: What does the statements.
        folder: Where files are.

    Attributes:
        folder: Where files are.
        said: What workers have said, and when.
    """

    def __init__(
        self,
        script: Callable[[Scene], Awaitable[None]],
        case: ClusterCase,
        loop: ClusterLoop,
        real: RealDatabase,
        folder: Path,
    ) -> None:
        super().__init__(case, loop, real, folder, lambda _: None)
        self.folder = folder
        self.said: list[tuple[float, str]] = []
        self._script = script
        self._real = real
        self._running: dict[int, asyncio.Task[None]] = {}

    async def live(self) -> None:
        """Do what the script says; then the workers that are left end in order."""
        await self._script(self)
        left = [number for number, task in self._running.items() if not (task.done() or self.client(number).is_dead)]
        for number in left:
            self.stop(number)
        await asyncio.gather(*(self._running[number] for number in left))

    # --- what is seen -------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.loop.time()

    @property
    def offered(self) -> list[tuple[float, int]]:
        """When each message came to the first relay, and which record it was for."""
        return self.relays[0].offered

    @property
    def sent(self) -> list[float]:
        """When each message came to the first relay."""
        return [moment for moment, _ in self.offered]

    def heard(self, words: str) -> list[float]:
        """When workers have said something with these words in it."""
        return [moment for moment, text in self.said if words in text]

    def asked(self, client: int, words: str, since: float = 0.0) -> list[float]:
        """When a client has sent a statement with these words in it."""
        return [moment for moment, statement in self.client(client).asked if words in statement and moment > since]

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the database, at this moment of its clock."""
        connection = self._real.connection()
        clock = repr(EPOCH + self.now + self.database.ahead)
        try:
            self._real.do(connection.fetchval("SELECT set_config('simulated.now', $1, false)", clock))
            return [tuple(row) for row in self._real.do(connection.fetch(statement, *values))]
        finally:
            self._real.put_back(connection)

    async def until(self, reached: Callable[[], bool], within: float = 120.0) -> float:
        """Let time go by until something is reached; returns when that was."""
        limit = self.now + within
        while not reached():
            assert self.now < limit, f"it is not reached in {within:.0f} s: {self.said}"
            await asyncio.sleep(_SOON)
        return self.now

    # --- what happens -------------------------------------------------------------------------------------------------

    async def ask(self, work: Callable[[Database], Awaitable[Result]]) -> Result:
        """Do something as a command does: on a connection of its own, which it closes. It is client 0."""

        async def run() -> Result:
            database = Database(URL)
            try:
                return await work(database)
            finally:
                await database.close()

        return await self.loop.create_task(run(), context=self.client(0).context)

    async def publish(
        self,
        name: str = "one",
        *,
        records: int,
        lot: int = lots.SIZE,
        files: Mapping[str, str] | None = None,
        edit: Callable[[str], str] = lambda text: text,
        **delivery: int | str,
    ) -> None:
        """Publish a campaign.

        Args:
            name: What it is called.
            records: How many records its list has.
            lot: How many of them are a lot.
            files: What else is in its folder.
            edit: What is done to the campaign file.
            delivery: What it says under ``[delivery]``.
        """
        folder = self.folder / name
        folder.mkdir()
        write_list(folder / _LIST, records)
        for file, text in (files or {}).items():
            (folder / file).write_text(text)
        path = folder / "campaign.toml"
        path.write_text(edit(campaign_text(self.case.relays, delivery, _LIST)))
        await self.ask(lambda database: publish(database, path, overrides=Overrides(), name=name, size=lot))

    async def set_state(self, state: str, before: str, name: str = "one") -> None:
        """Pause a campaign, let it go on, or stop it."""
        assert await self.ask(lambda database: set_state(database, name, state, only_from=(before,)))

    def work(self, number: int = 1, **options: Any) -> asyncio.Task[None]:
        """Begin a worker, which works until it is stopped unless its options say otherwise."""

        async def run() -> None:
            given: dict[str, Any] = {"until_done": False, "environ": {}} | options
            worker = Worker(URL, notice=lambda text: self.said.append((self.now, text)), **given)
            self._workers[number] = worker
            await worker.run()

        task = self._running[number] = self.loop.create_task(run(), context=self.client(number).context)
        return task

    def stop(self, number: int = 1) -> None:
        """Tell a worker to end."""
        self.client(number).context.copy().run(self._workers[number].stop)


def play(
    real: RealDatabase,
    script: Callable[[Scene], Awaitable[None]],
    *,
    replies: tuple[Reply, ...] = (),
    clocks: tuple[float, ...] = (),
    far: float = 0.0,
) -> None:
    """Have something happen in a cluster of its own.

    Args:
        real: What does the statements; it is emptied first.
        script: What happens.
        replies: What the relay says that is not the usual.
        clocks: By how many seconds each worker's clock is ahead of the database's.
        far: Seconds that a reply of the relay is on its way at least.
    """
    JITTER.seed(SEED)
    real.empty()
    loop = ClusterLoop()
    asyncio.set_event_loop(loop)
    case = ClusterCase(seed=SEED, records=0, relays=(Relay(),), replies=replies, clocks=clocks, far=far)
    try:
        with tempfile.TemporaryDirectory(prefix="batchsend-scene-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
            scene = Scene(script, case, loop, real, Path(folder).resolve())
            with around(scene, patient=False):
                try:
                    NOBODY.copy().run(loop.run_until_complete, scene.live())
                finally:
                    scene.end()
                    end_loop(loop)
                    scene.database.end()
        assert loop.complaints == []
    finally:
        asyncio.set_event_loop(None)
        loop.close()
