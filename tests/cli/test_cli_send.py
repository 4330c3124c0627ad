"""``batchsend send``: what each option does, shown by what arrives at a server and by the results log."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING

import pytest

from batchsend.sink import Received, Sink, parse_rule
from tests.cli.commandline import THREE, SinkServer, complaint, invoke, make_campaign, outcomes, serving, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

RULES = tuple(parse_rule(action, f"*@{action}.example.com") for action in ("reject", "defer", "drop"))


@pytest.fixture
def server() -> Iterator[SinkServer]:
    here = SinkServer(*RULES)
    with serving(here.sink):
        yield here


def rows(count: int) -> str:
    return "email,name\n" + "".join(f"r{number}@example.com,N{number}\n" for number in range(1, count + 1))


def test_a_campaign_is_sent_and_its_log_is_beside_it(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path), "--server", server.url)
    assert (ended.code, ended.output) == (0, "")
    assert "accepted 3" in ended.errors
    assert f"results: {tmp_path}/results.jsonl" in ended.errors
    assert server.recipients == ["a@example.com", "b@example.com", "c@example.com"]
    assert statuses(tmp_path / "results.jsonl") == dict.fromkeys((1, 2, 3), "accepted")


def test_the_sandbox_stands_in_for_the_server(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, server='username = "${UNSET_HERE}"\npassword = "${UNSET_HERE}"')
    ended = invoke(capsys, "send", campaign, "--sandbox")
    assert ended.code == 0
    assert "sandbox: received 3 messages; none left this machine" in ended.errors


def test_one_of_anything_is_said_in_the_singular(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, "email,name\na@example.com,A\n")
    said = [
        invoke(capsys, "send", campaign, "--sandbox"),
        invoke(capsys, "report", tmp_path / "results.jsonl"),
        invoke(capsys, "preview", campaign, "--record", "2"),
    ]
    assert "1 record in" in said[0].errors
    assert "1 message each" in said[1].output
    assert "has 1 record, and" in said[2].errors
    assert not re.search(r"\b1 (?!ms)[a-z]+s\b", "".join(one.output + one.errors for one in said))


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_the_sandbox_speaks_the_campaigns_tls(tmp_path: Path, capsys: Capture, tls: str) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path, server=f'tls = "{tls}"'), "--sandbox", "--json")
    assert json.loads(ended.output)["accepted"] == 3


def test_json_is_one_object_on_standard_output(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    recipients = THREE + "d@reject.example.com,D\ne@defer.example.com,E\nnobody,F\n"
    campaign = make_campaign(tmp_path, recipients, delivery="max_attempts = 1")
    ended = invoke(capsys, "send", campaign, "--server", server.url, "--json")
    assert (ended.code, ended.errors) == (1, "")
    assert ended.output.count("\n") == 1
    summary = json.loads(ended.output)
    counts = {name: summary[name] for name in ("accepted", "rejected", "deferred", "in_doubt", "invalid", "suppressed")}
    assert counts == {"accepted": 3, "rejected": 1, "deferred": 1, "in_doubt": 0, "invalid": 1, "suppressed": 0}
    assert (summary["records"], summary["stopped"]) == (6, None)
    assert summary["results"] == str(tmp_path / "results.jsonl")


def test_a_record_that_costs_session_after_session_stays_deferred_and_the_others_go_out(
    tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    campaign = make_campaign(tmp_path, THREE + "d@drop.example.com,D\n", delivery="max_attempts = 1")
    ended = invoke(capsys, "send", campaign, "--server", server.url)
    assert ended.code == 1
    assert statuses(tmp_path / "results.jsonl") == {1: "accepted", 2: "accepted", 3: "accepted", 4: "deferred"}


@pytest.mark.parametrize("option", ["--sandbox", "--dry-run"])
def test_a_list_in_which_there_is_nobody_is_said(tmp_path: Path, capsys: Capture, option: str) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path, "email,name\n"), option)
    assert ended.code == 0
    assert "recipients.csv has no records: nobody is written to" in ended.errors
    somebody = invoke(capsys, "send", make_campaign(tmp_path, THREE), option, "--results", tmp_path / "other.jsonl")
    assert "has no records" not in somebody.errors


def test_dry_run_renders_everything_and_touches_nothing(tmp_path: Path, capsys: Capture) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path), "--dry-run")
    assert ended.code == 0
    assert "ready to send 3" in ended.errors
    assert "nothing was sent" in ended.errors
    assert not (tmp_path / "results.jsonl").exists()


def test_dry_run_finds_what_is_invalid(tmp_path: Path, capsys: Capture) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path, THREE + "nobody,D\n"), "--dry-run", "--json")
    assert ended.code == 1
    assert json.loads(ended.output)["invalid"] == 1


def test_limit(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path), "--server", server.url, "--limit", "2")
    assert ended.code == 0
    assert server.recipients == ["a@example.com", "b@example.com"]
    assert "left by --limit: 1 record\n" in ended.errors


def test_results_and_recipients_may_be_elsewhere(
    tmp_path: Path, server: SinkServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative to where the command is called, not to the campaign."""
    campaign = make_campaign(tmp_path)
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    (here / "others.jsonl").write_text('{"email": "x@example.com", "name": "X"}\n')
    ended = invoke(
        capsys, "send", campaign, "--server", server.url, "--recipients", "others.jsonl", "--results", "log.jsonl"
    )
    assert ended.code == 0
    assert server.recipients == ["x@example.com"]
    assert statuses(here / "log.jsonl") == {1: "accepted"}
    assert not (tmp_path / "results.jsonl").exists()


