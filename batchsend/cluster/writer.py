"""Bringing the account of a worker to the database, many records at a time: what every session waits for.

As `results.groupsync` does it with a disk: whoever comes while one statement is under way is part of the next one. A
statement stores, in one transaction, what is about to be committed and what became of what was; each lot in it is
locked and its epoch looked at first. It may be repeated, for where the connection is lost nobody knows whether it was
done.

While the database is away nothing is released, so nothing new is committed. When it is back, the same statement says
which lots are somebody else's by now.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from batchsend.cluster import lots
from batchsend.cluster.database import DatabaseGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from batchsend.cluster.database import Connection, Database
    from batchsend.cluster.lots import Lease

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
# Outcomes alone do not hurry: mostly the next message's commit takes them along.
_LINGER: Final = 0.02

UNDER_WAY: Final = "under_way"
"""The status of a record whose message was committed and has no answer."""
WAITING: Final = "waiting"
"""The status of a record that was withdrawn, and is offered again with the same attempt."""

# A statement that is done late, when its sender has given it up and later ones are done, finds that its turn is over:
# it would put what a record was at that time in the place of what it is by now. A record that has its outcome is never
# committed again, whoever asks; `under_way` of the same worker and attempt is this same statement, repeated.
_STORE: Final = """
WITH turn AS (
    UPDATE batchsend.workers SET stored = $18 WHERE id = $4 AND stored < $18 RETURNING id
), held AS (
    SELECT l.campaign, l.lot, l.epoch FROM batchsend.lots AS l
    JOIN unnest($1::bigint[], $2::int[], $3::int[]) AS h(campaign, lot, epoch)
        ON l.campaign = h.campaign AND l.lot = h.lot AND l.epoch = h.epoch
    WHERE EXISTS (SELECT FROM turn)
    FOR SHARE OF l
), committed AS (
    INSERT INTO batchsend.account AS a (campaign, record, attempt, status, worker)
    SELECT campaign, c.record, c.attempt, 'under_way', $4
    FROM unnest($5::bigint[], $6::int[], $7::int[], $8::bigint[], $9::int[]) AS c(campaign, lot, epoch, record, attempt)
    JOIN held USING (campaign, lot, epoch)
    ON CONFLICT (campaign, record) DO UPDATE
        SET attempt = excluded.attempt, status = excluded.status, worker = excluded.worker, due = NULL, line = NULL
        WHERE a.status IN ('waiting', 'deferred')
            OR (a.status = 'under_way' AND a.worker = excluded.worker AND a.attempt = excluded.attempt)
    RETURNING a.campaign, a.record
), settled AS (
    INSERT INTO batchsend.account AS a (campaign, record, attempt, status, due, worker, line)
    SELECT campaign, s.record, s.attempt, s.status, clock_timestamp() + s.pause * interval '1 second', $4,
        s.line::json
    FROM unnest($10::bigint[], $11::int[], $12::int[], $13::bigint[], $14::int[], $15::text[], $16::float8[],
        $17::text[]) AS s(campaign, lot, epoch, record, attempt, status, pause, line)
    JOIN held USING (campaign, lot, epoch)
    ON CONFLICT (campaign, record) DO UPDATE
        SET attempt = excluded.attempt, status = excluded.status, due = excluded.due, line = excluded.line,
            -- Whose it was stays: what a lost worker has sent is counted by that.
            worker = CASE WHEN a.status = 'under_way' THEN a.worker ELSE excluded.worker END
        WHERE a.attempt <= excluded.attempt
)
SELECT campaign, lot, epoch, NULL::bigint AS record FROM held
UNION ALL SELECT campaign, NULL, NULL, record FROM committed
"""

# What cannot be believed any more is in doubt, whoever has the lot by now: it is not sent again. Only where a later
# attempt was accepted, or is under way, that one counts.
_DOUBT: Final = """
UPDATE batchsend.account AS a SET status = 'in_doubt', due = NULL, line = d.line::json
FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[]) AS d(campaign, record, attempt, line)
WHERE a.campaign = d.campaign AND a.record = d.record
    AND (a.attempt = d.attempt OR (a.attempt > d.attempt AND a.status IN ('waiting', 'deferred', 'rejected')))
"""


class Holder(Protocol):
    """What a lot that is held tells, and is told.

    Attributes:
        lease: Its lease.
    """

    lease: Lease

    def lose(self) -> None:
        """The lot is somebody else's: nothing of it may be committed any more."""

    def refuse(self, record: int) -> None:
        """A record has its outcome already: it must not be committed."""


class Stored(NamedTuple):
    """What is to be stored of one record.

    Attributes:
        lot: The lot that it is in.
        record: Its number.
        attempt: The number of the attempt.
        status: What it is now: `UNDER_WAY`, `WAITING` or its outcome.
        line: Its line of the results log; None where it has none.
        pause: Seconds until it is offered again; None where it is not.
        doubts: It takes back what was said, whoever has the lot.
    """

    lot: Holder
    record: int
    attempt: int
    status: str
    line: bytes | None = None
    pause: float | None = None
    doubts: bool = False


