"""``batchsend report``: from a results log to the terminal, a page, a table, an object."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Outcome
from tests.cli.commandline import SAMPLES, Ended, complaint, ended, environment, invoke, process, statuses
from tests.cli.terminal import shown_on
from tests.report.logs import begin, end, everything, outcome, rejected, write

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path, *everything())


def test_a_run_in_the_sandbox_is_reported_as_it_was(tmp_path: Path, capsys: Capture) -> None:
    log = tmp_path / "results.jsonl"
    sent = invoke(capsys, "send", SAMPLES / "statuses" / "campaign.toml", "--sandbox", "--json", "--results", log)
    reported = invoke(capsys, "report", log, "--json")
    assert (reported.code, reported.errors) == (0, "")
    summary, report = json.loads(sent.output), json.loads(reported.output)
    same = ("records", *Outcome, "sessions", "stopped", "learned", "results")
    assert {name: report[name] for name in same} == {name: summary[name] for name in same}
    assert report["elapsed"] == pytest.approx(summary["elapsed"], abs=1)
    assert {failure["cause"] for failure in report["failures"]} == {
        *("Unknown mailbox", "Greylisted", "In doubt", "Invalid record"),
    }


def test_the_terminal_says_what_became_of_it(log: Path, capsys: Capture) -> None:
    reported = invoke(capsys, "report", log)
    assert (reported.code, reported.errors) == (0, "")
    for said in (
        *("/campaigns/spring/campaign.toml → smtp.example.com:587", "in 2 runs · complete"),
        *("139 records in 25.0 s (5.6/s, at most 10/s) over 10 sessions", "accepted    124  89.2 %"),
        *("in doubt      1", "median 30 ms", "143, 6 retries; accepted after 1 attempt 120 · 2 attempts 4"),
        *("10, 1 to 20 messages each, the median 19", "max_messages = 20, rate = 40.5", "Take them off the list"),
        *("10  550 5.1.1 <…@…>: User unknown", "gone.example.net       10       0 %      10  Unknown mailbox"),
        "124  250 2.0.0 Ok: queued as #",
    ):
        assert said in reported.output, reported.output


def test_a_pipe_gets_plain_text(log: Path) -> None:
    piped = ended(process("report", log))
    assert (piped.code, piped.errors) == (0, "")
    assert "\x1b" not in piped.output
    assert not any(line != line.rstrip() for line in piped.output.splitlines())
    narrow = ended(process("report", log, env=environment(COLUMNS="60")))
    assert max(len(line) for line in narrow.output.splitlines()) <= 60


def on_terminal(columns: int, *arguments: str | Path, **variables: str) -> str:
    """What a command shows on a terminal of this width."""
    ours, theirs = pty.openpty()
    env = environment(COLUMNS=str(columns), TERM="xterm-256color", **variables)
    running = subprocess.Popen([sys.executable, "-m", "batchsend", *map(str, arguments)], stdout=theirs, env=env)
    os.close(theirs)
    shown = shown_on(ours)
    assert running.wait() == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_is_filled_and_not_overrun(log: Path, columns: int) -> None:
    shown = on_terminal(columns, "report", log, NO_COLOR="1")
    widths = [len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).split("\n")]
    assert max(widths) <= columns
    assert "Unknown mailbox" in shown


def test_colours_are_for_terminals_that_want_them(log: Path) -> None:
    assert "\x1b[32m" in on_terminal(80, "report", log)
    assert "\x1b[3" not in on_terminal(80, "report", log, NO_COLOR="1")


def test_what_others_have_written_does_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    escape = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]:bomb:\u202e"
    lines = [
        begin(campaign=f"/{escape}/campaign.toml"),
        rejected(1, reply=escape, reason=escape, enhanced=escape, recipient=f"a@{escape}"),
        outcome(2, reply=escape),
        end(stopped=escape, learned={escape: 1}),
    ]
    shown = on_terminal(140, "report", write(tmp_path, *lines), NO_COLOR="1")
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown
    assert {"\x07", "\x9b", "\u202e"}.isdisjoint(shown)
    assert "\\x1b[2J\\x9b31m[red]:bomb:" in shown


def test_a_page_and_a_table_are_written(log: Path, tmp_path: Path, capsys: Capture) -> None:
    page, table = tmp_path / "report.html", tmp_path / "table.csv"
    reported = invoke(capsys, "report", log, "--html", page, "--csv", table)
    assert (reported.code, reported.errors) == (0, "")
    assert "139 records" in reported.output
    assert page.read_text().startswith("<!doctype html>")
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"), newline="")))
    assert {int(row["record"]): row["status"] for row in rows} == statuses(log)
    assert page.stat().st_mode == table.stat().st_mode == log.stat().st_mode


def test_one_of_them_may_be_standard_output(log: Path) -> None:
    page, table = ended(process("report", log, "--html", "-")), ended(process("report", log, "--csv", "-"))
    assert page.output.startswith("<!doctype html>")
    assert page.output.endswith("</html>\n")
    assert table.output.startswith('\ufeff"record","recipient"')
    assert (page.errors, table.errors) == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report"], "RESULTS"),
        (["report", "{folder}/nowhere.jsonl"], "cannot be opened"),
        (["report", "{folder}"], "cannot be opened"),
        (["report", "{folder}/list.csv"], "does not begin with the line of a run"),
        (["report", "{log}", "--html", "{log}"], "the results log itself"),
        (["report", "{log}", "--csv", "{log}"], "the results log itself"),
        (["report", "{log}", "--html", "{folder}/no/such.html"], "cannot be written"),
        (["report", "{log}", "--html", "-", "--json"], "--html and --json"),
        (["report", "{log}", "--html", "{folder}/one", "--csv", "{folder}/one"], "--html and --csv"),
        (["report", "{log}", "--xml", "x"], "--xml"),
    ],
)
def test_what_cannot_be_reported(log: Path, tmp_path: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    (tmp_path / "list.csv").write_text("email\na@example.com\n")
    before = log.read_bytes()
    given = [argument.format(log=log, folder=tmp_path) for argument in arguments]
    result: Ended = invoke(capsys, *given)
    assert said in complaint(result)
    assert log.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"results.jsonl", "list.csv"}
