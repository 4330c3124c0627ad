"""One run of a campaign: the only file that wires the stages, records → message → delivery → results → report."""

from __future__ import annotations

import secrets
import shlex
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
from msgspec.structs import replace

from batchsend.campaign import Campaign, check_objects, load, server_warnings
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.errors import RunError, UsageError
from batchsend.loop import run
from batchsend.message import Composer, Submission, Suppression
from batchsend.message.condition import Condition
from batchsend.message.verp import Verp, kept_key, make_key
from batchsend.outcome import Outcome
from batchsend.recipients import RecordReader, open_recipients
from batchsend.recipients.addressees import Addressees
from batchsend.recipients.admission import Admission, missing_fields, remember, require_address, taken_column
from batchsend.recipients.exclusion import Exclusion
from batchsend.recipients.fingerprint import FileWatch, describe, require_continued
from batchsend.recipients.selection import select
from batchsend.results.claim import refuse_used
from batchsend.results.groupsync import GroupSync
from batchsend.results.ledger import Ledger
from batchsend.results.run import RecipientsFile, Run, SuppressionFile
from batchsend.run import recovery
from batchsend.run.accounting import Accounting, PoolStoppedError
from batchsend.run.producer import Producer
from batchsend.run.retry import RetryQueue
from batchsend.run.second_pass import SecondPass
from batchsend.run.summary import MOST_LEFT, Summary
from batchsend.trace import log, logged
from batchsend.version import __version__

if TYPE_CHECKING:
    import ssl
    from collections import Counter
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.outcome import DeliveryResult
    from batchsend.results.claim import Claim
    from batchsend.results.resumption import Resumption
    from batchsend.trace import Trace

_LOOK_EVERY = 1.0
"""Seconds between two looks at whether log and journal are still where they were."""

_SIGNED = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.IN_DOUBT)
"""Outcomes of records that were composed, and signed where the campaign signs."""


