"""A sender's own results log: opened, gone on with, and the account that its pool keeps there.

A message is known by its key and its recipient. What the log says of it decides whether it is sent:

- nothing, or that it was deferred, or invalid: it is sent, by the record that it has, or a new one;
- accepted, rejected, or in doubt: it is not, and its caller hears what the log says (a `Choice` may say otherwise);
- it is under way already: its caller hears what becomes of it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import anyio
from msgspec.structs import replace

from batchsend.campaign import most_in_doubt, places
from batchsend.delivery.quota import Meters
from batchsend.errors import RunError, UsageError
from batchsend.message.submission import members_of
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.results.claim import Claim
from batchsend.results.groupsync import GroupSync
from batchsend.results.journal import JournalError, read_journal
from batchsend.results.ledger import Ledger
from batchsend.results.lock import InUseError
from batchsend.results.messages import SUFFIX, MessageList, messages_path
from batchsend.results.resumption import Resumption
from batchsend.results.run import RecipientsFile, Run, new_id
from batchsend.results.tally import MAX_ATTEMPTS, Tally
from batchsend.results.usage import read_usage
from batchsend.sender.exchange import Exchange, Origin, Told
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from batchsend.campaign import Delivery, Server
    from batchsend.message.submission import Submission
    from batchsend.results.choice import Choice
    from batchsend.results.journal import Entry
    from batchsend.sender.exchange import Call

_IN_DOUBT: Final = Outcome.IN_DOUBT
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at whether log and journal are still where they were."""
_NAMED: Final = 20


