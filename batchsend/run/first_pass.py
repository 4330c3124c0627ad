"""What a run reads before it begins, and its first pass over the recipients: each that is wanted is offered once."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Self

import anyio.to_thread

from batchsend.campaign.document import shown
from batchsend.campaign.model import feedback_path
from batchsend.campaign.own import own_files
from batchsend.campaign.python_terms import is_in_a_file, of_message
from batchsend.errors import RunError, UsageError
from batchsend.message import Composer, Suppression
from batchsend.message.naming import in_a_file
from batchsend.message.verp import Verp, kept_key, make_key
from batchsend.outcome import Outcome
from batchsend.recipients import open_recipients
from batchsend.recipients.addressees import Addressees
from batchsend.recipients.admission import UNNAMED, Admission, address_field, remember, require_fields, taken_column
from batchsend.recipients.exclusion import Exclusion
from batchsend.recipients.fingerprint import require_continued
from batchsend.recipients.original import RECIPIENT
from batchsend.recipients.selection import select
from batchsend.recipients.source import file_mark
from batchsend.run.composer_process import Recipe
from batchsend.run.composing import Composing, processes_for
from batchsend.run.producer import Producer
from batchsend.trace import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from batchsend.campaign import Campaign
    from batchsend.message import Submission
    from batchsend.message.condition import Condition
    from batchsend.outcome import DeliveryResult
    from batchsend.recipients import RecordReader
    from batchsend.recipients.fingerprint import FileWatch
    from batchsend.recipients.selection import Selection
    from batchsend.results.resumption import Resumption
    from batchsend.results.run import RecipientsFile

_SIGNED = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.IN_DOUBT)
"""Outcomes of records that were composed, and signed where the campaign signs."""

BRING_BACK = "bring the recipients file back as it was when the run began"
"""What to do about a list that is not what it was."""


class FirstPass:
    """The recipients of a run, what decides which of them are written to, and what makes their messages.

    Making one reads files, some of them whole, and waits for a pipe that is silent: not on the event loop. A context
    manager: it is left when the recipients file and the tables of addresses are needed no more.

    Args:
        campaign: Whose recipients they are.
        batch_id: The run's identity.
        resumption: The run to go on with, or None.
        only: Where the recipients file is a results log: the outcomes and codes of the records to send to.
        limit: Offer at most this many records; None for all.
        notice: Called with what the user should know, one line each: in the thread that makes it, and in that of `run`.

    Attributes:
        reader: The recipients file, open.
        composer: What makes a message of a record.
        suppression: Who asked not to be written to.
        records: Opens the recipients again.
        selection: Which records of a results log are meant; None where the recipients file is none.
        recipients: The recipients file as the run to go on with has it; None for a new run.
        address_field: The field that addresses are taken from; None where that is another one by record.

    Raises:
        UsageError: The campaign cannot be sent as it is.
    """

    def __init__(
        self,
        campaign: Campaign,
        batch_id: str,
        resumption: Resumption | None,
        *,
        only: tuple[str, ...],
        limit: int | None,
        notice: Callable[[str], None],
    ) -> None:
        self._notice = notice
        self._campaign = campaign
        self._called = in_a_file if is_in_a_file(campaign) else of_message
        self._batch_id = batch_id
        self._resumption = resumption
        seen = None if campaign.recipients == "-" else file_mark(campaign.recipients)
        self.recipients = self._continued()
        self.selection = self._select(only)
        self.records = partial(open_recipients if self.selection is None else self.selection.open, campaign)
        self.composer = Composer(
            campaign.message,
            directory=campaign.directory,
            batch_id=batch_id,
            recipient_field=self._recipient_field,
            verp=self._verp(batch_id),
            own=own_files(campaign),
            called=self._called,
        )
        self.suppression = Suppression.read(
            campaign.delivery.suppress, recipient_field=campaign.recipient_field, own=feedback_path(campaign.results)
        )
        self._where: Condition | None = None
        if campaign.where is not None:
            from batchsend.message.condition import Condition  # noqa: PLC0415 - most campaigns have none

            self._where = Condition(campaign.where)
        folder = campaign.results.parent
        with ExitStack() as stack:
            excluded = campaign.delivery.exclude
            self._exclusion = stack.enter_context(Exclusion(excluded, folder)) if excluded else None
            self.reader = stack.enter_context(self._open())
            if self.recipients is not None and not self._is_joined and self.reader.opened not in (None, seen):
                raise changed_at_start(self.reader)
            unique = campaign.delivery.duplicates != "send"
            self._addressees = stack.enter_context(Addressees(folder)) if unique else None
            self._open_files = stack.pop_all()
        self._admission = Admission(
            self.suppression,
            exclusion=self._exclusion,
            addressees=self._addressees,
            where=self._where,
            next_attempt=self._next_attempt(),
            limit=limit,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open_files.close()

    def notes(self) -> Iterator[str]:
        """What the user should know of who is written to and who is not; one line each."""
        for _, count, note in self.suppression.notes():
            yield note if count else f"warning: {note}"
        if (column := taken_column(self.reader, self._recipient_field)) is not None:
            yield f"addresses are taken from the column {column!r}"
        if self._exclusion is not None:
            yield from self._exclusion.notices
        if (past := self._resumption) is not None:
            before, now = past.account.run.where, self._campaign.where
            if before != now:
                then = "that run's log names none" if before is None else f"it was {shown(before)}"
                yield (
                    f"where is {'none' if now is None else shown(now)} now, and {then}: "
                    "which of the records that are left are sent to is decided by the one of now"
                )

    async def run(
        self,
        report: Callable[[DeliveryResult], None],
        hand_over: Callable[[list[Submission]], Awaitable[None]],
        breathe: Callable[[], Awaitable[None]],
        watch: FileWatch | None = None,
    ) -> None:
        """Offer every record that is wanted once.

        Args:
            report: Called with the result of each record that is not offered and has an outcome.
            hand_over: Takes the submissions of the others.
            breathe: Awaited after records none of which is offered.
            watch: Tells what has become of the recipients file when something has; None where nobody asks.

        Raises:
            RunError: The recipients file cannot be read further, or is written to while it is read.
        """
        await self._remember()
        look = None if watch is None else _Look(self.reader, watch).look
        producer = Producer(
            self.reader,
            self.composer,
            self._admission,
            report=report,
            beside=self._composing,
            look=look,
            breathe=breathe,
        )
        await producer.run(hand_over)
        if self.reader.given == 0:
            self._notice(f"warning: {self.reader.name} has no records: nobody is written to")
        if self.reader.unnamed:
            self._notice(f"{self.reader.name}:{self.reader.unnamed}: {UNNAMED}")

    def _composing(self, seconds: float) -> Composing | None:
        """What composes the rest of the messages beside this process, where one takes so many seconds to compose."""
        campaign = self._campaign
        read, given = self.reader.progress, self.reader.given
        left = round(given / read) - given if read else None
        count = processes_for(campaign.delivery.processes, seconds, left)
        if count == 0:
            return None
        log.info("%d processes compose messages, each of which takes %.2f ms", count, seconds * 1000)
        recipe = Recipe(
            message=campaign.message,
            directory=campaign.directory,
            batch_id=self._batch_id,
            recipient_field=self._recipient_field,
            results=campaign.results,
            own=own_files(campaign),
            called=self._called,
        )
        return Composing(recipe, self.composer, count)

    @property
    def passed_over(self) -> int | None:
        """How many records the campaign's ``where`` did not choose; None where it has none."""
        return None if self._where is None else self._admission.passed_over

    async def count_left(self, most: int) -> int | None:
        """How many records are left that a limit kept from being offered, as `Admission.count_left` has it.

        Raises:
            RunError: The recipients file cannot be read further.
        """
        return await anyio.to_thread.run_sync(self._admission.count_left, self.reader, most)

    async def take_on(self, seconds: float) -> tuple[int, bool]:
        """Count the records that a run has taken, and those that it would have taken if it had not stopped.

        Args:
            seconds: For how long to read on.

        Returns:
            How many there are, and whether these are all: otherwise they are those that were read.

        Raises:
            RunError: The recipients file cannot be read further.
        """
        is_whole = await anyio.to_thread.run_sync(self._admission.take_on, self.reader, time.monotonic() + seconds)
        return self._admission.taken, is_whole

    async def _remember(self) -> None:
        """Take down whom the earlier run has written to, where nobody is to be written to twice."""
        past, addressees, admission = self._resumption, self._addressees, self._admission
        if past is None or addressees is None:
            return

        def is_written_to(record: int) -> bool:
            return past.was_offered(record) and not admission.attempt(record)

        with self.records() as reader:
            work = partial(
                remember, reader, addressees, named=self.composer.named_recipient, is_written_to=is_written_to
            )
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

    def _continued(self) -> RecipientsFile | None:
        """The recipients file of the run to go on with, if it is what it was or has only grown."""
        past, campaign = self._resumption, self._campaign
        if past is None:
            return None
        return require_continued(
            past.account.run.recipients, campaign.recipients, past.path, encoding=campaign.encoding
        )

    def _select(self, only: tuple[str, ...]) -> Selection | None:
        """Which records of a results log are meant; None where the recipients file is none.

        Raises:
            UsageError: As `select`; or the list that the log is the account of has changed since an earlier run.
        """
        campaign = self._campaign
        selection = select(campaign.recipients, only)
        if selection is not None:
            before = None if self._resumption is None else self._resumption.account.run.recipients
            selection.join(campaign, before, campaign.results, self._notice)
        return selection

    @property
    def _recipient_field(self) -> str | None:
        """The field of the address: where a log tells whom was written to, it is the log's, unless one is named."""
        return self._campaign.recipient_field or (RECIPIENT if self._is_joined else None)

    @property
    def _is_joined(self) -> bool:
        """Whether the records are those of the list that the recipients file is the account of."""
        return self.selection is not None and self.selection.original is not None

    def _verp(self, batch_id: str) -> Verp:
        """What signs return paths and links; where the campaign has such, the key is there before anything is sent."""
        message, log_file = self._campaign.message, self._campaign.results
        signs = message.unsubscribe is not None or "batch.verp" in (message.return_path or "")
        past = self._resumption
        if past is None or not any(past.counts[outcome] for outcome in _SIGNED):
            key = partial(make_key, log_file)
        else:
            key = partial(kept_key if signs else self._key_of_text, log_file)
        verp = Verp(batch_id, key)
        if signs:
            verp.prepare()
        return verp

    def _key_of_text(self, log_file: Path) -> bytes:
        """The key of a run that is gone on with, and of which only the text of messages may have such tokens."""
        try:
            return kept_key(log_file)
        except UsageError as error:
            self._notice(f"{error.message}; what is sent from now on is signed with a new one")
            return make_key(log_file)

    def _open(self) -> RecordReader:
        """The recipients file, of which it is certain that not all of its records are invalid for one reason.

        Raises:
            UsageError: Nothing in it can be an address, or a template uses a field that none of them has; or the
                addresses are not those of the run to go on with.
        """
        reader = self.records()
        uses = [self.composer.field_use, *([] if self._where is None else [self._where.use])]
        try:
            require_fields(reader, self._recipient_field, uses)
            self.address_field = address_field(reader, self._recipient_field)
            self._require_same_field()
        except BaseException:
            reader.close()
            raise
        return reader

    def _require_same_field(self) -> None:
        """Refuse other addresses than those of the run that is gone on with: who had it is known by them.

        Raises:
            UsageError: They are taken from another field.
        """
        if (past := self._resumption) is None:
            return
        before, now = past.account.run.recipient_field, self.address_field
        if None not in (before, now) and before != now:
            raise UsageError(
                f"addresses are taken from {now!r}, and were taken from {before!r} when the run began: who has had the "
                "message cannot be told",
                remedy=f'set recipient_field = "{before}"; or begin another run, with exclude = ["{past.path.name}"]',
            )

    def _next_attempt(self) -> Callable[[int], int] | None:
        """What says which attempt of a record is next, and 0 if there is none; None where all are offered."""
        past, selection = self._resumption, self.selection
        if past is None:
            return None if selection is None else selection.first_attempt
        if selection is None:
            return past.next_attempt
        return lambda record: past.next_attempt(record) if record in selection else 0


