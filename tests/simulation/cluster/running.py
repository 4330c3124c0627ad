"""One case of the simulated cluster from its beginning to its verdict."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohappyeyeballs
import anyio
import anyio.to_thread
import asyncpg

import batchsend.cluster.serving
from batchsend.campaign import Overrides
from batchsend.cluster.collect import name_left_behind
from batchsend.cluster.database import Database, DatabaseGoneError
from batchsend.cluster.publish import publish
from batchsend.cluster.work import Worker
from batchsend.delivery.connector import Connector
from batchsend.errors import RunError
from batchsend.jitter import JITTER
from batchsend.outcome import Stage
from tests.simulation.cluster.case import LEASE
from tests.simulation.cluster.oracle import judge
from tests.simulation.cluster.workers import EPOCH, NOBODY, Client, ClusterLoop, SimulatedServer, who
from tests.simulation.network import connected, first_of
from tests.simulation.people import SECOND_SIGNAL, campaign_text, write_list
from tests.simulation.relay import SimulatedRelay, record_of
from tests.simulation.running import end_loop
from tests.simulation.world import CONTENT_END, PORT, EndlessError, addresses, be_let_in, knock, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.case import Relay, Reply
    from tests.simulation.cluster.case import ClusterCase, Event
    from tests.simulation.cluster.database import RealDatabase
    from tests.simulation.network import SimulatedSocket
    from tests.simulation.relay import Watch
    from tests.tools.faulty import Action

MEMORY: Final = Path("/dev/shm")
URL: Final = "postgresql://simulated@simulated/simulated"
_NAME: Final = "simulated"
_LONGEST: Final = 6 * 3600.0


class _ClusterRelay(SimulatedRelay):
    """A relay whose clients may wait in mid-transaction: for the database, or because they are stopped.

    Attributes:
        offered: When each message came, and which record it was for.
    """

    def __init__(self, plan: Relay, replies: list[Reply], random: random.Random, watch: Watch) -> None:
        super().__init__(plan, replies, random, watch)
        self.offered: list[tuple[float, int]] = []

    def _decide_of_case(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient is not None:
            self.offered.append((asyncio.get_running_loop().time(), record_of(recipient)))
        return super()._decide_of_case(connection, transaction, stage, recipient)

    def _wait_for_content(self, connection: int) -> None:
        del connection


class Cluster:
    """Everything around the workers of a case.

    Args:
        case: What goes wrong.
        loop: Where it happens.
        real: What does the statements.
        folder: Where files are.
        tell: Called with everything that is said, and when.

    Attributes:
        relays: The relays.
        written: Records whose content has been written to a connection to its end.
        wrong: What must not be.
    """

    def __init__(
        self, case: ClusterCase, loop: ClusterLoop, real: RealDatabase, folder: Path, tell: Callable[[str], None]
    ) -> None:
        self.case = case
        self.loop = loop
        self.wrong: list[str] = []
        self.written: set[int] = set()
        self.database = SimulatedServer(real, loop)
        self.relays = [
            _ClusterRelay(
                plan, [reply for reply in case.replies if reply.relay == place], random.Random(case.seed + place), self
            )
            for place, plan in enumerate(case.relays)
        ]
        self._tell = tell
        self._folder = folder
        self._random = random.Random(case.seed)
        self._breaks = {(one.relay, one.connection): one for one in case.breaks}
        self._connections = [0] * len(case.relays)
        self._clients: dict[int, Client] = {}
        self._workers: dict[int, Worker] = {}
        self._scopes: dict[int, anyio.CancelScope] = {}
        loop.world = self

    # --- what the loop, the relays and the program ask of it ---------------------------------------------------------

    def look(self) -> None:
        """See whether it goes on for ever."""
        if self.loop.time() > _LONGEST:
            self.loop.world = None
            raise EndlessError(f"it has gone on for {self.loop.time():.0f} s")

    def refused(self, record: int, stage: Stage, verdict: str | None) -> None:
        """As `Watch.refused`."""
        self._tell(f"{self.loop.time():.3f} record {record} is refused at {stage}: {verdict}")

    def addresses(self, port: int) -> list[Any]:
        """The addresses of a relay, by its port."""
        return addresses(self.case.relays[port - PORT], port)

    async def dial(self, place: tuple[Any, ...]) -> SimulatedSocket:
        """Connect to a relay.

        Raises:
            OSError: It does not take the connection.
        """
        number, client = place[1] - PORT, who()
        await asyncio.sleep(self._random.choice((0.001, 0.01, 0.1)))
        await knock(self.case.relays[number], place)
        self._connections[number] += 1
        broken = self._breaks.get((number, self._connections[number]))
        await be_let_in(broken)
        ours, theirs = connected(self._random, self.case.relays[number].window, lambda _: None, broken)
        ours.watched = self._sees
        ours.context, theirs.context = client.context, NOBODY
        theirs.far = self.case.far
        client.ends.append(ours)
        NOBODY.copy().run(self.relays[number].connect, theirs)
        return ours.set_socket(place)

    def _sees(self, octets: bytes | bytearray | memoryview) -> None:
        self.written.update(int(found) for found in CONTENT_END.findall(octets))

    # --- the course of things -----------------------------------------------------------------------------------------

    def client(self, number: int) -> Client:
        """A process, by its number."""
        if number not in self._clients:
            self._clients[number] = Client(number, self.case, self.database)
        return self._clients[number]

    async def live(self) -> None:
        """Publish, work, and let things happen."""
        await self._as(0, self._publish())
        began = self.loop.time()
        last = max([event.after + (event.seconds if event.what != "jump" else 0.0) for event in self.case.events] + [0])
        for event in self.case.events:
            self.loop.call_later(event.after, self._happens, event)
        starts = [*self.case.workers, max(last, *self.case.workers) + 1.0]
        running = []
        for number, after in enumerate(starts, 1):
            running.append(self._as(number, self._work(number, began + after)))
        await running[-1]
        for client in self._clients.values():
            client.go_on()
        alive = [task for number, task in enumerate(running, 1) if not self.client(number).is_dead]
        await asyncio.wait(alive)

    def end(self) -> None:
        """The case is over."""
        for client in self._clients.values():
            client.end()

    def _as(self, number: int, work: Any) -> asyncio.Task[None]:
        """Do something as this process."""
        return self.loop.create_task(work, context=self.client(number).context)

    async def _publish(self) -> None:
        write_list(self._folder / "recipients.csv", self.case.records)
        campaign = self._folder / "campaign.toml"
        campaign.write_text(campaign_text(self.case.relays, self.case.delivery, "recipients.csv"))
        while True:
            database = Database(URL)
            try:
                await publish(database, campaign, overrides=Overrides(), name=_NAME, size=self.case.lot)
            except DatabaseGoneError as error:
                self._tell(f"{self.loop.time():.3f} publishing: {error}")
                await asyncio.sleep(1.0)  # and whoever it was begins it again
            else:
                return
            finally:
                await database.close()

    async def _work(self, number: int, begins: float) -> None:
        await asyncio.sleep(begins - self.loop.time())
        tell = self._tell
        worker = Worker(
            URL,
            lease=LEASE,
            until_done=True,
            environ={},
            notice=lambda text: tell(f"{self.loop.time():.3f} worker {number}: {text}"),
        )
        self._workers[number] = worker
        try:
            with anyio.CancelScope() as self._scopes[number]:
                await worker.run()
        except RunError as error:
            tell(f"{self.loop.time():.3f} worker {number} ends: {error}")
            if number > len(self.case.workers):
                self.wrong.append(f"the last worker has ended: {error}")
        except Exception as error:  # whatever it is, it is what the case has found
            self.wrong.append(f"worker {number}: {error!r}{told(error)}")
        del self._workers[number], self._scopes[number]
        self.client(number).leave()
        tell(f"{self.loop.time():.3f} worker {number} has ended")

    def _happens(self, event: Event) -> None:
        self._tell(f"{self.loop.time():.3f} {event}")
        if event.what == "restart":
            self.database.restart(event.seconds)
        elif event.what == "jump":
            self.database.ahead += event.seconds
        else:
            self._befalls(event, self.client(event.worker))

    def _befalls(self, event: Event, client: Client) -> None:
        if event.what == "kill":
            client.kill()
        elif event.what == "freeze":
            client.stop()
            self.loop.call_later(event.seconds, client.go_on)
        elif event.what == "cut":
            client.cut_until = self.loop.time() + event.seconds
        elif event.worker in self._workers:
            client.context.copy().run(self._workers[event.worker].stop)
            if event.what == "hurry":
                self.loop.call_later(SECOND_SIGNAL, self._end_at_once, event.worker, context=client.context)

    def _end_at_once(self, number: int) -> None:
        """The second signal, as the command line heeds it."""
        if number in self._scopes:
            self._scopes[number].cancel()


def run_case(case: ClusterCase, real: RealDatabase, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """What must not be in a case and is, one line each; nothing where all is well.

    Args:
        case: The case.
        real: What does the statements; it is emptied first.
        tell: Called with everything that is said, and when.
    """
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="batchsend-simulation-", dir=where) as folder:
        return _run_in(case, real, Path(folder).resolve(), tell)


def _run_in(case: ClusterCase, real: RealDatabase, folder: Path, tell: Callable[[str], None]) -> list[str]:
    JITTER.seed(case.seed)  # the jitter of the pauses
    real.empty()
    loop = ClusterLoop()
    asyncio.set_event_loop(loop)
    cluster = Cluster(case, loop, real, folder, tell)
    try:
        with around(cluster):
            try:
                NOBODY.copy().run(loop.run_until_complete, cluster.live())
            except EndlessError as error:
                return [str(error)]
            finally:
                cluster.end()
                end_loop(loop)
                cluster.database.end()
        connection = real.connection()
        try:
            real.do(connection.fetchval("SELECT set_config('simulated.now', $1, false)", repr(EPOCH + 10 * _LONGEST)))
            real.do(name_left_behind(connection, 1, case.lot))
            verdict = judge(case, cluster, *(real.do(connection.fetch(query)) for query in QUERIES))
        finally:
            real.put_back(connection)
        return [*loop.complaints, *cluster.wrong, *verdict]
    finally:
        asyncio.set_event_loop(None)
        loop.close()


QUERIES: Final = (
    "SELECT state, why FROM batchsend.campaigns",
    "SELECT record, attempt, status, worker, line FROM simulated.history ORDER BY number",
    "SELECT lot, done, epoch FROM batchsend.lots ORDER BY lot",
)
"""What is asked of the database at the end."""


@contextmanager
def around(cluster: Cluster, *, patient: bool = True) -> Iterator[None]:
    """Have workers live in a cluster: their time, their connections and their threads are that one's.

    Args:
        cluster: Where they live.
        patient: They look for a lot every other second only, which is most of what workers do that wait.
    """
    kept: list[tuple[Any, str, Any]] = []

    def put(where: Any, name: str, value: Any) -> None:
        kept.append((where, name, getattr(where, name)))
        setattr(where, name, value)

    async def dial(_: Connector, address: Any) -> SimulatedSocket:
        return await cluster.dial(address[4])

    async def start_connection(addresses: Any, **_: Any) -> SimulatedSocket:
        return await first_of([address[4] for address in addresses], cluster.dial)

    async def connect(*_: Any, **__: Any) -> Any:
        return await who().connect()

    async def in_thread(function: Any, *arguments: Any, **_: Any) -> Any:
        return function(*arguments)

    put(time, "time", lambda: EPOCH + cluster.loop.time() + who().ahead)
    put(time, "monotonic", cluster.loop.time)
    put(time, "perf_counter", cluster.loop.time)
    put(anyio.to_thread, "run_sync", in_thread)
    put(aiohappyeyeballs, "start_connection", start_connection)
    put(Connector, "_dial", dial)
    put(asyncpg, "connect", connect)
    if patient:
        put(batchsend.cluster.serving, "_POLL", 2.0)
    try:
        yield
    finally:
        for where, name, value in reversed(kept):
            setattr(where, name, value)
