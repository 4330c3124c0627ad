"""The command `batchsend events`, as a process of its own: killed at any moment, it tells everything in order."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from batchsend.events.cursor import cursor_path
from tests.cli.commandline import complaint, ended, environment, invoke, process
from tests.events.receiver import SECRET, Receiver
from tests.feedback.letters import results_log

if TYPE_CHECKING:
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


def test_interrupted_it_ends_at_once_though_nobody_answers(tmp_path: Path) -> None:
    results = results_log(tmp_path, MANY[:5])
    with Receiver() as receiver:
        receiver.answers = [500] * 1000
        running = process("events", results, "--url", receiver.url, "--follow", env=ENVIRONMENT)
        assert receiver.arrived.acquire(timeout=30)
        running.send_signal(signal.SIGTERM)
        assert ended(running).code == 143


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
