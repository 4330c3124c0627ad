"""One run of a campaign: the only file that wires the stages, records → message → delivery → results → report."""

from __future__ import annotations

import hashlib
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from batchsend.campaign import Campaign, load
from batchsend.delivery.opening import Opener
from batchsend.delivery.pool import Pool
from batchsend.delivery.retry import Waiting
from batchsend.dispatch import Dispatch
from batchsend.errors import RunError, UsageError
from batchsend.loop import run
from batchsend.message import Composer, Submission, Suppression
from batchsend.producer import Producer
from batchsend.records import open_records
from batchsend.report.summary import Summary
from batchsend.results.line import RecipientsFile, Run
from batchsend.results.log import ResultsLog, refuse_used
from batchsend.version import __version__

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from anyio.abc import ObjectSendStream

    from batchsend.outcome import DeliveryResult


class Batch:
    """A run of a campaign, from its recipients file to its results log.

    Args:
        campaign: What is sent, to whom, through which server.
        context: What to verify the server's certificate with, instead of what the campaign says.
        limit: Read at most this many records; None for all.
        notice: Called with what the user should know while it runs, one line each.

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
    ) -> None:
        _refuse_unsupported(campaign)
        refuse_used(campaign.results)
        self.campaign = campaign
        self.id = _new_id()
        self.summary = Summary(results=campaign.results)
        self._started = time.time()
        self._limit = limit
        self._notice = notice
        self._opener = Opener(campaign.servers, campaign.delivery.timeouts, context)
        self._composer = Composer(
            campaign.message,
            directory=campaign.directory,
            batch_id=self.id,
            recipient_field=campaign.recipient_field,
        )
        self._suppression = Suppression.read(campaign.delivery.suppress)
        self._reader = open_records(campaign.recipients)
        self._pool: Pool | None = None

    @property
    def progress(self) -> float | None:
        """How much of the recipients file has been read, from 0 to 1; None where its size is not known."""
        size = self._reader.size
        return None if size is None else min(1.0, self._reader.position / size) if size else 1.0

    def stop(self, reason: str) -> None:
        """Begin nothing more; what is under way is awaited, and `run` then returns."""
        if self._pool is not None and self.summary.stopped is None:
            self.summary.stopped = reason
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
        try:
            with self._reader, ResultsLog(self.campaign.results, await self._run_line()) as log:
                dispatch = Dispatch(log, self.summary, self._retries())
                self._pool = Pool(self._opener, self.campaign.delivery, report=dispatch.offered, notice=self._notice)
                dispatch.on_failure = self._pool.stop
                await self._send(self._pool, dispatch)
        except RunError as error:
            self.summary.stopped = error.message
            raise
        finally:
            self.summary.elapsed = time.monotonic() - began
            self.summary.give_up_waiting()
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
        with self._reader:
            async for batch in self._first_pass(self.summary.count).batches():
                self.summary.ready += len(batch)
        self.summary.elapsed = time.monotonic() - began
        return self.summary

    def _retries(self) -> Waiting:
        delivery = self.campaign.delivery
        if self._reader.blocking and delivery.max_attempts > 1:
            self._notice(f"{self._reader.name} cannot be read twice: deferred records are not tried again in this run")
            return Waiting(max_attempts=1, pause=delivery.retry_after)
        return Waiting(max_attempts=delivery.max_attempts, pause=delivery.retry_after)

    def _first_pass(self, report: Callable[[DeliveryResult], None]) -> Producer:
        return Producer(self._reader, self._composer, self._suppression, report=report, limit=self._limit)

    async def _send(self, pool: Pool, dispatch: Dispatch) -> None:
        """Run producer and pool side by side until the pool is done."""
        into_pool, from_producer = anyio.create_memory_object_stream[list[Submission]](1)
        failure: RunError | None = None

        async def produce() -> None:
            async with into_pool:
                try:
                    await self._produce(into_pool, dispatch)
                except anyio.BrokenResourceError:
                    pass  # the pool was stopped
                except RunError as error:
                    pool.stop(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            try:
                await pool.run(from_producer)
            except RunError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _produce(self, into_pool: ObjectSendStream[list[Submission]], dispatch: Dispatch) -> None:
        """All records once, and the deferred ones again: while the first pass goes on, and after it."""
        async for batch in self._first_pass(dispatch.withheld).batches():
            await dispatch.hand_over(batch, into_pool)
            if due := dispatch.due():
                await self._again(due, into_pool, dispatch)
        while (chosen := await dispatch.wait()) is not None:
            await self._again(chosen, into_pool, dispatch)

    async def _again(
        self, chosen: dict[int, int], into_pool: ObjectSendStream[list[Submission]], dispatch: Dispatch
    ) -> None:
        """Read the recipients file from its beginning for the records that are due."""
        began = time.monotonic()
        with open_records(self.campaign.recipients) as reader:
            producer = Producer(reader, self._composer, self._suppression, report=dispatch.withheld, chosen=chosen)
            async for batch in producer.batches():
                await dispatch.hand_over(batch, into_pool)
        dispatch.pause_between_passes(time.monotonic() - began)

    async def _run_line(self) -> Run:
        recipients = self.campaign.recipients
        described = RecipientsFile(path="-")
        if recipients != "-":
            size, digest = None, None
            if not self._reader.blocking:
                size = self._reader.size
                digest = await anyio.to_thread.run_sync(_sha256, recipients)
            described = RecipientsFile(path=str(recipients), size=size, sha256=digest)
        return Run(
            id=self.id,
            started=self._started,
            campaign=str(self.campaign.path.resolve()),
            recipients=described,
            version=__version__,
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


def _new_id() -> str:
    """A run's identity: sortable by time, and never the same twice."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.{secrets.token_hex(6)}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_unsupported(campaign: Campaign) -> None:
    if campaign.delivery.durability != "process":
        raise UsageError(
            f'{campaign.path}: [delivery] durability = "{campaign.delivery.durability}" is not there yet',
            remedy='leave it out: "process", the default, survives everything but the end of the machine',
        )
