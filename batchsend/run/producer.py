"""The producer of a run: records read and rendered, no faster than their messages are taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from batchsend.errors import RunError
from batchsend.recipients import BadRecord, Record
from batchsend.run.offers import Offers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from batchsend.message import Composer, Submission
    from batchsend.outcome import DeliveryResult
    from batchsend.recipients import RecordReader
    from batchsend.recipients.admission import Admission
    from batchsend.run.composing import Composing

# Records rendered in one go: the loop does nothing else meanwhile, so this bounds how long a reply waits.
_RECORDS = 64


class Producer:
    """Makes submissions of a recipients file's records; those that are not to be sent have their outcome at once.

    Args:
        reader: Where the records come from.
        composer: What makes a message of each.
        admission: Which of them are offered.
        report: Called with the outcome of each record that is not to be offered.
        last: Nothing after this record is wanted; None for all of the file, as where there is ``beside``.
        look: Looks at the file after each reading and before what was read counts, and may raise; None: nobody looks.
        beside: Gives what composes messages in processes beside this one, by how many seconds of computing one has
            taken, or None; asked once, when some records are composed. None: all of them are composed here.
        breathe: Awaited after records none of which is offered.
    """

    def __init__(
        self,
        reader: RecordReader,
        composer: Composer,
        admission: Admission,
        *,
        report: Callable[[DeliveryResult], None],
        last: int | None = None,
        beside: Callable[[float], Composing | None] | None = None,
        look: Callable[[], Awaitable[None]] | None = None,
        breathe: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
    ) -> None:
        self._reader = reader
        self._admission = admission
        self._offers = Offers(composer, admission, report)
        self._last = last
        self._beside = beside
        self._look = look
        self._breathe = breathe

    async def run(self, hand_over: Callable[[list[Submission]], Awaitable[None]]) -> None:
        """Hand over submissions in the order of the file, in batches of a bounded number and size.

        Raises:
            RunError: The file cannot be read further.
        """
        # The first record is read by itself. What is made only once is made with the first message, and what happens
        # beside costs no time of this thread: neither says how long messages take.
        is_first, rows = True, await self._rows(1)
        while rows:
            handed_over = False
            composed, seconds, began = 0, 0.0, time.thread_time()
            for batch in self._offers.batches(self._admission.wanted(rows)):
                composed += len(batch)
                seconds += time.thread_time() - began
                handed_over = True
                await hand_over(batch)
                began = time.thread_time()
            if self._is_last(rows):
                return
            if not handed_over:
                # Nothing was waited for: without this, a long row of records that are not sent would stop the loop.
                await self._breathe()
            elif is_first:
                is_first = False
            elif self._beside is not None:
                composing, self._beside = self._beside(seconds / composed), None
                if composing is not None:
                    await self._run_beside(composing, hand_over)
                    return
            rows = await self._rows()

    async def _run_beside(self, composing: Composing, hand_over: Callable[[list[Submission]], Awaitable[None]]) -> None:
        """Go on with processes that compose: the file is read a few blocks ahead of what is handed over.

        Raises:
            RunError: The file cannot be read further, or the processes end.
        """
        failure: Exception | None = None
        # One block for each process, and one that waits for the next that is free.
        send, receive = anyio.create_memory_object_stream["_Block"](composing.count)
        async with composing.open(), anyio.create_task_group() as tasks, receive:
            tasks.start_soon(self._read_ahead, composing, tasks, send)
            try:
                async for block in receive:
                    await self._breathe()
                    while (offered := await block.next(composing)) is not None:
                        for batch in self._offers.batches_of_composed(offered):
                            await hand_over(batch)
            except Exception as error:  # raised again below: a task group would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _read_ahead(self, composing: Composing, tasks: TaskGroup, blocks: MemoryObjectSendStream[_Block]) -> None:
        async with blocks:
            while True:
                try:
                    if not (rows := await self._rows()):
                        return
                    block = _Block(self._admission.wanted(rows))
                except RunError as error:
                    await blocks.send(_Block([], error))
                    return
                tasks.start_soon(block.compose, composing)
                await blocks.send(block)

    def _is_last(self, rows: list[Record | BadRecord]) -> bool:
        return self._last is not None and rows[-1].number >= self._last

    async def _rows(self, most: int = _RECORDS) -> list[Record | BadRecord]:
        """The next rows, at most so many; none at the file's end, or where no more are to be taken."""
        if self._admission.left == 0:
            return []
        most = self._admission.most(most)
        if self._reader.blocking:
            return await anyio.to_thread.run_sync(self._reader.read, most, abandon_on_cancel=True)
        try:
            rows = self._reader.read(most)
        except RunError:
            if self._look is not None:
                await self._look()  # what was written to while it was read says so
            raise
        if self._look is not None:
            await self._look()
        return rows


class _Block:
    """Rows that are composed beside the run, and what has come of them.

    Args:
        rows: The rows.
        failure: Why there are none.
    """

    def __init__(self, rows: list[Record | BadRecord], failure: RunError | None = None) -> None:
        self._left = rows
        self._offered: list[tuple[Record | BadRecord, Submission | str | None]] = []
        self._failure = failure
        self._ready = anyio.Event()
        if failure is not None:
            self._ready.set()

    async def compose(self, composing: Composing) -> None:
        """Have the messages composed, as many as one answer holds: the rest when these have been handed over.

        So no more is held of a campaign with large messages than a little for each process.
        """
        records = [row for row in self._left if isinstance(row, Record)]
        try:
            answer = iter(await composing.compose(records) if records else [])
        except RunError as error:
            self._failure = error
        else:
            for place, row in enumerate(self._left):
                composed = next(answer, None) if isinstance(row, Record) else None
                if composed is None and isinstance(row, Record):
                    self._left = self._left[place:]
                    break
                self._offered.append((row, composed))
            else:
                self._left = []
        self._ready.set()

    async def next(self, composing: Composing) -> list[tuple[Record | BadRecord, Submission | str | None]] | None:
        """The next rows with what has come of them; None after the last.

        Raises:
            RunError: As `Composing.compose`, or why there are no rows.
        """
        if self._ready.is_set() and not self._offered and self._failure is None:
            if not self._left:
                return None
            await self.compose(composing)
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure
        offered, self._offered = self._offered, []
        return offered
