"""``batchsend report``: what became of a campaign, from its results log."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from batchsend.cli.campaigns import tell_json
from batchsend.errors import UsageError
from batchsend.report.analysis import analyse
from batchsend.report.output import Output
from batchsend.version import __version__

if TYPE_CHECKING:
    from batchsend.report.report import CampaignReport

_STDOUT: Final = Path("-")
_WIDTH_OF_A_PIPE: Final = 100


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the report as one page that needs no network to FILE, or to standard output if it is -.",
)
@click.option(
    "--csv",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a row for each record, with its last outcome, to FILE, or to standard output if it is -. No cell is a "
    "formula.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object on standard output.")
def report(results: Path, *, html: Path | None, csv: Path | None, as_json: bool) -> None:
    """Report what became of every recipient, from the results log RESULTS.

    Outcomes, pace, replies, what went wrong and what to do about it. The log is only read: it may be that of a run that
    goes on. The exit code is 0 whatever became of the records.
    """
    to_stdout = [
        name for name, asked in (("--html", html == _STDOUT), ("--csv", csv == _STDOUT), ("--json", as_json)) if asked
    ]
    if len(to_stdout) > 1:
        raise UsageError(
            f"{' and '.join(to_stdout)} would both be on standard output", remedy="name a file for all but one of them"
        )
    if html is not None and csv is not None and html != _STDOUT and html.resolve() == csv.resolve():
        raise UsageError(f"--html and --csv would both be {html}", remedy="name a file for each")
    found = analyse(results)
    output = Output(found)
    if html is not None:
        from batchsend.report.html import render  # noqa: PLC0415 - Jinja2 is slow to import

        output.write(html, [render(found, version=__version__).encode()])
    if csv is not None:
        from batchsend.report.spreadsheet import rows  # noqa: PLC0415 - only where it is asked for

        output.write(csv, rows(results))
    if as_json:
        tell_json(found.to_json())
    elif not to_stdout:
        _show(found)


def _show(found: CampaignReport) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import, and of no use to the other forms

    from batchsend.report.terminal import show  # noqa: PLC0415

    if sys.stdout.isatty():
        show(found, Console(highlight=False, markup=False, emoji=False))
        return
    # What pads a line on a terminal is only in the way in a pipe.
    plain = StringIO()
    width = None if os.environ.get("COLUMNS") else _WIDTH_OF_A_PIPE
    show(found, Console(file=plain, width=width, color_system=None, highlight=False, markup=False, emoji=False))
    for line in plain.getvalue().splitlines():
        click.echo(line.rstrip())
