"""The samples do what they say: they are the first thing that anybody tries."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Outcome
from batchsend.sink import Sink
from tests.cli.commandline import SAMPLES, WITHIN, environment, invoke, outcomes, serving, statuses

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = {
    "welcome": {Outcome.ACCEPTED: 8},
    "newsletter": {Outcome.ACCEPTED: 4},
    "statuses": {
        Outcome.ACCEPTED: 2,
        Outcome.REJECTED: 1,
        Outcome.DEFERRED: 1,
        Outcome.IN_DOUBT: 1,
        Outcome.INVALID: 5,
        Outcome.SUPPRESSED: 1,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_campaign_sends_through_the_sandbox(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "results.jsonl"
    ended = invoke(
        capsys, "send", SAMPLES / name / "campaign.toml", "--sandbox", "--json", "--rate", "1000/s", "--results", log
    )
    expected = EXPECTED[name]
    summary = json.loads(ended.output)
    assert {outcome: summary[outcome.value] for outcome in Outcome if summary[outcome.value]} == expected
    assert ended.code == (0 if set(expected) <= {Outcome.ACCEPTED, Outcome.SUPPRESSED} else 1)
    counted = list(statuses(log).values())
    assert {outcome: counted.count(outcome.value) for outcome in expected} == expected
    assert summary["records"] == sum(expected.values()) == len(counted)


def test_the_statuses_sample_shows_every_outcome_there_is() -> None:
    assert set(EXPECTED["statuses"]) == set(Outcome)


def test_what_the_statuses_sample_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "results.jsonl"
    ended = invoke(capsys, "send", SAMPLES / "statuses" / "campaign.toml", "--sandbox", "--results", log)
    by_record = {line["record"]: line for line in outcomes(log)}
    invalid = [line for line in by_record.values() if line["status"] == "invalid"]
    assert all(line["reason"] and line["line"] > 1 and line["reply"] is None for line in invalid)
    assert (by_record[2]["code"], by_record[2]["reason"]) == (550, "unknown_mailbox")
    assert by_record[3]["code"] == 450
    assert by_record[4]["status"] == "in_doubt"
    assert by_record[5]["reason"] == "on a suppression list"
    for said in ("rejected 1", "deferred 1", "in doubt 1", "invalid 5", "suppressed 1"):
        assert said in ended.errors


@pytest.mark.parametrize("name", EXPECTED)
def test_each_campaign_can_be_looked_at_and_rehearsed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = SAMPLES / name / "campaign.toml"
    preview = invoke(capsys, "preview", campaign)
    assert (preview.code, preview.errors) == (0, "")
    rehearsal = json.loads(invoke(capsys, "send", campaign, "--dry-run", "--json").output)
    assert rehearsal["records"] == sum(EXPECTED[name].values())
    assert rehearsal["invalid"] == EXPECTED[name].get(Outcome.INVALID, 0)


def test_a_sample_can_be_copied_and_sent_from_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(SAMPLES / "newsletter", tmp_path / "copy")
    assert invoke(capsys, "send", tmp_path / "copy" / "campaign.toml", "--sandbox").code == 0


@pytest.mark.slow
def test_the_library_sample_runs_against_a_sink() -> None:
    with serving(Sink()) as sink:
        ran = subprocess.run(
            [sys.executable, SAMPLES / "library.py", f"smtp://{sink.hosts[0]}:{sink.port}"],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=WITHIN,
            check=False,
        )
        assert ran.stderr == ""
        assert ran.returncode == 0
        assert "accepted 8" in ran.stdout
        assert "accepted: 1000" in ran.stdout
        assert sink.counts.messages == 1008


FASTAPI_CLIENT = """
import asyncio, httpx
from fastapi_app import app
async def main():
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        for email in ("ada@example.com", "nobody", "a@example.com, b@example.com", "c@example.com\\nBcc: d"):
            answer = await client.post("/orders", params={"email": email})
            print(answer.status_code, answer.json().get("outcome"))
        for email in ("grace@example.com", "nobody"):
            answer = await client.post("/reminders", params={"email": email})
            print(answer.status_code)
