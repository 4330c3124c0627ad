"""The command `batchsend listen`, as a process of its own."""

from __future__ import annotations

import re
import signal
import smtplib
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cli.commandline import complaint, environment, invoke, process
from tests.feedback.letters import dsn, lines_of, results_log
from tests.listen.signed import SignedRun

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def port_of(running: subprocess.Popen[str], kind: str) -> int:
    """The port that it says it is listening on."""
    assert running.stderr is not None
    for line in running.stderr:
        if found := re.match(rf"{kind}: listening on 127\.0\.0\.1 port (\d+)", line):
            return int(found[1])
    raise AssertionError("it has ended")


def test_it_takes_both_ways_until_it_is_interrupted(tmp_path: Path) -> None:
    signed = SignedRun(tmp_path)
    running = process("listen", signed.results, "--http", "127.0.0.1:0", "--smtp", "127.0.0.1:0")
    try:
        http = f"http://127.0.0.1:{port_of(running, 'HTTP')}"
        with smtplib.SMTP("127.0.0.1", port_of(running, "SMTP"), timeout=30) as client:
            client.sendmail("", [signed.return_path(2)], dsn("bert@example.org"))
        assert httpx.get(f"{http}{signed.link(1)}").status_code == 200
        assert httpx.post(f"{http}{signed.link(1)}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
        assert httpx.post(f"{http}/hooks/sendgrid", content=b"[]").status_code == 404  # no key of it in the environment
        # What has been answered has been kept.
        assert [(line["record"], line["kind"]) for line in lines_of(signed.log)] == [
            (2, "bounced"),
            (1, "unsubscribed"),
        ]
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.communicate()


@pytest.mark.slow
def test_webhooks_alone_need_no_key(tmp_path: Path) -> None:
    results = results_log(tmp_path)
    env = environment(BATCHSEND_HOOK_POSTMARK="user:a-password")
    running = process("listen", results, "--http", "127.0.0.1:0", env=env)
    try:
        url = f"http://127.0.0.1:{port_of(running, 'HTTP')}/hooks/postmark"
        event = {"RecordType": "SpamComplaint", "Email": "anna@example.org"}
        assert httpx.post(url, json=event).status_code == 403
        assert httpx.post(url, json=event, auth=("user", "a-password")).status_code == 200
        assert [line["kind"] for line in lines_of(tmp_path / "results.feedback.jsonl")] == ["complained"]
    finally:
        running.terminate()
        running.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is nothing to listen on"),
        (["--http", "127.0.0.1"], "'127.0.0.1' is not ADDR:PORT"),
        (["--http", "127.0.0.1:0"], "the run has signed no return path and no link"),
        (["--smtp", "127.0.0.1:0"], "the run has signed no return path and no link"),
    ],
)
def test_what_cannot_be_listened_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in complaint(invoke(capsys, "listen", results_log(tmp_path), *arguments))
