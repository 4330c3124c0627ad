"""``batchsend cluster``: the same run on several machines, over PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import click

from batchsend import figures
from batchsend.campaign import Overrides
from batchsend.cli.campaigns import tell, tell_json
from batchsend.cli.console import Console, pass_console
from batchsend.errors import BatchsendError, UsageError
from batchsend.loop import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from batchsend.cluster.database import Database
    from batchsend.cluster.status import ClusterStatus

VARIABLE: Final = "BATCHSEND_DATABASE"

_database_option = click.option(
    "--database",
    metavar="URL",
    envvar=VARIABLE,
    help=f"The database: postgresql://USER@HOST/NAME. Default: the environment variable {VARIABLE}.",
)
_name_argument = click.argument("name", metavar="NAME")


@click.group(invoke_without_command=True)
@click.pass_context
def cluster(context: click.Context) -> None:
    """Send campaigns from several machines: PostgreSQL holds them and the account of every recipient."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _with_database(url: str | None, work: Callable[[Database], Awaitable[Any]], *, checked: bool = True) -> Any:
    """Do some work with the database, whose tables are looked at first."""
    from batchsend.cluster import schema  # noqa: PLC0415 - who has no cluster does not pay for it
    from batchsend.cluster.database import Database  # noqa: PLC0415 - likewise

    async def main() -> Any:
        database = Database(_required(url))
        try:
            if checked:
                await schema.require(database)
            return await work(database)
        finally:
            await database.close()

    return run(main)


def _required(url: str | None) -> str:
    if not url:
        raise UsageError("no database is named", remedy=f"--database postgresql://USER@HOST/NAME, or {VARIABLE}")
    return url


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001 - click's signature
    if value is None:
        return None
    try:
        seconds = figures.parse_duration(value)
    except ValueError:
        seconds = 0.0
    if not 0.5 <= seconds <= 3600.0:
        raise click.BadParameter("expected a duration of 500ms to 1h, such as 15s")
    return seconds


@cluster.command()
@_database_option
def init(database: str | None) -> None:
    """Make the tables in the database, or bring those that are there to this version."""
    from batchsend.cluster import schema  # noqa: PLC0415 - who has no cluster does not pay for it

    before, now = _with_database(database, schema.init, checked=False)
    if before == now:
        tell(f"the tables are there: version {now}")
    else:
        tell(f"the tables are made: version {now}" if not before else f"from version {before} to {now}")


@cluster.command()
@click.argument("campaign", type=click.Path(path_type=Path))
@_database_option
@click.option("--name", metavar="NAME", help="What to call the campaign; by default, as its folder is called.")
@click.option("--recipients", metavar="FILE", help="Read recipients from FILE.")
@click.option("--server", metavar="URL", help="Send through smtp://HOST:PORT or smtps://HOST:PORT.")
@click.option("--rate", metavar="RATE", help="Send no faster than this, all workers together: 100/s, 600/min.")
@click.option(
    "--lot",
    type=click.IntRange(1, 100_000),
    default=500,
    show_default=True,
    metavar="N",
    help="Records that a worker takes at once.",
)
@pass_console
def publish(
    console: Console,
    campaign: Path,
    *,
    database: str | None,
    name: str | None,
    recipients: str | None,
    server: str | None,
    rate: str | None,
    lot: int,
) -> None:
    """Put the campaign in the file CAMPAIGN and its recipients into the database: workers begin when all is there.

    Publishing again after a crash goes on, and adds nothing twice. Credentials stay out of the database.
    """
    from batchsend.cluster.publish import publish as put  # noqa: PLC0415 - who has no cluster does not pay for it

    overrides = Overrides(recipients=recipients, server=server, rate=rate)
    done = _with_database(
        database, lambda db: put(db, campaign, overrides=overrides, name=name, size=lot, notice=console.notice)
    )
    if done.was_there:
        tell(f"{done.campaign} is published already: run {done.run}")
    else:
        tell(
            f"{done.campaign} is published: {figures.count(done.offered, 'record')} to send, "
            f"{done.withheld:,} invalid or suppressed; "
            f"run {done.run}"
        )


@cluster.command()
@_database_option
@click.option(
    "--lease",
    default="15s",
    show_default=True,
    metavar="TIME",
    callback=_seconds,
    help="How long this worker may be silent before others take its lots over.",
)
@click.option(
    "--campaigns", type=click.IntRange(1, 100), default=8, show_default=True, help="Campaigns that are sent at once."
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Where the private keys of DKIM lie, by the names of their files.",
)
@click.option("--until-done", is_flag=True, help="End when no campaign is active any more; otherwise wait for more.")
@pass_console
def work(
    console: Console, *, database: str | None, lease: float, campaigns: int, keys: Path | None, until_done: bool
) -> int:
    """Send what is in the database, with any number of others, until SIGTERM or SIGINT.

    The first signal ends it in order: what is under way is answered, the rest goes back, and the exit code is 0.
    """
    from batchsend.cli.signals import Signals  # noqa: PLC0415 - only what works heeds them
    from batchsend.cluster.work import Worker  # noqa: PLC0415 - who has no cluster does not pay for it

    async def main() -> int:
        signals = Signals(console)
        worker = Worker(
            _required(database),
            lease=lease,
            campaigns=campaigns,
            keys=keys,
            until_done=until_done,
            notice=console.notice,
        )
        failure: BatchsendError | None = None
        ended = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(signals.handle, worker.stop, tasks.cancel_scope)
            try:
                await worker.run()
                ended = True
            except BatchsendError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return 0 if ended else 128 + (signals.received or 0)  # a second signal has cut it short

    return run(main)


