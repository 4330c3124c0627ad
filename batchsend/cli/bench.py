"""``batchsend bench``: what a relay takes, and how to send to it."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import click
import msgspec

from batchsend.bench import Bench, CampaignMessages, GridPoint, Messages, findings
from batchsend.bench.advice import advise, undecided
from batchsend.bench.comparison import compare as compare_found
from batchsend.bench.comparison import read as read_found
from batchsend.bench.embedded import EmbeddedSink
from batchsend.bench.gathering import GatheringConnector
from batchsend.bench.grid import all_points
from batchsend.bench.load import Load, new_histogram
from batchsend.bench.messages import BenchRecipients, MessageSource
from batchsend.campaign import Delivery, Duration, Overrides, Rate, Secret, Server, load, server_place, server_warnings
from batchsend.cli.campaigns import tell_json, trace_option, tracing
from batchsend.cli.console import Console, pass_console
from batchsend.cli.signals import Signals
from batchsend.delivery.consequences import RESUME
from batchsend.display import printable
from batchsend.errors import RecordError, RunError, UsageError, not_writable
from batchsend.loop import run
from batchsend.recipients.addresses import mailbox
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from batchsend.bench.probe import Probe
    from batchsend.trace import Trace

_TO_A_RELAY = 1_000
_SIZE = 2000
_SECONDS = 10.0
_EMBEDDED_SECONDS = 3.0
_LOAD_SECONDS = 30.0
_LEAST_RATE = 1 / 3600
_MOST_RATE = 1_000_000
_GIVE_UP_AFTER = Duration(30)
_SENDER = "bench@example.org"
_RECIPIENT = "reader@example.com"


def _numbers(most: int) -> Callable[[click.Context, click.Parameter, str | None], tuple[int, ...] | None]:
    """What reads whole numbers from 1 to ``most``, separated by commas."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
        if text is None:
            return None
        words = [word.strip() for word in text.split(",")]
        numbers = tuple(int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 10)
        if len(numbers) < len(words) or not all(1 <= number <= most for number in numbers):
            raise click.BadParameter(f"expected whole numbers from 1 to {most}, such as 1,5,20", context, parameter)
        return numbers

    return read


