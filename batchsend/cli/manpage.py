"""The manual page for man(1): made from the commands, the campaign model and the outcome vocabulary themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from batchsend.campaign.file import TABLES
from batchsend.campaign.reference import KeyReference, attributes, heading, reference
from batchsend.cli.roff import Page
from batchsend.outcome import DeliveryResult
from batchsend.results.run import Run
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = "batchsend"
_EXIT_CODES: Final = {
    "0": "All records were accepted or suppressed; or the command did what it is for.",
    "1": "The run ended, and some records were not accepted.",
    "2": "The command, the campaign or a file it names is wrong; nothing was sent.",
    "3": "The run stopped early and can be resumed: server gone, credentials refused, disk full.",
    "130, 143, 129": "SIGINT, SIGTERM, SIGHUP: the first lets replies come in and completes the log; a second stops.",
    "141": "What reads the output has gone; nothing is wrong.",
}
_FILES: Final = {
    "campaign.toml": "The campaign file.",
    "results.jsonl": "The results log: JSON Lines, append-only.",
    "results.jsonl.inflight": "The journal of what is in flight; gone after an orderly end.",
}
_EXAMPLES: Final = """\
batchsend init welcome --relay nexuspromail --from 'App <hello@mail.example.com>'
batchsend send welcome/campaign.toml --sandbox --results /tmp/sandbox.jsonl
batchsend send welcome/campaign.toml
batchsend resume welcome/results.jsonl
"""


def manual_page(root: click.Context) -> Page:
    """The manual page: commands, options, every key of a campaign file and every field of the log.

    Args:
        root: The context of the ``batchsend`` command itself.
    """
    page = Page(_NAME, 1, f"{_NAME} {__version__}")
    page.section("NAME")
    page.paragraph(f"{_NAME} - send a campaign of personalised messages through an SMTP relay")
    page.section("SYNOPSIS")
    commands = dict(_commands(root))
    page.verbatim("\n".join(_usage(context) for context in commands.values()))
    page.section("DESCRIPTION")
    page.paragraph(root.command.help or "")
    page.section("COMMANDS")
    for context in commands.values():
        _add_command(page, context)
    _add_campaign_file(page)
    _add_log(page)
    page.section("EXIT STATUS")
    for code, meaning in _EXIT_CODES.items():
        page.term(code, meaning)
    page.section("FILES")
    for name, what in _FILES.items():
        page.term(name, what)
    page.section("EXAMPLES")
    page.verbatim(_EXAMPLES)
    return page


def _commands(root: click.Context) -> Iterator[tuple[str, click.Context]]:
    group = root.command
    assert isinstance(group, click.Group)  # noqa: S101 - the program is one
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=root)
        if isinstance(command, click.Group):
            for inner, one in command.commands.items():
                yield f"{name} {inner}", click.Context(one, info_name=f"{name} {inner}", parent=context)
        else:
            yield name, context


def _usage(context: click.Context) -> str:
    return f"{_NAME} {context.info_name} {' '.join(context.command.collect_usage_pieces(context))}".rstrip()


def _add_command(page: Page, context: click.Context) -> None:
    page.subsection(_usage(context))
    for paragraph in (context.command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            page.verbatim(paragraph.strip("\b\n"))
        else:
            page.paragraph(paragraph)
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            page.term(*record)


def _add_campaign_file(page: Page) -> None:
    keys = list(reference())
    page.section("CAMPAIGN FILE")
    page.paragraph(
        "A campaign is a file in TOML. Paths in it are relative to its folder; texts of [message] are Jinja2 "
        "templates, whose variables are a record's fields, ``batch.id`` and ``batch.record``; ${NAME} in [server] "
        "comes from the environment."
    )
    for table in TABLES:
        if table:
            page.subsection(heading(table))
        for key in keys:
            if key.table == table:
                page.term(key.name, _described(key))


def _described(key: KeyReference) -> str:
    sentences = [key.meaning, f"Expected: {key.expected}."]
    if key.default is None:
        sentences.append("Required.")
    elif key.default:
        sentences.append(f"Default: {key.default}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _add_log(page: Page) -> None:
    page.section("RESULTS LOG")
    page.paragraph(
        'A run begins with a line ``{"run": {…}}``, and one that came to an end closes with another. Every other '
        "line is one attempt's outcome; the last line of a record counts. Times are UTC (RFC 3339)."
    )
    for name, meaning in attributes(DeliveryResult).items():
        page.term(name, _of_a_field(meaning))
    page.subsection("The line of a run")
    for name, meaning in attributes(Run).items():
        page.term(name, _of_a_field(meaning))


def _of_a_field(meaning: str) -> str:
    """A meaning in the log's terms: there, what is None is null, and a time is a text."""
    return meaning.replace("None", "null").replace(", in seconds since the epoch", "")
