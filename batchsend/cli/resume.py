"""``batchsend resume``: go on with a run that ended before its work was done."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from batchsend.campaign import load
from batchsend.cli.console import Console, pass_console
from batchsend.cli.options import SendingOptions, sending_options
from batchsend.cli.sending import Sending
from batchsend.errors import UsageError
from batchsend.loop import run
from batchsend.recipients.fingerprint import require_kept
from batchsend.results.choice import Choice
from batchsend.results.resumption import Resumption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchsend.campaign import Campaign, Overrides
    from batchsend.results.run import Change, Run

_SANDBOX = "sandbox"


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--retry",
    multiple=True,
    metavar="WHAT",
    help="Also send these again: in_doubt, rejected, invalid, suppressed, a reason (sender), a reply code (550) or an "
    "enhanced one (5.7). Can be given more than once.",
)
@click.option(
    "--accept-duplicates",
    is_flag=True,
    help="Continue although it is not known what was in flight when the run was killed; some recipients may get it "
    "twice.",
)
@click.option(
    "--recipients",
    metavar="GROWN",
    help="Go on with this file, which begins with exactly the run's own one: a list to which more was appended.",
)
@sending_options
@pass_console
def resume(
    console: Console,
    results: Path,
    *,
    retry: tuple[str, ...],
    accept_duplicates: bool,
    recipients: str | None,
    options: SendingOptions,
) -> int:
    """Continue the run whose results log is RESULTS, without sending anything twice.

    Sends what was never attempted and what was deferred; campaign and recipients are those of the run, and so are the
    Message-IDs. A recipients file to which more was appended since is gone on with to its new end. What the run's
    command line said about where and how to send holds, unless this one says otherwise. What was in flight when the run
    was killed may have been delivered: it is named, and in doubt.
    """
    with Resumption(results, Choice(retry, option="--retry"), accept_duplicates=accept_duplicates) as past:
        return _go_on(console, past, recipients, options, held=past.account.held)


def go_on_as_service(
    console: Console, campaign: Campaign, options: SendingOptions, *, recipients: str | None, only: tuple[str, ...]
) -> int:
    """Go on with a run by the command line that has begun it, as a service does that is started again.

    What `batchsend control` has changed holds, a pause too, whatever that command line says.

    Raises:
        UsageError: It is another campaign's log, or the run cannot be gone on with.
        RunError: The run stopped early.
    """
    results = campaign.results
    with Resumption(results, Choice(())) as past:
        earlier = past.account.run
        if earlier.campaign != str(campaign.path.resolve()):
            raise UsageError(
                f"{results} holds the results of another campaign, {earlier.campaign}",
                remedy="keep this one's elsewhere: --results FILE",
            )
        if only and only != earlier.recipients.only:
            raise UsageError(
                f"--only {' '.join(only)}: the run in {results} was begun with another choice",
                remedy="keep this one's results elsewhere: --results FILE",
            )
        grown = None if recipients == "-" else recipients
        return _go_on(console, past, grown, options, held=earlier.overrides, changes=past.account.changes)


def _go_on(
    console: Console,
    past: Resumption,
    recipients: str | None,
    options: SendingOptions,
    *,
    held: Mapping[str, str | int],
    changes: Mapping[str, Change] = MappingProxyType({}),
) -> int:
    results, earlier = past.path, past.account.run
    if not earlier.campaign:
        raise UsageError(
            f"{results} is the log of a program's Sender, and of no campaign",
            remedy=f"the program goes on with it: batchsend.Sender(…, results={str(results)!r})",
        )
    require_kept(earlier.recipients, results)
    in_sandbox = _in_sandbox(results, earlier, sandboxed=options.sandboxed, server=options.server)
    overrides = options.overrides(recipients=recipients or earlier.recipients.path, results=str(results)).upon(held)
    resolve = not (in_sandbox or options.dry_run)
    campaign = load(Path(earlier.campaign), overrides=overrides, resolve_credentials=resolve)
    _say_where(console, earlier, campaign, overrides, in_sandbox=in_sandbox)
    sending = Sending(
        campaign,
        options,
        console,
        again=options.resume_command(results),
        resumption=past,
        overrides=overrides.held,
        changes=changes,
    )
    return run(lambda: sending.send(sandboxed=in_sandbox))


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


def _say_where(console: Console, earlier: Run, campaign: Campaign, overrides: Overrides, *, in_sandbox: bool) -> None:
    """Say where the messages are going to be sent, and what of that is not the campaign file's."""
    places = [f"{server.host}:{server.port}" for server in campaign.servers]
    shared = any(server.priority is not None or server.weight is not None for server in campaign.servers)
    through = f"through {(' and ' if shared else ', then ').join(places)}"
    where = "to the sandbox: nothing leaves this machine" if in_sandbox else through
    held = overrides.held
    said = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in held.items())
    if said:
        where += f", with {said}"
    if not in_sandbox and earlier.server not in (None, places[0]):
        where += f"; until now it was through {earlier.server}"
    console.begin(
        f"going on with run {earlier.id}, {where}",
        run=earlier.id,
        servers=[] if in_sandbox else places,
        sandbox=in_sandbox,
        overrides=held,
    )