class Writer:
    """Stores what a worker's accounts say, group by group, for all its campaigns.

    Args:
        database: Where to.
        worker: The worker's number.
        notice: Told when the database is gone, and when it is back.
    """

    def __init__(self, database: Database, worker: int, notice: Callable[[str], None]) -> None:
        self._database = database
        self._worker = worker
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._entries: dict[tuple[int, int], Stored] = {}
        self._releases: dict[Callable[[bool], None], list[tuple[int, int]]] = {}
        self._finished: list[Lease] = []
        self._wanted = asyncio.Event()
        self._stored = asyncio.Event()  # everything that was told is stored; `flush` asks
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0
        self.gone_since: float | None = None

    # --- what accounts say: in the turn of the loop in which it happens ---------------------------------------------

    def commit(self, entry: Stored, release: Callable[[bool], None]) -> None:
        """A message is about to be committed; ``release`` is called when that is stored, or must not be."""
        key = entry.lot.lease.campaign, entry.record
        self._entries[key] = entry
        self._releases.setdefault(release, []).append(key)
        self._stored.clear()
        self._wanted.set()

    def store(self, entry: Stored) -> None:
        """Something has become of a record."""
        self._entries[entry.lot.lease.campaign, entry.record] = entry
        self._soon()

    def finish(self, lease: Lease) -> None:
        """A lot has nothing left that could be offered now; to be said after the last of its records."""
        self._finished.append(lease)
        self._soon()

    def _soon(self) -> None:
        self._stored.clear()
        if self._timer is None and not self._wanted.is_set():
            self._timer = self._loop.call_later(_LINGER, self._wanted.set)

    async def flush(self) -> None:
        """Wait until everything that was told is stored."""
        self._wanted.set()
        await self._stored.wait()

    # --- its own ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Store whenever there is something, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            entries, self._entries = self._entries, {}
            releases, self._releases = self._releases, {}
            finished, self._finished = self._finished, []
            if entries or finished:
                held, committed = await self._patiently(list(entries.values()), finished)
                self._tell(entries, releases, held, committed)
            if not (self._entries or self._finished):
                self._stored.set()

    def _tell(
        self,
        entries: dict[tuple[int, int], Stored],
        releases: dict[Callable[[bool], None], list[tuple[int, int]]],
        held: set[tuple[int, int, int]],
        committed: set[tuple[int, int]],
    ) -> None:
        for (campaign, record), entry in entries.items():
            if entry.doubts:
                continue
            if entry.lot.lease[:3] not in held:
                entry.lot.lose()
            elif entry.status == UNDER_WAY and (campaign, record) not in committed:
                entry.lot.refuse(record)
        for release, keys in releases.items():
            # Whoever was withdrawn meanwhile has another entry, and its session has ended.
            safe = all(key in committed for key in keys)
            if not safe or release not in self._releases:
                release(safe)

    async def _patiently(
        self, entries: list[Stored], finished: list[Lease]
    ) -> tuple[set[tuple[int, int, int]], set[tuple[int, int]]]:
        """Store a group, however often it takes.

        Returns:
            Campaign, lot and epoch of the leases that hold; campaign and record of what may be committed.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                stored = await self._database.call(lambda connection: self._store(connection, entries, finished))
            except DatabaseGoneError as error:
                if self.gone_since is None:
                    self.gone_since = self._loop.time()
                    self._notice(f"{error.message}; nothing new is sent until it is back")
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if self.gone_since is not None:
                    self._notice(f"the database is back after {self._loop.time() - self.gone_since:.0f} s")
                    self.gone_since = None
                return stored

    async def _store(
        self, connection: Connection, entries: list[Stored], finished: list[Lease]
    ) -> tuple[set[tuple[int, int, int]], set[tuple[int, int]]]:
        doubts = [entry for entry in entries if entry.doubts]
        others = [entry for entry in entries if not entry.doubts]
        held: set[tuple[int, int, int]] = set()
        committed: set[tuple[int, int]] = set()
        if others:
            self._turn += 1
            for campaign, lot, epoch, record in await connection.fetch(_STORE, *self._columns(others), self._turn):
                if record is None:
                    held.add((campaign, lot, epoch))
                else:
                    committed.add((campaign, record))
        if doubts:
            await connection.execute(
                _DOUBT,
                [entry.lot.lease.campaign for entry in doubts],
                [entry.record for entry in doubts],
                [entry.attempt for entry in doubts],
                [_text(entry.line) for entry in doubts],
            )
        if finished:
            await lots.finish(connection, finished)
        return held, committed

    def _columns(self, entries: Iterable[Stored]) -> tuple[object, ...]:
        leases = sorted({entry.lot.lease for entry in entries})
        commits = [entry for entry in entries if entry.status == UNDER_WAY]
        settled = [entry for entry in entries if entry.status != UNDER_WAY]
        return (
            [lease.campaign for lease in leases],
            [lease.lot for lease in leases],
            [lease.epoch for lease in leases],
            self._worker,
            [entry.lot.lease.campaign for entry in commits],
            [entry.lot.lease.lot for entry in commits],
            [entry.lot.lease.epoch for entry in commits],
            [entry.record for entry in commits],
            [entry.attempt for entry in commits],
            [entry.lot.lease.campaign for entry in settled],
            [entry.lot.lease.lot for entry in settled],
            [entry.lot.lease.epoch for entry in settled],
            [entry.record for entry in settled],
            [entry.attempt for entry in settled],
            [entry.status for entry in settled],
            [entry.pause for entry in settled],
            [_text(entry.line) for entry in settled],
        )


def _text(line: bytes | None) -> str | None:
    return None if line is None else line.decode()
