"""The contract between a pool and who keeps its account, as `batchsend.delivery.account` states it, and an observer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend import Outcome
from batchsend.delivery import account

if TYPE_CHECKING:
    from batchsend import DeliveryResult, Submission

_ROW: Final = re.compile(r"^``(\w+)`` +(\w+(?:, \w+)*)?  +(\w+) +(\w+)$", re.MULTILINE)


class Row(NamedTuple):
    """What a call may say of a record, and where that takes it."""

    call: str
    status: Outcome | None
    before: str
    after: str


def stated() -> dict[tuple[str, Outcome | None, str], Row]:
    """The rows of the table, one for each status."""
    rows = [
        Row(call, Outcome(status) if status else None, before, after)
        for call, statuses, before, after in _ROW.findall(account.__doc__ or "")
        for status in statuses.split(", ")
    ]
    return {(row.call, row.status, row.before): row for row in rows}


STATED: Final = stated()


class Observer:
    """Follows each record of one pool through the table.

    Attributes:
        states: Where each record is that the pool has said something of.
        seen: The rows that happened.
        over: The pool's `run` has returned: nothing may be said any more.
        broken: What was said against the contract. It is raised, too, but a loop may only log that.
    """

    def __init__(self) -> None:
        self.states: dict[int, str] = {}
        self.seen: set[Row] = set()
        self.over = False
        self.broken: list[str] = []
        self._settled: dict[int, list[DeliveryResult]] = {}  # what was settled and not superseded
        self._went_back: dict[int, int] = {}  # offers that were retried, and of which nothing has been said since
        self._attempts: dict[int, int] = {}
        self._to_be_settled: int | None = None

    def commit(self, submission: Submission) -> None:
        self._said("commit", submission, None)

    def withdraw(self, submission: Submission) -> None:
        record = submission.record
        self._said("withdraw", submission, None)
        if self.states[record] == "doubted":
            self._to_be_settled = record

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        self._said("retry", submission, result)
        record = submission.record
        if result.status is not Outcome.IN_DOUBT:
            self._went_back[record] = self._went_back.get(record, 0) + 1
            self._require(result.attempt == submission.attempt, f"{result} is of another attempt than {submission}")
        self._require(result.attempt <= submission.attempt, f"{result} is of a later attempt than {submission}")

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        record = submission.record
        if self._to_be_settled == record:
            self._to_be_settled = None
        self._said("settle", submission, result)
        self._settled.setdefault(record, []).append(result)
        attempts = {0} if result.status is Outcome.INVALID else {submission.attempt}
        self._require(result.attempt in attempts, f"{result} is of another attempt than {submission}")

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        record = result.record
        self._take("supersede", record, result, self.states.get(record, "held"))
        if earlier is None:
            self._require(result.status is Outcome.IN_DOUBT, f"{result} in place of no outcome")
            self._went_back[record] = self._went_back.get(record, 0) - 1
            self._require(self._went_back[record] >= 0, f"{result} is of no offer that went back")
            return
        settled = self._settled.get(record, [])
        self._require(earlier.attempt == result.attempt, f"{result} is of another attempt than {earlier}")
        self._require(any(one is earlier for one in settled), f"{earlier} was never settled, or superseded before")
        self._settled[record] = [one for one in settled if one is not earlier]

    def _said(self, call: str, submission: Submission, result: DeliveryResult | None) -> None:
        record = submission.record
        state = self.states.get(record, "held")
        if state == "settled" and submission.attempt > self._attempts[record]:
            state = "held"  # it was put in again
        self._attempts[record] = submission.attempt
        self._require(result is None or result.record == record, f"{result} is of another record than {submission}")
        self._take(call, record, result, state)

    def _take(self, call: str, record: int, result: DeliveryResult | None, state: str) -> None:
        status = None if result is None else result.status
        self._require(not self.over, f"{call} of record {record} when all was over")
        self._require(self._to_be_settled is None, f"{call} of record {record}, and {self._to_be_settled} was due")
        row = STATED.get((call, status, state))
        self._require(row is not None, f"{call} of record {record}, {status}, from {state}")
        assert row is not None
        self.seen.add(row)
        self.states[record] = row.after

    def _require(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.broken.append(otherwise)
            raise AssertionError(otherwise)
