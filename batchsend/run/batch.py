"""One run of a campaign on this machine, as a program holds it: wires recipients, message, delivery and results."""

from __future__ import annotations

import ssl  # noqa: TC003 - get_type_hints looks for it
import time
from collections import Counter  # noqa: TC003 - likewise
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping  # noqa: TC003 - likewise
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
from msgspec.structs import replace

from batchsend.campaign import Campaign, check_objects, load, most_in_doubt, places, server_warnings
from batchsend.campaign.python_terms import python_terms
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.delivery.quota import Meters
from batchsend.delivery.statistics import PoolStatistics  # noqa: TC001 - likewise
from batchsend.delivery.telemetry import observed
from batchsend.errors import RunError, UsageError, require, require_callable
from batchsend.loop import in_abandoned_thread, require_loop, run
from batchsend.outcome import DeliveryResult, Outcome  # noqa: TC001 - likewise
from batchsend.recipients.fingerprint import FileWatch, describe
from batchsend.recipients.spool import Rows, with_kept
from batchsend.results.claim import Claim, refuse_used
from batchsend.results.groupsync import GroupSync
from batchsend.results.ledger import Ledger
from batchsend.results.resumption import Resumption  # noqa: TC001 - likewise
from batchsend.results.run import RecipientsFile, Run, SuppressionFile, new_id
from batchsend.run import recovery
from batchsend.run.accounting import Accounting
from batchsend.run.arguments import Use, require_internal, require_no_loop, require_rows, require_types
from batchsend.run.first_pass import FirstPass, changed_at_start
from batchsend.run.handing_over import PoolStoppedError, hand_over, look_after, wait_until_due
from batchsend.run.hours import Hours
from batchsend.run.outlook import Outlook, Rest, count_rest
from batchsend.run.own_records import OwnRecords
from batchsend.run.retry import retries
from batchsend.run.second_pass import SecondPass
from batchsend.run.steering import Steering
from batchsend.run.streaming import ResultStream
from batchsend.run.summary import MOST_LEFT, Summary
from batchsend.run.telling import EventsProcess
from batchsend.trace import Trace, log, logged
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from batchsend.message import Submission


