"""A slip in any key of a campaign file, any option and any command is answered with what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import msgspec
import pytest

from batchsend.campaign import load
from batchsend.campaign.file import TABLES, Table
from batchsend.campaign.nearest import nearest
from batchsend.cli import batchsend
from batchsend.errors import UsageError
from tests.cli.commandline import complaint, invoke

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS: Final = [
    (table, field.encode_name) for table, struct in TABLES.items() for field in msgspec.structs.fields(struct)
]
ROOT: Final = click.Context(batchsend, info_name="batchsend")
COMMANDS: Final = batchsend.list_commands(ROOT)


def slips(name: str) -> Iterator[str]:
    """What fingers make of a name: a letter left out, twice, or in its neighbour's place; another way to join words."""
    middle = len(name) // 2
    if len(name) > 3:
        yield name[:middle] + name[middle + 1 :]
    yield name[:middle] + name[middle] + name[middle:]
    yield name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :]
    if "_" in name:
        yield name.replace("_", "-")
        first, *others = name.split("_")
        yield first + "".join(word.capitalize() for word in others)


@pytest.mark.parametrize(
    ("table", "name"), KEYS, ids=lambda value: ".".join(value) if isinstance(value, tuple) else value
)
def test_every_key_is_known_again(table: Table, name: str, tmp_path: Path) -> None:
    known = {other for place, other in KEYS if place == table}
    elsewhere = {other for place, other in KEYS if place != table}
    path = tmp_path / "campaign.toml"
    for slip in slips(name):
        if slip in known or slip in elsewhere:
            continue
        path.write_text((f"[{'.'.join(table)}]\n" if table else "") + f'"{slip}" = 1\n')
        with pytest.raises(UsageError) as error:
            load(path)
        assert slip in error.value.message
        assert error.value.remedy == f"did you mean {name}?"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_known_again(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for slip in slips(name):
        told = complaint(invoke(capsys, slip))
        assert f"no such command: {slip}; did you mean {name}?" in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_known_again(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = batchsend.get_command(ROOT, name)
    assert command is not None
    options = {
        option
        for parameter in command.get_params(click.Context(command))
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    for option in options:
        for slip in slips(option.removeprefix("--")):
            if f"--{slip}" not in options:
                told = complaint(invoke(capsys, name, f"--{slip}"))
                assert f"--{slip}" in told
                assert option in told.replace(f"--{slip}", ""), told


def test_what_is_like_nothing_gets_no_suggestion() -> None:
    assert nearest("zzz", ["host", "port"]) is None
    assert nearest("prot", ["host", "port"]) == "port"
    assert nearest("ot", ["to", "text"]) == "to"