class KeptLog:
    """The log of a sender with its journal and its list of messages, open and locked.

    Making one reads what is there: not on the event loop.

    Args:
        path: The log; made if it is not there.
        choice: What is sent again.
        servers: The relays.
        delivery: How safely the account is kept.

    Attributes:
        ledger: The log and the journal.
        messages: The list of messages.
        tally: Where each record stands.
        learned: What the server has shown it allows, by the name of the option that would set it.
        meters: What counts towards the quotas.
        in_doubt: What the user should know of what was in flight when an earlier process ended; None for nothing.

    Raises:
        UsageError: It cannot be opened, is at work in another process, is a campaign's, or cannot be believed.
        RunError: It cannot be written, or not be read further.
    """

    def __init__(self, path: Path, choice: Choice, servers: Sequence[Server], delivery: Delivery) -> None:
        self.path = path
        self._choice = choice
        self._chosen: dict[int, bool] = {}  # of records refused by this process: whether their codes are asked for
        self.learned: dict[str, float] = {}
        self.meters = Meters(servers, tuple(delivery.quota))
        self.in_doubt: str | None = None
        with ExitStack() as stack:
            self._past = self._earlier(stack)
            claim = stack.enter_context(Claim(path)) if self._past is None else None
            self.messages = stack.enter_context(self._list())
            self.tally = Tally() if self._past is None else self._past.account.tally
            durable = delivery.durability == "power"
            self.ledger = stack.enter_context(
                Ledger(
                    path,
                    self._run(servers),
                    capacity=4 * sum(most_in_doubt(server, delivery) for server in servers),
                    resumption=self._past,
                    claim=claim,
                    durable=durable,
                    also=self.messages.duplicate,
                )
            )
            if self._past is not None:
                self._go_on(self._past)
            self._open = stack.pop_all()
        self.is_durable = durable

    def close(self) -> None:
        """Write that the process came to its end, and let go of the files.

        Raises:
            RunError: That cannot be written.
        """
        with self._open:
            self.messages.flush()
            self.ledger.end(None, self.learned)

    def next_attempt(self, record: int) -> int:
        """The number of the attempt that a record is to be sent with; 0 if it is not to be sent."""
        status = self.tally.status(record)
        if status in (None, Outcome.INVALID) or status in self._choice.statuses or self._has_code(record, status):
            return min(self.tally.attempts(record) + 1, MAX_ATTEMPTS)
        return 0

    def note(self, result: DeliveryResult) -> None:
        """A record of this process has an outcome."""
        self.tally.note(result.record, result.status, result.attempt)
        if self._choice.asks_for_codes:
            self._chosen[result.record] = self._choice.has_code(result)

    def known(self, record: int) -> DeliveryResult:
        """What a caller hears of a message that is not sent, because the log has its outcome.

        Raises:
            RunError: The list of messages cannot be read.
        """
        line = self.messages.line(record)
        return DeliveryResult(
            record=record,
            recipient=line.recipient,
            status=self.tally.status(record) or _IN_DOUBT,
            reason="it was not sent again: the results log has this outcome of an earlier call with its key",
            attempt=self.tally.attempts(record),
            message_id=line.message_id,
            time=time.time(),
            key=line.key,
        )

    def _has_code(self, record: int, status: Outcome | None) -> bool:
        if status is not Outcome.REJECTED or not self._choice.asks_for_codes:
            return False
        known = self._chosen.get(record)
        return bool(self._past is not None and self._past.next_attempt(record)) if known is None else known

    # --- opening ------------------------------------------------------------------------------------------------------

    def _earlier(self, stack: ExitStack) -> Resumption | None:
        """What the log says so far; None where it is new.

        Raises:
            UsageError: It is a campaign's, or at work, or cannot be believed.
        """
        try:
            if not self.path.stat().st_size:
                return None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{self.path}: the results log cannot be opened: {error.strerror}") from None
        past = Resumption(self.path, self._choice)
        try:
            stack.enter_context(past)
        except InUseError as error:
            raise InUseError(error.message, remedy="each process has a log of its own: name another one") from None
        except JournalError as error:
            remedy = "bring it back as it was; or name another log, and what was sent may be sent again"
            raise UsageError(error.message, remedy=remedy) from None
        if past.account.run.campaign or not past.account.run.recipients.path.endswith(SUFFIX):
            raise UsageError(
                f"{self.path} holds the results of a campaign, {past.account.run.campaign}",
                remedy="name another log for this program",
            )
        return past

    def _list(self) -> MessageList:
        """The list of messages, which has all those that the log speaks of.

        Raises:
            UsageError: It has not, or is none.
        """
        past = self._past
        left = None if past is None else read_journal(self.path)
        messages = MessageList(self.path, new=past is None, holes=left is not None and left.rebooted)
        if past is not None:
            if left is not None and left.rebooted:
                # Octets leave only when list and journal are on the disk: what is not in the list was not committed.
                past.in_flight = [entry for entry in past.in_flight if entry.record <= len(messages)]
            elif past.account.tally.last > len(messages):
                messages.__exit__(None, None, None)
                raise UsageError(
                    f"{messages.path} ends before its results log does",
                    remedy="bring it back as it was; or name another log, and what was sent may be sent again",
                )
        return messages

    def _run(self, servers: Sequence[Server]) -> Run:
        names = places(servers)
        return Run(
            id=new_id() if self._past is None else self._past.account.run.id,
            started=time.time(),
            campaign="",
            recipients=RecipientsFile(path=str(messages_path(self.path))),
            version=__version__,
            server=f"{servers[0].host}:{servers[0].port}",
            servers=tuple(place.name for place in names) if len(names) > 1 else (),
        )

    def _go_on(self, past: Resumption) -> None:
        """Give what was in flight when an earlier process ended its lines, and count what it has sent.

        Raises:
            RunError: They cannot be written, or the log cannot be read.
        """
        self.learned = dict(past.account.learned)
        if self.meters:
            now = time.time()
            read_usage(self.path, past.account.size, lambda relay, when: self.meters.note(relay, when, now))
        results = [self._left_behind(entry) for entry in past.in_flight]
        for result in results:
            self.note(result)
            self.ledger.append(result)
            if result.status in (Outcome.ACCEPTED, _IN_DOUBT):
                self.meters.note(None, result.time, result.time)  # the journal does not say through which relay
        self.ledger.flush()
        self.in_doubt = _described([result for result in results if result.status is _IN_DOUBT])

    def _left_behind(self, entry: Entry) -> DeliveryResult:
        line = self.messages.line(entry.record)
        what = "before the server answered" if entry.status is None else "before it could write the server's reply down"
        return DeliveryResult(
            record=entry.record,
            recipient=line.recipient,
            status=entry.status or _IN_DOUBT,
            stage=Stage.CONTENT,
            code=entry.code,
            reason=f"the process was killed {what}",
            attempt=entry.attempt,
            message_id=line.message_id,
            time=time.time(),
            key=line.key,
        )


def _described(in_doubt: Sequence[DeliveryResult]) -> str | None:
    if not in_doubt:
        return None
    called = [f"{one.key or 'no key'}, to {one.recipient}" for one in in_doubt[:_NAMED]]
    named = "; ".join(called) + ("; …" if len(in_doubt) > _NAMED else "")
    return f"in flight when an earlier process was killed, so now in doubt: {len(in_doubt):,} ({named})"


