"""``batchsend bench``: what a relay takes, and how to send to it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
import click
import msgspec
import orjson

from batchsend.bench import Bench, GridPoint, Messages, findings
from batchsend.bench.advice import advise
from batchsend.bench.embedded import EmbeddedSink
from batchsend.bench.gathering import GatheringConnector
from batchsend.bench.grid import all_points
from batchsend.campaign import Delivery, Duration, Overrides, Secret, Server, load, server_place, server_warnings
from batchsend.cli.campaigns import trace_option, tracing
from batchsend.cli.console import Console, pass_console
from batchsend.cli.signals import Signals
from batchsend.display import printable
from batchsend.errors import RunError, UsageError
from batchsend.loop import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.bench.measurement import Measurement
    from batchsend.bench.probe import Probe
    from batchsend.trace import Trace

_TO_A_RELAY = 1_000
_TO_THE_SINK = 60_000
_GIVE_UP_AFTER = Duration(30)
_SENDER = "bench@example.org"
_RECIPIENT = "reader@example.com"


def _numbers(most: int) -> Callable[[click.Context, click.Parameter, str], tuple[int, ...]]:
    """What reads whole numbers from 1 to ``most``, separated by commas."""

    def read(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
        words = [word.strip() for word in text.split(",")]
        numbers = tuple(int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 10)
        if len(numbers) < len(words) or not all(1 <= number <= most for number in numbers):
            raise click.BadParameter(f"expected whole numbers from 1 to {most}, such as 1,5,20", context, parameter)
        return numbers

    return read


class _Target(NamedTuple):
    """Where test messages go, and how."""

    server: Server
    delivery: Delivery
    sender: str
    recipient: str
    embedded: bool = False


@click.command()
@click.option("--server", metavar="URL", help="Measure smtp://HOST:PORT or smtps://HOST:PORT; needs --to.")
@click.option("--to", metavar="ADDRESS", help="Who gets the test messages. They are really sent.")
@click.option(
    "--from", "sender", metavar="ADDRESS", help="Who the test messages are from; by default the campaign's, or --to."
)
@click.option(
    "--campaign",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take credentials, ca_file, limits and time-outs from this campaign. Without it, credentials are those in "
    "BATCHSEND_USERNAME and BATCHSEND_PASSWORD.",
)
@click.option(
    "--messages",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Send at most N test messages in all: {_TO_A_RELAY:,} to a server, {_TO_THE_SINK:,} to the embedded one.",
)
@click.option(
    "--max-connections",
    callback=_numbers(1000),
    default="1,5,20",
    show_default=True,
    metavar="N,…",
    help="Sessions open at once; each of these numbers is tried with each depth.",
)
@click.option(
    "--depth",
    callback=_numbers(1024),
    default="1,16",
    show_default=True,
    metavar="N,…",
    help="Messages under way at once in one session; above 1 only where the server offers CHUNKING.",
)
@click.option(
    "--size",
    type=click.IntRange(1, 50_000_000),
    default=2000,
    show_default=True,
    metavar="OCTETS",
    help="Size of each test message.",
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
    max_connections: tuple[int, ...],
    depth: tuple[int, ...],
    size: int,
    trace: Path | None,
    as_json: bool,
) -> int:
    """Measure how fast a server takes messages, and suggest the settings to send with.

    By default it measures a server inside batchsend, which shows what this machine can do. Messages go to a real server
    only with both --server and --to.
    """
    if server is None:
        _refuse_without_server(to=to, sender=sender, campaign=campaign)
    elif to is None:
        raise UsageError(
            "--server without --to", remedy="test messages are really sent: say to whom, --to ADDRESS; best to yourself"
        )
    with ExitStack() as stack:
        if server is None or to is None:
            sink = stack.enter_context(EmbeddedSink())
            here = Server(host=sink.host, port=sink.port, tls="none")
            target = _Target(here, Delivery(), _SENDER, _RECIPIENT, embedded=True)
            messages = messages or _TO_THE_SINK
        else:
            target = _target(server, to, sender, campaign)
            for warning in server_warnings([target.server]):
                console.notice(warning)
            messages = messages or _TO_A_RELAY
        traced = stack.enter_context(tracing(trace, console.notice))
        grid, total = all_points(max_connections, depth), messages
        return run(lambda: _BenchCommand(target, grid, total, size, console, trace=traced, as_json=as_json).run())


def _refuse_without_server(**options: object) -> None:
    for name, value in options.items():
        if value is not None:
            option = "--from" if name == "sender" else f"--{name}"
            raise UsageError(
                f"{option} without --server",
                remedy="give --server URL to measure a real server; without it, an embedded one is measured",
            )


def _target(url: str, recipient: str, sender: str | None, campaign: Path | None) -> _Target:
    """The server, as the campaign or the environment says it is to be talked to."""
    if campaign is not None:
        loaded = load(campaign, overrides=Overrides(server=url))
        server, delivery = loaded.servers[0], loaded.delivery
        sender = sender or _plain_address(loaded.message.from_ or "")
    else:
        host, port, tls = server_place(url)
        username, password = _from_environment()
        server = Server(host=host, port=port, tls=tls, username=username, password=password)
        delivery = Delivery()
    delivery = msgspec.structs.replace(delivery, give_up_after=min(delivery.give_up_after, _GIVE_UP_AFTER))
    return _Target(server, delivery, sender or recipient, recipient)


def _from_environment() -> tuple[Secret | None, Secret | None]:
    """Username and password; neither, or both."""
    name, word = os.environ.get("BATCHSEND_USERNAME"), os.environ.get("BATCHSEND_PASSWORD")
    if bool(name) != bool(word):
        raise UsageError("of BATCHSEND_USERNAME and BATCHSEND_PASSWORD only one is set", remedy="set both, or neither")
    return (Secret(name), Secret(word)) if name and word else (None, None)


def _plain_address(mailbox: str) -> str | None:
    """The address of a campaign's sender; None where each record makes its own."""
    from email.utils import parseaddr  # noqa: PLC0415 - only with a campaign

    return None if "{" in mailbox else parseaddr(mailbox)[1] or None


