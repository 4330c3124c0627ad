"""The account that a sender's pool keeps in a results log.

A message is known by its key and its recipient. What the log says of it decides whether it is sent:

- nothing, or that it was deferred, or invalid: it is sent, by the record that it has, or a new one;
- accepted, rejected, or in doubt: it is not, and its caller hears what the log says (a `Choice` may say otherwise);
- it is under way already: its caller hears what becomes of it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from batchsend.errors import RunError
from batchsend.message.submission import members_of
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.results.book import Book, delivered_before_too
from batchsend.sender.exchange import REMEMBERED, Exchange, Origin, Told, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batchsend.message.submission import Submission
    from batchsend.results.groupsync import GroupSync
    from batchsend.sender.exchange import Call
    from batchsend.sender.kept_log import KeptLog

_IN_DOUBT: Final = Outcome.IN_DOUBT


class KeptExchange(Exchange):
    """An exchange whose account is a results log: the record of a message is its place in the log's list.

    Args:
        unclaimed: As for `Exchange`.
        log: The log, open.
        notice: Called with what the user should know and no result says.
        disk: What brings the log to the disk before a message is committed, or None where the kernel is enough.

    Attributes:
        on_failure: Called when the account cannot be kept: nothing more may be sent.
    """

    def __init__(
        self,
        unclaimed: Callable[[DeliveryResult], None],
        log: KeptLog,
        notice: Callable[[str], None],
        disk: GroupSync | None = None,
    ) -> None:
        super().__init__(unclaimed)
        self.log = log
        self.on_failure: Callable[[RunError], None] = lambda _: None
        self._notice = notice
        self._joined: dict[int, list[Origin]] = {}
        # Who was told of the latest outcomes beside whoever sent the message, by the number that is theirs.
        self._told_too: dict[int, list[Origin]] = {}
        self._failure: RunError | None = None
        self._is_disk_bad = False
        self._book = Book(log.ledger, disk, log.messages.flush)
        self._book.on_failure = self.failed
        if disk is not None:
            disk.on_failure = self._disk_failed

    def require_kept(self) -> None:
        """Try once more where the account could not be kept.

        Raises:
            RunError: It still cannot: nothing may be sent.
        """
        if self._failure is None:
            return
        if self._is_disk_bad:
            raise RunError(self._failure.message, remedy=self._failure.remedy)
        self._book.require()
        self._failure = None

    def failed(self, error: RunError) -> None:
        """The account cannot be kept."""
        self._failure = self._failure or error
        self.on_failure(error)

    def _disk_failed(self, error: RunError) -> None:
        self._is_disk_bad = True
        self._failure = error
        self.on_failure(error)

    # --- what callers ask for -----------------------------------------------------------------------------------------

    def offer(self, call: Call, submissions: Sequence[Submission], key: str | None = None) -> None:
        """Take messages in; where the log has the outcomes of all of them, the caller hears these at once."""
        members = [member for submission in submissions for member in members_of(submission)]
        found = [None if key is None else self._done(key, member) for member in members]
        if not found or None in found:
            super().offer(call, submissions, key)
            return
        for member, record in zip(members, found, strict=True):
            self._numbers += 1
            self._tell(call, Told(self._numbers, replace(self.log.known(record or 0), record=member.record)))

    def tell(self, call: Call, result: DeliveryResult, key: str | None = None) -> None:
        """Tell a caller of a message that cannot be sent; the log has it, too."""
        messages = self.log.messages
        record = None if key is None else messages.find(key, result.recipient)
        if record is None:
            record = messages.add(key, result.recipient, result.message_id)
        told = replace(result, key=key)
        self._write(replace(told, record=record, time=time.time()))
        super().tell(call, told)

    def _done(self, key: str, member: Submission) -> int | None:
        """The record of a message that is not to be sent any more; None where it is, or is under way."""
        record = self.log.messages.find(key, member.envelope.forward_path)
        if record is None or record in self._under_way or self.log.next_attempt(record):
            return None
        return record

    # --- what the sender asks for -------------------------------------------------------------------------------------

    def _enter(self, origin: Origin, member: Submission) -> Submission | None:
        messages, key, path = self.log.messages, origin.key, member.envelope.forward_path
        record = None if key is None else messages.find(key, path)
        if record is None:
            record, attempt = messages.add(key, path, member.message_id), 1
        elif record in self._under_way:
            self._joined.setdefault(record, []).append(origin)
            origin.call.under_way += 1
            return None
        elif not (attempt := self.log.next_attempt(record)):
            self._tell(origin.call, Told(origin.number, replace(self.log.known(record), record=origin.record)))
            return None
        self._under_way[record] = origin
        origin.call.under_way += 1
        return numbered(member, origin, record, attempt)

    def stopped(self, error: Exception) -> tuple[int, int]:
        """The pool is over; what was not begun has no outcome in the log either."""
        counts = super().stopped(error)
        self._joined.clear()
        return counts

    def _origins(self) -> Iterable[Origin]:
        joined = (origin for origins in self._joined.values() for origin in origins)
        return (*self._under_way.values(), *joined)

    # --- what the pool says -------------------------------------------------------------------------------------------

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """A message is about to be committed: list and journal know it before its octets may leave."""
        return self._book.commit(submission.record, submission.attempt, release)

    def withdraw(self, submission: Submission) -> None:
        """A message that was about to be committed was not taken; the pool offers it again."""
        self._book.withdraw(submission.record, submission.attempt)

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """A message was refused for the relay's reasons, or an earlier offer of it may have been delivered."""
        if result.status is _IN_DOUBT:
            result.key = self._under_way[submission.record].key
            self._write(result)  # at once: the process may be killed before the offer that is under way has its outcome
        else:
            self.withdraw(submission)

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """Take an outcome down, and tell whoever waits for it."""
        record = submission.record
        origin = self._under_way.pop(record)
        result.key = origin.key
        self._write(result)
        self._settle(record, origin, result)
        if (joined := self._joined.pop(record, None)) is not None:
            for one in joined:
                one.call.under_way -= 1
                self._tell(one.call, Told(one.number, replace(result, record=one.record)))
            if len(self._told_too) >= REMEMBERED:
                del self._told_too[next(iter(self._told_too))]
            self._told_too[origin.number] = joined
        self._look_for_idleness()

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """An outcome cannot be believed: what replaces it is written and told, unless a later attempt stands."""
        tally, record = self.log.tally, result.record
        status, in_doubt = tally.status(record), result.status is _IN_DOUBT
        if status is _IN_DOUBT:
            return
        if earlier is None or tally.attempts(record) > result.attempt:
            if not in_doubt:
                return
            if status is Outcome.ACCEPTED:
                self._notice(delivered_before_too(result))
                return
            result.attempt = max(result.attempt, tally.attempts(record))
        result.key = self.log.messages.line(record).key
        self._write(result)
        super().supersede(result if earlier is None else earlier, result)

    def _correct(self, origin: Origin, result: DeliveryResult) -> None:
        for one in (origin, *self._told_too.get(origin.number, ())):
            super()._correct(one, result)

    # ------------------------------------------------------------------------------------------------------------------

    def _write(self, result: DeliveryResult) -> None:
        self.log.note(result)
        self._book.write(result)
