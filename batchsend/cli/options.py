"""The options that the commands that send have in common: declared once, and handed over as one value."""

from __future__ import annotations

import shlex
from functools import wraps
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from msgspec import Struct

from batchsend.campaign import Overrides
from batchsend.cli.campaigns import trace_option
from batchsend.cli.console import Console

_HIGHEST_PORT: Final = 65535

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class SendingOptions(Struct, frozen=True, kw_only=True):
    """What the command line says about how to send; None where it says nothing.

    Attributes:
        server: The server's URL, in the place of the campaign's.
        sandboxed: Send to an embedded server.
        max_connections: Sessions open at once.
        max_messages: Messages of a session, after which it is rotated.
        depth: Unanswered transactions of a session.
        rate: The most messages in a time.
        limit: The most records that are taken.
        no_retry: Offer every record once.
        wait: Wait for a relay's quota to be over, for a window or the start, however long that is.
        dry_run: Render, and send nothing.
        progress: Say how far it has come.
        metrics_port: Serve metrics on this port of the loopback address; 0 for any free one.
        metrics_place: Serve them on this address and port instead.
        page: Serve the page of the run on this port of the loopback address; 0 for any free one.
        control: Let it be controlled by a socket beside the log, and by keys.
        trace: Write each session's dialogue to this file.
        as_json: Print the summary as one JSON object.
    """

    server: str | None
    sandboxed: bool
    max_connections: int | None
    max_messages: int | None
    depth: int | None
    rate: str | None
    limit: int | None
    no_retry: bool
    wait: bool
    dry_run: bool
    progress: bool
    metrics_port: int | None
    metrics_place: tuple[str, int] | None
    page: int | None
    control: bool
    trace: Path | None
    as_json: bool

    @property
    def metrics(self) -> tuple[str, int] | None:
        """The address and the port to serve metrics on, or None."""
        if self.metrics_place is not None or self.metrics_port is None:
            return self.metrics_place
        return "127.0.0.1", self.metrics_port

    def overrides(self, *, recipients: str | None, results: str | None) -> Overrides:
        """What takes the place of the campaign file's values, these and those of the command itself."""
        return Overrides(
            recipients=recipients,
            results=results,
            server=self.server,
            max_connections=self.max_connections,
            max_messages=self.max_messages,
            depth=self.depth,
            rate=self.rate,
            max_attempts=1 if self.no_retry else None,
            max_wait="forever" if self.wait else None,
        )

    def resume_command(self, results: Path) -> str:
        """The command that goes on with the run that keeps this results log.

        What was overridden stands in the log and holds; how often a record is offered and how long a quota is waited
        for are of one command.
        """
        asked = [*(["--no-retry"] if self.no_retry else []), *(["--wait"] if self.wait else [])]
        return shlex.join(["batchsend", "resume", str(results), *asked])


class _Place(click.ParamType[tuple[str, int]]):
    """An address and a port, as ``127.0.0.1:9464`` or ``[::1]:9464``."""

    name = "address and port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Take it apart; click shows what `fail` says."""
        if isinstance(value, tuple):
            return value
        address, colon, port = str(value).rpartition(":")
        try:
            place = ip_address(address[1:-1] if address.startswith("[") and address.endswith("]") else address)
        except ValueError:
            place = None
        if place is None or not colon or not (port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT):
            self.fail(f"{value}: expected an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464", param, ctx)
        return str(place), int(port)


class _Port(click.ParamType[int]):
    """A port that may be left out, so that what follows the option is easily taken for one."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Take it as a number; click shows what `fail` says."""
        text = str(value)
        if not (text.isascii() and text.isdecimal() and int(text) <= _HIGHEST_PORT):
            self.fail(f"{text} is no port; without one, say --page after everything else, or --page=0", param, ctx)
        return int(text)


_OPTIONS: Final = (
    click.option("--server", metavar="URL", help="Send through smtp://HOST:PORT or smtps://HOST:PORT."),
    click.option(
        "--sandbox", "sandboxed", is_flag=True, help="Send to an embedded server: nothing leaves this machine."
    ),
    click.option("--max-connections", type=int, metavar="N", help="Sessions open at once."),
    click.option(
        "--max-messages", type=int, metavar="N", help="Messages sent over one session; then a new one replaces it."
    ),
    click.option(
        "--depth", type=int, metavar="N", help="Messages under way at once in one session; above 1 needs CHUNKING."
    ),
    click.option(
        "--rate", metavar="RATE", help="Send no faster than this, all sessions together: 100/s, 600/min, 5000/h."
    ),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send the first N records only."),
    click.option("--no-retry", is_flag=True, help="Try each record once: do not retry deferred ones in this run."),
    click.option(
        "--wait",
        is_flag=True,
        help="Wait for the server's sending limit to be over, or for a window or the start, hours or days; without it "
        "the run ends where that is longer than max_wait.",
    ),
    click.option("--dry-run", is_flag=True, help="Render every record and send nothing."),
    click.option(
        "--progress/--no-progress",
        default=True,
        help="Show progress: a live view on a terminal, a line every ten seconds elsewhere.",
    ),
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help="Serve Prometheus metrics on this port of 127.0.0.1 while it runs; 0 for any free one.",
    ),
    click.option(
        "--metrics",
        "metrics_place",
        type=_Place(),
        metavar="ADDR:PORT",
        help="Serve them on this address instead, such as 0.0.0.0:9464 for all or [::1]:9464; whoever reaches it can "
        "read them.",
    ),
    click.option(
        "--page",
        type=_Port(),
        is_flag=False,
        flag_value="0",
        metavar="[PORT]",
        help="Serve a live page of the run on this port of 127.0.0.1, any free one by default; its address, which is "
        "said as it begins, lets whoever has it pause, change and stop the run.",
    ),
    click.option(
        "--control/--no-control",
        default=True,
        help="Let batchsend control change it while it runs, by a socket beside the log; and keys in the live view, "
        "and the page.",
    ),
    trace_option,
    click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on standard output."),
)


def _speak(context: click.Context, parameter: click.Parameter, value: Literal["text", "json"]) -> None:  # noqa: ARG001 - click's signature
    context.ensure_object(Console).as_json = value == "json"


# Eager, so that what is wrong with the other options is said in this form, too.
_LOG_FORMAT: Final = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    is_eager=True,
    expose_value=False,
    callback=_speak,
    help="Form of the messages on standard error: text, or one JSON object a line.",
)


def _be_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001 - click's signature
    context.ensure_object(Console).is_quiet = value


_QUIET: Final = click.option(
    "--quiet",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_be_quiet,
    help="Say nothing on standard error but why the command ends early; exit code and log tell the rest.",
)


def sending_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options to a command that sends; it gets them as its keyword argument ``options``."""
    names = SendingOptions.__struct_fields__

    @wraps(command)
    def gathered(*arguments: Any, **values: Any) -> int:
        options = SendingOptions(**{name: values.pop(name) for name in names})
        return command(*arguments, options=options, **values)

    decorated: Callable[..., int] = gathered
    for option in (_LOG_FORMAT, _QUIET, *reversed(_OPTIONS)):
        decorated = option(decorated)
    return decorated
