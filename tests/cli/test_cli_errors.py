"""Whatever a user gets wrong is one or two lines that say what, where and what to do, and the right exit code."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from batchsend.sink import Sink, SinkOptions
from tests.cli.commandline import THREE, complaint, invoke, make_campaign, outcomes, serving
from tests.delivery.harness import CountingServer
from tests.servers.requirements import ROOT_MAY_EVERYTHING
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.outcome import Stage

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sned"], "no such command: sned; did you mean send?"),
        (["--no-such-option"], "--no-such-option"),
        (["send"], "CAMPAIGN"),
        (["send", "a.toml", "b.toml"], "b.toml"),
        (["send", "{campaign}", "--no-such-option"], "--no-such-option"),
        (["send", "nowhere.toml"], "nowhere.toml"),
        (["send", "{campaign}", "--max-connections", "many"], "many"),
        (["send", "{campaign}", "--max-connections", "0"], "--max-connections"),
        (["send", "{campaign}", "--max-messages", "-1"], "--max-messages"),
        (["send", "{campaign}", "--depth", "100000"], "--depth"),
        (["send", "{campaign}", "--rate", "fast"], "--rate"),
        (["send", "{campaign}", "--rate", "0/s"], "--rate"),
        (["send", "{campaign}", "--limit", "0"], "--limit"),
        (["send", "{campaign}", "--server", "http://127.0.0.1:1"], "--server"),
        (["send", "{campaign}", "--server", "smtp://user:secret@127.0.0.1:1"], "--server holds credentials"),
        (["send", "{campaign}", "--server", "smtp://127.0.0.1:99999"], "--server"),
        (
            ["send", "{campaign}", "--sandbox", "--server", "smtp://127.0.0.1:1"],
            "--sandbox and --server exclude each other",
        ),
        (["send", "{campaign}", "--sandbox", "--recipients", "nobody.csv"], "nobody.csv"),
        (["send", "{campaign}", "--sandbox", "--recipients", "{folder}"], "directory"),
        (["send", "{campaign}", "--sandbox", "--results", "{folder}"], "directory"),
        (["send", "{campaign}", "--sandbox", "--results", "{folder}/no/such/log"], "--results"),
        (["send", "{campaign}", "--sandbox", "--results", "{campaign}"], "campaign file"),
        (["send", "{campaign}", "--sandbox", "--results", "{folder}/recipients.csv"], "recipients file"),
        (["preview", "{campaign}", "--record", "0"], "--record"),
        (["preview", "{campaign}", "--record", "4"], "recipients.csv has 3 records, and no record 4"),
        (["preview", "{campaign}", "--record", "4"], "look at another: --record N, from 1 to 3"),
        (["preview", "{campaign}", "--eml", "{folder}/no/such.eml"], "such.eml cannot be written: there is no folder"),
        (
            ["send", "{campaign}", "--trace", "{folder}/no/such"],
            "make that folder, or name a file in one that is there",
        ),
        (["send", "{campaign}", "--trace", "{campaign}"], "name a file that is not there yet"),
        (["completion"], "Choose from: bash, zsh, fish"),
        (["sink", "--port", "70000"], "--port"),
        (["sink", "--host", "192.0.2.1"], "192.0.2.1"),
        (["sink", "--tls", "perhaps"], "perhaps"),
        (["sink", "--trace", "/"], "the trace cannot be written"),
        (["sink", "--reject", ""], "pattern"),
        (["sink", "--reject", "*=250 fine"], "5yz"),
        (["sink", "--delay", "*@example.com"], "delay"),
        (["sink", "--max-messages", "0"], "--max-messages"),
        (["sink", "--port", "0", "--ca-file", "{folder}/no/such.pem", "--tls", "starttls"], "such.pem"),
    ],
)
def test_what_is_wrong_on_the_command_line(tmp_path: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    campaign = make_campaign(tmp_path)
    given = [argument.format(campaign=campaign, folder=tmp_path) for argument in arguments]
    message = complaint(invoke(capsys, *given))
    assert said in message
    assert "secret" not in message
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"top": "recipient = 1"}, "recipient"),
        ({"server": 'username = "${NOT_SET_AT_ALL}"\npassword = "x"'}, "NOT_SET_AT_ALL"),
        ({"server": 'tls = "none"\nusername = "u"\npassword = "hidden"'}, "tls"),
        ({"server": 'ca_file = "no.pem"'}, "no.pem"),
        ({"delivery": 'suppress = ["no.txt"]'}, "no.txt"),
        ({"delivery": "max_messages = true"}, "max_messages"),
        ({"text": "Hello {{ name"}, "text"),
        ({"text": "{% for x in %}"}, "text"),
        ({"message": 'attachments = ["../outside.pdf"]'}, "outside.pdf"),
        ({"message": 'html_file = "no.html"'}, "no.html"),
        ({"top": "this is not TOML"}, "campaign.toml"),
    ],
)
def test_what_is_wrong_in_the_campaign_file(tmp_path: Path, capsys: Capture, tables: dict[str, str], said: str) -> None:
    campaign = make_campaign(tmp_path, **tables)
    message = complaint(invoke(capsys, "send", campaign))
    assert said in message
    assert "hidden" not in message
    assert not (tmp_path / "results.jsonl").exists()


def test_a_ca_file_that_holds_no_certificate(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    message = complaint(invoke(capsys, "send", make_campaign(tmp_path, server='ca_file = "ca.pem"')))
    assert "ca.pem" in message


def test_a_recipients_file_that_is_no_table(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    (tmp_path / "recipients.csv").write_bytes("email\né@example.com\n".encode("utf-16-le"))
    assert "UTF-16" in complaint(invoke(capsys, "send", campaign, "--sandbox"))
    (tmp_path / "recipients.csv").write_bytes(b"")
    ended = invoke(capsys, "send", campaign, "--sandbox")
    assert ended.code in (0, 2)
    assert "Traceback" not in ended.errors


@pytest.mark.skipif(os.geteuid() == 0, reason=ROOT_MAY_EVERYTHING)
def test_files_that_may_not_be_read_or_written(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    (tmp_path / "recipients.csv").chmod(0)
    assert "Permission denied" in complaint(invoke(capsys, "send", campaign, "--sandbox"))


def test_a_server_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = invoke(capsys, "send", make_campaign(tmp_path), "--server", f"smtp://127.0.0.1:{port}")
    assert ended.code == 3
    assert "Traceback" not in ended.errors
    first, second = ended.errors.splitlines()[-2:]
    assert first == f"batchsend: 127.0.0.1:{port}: cannot connect: Connection refused"
    assert "host and port" in second
    assert outcomes(tmp_path / "results.jsonl") == []


def test_credentials_that_are_refused(tmp_path: Path, capsys: Capture) -> None:
    with serving(Sink(SinkOptions(require_auth=True, username="right", password="right"))) as sink:
        campaign = make_campaign(tmp_path, server='username = "right"\npassword = "wr0ng"')
        ended = invoke(capsys, "send", campaign, "--server", f"smtp://{sink.hosts[0]}:{sink.port}")
    assert ended.code == 3
    assert "535" in ended.errors
    assert "username and password" in ended.errors
    assert "wr0ng" not in ended.errors + (tmp_path / "results.jsonl").read_text()
    assert outcomes(tmp_path / "results.jsonl") == []


def test_a_server_that_wants_credentials_and_gets_none(tmp_path: Path, capsys: Capture) -> None:
    with serving(Sink(SinkOptions(require_auth=True))) as sink:
        ended = invoke(capsys, "send", make_campaign(tmp_path), "--server", f"smtp://{sink.hosts[0]}:{sink.port}")
    assert ended.code == 3
    assert "530" in ended.errors
    assert {line["status"] for line in outcomes(tmp_path / "results.jsonl")} == set()


def test_a_sender_that_is_refused_leaves_the_rest_untouched(tmp_path: Path, capsys: Capture) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(553, "5.7.1 \x1b[31mnot yours") if asked.value == "mail" else ACCEPT

    recipients = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(500))
    with serving(CountingServer(decide)) as peer:
        campaign = make_campaign(tmp_path, recipients, delivery="max_connections = 1")
        ended = invoke(capsys, "send", campaign, "--server", f"smtp://{peer.host}:{peer.port}", "--json")
    assert ended.code == 3
    assert '"rejected":10' in ended.output
    assert "the sender is refused at mail: 553" in ended.errors
    assert "\x1b" not in ended.errors + ended.output
    assert len(outcomes(tmp_path / "results.jsonl")) == 10


def test_a_record_that_a_template_cannot_render_is_a_line_and_not_an_error(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, THREE, text="{{ name.__class__.__mro__ }}")
    ended = invoke(capsys, "send", campaign, "--sandbox")
    assert ended.code == 1
    assert "invalid 3" in ended.errors
    for line in outcomes(tmp_path / "results.jsonl"):
        assert (line["status"], line["line"], line["attempt"]) == ("invalid", line["record"] + 1, 0)
        assert "__class__" in line["reason"]


@pytest.mark.parametrize(
    "arguments",
    [["init"], ["publish", "{campaign}"], ["work"], ["list"], ["drop", "spring"], ["status"]],
    ids=lambda given: given[0],
)
def test_a_cluster_without_a_database_is_told_how_to_name_one(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """No command of a cluster falls back to some database of its own choice."""
    monkeypatch.delenv("BATCHSEND_DATABASE", raising=False)
    campaign = make_campaign(tmp_path)
    given = [argument.format(campaign=campaign) for argument in arguments]
    said = complaint(invoke(capsys, "cluster", *given))
    assert "no database is named" in said
    assert "--database postgresql://USER@HOST/NAME, or BATCHSEND_DATABASE" in said


@pytest.mark.parametrize(
    "arguments", [["--help"], ["send", "--help"], ["preview", "-h"], ["sink", "-h"], ["--version"]]
)
def test_help_is_on_standard_output(capsys: Capture, arguments: list[str]) -> None:
    ended = invoke(capsys, *arguments)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output


def test_no_arguments_at_all_show_how_it_is_used(capsys: Capture) -> None:
    ended = invoke(capsys)
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.startswith("Usage: batchsend")
    assert "sink" in ended.output


def test_a_group_of_commands_alone_shows_its_help(capsys: Capture) -> None:
    shown = invoke(capsys, "cluster")
    assert (shown.code, shown.errors) == (0, "")
    assert shown.output.startswith("Usage: batchsend cluster [OPTIONS] [COMMAND]")
