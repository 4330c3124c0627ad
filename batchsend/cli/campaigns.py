"""What several commands share: the argument and the option that name files, and lines on standard error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

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


def say(line: str) -> None:
    """Print a line on standard error. Nobody reading it any more is no reason to end a run or change its exit code."""
    with suppress(OSError):
        click.echo(line, err=True)
