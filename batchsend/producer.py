"""Stages ① and ② in one: records read and rendered, no faster than their messages are taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio.lowlevel
import anyio.to_thread

from batchsend.errors import RecordError
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.records import BadRecord, Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from batchsend.message import Composer, Submission, Suppression
    from batchsend.records import RecordReader

# Records rendered in one go: the loop does nothing else meanwhile, so this bounds how long a reply waits.
_RECORDS = 32
# Octets of rendered messages handed over in one go: the bound where the messages are large.
_OCTETS = 512 * 1024


class Producer:
    """Makes submissions of a recipients file's records; those that are not to be sent have their outcome at once.

    Args:
        reader: Where the records come from.
        composer: What makes a message of each.
        suppression: Whom not to write to.
        report: Called with the outcome of each record that is not to be offered.
        limit: Read at most this many records; None for all.
        chosen: The records to make submissions of, with the number of their next attempt; None for all, with their
            first one. The others are passed over in silence.
    """

    def __init__(
        self,
        reader: RecordReader,
        composer: Composer,
        suppression: Suppression,
        *,
        report: Callable[[DeliveryResult], None],
        limit: int | None = None,
        chosen: dict[int, int] | None = None,
    ) -> None:
        self._reader = reader
        self._composer = composer
        self._suppression = suppression
        self._report = report
        self._left = limit
        self._chosen = chosen
        self._last = max(chosen, default=0) if chosen is not None else None

    async def batches(self) -> AsyncIterator[list[Submission]]:
        """Submissions in the order of the file, in batches of a bounded number and size.

        Raises:
            RunError: The file cannot be read further.
        """
        while rows := await self._rows():
            last = rows[-1].number
            if self._chosen is not None:
                rows = [row for row in rows if row.number in self._chosen]
            handed_over = False
            for batch in self._compose(rows):
                handed_over = True
                yield batch
            if self._last is not None and last >= self._last:
                return
            if not handed_over:
                # Nothing was waited for: without this, a long row of records that are not sent would stop the loop.
                await anyio.lowlevel.checkpoint()

    async def _rows(self) -> list[Record | BadRecord]:
        wanted = _RECORDS if self._left is None else min(self._left, _RECORDS)
        if wanted == 0:
            return []
        if self._reader.blocking:
            rows = await anyio.to_thread.run_sync(self._reader.read, wanted, abandon_on_cancel=True)
        else:
            rows = self._reader.read(wanted)
        if self._left is not None:
            self._left -= len(rows)
        return rows

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
        if self._chosen is not None:
            submission.attempt = self._chosen[row.number]
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
