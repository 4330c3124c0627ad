"""The producer of a run: records read and rendered, no faster than their messages are taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio.lowlevel
import anyio.to_thread

from batchsend.errors import RecordError
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.recipients import BadRecord, Record
from batchsend.recipients.addresses import forward_path
from batchsend.recipients.exclusion import REASON as HAD_IT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from batchsend.message import Composer, Submission, Suppression
    from batchsend.recipients import RecordReader
    from batchsend.recipients.addressees import Addressees
    from batchsend.recipients.exclusion import Exclusion

# Records rendered in one go: the loop does nothing else meanwhile, so this bounds how long a reply waits.
_RECORDS = 64
# Octets of rendered messages handed over in one go: the bound where the messages are large.
_OCTETS = 512 * 1024


class Producer:
    """Makes submissions of a recipients file's records; those that are not to be sent have their outcome at once.

    Args:
        reader: Where the records come from.
        composer: What makes a message of each.
        suppression: Whom not to write to.
        report: Called with the outcome of each record that is not to be offered.
        limit: Take at most this many records; None for all.
        next_attempt: The number of the attempt that a record is to be made a submission for; 0 for a record to be
            passed over in silence. None: all of them, for their first one.
        last: Nothing after this record is wanted; None for all of the file.
        addressees: Who has been written to: a record for one of them is not sent. None: the same address may come
            again.
        was_offered: Whether a record that is passed over was for an address that counts as written to.
        exclusion: Who has had the message by the log of an earlier run, or None.
    """

    def __init__(
        self,
        reader: RecordReader,
        composer: Composer,
        suppression: Suppression,
        *,
        report: Callable[[DeliveryResult], None],
        limit: int | None = None,
        next_attempt: Callable[[int], int] | None = None,
        last: int | None = None,
        addressees: Addressees | None = None,
        was_offered: Callable[[int], bool] = lambda _: False,
        exclusion: Exclusion | None = None,
    ) -> None:
        self._reader = reader
        self._composer = composer
        self._suppression = suppression
        self._report = report
        self._left = limit
        self._beyond = 0  # records that were read and not taken any more
        self._next_attempt = next_attempt
        self._last = last
        self._addressees = addressees
        self._was_offered = was_offered
        self._exclusion = exclusion

    async def run(self, hand_over: Callable[[list[Submission]], Awaitable[None]]) -> None:
        """Hand over submissions in the order of the file, in batches of a bounded number and size.

        Raises:
            RunError: The file cannot be read further.
        """
        while self._left != 0 and (rows := await self._rows()):
            handed_over = False
            for batch in self._compose(self._wanted(rows)):
                handed_over = True
                await hand_over(batch)
            if self._last is not None and rows[-1].number >= self._last:
                return
            if not handed_over:
                # Nothing was waited for: without this, a long row of records that are not sent would stop the loop.
                await anyio.lowlevel.checkpoint()

    def count_left(self, most: int) -> int | None:
        """How many records are left that would have been taken without a limit, counted up to ``most``.

        Reads on; to be called once, after `run`. None where the records come by a pipe, for more may come.

        Raises:
            RunError: The file cannot be read further.
        """
        if self._left != 0:
            return 0
        if self._reader.blocking:
            return None
        left, wanted = self._beyond, self._next_attempt
        while left < most and (rows := self._reader.read(1000)):
            left += len(rows) if wanted is None else sum(1 for row in rows if wanted(row.number))
        return min(left, most)

    async def _rows(self) -> list[Record | BadRecord]:
        if self._reader.blocking:
            return await anyio.to_thread.run_sync(self._reader.read, self._most(), abandon_on_cancel=True)
        return self._reader.read(self._most())

    def _most(self) -> int:
        # Where all records are taken, none is read that is not: on a pipe, somebody else may want it.
        return _RECORDS if self._left is None or self._next_attempt is not None else min(self._left, _RECORDS)

    def _wanted(self, rows: list[Record | BadRecord]) -> list[Record | BadRecord]:
        if self._next_attempt is not None:
            chosen = [row for row in rows if self._next_attempt(row.number)]
            if self._addressees is not None and len(chosen) < len(rows):
                self._remember((row for row in rows if not self._next_attempt(row.number)), self._addressees)
            rows = chosen
        if self._left is not None:
            self._beyond = max(0, len(rows) - self._left)
            rows = rows[: self._left]
            self._left -= len(rows)
        return rows

    def _remember(self, rows: Iterable[Record | BadRecord], addressees: Addressees) -> None:
        """Take down whose records are passed over, where an earlier run has written to them."""
        for row in rows:
            if isinstance(row, BadRecord) or not self._was_offered(row.number):
                continue
            try:
                addressees.add(forward_path(self._composer.named_recipient(row) or ""))
            except RecordError:
                continue  # it was an address by the campaign as it was then

    def _compose(self, rows: Iterable[Record | BadRecord]) -> Iterator[list[Submission]]:
        batch: list[Submission] = []
        octets = 0
        for row in rows:
            submission = self._submission(row)
            if submission is not None:
                batch.append(submission)
                octets += len(submission.content)
                if octets > _OCTETS:
                    yield batch
                    batch, octets = [], 0
        if batch:
            yield batch

    def _submission(self, row: Record | BadRecord) -> Submission | None:
        if isinstance(row, BadRecord):
            self._withhold(row, None, Outcome.INVALID, row.reason)
            return None
        try:
            submission = self._composer.compose(row)
        except RecordError as error:
            self._withhold(row, self._composer.named_recipient(row), Outcome.INVALID, error.message)
            return None
        recipient = submission.envelope.forward_path
        if self._suppression and recipient in self._suppression:
            self._withhold(row, recipient, Outcome.SUPPRESSED, "on a suppression list")
            return None
        if self._exclusion is not None and recipient in self._exclusion:
            self._withhold(row, recipient, Outcome.SUPPRESSED, HAD_IT)
            return None
        if self._addressees is not None and not self._addressees.add(recipient):
            self._withhold(row, recipient, Outcome.SUPPRESSED, "duplicate")
            return None
        if self._next_attempt is not None:
            submission.attempt = self._next_attempt(row.number)
        return submission

    def _withhold(self, row: Record | BadRecord, recipient: str | None, status: Outcome, reason: str) -> None:
        self._report(
            DeliveryResult(
                record=row.number,
                recipient=recipient,
                status=status,
                reason=reason,
                time=time.time(),
                line=row.line if status is Outcome.INVALID else None,
            )
        )
