"""``batchsend resume``: go on with a run that ended before its work was done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsend.campaign import Overrides, load
from batchsend.cli.sending import Sending, resume_command
from batchsend.errors import UsageError
from batchsend.loop import run
from batchsend.results.choice import Choice
from batchsend.results.recipients import require_kept
from batchsend.results.resumption import Resumption

if TYPE_CHECKING:
    from batchsend.results.line import Run

_SANDBOX = "sandbox"


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--retry",
    multiple=True,
    metavar="WHAT",
    help="Send these again, too: in_doubt, rejected, invalid, suppressed, a reply code (550) or an enhanced one (5.7). "
    "Can be given more than once.",
)
@click.option("--server", metavar="URL", help="Send through smtp://HOST:PORT or smtps://HOST:PORT.")
@click.option("--sandbox", "sandboxed", is_flag=True, help="Go on with a run that was sent to the sandbox.")
@click.option("--max-connections", type=int, metavar="N", help="Sessions open at once.")
@click.option("--max-messages", type=int, metavar="N", help="Messages of a session, after which it is rotated.")
@click.option("--depth", type=int, metavar="N", help="Unanswered transactions of a session; above 1 needs CHUNKING.")
@click.option(
    "--rate", metavar="RATE", help="The most messages in a time, all sessions together: 100/s, 600/min, 5000/h."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send at most N records.")
@click.option("--no-retry", is_flag=True, help="Offer every record once in this run.")
@click.option(
    "--accept-duplicates",
    is_flag=True,
    help="Go on although it cannot be known what was in flight when the run was killed; some may get it twice.",
)
@click.option("--dry-run", is_flag=True, help="Render what would be sent, and send nothing.")
@click.option("--progress/--no-progress", default=None, help="Show progress; by default on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on standard output.")
def resume(
    results: Path,
    *,
    retry: tuple[str, ...],
    server: str | None,
    sandboxed: bool,
    max_connections: int | None,
    max_messages: int | None,
    depth: int | None,
    rate: str | None,
    limit: int | None,
    no_retry: bool,
    accept_duplicates: bool,
    dry_run: bool,
    progress: bool | None,
    as_json: bool,
) -> int:
    """Go on with the run that has kept the results log RESULTS.

    Sends what was never attempted and what was deferred; campaign and recipients are those of the run, and so are the
    Message-IDs. What was in flight when the run was killed may have been delivered: it is named, and in doubt.
    """
    with Resumption(results, Choice(retry), accept_duplicates=accept_duplicates) as past:
        earlier = past.account.run
        require_kept(earlier.recipients)
        in_sandbox = _in_sandbox(results, earlier, sandboxed=sandboxed, server=server)
        overrides = Overrides(
            recipients=earlier.recipients.path,
            results=str(results),
            server=server,
            max_connections=max_connections,
            max_messages=max_messages,
            depth=depth,
            rate=rate,
            max_attempts=1 if no_retry else None,
        )
        campaign = load(Path(earlier.campaign), overrides=overrides, resolve_credentials=not (in_sandbox or dry_run))
        again = resume_command(
            results,
            server=server,
            max_connections=max_connections,
            max_messages=max_messages,
            depth=depth,
            rate=rate,
            no_retry=no_retry,
        )
        shown = sys.stderr.isatty() if progress is None else progress
        sending = Sending(campaign, limit=limit, shown=shown, as_json=as_json, again=again, resumption=past)
        return run(lambda: sending.send(sandboxed=in_sandbox, dry_run=dry_run))


def _in_sandbox(results: Path, earlier: Run, *, sandboxed: bool, server: str | None) -> bool:
    """Whether to send to the sandbox: as the earlier run did, or the account would tell of two kinds of delivery.

    Raises:
        UsageError: The command line says otherwise.
    """
    was = earlier.server == _SANDBOX
    if sandboxed and not was:
        raise UsageError(
            f"{results} is the account of messages that were really sent: the sandbox must not add to it",
            remedy="see what would be sent by --dry-run",
        )
    if was and server is not None:
        raise UsageError(
            f"{results} is the account of a run in the sandbox, whose messages have reached nobody",
            remedy="send the campaign with another results log: batchsend send CAMPAIGN --results FILE",
        )
    return was