class KeptExchange(Exchange):
    """An exchange whose account is a results log: the record of a message is its place in the log's list.

    Args:
        unclaimed: As for `Exchange`.
        log: The log, open.
        notice: Called with what the user should know and no result says.

    Attributes:
        on_failure: Called when the account cannot be kept: nothing more may be sent.
    """

    def __init__(
        self, unclaimed: Callable[[DeliveryResult], None], log: KeptLog, notice: Callable[[str], None]
    ) -> None:
        super().__init__(unclaimed)
        self.log = log
        self.on_failure: Callable[[RunError], None] = lambda _: None
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._joined: dict[int, list[Origin]] = {}
        self._failure: RunError | None = None
        self._disk = GroupSync(log.ledger) if log.is_durable else None
        if self._disk is not None:
            self._disk.on_failure = self._disk_failed
        self._is_disk_bad = False
        self._until = anyio.CancelScope()
        self._looking: asyncio.Task[None] | None = None

    def look_after(self) -> None:
        """Begin to bring the account to the disk where that is wanted, and to look whether it is in its place."""
        self._looking = self._loop.create_task(self._look())

    async def stop_looking(self) -> None:
        """End that, once a sync that is under way in a thread is over: the files are the thread's until then."""
        self._until.cancel()
        if self._looking is not None:
            await asyncio.wait([self._looking])

    async def _look(self) -> None:
        # anyio's scope waits for what runs in a thread, which a task that is cancelled would leave behind.
        with self._until:
            async with anyio.create_task_group() as tasks:
                if self._disk is not None:
                    tasks.start_soon(self._disk.run)
                while True:
                    await anyio.sleep(_LOOK_EVERY)
                    try:
                        self.log.ledger.look()
                    except RunError as error:
                        self._fail(error)

    def require_kept(self) -> None:
        """Try once more where the account could not be kept.

        Raises:
            RunError: It still cannot: nothing may be sent.
        """
        if self._failure is None:
            return
        if self._is_disk_bad:
            raise RunError(self._failure.message, remedy=self._failure.remedy)
        self.log.messages.flush()
        self.log.ledger.flush()
        self.log.ledger.look()
        self._failure = None

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
        return replace(member, record=record, attempt=attempt)

    def stopped(self, error: Exception) -> None:
        """The pool is over; what was not begun has no outcome in the log either."""
        super().stopped(error)
        self._joined.clear()

    def _origins(self) -> Iterable[Origin]:
        joined = (origin for origins in self._joined.values() for origin in origins)
        return (*self._under_way.values(), *joined)

    # --- what the pool says -------------------------------------------------------------------------------------------

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """A message is about to be committed: list and journal know it before its octets may leave."""
        try:
            self.log.messages.flush()
            self.log.ledger.commit(submission.record, submission.attempt)
        except RunError as error:
            self._fail(error)
            self._loop.call_soon(release, False)
            return False
        if self._disk is None:
            return True
        self._disk.wait(release)
        return False

    def withdraw(self, submission: Submission) -> None:
        """A message that was about to be committed was not taken; the pool offers it again."""
        self.log.ledger.withdraw(submission.record, submission.attempt)

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
        for joined in self._joined.pop(record, ()):
            self._settle(record, joined, result)
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
                self._notice(f"record {record:,} may have been delivered by an earlier attempt, too: {result.reason}")
                return
            result.attempt = max(result.attempt, tally.attempts(record))
        result.key = self.log.messages.line(record).key
        self._write(result)
        super().supersede(result if earlier is None else earlier, result)

    # ------------------------------------------------------------------------------------------------------------------

    def _write(self, result: DeliveryResult) -> None:
        self.log.note(result)
        try:
            due = self.log.ledger.append(result)
        except RunError as error:
            self._fail(error)
        else:
            if due:
                self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            self.log.messages.flush()
            self.log.ledger.flush()
        except RunError as error:
            self._fail(error)

    def _fail(self, error: RunError) -> None:
        self._failure = self._failure or error
        self.on_failure(error)

    def _disk_failed(self, error: RunError) -> None:
        self._is_disk_bad = True
        self._failure = error
        self.on_failure(error)


def close_unused(opening: asyncio.Future[KeptLog]) -> None:
    """Close a log that nobody waits for any more."""
    if opening.exception() is None:
        opening.result().close()
