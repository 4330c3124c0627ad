"""``batchsend send``: send a campaign."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from batchsend.campaign import Overrides, load
from batchsend.cli.campaigns import campaign_argument, recipients_option
from batchsend.cli.sending import Sending, resume_command
from batchsend.loop import run
from batchsend.results.log import refuse_used
from batchsend.results.spool import spool

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@campaign_argument
@recipients_option
@click.option(
    "--only",
    multiple=True,
    metavar="WHAT",
    help="Where the recipients file is a results log: send to the records with this outcome (rejected), reply code "
    "(550) or enhanced code (5.7). Can be given more than once.",
)
@click.option("--no-spool", is_flag=True, help="Do not keep standard input beside the log: no resuming, no retries.")
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
@click.option("--no-retry", is_flag=True, help="Do not offer deferred records again in this run.")
@click.option("--dry-run", is_flag=True, help="Render every record and send nothing.")
@click.option("--progress/--no-progress", default=None, help="Show progress; by default on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on standard output.")
def send(
    campaign: Path,
    *,
    recipients: str | None,
    only: tuple[str, ...],
    no_spool: bool,
    results: str | None,
    server: str | None,
    sandboxed: bool,
    max_connections: int | None,
    max_messages: int | None,
    depth: int | None,
    rate: str | None,
    limit: int | None,
    no_retry: bool,
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
        max_attempts=1 if no_retry else None,
    )
    loaded = load(campaign, overrides=overrides, resolve_credentials=not (sandboxed or dry_run))
    shown = sys.stderr.isatty() if progress is None else progress
    if loaded.recipients == "-" and not (no_spool or dry_run):
        refuse_used(loaded.results)
        loaded = msgspec.structs.replace(loaded, recipients=spool(loaded.results))
    again = None
    if loaded.recipients != "-":
        again = resume_command(
            loaded.results,
            server=server,
            max_connections=max_connections,
            max_messages=max_messages,
            depth=depth,
            rate=rate,
            no_retry=no_retry,
        )
    sending = Sending(loaded, limit=limit, shown=shown, as_json=as_json, again=again, only=only)
    return run(lambda: sending.send(sandboxed=sandboxed, dry_run=dry_run))
