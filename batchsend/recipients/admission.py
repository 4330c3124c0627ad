"""Which records of a list are offered to a relay: decided in one place, for sending and for checking."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from batchsend.errors import RecordError, UsageError
from batchsend.recipients.addresses import forward_path
from batchsend.recipients.columns import (
    RECIPIENT_FIELDS,
    address_column,
    aliases,
    find_address_column,
    is_known,
    listed,
    unknown,
    variable,
)
from batchsend.recipients.record import BadRecord, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from batchsend.recipients.addressees import Addressees
    from batchsend.recipients.exclusion import Exclusion
    from batchsend.recipients.reader import RecordReader
    from batchsend.recipients.suppression import Suppression

LISTED: Final = "on a suppression list"
HAD_IT: Final = "had it already"
DUPLICATE: Final = "duplicate"

UNNAMED: Final = "a value stands in a column that the header has no name for; such values are left out"
"""What is said of a line that `RecordReader.unnamed` names."""

_BLOCK: Final = 1000
_LOOKED_AT: Final = 100
_NAME_IT: Final = 'name it in the campaign file: recipient_field = "…"'


class Where(Protocol):
    """Says whether a record is of the campaign; `batchsend.message.condition.Condition` is what does."""

    def holds(self, record: Record) -> bool:
        """Whether it is.

        Raises:
            RecordError: It cannot be said of this record.
        """


class Uses(Protocol):
    """The fields that templates use; `batchsend.message.field_use.FieldUse` takes them down."""

    needed: dict[str, str]
    always: set[str]
    numbers: dict[str, str]


class Admission:
    """Says of records and recipients whether they are offered, in the order in which it is asked about them.

    Sending and checking both ask here and nowhere else, so that what `check` counts is what `send` does.

    Args:
        suppression: Whom not to write to.
        exclusion: Who has had the message by the log of an earlier run, or None.
        addressees: Who has been written to: a recipient among them is not again. None: the same address may come again.
        where: Which records are of the campaign; None for all.
        next_attempt: The number of the attempt that a record is to be made a submission for; 0 for a record to be
            passed over in silence. None: all of them, for their first one.
        limit: Take at most this many records; None for all.

    Attributes:
        left: How many records may still be taken; None for all.
        offers_again: Records may be offered for another attempt than their first; `attempt` says for which.
        passed_over: How many records ``where`` did not hold for, as far as records are taken.
        taken: How many records were taken.
    """

    def __init__(
        self,
        suppression: Suppression,
        *,
        exclusion: Exclusion | None = None,
        addressees: Addressees | None = None,
        where: Where | None = None,
        next_attempt: Callable[[int], int] | None = None,
        limit: int | None = None,
    ) -> None:
        self.left = limit
        self.passed_over = 0
        self.taken = 0
        self._beyond = 0  # records that were read and not taken any more
        self._suppression = suppression
        self._exclusion = exclusion
        self._addressees = addressees
        self._where = where
        self._next_attempt = next_attempt
        self.offers_again = next_attempt is not None

    def wanted(self, rows: list[Record | BadRecord]) -> list[Record | BadRecord]:
        """Those of the next rows that are taken. A row that cannot be told of is a bad one.

        Raises:
            RunError: A feedback log cannot be read any more.
        """
        self._suppression.follow()  # who has unsubscribed since the last rows is not written to
        if self._next_attempt is not None:
            rows = [row for row in rows if self._next_attempt(row.number)]
        if self._where is None:
            kept, beyond = (rows, []) if self.left is None else (rows[: self.left], rows[self.left :])
        else:
            kept, beyond = self._matching(rows, self._where)
        if self.left is not None:
            self._beyond = len(beyond)
            self.left -= len(kept)
        self.taken += len(kept)
        return kept

    def _matching(
        self, rows: list[Record | BadRecord], where: Where
    ) -> tuple[list[Record | BadRecord], list[Record | BadRecord]]:
        """Those that ``where`` holds for: the ones that are taken, and those that the limit leaves."""
        kept: list[Record | BadRecord] = []
        beyond: list[Record | BadRecord] = []
        for row in rows:
            is_taken = self.left is None or len(kept) < self.left
            try:
                holds = isinstance(row, BadRecord) or where.holds(row)
            except RecordError as error:
                row = BadRecord(row.number, row.line, error.message, row.fields)  # noqa: PLW2901 - what becomes of it
                holds = True
            if holds:
                (kept if is_taken else beyond).append(row)
            else:
                self.passed_over += is_taken
        return kept, beyond

    def most(self, block: int) -> int:
        """How many rows to read next. Where all are taken, none is read that is not: on a pipe, it is for others."""
        takes_all = self._next_attempt is None and self._where is None
        return min(self.left, block) if self.left is not None and takes_all else block

    def count_left(self, reader: RecordReader, most: int) -> int | None:
        """How many records are left that would have been taken without a limit, counted up to ``most``.

        Reads on; to be called once, after the last of the records that are taken. None where the records come by a
        pipe, for more may come.

        Raises:
            RunError: The file cannot be read further.
        """
        if self.left != 0:
            return 0
        if reader.blocking:
            return None
        count = self._beyond
        while count < most and (rows := reader.read(_BLOCK)):
            count += len(self.wanted(rows)) + self._beyond
        return min(count, most)

    def take_on(self, reader: RecordReader, until: float) -> bool:
        """Take the records that were not read yet, to count them; False where that was given up.

        Args:
            reader: The file, which is read on.
            until: By `time.monotonic`, when to give up. From a pipe nothing is read: its records are for others.

        Raises:
            RunError: The file cannot be read further.
        """
        while self.left != 0:
            if reader.blocking or time.monotonic() >= until:
                return False
            if not (rows := reader.read(_BLOCK)):
                return True
            self.wanted(rows)
        return True

    def attempt(self, record: int) -> int:
        """The number of the attempt that a wanted record is offered for."""
        return 1 if self._next_attempt is None else self._next_attempt(record)

    def refusal(self, recipient: str) -> str | None:
        """Why a recipient is not written to; None for one who is, and who counts as written to from now on.

        Args:
            recipient: A forward-path, of a record whose message can be composed: an invalid record takes nothing from
                a later one with the same address.

        Raises:
            RunError: There is no room on the disk for what must be remembered.
        """
        if self._suppression and recipient in self._suppression:
            return LISTED
        if self._exclusion is not None and recipient in self._exclusion:
            return HAD_IT
        if self._addressees is not None and not self._addressees.add(recipient):
            return DUPLICATE
        return None


def remember(
    reader: RecordReader,
    addressees: Addressees,
    *,
    named: Callable[[Record], str | None],
    is_written_to: Callable[[int], bool],
) -> None:
    """Take down whom an earlier run has written to, of the whole file, before any of its records is offered again.

    A record that is offered again may stand before another one of the same address that was accepted.

    Args:
        reader: The file, from its beginning.
        addressees: Where to.
        named: What finds a record's address.
        is_written_to: Whether a record was offered in the earlier run and is not to be offered again.

    Raises:
        RunError: The file cannot be read further, or there is no room on the disk.
    """
    while rows := reader.read(_BLOCK):
        for row in rows:
            if isinstance(row, BadRecord) or not is_written_to(row.number):
                continue
            try:
                addressees.add(forward_path(named(row) or ""))
            except RecordError:
                continue  # it was an address by the campaign as it was then


def require_address(reader: RecordReader, recipient_field: str | None) -> None:
    """Check that records can have an address, by the header, or of JSON Lines by the first records.

    Args:
        reader: The file, of which nothing has been read.
        recipient_field: The field that the campaign names, or None.

    Raises:
        UsageError: None of the fields can hold it, or more than one; all of them are listed.
        RunError: The file cannot be read.
    """
    failure: RecordError | None = None
    samples = _names(reader)
    for names in samples:
        try:
            address_column(dict.fromkeys(names), recipient_field)
        except RecordError as error:
            failure = failure or error
        else:
            return
    if failure is not None:
        what = "columns" if reader.fields is not None else "fields"
        remedy = f"the {what} are {listed(samples[0])}; {_NAME_IT}"
        raise UsageError(f"{reader.name}: {failure.message}", remedy=remedy)


def require_fields(reader: RecordReader, recipient_field: str | None, uses: Iterable[Uses]) -> None:
    """Check that records can have an address, and the fields without which no message can be made.

    Args:
        reader: The file, of which nothing has been read.
        recipient_field: The field that the campaign names, or None.
        uses: What uses fields: the message's templates, and ``where``.

    Raises:
        UsageError: They cannot; it says which column was probably meant, and all of them. Or ``where`` compares a
            column of texts with a number.
        RunError: The file cannot be read.
    """
    require_address(reader, recipient_field)
    for use in uses:
        for error in missing_fields(reader, use.needed, use.always):
            raise error
        for name, number in use.numbers.items():
            if name in reader.texts or name in aliases(reader.texts):
                written = variable(name, reader.texts) if name in reader.texts else name
                as_text = f"compare it as a text, as in {written} == '1', or as a number, as in {written} | int == 1"
                raise UsageError(
                    f"where: {written} is compared with {number}, which no text is, and this list has only texts",
                    remedy=f"what is empty is an empty text: {written} == ''" if number == "none" else as_text,
                )


def address_field(reader: RecordReader, recipient_field: str | None) -> str | None:
    """The field that every record has its address in; None where it may be another one in each, as in JSON Lines.

    Args:
        reader: The file, whose header has such a field.
        recipient_field: The field that the campaign names, or None.
    """
    if recipient_field is not None or reader.fields is None:
        return recipient_field
    return find_address_column(reader.fields)


def taken_column(reader: RecordReader, recipient_field: str | None) -> str | None:
    """The column that addresses are taken from, where only the meaning of its name says so; otherwise None."""
    if recipient_field is not None or reader.fields is None:
        return None
    column = find_address_column(reader.fields)
    return None if column.casefold() in RECIPIENT_FIELDS else column


def missing_fields(reader: RecordReader, needed: Mapping[str, str], always: Collection[str]) -> Iterator[UsageError]:
    """An error for each field without which no record can be sent, and which none has.

    Of a table its header says it. Of JSON Lines, the first records do, and only of what every record must have: a
    field in a branch of a template may be there just where it is used.

    Args:
        reader: The file, of which nothing has been read.
        needed: The fields that templates use, and where.
        always: Those of them that every record must have.

    Raises:
        RunError: The file cannot be read.
    """
    samples = _names(reader)
    columns = tuple(dict.fromkeys(name for names in samples for name in names))
    is_table = reader.fields is not None
    for name, where in needed.items():
        if columns and (is_table or name in always) and not is_known(name, columns):
            yield unknown(name, columns, where=where, what="column" if is_table else "field")


def _names(reader: RecordReader) -> list[tuple[str, ...]]:
    """The names in the header, or the fields of each of the first records; of a pipe of those, none is read ahead."""
    if reader.fields is not None:
        return [reader.fields]
    if reader.blocking:
        return []
    return [tuple(row.fields) for row in reader.first(_LOOKED_AT) if isinstance(row, Record)]