class Batch:
    """A run of a campaign, from its recipients file to its results log.

    Args:
        campaign: What is sent, to whom, through which server.
        context: What to verify the server's certificate with, instead of what the campaign says.
        limit: Send at most this many records; None for all.
        notice: Called with what the user should know while it runs, one line each.
        resumption: The run to go on with; its log is the campaign's.
        server: What the run line calls the server; None for the campaign's first one.
        only: Where the recipients file is a results log: the outcomes and codes of the records to send to.
        overrides: What was said in place of the campaign file, for the run line; None: as the earlier run has it.
        claim: The results log of a new run, where it is locked already.
        trace: Where each session's dialogue is written; None for nowhere. It is the caller's to close.

    Attributes:
        id: The run's identity: in the log's run line and in every Message-ID.
        summary: What it has come to so far.

    Raises:
        UsageError: The campaign cannot be sent as it is; nothing was sent, and no results log was made.
    """

    def __init__(
        self,
        campaign: Campaign,
        *,
        context: ssl.SSLContext | None = None,
        limit: int | None = None,
        notice: Callable[[str], None] = lambda _: None,
        resumption: Resumption | None = None,
        server: str | None = None,
        only: tuple[str, ...] = (),
        overrides: Mapping[str, str | int] | None = None,
        claim: Claim | None = None,
        trace: Trace | None = None,
    ) -> None:
        check_objects(campaign)
        if overrides is None:
            overrides = {} if resumption is None else resumption.account.run.overrides
        if resumption is None:
            refuse_used(campaign.results)
        else:
            only = resumption.account.run.recipients.only
        self.campaign = campaign
        self.id = _new_id() if resumption is None else resumption.account.run.id
        self.summary = Summary(results=campaign.results)
        self._resumption = resumption
        self._claim = claim
        self._server = server or f"{campaign.servers[0].host}:{campaign.servers[0].port}"
        self._only = only
        self._recipients = (
            None
            if resumption is None
            else require_continued(
                resumption.account.run.recipients, campaign.recipients, resumption.path, encoding=campaign.encoding
            )
        )
        self._watch: FileWatch | None = None
        self._overrides = overrides
        self._selection = select(campaign.recipients, only)
        self._durable = campaign.delivery.durability == "power"
        self._started = time.time()
        self._limit = limit
        self._notice = logged(notice)
        delivery = campaign.delivery
        self._connectors = [
            Connector(server, delivery.timeouts, context, require_tls=delivery.require_tls, trace=trace)
            for server in campaign.servers
        ]
        self._composer = Composer(
            campaign.message,
            directory=campaign.directory,
            batch_id=self.id,
            recipient_field=campaign.recipient_field,
            verp=self._verp(),
        )
        self._suppression = Suppression.read(campaign.delivery.suppress, recipient_field=campaign.recipient_field)
        excluded = campaign.delivery.exclude
        self._exclusion = Exclusion(excluded, campaign.results.parent) if excluded else None
        self._where = None if campaign.where is None else Condition(campaign.where)
        self._reader = self._open()
        self._addressees = None if campaign.delivery.duplicates == "send" else Addressees(campaign.results.parent)
        self._admission = self._admit()
        self._pool: Pool | None = None
        self._dispatch: Accounting | None = None

    @property
    def counts(self) -> Counter[Outcome]:
        """All records by outcome: those of this run, and those that it left as an earlier one had them."""
        if self._dispatch is not None:
            return self.summary.counts + self._dispatch.untouched
        return self.summary.counts.copy() if self._resumption is None else self._resumption.counts.copy()

    @property
    def complete(self) -> bool:
        """Every record was accepted or suppressed, in this run or an earlier one."""
        return self.summary.complete and not self.counts.keys() - {Outcome.ACCEPTED, Outcome.SUPPRESSED}

    @property
    def progress(self) -> float | None:
        """How much of the work is done, from 0 to 1; None where it is not known how much there is.

        What was read and has no outcome yet is not done; all of this is told by the size of the recipients file.
        """
        read, given = self._reader.progress, self._reader.given
        if read is not None and given and self._dispatch is not None:
            read *= max(0, given - self._dispatch.under_way) / given
        if self._limit is None:
            return read
        done = self.summary.records - self.summary.waiting
        return max(read or 0.0, min(1.0, done / self._limit))

    @property
    def statistics(self) -> PoolStatistics | None:
        """Sessions, pace and replies as they are now; None before anything is sent."""
        return None if self._pool is None else self._pool.statistics()

    def stop(self, reason: str) -> None:
        """Begin nothing more; what is under way is awaited, and `run` then returns."""
        if self.summary.stopped is None:
            self.summary.stopped = reason
            if self._pool is not None:
                self._pool.stop()

    async def run(self) -> Summary:
        """Send the campaign.

        Cancelling it ends every session at once; what was in flight is in the log, as ``in_doubt``.

        Returns:
            The summary. Its ``stopped`` says why the run ended early, where it did; the log is complete either way.

        Raises:
            UsageError: The results log cannot be opened; nothing was sent.
            RunError: The run stopped early: the server is gone or refuses the sender, or the log cannot be written.
        """
        began = time.monotonic()
        log.info("run %s of %s begins: results in %s", self.id, self.campaign.path, self.campaign.results)
        for caution in server_warnings(self.campaign.servers):
            self._notice(caution)
        self._say_who()
        try:
            with self._reader, self._closing(), self._ledger(await self._run_line()) as ledger:
                disk = GroupSync(ledger) if self._durable else None
                self._dispatch = dispatch = Accounting(
                    ledger, self.summary, self._retries(), self._resumption, disk, notice=self._notice
                )
                await self._write_what_was_in_flight(ledger)
                self._pool = pool = Pool(
                    self._connectors,
                    self.campaign.delivery,
                    dispatch,
                    notice=self._notice,
                    learned={} if self._resumption is None else self._resumption.account.learned,
                )
                dispatch.on_failure = pool.stop
                if disk is not None:
                    disk.on_failure = pool.stop
                if self.summary.stopped is not None:
                    pool.stop()
                try:
                    await self._send(pool, dispatch, ledger, disk)
                except RunError as error:
                    self.summary.stopped = error.message
                    raise
                except anyio.get_cancelled_exc_class():
                    self.summary.stopped = self.summary.stopped or "cancelled"
                    raise
                finally:
                    self.summary.learned = pool.learned
                    ledger.end(self.summary.stopped, pool.learned)
        except RunError as error:
            self.summary.stopped = error.message
            raise
        finally:
            self.summary.elapsed = time.monotonic() - began
            self.summary.give_up_waiting()
            log.info("run %s has ended: %s", self.id, self.summary.stopped or "all its records were attempted")
        return self.summary

    async def rehearse(self) -> Summary:
        """Render every record and send nothing: no server is asked, no results log is made.

        Returns:
            The summary: what would be sent counts as ``ready``.

        Raises:
            RunError: The recipients file cannot be read further.
        """
        began = time.monotonic()
        self.summary.results = None
        self._say_who()

        async def count(batch: list[Submission]) -> None:
            self.summary.ready += len(batch)
            await anyio.lowlevel.checkpoint()  # where Ctrl-C is heeded

        with self._reader, self._closing():
            await self._first_pass(self.summary.count, count)
        self.summary.elapsed = time.monotonic() - began
        return self.summary

    def _say_who(self) -> None:
        for _, count, note in self._suppression.notes():
            self._notice(note if count else f"warning: {note}")
        if (column := taken_column(self._reader, self.campaign.recipient_field)) is not None:
            self._notice(f"addresses are taken from the column {column!r}")

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Let go of the tables of addresses when the context ends, which may have files."""
        with ExitStack() as stack:
            if self._addressees is not None:
                stack.enter_context(self._addressees)
            if self._exclusion is not None:
                for notice in stack.enter_context(self._exclusion).notices:
                    self._notice(notice)
            yield

    def _verp(self) -> Verp:
        """What signs return paths and links; where the campaign has such, the key is there before anything is sent."""
        message, log_file = self.campaign.message, self.campaign.results
        signs = message.unsubscribe is not None or "batch.verp" in (message.return_path or "")
        past = self._resumption
        if past is None or not any(past.counts[outcome] for outcome in _SIGNED):
            key = partial(make_key, log_file)
        else:
            key = partial(kept_key if signs else self._key_of_text, log_file)
        verp = Verp(self.id, key)
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

    def _ledger(self, line: Run) -> Ledger:
        delivery = self.campaign.delivery
        # After a kill at most (max_connections + 1) times min(depth, max_messages) messages are in doubt: no more
        # sessions than that are open or being opened (`Slots`, rule 4), and none has more transactions unanswered. Each
        # transaction may have two places for a moment: its own, and that of the one before it, whose outcome is not
        # written yet. Twice that again, so that the journal need not grow while messages go out.
        relays = len(self.campaign.servers)
        capacity = 4 * relays * (delivery.max_connections + 1) * min(delivery.depth, delivery.max_messages)
        return Ledger(
            self.campaign.results,
            line,
            capacity=capacity,
            resumption=self._resumption,
            claim=self._claim,
            durable=self._durable,
        )

    def _retries(self) -> RetryQueue:
        delivery = self.campaign.delivery
        if self._reader.blocking and delivery.max_attempts > 1:
            self._notice(f"{self._reader.name} cannot be read twice: deferred records are not tried again in this run")
            return RetryQueue(max_attempts=1, pause=delivery.retry_after)
        return RetryQueue(max_attempts=delivery.max_attempts, pause=delivery.retry_after)

    def _open(self) -> RecordReader:
        """The recipients file, of which it is certain that not all of its records are invalid for one reason.

        Raises:
            UsageError: Nothing in it can be an address, or a template uses a field that none of them has.
        """
        reader = open_recipients(self.campaign)
        uses = [self._composer.field_use, *([] if self._where is None else [self._where.use])]
        try:
            require_address(reader, self.campaign.recipient_field)
            for use in uses:
                for error in missing_fields(reader, use.needed, use.always):
                    raise error
        except BaseException:
            reader.close()
            raise
        return reader

    def _admit(self) -> Admission:
        """What says which records of the first pass are offered."""
        next_attempt: Callable[[int], int] | None
        past, selection = self._resumption, self._selection
        if past is None:
            next_attempt = None if selection is None else selection.first_attempt
        elif selection is None:
            next_attempt = past.next_attempt
        else:

            def next_attempt(record: int) -> int:
                return past.next_attempt(record) if record in selection else 0

        return Admission(
            self._suppression,
            exclusion=self._exclusion,
            addressees=self._addressees,
            where=self._where,
            next_attempt=next_attempt,
            limit=self._limit,
        )

    async def _first_pass(
        self, report: Callable[[DeliveryResult], None], hand_over: Callable[[list[Submission]], Awaitable[None]]
    ) -> None:
        """Offer every record that is wanted once.

        Raises:
            RunError: The recipients file cannot be read further.
        """
        await self._remember()
        try:
            await Producer(self._reader, self._composer, self._admission, report=report).run(hand_over)
        finally:
            if self._where is not None:
                self.summary.passed_over = self._admission.passed_over

    async def _remember(self) -> None:
        """Take down whom the earlier run has written to, where nobody is to be written to twice."""
        past, addressees, admission = self._resumption, self._addressees, self._admission
        if past is None or addressees is None:
            return

        def is_written_to(record: int) -> bool:
            return past.was_offered(record) and not admission.attempt(record)

        with open_recipients(self.campaign) as reader:
            work = partial(
                remember, reader, addressees, named=self._composer.named_recipient, is_written_to=is_written_to
            )
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

    async def _send(self, pool: Pool, dispatch: Accounting, ledger: Ledger, disk: GroupSync | None) -> None:
        """Run producer and pool side by side until the pool is done, and what syncs the account and looks after it."""
        again = SecondPass(self.campaign, self._composer, self._suppression, self._watch, self._notice)
        failure: RunError | None = None

        async def produce() -> None:
            try:
                await self._produce(pool, dispatch, again)
            except PoolStoppedError:
                return
            except RunError as error:
                pool.stop(error)
            pool.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            tasks.start_soon(_look_after, ledger, pool)
            if disk is not None:
                tasks.start_soon(disk.run)
            try:
                await pool.run()
            except RunError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if (failure := failure or again.cut_short) is not None:
            raise failure
        self.summary.left = await anyio.to_thread.run_sync(self._admission.count_left, self._reader, MOST_LEFT)

    async def _produce(self, pool: Pool, dispatch: Accounting, again: SecondPass) -> None:
        """All records once, and the deferred ones again: while the first pass goes on, and after it."""

        async def hand_over(batch: list[Submission]) -> None:
            await dispatch.hand_over(batch, pool)
            if due := dispatch.due():
                await again.run(due, pool, dispatch)

        await self._first_pass(dispatch.withheld, hand_over)
        await again.look()
        while again.cut_short is None and (chosen := await dispatch.wait()) is not None:
            await again.run(chosen, pool, dispatch)

    async def _write_what_was_in_flight(self, ledger: Ledger) -> None:
        """Give what was in flight when the earlier run was killed its lines in the log, before anything is sent.

        Raises:
            RunError: They cannot be written.
        """
        past = self._resumption
        if past is None or not past.in_flight:
            return
        results = await anyio.to_thread.run_sync(recovery.outcomes, past.in_flight, self.campaign, self._composer)
        for result in results:
            ledger.append(result)
        ledger.flush()
        if (told := recovery.describe_in_doubt(results)) is not None:
            self._notice(told)
            if not past.sends(Outcome.IN_DOUBT):
                command = f"batchsend resume {shlex.quote(str(past.path))} --retry in_doubt"
                self._notice(f"they may have been delivered; to send them again all the same: {command}")

    async def _run_line(self) -> Run:
        recipients = self.campaign.recipients
        if recipients == "-":
            described = RecipientsFile(path="-")
        elif self._recipients is not None:
            described = replace(self._recipients, only=self._only)
        else:
            described = replace(await anyio.to_thread.run_sync(describe, recipients), only=self._only)
        if recipients != "-" and described.sha256 is not None:
            self._watch = FileWatch(recipients, described, encoding=self.campaign.encoding)
        return Run(
            id=self.id,
            started=self._started,
            campaign=str(self.campaign.path.resolve()),
            recipients=described,
            version=__version__,
            server=self._server,
            suppress=tuple(
                SuppressionFile(path=str(path.resolve()), entries=count) for path, count in self._suppression.files
            ),
            overrides=self._overrides,
        )


def send(campaign: Campaign | Path | str, *, limit: int | None = None) -> Summary:
    """Send a campaign and wait until it is done, on a loop of its own; from a running loop await `Batch.run` instead.

    Args:
        campaign: A campaign, or the path of a campaign file.
        limit: Send at most the first ``limit`` records; None for all.

    Returns:
        What became of the records; each one's outcome is in the results log.

    Raises:
        UsageError: The campaign cannot be sent as it is; nothing was sent.
        RunError: The run stopped early; what became of each record until then is in the results log.
        RuntimeError: A loop is running in this thread already.
    """
    loaded = campaign if isinstance(campaign, Campaign) else load(Path(campaign))
    return run(lambda: Batch(loaded, limit=limit).run())


async def _look_after(ledger: Ledger, pool: Pool) -> None:
    """Stop the pool when something has been done to the account, until cancelled: what is sent then would be lost."""
    try:
        while True:
            await anyio.sleep(_LOOK_EVERY)
            ledger.look()
    except RunError as error:
        pool.stop(error)


def _new_id() -> str:
    """A run's identity: sortable by time, and never the same twice."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.{secrets.token_hex(6)}"
