"""What the commands that send have in common: a batch run to its end, shown, heeding signals, with its exit code."""

from __future__ import annotations

import shlex
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import anyio

from batchsend import figures
from batchsend.cli.campaigns import tell_json, tracing
from batchsend.cli.service import service
from batchsend.cli.signals import Signals
from batchsend.delivery.consequences import RESUME, WAIT
from batchsend.display import called
from batchsend.errors import BatchsendError, RunError, UsageError
from batchsend.outcome import Outcome
from batchsend.patterns import late_pattern
from batchsend.run.batch import Batch

if TYPE_CHECKING:
    import ssl
    from collections import Counter
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from batchsend.campaign import Campaign
    from batchsend.cli.console import Console
    from batchsend.cli.options import SendingOptions
    from batchsend.control.protocol import ControlAnswer, ControlRequest
    from batchsend.results.claim import Claim
    from batchsend.results.resumption import Resumption
    from batchsend.results.run import Change
    from batchsend.trace import Trace

_BLINK: Final = 0.1
"""Seconds within which a run may be over before anything of it is shown."""


class Sending:
    """One invocation of a command that sends.

    Args:
        campaign: What is sent.
        options: How, as the command line says; what overrides the campaign is in the campaign already.
        console: Says what there is to say.
        again: The command that goes on with this run, should it end early; None where it cannot be gone on with.
        resumption: The earlier run that this one goes on with, or None.
        only: Where the recipients file is a results log: the outcomes and codes of the records to send to.
        overrides: What the command line has said about where and how to send, for the run line.
        claim: The results log, where it is locked already.
        changes: What was changed in the earlier run while it went on, and is to hold.
    """

    def __init__(
        self,
        campaign: Campaign,
        options: SendingOptions,
        console: Console,
        *,
        again: str | None,
        resumption: Resumption | None = None,
        only: tuple[str, ...] = (),
        overrides: Mapping[str, str | int],
        claim: Claim | None = None,
        changes: Mapping[str, Change] = MappingProxyType({}),
    ) -> None:
        self._campaign = campaign
        self._options = options
        self._console = console
        self._again = again
        self._resumption = resumption
        self._only = only
        self._overrides = overrides
        self._claim = claim
        self._changes = changes
        self._signals = Signals(console)
        self._batch: Batch | None = None
        self._trace: Trace | None = None

    async def send(self, *, sandboxed: bool) -> int:
        """Send or rehearse; returns the exit code.

        Args:
            sandboxed: To an embedded server.

        Raises:
            RunError: The run stopped early; its remedy ends with how to go on.
        """
        async with AsyncExitStack() as stack:
            campaign, context = self._campaign, None
            if self._options.dry_run:
                rehearsed = await self._prepared(campaign, None)
                summary = await rehearsed.rehearse()
                self._show(rehearsed, ["dry run: nothing was sent"])
                return 0 if summary.complete else 1
            afterwards = []
            self._trace = stack.enter_context(tracing(self._options.trace, self._console.notice))
            if sandboxed:
                from batchsend.run.sandbox import sandbox  # noqa: PLC0415 - a whole server, which most runs do not need

                campaign, context, sink = await stack.enter_async_context(sandbox(campaign))
            failure = await self._run(campaign, context, server="sandbox" if sandboxed else None)
            if self._batch is None:
                return 128 + self._received(failure)
            batch = self._batch
            if sandboxed:
                taken = figures.count(sink.counts.messages, "message")
                afterwards = [f"sandbox: received {taken}; none left this machine"]
            self._show(batch, afterwards)
        if self._signals.received is not None:
            if self._again is not None:
                self._console.notice(f"to go on: {self._again}")
            return 128 + self._signals.received
        if failure is not None:
            raise self._with_way_on(failure, batch)
        if batch.summary.stopped is not None:  # by whoever has a hand on the wheel
            if self._again is not None:
                self._console.notice(f"{batch.summary.stopped}; to go on: {self._again}")
            return 3
        return 0 if batch.complete else 1

    def _received(self, failure: RunError | None) -> int:
        """The signal that came before there was a run.

        Raises:
            RunError: There was none: there is no run because of this error.
        """
        if self._signals.received is None:
            raise failure or AssertionError("neither a signal nor an error has kept the run from beginning")
        return self._signals.received

    async def _prepared(self, campaign: Campaign, context: ssl.SSLContext | None, server: str | None = None) -> Batch:
        """Make a batch that has read what it needs; where that comes by a pipe, it waits until something does."""
        batch = Batch(
            campaign,
            context=context,
            limit=self._options.limit,
            notice=self._console.notice,
            resumption=self._resumption,
            server=server,
            only=self._only,
            overrides=self._overrides,
            claim=self._claim,
            trace=self._trace,
            beside=self._beside,
        )
        await batch.prepare()
        return batch

    def _with_way_on(self, failure: RunError, batch: Batch) -> RunError:
        failure = RunError(failure.message, remedy=failure.remedy and as_command(failure.remedy, self._again))
        if self._again is None:
            return failure
        way_on = f"to go on: {self._again}"
        if self._resumption is None and not batch.summary.records and _is_empty(self._campaign.results):
            way_on = "send it again: nothing was sent"
        elif failure.remedy and self._again in failure.remedy:
            return failure
        if failure.remedy:
            way_on = f"{failure.remedy.removesuffix('.')}; then, {way_on}"
        return RunError(failure.message, remedy=way_on)

    async def _run(self, campaign: Campaign, context: ssl.SSLContext | None, *, server: str | None) -> RunError | None:
        """Make and run the batch while its progress is shown and signals are heeded.

        Afterwards there is no batch if a signal came before there was one.
        """
        failure: BatchsendError | OSError | None = None
        async with anyio.create_task_group() as tasks:

            def stop(reason: str) -> None:
                if self._batch is None:
                    tasks.cancel_scope.cancel()
                else:
                    self._batch.stop(reason)

            tasks.start_soon(self._signals.handle, stop, tasks.cancel_scope)
            try:
                self._batch = batch = await self._prepared(campaign, context, server)
                self._take_over(batch)
                async with self._metrics(batch), self._page(batch):
                    if self._options.progress and not self._console.is_quiet:
                        keys = self._options.control and campaign.recipients != "-"
                        tasks.start_soon(partial(follow, batch, self._console, heeds_keys=keys))
                    await batch.run()
            except (BatchsendError, OSError) as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None and not isinstance(failure, RunError):
            raise failure
        return failure

    def _take_over(self, batch: Batch) -> None:
        """What was changed in the earlier run holds; that it is paused is said, for nothing else would tell."""
        batch.steering.take_over(self._changes, "resume")
        if batch.steering.paused:
            command = shlex.join(["batchsend", "control", str(self._campaign.results), "continue"])
            self._console.notice(f"the run was paused, and stays so; to go on: {command}")

    @asynccontextmanager
    async def _metrics(self, batch: Batch) -> AsyncIterator[None]:
        """Serve metrics while the context lasts, where they are wanted."""
        place = self._options.metrics
        if place is None:
            yield
            return
        from batchsend.monitor.metrics import serve_metrics  # noqa: PLC0415 - not on the path of every start

        async with serve_metrics(batch, place) as url:
            self._console.notice(f"metrics: {url}")
            yield

    @asynccontextmanager
    async def _page(self, batch: Batch) -> AsyncIterator[None]:
        """Serve the page of the run while the context lasts, where it is wanted."""
        port = self._options.page
        if port is None:
            yield
            return
        if self._console.is_quiet:
            raise UsageError(
                "--page says its address on standard error, where --quiet lets nothing be said",
                remedy="leave one of them out",
            )
        from batchsend.cli.steer import obey  # noqa: PLC0415 - likewise
        from batchsend.page.server import live_page  # noqa: PLC0415 - an extra, and not on the path of every start

        steer = partial(obey, batch, by="page") if self._options.control else None
        async with live_page(batch, port, steer, called(self._campaign.path)) as url:
            self._console.notice(f"page: {url}")
            yield

    @asynccontextmanager
    async def _beside(self) -> AsyncIterator[None]:
        """What goes on beside the run from when its account is open until all is sent."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(service(self._batch, self._console))
            if self._options.control and self._batch is not None:
                from batchsend.control.server import control_socket  # noqa: PLC0415 - not for a rehearsal

                steer = partial(_obey, self._batch)
                log = self._campaign.results
                await stack.enter_async_context(control_socket(log, steer, self._console.notice))
            yield

    def _show(self, batch: Batch, afterwards: list[str]) -> None:
        summary = batch.summary
        described = summary.to_json()
        if self._resumption is not None:
            described["campaign"] = {outcome.value: batch.counts[outcome] for outcome in Outcome}
            afterwards = [f"all runs together: {' · '.join(_named(batch.counts))}", *afterwards]
        if summary.stopped is not None and (told := batch.outlook.told()) is not None:
            afterwards = [*afterwards, told]
        if summary.left and self._again is not None and not self._options.dry_run:
            afterwards = [*afterwards, f"to send to those who are left: {self._again}"]
        if self._options.as_json:
            tell_json(described)
        if self._console.as_json or not self._options.as_json:
            self._console.end([*summary.lines(), *afterwards], **described, notes=afterwards)


def _is_empty(log: Path) -> bool:
    """Whether there is no log that could be gone on with."""
    try:
        return log.stat().st_size == 0
    except OSError:
        return True


def _named(counts: Counter[Outcome]) -> Iterator[str]:
    for outcome in Outcome:
        if counts[outcome] or outcome is Outcome.ACCEPTED:
            yield f"{outcome.value.replace('_', ' ')} {counts[outcome]:,}"


async def follow(batch: Batch, console: Console, *, heeds_keys: bool) -> None:
    """As `batchsend.cli.progress.follow`, for a run that is not over in the blink of an eye."""
    await anyio.sleep(_BLINK)
    from batchsend.cli.progress import follow as show  # noqa: PLC0415 - a run of a few records is over by then

    await show(batch, console, heeds_keys=heeds_keys)


def _obey(batch: Batch, request: ControlRequest) -> ControlAnswer:
    """As `batchsend.cli.steer.obey`."""
    from batchsend.cli.steer import obey  # noqa: PLC0415 - for the first request only

    return obey(batch, request)


def as_command(remedy: str, again: str | None) -> str:
    """What a program is told to do, as the command line has it.

    Args:
        remedy: The remedy of an error.
        again: The command that goes on with the run, or None.
    """
    text = remedy.replace(RESUME, again or "batchsend resume RESULTS").replace(WAIT, "--wait")
    return _RETRY.sub(r" --retry \1", text)


_RETRY: Final = late_pattern(r' with Choice\(\["([^"]*)"\]\)')
