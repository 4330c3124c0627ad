"""What is said on standard error where nobody watches: plain lines now and then, or JSON objects for programs."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import batchsend
from batchsend import Batch
from batchsend.cli import progress
from batchsend.cli.console import Console
from batchsend.outcome import Outcome
from tests.cli.commandline import (
    WITHIN,
    Ended,
    ended,
    environment,
    invoke,
    make_campaign,
    process,
    serving,
    statuses,
)
from tests.cli.test_cli_process import wait_until
from tests.delivery.harness import GUARD, CountingServer, well_behaved

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TWENTY_THOUSAND = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(20_000))


def events(result: Ended) -> list[dict[str, Any]]:
    """Standard error, every line of which must be an event."""
    told = [json.loads(line) for line in result.errors.splitlines()]
    for event in told:
        assert RFC_3339.fullmatch(event["time"])
        assert event["level"] in ("info", "warning", "error")
        assert list(event)[:3] == ["time", "level", "event"]
    return told


def url(server: CountingServer) -> str:
    return f"smtp://{server.host}:{server.port}"


async def told_while_running(folder: Path, console: Console) -> None:
    """Run a batch, and tell of its progress every few milliseconds."""
    recipients = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(40)) + "nobody,N\n"
    campaign = make_campaign(folder, recipients, delivery='rate = "200/s"', server='tls = "none"')
    async with CountingServer(well_behaved) as server:
        overrides = batchsend.campaign.Overrides(server=url(server))
        batch = Batch(batchsend.load(campaign, overrides=overrides))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: progress.tell(batch, console, every=0.02))
            with anyio.fail_after(GUARD):
                await batch.run()
            tasks.cancel_scope.cancel()


async def test_lines_say_how_far_it_has_come(tmp_path: Path, capsys: Capture) -> None:
    await told_while_running(tmp_path, Console())
    lines = capsys.readouterr().err.splitlines()
    while lines[0].startswith("batchsend: 0 records"):
        lines.pop(0)  # nothing of the list was read yet: how much that is of it is not known
    assert len(lines) > 3
    for line in lines:
        assert re.fullmatch(r"batchsend: \d+ % · \d+ records? · \d+/s · accepted \d+.*", line), line
    done = [int(line.split()[1]) for line in lines]
    assert done == sorted(done)
    assert done[0] < 50, "what was read and not sent is not done"


async def test_json_says_the_same_in_fields(tmp_path: Path, capsys: Capture) -> None:
    console = Console()
    console.as_json = True
    await told_while_running(tmp_path, console)
    told = events(Ended(0, "", capsys.readouterr().err))
    assert {event["event"] for event in told} == {"progress"}
    last = told[-1]
    assert last["records"] == last["waiting"] + sum(last[outcome.value] for outcome in Outcome)
    assert 0.0 < last["progress"] <= 1.0
    assert set(last) >= {"rate", "elapsed", "left", "sessions", "slowdown"}


def test_a_short_run_says_nothing_of_its_progress(tmp_path: Path, capsys: Capture) -> None:
    with serving(CountingServer(well_behaved)) as server:
        result = invoke(capsys, "send", make_campaign(tmp_path), "--server", url(server), "--rate", "20/s")
    assert result.errors.startswith("3 records in"), "the summary comes first"


def test_a_run_in_json_from_notice_to_end(tmp_path: Path) -> None:
    with serving(CountingServer(well_behaved)) as server:
        campaign = make_campaign(tmp_path, TWENTY_THOUSAND)
        running = process("send", campaign, "--server", url(server), "--log-format", "json", "--metrics-port", "0")
        assert running.stderr is not None
        first = running.stderr.readline()
        wait_until(lambda: len(server.accepted) > 0)
        running.send_signal(signal.SIGTERM)
        result = ended(running)
    assert result.code == 143
    assert result.output == ""
    told = events(Ended(143, "", first + result.errors))
    assert [(event["level"], event["event"]) for event in told] == [
        ("warning", "notice"),
        ("warning", "notice"),
        ("info", "end"),
        ("warning", "notice"),
    ]
    assert told[1]["message"].startswith("SIGTERM: nothing new is sent")
    assert told[2]["stopped"] == "stopped by SIGTERM"
    assert told[3]["message"].startswith("to go on: batchsend resume ")


def test_the_summary_on_standard_output_stays_alone_there(tmp_path: Path, capsys: Capture) -> None:
    with serving(CountingServer(well_behaved)) as server:
        options = ("--server", url(server), "--log-format", "json", "--json")
        result = invoke(capsys, "send", make_campaign(tmp_path), *options)
    summary = json.loads(result.output)
    (end,) = events(result)
    assert {name: end[name] for name in summary} == summary
    assert summary["accepted"] == 3


def test_the_end_says_in_json_what_it_says_in_text(tmp_path: Path, capsys: Capture) -> None:
    options = ("--log-format", "json", "--results")
    (sent,) = events(invoke(capsys, "send", make_campaign(tmp_path), "--sandbox", *options, tmp_path / "1.jsonl"))
    assert sent["notes"] == ["sandbox: received 3 messages; none left this machine"]
    (rehearsed,) = events(invoke(capsys, "send", make_campaign(tmp_path), "--dry-run", *options, tmp_path / "2.jsonl"))
    assert rehearsed["notes"] == ["dry run: nothing was sent"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["send", "nowhere.toml", "--log-format", "json"], "nowhere.toml"),
        (["send", "{campaign}", "--log-format", "json", "--limit", "0"], "--limit"),
        (["send", "{campaign}", "--limit", "0", "--log-format", "json"], "--limit"),
        (["resume", "nothing.jsonl", "--log-format", "json"], "nothing.jsonl"),
    ],
)
def test_errors_are_json_too(tmp_path: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    campaign = make_campaign(tmp_path)
    result = invoke(capsys, *(argument.format(campaign=campaign) for argument in arguments))
    assert result.code == 2
    (error,) = events(result)
    assert (error["level"], error["event"]) == ("error", "error")
    assert said in error["message"]
    assert set(error) == {"time", "level", "event", "message", "remedy"}


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_run_whose_streams_are_closed(tmp_path: Path, closed: str) -> None:
    """Nothing else is taken for standard error, and a run is no worse for having nobody to talk to."""
    campaign = make_campaign(tmp_path)
    with serving(CountingServer(well_behaved)) as server:
        words = [sys.executable, "-m", "batchsend", "send", str(campaign), "--server", url(server)]
        command = f"exec {shlex.join(words)} {closed}"
        assert (
            subprocess.run(["/bin/sh", "-c", command], env=environment(), timeout=WITHIN, check=False).returncode == 0
        )
    assert statuses(tmp_path / "results.jsonl") == dict.fromkeys((1, 2, 3), "accepted")


def test_what_others_wrote_is_not_obeyed_by_a_terminal(capsys: Capture) -> None:
    """A reply or a file name with an escape sequence, a line end, or half a character."""
    console = Console()
    said = "the server said \x1b[2J\r\nbatchsend: all is well\u202e \udcff"
    console.notice(said)
    text = capsys.readouterr().err
    assert text == "batchsend: the server said \\x1b[2J\\r\\nbatchsend: all is well\\u202e \\udcff\n"
    console.as_json = True
    console.notice(said)
    told = capsys.readouterr().err
    assert told.isascii()
    assert told.count("\n") == 1
    assert json.loads(told)["message"] == said


def test_no_progress_is_silent(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def follow(*_: object) -> None:
        raise AssertionError("progress is followed")

    monkeypatch.setattr("batchsend.cli.sending.follow", follow)
    with serving(CountingServer(well_behaved)) as server:
        options = ("--server", url(server), "--no-progress")
        assert invoke(capsys, "send", make_campaign(tmp_path), *options).code == 0
