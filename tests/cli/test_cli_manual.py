"""The manual: its pages, the page for man(1), and the shells' completion, made from the commands themselves."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import click
import pytest

from batchsend.campaign.reference import reference
from batchsend.cli import batchsend
from batchsend.cli.manual import plain, subjects
from batchsend.cli.roff import Page
from batchsend.outcome import DeliveryResult
from batchsend.version import __version__, compiled
from tests.cli.commandline import ROOT, WITHIN, complaint, ended, invoke, process
from tests.cli.terminal import Terminal
from tests.servers.requirements import program

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def man_page(capsys: Capture) -> str:
    result = invoke(capsys, "manual", "--man")
    assert (result.code, result.errors) == (0, "")
    return result.output


def read_by_man(page: str) -> str:
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


def test_without_a_subject_the_subjects_are_listed(capsys: Capture) -> None:
    listed = invoke(capsys, "manual")
    assert listed.code == 0
    pages = {path.stem for path in (ROOT / "batchsend" / "manual").glob("*.md")} - {"README"}
    assert set(subjects()) == pages, "every page is in the index, and every entry of the index is a page"
    for subject, about in subjects().items():
        assert re.search(rf"^  {subject} +{re.escape(about)}$", listed.output, re.MULTILINE)


@pytest.mark.parametrize("subject", subjects())
def test_a_page_in_a_pipe_is_plain(capsys: Capture, subject: str) -> None:
    page = invoke(capsys, "manual", subject)
    assert (page.code, page.errors) == (0, "")
    assert page.output.startswith("# ")
    prose = re.sub(r"^```.*?^```|`[^`\n]+`", "", page.output, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"<!--|</?picture|\]\((?!https:)|\x1b", prose), "nothing that only a browser can show"


def test_a_link_to_another_page_names_the_command() -> None:
    text = (
        "See [resuming](resuming.md), [what is certain](resuming.md#what-is-certain), [`a.py`](../../samples/a.py).\n"
    )
    assert plain(f"<!-- checked -->\n![A picture](../x.png)\n\n{text}") == (
        "See resuming, what is certain (batchsend manual resuming), `a.py`.\n"
    )


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("campain", "did you mean campaign?"),
        ("resume", "resume is part of: batchsend manual resuming"),
        ("DKIM", "DKIM is part of: batchsend manual messages"),
        ("xyzzy", "the subjects are campaign, lists,"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(capsys: Capture, word: str, meant: str) -> None:
    told = complaint(invoke(capsys, "manual", word))
    assert "the manual has no page about" in told
    assert meant in told


def test_a_page_on_a_terminal_is_rendered_and_paged(tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nprintf 'paged\\n'\ncat\n")
    pager.chmod(0o700)
    with Terminal("manual", "resuming", columns=90, rows=200, PAGER=str(pager)) as terminal:
        assert terminal.end() == 0
        shown = "\n".join(terminal.rows)
    assert "paged" in shown
    assert "Resuming: continuing after an interruption" in shown
    assert "# Resuming" not in shown
    assert "| --- |" not in shown


def test_man_has_no_subject(capsys: Capture) -> None:
    told = complaint(invoke(capsys, "manual", "lists", "--man"))
    assert "--man is one page about everything" in told
    assert "leave the subject out" in told


def test_man_finds_nothing_to_complain_of(capsys: Capture) -> None:
    lint = subprocess.run(
        [program("mandoc"), "-Tlint", "-Wwarning"], input=man_page(capsys), capture_output=True, text=True, check=False
    )
    complaints = [line for line in lint.stdout.splitlines() if "missing date" not in line]
    assert complaints == []


def test_the_page_for_man_has_every_command_option_key_and_field(capsys: Capture) -> None:
    page = read_by_man(man_page(capsys))
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
        ("batchsend manual res", 2, "resuming"),
    ],
)
def test_words_are_completed(
    words: str, last: int, expected: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"_BATCHSEND_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(last)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = invoke(capsys)
    assert result.code == 0
    assert expected in [line.rpartition(",")[2] for line in result.output.splitlines()]


def test_the_package_runs_as_a_module() -> None:
    result = ended(process("--version"))
    kind = "compiled" if compiled() else "pure Python"
    assert (result.code, result.output) == (0, f"batchsend {__version__} ({kind})\n")
