"""The account of a local run, between producer and pool: what was handed over, what came back, what waits.

A record that was read is in exactly one of these places:

- *out*: in the pool, which alone decides what happens to it there;
- *waiting*: deferred, in the `RetryQueue`;
- *being prepared*: due, and read and composed again for its next attempt;
- *settled*: its outcome is in the log, and nothing more is done with it.

What an older attempt is found out to have been never changes a record that has gone on to a later one, with one
exception: a record that may have been delivered is not offered again, wherever it is. So where the later attempt was
refused, the record is in doubt; where it was accepted, it is accepted, and may have been delivered twice.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Final

from batchsend.delivery.signal import Signal
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.results.book import Book, delivered_before_too
from batchsend.results.tally import CODES, OUTCOMES
from batchsend.run.summary import Summary, take_one

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.delivery.pool import Pool
    from batchsend.errors import RunError
    from batchsend.message.submission import Submission
    from batchsend.results.groupsync import GroupSync
    from batchsend.results.ledger import Ledger
    from batchsend.results.resumption import Resumption
    from batchsend.run.retry import RetryQueue
    from batchsend.run.streaming import ResultStream

# Looking for the deferred records means reading the recipients file again: at most a twentieth of the time goes there.
_SHARE: Final = 20
_LEAST_PAUSE: Final = 1.0
# In the words of `LatestAttempts`: the lowest three bits are the outcome.
_STATUSES: Final = 8
_MOST_ATTEMPTS: Final = 8191
# Looked up once: see `batchsend.outcome`.
_ACCEPTED: Final = Outcome.ACCEPTED
_DEFERRED: Final = Outcome.DEFERRED
_IN_DOUBT: Final = Outcome.IN_DOUBT


class LatestAttempts:
    """The newest attempt of each record that was offered more than once in this run, and what came of it.

    Two octets for each record up to the last one of these.

    Attributes:
        used: There is such a record: whether there is need to ask for one.
    """

    def __init__(self) -> None:
        self.used = False
        self._words: array[int] = array("H")

    def note(self, record: int, attempt: int, status: Outcome | None = None) -> None:
        """A record was settled by this attempt of the run, from 1; without a status it is only offered again."""
        self.used = True
        if record >= len(self._words):
            self._words.frombytes(bytes(2 * (record * 5 // 4 + 1024 - len(self._words))))
        self._words[record] = min(attempt, _MOST_ATTEMPTS) * _STATUSES + (CODES[status] if status is not None else 0)

    def __getitem__(self, record: int) -> int:
        """The attempt that counts; 0 where it was offered once at most."""
        return self._words[record] // _STATUSES if record < len(self._words) else 0

    def status(self, record: int) -> Outcome | None:
        """What came of that attempt; None where nothing has yet, or it was offered once at most."""
        return OUTCOMES[self._words[record] % _STATUSES] if record < len(self._words) else None


class Accounting:
    """Takes every outcome down, and says which records are to be offered again. Implements the pool's `Account`.

    Args:
        ledger: The open account.
        summary: Where outcomes are counted.
        waiting: The records that wait.
        past: The run that this one goes on with, or None.
        disk: What brings the account to the disk before a message is committed, or None where the kernel is enough.
        notice: Called with what the user should know and no outcome says.
        stream: Who is told each outcome, and may hold back what is handed over; None for nobody.

    Attributes:
        changed: Something has come back, or is due.
        stream: As given.
        untouched: The records with an outcome from an earlier run and none from this one, by outcome.
    """

    def __init__(
        self,
        ledger: Ledger,
        summary: Summary,
        waiting: RetryQueue,
        past: Resumption | None = None,
        disk: GroupSync | None = None,
        *,
        notice: Callable[[str], None] = lambda _: None,
        stream: ResultStream | None = None,
    ) -> None:
        self.untouched: Counter[Outcome] = Counter() if past is None else Counter(past.counts)
        self._book = Book(ledger, disk)
        self._summary = summary
        self._waiting = waiting
        self._notice = notice
        self.stream = stream
        self._tally = None if past is None else past.account.tally
        self._loop = asyncio.get_running_loop()
        self._out = 0
        self._preparing: set[int] = set()
        self._latest = LatestAttempts()
        self._in_doubt: set[int] = set()  # settled so in this run: few, and none of them is ever anything else again
        self.changed = Signal()
        self._next_pass = 0.0

    @property
    def on_failure(self) -> Callable[[RunError], None]:
        """Called when the account cannot be kept."""
        return self._book.on_failure

    @on_failure.setter
    def on_failure(self, called: Callable[[RunError], None]) -> None:
        self._book.on_failure = called

    @property
    def under_way(self) -> int:
        """How many records were read and have no outcome that stands: they are out, or wait for another attempt."""
        return self._out + len(self._waiting) + len(self._preparing)

    def hand_over(self, batch: list[Submission], pool: Pool) -> None:
        """Give submissions to a pool that has room for them."""
        if self._preparing or (batch and batch[0].attempt > 1):
            batch = [submission for submission in batch if self._is_wanted(submission)]
        self._out += len(batch)
        pool.add(batch)

    def _is_wanted(self, submission: Submission) -> bool:
        """Whether a record is still to be offered; not if it was found in doubt while it was being prepared."""
        if self._attempt_of_this_run(submission.record, submission.attempt) <= 1:
            return True
        if submission.record not in self._preparing:
            return False
        self._preparing.discard(submission.record)
        return True

    # --- what the pool says -------------------------------------------------------------------------------------------

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """A message is about to be committed: take that down; `Book.commit` says what comes of it."""
        return self._book.commit(submission.record, submission.attempt, release)

    def withdraw(self, submission: Submission) -> None:
        """A message that was about to be committed was not taken; the pool offers it again."""
        self._book.withdraw(submission.record, submission.attempt)

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """A message was refused for the relay's reasons, or an earlier offer of it may have been delivered."""
        if result.status is _IN_DOUBT:
            # It is named at once: this process may be killed before the offer that is under way has its outcome.
            self._write(result)
        else:
            self._book.withdraw(submission.record, submission.attempt)
            self._latest.note(submission.record, self._attempt_of_this_run(submission.record, submission.attempt))

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """A record has its outcome."""
        del submission
        self._out -= 1
        attempt = result.attempt if self._tally is None else self._attempt_of_this_run(result.record, result.attempt)
        if attempt <= 1:
            if self._tally is not None:
                self._touch(result.record)
        else:
            self._summary.waiting -= 1
        if attempt > 1 or (self._latest.used and self._latest[result.record]):
            self._latest.note(result.record, attempt, result.status)
        again = result.status is _DEFERRED and self._waiting.add(result.record, max(attempt, 1), self._loop.time())
        if again:
            self._summary.waiting += 1
        else:
            self._summary.count(result)
            if result.status is _IN_DOUBT:
                self._in_doubt.add(result.record)
        if again or not self._out:
            self.changed.notify()
        self._write(result)

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """What was settled cannot be believed: ``result`` takes its place, unless a later attempt has."""
        record, in_doubt = result.record, result.status is _IN_DOUBT
        if record in self._in_doubt:
            return  # whatever else is found out of it, it may have been delivered
        is_waiting = record in self._preparing or record in self._waiting
        if is_waiting:
            if not in_doubt:
                return  # it is deferred, and was before
            self._preparing.discard(record)
            self._waiting.withdraw(record)
            self._summary.waiting -= 1
            self._summary.count(result)
            self.changed.notify()
        elif earlier is None or self._latest[record] > self._attempt_of_this_run(record, result.attempt):
            if not in_doubt or not self._is_in_doubt_after_all(result):
                return
        else:
            self._summary.count(result, earlier)
            if newest := self._latest[record]:
                self._latest.note(record, newest, result.status)
        if in_doubt:
            self._in_doubt.add(record)
            # The line speaks of the newest attempt, for that is what all of them together came to.
            result.attempt += max(0, self._latest[record] - self._attempt_of_this_run(record, result.attempt))
        self._write(result)

    def _is_in_doubt_after_all(self, result: DeliveryResult) -> bool:
        """Whether a record is in doubt for an earlier attempt's sake; not if the one that counts was accepted."""
        later = self._latest.status(result.record)
        if later is _ACCEPTED or later is None:
            self._notice(delivered_before_too(result))
            return False
        take_one(self._summary.counts, later)
        self._summary.count(result)
        return True

    # --- what the producer says ---------------------------------------------------------------------------------------

    def withheld(self, result: DeliveryResult) -> None:
        """A record has its outcome without having been offered."""
        self._touch(result.record)
        self._summary.count(result)
        self._write(result)

    def withheld_again(self, result: DeliveryResult) -> None:
        """A record that was to be offered again cannot be any more."""
        if result.record not in self._preparing:
            return  # in doubt meanwhile, and counted
        self._preparing.discard(result.record)
        self._summary.waiting -= 1
        self._summary.count(result)
        # It stands for the attempt that would have come: what is found out of the ones before is about an older one.
        self._latest.note(result.record, max(self._latest[result.record], 1) + 1, result.status)
        self._write(result)

    def not_found_again(self) -> None:
        """A pass through the recipients file is over: what was due and was not in it stays deferred."""
        for record in self._preparing:
            self._summary.waiting -= 1
            self._summary.counts[_DEFERRED] += 1
            del record
        self._preparing.clear()

    def due(self) -> dict[int, int]:
        """The records to be offered again now, with the numbers of their attempts."""
        now = self._loop.time()
        first = self._waiting.next_due()
        if first is None or first > now or self._next_pass > now:
            return {}
        due = self._waiting.take_due(now)
        if self._tally is not None:
            for record in due:
                due[record] += self._tally.attempts(record)
        self._preparing.update(due)
        return due

    @property
    def is_over(self) -> bool:
        """Nothing is out any more, and nothing waits for another attempt."""
        return not self._out and self._waiting.next_due() is None

    def seconds_until_due(self) -> float | None:
        """Seconds until the next record is due, by the loop's clock; None where none waits."""
        first = self._waiting.next_due()
        return None if first is None else max(first, self._next_pass) - self._loop.time()

    def pause_between_passes(self, seconds: float) -> None:
        """Another pass through the recipients file took so long: the next one waits in proportion."""
        self._next_pass = self._loop.time() + max(_LEAST_PAUSE, _SHARE * seconds)

    # --- its own ------------------------------------------------------------------------------------------------------

    def _attempt_of_this_run(self, record: int, attempt: int) -> int:
        return attempt if self._tally is None else attempt - self._tally.attempts(record)

    def _touch(self, record: int) -> None:
        """The first outcome of a record in this run takes the place of its outcome in an earlier one."""
        if self._tally is not None and (status := self._tally.status(record)) is not None:
            self.untouched[status] -= 1

    def _write(self, result: DeliveryResult) -> None:
        if self.stream is not None:
            self.stream.tell(result)
        self._book.write(result)