class _BenchCommand:
    """One invocation: a bench run to its end, shown, heeding signals, with its exit code."""

    def __init__(
        self,
        target: _Target,
        grid: list[GridPoint],
        total: int,
        size: int,
        console: Console,
        *,
        trace: Trace | None,
        as_json: bool,
    ) -> None:
        delivery = target.delivery
        self._embedded = target.embedded
        self._messages = Messages(sender=target.sender, recipient=target.recipient, size=size)
        self._now = GridPoint(delivery.max_connections, delivery.depth)
        self._bench = Bench(
            GatheringConnector(target.server, delivery.timeouts, require_tls=delivery.require_tls, trace=trace),
            delivery,
            grid,
            self._messages,
            total,
            notice=console.notice,
            on_probe=self._show_probe,
            on_measurement=self._show_measurement,
        )
        self._as_json = as_json
        self._console = console
        self._signals = Signals(console)

    async def run(self) -> int:
        """Measure; returns the exit code.

        Raises:
            RunError: The server is gone, or refuses the sender; what was measured has been shown.
        """
        failure: RunError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._signals.handle, self._bench.stop, tasks.cancel_scope)
            try:
                await self._bench.run()
            except RunError as error:
                failure = error
            tasks.cancel_scope.cancel()
        self._conclude()
        if self._signals.received is not None:
            return 128 + self._signals.received
        if failure is not None:
            raise failure
        return 0 if self._bench.complete else 1

    def _show_probe(self, probe: Probe) -> None:
        for line in findings.beginning(probe, self._messages.octets):
            self._print(line)

    def _show_measurement(self, measurement: Measurement) -> None:
        self._print(findings.row(measurement))

    def _conclude(self) -> None:
        bench = self._bench
        advice = None if bench.probe is None else advise(bench.measurements, bench.probe, self._now)
        if self._as_json:
            click.echo(orjson.dumps(findings.to_json(bench, advice, self._messages.octets)).decode())
        elif advice is not None:
            self._print("")
            for sentence in (*([bench.stopped] if bench.stopped else []), *advice.sentences):
                self._print(sentence)
            if self._embedded:
                self._print("this was the embedded server: nothing left this machine")

    def _print(self, line: str) -> None:
        if not self._as_json:
            click.echo(printable(line))
