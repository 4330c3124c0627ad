"""The list that a results log is the account of, in the log's place: its records with their own fields.

A campaign to those who got an earlier one can then use what the list says of them. Records are known by their places in
that list, and have the fields of their last line in the log beside their own; the address is the log's, the one that
was written to, unless the campaign names a field. Where the list is not what it was, the log's lines alone are the
records, as they are where nothing is known of the list.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.errors import RunError, UsageError
from batchsend.recipients.fingerprint import require_continued
from batchsend.recipients.reader import RecordReader, open_records
from batchsend.recipients.record import Record

if TYPE_CHECKING:
    from collections.abc import Container

    from batchsend.campaign import Campaign
    from batchsend.recipients.record import BadRecord
    from batchsend.results.run import RecipientsFile, Run

RECIPIENT: Final = "recipient"
"""The field in which a line of a log has its address."""

LOG_FIELDS: Final = (
    *("record", RECIPIENT, "status", "stage", "code", "enhanced", "reply", "reason", "attempt", "session"),
    *("message_id", "time", "elapsed"),
)
"""The fields that every line of a log has."""

_BLOCK: Final = 1 << 20


class Original:
    """The list of the run that a results log is the account of.

    Args:
        log: The results log.
        described: What the list is now.
        lines: Where in the log the last line of each record begins, plus 1; 0 for a record that is not wanted.

    Attributes:
        described: What the list is now.
    """

    def __init__(self, log: Path, described: RecipientsFile, lines: array[int]) -> None:
        self.described = described
        self._log = log
        self._lines = lines

    @property
    def path(self) -> Path:
        """The list."""
        return Path(self.described.path)

    def __contains__(self, record: int) -> bool:
        return record < len(self._lines) and self._lines[record] > 0

    def open(self, campaign: Campaign) -> RecordReader:
        """Open the list from its beginning.

        Raises:
            UsageError: List or log cannot be opened.
        """
        reader = open_records(self.path, encoding=campaign.encoding, sheet=campaign.sheet)
        try:
            file = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            reader.close()
            raise UsageError(f"{self._log} cannot be read: {error.strerror}", remedy="bring it back") from None
        return _JoinedReader(reader, file, self._lines, names_field=campaign.recipient_field is not None)


class _JoinedReader(RecordReader):
    """The records of a list, those that are wanted with the fields of their lines in a log.

    Args:
        reader: The list's own reader, which this takes over.
        file: The descriptor of the results log, which this takes over.
        lines: Where in it each record's line begins, plus 1; 0 for none.
        names_field: The campaign says which field holds the address.
    """

    def __init__(self, reader: RecordReader, file: int, lines: array[int], *, names_field: bool) -> None:
        super().__init__(reader._source, self)
        self._list = reader._parser
        self._lines = lines
        self._names_field = names_field
        self._file = file

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The columns of the list, and the fields of the log that are none of them; None for JSONL."""
        columns = self._list.fields
        return None if columns is None else tuple(dict.fromkeys((*columns, *LOG_FIELDS)))

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of the list."""
        return self._list.fields or ()

    @property
    def unnamed(self) -> int:
        """As of the list."""
        return self._list.unnamed

    def next(self) -> list[Record | BadRecord] | None:
        """The next rows, perhaps none; None after the last.

        Raises:
            RunError: List or log cannot be read further.
        """
        rows = self._list.next()
        if rows is not None:
            for row in rows:
                if isinstance(row, Record):
                    row.fields = self._joined(row)
        return rows

    def _joined(self, row: Record) -> dict[str, Any]:
        place = self._lines[row.number] if row.number < len(self._lines) else 0
        line = self._line(place) if place else dict.fromkeys(LOG_FIELDS)
        joined = {**line, **row.fields}
        if not self._names_field and place:
            joined[RECIPIENT] = line[RECIPIENT]
        return joined

    def _line(self, place: int) -> dict[str, Any]:
        """A line of the log."""
        text = b""
        try:
            while b"\n" not in text and (octets := os.pread(self._file, 4096, place - 1 + len(text))):
                text += octets
            line = orjson.loads(text.partition(b"\n")[0])
        except (OSError, orjson.JSONDecodeError) as error:
            raise RunError(f"the results log cannot be read any more: {error}", remedy="bring it back") from None
        return dict(line)

    def close(self) -> None:
        """Close list and log."""
        super().close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def original_of(run: Run, log: Path, wanted: Container[int], campaign: Campaign) -> Original:
    """The list of the run that a log is the account of.

    Args:
        run: The log's run.
        log: The log.
        wanted: The lines of the log that are wanted, by their numbers.
        campaign: How the list is to be read: in which encoding, and which sheet of it.

    Raises:
        UsageError: Its list is not there, is not what it was, or cannot be read as the campaign says.
    """
    before = run.recipients.of or run.recipients
    if run.recipients.only and run.recipients.of is None:
        raise UsageError("its records are lines of another log")
    described = require_continued(before, Path(before.path), log, encoding=campaign.encoding)
    original = Original(log, described, _places(log, wanted))
    original.open(campaign).close()
    return original


def continued(of: RecipientsFile, log: Path, wanted: Container[int], results: Path, campaign: Campaign) -> Original:
    """The same for a run that has begun with that list, and is gone on with.

    Raises:
        UsageError: The list is not what it was: records are known by their places in it.
    """
    described = require_continued(of, Path(of.path), results, encoding=campaign.encoding)
    return Original(log, described, _places(log, wanted))


def _places(log: Path, wanted: Container[int]) -> array[int]:
    """Where in a log each record's line begins, plus 1, of the lines that are wanted."""
    places = array("Q")
    offset = 0
    with log.open("rb", buffering=_BLOCK) as file:
        for number, text in enumerate(file, 1):
            if number in wanted:
                record = int(orjson.loads(text)["record"])
                if record >= len(places):
                    places.frombytes(bytes(places.itemsize * (record * 5 // 4 + 1024 - len(places))))
                places[record] = offset + 1
            offset += len(text)
    return places