def _seconds(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """A length of time as a campaign file has it: 30s, 10m, 2h."""
    try:
        return None if text is None else float(Duration.parse(text))
    except ValueError:
        raise click.BadParameter("expected a time such as 30s, 10m or 2h, at most a day", context, parameter) from None


def _per_second(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """A rate as a campaign file has it, in messages a second: 50/s, 600/min."""
    if text is None:
        return None
    try:
        rate = Rate.parse(text).per_second
    except ValueError:
        rate = 0.0
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        raise click.BadParameter(
            f"expected a rate such as 50/s or 600/min, from 1/h to {_MOST_RATE:,}/s", context, parameter
        )
    return rate


class _Target(NamedTuple):
    """Where test messages go, and how."""

    server: Server
    delivery: Delivery
    messages: MessageSource
    embedded: bool = False


@click.command()
@click.option(
    "--server",
    metavar="URL",
    help="Measure smtp://HOST:PORT or smtps://HOST:PORT; needs --to. With --campaign: its first server, unless given.",
)
@click.option(
    "--to",
    metavar="ADDRESS",
    help="Who gets the test messages. They are really sent. A * in it, as in me+*@example.com, is each message's "
    "number: a relay may take fewer messages a second to many recipients than to one.",
)
@click.option(
    "--from",
    "sender",
    metavar="ADDRESS",
    help="Who the test messages are from; by default the campaign's, or --to (where it has a *, that of the first).",
)
@click.option(
    "--campaign",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Send this campaign's own messages, with its credentials, ca_file, TLS, limits and time-outs. Without it, "
    "credentials are those in BATCHSEND_USERNAME and BATCHSEND_PASSWORD.",
)
@click.option(
    "--messages",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Send at most N test messages in all: {_TO_A_RELAY:,} to a server, to the embedded one as many as there is "
    "time for.",
)
@click.option(
    "--time",
    "seconds",
    callback=_seconds,
    metavar="TIME",
    help="Measure each setting for so long in all: by default 10s, with the embedded server 3s.",
)
@click.option(
    "--max-connections",
    callback=_numbers(1000),
    metavar="N,…",
    help="Sessions open at once; each of these numbers is tried with each depth.  [default: 1,5,20]",
)
@click.option(
    "--depth",
    callback=_numbers(1024),
    metavar="N,…",
    help="Messages under way at once in one session; above 1 only where the server offers CHUNKING.  [default: 1,16]",
)
@click.option(
    "--size",
    type=click.IntRange(1, 50_000_000),
    metavar="OCTETS",
    help="Size of each test message.  [default: 2000]",
)
@click.option(
    "--rate",
    callback=_per_second,
    metavar="RATE",
    help="Let so many messages come due a second, such as 50/s, whatever the server does, and count each one's latency "
    "from when it was due.",
)
@click.option(
    "--duration",
    callback=_seconds,
    metavar="TIME",
    help="Send for so long with one setting, however many messages that are, and watch latency and memory; with --rate "
    "by default 30s.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="A.json B.json",
    help="Measure nothing: say how two files that --json has written differ.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the curves to FILE, as a page; - is the output.",
)
@trace_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
@pass_console
def bench(
    console: Console,
    *,
    server: str | None,
    to: str | None,
    sender: str | None,
    campaign: Path | None,
    messages: int | None,
    seconds: float | None,
    max_connections: tuple[int, ...] | None,
    depth: tuple[int, ...] | None,
    size: int | None,
    rate: float | None,
    duration: float | None,
    compare: tuple[Path, Path] | None,
    html: Path | None,
    trace: Path | None,
    as_json: bool,
) -> int:
    """Measure how fast a server takes messages, and suggest the settings to send with.

    By default it measures a server inside batchsend, which shows what this machine can do. Messages go to a real server
    only with --to, and --server or --campaign.

    Settings are measured in turns, several times each: "sure" says how far the true figure may be from this one (95
    times of a hundred). A change is only suggested where the measurements tell the settings apart.
    """
    if compare is not None:
        _refuse_beside("--compare", "it measures nothing: give two files and nothing else")
        return _compare(*compare)
    is_load = rate is not None or duration is not None
    if is_load:
        how_long = "--duration says how long is sent, and that with --rate how many messages"
        _refuse_beside("--rate" if rate is not None else "--duration", how_long, ("messages", "seconds"))
    if campaign is not None:
        _refuse_beside("--campaign", "its own messages are sent, and are as long as they are", ("size",))
    _look_at_output(html, as_json=as_json)
    if server is None and campaign is None:
        _refuse_without_server(to=to, sender=sender)
    elif to is None:
        raise UsageError(
            f"{'--server' if server is not None else '--campaign'} without --to",
            remedy="test messages are really sent: say to whom, --to ADDRESS; best to yourself",
        )
    with ExitStack() as stack:
        if to is None:
            sink = stack.enter_context(EmbeddedSink())
            here = Server(host=sink.host, port=sink.port, tls="none")
            target = _Target(here, Delivery(), _made(_SENDER, BenchRecipients(_RECIPIENT), size), embedded=True)
        else:
            target = _target(server, BenchRecipients(to), sender, campaign, size)
            if isinstance(target.messages, CampaignMessages) and target.messages.skipped:
                console.notice(target.messages.skipped)
            for warning in server_warnings([target.server]):
                console.notice(warning)
        traced = stack.enter_context(tracing(trace, console.notice))
        command: Callable[[], _LadderCommand | _LoadCommand]
        if is_load:
            point = _one_point(target.delivery, max_connections, depth)
            command = partial(
                _LoadCommand,
                target,
                point,
                rate,
                duration or _LOAD_SECONDS,
                console,
                trace=traced,
                as_json=as_json,
                html=html,
            )
        else:
            grid = all_points(max_connections or (1, 5, 20), depth or (1, 16))
            command = partial(
                _LadderCommand, target, grid, messages, seconds, console, trace=traced, as_json=as_json, html=html
            )
        return run(lambda: command().run())  # made in the loop


def _refuse_beside(option: str, remedy: str, names: Collection[str] | None = None) -> None:
    """Refuse options that mean nothing beside another one: what they ask for would silently not be done.

    Args:
        option: The other one.
        remedy: What to do instead.
        names: The parameters that are refused; None for all others.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is not click.core.ParameterSource.DEFAULT
        if given and option not in parameter.opts and (names is None or parameter.name in names):
            raise UsageError(f"{parameter.opts[0]} with {option}", remedy=remedy)


def _compare(first: Path, second: Path) -> int:
    for line in compare_found(read_found(first), read_found(second)):
        click.echo(printable(line))
    return 0


def _one_point(delivery: Delivery, connections: tuple[int, ...] | None, depths: tuple[int, ...] | None) -> GridPoint:
    """The one setting that is measured for some time: what is set now, but for what is given."""
    connections, depths = connections or (delivery.max_connections,), depths or (delivery.depth,)
    if len(connections) > 1 or len(depths) > 1:
        raise UsageError(
            "--rate and --duration measure one setting", remedy="give one number each: --max-connections 5 --depth 1"
        )
    return GridPoint(connections[0], depths[0])


def _refuse_without_server(**options: object) -> None:
    for name, value in options.items():
        if value is not None:
            option = "--from" if name == "sender" else f"--{name}"
            raise UsageError(
                f"{option} without --server",
                remedy="give --server URL or --campaign FILE to measure a real server; without, an embedded one is "
                "measured",
            )


def _look_at_output(html: Path | None, *, as_json: bool) -> None:
    """Refuse a page that could not be written."""
    if html is not None and str(html) == "-" and as_json:
        raise UsageError("both --html and --json would be printed", remedy="name a file for --html")
    if html is not None and str(html) != "-":
        _require_writable(html)


def _require_writable(file: Path) -> None:
    """Find out before anything is measured, and without touching the file."""
    if not file.parent.is_dir():
        fault = errno.ENOENT
    elif file.is_dir():
        fault = errno.EISDIR
    elif not os.access(file if file.exists() else file.parent, os.W_OK):
        fault = errno.EACCES
    else:
        return
    raise not_writable(file, OSError(fault, os.strerror(fault)))


def _require_address(text: str, option: str) -> None:
    """Name the option that has no address; what makes the messages could only name a header."""
    try:
        mailbox(text, option)
    except RecordError as error:
        raise UsageError(error.message) from None


def _target(
    url: str | None, to: BenchRecipients, sender: str | None, campaign: Path | None, size: int | None
) -> _Target:
    """The server, as the campaign or the environment says it is to be talked to, and what is sent to it."""
    messages: MessageSource
    if campaign is not None:
        loaded = load(campaign, overrides=Overrides(server=url))
        server, delivery = loaded.servers[0], loaded.delivery
        if url is not None:
            server = _with_its_tls(server, load(campaign).servers[0])
        if sender is not None:
            loaded = msgspec.structs.replace(loaded, message=msgspec.structs.replace(loaded.message, from_=sender))
        messages = CampaignMessages(loaded, to)
    else:
        host, port, tls = server_place(url or "")
        username, password = _from_environment()
        server = Server(host=host, port=port, tls=tls, username=username, password=password)
        delivery = Delivery()
        if sender is not None:
            _require_address(sender, "--from")
        messages = _made(sender or to.address(1), to, size)
    delivery = msgspec.structs.replace(delivery, give_up_after=min(delivery.give_up_after, _GIVE_UP_AFTER))
    return _Target(server, delivery, messages)


def _with_its_tls(server: Server, own: Server) -> Server:
    """A server given by its URL speaks TLS where the campaign's own does: what is measured is what will be sent."""
    if server.tls == "none" and own.tls != "none":
        return msgspec.structs.replace(server, tls=own.tls)
    return server


def _made(sender: str, to: BenchRecipients, size: int | None) -> Messages:
    return Messages(sender=sender, recipients=to, size=size or _SIZE)


def _from_environment() -> tuple[Secret | None, Secret | None]:
    """Username and password; neither, or both."""
    name, word = os.environ.get("BATCHSEND_USERNAME"), os.environ.get("BATCHSEND_PASSWORD")
    if bool(name) != bool(word):
        raise UsageError("of BATCHSEND_USERNAME and BATCHSEND_PASSWORD only one is set", remedy="set both, or neither")
    return (Secret(name), Secret(word)) if name and word else (None, None)


def _here(remedy: str | None) -> str | None:
    """What to do, for whoever measures: there is no run to go on with."""
    if remedy is None or RESUME not in remedy:
        return remedy
    # How to go on, and how to wait, stands at the end of it.
    return remedy.partition(RESUME)[0].partition(" Then ")[0].replace("go on", "measure again").rstrip(": ")


class _BenchCommand:
    """One invocation: what is common to its kinds. It heeds signals, and shows what was found.

    Args:
        target: What is measured.
        console: For notices.
        as_json: Whether only one JSON object is printed.
        html: Where a page is written to, or None.
    """

    def __init__(self, target: _Target, console: Console, *, as_json: bool, html: Path | None) -> None:
        self._target = target
        self._as_json = as_json
        self._html = html
        self._console = console
        self._signals = Signals(console)

    async def _until_over(self, measure: Callable[[], Awaitable[None]], stop: Callable[[str], None]) -> RunError | None:
        """Measure, stopped by a signal if one comes."""
        failure: RunError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._signals.handle, stop, tasks.cancel_scope)
            try:
                await measure()
            except RunError as error:
                failure = error
            tasks.cancel_scope.cancel()
        return failure

    def _connector(self, trace: Trace | None) -> GatheringConnector:
        delivery = self._target.delivery
        return GatheringConnector(self._target.server, delivery.timeouts, require_tls=delivery.require_tls, trace=trace)

    def _show(self, found: dict[str, Any], sentences: Iterable[str]) -> None:
        """Print what was found, and write the page."""
        if self._html is not None:
            from batchsend.bench.page import render  # noqa: PLC0415 - Jinja2's loaders are only for the page

            page = render(found, version=__version__)
            if str(self._html) == "-":
                click.echo(page, nl=False)
            else:
                try:
                    self._html.write_text(page, encoding="utf-8")
                except OSError as error:
                    raise not_writable(self._html, error) from None
        if self._as_json:
            tell_json(found)
            return
        if found["messages"]:
            self._print("")
        for sentence in sentences:
            self._print(sentence)
        if self._target.embedded:
            self._print("this was the embedded server: nothing left this machine")

    def _exit_code(self, failure: RunError | None, *, complete: bool) -> int:
        if self._signals.received is not None:
            return 128 + self._signals.received
        if failure is not None:
            raise type(failure)(failure.message, remedy=_here(failure.remedy))
        return 0 if complete else 1

    def _print(self, line: str) -> None:
        if not self._as_json and str(self._html) != "-":
            click.echo(printable(line))


class _LadderCommand(_BenchCommand):
    """Measures every point of a grid."""

    def __init__(
        self,
        target: _Target,
        grid: list[GridPoint],
        total: int | None,
        seconds: float | None,
        console: Console,
        *,
        trace: Trace | None,
        as_json: bool,
        html: Path | None,
    ) -> None:
        super().__init__(target, console, as_json=as_json, html=html)
        delivery = target.delivery
        self._now = GridPoint(delivery.max_connections, delivery.depth)
        self._bench = Bench(
            self._connector(trace),
            delivery,
            grid,
            target.messages,
            total or (None if target.embedded else _TO_A_RELAY),
            seconds=seconds or (_EMBEDDED_SECONDS if target.embedded else _SECONDS),
            notice=console.notice,
            on_probe=self._show_probe,
            on_round=self._show_round,
            undecided=lambda measurements: undecided(measurements, self._now),
        )

    async def run(self) -> int:
        """Measure; returns the exit code.

        Raises:
            RunError: The server is gone, or refuses the sender; what was measured has been shown.
        """
        bench = self._bench
        failure = await self._until_over(bench.run, bench.stop)
        advice = None if bench.probe is None else advise(bench.measurements, bench.probe, self._now)
        for measurement in bench.measurements:
            self._print(findings.row(measurement))
        why = [said for said in (bench.stopped, bench.limited) if said is not None]
        if failure is not None:
            bench.stop(failure.message)
        sentences = (*why, *(advice.sentences if advice else ()))
        self._show(findings.to_json(bench, advice, self._target.messages.octets), sentences)
        return self._exit_code(failure, complete=bench.complete)

    def _show_probe(self, probe: Probe) -> None:
        for line in findings.beginning(probe, self._target.messages.octets):
            self._print(line)

    def _show_round(self, number: int, rounds: int) -> None:
        if sys.stderr.isatty():
            self._console.notice(f"round {number} of {rounds}")


class _LoadCommand(_BenchCommand):
    """Sends at one point for some time."""

    def __init__(
        self,
        target: _Target,
        point: GridPoint,
        rate: float | None,
        seconds: float,
        console: Console,
        *,
        trace: Trace | None,
        as_json: bool,
        html: Path | None,
    ) -> None:
        super().__init__(target, console, as_json=as_json, html=html)
        new_histogram()  # what is missing is said before anything is sent
        self._trace = trace
        self._point, self._rate, self._seconds = point, rate, seconds

    async def run(self) -> int:
        """Send until the time is over; returns the exit code.

        Raises:
            RunError: The server is gone, or refuses the sender; what was measured has been shown.
        """
        load = Load(
            self._point,
            self._connector(self._trace),
            self._target.delivery,
            rate=self._rate,
            seconds=self._seconds,
            notice=self._console.notice,
            on_slice=lambda one: self._print(findings.load_row(one)),
        )
        for line in findings.load_head(load):
            self._print(line)
        failure = await self._until_over(lambda: load.run(self._target.messages), load.stop)
        found = findings.load_to_json(load, self._target.server, self._target.messages.octets)
        why = [load.stopped] if load.stopped is not None and failure is None else []
        self._show(found, (*why, *findings.load_sentences(load)))
        return self._exit_code(failure, complete=load.complete)
