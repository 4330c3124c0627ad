"""``batchsend events``: outcomes and feedback as signed webhooks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import click

from batchsend import figures
from batchsend.cli.campaigns import say
from batchsend.cli.signals import receiving
from batchsend.errors import BatchsendError, UsageError
from batchsend.events.telling import HOW_TO_MAKE_ONE, Endpoint, Teller
from batchsend.loop import in_abandoned_thread, run

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

VARIABLE: Final = "BATCHSEND_EVENTS_SECRET"


@click.command()
@click.argument("results", type=click.Path(path_type=Path), metavar="RESULTS")
@click.option("--url", required=True, metavar="URL", help="Post the events to URL.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option("--again", is_flag=True, help="Go on with an endpoint that was given up because it answered 410 Gone.")
@click.option(
    "--while-open",
    is_flag=True,
    help="Follow until standard input is closed, then try once what is left: for a program that starts this one.",
)
def events(results: Path, *, url: str, follow: bool, again: bool, while_open: bool) -> None:
    """Tell a program what became of each message, and what came back: as signed webhooks.

    Requests are signed as Standard Webhooks has it, with the secret in BATCHSEND_EVENTS_SECRET (whsec_…). Each has a
    batch of events, in the order of the logs; it is repeated for days until the endpoint answers 2xx, with the same
    webhook-id. What was told is remembered beside the results log.

    The exit code is 0 when everything has been taken, 1 if the endpoint answered 410 and was given up, 3 if it took
    nothing for days.
    """
    secret = os.environ.get(VARIABLE)
    if not secret:
        raise UsageError(f"{VARIABLE} is not set: events are signed with it", remedy=HOW_TO_MAKE_ONE)
    code = run(lambda: _tell(results, url, secret, follow=follow, again=again, while_open=while_open))
    sys.exit(code)


async def _tell(results: Path, url: str, secret: str, *, follow: bool, again: bool, while_open: bool) -> int:
    endpoint = Endpoint(url, secret)
    teller = Teller(results, endpoint, notice=say)
    closing = anyio.Event() if while_open else None
    code = 0
    failure: BatchsendError | None = None
    async with anyio.create_task_group() as tasks:

        async def tell() -> None:
            nonlocal code, failure
            try:
                code = 0 if await teller.run(follow=follow or while_open, again=again, closing=closing) else 1
            except BatchsendError as error:
                failure = error
            tasks.cancel_scope.cancel()

        async def stop_at_a_signal(*, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
            nonlocal code
            with receiving() as signals:
                task_status.started()
                code = 128 + await signals.get()
                tasks.cancel_scope.cancel()

        async def stop_at_the_end() -> None:
            await in_abandoned_thread(sys.stdin.buffer.read)
            if closing is not None:
                closing.set()

        await tasks.start(stop_at_a_signal)
        if closing is not None:
            tasks.start_soon(stop_at_the_end)
        tasks.start_soon(tell)
    await endpoint.aclose()
    if not while_open:  # the program that has started this one reads why it ended, in the last line
        say(f"{figures.count(teller.told, 'event')} taken by {url}")
    if failure is not None:
        raise failure
    return code
