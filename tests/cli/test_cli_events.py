"""The command `batchsend events`, as a process of its own: killed at any moment, it tells everything in order."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import load
from batchsend.campaign.model import feedback_path
from batchsend.events.cursor import cursor_path
from batchsend.feedback.log import FeedbackLog, as_fields
from batchsend.feedback.report import FeedbackKind, FeedbackReport
from batchsend.run.telling import EventsProcess
from batchsend.sink import Sink
from tests.cli.commandline import complaint, ended, environment, invoke, make_campaign, process, serving, statuses
from tests.events.receiver import SECRET, Receiver, ReceiverProcess
from tests.feedback.letters import results_log

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

MANY = tuple(f"r{number}@example.org" for number in range(1, 2001))
ENVIRONMENT = environment(BATCHSEND_EVENTS_SECRET=SECRET)


def test_it_tells_what_is_there_and_ends(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        said = ended(process("events", results, "--url", receiver.url, env=ENVIRONMENT))
    assert (said.code, said.errors) == (0, f"5 events taken by {receiver.url}\n")
    assert [event["data"]["record"] for event in receiver.events] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_killed_again_and_again_it_tells_everything_in_order(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY)
    with Receiver() as receiver:
        for kill_after in (1, 3, 2, 5, 4):
            running = process("events", results, "--url", receiver.url, "--follow", env=ENVIRONMENT)
            for _ in range(kill_after):
                assert receiver.arrived.acquire(timeout=30)
            running.kill()
            running.communicate()
            while receiver.arrived.acquire(blocking=False):
                pass
        assert ended(process("events", results, "--url", receiver.url, env=ENVIRONMENT)).code == 0
        assert receiver.wrong == []
        first = list(dict.fromkeys(event["data"]["record"] for event in receiver.events))
        assert first == list(range(1, 2001))
        # What came twice came as the same request: a receiver that knows identities has each event once.
        by_request: dict[str, list[str]] = {}
        for identity, events in zip(receiver.requests, receiver.batches, strict=True):
            assert by_request.setdefault(identity, events) == events
        assert sum(map(len, by_request.values())) == 2000


@pytest.mark.slow
def test_a_receiver_that_is_down_slow_wrong_and_killed_gets_everything_in_order_though_the_sender_is_killed(
    tmp_path: Path,
) -> None:
    """The sender is killed in each of these; then the receiver is killed while it has a request, and comes back."""
    results = results_log(tmp_path, MANY)
    told = ReceiverProcess()

    def sender() -> subprocess.Popen[str]:
        return process("events", results, "--url", told.url, "--follow", env=ENVIRONMENT)

    running = sender()
    assert running.stderr is not None
    assert "ConnectError" in running.stderr.readline()
    kill(running)
    for behaviour, requests in (("slow", 2), ("wrong", 1), ("slow", 3), ("silent", 1)):
        with told.behaving(behaviour):
            running = sender()
            for _ in range(requests):
                told.hear()
            kill(running)  # while it waits for the answer
    with told.behaving("silent"):
        running = sender()
        told.hear()
    with told.behaving("right"):  # the same sender goes on after its pause
        told.hear()
        kill(running)
        with FeedbackLog(feedback_path(results)) as log:
            report = FeedbackReport(recipient=MANY[0], kind=FeedbackKind.BOUNCED)
            log.add([as_fields(report, record=1, recipient=MANY[0], source="x")])
        running = process("events", results, "--url", told.url, env=ENVIRONMENT)
        while told.hear()[-1]["type"] != "message.bounced":
            pass
        assert ended(running).code == 0
    by_request: dict[str, list[dict[str, Any]]] = {}
    for identity, events in told.taken:
        assert by_request.setdefault(identity, events) == events
    assert len(told.taken) > len(by_request)  # some were taken twice: their answers came to a sender that was killed
    once = [(event["type"], event["data"]["record"]) for events in by_request.values() for event in events]
    assert once == [*(("message.accepted", record) for record in range(1, 2001)), ("message.bounced", 1)]


def kill(running: subprocess.Popen[str]) -> None:
    """Kill -9, and wait for the end."""
    running.kill()
    running.communicate()


@pytest.mark.slow
def test_interrupted_it_ends_at_once_though_nobody_answers(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        receiver.answers = [500] * 1000
        running = process("events", results, "--url", receiver.url, "--follow", env=ENVIRONMENT)
        assert receiver.arrived.acquire(timeout=30)
        running.send_signal(signal.SIGTERM)
        assert ended(running).code == 143


@pytest.mark.slow
def test_who_is_gone_is_said_and_the_exit_code_tells(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        receiver.answers = [410]
        said = ended(process("events", results, "--url", receiver.url, env=ENVIRONMENT))
        assert said.code == 1
        assert "answered 410 Gone: it is given up" in said.errors
        assert cursor_path(results, receiver.url).exists()


def test_without_a_secret_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHSEND_EVENTS_SECRET", raising=False)
    said = complaint(invoke(capsys, "events", results_log(tmp_path), "--url", "https://example.com/"))
    assert "BATCHSEND_EVENTS_SECRET is not set" in said


def campaign_with_events(folder: Path, url: str, port: int) -> Path:
    events = f'[events]\nurl = "{url}"\nsecret = "${{THEIR_SECRET}}"'
    path = make_campaign(folder, server=f'tls = "none"\nport = {port}', delivery=events)
    path.write_text(path.read_text().replace("smtp.example.com", "127.0.0.1"))
    return path


def test_a_campaign_tells_while_it_is_sent(tmp_path: Path) -> None:
    with Receiver() as receiver, serving(Sink()) as sink:
        path = campaign_with_events(tmp_path, receiver.url, sink.port)
        said = ended(process("send", path, env=environment(THEIR_SECRET=SECRET)))
        assert said.code == 0, said
        assert "not all events" not in said.errors
        assert [event["type"] for event in receiver.events] == ["message.accepted"] * 3


@pytest.mark.slow
def test_a_receiver_that_is_not_there_costs_the_campaign_nothing_and_can_be_told_later(tmp_path: Path) -> None:
    with Receiver() as receiver:
        port = receiver.port
    with serving(Sink()) as sink:
        path = campaign_with_events(tmp_path, receiver.url, sink.port)
        said = ended(process("send", path, env=environment(THEIR_SECRET=SECRET)))
    assert said.code == 0
    assert "not all events are told: the endpoint did not take them; " in said.errors
    assert set(statuses(tmp_path / "results.jsonl").values()) == {"accepted"}
    with Receiver(port) as receiver:
        command = ("events", tmp_path / "results.jsonl", "--url", receiver.url)
        assert ended(process(*command, env=ENVIRONMENT)).code == 0
        assert len(receiver.events) == 3


@pytest.mark.slow
def test_a_campaign_says_why_its_endpoint_was_given_up(tmp_path: Path) -> None:
    with Receiver() as receiver, serving(Sink()) as sink:
        receiver.answers = [410]
        path = campaign_with_events(tmp_path, receiver.url, sink.port)
        said = ended(process("send", path, env=environment(THEIR_SECRET=SECRET)))
    assert said.code == 0
    (line,) = [line for line in said.errors.splitlines() if "not all events" in line]
    assert f"not all events are told: {receiver.url} answered 410 Gone: it is given up" in line
    assert "taken by" not in said.errors


@pytest.mark.slow
def test_a_campaign_does_not_wait_for_an_endpoint_whose_answer_has_no_end(tmp_path: Path) -> None:
    with Receiver() as receiver, serving(Sink()) as sink:
        receiver.trickles.set()
        path = campaign_with_events(tmp_path, receiver.url, sink.port)
        said = ended(process("send", path, env=environment(THEIR_SECRET=SECRET)))
        receiver.trickles.clear()
    assert said.code == 0
    assert "not all events are told: it was too slow; to tell the rest: batchsend events " in said.errors


@pytest.mark.slow
def test_a_run_that_is_interrupted_has_told_what_it_has_sent(tmp_path: Path) -> None:
    """Ctrl-C goes to every process that the terminal's job has started."""
    with Receiver() as receiver, serving(Sink()) as sink:
        path = campaign_with_events(tmp_path, receiver.url, sink.port)
        path.write_text(path.read_text().replace("[events]", 'rate = "20/s"\n[events]'))
        (tmp_path / "recipients.csv").write_text("email,name\n" + "".join(f"{address},N\n" for address in MANY))
        running = process("send", path, env=environment(THEIR_SECRET=SECRET), start_new_session=True)
        assert receiver.arrived.acquire(timeout=30)
        os.killpg(running.pid, signal.SIGINT)
        said = ended(running)
    assert "not all events" not in said.errors, said
    accepted = statuses(tmp_path / "results.jsonl")
    assert 0 < len(accepted) < len(MANY)
    assert {event["data"]["record"] for event in receiver.events} == set(accepted)


def test_a_campaign_whose_events_cannot_be_told_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = campaign_with_events(tmp_path, "https://app.example.com/", 2525)
    monkeypatch.setenv("THEIR_SECRET", "whsec_x")
    assert "the secret of the events is none" in complaint(invoke(capsys, "send", path))
    monkeypatch.delenv("THEIR_SECRET")
    assert "needs the environment variable THEIR_SECRET" in complaint(invoke(capsys, "send", path))
    assert not (tmp_path / "results.jsonl").exists()


def test_nobody_is_told_of_what_is_only_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Receiver() as receiver:
        path = campaign_with_events(tmp_path, receiver.url, 2525)
        assert invoke(capsys, "send", path, "--sandbox").code == 0
        assert receiver.seen == []


async def test_a_process_for_events_that_cannot_be_started_costs_the_campaign_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEIR_SECRET", SECRET)
    url, said = "https://app.example.com/hook", list[str]()
    telling = EventsProcess(load(campaign_with_events(tmp_path, url, 2525)), said.append)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    telling.start()
    await telling.finish()
    way_on = f"to tell the rest: batchsend events {shlex.quote(str(tmp_path / 'results.jsonl'))} --url {url}"
    assert said == [f"events are not told: No such file or directory; {way_on}"]
