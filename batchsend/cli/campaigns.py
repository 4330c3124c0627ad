"""What several commands share: the argument and the options that name files, the trace, and lines on standard error."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchsend.display import json_shown, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchsend.trace import Side, Trace

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")


def campaign_argument(command: Command) -> Command:
    """The campaign file; what is wrong with it is for the campaign's own errors to say."""
    return click.argument("campaign", type=click.Path(path_type=Path))(command)


def recipients_option(command: Command) -> Command:
    """Another recipients file than the campaign's."""
    return click.option(
        "--recipients", metavar="FILE", help="Read recipients from FILE, or from standard input if it is -."
    )(command)


def trace_option(command: Command) -> Command:
    """Where to write what is said in each session: see `batchsend.trace`."""
    return click.option(
        "--trace",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write what is said in each session to FILE: without credentials and contents, but with addresses.",
    )(command)


@contextmanager
def tracing(
    path: Path | None, tell: Callable[[str], None] | None = None, *, side: Side = "client"
) -> Iterator[Trace | None]:
    """What `trace_option` asks for, while the context lasts.

    Args:
        path: The option's value; None for no trace.
        tell: Called at the end with why the trace is not whole, where it is not; None for standard error.
        side: Whose sessions they are.

    Raises:
        UsageError: The file cannot be made.
    """
    if path is None:
        yield None
        return
    from batchsend.trace import Trace  # noqa: PLC0415 - only where somebody has asked for it

    trace = Trace(path, side=side)
    try:
        with trace:
            yield trace
    finally:
        if trace.error is not None:
            (tell or say)(trace.error)


def say(line: str) -> None:
    """Print a line on standard error. Nobody reading it any more is no reason to end a run or change its exit code.

    What others have written in it does nothing to a terminal: see `tell`.
    """
    with suppress(OSError):
        click.echo(printable(line), err=True)


def tell(line: str) -> None:
    """Print a line on standard output.

    What others have written in it, a server, a list, another machine's worker, does nothing to a terminal: each
    character that a terminal would obey is shown as an escape.
    """
    click.echo(printable(line))


def tell_json(found: object, default: Callable[[Any], Any] | None = None) -> None:
    """Print a line of JSON on standard output.

    What a terminal would obey is escaped as JSON has it, so that whoever parses it finds what is there.

    Args:
        found: What it says.
        default: Turns what JSON has no form for into something that it has one for.
    """
    import orjson  # noqa: PLC0415 - only where it is asked for

    try:
        line = json_shown(orjson.dumps(found, default=default).decode())
    except orjson.JSONEncodeError:
        # Half characters, which stand for a file name's other bytes: the standard library's escapes them.
        import json  # noqa: PLC0415 - only here

        line = json.dumps(found, default=default)
    click.echo(line)
