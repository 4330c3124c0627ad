"""``batchsend preview``: one record's message, as it would be sent."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsend import figures
from batchsend.campaign import Overrides, load
from batchsend.campaign.own import own_files
from batchsend.cli.campaigns import campaign_argument, recipients_option
from batchsend.errors import RecordError, UsageError, not_writable
from batchsend.message import Composer
from batchsend.preview.rows import Rows
from batchsend.recipients import BadRecord, open_recipients
from batchsend.recipients.admission import require_fields

if TYPE_CHECKING:
    from batchsend.campaign import Campaign
    from batchsend.message import Submission
    from batchsend.message.parsed import ParsedMessage
    from batchsend.recipients import RecordReader


@click.command()
@campaign_argument
@recipients_option
@click.option(
    "--record",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Show the message of record N.",
)
@click.option("--raw", is_flag=True, help="Show headers and HTML as they are sent, not decoded and rendered.")
@click.option("--open", "in_browser", is_flag=True, help="Show it in the browser ($BROWSER, or the usual one).")
@click.option(
    "--eml", type=click.Path(path_type=Path), metavar="FILE", help="Write the message to FILE, or - for stdout."
)
def preview(
    campaign: Path, *, recipients: str | None, record: int, raw: bool, in_browser: bool, eml: Path | None
) -> None:
    """Show the message of one record of CAMPAIGN: envelope, headers, text, HTML, attachments. Nothing is sent.

    On a terminal, keys go on from there: n for the next record, p for the previous one, a number and Enter for that
    one, o for the browser, q to quit.
    """
    loaded = load(campaign, overrides=Overrides(recipients=recipients), resolve_credentials=False)
    composer = Composer(
        loaded.message,
        directory=loaded.directory,
        batch_id="preview",
        recipient_field=loaded.recipient_field,
        own=own_files(loaded),
    )
    with Rows(partial(_records, loaded, composer)) as rows:
        shown = _RecordPreview(composer, rows, raw=raw)
        if eml is not None:
            _write(shown.compose(record).content, eml)
        elif in_browser:
            click.echo(f"opened {_open(shown.parsed(record))}")
        elif sys.stdin.isatty() and sys.stdout.isatty():
            shown.browse(record)
        else:
            from batchsend.preview.shown import plain  # noqa: PLC0415 - slow to import, as is all that reads a message

            for line in plain(shown.parsed(record), raw=raw):
                click.echo(line)


def _records(campaign: Campaign, composer: Composer) -> RecordReader:
    """The recipients file from its beginning, of which it is certain that messages can be made of its records.

    Raises:
        UsageError: It cannot be opened, or what `send` says of the whole list before its first message.
    """
    reader = open_recipients(campaign)
    try:
        require_fields(reader, campaign.recipient_field, [composer.field_use])
    except BaseException:
        reader.close()
        raise
    return reader


class _RecordPreview:
    """Where records are composed and laid out.

    Args:
        composer: What composes them.
        rows: The records.
        raw: Show headers and HTML as they are sent.
    """

    def __init__(self, composer: Composer, rows: Rows, *, raw: bool) -> None:
        self._rows = rows
        self._raw = raw
        self._composer = composer

    def compose(self, number: int) -> Submission:
        """The message of a record.

        Raises:
            UsageError: There is no such record, or it is invalid.
        """
        row = self._rows.find(number)
        if row is None:
            known = self._rows.known
            raise UsageError(
                f"{self._rows.name} has {figures.count(known, 'record')}, and no record {number:,}",
                remedy=f"look at another: --record N, from 1 to {known}" if known else "put recipients into it",
            )
        try:
            if isinstance(row, BadRecord):
                raise RecordError(row.reason)
            return self._composer.compose(row)
        except RecordError as error:
            raise UsageError(
                f"record {number} (line {row.line}) is invalid: {error.message}",
                remedy="fix the record or the template, or look at another: --record N",
            ) from None

    def parsed(self, number: int) -> ParsedMessage:
        """The message of a record, taken apart; it raises what `compose` does."""
        from batchsend.message.parsed import ParsedMessage  # noqa: PLC0415 - email is slow to import

        return ParsedMessage.of(self.compose(number))

    def browse(self, number: int) -> None:
        """Show one record after the other, as the keys say."""
        from rich.console import Console  # noqa: PLC0415 - rich, only on a terminal
        from rich.text import Text  # noqa: PLC0415

        from batchsend.display import visible  # noqa: PLC0415
        from batchsend.preview.keys import HELP, Keys  # noqa: PLC0415
        from batchsend.preview.shown import show  # noqa: PLC0415

        console = Console(highlight=False)
        wanted: int | str | None = number
        with Keys(sys.stdin.fileno(), lambda typed: click.echo(typed, nl=False)) as keys:
            while wanted is not None:
                try:
                    if isinstance(wanted, int):
                        if self._rows.find(wanted) is not None:
                            number = wanted
                        show(self.parsed(wanted), console, raw=self._raw)
                    else:
                        console.print(Text(f"opened {_open(self.parsed(number))}"))
                except UsageError as error:
                    console.print(Text(visible(error.message), style="red"))
                console.print(Text(f"record {number:,}: {HELP} ", style="dim"), end="")
                wanted = keys.ask(number)
                console.print()


def _write(content: bytes, file: Path) -> None:
    if str(file) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise not_writable(file, error) from None


def _open(message: ParsedMessage) -> Path:
    """Show a message in the browser; the page's file, which stays: a browser may read it later."""
    import webbrowser  # noqa: PLC0415 - only here
    from tempfile import NamedTemporaryFile  # noqa: PLC0415

    from batchsend.preview.page import page  # noqa: PLC0415

    try:
        with NamedTemporaryFile("wb", prefix="batchsend-preview-", suffix=".html", delete=False) as file:
            file.write(page(message).encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"the page cannot be written: {error.strerror}", remedy="set TMPDIR to a folder") from None
    path = Path(file.name)
    if not webbrowser.open(path.as_uri()):
        raise UsageError("there is no browser that could be started", remedy=f"set BROWSER, or open {path}")
    return path
