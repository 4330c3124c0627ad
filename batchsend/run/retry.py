"""Deferred records that wait for their next attempt within a run: who, when, and how often yet. Time is given."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from batchsend.jitter import spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.campaign import Delivery
    from batchsend.recipients import RecordReader

MAX_WAITING = 100_000
"""Records that may wait at once; about 20 MB. More stay deferred: their turn is in a resumed run."""

_LONGEST = 3600.0


def pause_after(attempt: int, first: float) -> float:
    """Seconds before a record is offered again: doubled for each attempt up to an hour, give or take a quarter.

    So those that were deferred together do not come back together.

    Args:
        attempt: The number of the attempt that was deferred.
        first: Seconds before the second attempt; where that is more than an hour, it stays so.
    """
    return spread(min(first * 2 ** (attempt - 1), max(first, _LONGEST)))


class _Entry(NamedTuple):
    due: float
    record: int
    attempt: int


class RetryQueue:
    """The waiting records, by the time at which they are due. It holds their numbers, not their messages.

    Args:
        max_attempts: How often a record is offered in all.
        pause: Seconds before the second attempt; of the others see `pause_after`.
    """

    def __init__(self, *, max_attempts: int, pause: float) -> None:
        self._max_attempts = max_attempts
        self._pause = pause
        self._heap: list[_Entry] = []
        self._records: set[int] = set()  # those of its records that were not withdrawn

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: int, attempt: int, now: float) -> bool:
        """Let a record wait, whose attempt number ``attempt`` was deferred; False if it is not to be offered again."""
        if attempt >= self._max_attempts or len(self._heap) >= MAX_WAITING:
            return False
        self._records.add(record)
        due = now + pause_after(attempt, self._pause)
        heapq.heappush(self._heap, _Entry(due, record, attempt + 1))
        return True

    def __contains__(self, record: int) -> bool:
        return record in self._records

    def withdraw(self, record: int) -> bool:
        """Take a record out, because it may have been delivered; False if it does not wait."""
        if record not in self._records:
            return False
        self._records.remove(record)
        self._forget_withdrawn()
        return True

    def next_due(self) -> float | None:
        """When the first of them is due, or None."""
        return self._heap[0].due if self._heap else None

    def take_due(self, now: float) -> dict[int, int]:
        """Take out those that are due: the number of each one's next attempt, by record."""
        due: dict[int, int] = {}
        while self._heap and self._heap[0].due <= now:
            entry = heapq.heappop(self._heap)
            self._records.remove(entry.record)
            due[entry.record] = entry.attempt
            self._forget_withdrawn()
        return due

    def _forget_withdrawn(self) -> None:
        """Have the first entry be of a record that waits: nobody is to wait for another one's time."""
        while self._heap and self._heap[0].record not in self._records:
            heapq.heappop(self._heap)

    def __repr__(self) -> str:
        return f"<RetryQueue {len(self)} records>"


def retries(delivery: Delivery, reader: RecordReader, notice: Callable[[str], None]) -> RetryQueue:
    """The deferred records of a run, of which there are none where the list cannot be read a second time.

    Args:
        delivery: How often a record is tried, and after what pause.
        reader: The list.
        notice: Called with what the user should know.
    """
    if reader.blocking and delivery.max_attempts > 1:
        notice(f"{reader.name} cannot be read twice: deferred records are not tried again in this run")
        return RetryQueue(max_attempts=1, pause=delivery.retry_after)
    return RetryQueue(max_attempts=delivery.max_attempts, pause=delivery.retry_after)
