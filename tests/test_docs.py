"""README and manual say what the program does: examples are run, tables compared; options, keys, files, links exist."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
import orjson
import pytest

import batchsend as batchsend_package
from batchsend.campaign.file import TABLES, Table
from batchsend.campaign.reference import reference
from batchsend.cli import batchsend
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.results.line import end_line, outcome_line, run_line
from batchsend.results.run import RecipientsFile, Run, SuppressionFile
from tests.tools.documents import DOCUMENTS, MANUAL, README, ROOT, checked, generated, run_again, sections, steady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXTS: Final = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
AGAIN: Final = "`make docs` writes it anew"
each_document: Final = pytest.mark.parametrize("name", TEXTS)

# Options in the documents that are another program's.
FOREIGN: Final = frozenset({"--help", "--version"})

# What the documents call files of the repository: a path in backticks, from the repository's root or from batchsend/.
PATH: Final = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md))`")
LINK: Final = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def blocks(language: str) -> list[str]:
    text = "".join(TEXTS.values())
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def options() -> set[str]:
    root = click.Context(batchsend, info_name="batchsend")
    commands = [batchsend.get_command(root, name) for name in batchsend.list_commands(root)]
    commands += [inner for group in commands if isinstance(group, click.Group) for inner in group.commands.values()]
    return {
        option
        for command in commands
        if command is not None
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize(
    "name", [name if name == "README.md" else pytest.param(name, marks=pytest.mark.slow) for name in TEXTS]
)
def test_the_examples_print_what_stands_there(name: str) -> None:
    for was, now in zip(checked(TEXTS[name]), run_again(TEXTS[name]), strict=True):
        assert steady(was) == steady(now), AGAIN


@each_document
def test_what_is_made_from_the_program_is_up_to_date(name: str) -> None:
    for part, text in generated(TEXTS[name]).items():
        assert text == sections()[part](), f"{part}: {AGAIN}"


def test_everything_that_is_made_from_the_program_stands_somewhere() -> None:
    assert {part for text in TEXTS.values() for part in generated(text)} == set(sections())


def test_the_first_screen_is_enough_for_a_first_campaign() -> None:
    """Installing, making, trying and sending, in this order, before the fiftieth line or so."""
    screen = "\n".join(README.read_text().splitlines()[:55])
    places = [
        screen.index(step) for step in ("pip install", "$ batchsend init", "--sandbox", "export ", "\nbatchsend send ")
    ]
    assert places == sorted(places)


def test_the_readme_is_short_and_the_manual_has_the_rest() -> None:
    assert len(README.read_text().splitlines()) <= 220
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", README.read_text()))
    for page in MANUAL.glob("[a-z]*.md"):
        assert f"batchsend/manual/{page.name}" in README.read_text(), "the README links every page"


@pytest.mark.parametrize("page", sorted(MANUAL.glob("[a-z]*.md")), ids=lambda page: page.name)
def test_each_page_begins_with_what_it_is_for_and_an_example(page: Path) -> None:
    beginning = page.read_text().split("\n## ")[0].splitlines()
    assert beginning[0].startswith("# ")
    assert not beginning[1]
    assert not beginning[2].startswith(("`" * 3, "#", "|", "<")), "a sentence that says what the page is for"
    assert any(line.startswith("```") for line in beginning), "an example before the first section"


@each_document
def test_every_link_leads_somewhere(name: str) -> None:
    for target in LINK.findall(re.sub(r"^```.*?^```", "", TEXTS[name], flags=re.DOTALL | re.MULTILINE)):
        path, _, anchor = target.partition("#")
        if path.startswith("https:"):
            continue
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), target


def anchors(text: str) -> set[str]:
    """The names by which a page's headings can be linked to."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_file_that_is_named_exists() -> None:
    """The map of the code goes with the code."""
    text = (MANUAL / "contributing.md").read_text()
    named = set(PATH.findall(text))
    assert len(named) > 30
    roots = (ROOT, ROOT / "batchsend")
    assert sorted(path for path in named if not any((root / path).exists() for root in roots)) == []


def test_every_package_and_every_file_beside_them_is_on_the_map() -> None:
    text = (MANUAL / "contributing.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "batchsend").glob("*/__init__.py")}
    files = {path.name for path in (ROOT / "batchsend").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert sorted(room for room in rooms if f"| `{room}/` |" not in text) == []
    assert sorted(file for file in files if f"| `{file}` |" not in text) == []


@each_document
def test_every_option_that_is_spoken_of_exists(name: str) -> None:
    prose = re.sub(r"<!-- generated.*?/generated -->", "", TEXTS[name], flags=re.DOTALL)
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
    table = (MANUAL / "results.md").read_text()
    result = DeliveryResult(record=1, recipient="a@example.com", status=Outcome.INVALID, line=2, key="k")
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


@pytest.mark.parametrize("block", blocks("python"))
def test_every_public_name_in_an_example_exists(block: str) -> None:
    compile(block, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for name in re.findall(r"\bbatchsend\.([A-Za-z]\w*)", block):
        assert name in {*batchsend_package.__all__, "sink", "campaign", "django"}, name


@pytest.mark.parametrize(
    ("change", "file"),
    [
        ("an outcome", "outcome.py"),
        ("an input format", "recipients/reader.py"),
        ("a quota", "delivery/quota.py"),
        ("a wording of replies", "delivery/replies/table.tsv"),
        ("another engine for the cluster", "cluster/database.py"),
        ("a header field", "message/headers.py"),
        ("a type of event", "events/source.py"),
        ("a form of bounce", "feedback/freeform.py"),
        ("a key of the live view", "cli/steer.py"),
        ("an option of another command", "cli/bench.py"),
    ],
)
def test_who_knows_the_readme_finds_where_a_change_is_made(change: str, file: str) -> None:
    page, heading = "batchsend/manual/contributing.md", "Where typical changes are made"
    assert f"({page}#{heading.lower().replace(' ', '-')})" in TEXTS["README.md"]
    table = TEXTS[page].partition(f"## {heading}\n")[2].partition("\n## ")[0]
    [row] = [line for line in table.splitlines() if line.startswith(f"| {change}")]
    assert f"`{file}`" in row
