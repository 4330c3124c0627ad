"""``batchsend control``: what is changed in mid-run by socket and by key, in the log and at the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from batchsend import Stage
from batchsend.cli.control import lines
from batchsend.control.place import socket_path
from batchsend.control.protocol import ControlAnswer
from tests.cli.commandline import WITHIN, ended, invoke, make_campaign, process, serving, statuses
from tests.cli.terminal import Terminal
from tests.delivery.harness import CountingServer
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.commandline import Ended


class Relay(CountingServer):
    """Takes everything, and knows when.

    Attributes:
        times: When each message was begun, on the monotonic clock.
    """

    def __init__(self) -> None:
        super().__init__(self._decide)
        self.times: list[float] = []

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if stage is Stage.MAIL:
            self.times.append(time.monotonic())
        return ACCEPT


@pytest.fixture
def relay() -> Iterator[Relay]:
    with serving(Relay()) as relay:
        yield relay


def campaign(folder: Path, relay: Relay, count: int, delivery: str) -> Path:
    rows = "".join(f"r{number}@example.com,N\n" for number in range(1, count + 1))
    path = make_campaign(folder, f"email,name\n{rows}", server=f'port = {relay.port}\ntls = "none"', delivery=delivery)
    path.write_text(path.read_text().replace("smtp.example.com", relay.host))
    return path


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {what}"
        os.sched_yield()


@contextmanager
def started(folder: Path, relay: Relay, *options: str, count: int = 400, rate: str = "40/s") -> Iterator[Running]:
    path = campaign(folder, relay, count, f'rate = "{rate}"\nmax_connections = 2')
    log = folder / "results.jsonl"
    running = process("send", path, "--no-progress", *options)
    try:
        until(lambda: len(relay.times) > 2, "it sends")
        yield Running(running, log)
    finally:
        running.kill()
        running.communicate()


class Running(NamedTuple):
    """A run under way: its process and its log."""

    process: subprocess.Popen[str]
    log: Path


def changes(log: Path) -> list[dict[str, Any]]:
    """What a log says was changed."""
    runs = [line["run"] for line in map(json.loads, log.read_text().splitlines()) if "run" in line]
    return [{**run["change"], "by": run["by"]} for run in runs if "changed" in run]


@pytest.fixture
def control(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ended]:
    return lambda *arguments: invoke(capsys, "control", tmp_path / "results.jsonl", *arguments)


def test_pause_continue_and_stop(tmp_path: Path, relay: Relay, control: Callable[..., Ended]) -> None:
    with started(tmp_path, relay) as run:
        status = json.loads(control("status", "--json").output)
        assert (status["ok"], status["state"], status["rate"], status["max_connections"]) == (
            True,
            "sending",
            "40/s",
            2,
        )
        assert (status["sessions_allowed"], status["spare"], status["retiring"]) == (2, 0, 0)
        assert control("pause").output.startswith("paused: nothing new is begun, and what was begun is finished")
        until(lambda: json.loads(control("status", "--json").output)["sessions"] == 0, "idle sessions are closed")
        taken = len(relay.accepted)
        assert all(line == "accepted" for line in statuses(run.log).values())
        assert len(statuses(run.log)) == taken == len(relay.times), "what was begun is finished, and nothing is begun"
        assert "it is paused already" in control("pause").output
        assert control("continue").output.startswith("sending: it goes on")
        until(lambda: len(relay.accepted) > taken + 3, "it goes on")
        assert control("stop").code == 0
        result = ended(run.process)
        assert result.code == 3, result
        assert "stopped by batchsend control; to go on: batchsend resume" in result.errors
        assert changes(run.log) == [{"paused": True, "by": "control"}, {"paused": False, "by": "control"}]
        assert len(statuses(run.log)) == len(relay.accepted)
        assert not socket_path(run.log).exists()
        assert "no run is under way on it" in control("status").errors


@pytest.mark.slow
def test_rate_and_connections_at_the_server_and_in_the_log(
    tmp_path: Path, relay: Relay, control: Callable[..., Ended]
) -> None:
    with started(tmp_path, relay, count=2500) as run:
        before = len(relay.times)
        assert control("rate", "2000/s").code == 0
        until(lambda: len(relay.times) > before + 500, "it is faster")
        assert control("connections", "5").code == 0
        until(lambda: json.loads(control("status", "--json").output)["sessions"] >= 4, "more sessions")
        until(lambda: relay.open_now >= 4, "the server has them, too")
        assert control("connections", "1").code == 0
        until(lambda: json.loads(control("status", "--json").output)["sessions"] == 1, "one session")
        until(lambda: relay.open_now == 1, "of which the server has one")
        assert control("rate", "6/min").code == 0
        assert "6/min at most; 1 of 1 session" in control("status").output
        assert changes(run.log) == [
            {"rate": "2000/s", "by": "control"},
            {"max_connections": 5, "by": "control"},
            {"max_connections": 1, "by": "control"},
            {"rate": "6/min", "by": "control"},
        ]
        run.process.kill()
        run.process.communicate()
        assert "no run is under way on it" in control("status").errors, "what a kill has left is no run"
        result = ended(process("resume", run.log, "--rate", "2000/s", "--limit", "1", "--no-progress"))
        assert "--max-connections 1 --rate 2000/s" in result.errors, "the command line's word is the last one"


def test_what_a_run_cannot_be_told(tmp_path: Path, control: Callable[..., Ended]) -> None:
    (tmp_path / "results.jsonl").touch()
    assert "did you mean pause" in control("puase").errors
    assert "rate fast: a rate such as 100/s" in control("rate", "fast").errors
    unsaid = control("connections")
    assert "connections needs a value" in unsaid.errors
    assert f"such as: batchsend control {tmp_path / 'results.jsonl'} connections 3" in unsaid.errors
    assert "pause has no value" in control("pause", "now").errors
    refused = control("status")
    assert refused.code == 2
    assert "no run is under way on it, or it runs with --no-control" in refused.errors
    assert f"batchsend report {tmp_path / 'results.jsonl'}" in refused.errors


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"sessions": 2, "sessions_allowed": 3, "spare": 0, "retiring": 0}, "2 of 3 sessions"),
        (
            {"sessions": 4, "sessions_allowed": 3, "spare": 0, "retiring": 1},
            "3 of 3 sessions, and 1 that ends with the replies still to come",
        ),
        (
            {"sessions": 6, "sessions_allowed": 3, "spare": 1, "retiring": 2},
            "3 of 3 sessions, and 2 that end with the replies still to come, and 1 that will take over from another",
        ),
        ({"sessions": 6, "sessions_allowed": 6, "spare": 0, "retiring": 0}, "6 of 6 sessions"),
        ({"sessions": 1}, "1 of 3 sessions"),  # of a run that an earlier version has begun
    ],
)
def test_sessions_that_take_turns_are_not_more_than_there_may_be(status: dict[str, int], said: str) -> None:
    of_a_run = {"state": "sending", "records": 9, "progress": None, "rate": None, "closed_until": None}
    answer = ControlAnswer(
        ok=True,
        message="the run is under way",
        status={**of_a_run, "max_connections": 3, "accepted_per_second": 5.0, **status},
    )
    assert list(lines(answer))[-1] == f"  5/s accepted, no limit; {said}"


@pytest.mark.slow
def test_without_control_there_is_no_socket(tmp_path: Path, relay: Relay, control: Callable[..., Ended]) -> None:
    with started(tmp_path, relay, "--no-control") as run:
        assert not socket_path(run.log).exists()
        assert control("status").code == 2


@pytest.mark.slow
def test_the_keys_of_the_live_view_do_the_same(tmp_path: Path, relay: Relay) -> None:
    path = campaign(tmp_path, relay, 400, 'rate = "40/s"\nmax_connections = 2')
    log = tmp_path / "results.jsonl"
    with Terminal("send", path, columns=140) as terminal:
        terminal.until(lambda shown: "p pause · + - faster, slower · q stop" in shown)
        echoes = [terminal.echoes]
        terminal.press("p")
        terminal.until(lambda shown: "paused" in shown and "p to go on" in shown)
        until(lambda: relay.open_now == 0, "the sessions are closed")
        taken = len(relay.times)
        assert taken == len(relay.accepted)
        terminal.press("p")
        terminal.until(lambda shown: "p pause" in shown)
        until(lambda: len(relay.times) > taken, "it goes on")
        terminal.press("+")
        terminal.until(lambda shown: "limited to 50/s" in shown)
        terminal.press("-")
        terminal.until(lambda shown: "limited to 40/s" in shown)
        terminal.press("q")
        assert terminal.end() == 3
        assert [*echoes, terminal.echoes] == [False, True], "the terminal is as it was"
    assert changes(log) == [
        {"paused": True, "by": "key"},
        {"paused": False, "by": "key"},
        {"rate": "50/s", "by": "key"},
        {"rate": "40/s", "by": "key"},
    ]


@pytest.mark.slow
def test_keys_change_the_sessions_where_there_is_no_rate(tmp_path: Path, relay: Relay) -> None:
    path = campaign(tmp_path, relay, 40_000, "max_connections = 2\nprocesses = 1")
    with Terminal("send", path, columns=140) as terminal:
        terminal.until(lambda shown: "q stop" in shown)
        until(lambda: relay.open_now >= 2, "two sessions")
        terminal.press("-")
        until(lambda: relay.open_now == 1, "one session")
        for _ in range(4):
            terminal.press("+")
        until(lambda: relay.open_now >= 4, "more sessions")
        terminal.press("q")
        assert terminal.end() == 3
    assert [change["max_connections"] for change in changes(tmp_path / "results.jsonl")] == [1, 2, 3, 4, 5]
    assert {change["by"] for change in changes(tmp_path / "results.jsonl")} == {"key"}


def test_a_terminal_is_as_it_was_after_a_signal(tmp_path: Path, relay: Relay) -> None:
    path = campaign(tmp_path, relay, 400, 'rate = "40/s"')
    with Terminal("send", path, columns=140) as terminal:
        terminal.until(lambda shown: "q stop" in shown)
        terminal.running.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert terminal.echoes
