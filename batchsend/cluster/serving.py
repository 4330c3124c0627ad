"""One campaign on one worker: lots are taken, and their records composed and put into an ordinary pool.

A pool lives as long as there are lots to take, and a little longer.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio.lowlevel
import msgspec

from batchsend.campaign.values import Wait
from batchsend.cluster import lots
from batchsend.cluster.account import ClusterAccount, HeldLot
from batchsend.cluster.database import DatabaseGoneError
from batchsend.cluster.definition import composer, unpack
from batchsend.cluster.quotas import SharedQuotas
from batchsend.cluster.sharing import SharedLimits
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.errors import RecordError, RunError
from batchsend.outcome import DeliveryResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchsend.campaign import Campaign
    from batchsend.cluster.database import Connection, Database
    from batchsend.cluster.lots import Lease
    from batchsend.cluster.writer import Writer
    from batchsend.message import Composer
    from batchsend.message.submission import Submission

# Records composed in one go, and octets: the loop does nothing else meanwhile.
_RECORDS: Final = 64
_OCTETS: Final = 512 * 1024
# Between two looks for a lot, where there was none, and at the clock.
_POLL: Final = 0.25
# Sessions stay open for so long without a lot: another one may be due in a moment.
_LINGER: Final = 2.0


class CampaignRow(NamedTuple):
    """What the database says of a campaign.

    Attributes:
        id: Its number.
        name: Its name.
        run: Its run's identity.
        size: Records of each of its lots.
        relays: What all workers call its relays, in order.
    """

    id: int
    name: str
    run: str
    size: int
    relays: tuple[str, ...]


class Loaded:
    """A campaign that this worker can send: its files are in a folder of its own until `close`.

    Args:
        row: Which one.
        campaign: The campaign.
        composer: What makes its messages.
        folder: Where its files are.
    """

    def __init__(
        self, row: CampaignRow, campaign: Campaign, composer: Composer, folder: TemporaryDirectory[str]
    ) -> None:
        # Waiting for a quota is what workers do; somebody else may have lots that go elsewhere.
        delivery = msgspec.structs.replace(campaign.delivery, max_wait=Wait("inf"))
        self.row = row
        self.campaign = msgspec.structs.replace(campaign, delivery=delivery)
        self.composer = composer
        self._folder = folder

    def close(self) -> None:
        """Remove its files."""
        self._folder.cleanup()


async def load(database: Database, row: CampaignRow, *, keys: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Bring a campaign onto this worker.

    Args:
        database: Where from.
        row: Which one.
        keys: Where the private keys of DKIM lie, or None.
        environ: Where ``${NAME}`` of ``[server]`` is looked up.

    Raises:
        UsageError: This worker lacks something that it needs; the message says what.
        DatabaseGoneError: The database does not answer.
    """

    async def work(connection: Connection) -> tuple[str, dict[str, bytes]]:
        definition = await connection.fetchval("SELECT definition FROM batchsend.campaigns WHERE id = $1", row.id)
        files = await connection.fetch("SELECT path, content FROM batchsend.files WHERE campaign = $1", row.id)
        return definition, {file["path"]: file["content"] for file in files}

    definition, files = await database.call(work, seconds=60.0)
    folder = TemporaryDirectory(prefix="batchsend-")
    try:
        campaign = unpack(definition, files, Path(folder.name), keys=keys, environ=environ)
        return Loaded(row, campaign, composer(campaign, row.run), folder)
    except BaseException:
        folder.cleanup()
        raise


