"""``batchsend send``: send a campaign."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click
import msgspec

from batchsend.campaign import load
from batchsend.cli.campaigns import campaign_argument, recipients_option
from batchsend.cli.console import Console, pass_console
from batchsend.cli.options import SendingOptions, sending_options
from batchsend.cli.sending import Sending
from batchsend.loop import run
from batchsend.recipients.selection import choice_of
from batchsend.recipients.spool import spool
from batchsend.results.claim import Claim

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@campaign_argument
@recipients_option
@click.option(
    "--only",
    multiple=True,
    metavar="WHAT",
    help="If the recipients file is a results log: send to the records with this outcome (rejected), reason "
    "(sender), reply code (550) or enhanced code (5.7). Can be given more than once.",
)
@click.option(
    "--to",
    "tester",
    metavar="ADDRESS",
    help="Send the message of a record to ADDRESS, as a test, and nothing else.",
)
@click.option(
    "--record",
    "records",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="With --to: which record, the first by default. Can be given more than once.",
)
@click.option(
    "--no-spool",
    is_flag=True,
    help="Do not keep a copy of standard input beside the log; the run cannot be resumed or retry records.",
)
@click.option("--results", metavar="FILE", help="Keep the results log in FILE.")
@click.option(
    "--resume",
    "resumed",
    is_flag=True,
    help="If the results log is there, go on with its run, as batchsend resume does: one line for a service that may "
    "be started again. What batchsend control has changed holds, a pause too.",
)
@sending_options
@pass_console
def send(
    console: Console,
    campaign: Path,
    *,
    recipients: str | None,
    only: tuple[str, ...],
    tester: str | None,
    records: tuple[int, ...],
    no_spool: bool,
    results: str | None,
    resumed: bool,
    options: SendingOptions,
) -> int:
    """Send the campaign in the file CAMPAIGN; what became of each recipient is kept in its results log."""
    if options.sandboxed and options.server is not None:
        raise click.UsageError("--sandbox and --server exclude each other", click.get_current_context())
    if tester is None and records:
        raise click.UsageError("--record goes with --to", click.get_current_context())
    if resumed and (tester is not None or options.limit is not None or no_spool):
        raise click.UsageError("--resume excludes --to, --limit and --no-spool", click.get_current_context())
    choice_of(only, option="--only")  # the run would call it only, as a program does
    overrides = options.overrides(recipients=recipients, results=results)
    loaded = load(campaign, overrides=overrides, resolve_credentials=not (options.sandboxed or options.dry_run))
    if tester is not None:
        from batchsend.cli.proof import send_to_tester  # noqa: PLC0415 - a test, which most invocations are not

        return run(lambda: send_to_tester(loaded, tester, records or (1,), options, console))
    if resumed and _has_begun(loaded.results):
        from batchsend.cli.resume import go_on_as_service  # noqa: PLC0415 - only where there is a run to go on with

        return go_on_as_service(console, loaded, options, recipients=recipients, only=only)
    with ExitStack() as stack:
        claim = None
        if loaded.recipients == "-" and not (no_spool or options.dry_run):
            # First the lock: what comes by standard input is kept beside the log.
            claim = stack.enter_context(Claim(loaded.results))
            loaded = msgspec.structs.replace(loaded, recipients=spool(loaded.results, encoding=loaded.encoding))
        again = None if loaded.recipients == "-" else options.resume_command(loaded.results)
        sending = Sending(loaded, options, console, again=again, only=only, overrides=overrides.held, claim=claim)
        return run(lambda: sending.send(sandboxed=options.sandboxed))


def _has_begun(log: Path) -> bool:
    """Whether there is a log in which anything stands."""
    try:
        return log.stat().st_size > 0
    except OSError:
        return False
