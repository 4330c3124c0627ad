"""A run as a service: started again by the same line, heard by its manager, quiet, and with errors for programs."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from batchsend.cli.service import ServiceManager
from tests.cli.commandline import Ended, complaint, ended, environment, invoke, make_campaign, process, serving
from tests.cli.test_cli_control import Relay, campaign, changes, until
from tests.cli.test_metrics import scrape

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def relay() -> Iterator[Relay]:
    with serving(Relay()) as relay:
        yield relay


@contextmanager
def running(*arguments: str | Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command under way, which is killed where the test has not ended it."""
    started = process(*arguments, env=environment(**variables))
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def killed(relay: Relay, *arguments: str | Path) -> None:
    """Start a command, and kill it after some messages more."""
    before = len(relay.accepted)
    with running(*arguments) as started:
        until(lambda: len(relay.accepted) > before + 5, "it sends")
        started.kill()


@pytest.mark.slow
def test_the_same_line_begins_a_run_and_goes_on_with_it_after_each_kill(tmp_path: Path, relay: Relay) -> None:
    line = ("send", campaign(tmp_path, relay, 120, 'rate = "150/s"\nmax_connections = 2'), "--resume", "--no-progress")
    killed(relay, *line)
    killed(relay, *line)
    result = ended(process(*line))
    last = ended(process(*line))
    taken = Counter(message.recipients[0] for message in relay.accepted)
    assert max(taken.values()) == 1
    in_doubt = 120 - len(taken)
    assert result.code in (0, 1), result
    assert "going on with run" in result.errors
    assert 0 <= in_doubt <= 6, "what was in flight when it was killed may be in doubt, and nothing else is missing"
    assert last.code == result.code, "a run that is done is done"
    assert len(relay.accepted) == sum(taken.values())


