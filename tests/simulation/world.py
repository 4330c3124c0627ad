"""The world of one case: a loop with its own time and network, a disk, the threads, and a process that can be killed.

The program runs in this process, as a task. To kill it is to take what its files are at that instant for what the next
run finds, and to let nothing more come of it: its connections end, and what it still writes is nobody's any more. Then
its task is cancelled, so that nothing of it is left.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import random
import re
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import aiohappyeyeballs
import anyio.to_thread

import batchsend.run.batch
import batchsend.run.handing_over
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.outcome import Stage
from batchsend.results import syncpoint
from batchsend.results.ledger import Ledger
from tests.crash.disk import Disk
from tests.random_server.virtual_time import VirtualTimeLoop
from tests.simulation.network import End, SimulatedSocket, connected, first_of
from tests.simulation.relay import SimulatedRelay
from tests.simulation.replies import FOR_GOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from batchsend.delivery.offer import Offer
    from batchsend.delivery.session import Session
    from tests.simulation.case import Break, Case, DiskFault, Relay

Result = TypeVar("Result")

EPOCH: Final = 1_780_000_000.0
PORT: Final = 2500
CONTENT_END: Final = re.compile(rb"Record ([0-9]+) ends here\.")
_SILENT: Final = 3 * 3600.0
FOR_EVER: Final = 86400.0
_LONGEST: Final = 100 * 86400.0  # a relay that takes one message a day has a list of forty


class EndlessError(Exception):
    """A run goes on for ever: nothing has come of it for hours, and it does not end."""


def told(error: BaseException | None) -> str:
    """Where an error arose."""
    places = traceback.extract_tb(None if error is None else error.__traceback__)[-4:]
    return "".join(f", {Path(place.filename).name}:{place.lineno}" for place in places)


class Surroundings(Protocol):
    """What a loop asks of a world."""

    def look(self) -> None:
        """See whether anything comes of what goes on."""

    def addresses(self, port: int) -> list[Any]:
        """The addresses of a relay, by its port."""


class SimulationLoop(VirtualTimeLoop):
    """A loop whose connections are those of a world.

    Attributes:
        world: The world; None until there is one.
        complaints: What went wrong in callbacks, and what nobody has asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world: Surroundings | None = None
        self.complaints: list[str] = []

    async def create_connection(self, protocol_factory: Any, *_: Any, sock: Any = None, **__: Any) -> Any:
        """Stand a transport on a socket that is connected."""
        assert isinstance(sock, SimulatedSocket)
        protocol = protocol_factory()
        sock.end.attach(protocol)
        return sock.end, protocol

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """The addresses of a relay."""
        assert self.world is not None
        return self.world.addresses(port)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take down what went wrong in a callback, or was raised where nobody has looked."""
        error = context.get("exception")
        self.complaints.append(f"{context['message']}: {error!r}{told(error)}")

    def _run_once(self) -> None:
        if self.world is not None:
            self.world.look()
        super()._run_once()  # type: ignore[misc]  # typeshed does not have it


def addresses(relay: Relay, port: int) -> list[Any]:
    """The addresses of a relay."""
    return [(2, 1, 6, "", (f"127.0.0.{number}", port)) for number in range(1, relay.addresses + 1)]


async def knock(relay: Relay, place: tuple[Any, ...]) -> None:
    """See whether a relay is at an address at all.

    Raises:
        OSError: It is at another one.
    """
    if int(place[0].rpartition(".")[2]) < relay.addresses:
        if relay.silent:
            await asyncio.sleep(FOR_EVER)
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


async def be_let_in(broken: Break | None) -> None:
    """Wait until a connection is made, to which this happens.

    Raises:
        OSError: It is refused.
    """
    if broken is not None and broken.what == "refuse":
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    if broken is not None and broken.what == "unreachable":
        await asyncio.sleep(FOR_EVER)


class World:
    """Everything around the program.

    Args:
        case: What goes wrong.
        loop: Where it happens.
        folder: Where the files are.
        tell: Called with everything that happens, and when.

    Attributes:
        relays: The relays.
        home: The folder of the log of the run that goes on.
        ahead: Seconds that the clock was set forward by.
        refused_for_good: Records whose refusal for good a client has heard, and had no reason to doubt.
        written: Records whose content has been written to a connection to its end.
        is_killed: The process of the last run was killed.
        events: How many things have happened in the run that goes on.
        not_under_way: Records that were committed and then refused or put back, before the last kill.
    """

    def __init__(self, case: Case, loop: SimulationLoop, folder: Path, tell: Callable[[str], None]) -> None:
        self.case = case
        self.loop = loop
        self.folder = folder
        self.ahead = 0.0
        self._tell = tell
        self.events = 0
        self.not_under_way: set[int] = set()
        self.refused_for_good: set[int] = set()
        self.written: set[int] = set()
        self.is_killed = False
        self._random = random.Random(case.seed)
        self._breaks = {(one.relay, one.connection): one for one in case.breaks}
        self._connections = [0] * len(case.relays)
        self._clients: list[End] = []
        self._lives = self._boots = 0
        self._fault: DiskFault | None = None
        self._faults = 0
        self._on_event: dict[int, Callable[[], None]] = {}
        self._progress = self._began = math.inf
        self.relays = [
            SimulatedRelay(
                plan, [reply for reply in case.replies if reply.relay == place], random.Random(case.seed + place), self
            )
            for place, plan in enumerate(case.relays)
        ]
        self.home = folder / "0"
        self.home.mkdir()
        self._disk = Disk(self.home)
        loop.world = self

    @property
    def results(self) -> Path:
        """The log of the run that goes on."""
        return self.home / "results.jsonl"

    # --- time ---------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the epoch by the clock that people set."""
        return EPOCH + self.loop.time() + self.ahead

    def look(self) -> None:
        """See whether anything comes of the run.

        Raises:
            EndlessError: Nothing has for hours.
        """
        now = self.loop.time()
        if now - self._progress > _SILENT or now - self._began > _LONGEST:
            began = self._began
            self.rest()
            raise EndlessError(f"it has gone on for {now - began:.0f} s")

    def begin(self, disk_fault: DiskFault | None, on_event: dict[int, Callable[[], None]]) -> None:
        """A run begins."""
        self._progress = self._began = self.loop.time()
        self.events = 0
        self.is_killed = False
        self.not_under_way = set()
        self._on_event = on_event
        self._fault, self._faults = disk_fault, 0
        self._clients = []

    def boot_id(self) -> bytes:
        """What tells one start of the machine from another."""
        return f"boot {self._boots}".encode()

    def rest(self) -> None:
        """No run goes on: time may go by."""
        self._progress = self._began = math.inf

    def happens(self, what: str) -> None:
        """Something is about to happen, or has: this may be the moment that the case speaks of."""
        self.events += 1
        self._tell(f"{self.loop.time():.6f} {what}")
        if self._progress != math.inf:
            self._progress = self.loop.time()
        if (call := self._on_event.pop(self.events, None)) is not None:
            call()

    # --- the end of a process -----------------------------------------------------------------------------------------

    def kill(self, *, power: bool) -> None:
        """End the process at this instant; where the power goes, its files are what the disk has of them."""
        self._lives += 1
        self.is_killed = True
        for client in self._clients:
            client.die()
        self._clients = []
        self._on_event = {}
        self._fault = None
        if power:
            self._boots += 1
            self._disk.cut(self._random)
        self.home = self.folder / str(self._lives)
        self._disk = self._disk.copy(self.home)

    def is_of_the_living(self, path: str) -> bool:
        """Whether a file is one of the run that goes on."""
        return path.startswith(f"{self.home}/")

    # --- the network --------------------------------------------------------------------------------------------------

    def addresses(self, port: int) -> list[Any]:
        """The addresses of a relay, by its port."""
        return addresses(self.case.relays[port - PORT], port)

    async def dial(self, place: tuple[Any, ...]) -> SimulatedSocket:
        """Connect to an address.

        Raises:
            OSError: It does not take the connection.
        """
        number = place[1] - PORT
        await asyncio.sleep(self._random.choice((0.001, 0.01, 0.1)))
        await knock(self.case.relays[number], place)
        self._connections[number] += 1
        broken: Break | None = self._breaks.get((number, self._connections[number]))
        await be_let_in(broken)
        client, server = connected(self._random, self.case.relays[number].window, self.happens, broken)
        client.watched = self.sees
        self._clients.append(client)
        self.relays[number].connect(server)
        return client.set_socket(place)

    async def start_connection(self, addresses: Sequence[Any], **_: Any) -> SimulatedSocket:
        """Connect to the first of several addresses that answers.

        Raises:
            OSError: None takes the connection.
        """
        return await first_of([address[4] for address in addresses], self.dial)

    # --- what the program has of it -----------------------------------------------------------------------------------

    def refused(self, record: int, stage: Stage, verdict: str | None) -> None:
        """A client has heard a refusal about which nothing can be wrong."""
        if stage is Stage.CONTENT:
            self.not_under_way.add(record)
        if verdict in FOR_GOOD:
            self.refused_for_good.add(record)

    def sees(self, octets: bytes | bytearray | memoryview) -> None:
        """The program has written octets to a connection."""
        self.written.update(int(found) for found in CONTENT_END.findall(octets))

    async def in_thread(self, function: Callable[..., Result], *arguments: Any, **_: Any) -> Result:
        """Call a function as a thread would: it takes its time, and other things happen meanwhile."""
        slow = self.case.slow
        await asyncio.sleep(self._random.choice((0.0, 0.0001, slow / 10, slow)))
        result = function(*arguments)
        await asyncio.sleep(self._random.choice((0.0, 0.0001, slow / 10)))
        return result

    # --- the disk -----------------------------------------------------------------------------------------------------

    def _goes_wrong(self, *kinds: str) -> bool:
        fault = self._fault
        if fault is None or fault.what not in kinds:
            return False
        self._faults += 1
        return self._faults >= fault.nth

    def write(self, real: Callable[[int, Any], int], file: int, data: Any) -> int:
        """`os.write` to a file of the program."""
        self.happens("before a write")
        if not self.is_of_the_living(_path(file)):
            return real(file, data)
        if self._goes_wrong("full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._goes_wrong("error"):
            raise OSError(errno.EIO, "Input/output error")
        if self._goes_wrong("short"):
            if self._faults > (self._fault.nth if self._fault else 0):
                raise OSError(errno.ENOSPC, "No space left on device")
            data = bytes(data)[: len(data) // 2] or data
        half = len(data) // 2
        if len(data) > 1 and self._on_event.get(self.events + 1) is not None:
            written = real(file, bytes(data)[:half])
            self.happens("in the middle of a write")
            written += real(file, bytes(data)[half:])
        else:
            written = real(file, data)
            self.happens("after a write")
        return written

    def sync(self, file: int) -> None:
        """`os.fsync` and the like."""
        self.happens("before a sync")
        if not self.is_of_the_living(f"{_path(file)}/"):
            return
        if self._goes_wrong("sync"):
            raise OSError(errno.EIO, "Input/output error")
        self._disk.sync(file)
        self.happens("after a sync")


def _path(file: int) -> str:
    return os.readlink(f"/proc/self/fd/{file}")  # noqa: PTH115 - once for each write


@contextmanager
def around(world: World) -> Iterator[None]:
    """Have the program live in a world: its time, its disk, its connections and its threads are that one's."""
    kept: list[tuple[Any, str, Any]] = []

    def put(where: Any, name: str, value: Any) -> None:
        kept.append((where, name, getattr(where, name)))
        setattr(where, name, value)

    write, commit, put_back = os.write, Ledger.commit, Pool.put_back

    def committed(ledger: Ledger, record: int, attempt: int) -> None:
        if not world.is_killed:
            world.not_under_way.discard(record)
        commit(ledger, record, attempt)

    def back(pool: Pool, offer: Offer, session: Session) -> None:
        put_back(pool, offer, session)
        if not world.is_killed:
            world.not_under_way.add(offer.submission.record)

    async def dial(_: Connector, address: Any) -> SimulatedSocket:
        return await world.dial(address[4])

    async def thread(function: Callable[[], Result]) -> Result:
        return await world.in_thread(function)

    put(time, "time", world.time)
    put(time, "monotonic", world.loop.time)
    put(time, "perf_counter", world.loop.time)
    put(os, "write", lambda file, data: world.write(write, file, data))
    put(os, "fsync", world.sync)
    put(os, "fdatasync", world.sync)
    put(syncpoint, "sync", world.sync)
    put(syncpoint, "boot_id", world.boot_id)
    put(anyio.to_thread, "run_sync", world.in_thread)
    put(batchsend.run.batch, "in_abandoned_thread", thread)
    put(aiohappyeyeballs, "start_connection", world.start_connection)
    put(Connector, "_dial", dial)
    # Half of what a run that waits does is to look at its files each second.
    moves = any(life.moved is not None for life in world.case.lives)
    put(batchsend.run.handing_over, "_LOOK_EVERY", 1.0 if moves else 60.0)
    put(Ledger, "commit", committed)
    put(Pool, "put_back", back)
    try:
        yield
    finally:
        for where, name, value in reversed(kept):
            setattr(where, name, value)
