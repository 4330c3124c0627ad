"""Lots: runs of consecutive records in one row each, and the leases that workers have of them.

A lease is an epoch: whoever takes a lot raises its epoch by one, and every statement about the lot names the epoch that
it was taken under. So a worker that was away for too long, and does not know it, changes nothing. Only the database's
clock says when a lease is over.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchsend.recipients import Record
from batchsend.recipients.number_formats import ShownNumber

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from batchsend.cluster.database import Connection

SIZE: Final = 500
"""Records of a lot, offered or not, unless publishing says otherwise."""

LEASE_SECONDS: Final = 15.0
"""How long a lease holds that is not renewed."""

_LEVEL: Final = 3


class Parcel(NamedTuple):
    """One record of a lot.

    Attributes:
        record: The record, as it was read.
        recipient: Its forward-path.
        message_id: Its Message-ID, or None.
    """

    record: Record
    recipient: str
    message_id: str | None


class Taken(NamedTuple):
    """A lot that was leased, and what the account knows of it.

    Attributes:
        lot: Its number, from 0.
        epoch: What the lease is called.
        parcels: All its records that are offered at all.
        known: What the account has of them.
    """

    lot: int
    epoch: int
    parcels: list[Parcel]
    known: dict[int, Known]


class Known(NamedTuple):
    """What the account knows of a record.

    Attributes:
        attempt: The number of its last attempt.
        status: ``under_way``, ``waiting``, or its outcome.
        wait: Seconds until it is due again; None where it is not offered again.
    """

    attempt: int
    status: str
    wait: float | None


def lot_of(record: int, size: int) -> int:
    """The number of the lot that a record is in."""
    return (record - 1) // size


def _bounds(lot: int, size: int) -> tuple[int, int]:
    """The record before the first one of a lot, and its last one."""
    before = lot * size
    return before, before + size


def encode(parcels: Iterable[Parcel]) -> bytes:
    """The records of a lot as they are stored: compressed JSON Lines."""
    lines = (json.dumps(_stored(parcel), ensure_ascii=False, separators=(",", ":")) for parcel in parcels)
    # A lone half of a surrogate pair, which JSON's escapes can write, is no UTF-8.
    return zlib.compress("\n".join(lines).encode("utf-8", "surrogatepass"), _LEVEL)


def _stored(parcel: Parcel) -> list[Any]:
    """A record; numbers of a workbook that are shown in a format have their values behind it."""
    record = parcel.record
    stored = [record.number, record.line, parcel.recipient, parcel.message_id, record.fields]
    values = {name: float(value) for name, value in record.fields.items() if isinstance(value, ShownNumber)}
    return [*stored, values] if values else stored


def decode(octets: bytes) -> list[Parcel]:
    """What `encode` was given."""
    parcels = []
    for line in zlib.decompress(octets).decode("utf-8", "surrogatepass").split("\n"):
        number, place, recipient, message_id, fields, *values = json.loads(line)
        for name, value in values[0].items() if values else ():
            fields[name] = ShownNumber.of(fields[name], value)
        parcels.append(Parcel(Record(number, place, fields), recipient, message_id))
    return parcels


# --- leases -----------------------------------------------------------------------------------------------------------

# Which lot it is, is found once: a subquery in its place may be run again for each lot that it is compared with, and
# finds another one when the first is taken already.
_TAKE: Final = """
WITH free AS MATERIALIZED (
    SELECT campaign, lot FROM batchsend.lots
    WHERE campaign = $1 AND NOT done AND due <= clock_timestamp()
        AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND lot <> ALL($4::int[])
        AND EXISTS (SELECT FROM batchsend.campaigns WHERE id = $1 AND state = 'active')
    ORDER BY due DESC LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE batchsend.lots AS l
SET epoch = l.epoch + 1, worker = $2, lease_until = clock_timestamp() + $3 * interval '1 second'
FROM free
WHERE l.campaign = free.campaign AND l.lot = free.lot
RETURNING l.lot, l.epoch, l.records
"""

_KNOWN: Final = """
SELECT record, attempt, status, extract(epoch FROM due - clock_timestamp())::float8 AS wait
FROM batchsend.account WHERE campaign = $1 AND record > $2 AND record <= $3
"""

_RENEW: Final = """
UPDATE batchsend.lots AS l SET lease_until = clock_timestamp() + $5 * interval '1 second'
FROM unnest($1::bigint[], $2::int[], $3::int[]) AS h(campaign, lot, epoch)
WHERE l.campaign = h.campaign AND l.lot = h.lot AND l.epoch = h.epoch AND l.worker = $4
RETURNING l.campaign, l.lot
"""

# A lot is done when no record of it waits for another attempt; until then, it is due when the first of them is.
_FINISH: Final = """
UPDATE batchsend.lots AS l SET worker = NULL, lease_until = NULL, done = w.due IS NULL, due = coalesce(w.due, l.due)
FROM (
    SELECT h.campaign, h.lot, h.epoch, min(a.due) AS due
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[], $5::bigint[])
        AS h(campaign, lot, epoch, before, last)
    LEFT JOIN batchsend.account AS a ON a.campaign = h.campaign AND a.record > h.before AND a.record <= h.last
        AND a.status = 'deferred' AND a.due IS NOT NULL
    GROUP BY h.campaign, h.lot, h.epoch
) AS w
WHERE l.campaign = w.campaign AND l.lot = w.lot AND l.epoch = w.epoch
"""

_GIVE_BACK: Final = """
UPDATE batchsend.lots AS l SET worker = NULL, lease_until = NULL
FROM unnest($1::bigint[], $2::int[], $3::int[]) AS h(campaign, lot, epoch)
WHERE l.campaign = h.campaign AND l.lot = h.lot AND l.epoch = h.epoch
"""


async def take(
    connection: Connection, campaign: int, worker: int, lease: float, size: int, *, not_these: Collection[int] = ()
) -> Taken | None:
    """Lease the next lot of a campaign; None where none is free and due, or the campaign is not active any more.

    Args:
        connection: Where to.
        campaign: The campaign.
        worker: Who takes it.
        lease: Seconds that the lease holds.
        size: Records of a lot.
        not_these: Lots that are not wanted.
    """
    row = await connection.fetchrow(_TAKE, campaign, worker, lease, list(not_these))
    if row is None:
        return None
    lot: int = row["lot"]
    # Only now: whatever was stored under an earlier epoch is there, and nothing more can be.
    rows = await connection.fetch(_KNOWN, campaign, *_bounds(lot, size))
    known = {found["record"]: Known(found["attempt"], found["status"], found["wait"]) for found in rows}
    return Taken(lot, row["epoch"], decode(row["records"]), known)


class Lease(NamedTuple):
    """A lot that a worker holds.

    Attributes:
        campaign: Its campaign.
        lot: Its number.
        epoch: What it was taken under.
        size: Records of each of the campaign's lots.
    """

    campaign: int
    lot: int
    epoch: int
    size: int


def _columns(leases: Sequence[Lease]) -> tuple[list[int], list[int], list[int]]:
    return [one.campaign for one in leases], [one.lot for one in leases], [one.epoch for one in leases]


async def renew(connection: Connection, leases: Sequence[Lease], worker: int, lease: float) -> set[tuple[int, int]]:
    """Renew leases.

    Returns:
        Campaign and lot of those that still are this worker's.
    """
    rows = await connection.fetch(_RENEW, *_columns(leases), worker, lease)
    return {(row["campaign"], row["lot"]) for row in rows}


async def finish(connection: Connection, leases: Sequence[Lease]) -> None:
    """All that could be offered of these lots has its outcome in the account: they are done, or due again later."""
    bounds = [_bounds(one.lot, one.size) for one in leases]
    before, last = [first for first, _ in bounds], [last for _, last in bounds]
    await connection.execute(_FINISH, *_columns(leases), before, last)


async def give_back(connection: Connection, leases: Sequence[Lease]) -> None:
    """End leases whose lots are not finished: the next one who asks may have them at once."""
    await connection.execute(_GIVE_BACK, *_columns(leases))


def fresh_due(lot: int) -> Any:
    """When a lot that nobody has had is due: see the schema."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - only publishing asks

    return datetime.fromtimestamp(0, UTC) - timedelta(seconds=lot)
