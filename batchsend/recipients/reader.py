"""Opening a recipients file, and reading it a few records at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from batchsend.campaign.list_names import FORMATS, WORKBOOKS
from batchsend.errors import UsageError
from batchsend.recipients.kinds import refuse_other_kinds
from batchsend.recipients.source import COMPRESSIONS, Mark, Source

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from batchsend.campaign import Campaign
    from batchsend.recipients.record import BadRecord, Record


class RecordReader:
    """The records of a file, in order, as :func:`open_records` opened it. Closed as a context manager.

    Attributes:
        given: How many records were returned so far.
    """

    def __init__(self, source: _Source, parser: _Parser) -> None:
        self.given = 0
        self._source = source
        self._parser = parser
        self._rows: list[Record | BadRecord] = []
        self._given = 0
        self._began_at = 0
        self._is_at_end = False

    @property
    def name(self) -> str:
        """What to call the file in messages: its path, or "standard input"."""
        return self._source.name

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The names in the header of a CSV file or a sheet; None for JSONL."""
        return self._parser.fields

    @property
    def texts(self) -> tuple[str, ...]:
        """The fields whose values are texts in every record: those of a CSV file or a sheet."""
        return self._parser.fields or ()

    @property
    def unnamed(self) -> int:
        """The line of the first value, of those read so far, that stands in a column without a name; 0 for none."""
        return self._parser.unnamed

    @property
    def position(self) -> int:
        """How many of the stored bytes have been read."""
        return self._source.position

    @property
    def progress(self) -> float | None:
        """How much of the file the records that were given make, from 0 to 1; None for a pipe.

        Bytes are read in blocks of many records: within a block it is told by the records.
        """
        size, position = self.size, self.position
        if size is None:
            return None
        if self._rows:
            position = self._began_at + (position - self._began_at) * self._given // len(self._rows)
        elif not self._is_at_end:
            position = self._began_at
        return min(1.0, position / size) if size else 1.0

    @property
    def size(self) -> int | None:
        """How many bytes are stored, or None for a pipe."""
        return self._source.size

    @property
    def blocking(self) -> bool:
        """Whether :meth:`read` may wait for another process, as it does on a pipe: then it belongs in a thread."""
        return self._source.blocking

    @property
    def opened(self) -> Mark | None:
        """The file's mark before anything was read of it; None for a pipe, and for what was read whole."""
        return self._source.opened

    @property
    def mark(self) -> Mark | None:
        """The mark of the file that is read, as it is now; None as for `opened`."""
        return self._source.mark

    def read(self, n: int) -> list[Record | BadRecord]:
        """The next records, up to ``n`` and perhaps fewer; none at the end.

        Raises:
            RunError: The file cannot be read further; every whole record before that place has been returned.
        """
        if not self._has_rows():
            return []
        rows = self._rows[self._given : self._given + n]
        self._given += len(rows)
        self.given += len(rows)
        return rows

    def first(self, n: int) -> list[Record | BadRecord]:
        """Up to ``n`` of the records that :meth:`read` will return next, perhaps fewer; none at the end.

        Raises:
            RunError: As :meth:`read`.
        """
        return self._rows[self._given : self._given + n] if self._has_rows() else []

    def _has_rows(self) -> bool:
        """Whether a record is left to give; reads on where none is held."""
        while self._given >= len(self._rows):
            if self._is_at_end:
                return False
            if self._rows:
                self._began_at = self.position
            rows = self._parser.next()
            self._is_at_end = rows is None
            self._rows, self._given = rows or [], 0
        return True

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Source(Protocol):
    """What a reader asks of a file beside its records; as `Source` has it."""

    @property
    def name(self) -> str: ...

    @property
    def position(self) -> int: ...

    @property
    def size(self) -> int | None: ...

    @property
    def blocking(self) -> bool: ...

    @property
    def opened(self) -> Mark | None: ...

    @property
    def mark(self) -> Mark | None: ...

    def close(self) -> None: ...


class _Parser(Protocol):
    @property
    def fields(self) -> tuple[str, ...] | None: ...

    @property
    def unnamed(self) -> int: ...

    def next(self) -> list[Record | BadRecord] | None: ...


def open_recipients(campaign: Campaign) -> RecordReader:
    """Open a campaign's recipients file from its beginning, as the campaign says that it is to be read.

    Raises:
        UsageError: As `open_records`.
    """
    return open_records(campaign.recipients, encoding=campaign.encoding, sheet=campaign.sheet)


def open_records(
    path: Path | Literal["-"],
    *,
    format: str | None = None,  # noqa: A002 - the word for it
    encoding: str | None = None,
    sheet: str | None = None,
    end: int | None = None,
    names_all: bool = False,
) -> RecordReader:
    """Open a recipients file: CSV or JSON Lines, as it is or compressed by gzip or zstd, or a workbook.

    The suffixes of its name say which. Standard input, and a file whose name says nothing (``list.txt``), is known by
    its content: JSONL begins with ``{``. Opening waits for the first bytes, so on a pipe it belongs in a thread, as
    reading does.

    Args:
        path: The file, or ``-`` for standard input.
        format: ``csv`` or ``jsonl``, whatever the name or the content say.
        encoding: Of a text, as `Source` takes it; None for UTF-8, or what its byte-order mark says.
        sheet: Of a workbook, the name of the sheet; None for the first.
        end: Read as if the file's text ended after so many octets, as `Source` counts them; None for all of it.
        names_all: Give the last columns of a table that have no name one, by which their values are fields as well;
            otherwise they are none.

    Raises:
        UsageError: It cannot be opened; it is of another kind, in another encoding or without a header. Nobody was
            written to then.
    """
    if format not in (None, "csv", "jsonl"):
        raise UsageError(f"unknown format {format!r}", remedy="expected csv or jsonl")
    suffixes = [] if path == "-" else [suffix.lower() for suffix in path.suffixes[-2:]]
    if path != "-" and suffixes and suffixes[-1] in WORKBOOKS:
        from batchsend.recipients.workbook import Workbook  # noqa: PLC0415 - an extra, which most lists do not need

        workbook = Workbook(path, sheet, names_all=names_all)
        return RecordReader(workbook, workbook)
    if sheet is not None:
        raise UsageError(
            f"{path} has no sheets", remedy=f"sheet is for workbooks ({', '.join(WORKBOOKS)}); leave it out"
        )
    compression = COMPRESSIONS.get(suffixes.pop()) if suffixes and suffixes[-1] in COMPRESSIONS else None
    kind = format or (FORMATS.get(suffixes[-1]) if suffixes else None)
    source = Source(path, expect=compression, encoding=encoding, end=end)
    try:
        kind = kind or _guess(source)
        refuse_other_kinds(source.name, source.start, kind)
        source.require_one_encoding()
        return RecordReader(source, _parser(source, kind, names_all=names_all))
    except BaseException:
        source.close()
        raise


def _guess(source: Source) -> str:
    start = source.start.lstrip()
    if not start:
        raise UsageError(f"{source.name} is empty", remedy="expected records as CSV or JSONL")
    # A section's name in brackets, as in [Section], begins no JSON.
    return "jsonl" if start.startswith(b"{") or (start.startswith(b"[") and not start[1:2].isalpha()) else "csv"


def _parser(source: Source, kind: str, *, names_all: bool) -> _Parser:
    if kind == "jsonl":
        from batchsend.recipients.jsonl import JsonlParser  # noqa: PLC0415 - a run reads one of the two

        return JsonlParser(source)
    from batchsend.recipients.csv import CsvParser  # noqa: PLC0415 - a run reads one of the two

    return CsvParser(source, names_all=names_all)
