"""``batchsend send``: send a campaign."""

from __future__ import annotations

import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
import click
import orjson

from batchsend.batch import Batch
from batchsend.campaign import Overrides, load
from batchsend.cli.campaigns import campaign_argument, notice, recipients_option
from batchsend.cli.progress import follow
from batchsend.errors import BatchsendError, RunError
from batchsend.loop import run
from batchsend.sandbox import sandbox

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from batchsend.campaign import Campaign
    from batchsend.report.summary import Summary


@click.command()
@campaign_argument
@recipients_option
@click.option("--results", metavar="FILE", help="Keep the results log in FILE.")
@click.option("--server", metavar="URL", help="Send through smtp://HOST:PORT or smtps://HOST:PORT.")
@click.option("--sandbox", "sandboxed", is_flag=True, help="Send to an embedded server: nothing leaves this machine.")
@click.option("--max-connections", type=int, metavar="N", help="Sessions open at once.")
@click.option("--max-messages", type=int, metavar="N", help="Messages of a session, after which it is rotated.")
@click.option("--depth", type=int, metavar="N", help="Unanswered transactions of a session; above 1 needs CHUNKING.")
@click.option(
    "--rate", metavar="RATE", help="The most messages in a time, all sessions together: 100/s, 600/min, 5000/h."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after the first N records.")
@click.option("--dry-run", is_flag=True, help="Render every record and send nothing.")
@click.option("--progress/--no-progress", default=None, help="Show progress; by default on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on standard output.")
def send(
    campaign: Path,
    *,
    recipients: str | None,
    results: str | None,
    server: str | None,
    sandboxed: bool,
    max_connections: int | None,
    max_messages: int | None,
    depth: int | None,
    rate: str | None,
    limit: int | None,
    dry_run: bool,
    progress: bool | None,
    as_json: bool,
) -> int:
    """Send the campaign in the file CAMPAIGN, and keep each recipient's outcome in its results log."""
    if sandboxed and server is not None:
        raise click.UsageError("--sandbox and --server exclude each other", click.get_current_context())
    overrides = Overrides(
        recipients=recipients,
        results=results,
        server=server,
        max_connections=max_connections,
        max_messages=max_messages,
        depth=depth,
        rate=rate,
    )
    loaded = load(campaign, overrides=overrides, resolve_credentials=not (sandboxed or dry_run))
    shown = sys.stderr.isatty() if progress is None else progress
    return run(lambda: _Sending(loaded, limit, shown=shown, as_json=as_json).send(sandboxed=sandboxed, dry_run=dry_run))


class _Sending:
    """One invocation of the command."""

    def __init__(self, campaign: Campaign, limit: int | None, *, shown: bool, as_json: bool) -> None:
        self._campaign = campaign
        self._limit = limit
        self._shown = shown
        self._as_json = as_json
        self._signal: signal.Signals | None = None

    async def send(self, *, sandboxed: bool, dry_run: bool) -> int:
        """Send or rehearse; returns the exit code."""
        async with AsyncExitStack() as stack:
            campaign, context = self._campaign, None
            if dry_run:
                summary = await self._batch(campaign, None).rehearse()
                self._show(summary, ["dry run: nothing was sent"])
                return 0 if summary.complete else 1
            afterwards = []
            if sandboxed:
                campaign, context, sink = await stack.enter_async_context(sandbox(campaign))
            batch = self._batch(campaign, context)
            failure = await self._run(batch)
            if sandboxed:
                afterwards = [f"sandbox: received {sink.counts.messages:,} messages; none left this machine"]
            self._show(batch.summary, afterwards)
        if self._signal is not None:
            return 128 + self._signal
        if failure is not None:
            raise failure
        return 0 if batch.summary.complete else 1

    def _batch(self, campaign: Campaign, context: ssl.SSLContext | None) -> Batch:
        return Batch(campaign, context=context, limit=self._limit, notice=notice)

    async def _run(self, batch: Batch) -> RunError | None:
        """Run the batch while its progress is shown and signals are heeded."""
        failure: BatchsendError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heed_signals, batch, tasks.cancel_scope)
            if self._shown:
                tasks.start_soon(follow, batch)
            try:
                await batch.run()
            except BatchsendError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None and not isinstance(failure, RunError):
            raise failure
        return failure

    async def _heed_signals(self, batch: Batch, scope: anyio.CancelScope) -> None:
        """The first signal stops the run in order, the second one at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if self._signal is not None:
                    scope.cancel()
                    return
                self._signal = number
                batch.stop(f"stopped by {number.name}")
                notice(f"{number.name}: nothing new is sent, replies are awaited; again to stop at once")

    def _show(self, summary: Summary, afterwards: list[str]) -> None:
        if self._as_json:
            click.echo(orjson.dumps(summary.to_json()).decode())
            return
        for line in [*summary.lines(), *afterwards]:
            click.echo(line, err=True)