asyncio.run(main())
"""

CELERY_CLIENT = """
from celery_tasks import app, confirm
app.conf.task_always_eager = True
print(confirm.delay(1, "ada@example.com").get())
print(type(confirm.delay(2, "a@example.com, b@example.com").result).__name__)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "program", "prints", "messages"),
    [
        ("fastapi", FASTAPI_CLIENT, "200 accepted\n" + 3 * "422 None\n" + 2 * "202\n", 2),
        ("celery", CELERY_CLIENT, "accepted\nRecordError\n", 1),
    ],
)
def test_the_sample_for_a_framework_runs(framework: str, program: str, prints: str, messages: int) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed: pip install {framework}")
    with serving(Sink()) as sink:
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**environment(), "SMTP_PORT": str(sink.port), "PYTHONPATH": f"{SAMPLES}:{SAMPLES.parent}"},
            timeout=WITHIN,
            check=False,
        )
        assert (ran.stdout, ran.returncode) == (prints, 0), ran.stderr
        assert sink.counts.messages == messages


FORKED_WORKERS = """
import os
from celery_tasks import app, confirm

folder = os.environ["FOLDER"]
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": f"{folder}/queue", "data_folder_out": f"{folder}/queue", "control_folder": f"{folder}/control"
    },
    result_backend=f"file://{folder}/results",
)
if __name__ == "__main__":
    asked = [confirm.delay(number, f"to{number}@example.com") for number in range(1, 7)]
    print(*(one.get(timeout=60) for one in asked))
else:
    confirm(0, "parent@example.com")  # before it is forked
"""


@pytest.mark.slow
def test_celery_forks_workers_from_a_process_that_has_sent(tmp_path: Path) -> None:
    pytest.importorskip("celery")
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "workers.py").write_text(FORKED_WORKERS)
    with serving(Sink()) as sink:
        path = f"{tmp_path}:{SAMPLES}:{SAMPLES.parent}"
        among = {**environment(), "SMTP_PORT": str(sink.port), "PYTHONPATH": path, "FOLDER": str(tmp_path)}
        among["PYTHONWARNINGS"] = "ignore"  # Celery warns of a worker that is root's
        of_celery = ("celery", "-A", "workers", "worker", "--pool", "prefork", "--concurrency", "2")
        with subprocess.Popen(
            [sys.executable, "-m", *of_celery, "--without-gossip", "--without-mingle"],
            cwd=tmp_path,
            env=among,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as worker:
            try:
                said = subprocess.run(
                    [sys.executable, "workers.py"],
                    cwd=tmp_path,
                    env=among,
                    capture_output=True,
                    text=True,
                    timeout=WITHIN,
                    check=False,
                )
                worker.terminate()
                worker.wait(WITHIN)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
        assert (said.stdout.split(), said.returncode) == (["accepted"] * 6, 0), said.stderr
        assert sink.counts.messages == 7
        assert sink.counts.connections >= 2, "the parent's session is its own"


@pytest.mark.slow
def test_the_django_project_sends_mail_and_a_campaign(tmp_path: Path) -> None:
    pytest.importorskip("django", minversion="4.2")
    project = tmp_path / "project"
    shutil.copytree(SAMPLES / "django_project", project)
    with serving(Sink()) as sink:
        campaign = project / "campaign.toml"
        campaign.write_text(campaign.read_text().replace("2525", str(sink.port)))
        codes = []
        for command in (("sendtestemail", "eve@example.com"), ("send_campaign", "campaign.toml", "--no-progress")):
            ran = subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=project,
                capture_output=True,
                text=True,
                env={**environment(), "SMTP_PORT": str(sink.port), "PYTHONPATH": str(SAMPLES.parent)},
                timeout=WITHIN,
                check=False,
            )
            codes.append((ran.returncode, ran.stderr if ran.returncode else ""))
        assert codes == [(0, ""), (0, "")]
        assert sink.counts.messages == 3
