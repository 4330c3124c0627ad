"""The account between producer and pool: what was handed over, what came back, what waits for another attempt."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import anyio

from batchsend.errors import RunError
from batchsend.outcome import DeliveryResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ObjectSendStream

    from batchsend.message.submission import Submission
    from batchsend.results.groupsync import GroupSync
    from batchsend.results.ledger import Ledger
    from batchsend.results.resumption import Resumption
    from batchsend.run.retry import RetryQueue
    from batchsend.run.summary import Summary

# Looking for the deferred records means reading the recipients file again: at most a twentieth of the time goes there.
_SHARE: Final = 20
_LEAST_PAUSE: Final = 1.0
# Python 3.11 takes 0.1 µs to look a member up in its enumeration.
_DEFERRED: Final = Outcome.DEFERRED


class Accounting:
    """Takes every outcome down, and says which records are to be offered again.

    All the lines of one turn of the loop are one write to the log.

    Args:
        ledger: The open account.
        summary: Where outcomes are counted.
        waiting: The records that wait.
        past: The run that this one goes on with, or None.
        disk: What brings the account to the disk before a message is committed, or None where the kernel is enough.

    Attributes:
        on_failure: Called when the account cannot be kept.
        untouched: The records with an outcome from an earlier run and none from this one, by outcome.
    """

    def __init__(
        self,
        ledger: Ledger,
        summary: Summary,
        waiting: RetryQueue,
        past: Resumption | None = None,
        disk: GroupSync | None = None,
    ) -> None:
        self.on_failure: Callable[[RunError], None] = _raise
        self.untouched: Counter[Outcome] = Counter() if past is None else Counter(past.counts)
        self._ledger = ledger
        self._summary = summary
        self._waiting = waiting
        self._disk = disk
        self._tally = None if past is None else past.account.tally
        self._attempts: dict[int, int] = {}  # of the records that are out, where it is not their first one
        self._loop = asyncio.get_running_loop()
        self._out = 0
        self._changed = asyncio.Event()
        self._next_pass = 0.0

    @property
    def under_way(self) -> int:
        """How many records were read and have no outcome that stands: they are out, or wait for another attempt."""
        return self._out + len(self._waiting)

    async def hand_over(self, batch: list[Submission], into_pool: ObjectSendStream[list[Submission]]) -> None:
        """Give submissions to the pool, as soon as it takes them."""
        self._out += len(batch)
        for submission in batch:
            if submission.attempt > 1:
                self._attempts[submission.record] = submission.attempt
        await into_pool.send(batch)

    def commit(self, record: int, release: Callable[[bool], None]) -> bool:
        """A message is about to be committed: take that down.

        True if its octets may be sent. Otherwise ``release`` is called later: with true when they may be sent, with
        false when they must not, because it could not be taken down.
        """
        try:
            self._ledger.commit(record, self._attempts.get(record, 1))
        except RunError as error:
            self.on_failure(error)
            self._loop.call_soon(release, False)
            return False
        if self._disk is None:
            return True
        self._disk.wait(release)
        return False

    def withdraw(self, record: int) -> None:
        """A message that was about to be committed was not taken, and goes back to where it came from."""
        self._ledger.withdraw(record)

    def withheld(self, result: DeliveryResult) -> None:
        """A record has its outcome without having been offered."""
        self._touch(result.record)
        self._summary.count(result)
        self._write(result)

    def withheld_again(self, result: DeliveryResult) -> None:
        """A record that was to be offered again cannot be any more."""
        self._summary.waiting -= 1
        self._summary.count(result)
        self._write(result)

    def noted(self, result: DeliveryResult) -> None:
        """An attempt came to nothing, and the pool itself makes the next one."""
        self._write(result)

    def offered(self, result: DeliveryResult, earlier: DeliveryResult | None) -> None:
        """A submission has come back from the pool; or an earlier outcome has to be taken back."""
        if earlier is not None:
            if self._waiting.withdraw(result.record):
                self._summary.waiting -= 1
                self._summary.count(result)
            else:
                self._summary.count(result, earlier)
        else:
            self._settle(result)
        self._write(result)

    def _settle(self, result: DeliveryResult) -> None:
        self._out -= 1
        before = 0 if self._tally is None else self._tally.attempts(result.record)
        attempt = self._attempts.pop(result.record, 1) - before  # of this run
        if attempt == 1:
            self._touch(result.record)
        else:
            self._summary.waiting -= 1
        again = result.status is _DEFERRED and self._waiting.add(result.record, attempt, time.monotonic())
        if again:
            self._summary.waiting += 1
        else:
            self._summary.count(result)
        if again or not self._out:
            self._changed.set()

    def _touch(self, record: int) -> None:
        """The first outcome of a record in this run takes the place of its outcome in an earlier one."""
        if self._tally is not None and (status := self._tally.status(record)) is not None:
            self.untouched[status] -= 1

    def due(self) -> dict[int, int]:
        """The records to be offered again now, with the numbers of their attempts."""
        now = time.monotonic()
        first = self._waiting.next_due()
        if first is None or first > now or self._next_pass > now:
            return {}
        due = self._waiting.take_due(now)
        if self._tally is not None:
            for record in due:
                due[record] += self._tally.attempts(record)
        return due

    async def wait(self) -> dict[int, int] | None:
        """Wait until records are due, and return them; None when nothing is out any more and none waits."""
        while True:
            if chosen := self.due():
                return chosen
            first = self._waiting.next_due()
            if first is None and not self._out:
                return None
            self._changed = asyncio.Event()
            pause = None if first is None else max(first, self._next_pass) - time.monotonic()
            with anyio.move_on_after(pause):
                await self._changed.wait()

    def pause_between_passes(self, seconds: float) -> None:
        """Another pass through the recipients file took so long: the next one waits in proportion."""
        self._next_pass = time.monotonic() + max(_LEAST_PAUSE, _SHARE * seconds)

    def _write(self, result: DeliveryResult) -> None:
        try:
            due = self._ledger.append(result)
        except RunError as error:
            self.on_failure(error)
        else:
            if due:
                self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            self._ledger.flush()
        except RunError as error:
            self.on_failure(error)


def _raise(error: RunError) -> None:
    raise error