@pytest.mark.slow
def test_a_pause_outlives_a_kill_and_so_does_a_rate(
    tmp_path: Path, relay: Relay, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "results.jsonl"
    line = ("send", campaign(tmp_path, relay, 60, "max_connections = 2"), "--resume", "--rate", "40/s", "--no-progress")

    def control(*what: str) -> Ended:
        return invoke(capsys, "control", log, *what)

    with running(*line) as first:
        until(lambda: len(relay.accepted) > 3, "it sends")
        assert control("rate", "30/s").code == 0
        assert control("pause").code == 0
        until(lambda: json.loads(control("status", "--json").output)["sessions"] == 0, "idle sessions are closed")
        first.kill()
    taken = len(relay.accepted)
    with running(*line) as second:
        said = second.stderr
        assert said is not None
        until(lambda: "the run was paused, and stays so; to go on: batchsend control" in said.readline(), "said")
        until(lambda: control("status").code == 0, "it can be controlled")
        status = json.loads(control("status", "--json").output)
        assert (status["state"], status["rate"], status["sessions"]) == ("paused", "30/s", 0)
        assert len(relay.accepted) == taken
        assert control("continue").code == 0
        assert ended(second).code == 0
    assert Counter(message.recipients[0] for message in relay.accepted).most_common(1)[0][1] == 1
    assert [change for change in changes(log) if change["by"] == "resume"] == [
        {"rate": "30/s", "by": "resume"},
        {"paused": True, "by": "resume"},
    ]


def test_it_does_not_go_on_with_what_is_not_its_own(
    tmp_path: Path, relay: Relay, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(process("send", campaign(tmp_path, relay, 3, ""), "--no-progress")).code == 0
    other = tmp_path / "other.toml"
    other.write_text((tmp_path / "campaign.toml").read_text())
    assert "holds the results of another campaign" in complaint(invoke(capsys, "send", other, "--resume"))
    limited = invoke(capsys, "send", tmp_path / "campaign.toml", "--resume", "--limit", "1")
    assert "--resume excludes --to, --limit and --no-spool" in complaint(limited)
    assert len(relay.accepted) == 3


@pytest.mark.parametrize("kind", ["path", pytest.param("abstract", marks=pytest.mark.slow)])
def test_the_manager_is_told_that_it_is_ready_alive_and_stopping(kind: str, tmp_path: Path, relay: Relay) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"\0batchsend-test-{tmp_path.name}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(20)
        line = ("send", campaign(tmp_path, relay, 4000, 'rate = "100/s"'), "--no-progress")
        variables = {"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "200000"}
        with running(*line, **variables) as started:
            assert manager.recv(4096).split(b"\n")[0] == b"READY=1"
            assert (tmp_path / "results.jsonl").stat().st_size > 0, "its account is open by then"
            assert [manager.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            started.send_signal(signal.SIGTERM)
            while (told := manager.recv(4096)) == b"WATCHDOG=1":
                pass
            assert told == b"STOPPING=1"
            assert ended(started).code == 143


def test_whoever_is_no_manager_is_told_nothing() -> None:
    for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "relative"}):
        assert not ServiceManager(dict(environ))
    other = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    manager = ServiceManager(other)
    assert manager.watchdog is None, "the watchdog is another process's"
    assert other == {}, "a program that it starts is not the service"
    manager.tell("READY=1")


@pytest.mark.slow
def test_a_manager_that_has_gone_ends_no_run(tmp_path: Path, relay: Relay) -> None:
    env = environment(NOTIFY_SOCKET=str(tmp_path / "gone"), WATCHDOG_USEC="1000000")
    assert ended(process("send", campaign(tmp_path, relay, 3, ""), "--quiet", env=env)).code == 0


@pytest.mark.slow
def test_quiet_says_nothing_but_errors(tmp_path: Path, relay: Relay, capsys: pytest.CaptureFixture[str]) -> None:
    path = campaign(tmp_path, relay, 3, "")
    assert ended(process("send", path, "--quiet")) == Ended(0, "", "")
    assert "already holds the results of a run" in complaint(invoke(capsys, "send", path, "--quiet"))
    assert json.loads(ended(process("send", path, "--quiet", "--json", "--resume")).output)["records"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["send", "absent.toml", "--log-format", "json"], "there is no such file"),
        (["send", "--log-format=json"], "Missing argument"),
        (["send", "--bogus", "--log-format", "json", "campaign.toml"], "No such option"),
        (["sned", "campaign.toml", "--log-format", "json"], "no such command"),
        (["resume", "absent.jsonl", "--log-format", "json", "--rate"], "requires an argument"),
    ],
)
def test_every_error_is_an_object_where_that_is_asked_for(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = invoke(capsys, *arguments)
    assert result.code == 2
    (line,) = result.errors.splitlines()
    told = json.loads(line)
    assert (told["level"], told["event"]) == ("error", "error")
    assert says in told["message"]


def test_even_one_that_nobody_has_foreseen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("batchsend.cli.send.load", broken)
    result = invoke(capsys, "send", make_campaign(tmp_path), "--log-format", "json")
    told = json.loads(result.errors)
    assert told["message"] == "internal error: ZeroDivisionError: by nought"
    assert "Traceback" in told["traceback"]
    with pytest.raises(ZeroDivisionError):
        invoke(capsys, "send", make_campaign(tmp_path))


@pytest.mark.parametrize("address", ["127.0.0.2", pytest.param("[::1]", marks=pytest.mark.slow)])
def test_metrics_are_served_where_that_is_asked_for(address: str, tmp_path: Path, relay: Relay) -> None:
    line = ("send", campaign(tmp_path, relay, 4000, 'rate = "50/s"'), "--metrics", f"{address}:0")
    with running(*line) as started:
        assert started.stderr is not None
        said = started.stderr.readline()
        assert said.startswith(f"batchsend: metrics: http://{address}:"), said
        assert scrape(said.split()[-1])["process_resident_memory_bytes", ""] > 0


@pytest.mark.parametrize("place", ["9464", "localhost:9464", "127.0.0.1:", "127.0.0.1:70000", "::1:x", ":9464"])
def test_what_is_no_address_for_metrics(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected an IP address and a port" in complaint(
        invoke(capsys, "send", make_campaign(tmp_path), "--metrics", place)
    )
