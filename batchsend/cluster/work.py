"""A worker: takes lots of every campaign that is active, several campaigns at once, until it is told to stop.

Any number of workers may run, on any machines, and begin and end at any time.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.cluster import lots, schema
from batchsend.cluster.database import Database, DatabaseGoneError
from batchsend.cluster.serving import CampaignRow, Loaded, Serving, load
from batchsend.cluster.writer import Writer
from batchsend.errors import RefusalError, RunError, UsageError
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from batchsend.cluster.database import Connection

CAMPAIGNS: Final = 8
"""Campaigns that a worker sends at once, unless it is told otherwise."""

_BEAT: Final = 1.0
_RENEWALS: Final = 4  # in the time of a lease
_TURN: Final = 10.0  # of a campaign, where another one waits that nobody sends
_BACK_OFF: Final = 60.0  # after a campaign could not be sent from here
_GIVE_UP: Final = 30.0  # at the beginning and at the end, for a database that is away

_REGISTER: Final = """
INSERT INTO batchsend.workers (name, version, lease) VALUES ($1, $2, $3 * interval '1 second') RETURNING id
"""
_SEEN: Final = """
UPDATE batchsend.workers SET seen = now(), accepted = $2, pace = $3, lacks = $4 WHERE id = $1
"""
_OPEN: Final = """
SELECT c.id, c.name, c.run, c.lot_size, c.relays, c.state, EXISTS (
        SELECT FROM batchsend.lots AS l WHERE l.campaign = c.id AND NOT l.done AND l.due <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
    ) AS has_work, (
        SELECT count(DISTINCT l.worker) FROM batchsend.lots AS l
        WHERE l.campaign = c.id AND NOT l.done AND l.lease_until >= now()
    ) AS workers
FROM batchsend.campaigns AS c WHERE c.state IN ('publishing', 'active') ORDER BY c.id
"""
_DONE: Final = """
UPDATE batchsend.campaigns AS c SET state = 'done', ended = now() WHERE c.state = 'active'
    AND NOT EXISTS (SELECT FROM batchsend.lots AS l WHERE l.campaign = c.id AND NOT l.done)
