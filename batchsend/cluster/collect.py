"""The ordinary results log, written from the account: while a campaign goes on, and exact when it is over.

Each record has one line, its last outcome. A log of a campaign that goes on has no last line of the run, as that of a
run that goes on has none, so `resume` refuses it. When nobody works on a campaign any more, what is still under way
there is named in doubt first.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import anyio.to_thread
import msgspec

from batchsend.cluster import lots
from batchsend.cluster.account import lost
from batchsend.cluster.database import ClusterError, Prepared
from batchsend.errors import RunError
from batchsend.results.beside import make_anew
from batchsend.results.format import LogLine, LogReader, opened
from batchsend.results.line import end_line, outcome_line, run_line
from batchsend.results.run import RecipientsFile, Run, SuppressionFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import asyncpg

    from batchsend.cluster.database import Connection, Database

_AT_ONCE: Final = 5000
_SECONDS: Final = 60.0  # for each part

_CAMPAIGN: Final = """
SELECT c.*, (
    SELECT count(*) FROM batchsend.lots AS l WHERE l.campaign = c.id AND l.lease_until >= now()
) AS leased FROM batchsend.campaigns AS c WHERE c.name = $1
"""
_OVER: Final = """
UPDATE batchsend.campaigns SET collected = now() WHERE id = $1 AND state IN ('done', 'stopped') RETURNING id
"""
_NOW: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
_LEFT_BEHIND: Final = "SELECT record, attempt FROM batchsend.account WHERE campaign = $1 AND status = 'under_way'"
_FENCE: Final = """
UPDATE batchsend.lots SET epoch = epoch + 1, worker = NULL, lease_until = NULL
WHERE campaign = $1 AND lot = $2 AND (lease_until IS NULL OR lease_until < clock_timestamp()) RETURNING records
"""
_NAME: Final = """
UPDATE batchsend.account SET status = 'in_doubt', line = $3
WHERE campaign = $1 AND record = $2 AND status = 'under_way'
"""
_LINES: Final = """
SELECT record, line FROM batchsend.account WHERE campaign = $1 AND record > $2 AND line IS NOT NULL
ORDER BY record LIMIT $3
"""


class Collected(NamedTuple):
    """What was collected.

    Attributes:
        run: The run's identity.
        records: How many records have an outcome.
        over: The campaign is over, and the log is complete.
    """

    run: str
    records: int
    over: bool


async def collect(database: Database, name: str, results: Path) -> Collected:
    """Write the results log of a campaign; one that was collected before is replaced as a whole.

    Args:
        database: Where the account is.
        name: The campaign's name.
        results: The log.

    Raises:
        UsageError: There is no such campaign, or the file is something else's.
        RunError: The log cannot be written, or the database is gone.
    """

    async def begin(connection: Connection) -> tuple[dict[str, Any], bool]:
        row = await connection.fetchrow(_CAMPAIGN, name)
        if row is None:
            raise unknown(name)
        _require_ours(results, row["run"])
        over = row["state"] in ("done", "stopped") and not row["leased"]
        if over:
            # First: once there is a log that can be gone on with, the campaign does not go on as if there were none.
            over = await connection.fetchval(_OVER, row["id"]) is not None
        if over:
            await name_left_behind(connection, row["id"], row["lot_size"])
        return dict(row), over

    row, over = await database.call(begin, seconds=_SECONDS)
    new = results.with_name(f"{results.name}.new")
    try:
        with os.fdopen(make_anew(new), "wb") as file:
            file.write(run_line(_run(row)))
            count = await _write_outcomes(database, row["id"], file)
            if over:
                ended = row["ended"].timestamp() if row["ended"] is not None else time.time()
                file.write(end_line(row["run"], ended=ended, stopped=_why(row), learned={}))
            file.flush()
            os.fsync(file.fileno())
        new.replace(results)
    except OSError as error:
        raise RunError(f"{results}: the results log cannot be written: {error.strerror}") from None
    finally:
        new.unlink(missing_ok=True)
    return Collected(row["run"], count, over)


async def _write_outcomes(database: Database, campaign: int, file: BinaryIO) -> int:
    """Write the last outcome of each record, in their order; returns how many there are.

    They are asked for in parts, none of which is waited for without a limit, nor begun anew with the others. Of a
    campaign that is over they do not change meanwhile.
    """
    count = last = 0
    while True:

        async def part(connection: Connection, after: int = last) -> list[asyncpg.Record]:
            return await connection.fetch(_LINES, campaign, after, _AT_ONCE)

        rows = await database.call(part, seconds=_SECONDS)
        if not rows:
            return count
        count, last = count + len(rows), rows[-1]["record"]
        await anyio.to_thread.run_sync(file.write, "".join([f"{line}\n" for _, line in rows]).encode())


def unknown(name: str) -> ClusterError:
    """The error for a campaign that is not there."""
    return ClusterError(f"there is no campaign called {name}", remedy="batchsend cluster list")


async def name_left_behind(connection: Connection, campaign: int, size: int) -> int:
    """Give what is under way in lots that nobody holds its outcome: in doubt. Nobody can take them meanwhile.

    Returns:
        How many there were.
    """
    count = 0
    async with Prepared(_NOW, _LEFT_BEHIND, _FENCE, _NAME).transaction(connection) as transaction:
        now = await transaction.fetchval(_NOW)
        attempts: dict[int, dict[int, int]] = {}
        for row in await transaction.fetch(_LEFT_BEHIND, campaign):
            attempts.setdefault(lots.lot_of(row["record"], size), {})[row["record"]] = row["attempt"]
        for lot, records in attempts.items():
            octets = await transaction.fetchval(_FENCE, campaign, lot)
            for parcel in [] if octets is None else lots.decode(octets):
                if (attempt := records.get(parcel.record.number)) is not None:
                    line = outcome_line(lost(parcel, attempt, now)).decode().rstrip()
                    await transaction.execute(_NAME, campaign, parcel.record.number, line)
                    count += 1
    return count


def _run(row: Mapping[str, Any]) -> Run:
    return Run(
        id=row["run"],
        started=row["created"].timestamp(),
        campaign=row["path"],
        recipients=msgspec.json.decode(row["recipients"], type=RecipientsFile),
        version=row["version"],
        server=row["server"],
        suppress=msgspec.json.decode(row["suppress"], type=tuple[SuppressionFile, ...]),
    )


def _why(row: Mapping[str, Any]) -> str | None:
    return None if row["state"] == "done" else str(row["why"] or "stopped")


def _require_ours(results: Path, run: str) -> None:
    """Check that a file that would be replaced is what was collected of this run, and nobody has gone on with it.

    Raises:
        UsageError: It is something else.
    """
    if not results.exists():
        return
    begun = 0
    with opened(results) as file:
        for block in LogReader(results, file, LogLine):
            for line in block.lines:
                if line.run is not None and line.run.started is not None:
                    begun += 1
                    if line.run.id != run:
                        raise ClusterError(f"{results} is the log of another run", remedy="name another file")
    if begun > 1:
        raise ClusterError(
            f"{results} was gone on with on one machine: collecting would lose that", remedy="name another file"
        )
