"""The manual page and the shells' completion: made from the commands themselves, and what man and the shells take."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import click
import pytest

from batchsend.campaign.reference import reference
from batchsend.cli import batchsend
from batchsend.cli.roff import Page
from batchsend.outcome import DeliveryResult
from batchsend.version import __version__, compiled
from tests.cli.commandline import WITHIN, ended, environment, invoke, process
from tests.servers.requirements import program

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def manual(capsys: Capture) -> str:
    result = invoke(capsys, "manual")
    assert (result.code, result.errors) == (0, "")
    return result.output


def plain(page: str) -> str:
    """The page as a person reads it, in one line."""
    shown = subprocess.run(
        [program("mandoc"), "-Tutf8", "-Owidth=200"],
        input=page,
        capture_output=True,
        text=True,
        check=True,
        timeout=WITHIN,
    ).stdout
    bare = ""
    for piece in shown.split("\b"):  # a bold letter is struck twice
        bare = bare[:-1] + piece if bare else piece
    return " ".join(bare.split())


def test_man_finds_nothing_to_complain_of(capsys: Capture) -> None:
    lint = subprocess.run(
        [program("mandoc"), "-Tlint", "-Wwarning"], input=manual(capsys), capture_output=True, text=True, check=False
    )
    complaints = [line for line in lint.stdout.splitlines() if "missing date" not in line]
    assert complaints == []


def test_the_manual_has_every_command_option_key_and_field(capsys: Capture) -> None:
    page = plain(manual(capsys))
    context = click.Context(batchsend, info_name="batchsend")
    for name in batchsend.list_commands(context):
        command = batchsend.get_command(context, name)
        assert command is not None
        assert f"batchsend {name}" in page
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in page
    for key in reference():
        assert key.meaning, f"{key.name} has no line in its model's docstring"
        assert f" {key.name} " in page
    for field in DeliveryResult.__struct_fields__:
        assert f" {field} " in page
    assert "None" not in page, "that is Python's word"


def test_text_is_never_a_request_or_an_escape() -> None:
    page = Page("x", 1, "x")
    page.paragraph(".so /etc/passwd")
    page.term("-x", "back\\slash 'quote' \"double\" — dash")
    assert "\n.so" not in str(page)
    assert r"back\eslash" in str(page)
    assert str(page).isascii()


def test_each_shell_takes_its_script(capsys: Capture, tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = invoke(capsys, "completion", shell)
        assert script.code == 0
        assert "_BATCHSEND_COMPLETE" in script.output
    (tmp_path / "script").write_text(invoke(capsys, "completion", "bash").output)
    subprocess.run([program("bash"), "-n", tmp_path / "script"], check=True, timeout=WITHIN)
    assert invoke(capsys, "completion", "tcsh").code == 2


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        ("batchsend s", 1, "send"),
        ("batchsend send --max-c", 2, "--max-connections"),
        ("batchsend completion z", 2, "zsh"),
    ],
)
def test_words_are_completed(words: str, last: int, expected: str) -> None:
    variables = {"_BATCHSEND_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(last)}
    result = ended(process(env=environment(**variables)))
    assert result.code == 0
    assert expected in [line.rpartition(",")[2] for line in result.output.splitlines()]


def test_the_package_runs_as_a_module() -> None:
    result = ended(process("--version"))
    kind = "compiled" if compiled() else "pure Python"
    assert (result.code, result.output) == (0, f"batchsend {__version__} ({kind})\n")
