"""Reading the recipients file again for the records that are offered again, for as long as it is what it was."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio.to_thread

from batchsend.errors import RunError, UsageError
from batchsend.recipients.admission import Admission
from batchsend.run.first_pass import BRING_BACK
from batchsend.run.handing_over import hand_over
from batchsend.run.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.delivery.pool import Pool
    from batchsend.message import Composer, Submission, Suppression
    from batchsend.recipients import RecordReader
    from batchsend.recipients.fingerprint import FileWatch
    from batchsend.run.accounting import Accounting


class SecondPass:
    """Offers records again, which are known by their places in the recipients file.

    Nothing more is read of the file once it has changed: whoever stands in a record's place by then is somebody else.

    Args:
        records: Opens the recipients file from its beginning.
        composer: What makes a message of each record.
        suppression: Whom not to write to.
        watch: Notices whether the file changes; None for a pipe, which is not read again.
        notice: Called with what the user should know.

    Attributes:
        cut_short: Why there are no further passes, and the run is not complete; None where there may be.
    """

    def __init__(
        self,
        records: Callable[[], RecordReader],
        composer: Composer,
        suppression: Suppression,
        watch: FileWatch | None,
        notice: Callable[[str], None],
    ) -> None:
        self.cut_short: RunError | None = None
        self._records = records
        self._composer = composer
        self._suppression = suppression
        self._watch = watch
        self._notice = notice

    async def look(self) -> None:
        """The first pass is over: was the file written to in its place, perhaps while it was read?

        A file that has taken its place does not matter here: the first pass has read the one that was there.
        """
        if self._watch is not None and self._watch.is_same_file:
            await self._may_go_on(self._watch)

    async def run(self, chosen: dict[int, int], pool: Pool, accounting: Accounting) -> None:
        """Read the recipients file from its beginning for the records that are due.

        Args:
            chosen: The numbers of their next attempts, by record.
            pool: Where their submissions go.
            accounting: What is told of them.
        """
        watch = self._watch
        if watch is None or not await self._may_go_on(watch):
            accounting.not_found_again()
            return
        began, handing_over = time.monotonic(), 0.0

        async def hand_on(batch: list[Submission]) -> None:
            nonlocal handing_over
            if not watch.is_untouched:
                raise _ChangedWhileReadError
            found = time.monotonic()
            await hand_over(batch, accounting, pool)
            handing_over += time.monotonic() - found

        try:
            with self._records() as reader:
                admission = Admission(self._suppression, next_attempt=lambda record: chosen.get(record, 0))
                report = accounting.withheld_again
                await Producer(reader, self._composer, admission, report=report, last=max(chosen)).run(hand_on)
        except _ChangedWhileReadError:
            self._end(f"{reader.name} was written to while it was read")
        except (UsageError, RunError) as error:
            self._end(error.message)
        accounting.not_found_again()
        accounting.pause_between_passes(time.monotonic() - began - handing_over)

    async def _may_go_on(self, watch: FileWatch) -> bool:
        if self.cut_short is None and not watch.is_untouched:
            change = await anyio.to_thread.run_sync(watch.change)
            if change is not None:
                self._end(change)
        return self.cut_short is None

    def _end(self, why: str) -> None:
        self._notice(f"{why}: deferred records are not tried again in this run")
        self.cut_short = RunError(why, remedy=BRING_BACK)


class _ChangedWhileReadError(Exception):
    """The recipients file has changed while it was read for records that are offered again."""
