"""``batchsend preview``: one record's message, as it would be sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchsend.campaign import Overrides, load
from batchsend.cli.campaigns import campaign_argument, recipients_option
from batchsend.errors import RecordError, UsageError
from batchsend.message import Composer
from batchsend.records import BadRecord, Record, open_records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from batchsend.campaign import Campaign
    from batchsend.message import Submission


@click.command()
@campaign_argument
@recipients_option
@click.option("--record", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Which record.")
@click.option(
    "--eml", type=click.Path(path_type=Path), metavar="FILE", help="Write the message to FILE, or - for stdout."
)
def preview(campaign: Path, *, recipients: str | None, record: int, eml: Path | None) -> None:
    """Show the message of one record of CAMPAIGN: envelope, headers, text and HTML. Nothing is sent."""
    loaded = load(campaign, overrides=Overrides(recipients=recipients), resolve_credentials=False)
    submission = _compose(loaded, record)
    if eml is None:
        for line in _lines(submission):
            click.echo(line)
    elif str(eml) == "-":
        sys.stdout.buffer.write(submission.content)
    else:
        try:
            eml.write_bytes(submission.content)
        except OSError as error:
            raise UsageError(f"{eml} cannot be written: {error.strerror}") from None


def _compose(campaign: Campaign, number: int) -> Submission:
    composer = Composer(
        campaign.message, directory=campaign.directory, batch_id="preview", recipient_field=campaign.recipient_field
    )
    row = _find(campaign, number)
    try:
        if isinstance(row, BadRecord):
            raise RecordError(row.reason)
        return composer.compose(row)
    except RecordError as error:
        raise UsageError(
            f"record {number} (line {row.line}) is invalid: {error.message}",
            remedy="mend the record or the template, or look at another: --record N",
        ) from None


def _find(campaign: Campaign, number: int) -> Record | BadRecord:
    with open_records(campaign.recipients) as reader:
        count = 0
        while rows := reader.read(1000):
            if count + len(rows) >= number:
                return rows[number - count - 1]
            count += len(rows)
    raise UsageError(f"{reader.name} has {count:,} records, and no record {number:,}")


def _lines(submission: Submission) -> Iterator[str]:
    from email import message_from_bytes, policy  # noqa: PLC0415 - slow to import, and only needed to show a message

    message: EmailMessage = message_from_bytes(submission.content, policy=policy.default)
    envelope = submission.envelope
    yield f"record {submission.record}: MAIL FROM:<{envelope.reverse_path}> RCPT TO:<{envelope.forward_path}>"
    yield f"{len(submission.content):,} octets"
    yield ""
    for name, value in message.items():
        if not name.lower().startswith(("content-", "mime-")):
            yield f"{name}: {value}"
    for part in message.walk():
        if part.is_multipart():
            continue
        filename = part.get_filename()
        yield ""
        yield f"--- {part.get_content_type()}{f' ({filename})' if filename else ''} ---"
        if filename is None and part.get_content_maintype() == "text":
            yield str(part.get_content()).rstrip("\n")
        else:
            yield f"{len(part.get_content()):,} octets"
