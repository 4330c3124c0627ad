"""The command line: flags to calls, errors to exit codes; no logic.

Exit codes: 0 all records accepted or suppressed; 1 the run ended, and some were not; 2 usage or configuration; 3 the
run stopped early and can be resumed; 130 and 143 after SIGINT and SIGTERM.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

import click

from batchsend.cli.campaigns import say
from batchsend.errors import BatchsendError, RunError
from batchsend.version import __version__

_COMMANDS = ("send", "resume", "preview", "sink")


class _Commands(click.Group):
    """Imports a command only when it is asked for: what the others need would cost each run a tenth of a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            close = get_close_matches(cmd_name, _COMMANDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_COMMANDS)}"
            raise click.UsageError(f"no such command: {cmd_name}; {hint}", ctx)
        command: click.Command = getattr(import_module(f"batchsend.cli.{cmd_name}"), cmd_name)
        return command


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="batchsend %(version)s")
@click.pass_context
def batchsend(context: click.Context) -> None:
    """Send a campaign of personalised messages through an SMTP relay, with an exact account of every recipient."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; every error that a user can cause is one or two lines on standard error.

    Args:
        arguments: The command line without the program's name; None for this process's own.
    """
    try:
        code = batchsend.main(args=arguments, prog_name="batchsend", standalone_mode=False)
    except click.ClickException as error:
        code = _complain(error.format_message(), _see_help(error))
    except BatchsendError as error:
        code = _complain(error.message, error.remedy, 3 if isinstance(error, RunError) else 2)
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain about it once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, remedy: str | None, code: int = 2) -> int:
    say(f"batchsend: {message}")
    if remedy is not None:
        say(f"           {remedy}")
    return code


def _see_help(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"see {context.command_path} --help" if context is not None else None
