"""A sender's own results log, its journal and its list of messages: opened, gone on with, and looked into."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from batchsend.campaign import most_in_doubt, places
from batchsend.delivery.quota import Meters
from batchsend.display import printable
from batchsend.errors import UsageError
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.results.claim import Claim
from batchsend.results.journal import JournalError, read_journal
from batchsend.results.ledger import Ledger
from batchsend.results.lock import InUseError
from batchsend.results.messages import SUFFIX, MessageList, messages_path
from batchsend.results.resumption import Resumption
from batchsend.results.run import RecipientsFile, Run, new_id
from batchsend.results.tally import MAX_ATTEMPTS, Tally
from batchsend.results.usage import read_usage
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchsend.campaign import Delivery, Server
    from batchsend.results.choice import Choice
    from batchsend.results.journal import Entry

_IN_DOUBT: Final = Outcome.IN_DOUBT
_NAMED: Final = 20


class KeptLog:
    """The log of a sender with its journal and its list of messages, open and locked.

    Making one reads what is there: not on the event loop.

    Args:
        path: The log; made if it is not there.
        choice: What is sent again.
        servers: The relays.
        delivery: How safely the account is kept.
        abandoned: What was in flight was left by an event loop of this process that ended, not by a process.

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

    def __init__(
        self, path: Path, choice: Choice, servers: Sequence[Server], delivery: Delivery, *, abandoned: bool = False
    ) -> None:
        self.path = path
        self._abandoned = abandoned
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

    def let_go(self) -> None:
        """Let go of the files as they are, with what is in flight in the journal.

        Raises:
            RunError: What is known cannot be written.
        """
        with self._open:
            self.messages.flush()

    def leave_to_parent(self) -> None:
        """In a child process, after a fork: let go of the files; they and their locks are the parent's."""
        self.ledger.leave_to_parent()

    def is_at(self, path: Path) -> bool:
        """Whether this log is at a path, by whatever link."""
        try:
            return self.path.samefile(path)
        except OSError:
            return False

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
        in_doubt = [result for result in results if result.status is _IN_DOUBT]
        when = "the event loop ended" if self._abandoned else "an earlier process was killed"
        self.in_doubt = _described(in_doubt, when)

    def _left_behind(self, entry: Entry) -> DeliveryResult:
        line = self.messages.line(entry.record)
        what = "before the server answered" if entry.status is None else "before it could write the server's reply down"
        return DeliveryResult(
            record=entry.record,
            recipient=line.recipient,
            status=entry.status or _IN_DOUBT,
            stage=Stage.CONTENT,
            code=entry.code,
            reason=f"{'the event loop ended' if self._abandoned else 'the process was killed'} {what}",
            attempt=entry.attempt,
            message_id=line.message_id,
            time=time.time(),
            key=line.key,
        )


def _described(in_doubt: Sequence[DeliveryResult], when: str) -> str | None:
    if not in_doubt:
        return None
    # A key is whatever a program has made it of: here it stays on one line.
    called = [f"{printable(one.key or 'no key')}, to {one.recipient}" for one in in_doubt[:_NAMED]]
    named = "; ".join(called) + ("; …" if len(in_doubt) > _NAMED else "")
    return f"in flight when {when}, so now in doubt: {len(in_doubt):,} ({named})"
