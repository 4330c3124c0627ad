"""Progress on a terminal: how much is done, how fast, what became of it, and how long it still takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from batchsend.batch import Batch
    from batchsend.report.summary import Summary

_INTERVAL = 0.2
_SHOWN = (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.IN_DOUBT, Outcome.INVALID)


async def follow(batch: Batch) -> None:
    """Show a batch's progress on standard error until cancelled."""
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    # Refreshed from here and not by a thread of its own, which would take the interpreter from the sending one.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=1.0 if batch.progress is not None else None)
        before = batch.summary.records
        while True:
            await anyio.sleep(_INTERVAL)
            records = batch.summary.records
            rate = (records - before) / _INTERVAL
            before = records
            progress.update(task, completed=batch.progress, description=_describe(batch.summary, rate), refresh=True)


def _describe(summary: Summary, rate: float) -> str:
    counts = " · ".join(
        f"{outcome.value.replace('_', ' ')} {summary.counts[outcome]:,}"
        for outcome in _SHOWN
        if summary.counts[outcome] or outcome is Outcome.ACCEPTED
    )
    return f"{summary.records:,} · {rate:,.0f}/s · {counts}"