class Batch:
    """A run of a campaign, from its recipients file to its results log.

    >>> batch = Batch(load("campaign.toml"))
    >>> asyncio.run(batch.run()).counts[Outcome.ACCEPTED]
    2

    Args:
        campaign: What is sent, to whom, through which server.
        context: What to verify the server's certificate with, instead of what the campaign says.
        limit: Send at most this many records; None for all.
        notice: Called with what the user should know while it runs, one line each.
        resumption: The run to go on with, open; its log is the campaign's.
        server: What the run line calls the server; None for the campaign's first one.
        only: Where the recipients file is a results log: the outcomes and codes of the records to send to.
        overrides: What was said in place of the campaign file, for the run line; None: as the earlier run has it.
        claim: The results log of a new run, where it is locked already.
        trace: Where each session's dialogue is written; None for nowhere. It is the caller's to close.
        beside: What is entered when the account is open and nothing is sent yet, and left when all is sent.
        recipients: The records of a new run instead of the campaign's file: any iterable or asynchronous iterable of
            mappings, such as rows of a database. They are taken to the end before anything is sent, and kept beside the
            results log, so that the run can be gone on with: by ``resumption``, without ``recipients``. Where the run
            is refused after that, they are not kept. None for the campaign's file.

    Attributes:
        id: The run's identity: in the log's run line and in every Message-ID.
        summary: What it has come to so far.
        steering: What can be changed while it goes on.
        outlook: When it will be done.
        meters: What counts towards the quotas.
        rest: What was left when it stopped; None before, and where that is not known.

    Making one reads no file and refuses nothing but wrong arguments: `run` does. One batch is one run, which is sent
    once; it may be rehearsed before, and be begun again where it was refused.

    Raises:
        TypeError: An argument is of a wrong type.
        UsageError: ``limit`` is below 1; a word in ``only`` means no records; the ``resumption`` is not open; or there
            are ``recipients`` as well as one, which has its own.
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
        beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        recipients: Rows | None = None,
    ) -> None:
        require_types(campaign, context, limit, resumption, trace)
        require_internal(server, only, overrides, claim, beside)
        require_callable(notice, "notice")
        require_rows(recipients, resumption)
        self.campaign: Campaign = campaign if resumption is None else with_kept(campaign, resumption.account.run)
        self.id: str = new_id() if resumption is None else resumption.account.run.id
        self.summary: Summary = Summary(results=campaign.results)
        self._resumption = resumption
        self._own = OwnRecords(recipients, claim)
        self._use = Use()
        self._first_is_used = False  # what was read in advance has gone into a rehearsal or a run
        self._stream: ResultStream | None = None
        self._server = server
        self._only = only if resumption is None else resumption.account.run.recipients.only
        self._watch: FileWatch | None = None
        self._overrides = overrides
        self._durable = campaign.delivery.durability == "power"
        self._started = time.time()
        self._limit = limit
        self._notice = logged(notice)
        self._context = context
        self._trace = trace
        self._connectors: list[Connector] = []
        self._first: FirstPass | None = None
        self.steering = Steering(delivery := campaign.delivery, self.stop)
        self.outlook = Outlook(self)
        self.rest: Rest | None = None
        self.meters = Meters(campaign.servers, tuple(delivery.quota))
        self._beside = beside
        schedule = delivery.schedule
        self._hours = None if schedule is None else Hours(schedule, delivery.max_wait, self.steering, self._notice)
        self._events = EventsProcess(campaign, self._notice)
        self._pool: Pool | None = None
        self._account: Accounting | None = None

    @property
    def counts(self) -> Counter[Outcome]:
        """All records by outcome: those of this run, and those that it left as an earlier one had them."""
        if self._account is not None:
            return self.summary.counts + self._account.untouched
        return self.summary.counts.copy() if self._resumption is None else self._resumption.counts.copy()

    @property
    def complete(self) -> bool:
        """Every record was accepted or suppressed, in this run or an earlier one."""
        return self.summary.complete and not any(count and outcome.is_failure for outcome, count in self.counts.items())

    @property
    def progress(self) -> float | None:
        """How much of the work is done, from 0 to 1; None where it is not known how much there is.

        What was read and has no outcome yet is not done; all of this is told by the size of the recipients file, which
        `prepare` opens.
        """
        if self._first is None:
            return None
        read, given = self._first.reader.progress, self._first.reader.given
        if read is not None and given and self._account is not None:
            read *= max(0, given - self._account.under_way) / given
        if self._limit is None:
            return read
        done = self.summary.records - self.summary.waiting
        return max(read or 0.0, min(1.0, done / self._limit))

    @property
    def left(self) -> int | None:
        """About how many records are left, by the octets of the list that were read; None where that is not known."""
        if self._first is None:
            return None
        read, given = self._first.reader.progress, self._first.reader.given
        if not read or not given or self._account is None:
            return None
        left = round(given / read) - given + self._account.under_way
        return left if self._limit is None else min(left, self._limit - self.summary.records + self.summary.waiting)

    @property
    def statistics(self) -> PoolStatistics | None:
        """Sessions, pace and replies as they are now; None before anything is sent."""
        return None if self._pool is None else self._pool.statistics()

    def stop(self, reason: str) -> None:
        """Begin nothing more; what is under way is awaited, and `run` then returns.

        Args:
            reason: Why, as the summary and the results log have it.

        Raises:
            TypeError: It is no text.
        """
        require(reason, "reason", str)
        if self.summary.stopped is None:
            self.summary.stopped = reason
            if self._pool is not None:
                self._pool.stop()

    async def prepare(self) -> None:
        """Read what a run needs before it begins, in a thread; `run` does so if it was not done.

        Cancelling it leaves the thread to itself: opening a pipe that is silent may take for ever.

        Raises:
            UsageError: The campaign cannot be sent as it is; nothing was sent, and no results log was made.
        """
        with self._alone():
            await self._prepared()

    async def run(self) -> Summary:
        """Send the campaign.

        Cancelling it ends every session at once; what was in flight is in the log, as ``in_doubt``.

        Returns:
            The summary. Its ``stopped`` says why the run ended early, where it did; the log is complete either way.

        Raises:
            UsageError: The campaign cannot be sent as it is, or the results log cannot be opened; or the batch is in
                use or was run before. Nothing was sent.
            RunError: The run stopped early: the server is gone or refuses the sender, or the log cannot be written.
        """
        with self._alone():
            return await self._observed()

    async def _observed(self) -> Summary:
        try:
            with observed(self, self.campaign.servers[0], self.id, self.summary.counts):
                return await self._run()
        finally:
            self._own.give_back()  # where it was not handed over
            await self._events.finish()

    def results(self) -> AsyncGenerator[DeliveryResult, None]:
        """Send the campaign as `run` does, and yield each outcome as it is known, in no particular order.

        A record that was deferred, or whose outcome proves unbelievable, has more than one: its last one counts, as in
        the results log. The run takes records no faster than the results are taken: some 1000 may wait, and as many
        as the pool has under way.

        Where the loop over it is left early, nothing more is begun, what is under way is awaited and written to the
        log, and the run can be gone on with: use ``contextlib.aclosing`` to wait for that. Where its task is cancelled,
        sessions end at once, as with `run`.

        ::

            batch = Batch(load("campaign.toml"))
            async for result in batch.results():
                print(result.record, result.recipient, result.status)
            print(batch.summary.stopped)

        Yields:
            The outcomes; those that the results log has at its end, and no others.

        Raises:
            UsageError: As `run`.
            RunError: As `run`, once what is known was yielded.
        """
        self._use.require()
        return self._streamed()

    async def _streamed(self) -> AsyncGenerator[DeliveryResult, None]:
        with self._alone():
            self._stream = ResultStream()
            async with aclosing(self._stream.of(self._observed, self.stop)) as results:
                async for result in results:
                    yield result

    async def _run(self) -> Summary:
        began = time.monotonic()
        log.info("run %s of %s begins: results in %s", self.id, self.campaign.path, self.campaign.results)
        first = await self._prepared()
        for note in (*server_warnings(self.campaign.servers), *first.notes()):
            self._notice(note)
        self._first_is_used = True
        try:
            with first, self._ledger(await self._run_line(first)) as ledger:
                self._use.begun = True
                disk = GroupSync(ledger) if self._durable else None
                self._account = accounting = self._accounting(first, ledger, disk)
                if self._resumption is not None:
                    await recovery.count_what_was_sent(self._resumption, self.meters)
                await self._write_what_was_in_flight(first, ledger)
                self._pool = pool = Pool(
                    self._connectors,
                    self.campaign.delivery,
                    accounting,
                    notice=self._notice,
                    learned={} if self._resumption is None else self._resumption.account.learned,
                    meters=self.meters,
                )
                accounting.on_failure = pool.stop
                if disk is not None:
                    disk.on_failure = pool.stop
                if self.summary.stopped is not None:
                    pool.stop()
                try:
                    await self._send_steered(first, pool, accounting, ledger, disk)
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
            UsageError: The campaign cannot be sent as it is; or the batch is in use or was run before.
            RunError: The recipients file cannot be read further.
        """
        self._use.require()
        if self._own.rows is not None:
            raise UsageError("what would be sent to a program's own records cannot be rehearsed", remedy="use a file")
        with self._alone():
            return await self._rehearsed()

    async def _rehearsed(self) -> Summary:
        began = time.monotonic()

        async def count(batch: list[Submission]) -> None:
            self.summary.ready += len(batch)
            await anyio.lowlevel.checkpoint()  # where Ctrl-C is heeded

        first = await self._prepared()
        self.summary.results, self._first_is_used = None, True
        with first:
            for note in first.notes():
                self._notice(note)
            await self._offer(first, self.summary.count, count)
        self.summary.elapsed = time.monotonic() - began
        return self.summary

    def _read_files(self) -> tuple[FirstPass, list[Connector]]:
        """Read what a run needs before it begins."""
        campaign = self.campaign
        check_objects(campaign)
        if self._resumption is None:
            refuse_used(campaign.results)
        delivery = campaign.delivery
        connectors = [
            Connector(server, delivery.timeouts, self._context, require_tls=delivery.require_tls, trace=self._trace)
            for server in campaign.servers
        ]
        return self._open(), connectors

    def _open(self) -> FirstPass:
        return FirstPass(
            self.campaign, self.id, self._resumption, only=self._only, limit=self._limit, notice=self._notice
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Use it, where nobody does; what an earlier use has read and counted does not count."""
        require_loop("a Batch", "call batchsend.send")
        with python_terms(self.campaign), self._use.alone():
            if self._first_is_used:
                self._first, self._watch, self._first_is_used = None, None, False
                self.summary = Summary(results=self.campaign.results, stopped=self.summary.stopped)
            try:
                yield
            except BaseException:
                if not self._use.begun and (before := self._own.remove(self.campaign, self._use)) is not self.campaign:
                    self.campaign, self._first = before, None
                raise

    async def _prepared(self) -> FirstPass:
        """What was read before, or is read now."""
        if self._first is not None:
            return self._first
        self.campaign = await self._own.keep(self.campaign, self._use)
        first, self._connectors = await in_abandoned_thread(self._read_files)
        self._first = first
        return first

    async def _breathe(self) -> None:
        """Let others have their turn, and whoever takes the results catch up."""
        await anyio.lowlevel.checkpoint()
        if self._stream is not None:
            await self._stream.room()

    async def _offer(
        self,
        first: FirstPass,
        report: Callable[[DeliveryResult], None],
        hand_over: Callable[[list[Submission]], Awaitable[None]],
    ) -> None:
        """Offer every record that is wanted once, and count those that are not."""
        try:
            await first.run(report, hand_over, self._breathe, self._watch)
        finally:
            self.summary.passed_over = first.passed_over

    def _ledger(self, line: Run) -> Ledger:
        delivery = self.campaign.delivery
        # After a kill at most (max_connections + 1) times min(depth, max_messages) messages of each relay are in doubt:
        # no more sessions than that are open or being opened (`Slots`, rule 4), and none has more transactions
        # unanswered. Each transaction may have two places for a moment: its own, and that of the one before it, whose
        # outcome is not written yet. Twice that again, so that the journal need not grow while messages go out.
        capacity = 4 * sum(most_in_doubt(server, delivery) for server in self.campaign.servers)
        return Ledger(
            self.campaign.results,
            line,
            capacity=capacity,
            resumption=self._resumption,
            claim=self._own.claim,
            durable=self._durable,
        )

    def _accounting(self, first: FirstPass, ledger: Ledger, disk: GroupSync | None) -> Accounting:
        return Accounting(
            ledger,
            self.summary,
            retries(self.campaign.delivery, first.reader, self._notice),
            self._resumption,
            disk,
            notice=self._notice,
            stream=self._stream,
        )

    async def _send_steered(
        self, first: FirstPass, pool: Pool, accounting: Accounting, ledger: Ledger, disk: GroupSync | None
    ) -> None:
        """Send within the hours, with somebody at the wheel."""
        self.steering.attach(pool, ledger)
        if self._hours is not None:
            self._hours.look(time.time())
        async with self._beside():
            await self._send(first, pool, accounting, ledger, disk)

    async def _send(
        self, first: FirstPass, pool: Pool, accounting: Accounting, ledger: Ledger, disk: GroupSync | None
    ) -> None:
        """Run producer and pool side by side until the pool is done, and what syncs the account and looks after it."""
        self._events.start()
        again = SecondPass(first.records, first.composer, first.suppression, self._watch, self._notice)
        failure: RunError | None = None

        async def produce() -> None:
            try:
                await self._produce(first, pool, accounting, again)
            except PoolStoppedError:
                return
            except RunError as error:
                pool.stop(error)
            pool.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            tasks.start_soon(look_after, ledger, pool)
            if self._hours is not None:
                tasks.start_soon(self._hours.run, pool)
            if disk is not None:
                tasks.start_soon(disk.run)
            try:
                await pool.run()
            except RunError as error:
                failure = error
            tasks.cancel_scope.cancel()
        failure = failure or again.cut_short
        if failure is not None or self.summary.stopped is not None:
            self.rest = await count_rest(first, self.summary, accounting.untouched)
        if failure is not None:
            raise failure
        self.summary.left = await first.count_left(MOST_LEFT)

    async def _produce(self, first: FirstPass, pool: Pool, accounting: Accounting, again: SecondPass) -> None:
        """All records once, and the deferred ones again: while the first pass goes on, and after it."""

        async def hand_on(batch: list[Submission]) -> None:
            await hand_over(batch, accounting, pool)
            if due := accounting.due():
                await again.run(due, pool, accounting)

        await self._offer(first, accounting.withheld, hand_on)
        await again.look()
        while again.cut_short is None and (chosen := await wait_until_due(accounting)) is not None:
            await again.run(chosen, pool, accounting)

    async def _write_what_was_in_flight(self, first: FirstPass, ledger: Ledger) -> None:
        """Give what was in flight when the earlier run was killed its lines in the log, before anything is sent.

        Raises:
            RunError: They cannot be written.
        """
        past = self._resumption
        if past is not None and past.in_flight:
            await recovery.recover(
                past,
                first.records,
                first.composer,
                ledger,
                meters=self.meters,
                stream=self._stream,
                notice=self._notice,
            )

    async def _run_line(self, first: FirstPass) -> Run:
        recipients, server, past = self.campaign.recipients, self.campaign.servers[0], self._resumption
        if recipients == "-":
            described = RecipientsFile(path="-")
        elif first.recipients is not None:
            described = replace(first.recipients, only=self._only)
        else:
            described = replace(await anyio.to_thread.run_sync(describe, recipients), only=self._only)
        original = None if first.selection is None else first.selection.original
        if original is not None:
            described = replace(described, of=original.described)
            self._watch = FileWatch(original.path, original.described, encoding=self.campaign.encoding)
        elif recipients != "-" and described.sha256 is not None:
            self._watch = FileWatch(recipients, described, encoding=self.campaign.encoding)
        if self._watch is not None and first.reader.opened not in (None, self._watch.mark):
            raise changed_at_start(first.reader)
        held = {} if past is None else past.account.held
        return Run(
            id=self.id,
            started=self._started,
            campaign=str(self.campaign.path.resolve()),
            recipients=described,
            version=__version__,
            server=self._server or f"{server.host}:{server.port}",
            suppress=tuple(
                SuppressionFile(path=str(path.resolve()), entries=count) for path, count in first.suppression.files
            ),
            overrides=held if self._overrides is None else self._overrides,
            servers=tuple(place.name for place in names) if len(names := places(self.campaign.servers)) > 1 else (),
            where=self.campaign.where,
            recipient_field=first.address_field,
        )


def send(campaign: Campaign | Path | str, *, limit: int | None = None) -> Summary:
    """Send a campaign and wait until it is done, on a loop of its own; from a running loop await `Batch.run` instead.

    >>> send("campaign.toml").counts[Outcome.ACCEPTED]
    2

    Args:
        campaign: A campaign, or the path of a campaign file.
        limit: Send at most the first ``limit`` records; None for all.

    Returns:
        What became of the records; each one's outcome is in the results log.

    Raises:
        UsageError: The campaign cannot be sent as it is, or a loop is running in this thread already, which is a
            `RuntimeError` as well; nothing was sent.
        RunError: The run stopped early; what became of each record until then is in the results log.
        TypeError: An argument is of a wrong type.
    """
    require(campaign, "campaign", Campaign, Path, str)
    require(limit, "limit", int, NoneType)
    require_no_loop()
    loaded = campaign if isinstance(campaign, Campaign) else load(Path(campaign))
    return run(lambda: Batch(loaded, limit=limit).run())
