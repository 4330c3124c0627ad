"""``batchsend preview`` on a terminal: from record to record by keys; and in a browser."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.cli.commandline import complaint, ended, environment, invoke, make_campaign, process
from tests.cli.terminal import Terminal

ROWS = "email,name\nada@example.com,Ada\nnobody,No\nzoe@example.com,Zoë\n"
HTML = 'html = "<h1>Dear {{ name }}</h1><script>alert(1)</script>"'


def asked(record: int) -> str:
    return f"record {record}: n next"


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """A browser that writes down what it is to show."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    script.chmod(0o700)
    return script


def test_keys_go_from_record_to_record(tmp_path: Path) -> None:
    with Terminal("preview", make_campaign(tmp_path, ROWS, message=HTML), rows=100) as terminal:
        terminal.until(lambda shown: asked(1) in shown)
        assert any("Subject: For Ada" in row for row in terminal.rows)
        assert any(row.strip() == "Dear Ada" for row in terminal.rows), "the HTML is rendered"
        terminal.press("n")
        terminal.until(lambda shown: "record 2 (line 3) is invalid" in shown and asked(2) in shown)
        terminal.press("n")
        terminal.until(lambda shown: "Subject: For Zoë" in shown and asked(3) in shown)
        terminal.press("n")
        terminal.until(lambda shown: "3 records, and no record 4" in shown and shown.count(asked(3)) == 2)
        terminal.press("x?1")
        terminal.press("5\x7f\r")
        terminal.until(lambda shown: shown.count("Subject: For Ada") == 2 and shown.count(asked(1)) == 2)
        terminal.press("p")
        terminal.until(lambda shown: shown.count("Subject: For Ada") == 3 and shown.count(asked(1)) == 3)
        terminal.press("q")
        assert terminal.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("key", ["\x04", "\x1b"])
def test_there_is_a_way_out(tmp_path: Path, key: str) -> None:
    with Terminal("preview", make_campaign(tmp_path)) as terminal:
        terminal.until(lambda shown: asked(1) in shown)
        terminal.press(key)
        assert terminal.end() == 0
        assert terminal.echoes


@pytest.mark.slow
def test_an_interrupt_is_one_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    with Terminal("preview", make_campaign(tmp_path)) as terminal:
        terminal.until(lambda shown: asked(1) in shown)
        assert not terminal.echoes
        terminal.running.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert "Traceback" not in "\n".join(terminal.rows)
        assert terminal.echoes


@pytest.mark.slow
def test_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    with Terminal("preview", make_campaign(tmp_path, message=HTML), NO_COLOR="1") as terminal:
        terminal.until(lambda shown: asked(1) in shown)
        terminal.press("q")
        terminal.end()
        assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", terminal.octets)


@pytest.mark.slow
def test_a_key_shows_the_record_in_the_browser(tmp_path: Path, browser: Path) -> None:
    campaign = make_campaign(tmp_path, ROWS, message=HTML)
    with Terminal("preview", campaign, columns=200, BROWSER=str(browser), TMPDIR=str(tmp_path)) as terminal:
        terminal.until(lambda shown: asked(1) in shown)
        terminal.press("3\ro")
        terminal.until(lambda shown: f"opened {tmp_path}" in shown)
        terminal.press("q")
        assert terminal.end() == 0
    page = Path((tmp_path / "opened").read_text().strip().removeprefix("file://"))
    assert "Dear Zoë" in page.read_text()


def test_open_writes_a_page_and_starts_the_browser(tmp_path: Path, browser: Path) -> None:
    campaign = make_campaign(tmp_path, ROWS, message=HTML)
    env = environment(BROWSER=str(browser), TMPDIR=str(tmp_path))
    result = ended(process("preview", campaign, "--record", "3", "--open", env=env))
    assert result.code == 0, result
    page = Path((tmp_path / "opened").read_text().strip().removeprefix("file://"))
    assert result.output == f"opened {page}\n"
    assert page.stat().st_mode & 0o077 == 0, "a letter is nobody else's to read"
    text = page.read_text()
    assert "<dt>Subject</dt><dd>For Zoë</dd>" in text
    assert "&lt;h1&gt;Dear Zoë&lt;/h1&gt;" in text


def test_open_without_a_browser_says_what_to_do(tmp_path: Path) -> None:
    env = environment(BROWSER="/bin/false", TMPDIR=str(tmp_path), PATH=str(tmp_path))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        env.pop(name, None)
    said = complaint(ended(process("preview", make_campaign(tmp_path), "--open", env=env)))
    assert "there is no browser that could be started" in said
    assert "BROWSER" in said


def test_open_without_a_place_for_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no such folder"))
    said = complaint(invoke(capsys, "preview", make_campaign(tmp_path), "--open"))
    assert "the page cannot be written: No such file or directory" in said
    assert "TMPDIR" in said


def test_in_a_pipe_it_is_the_record_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = invoke(capsys, "preview", make_campaign(tmp_path, ROWS), "--record", "3")
    assert result.code == 0
    assert "\x1b" not in result.output
    assert "next" not in result.output
    assert "Subject: For Zoë" in result.output
