"""Publishing: a campaign and its records put into the database, once, however often it is begun.

Everything is decided in the order of the recipients file, so publishing again comes to the same lots, and what is there
already stays. Workers begin when all of it is there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from batchsend.campaign.document import Document
from batchsend.campaign.loader import load_document
from batchsend.cluster import lots
from batchsend.cluster.database import ClusterError, Database, DatabaseGoneError
from batchsend.cluster.definition import composer, inside, pack
from batchsend.message import Suppression
from batchsend.message.condition import Condition
from batchsend.message.files_read import noting
from batchsend.recipients import RecordReader, open_recipients
from batchsend.recipients.addressees import Addressees
from batchsend.recipients.admission import Admission, require_fields
from batchsend.recipients.exclusion import Exclusion
from batchsend.recipients.fingerprint import describe
from batchsend.results.line import outcome_line
from batchsend.results.run import RecipientsFile, SuppressionFile, new_id
from batchsend.run.producer import Producer
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchsend.campaign import Campaign, Overrides
    from batchsend.cluster.database import Connection
    from batchsend.cluster.definition import Packed
    from batchsend.message.submission import Submission
    from batchsend.outcome import DeliveryResult
    from batchsend.recipients import BadRecord, Record

_PATIENCE: Final = 300.0
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0

_COLUMNS: Final = (
    *("name", "run", "fingerprint", "path", "definition", "recipients", "suppress", "server", "relays", "version"),
    "lot_size",
)
_CLAIM: Final = """
INSERT INTO batchsend.campaigns
    (name, run, fingerprint, path, definition, recipients, suppress, server, relays, version, lot_size, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'publishing')
ON CONFLICT (name) DO NOTHING
"""
# Publishing was killed, and then the campaign was stopped: whoever publishes it again wants it to be sent.
_BEGIN_AGAIN: Final = """
UPDATE batchsend.campaigns SET state = 'publishing', why = NULL, ended = NULL, collected = NULL
WHERE id = $1 AND state = 'stopped' AND published IS NULL
"""
# A campaign that is stopped while it is published stays stopped.
_COMPLETE: Final = """
UPDATE batchsend.campaigns SET state = CASE state WHEN 'publishing' THEN 'active' ELSE state END,
    published = coalesce(published, now()) WHERE id = $1 RETURNING id
