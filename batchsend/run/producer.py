"""The producer of a run: records read and rendered, no faster than their messages are taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio.lowlevel
import anyio.to_thread

from batchsend.errors import RecordError
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.recipients import BadRecord, Record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from batchsend.message import Composer, Submission
    from batchsend.recipients import RecordReader
    from batchsend.recipients.admission import Admission

# Records rendered in one go: the loop does nothing else meanwhile, so this bounds how long a reply waits.
_RECORDS = 64
# Octets of rendered messages handed over in one go: the bound where the messages are large.
_OCTETS = 512 * 1024


class Producer:
    """Makes submissions of a recipients file's records; those that are not to be sent have their outcome at once.

    Args:
        reader: Where the records come from.
        composer: What makes a message of each.
        admission: Which of them are offered.
        report: Called with the outcome of each record that is not to be offered.
        last: Nothing after this record is wanted; None for all of the file.
    """

    def __init__(
        self,
        reader: RecordReader,
        composer: Composer,
        admission: Admission,
        *,
        report: Callable[[DeliveryResult], None],
        last: int | None = None,
    ) -> None:
        self._reader = reader
        self._composer = composer
        self._admission = admission
        self._report = report
        self._last = last

    async def run(self, hand_over: Callable[[list[Submission]], Awaitable[None]]) -> None:
        """Hand over submissions in the order of the file, in batches of a bounded number and size.

        Raises:
            RunError: The file cannot be read further.
        """
        while self._admission.left != 0 and (rows := await self._rows()):
            handed_over = False
            for batch in self._compose(self._admission.wanted(rows)):
                handed_over = True
                await hand_over(batch)
            if self._last is not None and rows[-1].number >= self._last:
                return
            if not handed_over:
                # Nothing was waited for: without this, a long row of records that are not sent would stop the loop.
                await anyio.lowlevel.checkpoint()

    async def _rows(self) -> list[Record | BadRecord]:
        most = self._admission.most(_RECORDS)
        if self._reader.blocking:
            return await anyio.to_thread.run_sync(self._reader.read, most, abandon_on_cancel=True)
        return self._reader.read(most)

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
        if type(row) is BadRecord:  # `isinstance` asks the class's own class, which takes six times as long
            self._withhold(row, None, Outcome.INVALID, row.reason)
            return None
        try:
            submission = self._composer.compose(row)
        except RecordError as error:
            self._withhold(row, self._composer.named_recipient(row), Outcome.INVALID, error.message)
            return None
        recipient = submission.envelope.forward_path
        if (reason := self._admission.refusal(recipient)) is not None:
            self._withhold(row, recipient, Outcome.SUPPRESSED, reason)
            return None
        submission.attempt = self._admission.attempt(row.number)
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