def changed_at_start(reader: RecordReader) -> UsageError:
    """The error for a list that is written to before it is known what it is."""
    return UsageError(
        f"{reader.name} was written to as the run began",
        remedy="wait until the list is complete, and begin again: nothing was sent",
    )


class _Look:
    """Notices that a list is written to in its place while it is read: whoever stands there by then is somebody else.

    A file that has taken its place does not matter: what is read is the one that was there. One that has only grown is
    read to where it ended.

    Args:
        reader: The list, of which nothing has been given.
        watch: What tells of a change whether it matters.
    """

    def __init__(self, reader: RecordReader, watch: FileWatch) -> None:
        self._reader = reader
        self._watch = watch
        self._mark = reader.opened

    async def look(self) -> None:
        """Look at the file, after records were read of it and before they count.

        Raises:
            RunError: It is not what it was.
        """
        mark = self._reader.mark
        if mark is None or self._mark is None or mark == self._mark:
            return
        change: str | None = None
        if self._watch.is_same_file:
            change = await anyio.to_thread.run_sync(self._watch.change)
        elif (mark.size, mark.modified) != (self._mark.size, self._mark.modified):
            change = f"{self._reader.name} was written to while it was read"
        if change is not None:
            raise RunError(change, remedy=BRING_BACK)
        self._mark = mark