"""
_STORE_LOT: Final = """
INSERT INTO batchsend.lots (campaign, lot, count, records, due) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
_STORE_OUTCOMES: Final = """
INSERT INTO batchsend.account (campaign, record, attempt, status, line)
SELECT $1, w.record, 0, w.status, w.line::json
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS w(record, status, line)
ON CONFLICT DO NOTHING
"""
_STORE_FILE: Final = """
INSERT INTO batchsend.files (campaign, path, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""


class Published:
    """What publishing has come to.

    Attributes:
        campaign: The campaign's name.
        run: Its run's identity.
        offered: How many records will be offered.
        withheld: How many are invalid or suppressed.
        was_there: All of it was there already; nothing was done.
    """

    def __init__(self, campaign: str) -> None:
        self.campaign = campaign
        self.run = ""
        self.offered = 0
        self.withheld = 0
        self.was_there = False


async def publish(
    database: Database,
    path: Path,
    *,
    overrides: Overrides,
    name: str | None = None,
    size: int = lots.SIZE,
    notice: Callable[[str], None] = lambda _: None,
) -> Published:
    """Put a campaign into the database, or what is missing of it there.

    Args:
        database: Where to.
        path: The campaign file.
        overrides: What the command line says in its place.
        name: What the campaign is called there; None for the name of its folder.
        size: Records of a lot; where publishing was begun before, it stays as it was.
        notice: Called with what the user should know.

    Raises:
        UsageError: The campaign cannot be published as it is, or another one has its name.
        RunError: The recipients file cannot be read further, or the database is gone for minutes.
    """
    campaign, document = _loaded(path, overrides)
    if campaign.recipients == "-":
        raise ClusterError(
            "what comes by standard input cannot be published again after a crash",
            remedy="put it into a file, and name that",
        )
    if campaign.delivery.schedule is not None and campaign.delivery.timezone is None:
        raise ClusterError(
            "window and start are without a time zone, and workers may be in several",
            remedy='say whose times they are: timezone = "Europe/Berlin"',
        )
    packed = pack(campaign, document)
    recipients = await anyio.to_thread.run_sync(describe, campaign.recipients)
    if recipients.sha256 is None:
        raise ClusterError(f"{campaign.recipients} is no regular file", remedy="put the list into a file")
    suppression = Suppression.read(campaign.delivery.suppress, recipient_field=campaign.recipient_field)
    lists = [*(file for file, _ in suppression.files), *campaign.delivery.exclude]
    fingerprint = packed.fingerprint(
        f"{recipients.sha256} {campaign.encoding} {campaign.sheet} {campaign.where}", lists
    )
    published = Published(name or campaign.directory.name or "campaign")
    row = _row(published, campaign, packed, recipients, suppression) | {"fingerprint": fingerprint, "lot_size": size}
    number, size = await _claim(database, published, row)
    if published.was_there:
        return published
    for file, count, note in suppression.notes():
        del file
        notice(note if count else f"warning: {note}")
    publishing = _Publishing(database, campaign, packed, published, (number, size))
    await publishing.run(suppression, notice)
    return published


def _loaded(path: Path, overrides: Overrides) -> tuple[Campaign, Document]:
    """The campaign, and its tables as they are before anything in them is looked up."""
    read, kept = Document.read(path), Document.read(path)
    for document in (read, kept):
        overrides.lay_over(document)
    return load_document(read, resolve_credentials=False), kept


def _row(
    published: Published,
    campaign: Campaign,
    packed: Packed,
    recipients: RecipientsFile,
    suppression: Suppression,
) -> dict[str, str | int | list[str]]:
    """What is entered of a campaign, by the names of the columns."""
    server = campaign.servers[0]
    suppressed = [SuppressionFile(path=str(file.resolve()), entries=count) for file, count in suppression.files]
    return {
        "name": published.campaign,
        "run": new_id(),
        "path": str(campaign.path.resolve()),
        "definition": packed.definition().decode(),
        "recipients": msgspec.json.encode(recipients).decode(),
        "suppress": msgspec.json.encode(suppressed).decode(),
        "server": f"{server.host}:{server.port}",
        "relays": packed.relays,
        "version": __version__,
    }


async def _claim(database: Database, published: Published, row: dict[str, str | int | list[str]]) -> tuple[int, int]:
    """Enter the campaign, or find it entered; its number, and the size of its lots."""
    columns = [row[name] for name in _COLUMNS]
    fingerprint = row["fingerprint"]

    async def work(connection: Connection) -> tuple[int, int]:
        await connection.execute(_CLAIM, *columns)
        found = await connection.fetchrow(
            "SELECT id, run, fingerprint, published, lot_size FROM batchsend.campaigns WHERE name = $1",
            published.campaign,
        )
        if found is None:
            raise ClusterError(f"campaign {published.campaign} was dropped just now", remedy="publish it again")
        if found["fingerprint"] != fingerprint:
            raise ClusterError(
                f"there is another campaign called {published.campaign}: its message, recipients or options differ",
                remedy="give this one another name: --name NAME; or take that one away: batchsend cluster drop NAME",
            )
        published.run = found["run"]
        published.was_there = found["published"] is not None
        if not published.was_there:
            await connection.execute(_BEGIN_AGAIN, found["id"])
        return found["id"], found["lot_size"]

    return await database.call(work)


class _Remembering(RecordReader):
    """A reader that keeps the rows that it gave, for who gets their messages and wants the records.

    Args:
        reader: What reads.
    """

    def __init__(self, reader: RecordReader) -> None:
        self.rows: dict[int, Record | BadRecord] = {}
        self._reader = reader

    @property
    def blocking(self) -> bool:
        return self._reader.blocking

    def read(self, n: int) -> list[Record | BadRecord]:
        rows = self._reader.read(n)
        self.rows = {row.number: row for row in rows}  # the messages of those before have been handed over
        return rows


class _Publishing:
    """One pass through the recipients file."""

    def __init__(
        self, database: Database, campaign: Campaign, packed: Packed, published: Published, place: tuple[int, int]
    ) -> None:
        self._database = database
        self._campaign = campaign
        self._packed = packed
        self._published = published
        self._number, self._size = place
        self._lot = 0
        self._parcels: list[lots.Parcel] = []
        self._withheld: list[DeliveryResult] = []
        self._files: set[Path] = set()
        self._stored: set[str] = set()

    async def run(self, suppression: Suppression, notice: Callable[[str], None]) -> None:
        campaign, delivery = self._campaign, self._campaign.delivery
        where = None if campaign.where is None else Condition(campaign.where)
        with noting(self._files), open_recipients(campaign) as reader:
            made = composer(campaign, self._published.run, publishing=True)
            uses = [made.field_use, *([] if where is None else [where.use])]
            require_fields(reader, campaign.recipient_field, uses)
            remembering = _Remembering(reader)
            with (
                Addressees(campaign.directory) as addressees,
                Exclusion(delivery.exclude, campaign.directory) as had_it,
            ):
                for one in had_it.notices:
                    notice(one)
                admission = Admission(
                    suppression,
                    exclusion=had_it if delivery.exclude else None,
                    addressees=None if delivery.duplicates == "send" else addressees,
                    where=where,
                )

                async def hand_over(batch: list[Submission]) -> None:
                    await self._take(batch, remembering)

                producer = Producer(remembering, made, admission, report=self._withhold, breathe=self._store_withheld)
                await producer.run(hand_over)
        await self._store()
        await self._patiently(self._complete)

    def _withhold(self, result: DeliveryResult) -> None:
        self._withheld.append(result)
        self._published.withheld += 1

    async def _take(self, batch: list[Submission], reader: _Remembering) -> None:
        for submission in batch:
            lot = lots.lot_of(submission.record, self._size)
            if lot != self._lot:
                await self._store()
                self._lot = lot
            row = reader.rows[submission.record]
            self._parcels.append(
                lots.Parcel(row, submission.envelope.forward_path, submission.message_id)  # type: ignore[arg-type]
            )
        self._published.offered += len(batch)
        await self._store_withheld()

    async def _store_withheld(self) -> None:
        """Store what is known of records that are withheld, once it is a lot: the list may be nothing else."""
        await anyio.lowlevel.checkpoint()
        if len(self._withheld) >= self._size:
            await self._store_outcomes()

    async def _store(self) -> None:
        """Store the lot that is full, and all outcomes and files that are known."""
        await self._store_files()
        await self._store_outcomes()
        if self._parcels:
            count, octets = len(self._parcels), await anyio.to_thread.run_sync(lots.encode, self._parcels)
            row = (self._number, self._lot, count, octets, lots.fresh_due(self._lot))

            async def work(connection: Connection) -> None:
                await connection.execute(_STORE_LOT, *row)

            await self._patiently(work)
            self._parcels = []

    async def _store_outcomes(self) -> None:
        withheld, self._withheld = self._withheld, []
        if not withheld:
            return
        lines = [outcome_line(result).decode().rstrip() for result in withheld]
        rows = ([result.record for result in withheld], [result.status.value for result in withheld], lines)

        async def work(connection: Connection) -> None:
            await connection.execute(_STORE_OUTCOMES, self._number, *rows)

        await self._patiently(work)

    async def _store_files(self) -> None:
        """Store the files that were read since; a record's attachment is there before the record is."""
        files = dict(self._packed.files) if not self._stored else {}
        files |= {inside(path, self._campaign.directory): path for path in self._files}
        self._files.clear()
        for name, path in files.items():
            if name in self._stored:
                continue
            content = await anyio.to_thread.run_sync(path.read_bytes)

            async def work(connection: Connection, row: tuple[int, str, bytes] = (self._number, name, content)) -> None:
                await connection.execute(_STORE_FILE, *row)

            await self._patiently(work)
            self._stored.add(name)

    async def _complete(self, connection: Connection) -> None:
        if await connection.fetchval(_COMPLETE, self._number) is None:
            for table in ("lots", "files", "account"):
                await connection.execute(f"DELETE FROM batchsend.{table} WHERE campaign = $1", self._number)  # noqa: S608 - fixed names
            raise ClusterError(
                f"campaign {self._published.campaign} was dropped while it was published", remedy="publish it again"
            )

    async def _patiently(self, work: Callable[[Connection], object]) -> None:
        """Do what may be done twice, and again while the database is away."""
        until, pause = time.monotonic() + _PATIENCE, _FIRST_PAUSE
        while True:
            try:
                await self._database.call(work)  # type: ignore[arg-type]
            except DatabaseGoneError:
                if time.monotonic() > until:
                    raise
            else:
                return
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
