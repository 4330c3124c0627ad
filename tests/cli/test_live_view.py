"""The live view on a real terminal: what it shows while a run goes on, and what it leaves when that ends."""

from __future__ import annotations

import json
import os
import signal
import termios
import time
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Stage
from tests.cli.commandline import WITHIN, make_campaign, outcomes, serving
from tests.cli.terminal import Terminal
from tests.delivery.harness import CountingServer, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say

if TYPE_CHECKING:
    from pathlib import Path

BAR = "━━━"
THROTTLED = b"454 4.7.0 Throttling failure: Maximum sending rate exceeded\r\n"


def rows(count: int, *others: str) -> str:
    names = [*others, *(f"r{number}" for number in range(1, count + 1))]
    return "email,name\n" + "".join(f"{name}@example.com,N\n" for name in names)


def held(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    """Refuses whose names ask for it, and falls silent at the tenth message of a session."""
    if stage is Stage.RCPT and recipient is not None:
        if recipient.startswith("gone"):
            return refuse(550, "5.1.1 no such user")
        if recipient.startswith("later"):
            return refuse(450, "4.2.0 try again later")
        if recipient.startswith("fast") and transaction < 10:
            return say(THROTTLED)
    if transaction == 10 and stage is Stage.CONTENT:
        return drop(Then.SILENCE)
    return ACCEPT


def started(folder: Path, server: CountingServer, *options: str, recipients: str = "", columns: int = 80) -> Terminal:
    """A campaign with one session on a terminal."""
    campaign = make_campaign(folder, recipients or rows(50), delivery="max_connections = 1")
    return Terminal("send", campaign, "--server", f"smtp://{server.host}:{server.port}", *options, columns=columns)


def stop(terminal: Terminal) -> int:
    """End a run that waits for a silent server."""
    terminal.running.send_signal(signal.SIGINT)
    terminal.until(lambda shown: "replies are awaited" in shown)
    terminal.running.send_signal(signal.SIGINT)
    return terminal.end()


@pytest.mark.parametrize("columns", [80, pytest.param(140, marks=pytest.mark.slow)])
def test_it_shows_where_the_run_stands(tmp_path: Path, columns: int) -> None:
    recipients = rows(30, "gone1", "gone2", "later1", "not an address")
    with (
        serving(CountingServer(held)) as server,
        started(tmp_path, server, recipients=recipients, columns=columns) as terminal,
    ):
        shown = terminal.until(lambda shown: "accepted           6" in shown and "11/100" in shown)
        assert all(len(row) < columns for row in shown)
        said = " ".join(" ".join(shown).split())
        for part in ("accepted 6", "rejected 2", "in doubt 0", "invalid 1", "suppressed 0"):
            assert part in said
        assert "1 deferred wait for another attempt" in said
        assert f"{BAR}" in said
        assert "━ 26 %" in said, "9 of 34 records have an outcome that stands"
        assert "#1 sending 11/100" in said, "the eleventh message was begun with the content of the tenth"
        assert "10 records" in said
        assert "/s overall" in said
        assert stop(terminal) == 130
        assert not any(BAR in row for row in terminal.rows), "the view is gone"
    assert "results:" in "\n".join(terminal.rows)


@pytest.mark.slow
def test_what_the_server_says_about_the_pace_stays_readable_above(tmp_path: Path) -> None:
    with (
        serving(CountingServer(held)) as server,
        started(tmp_path, server, recipients=rows(40, "fast1"), columns=140) as terminal,
    ):
        slowed = "the server said 454 4.7.0 Throttling failure: Maximum sending rate exceeded"
        shown = terminal.until(lambda shown: shown.count(slowed) == 2)
        notice, inside = [number for number, row in enumerate(shown) if slowed in row]
        bar = next(number for number, row in enumerate(shown) if BAR in row)
        assert notice < bar < inside
        assert shown[notice].startswith("batchsend: slowed to ")
        assert " since " in shown[inside]
        terminal.running.kill()


@pytest.mark.slow
def test_a_run_that_ends_leaves_its_summary_and_nothing_else(tmp_path: Path) -> None:
    with (
        serving(CountingServer(well_behaved)) as server,
        started(tmp_path, server, "--rate", "90/s") as terminal,
    ):
        terminal.until(lambda shown: BAR in shown)
        assert terminal.end() == 0
        assert terminal.rows[0].startswith("50 records in")
        assert len(terminal.rows) <= 4


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    with (
        serving(CountingServer(well_behaved)) as server,
        started(tmp_path, server, "--rate", "20/s", columns=200) as terminal,
    ):
        terminal.until(lambda shown: BAR in shown)
        terminal.running.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        shown = terminal.rows
        assert shown[0].startswith("batchsend: SIGINT: nothing new is sent")
        assert shown[-1].startswith("batchsend: to go on: batchsend resume ")
        assert not any(BAR in row for row in shown)


@pytest.mark.slow
def test_an_error_stands_at_the_end_and_not_in_the_view(tmp_path: Path) -> None:
    def refuses(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(535, "5.7.8 no") if stage is Stage.MAIL and transaction == 30 else ACCEPT

    with (
        serving(CountingServer(refuses)) as server,
        started(tmp_path, server, "--rate", "60/s", columns=300) as terminal,
    ):
        terminal.until(lambda shown: BAR in shown)
        assert terminal.end() == 3
        shown = terminal.rows
        assert not any(BAR in row for row in shown)
        assert shown[-2].endswith(" refuses to send for us at mail: 535 5.7.8 no")
        assert "`username` and `password`" in shown[-1]


@pytest.mark.slow
def test_it_follows_the_terminals_width(tmp_path: Path) -> None:
    with serving(CountingServer(held)) as server, started(tmp_path, server, columns=140) as terminal:
        terminal.until(lambda shown: "invalid            0   suppressed         0" in shown and "in doubt" in shown)
        for columns in (60, 100):
            terminal.resize(columns, 40)
            mark = len(terminal.octets)
            pictures = 0
            while pictures < 2:
                terminal.until(lambda _, mark=mark: len(terminal.octets) > mark)  # type: ignore[misc]
                mark = len(terminal.octets)
                pictures += 1
            assert sum(row.startswith("accepted") for row in terminal.rows) == 1
            assert max(len(row) for row in terminal.rows if BAR in row or "accepted" in row) < columns
        terminal.running.kill()


@pytest.mark.slow
def test_a_terminal_that_is_held_does_not_hold_the_run(tmp_path: Path) -> None:
    """Ctrl-S: who reads at leisure must not cost the sessions their time-outs."""
    with (
        serving(CountingServer(well_behaved)) as server,
        started(tmp_path, server, "--rate", "20/s") as terminal,
    ):
        terminal.until(lambda shown: BAR in shown)
        termios.tcflow(terminal.theirs, termios.TCOOFF)
        deadline = time.monotonic() + WITHIN
        while len(server.accepted) < 50:
            assert time.monotonic() < deadline, "the run waits for its terminal"
            os.sched_yield()
        termios.tcflow(terminal.theirs, termios.TCOON)
        assert terminal.end() == 0
        assert terminal.rows[0].startswith("50 records in")


@pytest.mark.slow
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(tmp_path: Path) -> None:
    campaign = make_campaign(tmp_path)
    with (
        serving(CountingServer(well_behaved)) as server,
        Terminal(
            "send", campaign, "--server", f"smtp://{server.host}:{server.port}", "--rate", "5/s", TERM="dumb"
        ) as terminal,
    ):
        assert terminal.end() == 0
        assert b"\x1b" not in terminal.octets


@pytest.mark.slow
def test_json_on_a_terminal_is_not_disturbed(tmp_path: Path) -> None:
    campaign = make_campaign(tmp_path)
    with serving(CountingServer(well_behaved)) as server:
        options = ("--server", f"smtp://{server.host}:{server.port}", "--rate", "5/s", "--log-format", "json")
        with Terminal("send", campaign, *options, columns=400) as terminal:
            assert terminal.end() == 0
            assert [json.loads(row)["event"] for row in terminal.rows] == ["end"]
            assert b"\x1b" not in terminal.octets
    assert len(outcomes(tmp_path / "results.jsonl")) == 3
