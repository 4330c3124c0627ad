"""The account between producer and pool: what was handed over, what came back, what waits for another attempt."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import anyio

from batchsend.errors import RunError
from batchsend.outcome import DeliveryResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ObjectSendStream

    from batchsend.delivery.retry import Waiting
    from batchsend.message.submission import Submission
    from batchsend.report.summary import Summary
    from batchsend.results.log import ResultsLog

# Looking for the deferred records means reading the recipients file again: at most a twentieth of the time goes there.
_SHARE = 20
_LEAST_PAUSE = 1.0


class Dispatch:
    """Takes every outcome down, and says which records are to be offered again.

    All the lines of one turn of the loop are one write to the log.

    Args:
        log: The open results log.
        summary: Where outcomes are counted.
        waiting: The records that wait.

    Attributes:
        on_failure: Called when the log cannot be written.
    """

    def __init__(self, log: ResultsLog, summary: Summary, waiting: Waiting) -> None:
        self.on_failure: Callable[[RunError], None] = _raise
        self._log = log
        self._summary = summary
        self._waiting = waiting
        self._loop = asyncio.get_running_loop()
        self._out = 0
        self._changed = anyio.Event()
        self._next_pass = 0.0

    async def hand_over(self, batch: list[Submission], into_pool: ObjectSendStream[list[Submission]]) -> None:
        """Give submissions to the pool, as soon as it takes them."""
        self._out += len(batch)
        await into_pool.send(batch)

    def withheld(self, result: DeliveryResult) -> None:
        """A record has its outcome without having been offered."""
        self._summary.count(result)
        self._write(result)

    def offered(self, result: DeliveryResult, earlier: DeliveryResult | None) -> None:
        """A submission has come back from the pool; or an earlier outcome has to be taken back."""
        retried = result.attempt > 1
        if earlier is not None:
            if self._waiting.withdraw(result.record):
                self._summary.waiting -= 1
                self._summary.count(result)
            else:
                self._summary.count(result, earlier)
        else:
            self._out -= 1
            if retried:
                self._summary.waiting -= 1
            again = result.status is Outcome.DEFERRED and self._waiting.add(
                result.record, result.attempt, time.monotonic()
            )
            if again:
                self._summary.waiting += 1
            else:
                self._summary.count(result)
            if again or not self._out:
                self._changed.set()
        self._write(result)

    def due(self) -> dict[int, int]:
        """The records to be offered again now, with the numbers of their attempts."""
        now = time.monotonic()
        first = self._waiting.next_due()
        if first is None or first > now or self._next_pass > now:
            return {}
        return self._waiting.take_due(now)

    async def wait(self) -> dict[int, int] | None:
        """Wait until records are due, and return them; None when nothing is out any more and none waits."""
        while True:
            if chosen := self.due():
                return chosen
            first = self._waiting.next_due()
            if first is None and not self._out:
                return None
            self._changed = anyio.Event()
            pause = None if first is None else max(first, self._next_pass) - time.monotonic()
            with anyio.move_on_after(pause):
                await self._changed.wait()

    def pause_between_passes(self, seconds: float) -> None:
        """Another pass through the recipients file took so long: the next one waits in proportion."""
        self._next_pass = time.monotonic() + max(_LEAST_PAUSE, _SHARE * seconds)

    def _write(self, result: DeliveryResult) -> None:
        if self._log.append(result):
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            self._log.flush()
        except RunError as error:
            self.on_failure(error)


def _raise(error: RunError) -> None:
    raise error
