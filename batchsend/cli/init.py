"""``batchsend init``: makes a campaign folder from a few answers, or from another program's configuration."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from batchsend.cli.campaigns import tell
from batchsend.errors import RecordError, UsageError
from batchsend.recipients.addresses import forward_path
from batchsend.recipients.columns import listed
from batchsend.scaffold import Draft, Recipients, RelayAnswers, write
from batchsend.scaffold.django import read_settings
from batchsend.scaffold.draft import CAMPAIGN
from batchsend.scaffold.toml import TomlEntry, literal

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

_FOLDER = Path("campaign")
_RELAY = "smtp.example.com"
_SENDER = "App <hello@example.com>"


class _List(NamedTuple):
    """What options say of a list.

    Attributes:
        path: The file, or None for a sample.
        field: The column of addresses, or None to find it.
        encoding: Its encoding, or None for UTF-8.
        sheet: The sheet of a workbook, or None for the first.
    """

    path: Path | None
    field: str | None
    encoding: str | None
    sheet: str | None


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--relay", metavar="RELAY", help="A preset (see batchsend presets), or HOST or HOST:PORT.")
@click.option("--from", "sender", metavar="MAILBOX", help='Who it is from: "App <hello@mail.example.com>".')
@click.option(
    "--recipients",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A list of yours, whose columns the templates use. Without it, a sample is written.",
)
@click.option("--recipient-field", metavar="NAME", help="The column of addresses, where its name does not say so.")
@click.option("--encoding", metavar="NAME", help="The encoding of the list, such as cp1252; by default UTF-8.")
@click.option("--sheet", metavar="NAME", help="The sheet of the list, where it is a workbook; by default the first.")
@click.option(
    "--bounces",
    metavar="DOMAIN",
    help="Bounces can be received at this domain: write a signed return path there, which ties each to its record.",
)
@click.option(
    "--from-mailmerge",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write a campaign beside mailmerge's three files, from what they say.",
)
@click.option(
    "--from-django",
    type=click.Path(path_type=Path),
    metavar="SETTINGS",
    help="Take the relay and the sender from a Django project's settings.py, which is read and not run.",
)
def init(
    directory: Path | None,
    *,
    relay: str | None,
    sender: str | None,
    recipients: Path | None,
    recipient_field: str | None,
    encoding: str | None,
    sheet: str | None,
    bounces: str | None,
    from_mailmerge: Path | None,
    from_django: Path | None,
) -> None:
    """Write a new campaign into the folder DIRECTORY (by default: campaign).

    On a terminal it asks for what the options do not say; elsewhere it writes examples. Existing files are kept.
    """
    if from_mailmerge is not None:
        others = (directory, relay, sender, recipients, recipient_field, encoding, sheet, from_django)
        if any(given is not None for given in others):
            raise click.UsageError(
                "--from-mailmerge says it all: nothing else goes with it", click.get_current_context()
            )
        folder = from_mailmerge
        draft, notes = _of_mailmerge(folder)
    else:
        folder = _FOLDER if directory is None else directory
        draft, notes = _of_answers(
            folder, relay, sender, _List(recipients, recipient_field, encoding, sheet), from_django
        )
    if bounces is not None:
        draft = _with_bounces(draft, bounces)
    draft.check(folder)
    written = write(folder, draft.files())
    for line in _next_steps(folder, written, draft, notes):
        tell(line)


def _with_bounces(draft: Draft, domain: str) -> Draft:
    """The draft with a signed return path at a domain where bounces can be received."""
    try:
        forward_path(f"bounce@{domain}")
    except RecordError as error:
        raise UsageError(
            f"--bounces {domain}: {error.message}", remedy="expected a domain such as bounces.example.com"
        ) from None
    if any(entry.key == "return_path" for entry in draft.more):
        raise UsageError("--bounces: there is a return path already", remedy="leave the one or the other out")
    entry = TomlEntry("return_path", f"bounce+{{{{ batch.verp }}}}@{domain}", "batchsend listen --smtp, or feedback")
    return replace(draft, more=(*draft.more, entry))


def _of_mailmerge(folder: Path) -> tuple[Draft, list[str]]:
    from batchsend.scaffold.mailmerge import draft_of  # noqa: PLC0415 - the email package is slow to import

    return draft_of(folder)


def _of_answers(
    folder: Path,
    relay: str | None,
    sender: str | None,
    given: _List,
    from_django: Path | None,
) -> tuple[Draft, list[str]]:
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if from_django is None:
        chosen = _answer("Relay, as a preset or HOST:PORT", relay, _RELAY, RelayAnswers.named, asks=asks)
        from_ = _answer("From", sender, _SENDER, _checked_sender, asks=asks)
        notes = [chosen.note] if chosen.note else []
    elif relay is not None:
        raise click.UsageError("--relay and --from-django exclude each other", click.get_current_context())
    else:
        settings = read_settings(from_django)
        chosen, from_, notes = settings.relay, _checked_sender(sender or settings.sender), settings.notes
    file = _answer("Recipients file, or nothing for a sample", given.path, "", _recipients(folder, given), asks=asks)
    if file.unwanted is not None:
        # Not written into the campaign file: who waits for this mail, only the user knows.
        where = literal(file.unwanted.where(file.columns))
        notes = [*notes, f"by the list some want no mail: {file.unwanted.said}; to leave them out: where = {where}"]
    return Draft.of_answers(chosen, from_, file), notes


def _answer(
    question: str, given: str | Path | None, default: str, parse: Callable[[str], Answer], *, asks: bool
) -> Answer:
    """What an option says, or what the user answers, until it can be used; or the example."""
    if given is not None or not asks:
        return parse(default if given is None else str(given))

    def parse_answer(answer: str) -> Answer:
        try:
            return parse(answer)
        except UsageError as error:
            raise click.BadParameter(str(error).replace("\n", "; ")) from None

    answer: Answer = click.prompt(
        question, default=default, show_default=bool(default), value_proc=parse_answer, err=True
    )
    return answer


def _checked_sender(text: str) -> str:
    try:
        Draft.of_answers(RelayAnswers([]), text, Recipients.example()).check(Path())
    except UsageError as error:
        raise UsageError(
            error.message.removeprefix("message.from: "),
            remedy='expected a mailbox such as "App <hello@mail.example.com>"',
        ) from None
    return text


def _recipients(folder: Path, given: _List) -> Callable[[str], Recipients]:
    def read(text: str) -> Recipients:
        if not text:
            return Recipients.example()
        recipients = _looked_into(Path(text), folder, given)
        if recipients.address not in recipients.columns:
            what = f"{text} has no column {given.field!r}"
            raise UsageError(what, remedy=f"its columns are {listed(recipients.columns)}")
        return recipients

    return read


def _looked_into(path: Path, folder: Path, given: _List) -> Recipients:
    try:
        return Recipients.read(path, folder, address=given.field, encoding=given.encoding, sheet=given.sheet)
    except LookupError:
        raise UsageError(
            f"there is no encoding {given.encoding!r}", remedy="expected one such as cp1252 or utf-16-le"
        ) from None
    except UsageError as error:
        raise UsageError(error.message, remedy=_as_options(error.remedy)) from None


def _as_options(remedy: str | None) -> str | None:
    """A remedy that names keys of a campaign file, which is yet to be written, by the options of this command."""
    if remedy is None:
        return None
    return re.sub(r'sheet = ("[^"]+")', r"--sheet \1", re.sub(r'encoding = "([\w-]+)"', r"--encoding \1", remedy))


def _next_steps(folder: Path, written: list[str], draft: Draft, notes: list[str]) -> list[str]:
    campaign = shlex.quote(str(folder / CAMPAIGN))
    sandboxed = shlex.quote(str(folder / "sandbox.jsonl"))
    lines = [f"{folder}: {', '.join(written)}", "", "Try it; nothing leaves this machine:"]
    lines += [f"  batchsend send {campaign} --sandbox --results {sandboxed}", "", "Then, for real:"]
    if draft.relay.variables:
        lines.append(f"  export {' '.join(f'{name}=…' for name in draft.relay.variables)}")
    lines.append(f"  batchsend send {campaign}")
    return [*lines, *(["", "Worth knowing:"] if notes else []), *(f"  {note}" for note in notes)]
