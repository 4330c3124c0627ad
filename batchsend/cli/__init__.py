"""The command line: flags to calls, errors to exit codes; no logic.

Exit codes: 0 all records accepted or suppressed; 1 the run ended, and some were not; 2 usage or configuration; 3 the
run stopped early and can be resumed; 130 and 143 after SIGINT and SIGTERM.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from batchsend.cli.preview import preview
from batchsend.cli.resume import resume
from batchsend.cli.send import send
from batchsend.cli.sink import sink
from batchsend.errors import BatchsendError, RunError
from batchsend.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="batchsend %(version)s")
def batchsend() -> None:
    """Send a campaign of personalised messages through an SMTP relay, with an exact account of every recipient."""


batchsend.add_command(send)
batchsend.add_command(resume)
batchsend.add_command(preview)
batchsend.add_command(sink)


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
    click.echo(f"batchsend: {message}", err=True)
    if remedy is not None:
        click.echo(f"           {remedy}", err=True)
    return code


def _see_help(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"see {context.command_path} --help" if context is not None else None