class Serving:
    """Sends a campaign's lots as long as there are any.

    Args:
        loaded: The campaign.
        database: Where its lots are.
        writer: What stores the account.
        worker: This worker's number.
        lease: Seconds that a lease holds.
        notice: Called with what the user should know.

    Attributes:
        account: The account.
        pool: The pool.
        began: When it began, on the monotonic clock.
        stopped: It is to end.
    """

    def __init__(
        self,
        loaded: Loaded,
        database: Database,
        writer: Writer,
        *,
        worker: int,
        lease: float,
        notice: Callable[[str], None],
    ) -> None:
        campaign, delivery = loaded.campaign, loaded.campaign.delivery
        self.began = time.monotonic()
        self.stopped = False
        self._loaded = loaded
        self._database = database
        self._writer = writer
        self._worker = worker
        self._lease = lease
        self._notice = notice
        self.account = ClusterAccount(
            loaded.row.id,
            loaded.row.size,
            writer,
            max_attempts=delivery.max_attempts,
            pause=delivery.retry_after,
            notice=notice,
        )
        connectors = [
            Connector(server, delivery.timeouts, require_tls=delivery.require_tls) for server in campaign.servers
        ]
        row = loaded.row
        quotas = SharedQuotas(row.id, campaign, row.relays, worker)
        self.pool = self.account.pool = Pool(connectors, delivery, self.account, notice=notice, meters=quotas.meters)
        self._schedule = delivery.schedule
        self._sharing = SharedLimits(row.id, row.relays, worker, self.pool, campaign=campaign, quotas=quotas)
        self._may_send = asyncio.Event()  # it has a share, and may hold lots

    @property
    def leases(self) -> list[Lease]:
        """The leases that are to be renewed."""
        return [lot.lease for lot in self.account.lots.values() if not lot.lost]

    def lose(self, lease: Lease) -> None:
        """A lease was not renewed: its lot is somebody else's."""
        lot = self.account.lots.get(lease.lot)
        if lot is not None and lot.lease == lease:
            lot.lose()

    async def share(self) -> None:
        """Renew what this worker may use of the campaign's rate and connections; without a share, it ends.

        Raises:
            DatabaseGoneError: The database does not answer.
        """
        may_send = await self._database.call(self._sharing.update)
        if may_send:
            self._may_send.set()
        elif may_send is None:
            self.stop()

    def stop(self) -> None:
        """Begin nothing more; what is under way is awaited, and `run` then returns."""
        self.stopped = True
        self.pool.stop()

    async def run(self) -> None:
        """Send until no lot is left to take, or until `stop`; then give back what is held.

        Raises:
            RunError: Its relays refuse us, or cannot be reached from here.
        """
        failure: RunError | None = None
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(self._keep_hours()), tasks.create_task(self._feed())]
            try:
                await self.pool.run()
            except RunError as error:
                failure = error
            for task in working:
                task.cancel()
        await self._writer.flush()
        await self._give_back()
        await self._leave_share()
        if failure is not None:
            raise failure

    async def _give_back(self) -> None:
        leases = self.leases
        if not leases:
            return
        try:
            await self._database.call(lambda connection: lots.give_back(connection, leases))
        except DatabaseGoneError:
            self._notice(f"leases could not be given back: they end by themselves after {self._lease:g} s")

    async def _leave_share(self) -> None:
        try:
            await self._database.call(self._sharing.give_up)
        except DatabaseGoneError:
            return  # it ends by itself in seconds

    async def _keep_hours(self) -> None:
        """Pause the pool while the campaign's window is not open, on the database's clock, whatever waits in it."""
        schedule = self._schedule
        while schedule is not None:
            if schedule.is_open(time.time() + self.account.clock):
                self.pool.resume()
            else:
                self.pool.pause()
            await asyncio.sleep(_POLL)

    # --- feeding ------------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        empty_since: float | None = None
        await self._may_send.wait()
        while await self.pool.room():
            if self.pool.paused:
                await asyncio.sleep(_POLL)
                continue
            lot = await self._take()
            if lot is not None:
                empty_since = None
                await self._offer(lot)
                continue
            now = time.monotonic()
            if self.account.lots:
                empty_since = None
            elif empty_since is None:
                empty_since = now
            elif now - empty_since > _LINGER:
                self.pool.close()
                return
            await asyncio.sleep(_POLL)

    async def _take(self) -> HeldLot | None:
        row = self._loaded.row
        mine = list(self.account.lots)
        try:
            taken = await self._database.call(
                lambda connection: lots.take(connection, row.id, self._worker, self._lease, row.size, not_these=mine)
            )
        except DatabaseGoneError:
            return None
        return None if taken is None else self.account.take_over(taken)

    async def _offer(self, lot: HeldLot) -> None:
        """Compose the records of a lot that are due, and put them into the pool as it takes them."""
        batch: list[Submission] = []
        octets = 0
        for record, attempt in lot.due():
            try:
                submission = self._loaded.composer.compose(record)
            except RecordError as error:
                self.account.withheld(lot, self._invalid(record.number, record.line, error.message))
                continue
            submission.attempt = attempt
            batch.append(submission)
            octets += len(submission.content)
            if len(batch) >= _RECORDS or octets > _OCTETS:
                if lot.lost or not await self.pool.room():
                    return
                self.account.give(lot, batch, self.pool)
                batch, octets = [], 0
                await anyio.lowlevel.checkpoint()
        if lot.lost or not await self.pool.room():
            return
        self.account.give(lot, batch, self.pool)
        self.account.all_offered(lot)

    @staticmethod
    def _invalid(record: int, line: int, reason: str) -> DeliveryResult:
        return DeliveryResult(
            record=record, recipient=None, status=Outcome.INVALID, reason=reason, time=time.time(), line=line
        )

    def __repr__(self) -> str:
        return f"<Serving {self._loaded.row.name}, {self.account!r}>"