@cluster.command()
@click.argument("name", required=False, metavar="[NAME]")
@_database_option
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--page",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve a live page of the campaign on loopback, until Ctrl-C; 0: any free port.",
)
@pass_console
def status(
    console: Console, name: str | None, *, database: str | None, watch: bool, as_json: bool, page: int | None
) -> None:
    """Say what is going on: campaigns, lots, workers, relays; or of the campaign NAME only."""
    from batchsend.cluster.status import status as look  # noqa: PLC0415 - who has no cluster does not pay for it

    async def serve(db: Database, named: str, port: int) -> None:
        from batchsend.cluster.page import cluster_page  # noqa: PLC0415 - an extra, and only where it is asked for

        async with cluster_page(db, named, port) as url:
            console.notice(f"page: {url}")
            await anyio.sleep_forever()

    def present(found: ClusterStatus) -> None:
        if as_json:
            tell_json(found, default=_as_dict)
            return
        if watch:
            click.clear()
        for line in found.lines():
            tell(line)

    async def show(db: Database) -> None:
        if page is not None and name is not None:
            await serve(db, name, page)
        present(await look(db, name))
        if watch:
            await _again(lambda: look(db, name), present, console)

    if page is not None and name is None:
        raise UsageError("--page shows one campaign", remedy="name it: batchsend cluster list")
    _with_database(database, show)


async def _again(
    look: Callable[[], Awaitable[ClusterStatus]], present: Callable[[ClusterStatus], None], console: Console
) -> None:
    """Look every two seconds, also where the database is away for some of them."""
    from batchsend.cluster.database import DatabaseGoneError  # noqa: PLC0415 - who has no cluster does not pay for it

    while True:
        await anyio.sleep(2)
        try:
            present(await look())
        except DatabaseGoneError as error:
            console.notice(f"{error.message}; asked again")


def _as_dict(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__struct_fields__}


@cluster.command(name="list")
@_database_option
def list_(database: str | None) -> None:
    """List the campaigns in the database, one on a line: name, state, lots done, run."""
    from batchsend.cluster.status import status as look  # noqa: PLC0415 - who has no cluster does not pay for it

    found = _with_database(database, lambda db: look(db, brief=True))
    for one in found.campaigns:
        tell(f"{one.name}  {one.state}  {one.done}/{one.lots} lots  {one.run}")


@cluster.command()
@_name_argument
@_database_option
def pause(name: str, *, database: str | None) -> None:
    """Pause the campaign NAME: what is under way is answered, nothing new is sent."""
    _set_state(database, name, "paused", ("active",))


@cluster.command(name="continue")
@_name_argument
@_database_option
@click.option(
    "--although-collected",
    is_flag=True,
    help="Go on although the log was collected after it was stopped: nobody has resumed that, and nobody will.",
)
def continue_(name: str, *, database: str | None, although_collected: bool) -> None:
    """Let the campaign NAME go on that was paused or stopped."""
    _set_state(database, name, "active", ("paused", "stopped"), although_collected=although_collected)


@cluster.command()
@_name_argument
@_database_option
def stop(name: str, *, database: str | None) -> None:
    """Stop the campaign NAME: what it has come to can be collected and gone on with elsewhere."""
    _set_state(database, name, "stopped", ("active", "paused", "publishing"), why="stopped by batchsend cluster stop")


def _set_state(
    database: str | None,
    name: str,
    state: str,
    only_from: tuple[str, ...],
    *,
    why: str | None = None,
    although_collected: bool = False,
) -> None:
    from batchsend.cluster.status import set_state  # noqa: PLC0415 - who has no cluster does not pay for it

    changed = _with_database(
        database,
        lambda db: set_state(db, name, state, only_from=only_from, why=why, although_collected=although_collected),
    )
    tell(f"{name} is {state}" if changed else f"{name} was {state} already")


@cluster.command()
@_name_argument
@_database_option
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    default="results.jsonl",
    show_default=True,
    metavar="FILE",
    help="The results log.",
)
@pass_console
def collect(console: Console, name: str, *, database: str | None, results: Path) -> None:
    """Write the results log of the campaign NAME: what has come of it so far, and all of it when it is over."""
    from batchsend.cluster.collect import collect as write  # noqa: PLC0415 - who has no cluster does not pay for it

    found = _with_database(database, lambda db: write(db, name, results))
    tell(f"{figures.count(found.records, 'outcome')} in {results}")
    if not found.over:
        console.notice(f"{name} is not over: collect it again later")


@cluster.command()
@_name_argument
@_database_option
def drop(name: str, *, database: str | None) -> None:
    """Take the campaign NAME and its account out of the database. Collect it first: nothing of it is left there."""
    from batchsend.cluster.status import drop as take_out  # noqa: PLC0415 - who has no cluster does not pay for it

    count = _with_database(database, lambda db: take_out(db, name))
    tell(f"{name} is gone, and the account of {figures.count(count, 'record')}")
