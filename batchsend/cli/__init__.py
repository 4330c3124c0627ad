"""The command line: flags to calls, errors to exit codes; no logic.

Exit codes: 0 all records accepted or suppressed; 1 the run ended, and some were not; 2 usage or configuration; 3 the
run stopped early and can be resumed; 130, 143 and 129 after SIGINT, SIGTERM and SIGHUP; 141 where the reader of the
output has gone, as after SIGPIPE.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

import click

from batchsend.cli import signals
from batchsend.cli.console import Console
from batchsend.errors import BatchsendError, RunError
from batchsend.version import __version__, compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMANDS = (
    "init",
    "check",
    "send",
    "resume",
    "control",
    "preview",
    "report",
    "feedback",
    "listen",
    "events",
    "cluster",
    "bench",
    "sink",
    "explain",
    "presets",
    "completion",
    "manual",
)
_READER_GONE = 128 + signal.SIGPIPE  # what a shell says of programs that end by the signal
_NOT_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_SENTENCE = 200  # characters of a command's first sentence, which is shorter


class _ReaderGoneError(Exception):
    """Whoever read what a command prints has gone, as `head` does."""


class _Commands(click.Group):
    """Imports a command only when it is asked for: what the others need would cost each run a tenth of a second."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """As click has it, which prints help and version here."""
        with _reader_gone():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its output is written when this returns."""
        with _reader_gone():
            code = super().invoke(ctx)
            if sys.stdout is not None:  # it is where the stream was closed from the beginning
                sys.stdout.flush()
            return code

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each command is for, in a whole sentence: click would cut it where the line ends."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(_SENTENCE)) for name, command in commands if command is not None]
            )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            from batchsend.campaign.nearest import suggestion  # noqa: PLC0415 - only for a command there is not

            hint = suggestion(cmd_name, _COMMANDS, otherwise=f"there are {', '.join(_COMMANDS)}")
            raise click.UsageError(f"no such command: {cmd_name}; {hint}", ctx)
        command: click.Command = getattr(import_module(f"batchsend.cli.{cmd_name}"), cmd_name)
        signals.heed()
        if not gc.isenabled():
            _let_collector_begin()
        return command


@contextmanager
def _reader_gone() -> Iterator[None]:
    """Tell a broken pipe from other errors: click would end the process with 1, which says something of a run."""
    try:
        yield
    except BrokenPipeError:
        raise _ReaderGoneError from None
    except BaseExceptionGroup as group:
        # Of a task that prints, beside which others were running.
        if group.split(BrokenPipeError)[1] is not None:
            raise
        raise _ReaderGoneError from None


def _let_collector_begin() -> None:
    """Let the collector look at what is made from here on; what was imported, it leaves alone for good.

    No message on its way refers to itself, so that there is little to find.
    """
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _say_version(context) if asked else None,
    help="Show the version, and whether it is compiled, and exit.",
)
@click.pass_context
def batchsend(context: click.Context) -> None:
    """Send a campaign of personalised messages through an SMTP relay, with an exact account of every recipient."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _say_version(context: click.Context) -> None:
    click.echo(f"batchsend {__version__} ({'compiled' if compiled() else 'pure Python'})")
    context.exit()


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; every error that a user can cause is one or two lines on standard error.

    Args:
        arguments: The command line without the program's name; None for this process's own.
    """
    if arguments is None:
        # The process is ours: see `_let_collector_begin`. At the end it need not look for anything.
        gc.disable()
        atexit.register(gc.freeze)
        atexit.register(signals.ignore)
    _occupy_closed_streams()
    console = Console()
    console.as_json = _wants_json(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            code = _run(arguments, console)
        finally:
            signals.ended()
    except (click.Abort, KeyboardInterrupt):  # the only one, which click makes an Abort: later signals raise nothing
        code = signals.exit_code()
    finally:
        if arguments is not None:
            signals.restore()
    sys.exit(code)


def _run(arguments: list[str] | None, console: Console) -> int:
    """Run a command, and tell of its errors; returns the exit code."""
    try:
        code = batchsend.main(args=arguments, prog_name="batchsend", standalone_mode=False, obj=console)
    except click.ClickException as error:
        console.error(" ".join(error.format_message().split()), _see_help(error))
        return 2
    except BatchsendError as error:
        console.error(error.message, error.remedy)
        return 3 if isinstance(error, RunError) else 2
    except _ReaderGoneError:
        _write_no_more()
        return _READER_GONE
    except Exception as error:
        if isinstance(error, OSError) and _is_told(error, console):
            return 3
        if not console.as_json:
            raise
        console.crash(error)
        return 1
    return code if isinstance(code, int) else 0


def _is_told(error: OSError, console: Console) -> bool:
    """Tell of what the system refuses wherever it is asked for it; false where it is nothing of the kind."""
    if error.errno in _NOT_WRITTEN and error.filename is None:
        # Whoever writes to a file tells of it by an error of its own: this is standard output, led to one by a shell.
        _write_no_more()
        console.error(f"the output cannot be written: {error.strerror}", "make room, or lead it elsewhere")
        return True
    # Anything may be what finds no descriptor left, the import of a module too.
    if error.errno in (errno.EMFILE, errno.ENFILE):
        console.error("there are too many open files", "let it have more: ulimit -n 1024")
        return True
    return False


def _write_no_more() -> None:
    """Lead standard output nowhere: Python would complain about it once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wants_json(arguments: list[str]) -> bool:
    """Whether errors are to be JSON, before the command line is understood: what is wrong with it is an error, too."""
    forms = ("--log-format", "json")
    return "--log-format=json" in arguments or any(pair == forms for pair in pairwise(arguments))


def _occupy_closed_streams() -> None:
    """Where a standard stream is closed (``2>&-``), keep its number from what is opened next: a log, a socket."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


def _see_help(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"see {context.command_path} --help" if context is not None else None