def test_a_compressed_recipients_file(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    (tmp_path / "more.csv.gz").write_bytes(gzip.compress(THREE.encode()))
    ended = invoke(
        capsys, "send", make_campaign(tmp_path), "--server", server.url, "--recipients", tmp_path / "more.csv.gz"
    )
    assert ended.code == 0
    assert len(server.recipients) == 3


def test_max_messages_and_max_connections(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    options = ("--max-connections", "1", "--max-messages", "4", "--server", server.url)
    assert invoke(capsys, "send", make_campaign(tmp_path, rows(10)), *options).code == 0
    by_session = [line["session"] for line in sorted(outcomes(tmp_path / "results.jsonl"), key=lambda o: o["record"])]
    assert len(set(by_session[:4])) == len(set(by_session[4:8])) == len(set(by_session[8:])) == 1
    assert len(set(by_session)) == 3


def test_depth_sends_in_chunks(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    assert invoke(capsys, "send", make_campaign(tmp_path, rows(50)), "--server", server.url, "--depth", "8").code == 0
    assert len(server.recipients) == 50


def test_rate_is_taken_from_the_command_line(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    options = ("--server", server.url, "--rate", "100/s", "--json")
    summary = json.loads(invoke(capsys, "send", make_campaign(tmp_path, rows(21)), *options).output)
    assert summary["accepted"] == 21
    assert summary["elapsed"] >= 0.15, "twenty-one messages at 100/s take a fifth of a second"


def test_deferred_records_come_back_within_the_run(tmp_path: Path, capsys: Capture) -> None:
    """A greylisting server takes at the second attempt what it deferred at the first; each attempt has its line."""
    seen: set[str] = set()

    def greylist(message: Received) -> None:
        if message.recipients[0] not in seen:
            seen.add(message.recipients[0])
            raise OSError("452: once more, please")  # what the sink answers 452

    with serving(Sink(on_message=greylist)) as sink:
        campaign = make_campaign(tmp_path, delivery='max_attempts = 3\nretry_after = "100ms"')
        ended = invoke(capsys, "send", campaign, "--server", f"smtp://{sink.hosts[0]}:{sink.port}")
    assert ended.code == 0
    lines = outcomes(tmp_path / "results.jsonl")
    for record in (1, 2, 3):
        attempts = [(line["attempt"], line["status"]) for line in lines if line["record"] == record]
        assert attempts == [(1, "deferred"), (2, "accepted")]
        assert len({line["message_id"] for line in lines if line["record"] == record}) == 1
    assert "  accepted 3\n" in ended.errors


def test_no_retry_and_the_last_attempt(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    campaign = make_campaign(
        tmp_path, "email,name\nx@defer.example.com,X\n", delivery='max_attempts = 2\nretry_after = "50ms"'
    )
    options = ("--server", server.url)
    assert invoke(capsys, "send", campaign, *options, "--no-retry", "--results", tmp_path / "1.jsonl").code == 1
    assert invoke(capsys, "send", campaign, *options, "--results", tmp_path / "2.jsonl").code == 1
    assert [line["attempt"] for line in outcomes(tmp_path / "1.jsonl")] == [1]
    assert [line["attempt"] for line in outcomes(tmp_path / "2.jsonl")] == [1, 2]


def test_suppressed_recipients_are_not_sent_to_and_are_no_failure(
    tmp_path: Path, server: SinkServer, capsys: Capture
) -> None:
    (tmp_path / "gone.txt").write_text("B@Example.com\n")
    campaign = make_campaign(tmp_path, delivery='suppress = ["gone.txt"]')
    ended = invoke(capsys, "send", campaign, "--server", server.url)
    assert ended.code == 0
    assert server.recipients == ["a@example.com", "c@example.com"]
    assert statuses(tmp_path / "results.jsonl")[2] == "suppressed"
    assert f"{tmp_path / 'gone.txt'}: 1 entry, not written to" in ended.errors
    run = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])["run"]
    assert run["suppress"] == [{"path": str(tmp_path / "gone.txt"), "entries": 1}]


def test_a_suppression_list_without_entries_is_a_warning(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    (tmp_path / "gone.txt").write_text("# nobody\n")
    ended = invoke(capsys, "send", make_campaign(tmp_path, delivery='suppress = ["gone.txt"]'), "--server", server.url)
    assert ended.code == 0
    assert "warning: " in ended.errors
    assert "gone.txt has no entries" in ended.errors


def test_an_empty_recipients_file_is_sent_at_once(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path, "email,name\n"), "--server", server.url, "--json")
    assert ended.code == 0
    assert json.loads(ended.output)["records"] == 0
    assert server.sink.counts.connections == 0


def test_a_used_log_is_refused_with_both_ways_on(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    assert invoke(capsys, "send", campaign, "--server", server.url).code == 0
    before = (tmp_path / "results.jsonl").read_bytes()
    said = complaint(invoke(capsys, "send", campaign, "--server", server.url))
    assert "batchsend resume" in said
    assert "--results" in said
    assert (tmp_path / "results.jsonl").read_bytes() == before
    assert len(server.recipients) == 3


def test_progress_is_not_shown_in_a_pipe_unless_asked_for(tmp_path: Path, server: SinkServer, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, rows(30))
    options = ("--server", server.url, "--rate", "80/s")
    quiet = invoke(capsys, "send", campaign, *options, "--results", tmp_path / "1.jsonl")
    assert "\x1b" not in quiet.errors
    assert len(quiet.errors.splitlines()) == 3
    shown = invoke(capsys, "send", campaign, *options, "--progress", "--results", tmp_path / "2.jsonl")
    assert (quiet.code, shown.code) == (0, 0)