"""
_STOP: Final = "UPDATE batchsend.campaigns SET state = 'stopped', why = $2 WHERE id = $1 AND state = 'active'"


class Worker:
    """Sends what is in the database.

    Args:
        url: The database.
        lease: Seconds that a lease holds which is not renewed.
        campaigns: How many campaigns are sent at once.
        keys: Where the private keys of DKIM lie, or None.
        until_done: End when no campaign is active any more.
        environ: Where ``${NAME}`` of ``[server]`` is looked up.
        notice: Called with what the user should know.

    Raises:
        ClusterError: The extra ``cluster`` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        lease: float = lots.LEASE_SECONDS,
        campaigns: int = CAMPAIGNS,
        keys: Path | None = None,
        until_done: bool,
        environ: Mapping[str, str] = os.environ,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._database = Database(url, f"batchsend worker {self.name}")
        self._lease = lease
        self._campaigns = campaigns
        self._keys = keys
        self._until_done = until_done
        self._environ = environ
        self._notice = notice
        self._number = 0
        self._writer: Writer | None = None
        self._loaded: dict[int, Loaded] = {}
        self._serving: dict[int, Serving] = {}
        self._lacks: dict[int, str] = {}
        self._not_before: dict[int, float] = {}
        self._turns: dict[int, float] = {}  # when a campaign's last turn ended
        self._stopping = asyncio.Event()
        self._accepted = 0
        self._renewed = float("-inf")
        self._clock = 0.0

    def stop(self, reason: str = "") -> None:
        """Begin nothing more; what is under way is awaited, leases are given back, and `run` returns."""
        del reason
        self._stopping.set()
        for serving in self._serving.values():
            serving.stop()

    async def run(self) -> None:
        """Work until `stop`, or until all is done if that was asked for.

        Raises:
            ClusterError: The database is not as it must be.
            RunError: It cannot be reached for half a minute at the beginning; or at the end, so that what was answered
                is not stored.
        """
        if not await self._register():
            await self._database.close()
            return
        self._writer = Writer(self._database, self._number, self._notice)
        try:
            async with asyncio.TaskGroup() as tasks:
                # Whoever waits for the writer would wait for ever if it ended alone.
                writing = tasks.create_task(self._writer.run())
                while not self._stopping.is_set():
                    try:
                        if await self._beat(tasks):
                            break
                    except DatabaseGoneError:
                        pass  # the writer says so where somebody waits for it, and this is asked again
                    await self._pause()
                self.stop()  # those that were begun since it was told to, too
                await self._await_servings()
                writing.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            await self._leave()

    async def _register(self) -> bool:
        """Enter this worker, as soon as the database answers; false where it is told to stop before.

        Raises:
            ClusterError: The database is not as it must be.
            RunError: It cannot be reached for half a minute.
        """
        row = (self.name, __version__, self._lease)
        began, said = time.monotonic(), False
        while not self._stopping.is_set():
            try:
                await schema.require(self._database)
                self._number = await self._database.call(lambda connection: connection.fetchval(_REGISTER, *row))
            except DatabaseGoneError as error:
                if time.monotonic() - began > _GIVE_UP:
                    raise
                if not said:
                    self._notice(f"{error.message}; asked again for {_GIVE_UP:.0f} s")
                    said = True
            else:
                return True
            await self._pause()
        return False

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(min(_BEAT, self._lease / _RENEWALS)):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _await_servings(self) -> None:
        """Keep the leases until what is under way is answered and stored; not for ever where the database is away.

        Raises:
            RunError: The database is away.
        """
        while self._serving:
            with suppress(DatabaseGoneError):  # what waits for it asks again, and is awaited below
                await self._renew()
            # Whether there are leases or not: a lot that is done with is none, and its last outcomes may not be stored.
            gone = self._database.gone_since
            if gone is not None and asyncio.get_running_loop().time() - gone > _GIVE_UP:
                raise RunError(
                    f"the database has not answered for {_GIVE_UP:.0f} s: what was answered last is not stored",
                    remedy="it will be in doubt; it is named when another worker takes it over",
                )
            await asyncio.sleep(min(0.1, self._lease / _RENEWALS))

    async def _leave(self) -> None:
        for loaded in self._loaded.values():  # first: a second signal breaks off whatever is waited for
            loaded.close()
        try:
            await self._database.call(
                lambda connection: connection.execute("DELETE FROM batchsend.workers WHERE id = $1", self._number)
            )
        except (RunError, UsageError):
            self._notice("the database is away: this worker is listed there until it is heard of no more")
        await self._database.close()

    # --- once a second ------------------------------------------------------------------------------------------------

    async def _beat(self, tasks: asyncio.TaskGroup) -> bool:
        """Be heard of, keep the leases, begin and end campaigns; true where all is done and that is the end."""
        await self._renew()
        rows = await self._database.call(self._look)
        active = {row["id"] for row in rows if row["state"] == "active"}
        for number, serving in self._serving.items():
            serving.account.clock = self._clock
            if number not in active:
                serving.stop()
        # Those with the fewest workers first, so that many campaigns share the workers fairly; then who waits longest.
        for row in sorted(rows, key=lambda row: (row["workers"], self._turns.get(row["id"], 0.0))):
            if row["state"] != "active" or not row["has_work"] or row["id"] in self._serving:
                continue
            if self._not_before.get(row["id"], 0.0) > time.monotonic():
                continue
            if len(self._serving) < self._campaigns:
                await self._begin(
                    tasks, CampaignRow(row["id"], row["name"], row["run"], row["lot_size"], tuple(row["relays"]))
                )
            elif not row["workers"]:
                self._make_room()
        for serving in list(self._serving.values()):
            await serving.share()
        return self._until_done and not rows and not self._serving

    async def _look(self, connection: Connection) -> list[dict[str, Any]]:
        now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        self._clock = now.timestamp() - time.time()
        pace = sum(serving.pool.statistics().goodput for serving in self._serving.values())
        accepted = self._accepted + sum(serving.account.accepted for serving in self._serving.values())
        lacks = orjson.dumps({str(number): why for number, why in self._lacks.items()}).decode()
        await connection.execute(_SEEN, self._number, accepted, pace, lacks)
        await connection.execute(_DONE)
        return [dict(row) for row in await connection.fetch(_OPEN)]

    async def _renew(self) -> None:
        now = time.monotonic()
        leases = [lease for serving in self._serving.values() for lease in serving.leases]
        if not leases or now - self._renewed < self._lease / _RENEWALS:
            return
        kept = await self._database.call(lambda connection: lots.renew(connection, leases, self._number, self._lease))
        self._renewed = now
        for lease in leases:
            if (lease.campaign, lease.lot) not in kept and lease.campaign in self._serving:
                self._serving[lease.campaign].lose(lease)

    def _make_room(self) -> None:
        """A campaign waits that nobody sends: the one that was sent from here for longest has had its turn."""
        eldest = min(self._serving.values(), key=lambda serving: serving.began)
        ending = any(serving.stopped for serving in self._serving.values())
        if not ending and time.monotonic() - eldest.began > _TURN:
            eldest.stop()

    async def _begin(self, tasks: asyncio.TaskGroup, row: CampaignRow) -> None:
        """Send a campaign from here, unless that is done already, or cannot be."""
        if self._writer is None:
            return
        try:
            if row.id not in self._loaded:
                self._loaded[row.id] = await load(self._database, row, keys=self._keys, environ=self._environ)
            serving = Serving(
                self._loaded[row.id],
                self._database,
                self._writer,
                worker=self._number,
                lease=self._lease,
                notice=lambda text: self._notice(f"{row.name}: {text}"),
            )
        except UsageError as error:
            self._cannot(row, error)
            return
        self._lacks.pop(row.id, None)
        serving.account.clock = self._clock
        self._serving[row.id] = serving
        tasks.create_task(self._see_through(row, serving))

    async def _see_through(self, row: CampaignRow, serving: Serving) -> None:
        try:
            await serving.run()
        except RefusalError as error:
            # Servers said so, and would say it to every worker.
            self._notice(f"{row.name} is stopped: {_in_a_line(error)}")
            await self._patiently_stop(row, error)
        except RunError as error:
            self._cannot(row, error)
        finally:
            self._accepted += serving.account.accepted
            self._turns[row.id] = time.monotonic()
            del self._serving[row.id]

    async def _patiently_stop(self, row: CampaignRow, error: RunError) -> None:
        while True:
            try:
                await self._database.call(lambda connection: connection.execute(_STOP, row.id, _in_a_line(error)))
            except DatabaseGoneError:
                await asyncio.sleep(_BEAT)
            else:
                return

    def _cannot(self, row: CampaignRow, error: UsageError | RunError) -> None:
        """A campaign cannot be sent from here: say so, leave its lots to others, and try again later."""
        if self._lacks.get(row.id) != error.message:
            self._notice(f"{row.name} cannot be sent from here: {_in_a_line(error)}")
        self._lacks[row.id] = error.message
        self._not_before[row.id] = time.monotonic() + _BACK_OFF
        loaded = self._loaded.pop(row.id, None)
        if loaded is not None:
            loaded.close()


def _in_a_line(error: UsageError | RunError) -> str:
    """An error with its remedy, as a notice and the database have it."""
    return error.message if error.remedy is None else f"{error.message}; {error.remedy}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a group of them is about: whatever else is in it came of that."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
