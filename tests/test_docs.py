"""The README says what the program does: its examples are run, its tables are compared, its options and keys exist."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
import orjson
import pytest

from batchsend.campaign.file import TABLES, Table
from batchsend.campaign.reference import reference
from batchsend.cli import batchsend
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.results.line import end_line, outcome_line, run_line
from batchsend.results.run import RecipientsFile, Run, SuppressionFile
from tests.tools.readme import README, checked, generated, run_again, sections, steady

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT: Final = README.read_text(encoding="utf-8")
AGAIN: Final = "`.venv/bin/python -m tests.tools.readme` writes it anew"

# Options in the README that are another program's.
FOREIGN: Final = frozenset({"--help", "--version"})


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def options() -> set[str]:
    root = click.Context(batchsend, info_name="batchsend")
    commands = [batchsend.get_command(root, name) for name in batchsend.list_commands(root)]
    return {
        option
        for command in commands
        if command is not None
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


def test_the_examples_print_what_stands_there() -> None:
    written = checked(TEXT)
    assert len(written) >= 2
    for was, now in zip(written, run_again(written), strict=True):
        assert steady(was) == steady(now), AGAIN


@pytest.mark.parametrize("name", sections())
def test_what_is_made_from_the_program_is_up_to_date(name: str) -> None:
    assert generated(TEXT)[name] == sections()[name](), AGAIN


def test_the_first_screen_is_enough_for_a_first_campaign() -> None:
    """Installing, making, trying and sending, in this order, before the fortieth line or so."""
    screen = "\n".join(TEXT.splitlines()[:55])
    places = [
        screen.index(step) for step in ("pip install", "$ batchsend init", "--sandbox", "export ", "\nbatchsend send ")
    ]
    assert places == sorted(places)


def test_every_option_that_is_spoken_of_exists() -> None:
    prose = re.sub(r"<!-- generated.*?/generated -->", "", TEXT, flags=re.DOTALL)
    spoken = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", re.sub(r"https?://\S+", "", prose)))
    assert spoken - options() - FOREIGN == set()


def test_every_key_has_a_meaning() -> None:
    assert [f"{key.table} {key.name}" for key in reference() if not key.meaning] == []


def keys(table: dict[str, Any], name: Table = ()) -> Iterator[tuple[Table, str]]:
    """The keys of a campaign, of its tables too, by the table that they stand in."""
    for key, value in table.items():
        yield name, key
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and (*name, key) in TABLES:
                yield from keys(inner, (*name, key))


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_toml_block_has_keys_that_there_are(block: str) -> None:
    known = {(table, field.encode_name) for table, struct in TABLES.items() for field in msgspec.structs.fields(struct)}
    assert set(keys(tomllib.loads(block))) - known == set()


def test_every_field_of_the_log_is_in_the_table() -> None:
    table = TEXT[TEXT.index("## The results log") :].split("\n## ")[0]
    result = DeliveryResult(record=1, recipient="a@example.com", status=Outcome.INVALID, line=2)
    for field in orjson.loads(outcome_line(result)):
        assert f"`{field}`" in table
    for outcome in Outcome:
        assert f"`{outcome.value}`" in table
    run = Run(
        id="i",
        started=0,
        campaign="c",
        recipients=RecipientsFile(path="r", only=("5.7",)),
        version="v",
        suppress=(SuppressionFile(path="s", entries=1),),
    )
    lines = [orjson.loads(run_line(run)), orjson.loads(end_line("i", ended=0, stopped=None, learned={}))]
    for field in {name for line in lines for name in line["run"]}:
        assert f"`{field}`" in table
