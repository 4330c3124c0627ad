"""``batchsend check``: everything that can be known before anything is sent, at any width, and as JSON."""

from __future__ import annotations

import base64
import json
import os
import pty
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from batchsend.check import Report
from batchsend.check.finding import Section
from batchsend.cli.findings import print_report
from batchsend.sink import Sink, SinkOptions
from tests.check.name_server import NameServer, Zone
from tests.cli.commandline import (
    SAMPLES,
    Ended,
    complaint,
    ended,
    environment,
    invoke,
    make_campaign,
    process,
    serving,
)
from tests.cli.terminal import shown_on

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

KEY = "MCowBQYDK2VwAyEA"
ZONE: Zone = {
    "example.com TXT": ["v=spf1 mx -all"],
    "example.com MX": ["10 mail.example.com."],
    "_dmarc.example.com TXT": ["v=DMARC1; p=reject; rua=mailto:d@example.com"],
    "s1._domainkey.example.com TXT": ["v=DKIM1; p="],
}
ONE_CLICK = (
    'headers = { List-Unsubscribe = "<https://example.com/u>", List-Unsubscribe-Post = "List-Unsubscribe=One-Click" }'
)


def told(result: Ended) -> dict[str, Any]:
    """The report, as JSON."""
    report: dict[str, Any] = json.loads(result.output)
    assert result.code == report["exit_code"]
    return report


def kinds(report: dict[str, Any]) -> set[str]:
    """The kinds of a report's findings."""
    return {finding["kind"] for section in report["sections"] for finding in section["findings"]}


BAD_ROWS = {"address-bad", "record-invalid", "row-unreadable"}
WARNED = {"statuses/campaign.toml": BAD_ROWS}
"""The samples that are not all right, and what is wrong with them."""


@pytest.mark.parametrize("sample", sorted(str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("*.toml")))
def test_each_sample_is_as_it_is_meant_to_be(sample: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_HOST", "127.0.0.1")  # which Django's command takes from the project's settings
    report = told(invoke(capsys, "check", SAMPLES / sample, "--offline", "--json"))
    findings = [finding for section in report["sections"] for finding in section["findings"]]
    assert {finding["kind"] for finding in findings if finding["severity"] != "note"} == WARNED.get(sample, set())
    assert report["exit_code"] == (1 if sample in WARNED else 0)


def test_all_of_it_with_a_server_and_a_name_server(tmp_path: Path, capsys: Capture) -> None:
    options = SinkOptions(tls="starttls", require_auth=True, username="me", password="secret-word")
    with serving(Sink(options)) as sink, start_blocking_portal() as portal:
        sink.write_ca(tmp_path / "ca.pem")
        with portal.wrap_async_context_manager(NameServer(ZONE)) as names:
            server = f'port = {sink.port}\nca_file = "ca.pem"\nusername = "me"\npassword = "secret-word"'
            campaign = make_campaign(tmp_path, server=server, message=ONE_CLICK)
            campaign.write_text(campaign.read_text().replace("smtp.example.com", "127.0.0.1"))
            report = told(invoke(capsys, "check", campaign, "--json", "--resolver", names.option))
            keyed = told(
                invoke(capsys, "check", campaign, "--json", "--resolver", names.option, "--dkim-selector", "s1")
            )
        assert sink.counts.messages == 0
    titles = [section["title"] for section in report["sections"]]
    assert titles[:2] == ["records: recipients.csv", "message"]
    assert titles[2:4] == [f"server: 127.0.0.1:{sink.port}", "DNS: example.com"]
    assert kinds(report) - {"server-depth"} == {"from-reserved", "dkim-unknown"}
    assert report["exit_code"] == 0
    assert report["sections"][-1]["facts"]["SPF"].startswith("met;")
    assert report["sections"][-1]["facts"]["DKIM"].startswith("not known;")
    assert "dkim-revoked" in kinds(keyed)
    assert keyed["exit_code"] == 1
    assert "secret-word" not in json.dumps(report)


def test_the_campaigns_own_signature_against_the_dns(tmp_path: Path, capsys: Capture) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    private = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (tmp_path / "key.pem").chmod(0o600)
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    dkim = 'dkim = { domain = "example.com", selector = "s1", key_file = "key.pem" }'
    campaign = make_campaign(tmp_path, message=dkim)
    zone = {**ZONE, "s1._domainkey.example.com TXT": [f"v=DKIM1; k=ed25519; p={public}"]}
    with (
        serving(Sink()) as sink,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(NameServer(zone)) as names,
    ):
        arguments = ("check", campaign, "--json", "--resolver", names.option)
        url = f"smtp://127.0.0.1:{sink.port}"
        right = told(invoke(capsys, *arguments, "--server", url))
        zone["s1._domainkey.example.com TXT"] = [f"v=DKIM1; k=ed25519; p={'A' * 43}="]
        wrong = told(invoke(capsys, *arguments, "--server", url))
        (tmp_path / "key.pem").write_text("no key any more")
        broken = told(invoke(capsys, *arguments, "--server", url))
    assert "dkim-differs" not in kinds(right)
    assert "dkim-ed25519" in kinds(right)
    assert right["sections"][-1]["facts"]["alignment"].startswith("met;")
    assert public in next(f["remedy"] for s in wrong["sections"] for f in s["findings"] if f["kind"] == "dkim-differs")
    assert kinds(broken) - {"server-depth"} == {"campaign-invalid"}


def test_nothing_is_written(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    invoke(capsys, "check", campaign, "--offline")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    with serving(Sink()) as sink:
        port = sink.port
    campaign = make_campaign(tmp_path)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(NameServer(ZONE)) as names:
        url = f"smtp://127.0.0.1:{port}"
        report = told(invoke(capsys, "check", campaign, "--json", "--server", url, "--resolver", names.option))
    assert report["exit_code"] == 2
    assert "server-connect" in kinds(report)


def test_offline_asks_nobody(tmp_path: Path, capsys: Capture) -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(NameServer(ZONE)) as names:
        campaign = make_campaign(tmp_path)
        report = told(invoke(capsys, "check", campaign, "--json", "--offline", "--resolver", names.option))
        assert names.asked == []
    assert [section["title"].partition(":")[0] for section in report["sections"]][:2] == ["records", "message"]
    assert len(report["sections"]) == 3


@pytest.mark.parametrize(("server", "state"), [('tls = "none"', "not met;"), ("", "met;")])
def test_providers_ask_for_tls(tmp_path: Path, capsys: Capture, server: str, state: str) -> None:
    report = told(invoke(capsys, "check", make_campaign(tmp_path, server=server), "--offline", "--json"))
    assert report["sections"][-1]["facts"]["TLS"].startswith(state)


def test_credentials_that_are_not_set_are_one_finding_among_others(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, server='username = "me"\npassword = "${NOT_SET_AT_ALL}"')
    with (
        serving(Sink(SinkOptions(require_auth=True))) as sink,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(NameServer(ZONE)) as names,
    ):
        url = f"smtp://127.0.0.1:{sink.port}"
        report = told(invoke(capsys, "check", campaign, "--json", "--server", url, "--resolver", names.option))
    server = next(section for section in report["sections"] if section["title"].startswith("server"))
    assert server["facts"]["AUTH"] == "not tried"
    assert "PIPELINING" in server["facts"]["offers"]
    assert "server-credentials" in kinds(report)
    assert "NOT_SET_AT_ALL" in json.dumps(report)
    assert report["exit_code"] == 2
    assert any(section["title"] == "DNS: example.com" for section in report["sections"])
    assert told(invoke(capsys, "check", campaign, "--json", "--offline"))["exit_code"] == 0


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"text": "{% for x in %}"}, "text"),
        ({"message": 'headers = { X-Y = "{{ x" }'}, "X-Y"),
        ({"delivery": 'suppress = ["stop.csv"]'}, "stop.csv"),
        ({"message": 'attachments = ["stop.csv", "nowhere-{{ name }"]'}, "nowhere"),
    ],
)
def test_a_campaign_that_cannot_be_rendered_is_an_error(
    tmp_path: Path, capsys: Capture, tables: dict[str, str], said: str
) -> None:
    (tmp_path / "stop.csv").write_text("name\nnobody\n")
    ended_ = invoke(capsys, "check", make_campaign(tmp_path, **tables), "--offline", "--json")
    report = told(ended_)
    assert kinds(report) == {"campaign-invalid"}
    assert report["exit_code"] == 2
    assert said in ended_.output


def test_a_campaign_file_that_is_wrong_is_said_as_by_every_command(tmp_path: Path, capsys: Capture) -> None:
    said = complaint(invoke(capsys, "check", make_campaign(tmp_path, top="recipient = 1"), "--offline"))
    assert "recipient" in said


@pytest.mark.parametrize("resolver", ["ns.example.com", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "[::1", ""])
def test_a_resolver_is_an_address(tmp_path: Path, capsys: Capture, resolver: str) -> None:
    said = complaint(invoke(capsys, "check", make_campaign(tmp_path), "--resolver", resolver))
    assert "--resolver" in said
    assert "expected an IP address" in said


@pytest.mark.parametrize("columns", [80, 140])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    ran = ended(
        process("check", SAMPLES / "statuses" / "campaign.toml", "--offline", env=environment(COLUMNS=str(columns)))
    )
    assert ran.code == 1
    assert ran.errors == ""
    assert max(map(len, ran.output.splitlines())) <= columns
    assert "\x1b" not in ran.output
    assert "0 errors, 5 warnings" in " ".join(ran.output.split())


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_where_it_is_wanted(variables: dict[str, str], *, coloured: bool) -> None:
    leader, follower = pty.openpty()
    campaign = SAMPLES / "statuses" / "campaign.toml"
    running = process("check", campaign, "--offline", stdout=follower, env=environment(TERM="xterm", **variables))
    os.close(follower)
    shown = shown_on(leader)
    assert ended(running).code == 1
    assert (b"\x1b[33m" in shown) is coloured
    assert b"5 warnings" in shown


def test_what_records_and_servers_say_is_not_obeyed_by_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, 'email,name\n"\x1b[2Jx y",\x9b31m\na@example.com,A\n')
    zone = {**ZONE, "example.com TXT": ["v=spf1 \x1b[2J -all"]}
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(NameServer(zone)) as names:
        ended_ = invoke(capsys, "check", campaign, "--resolver", names.option, "--server", "smtp://127.0.0.1:1")
    assert "\x1b" not in ended_.output
    assert "\x9b" not in ended_.output
    assert "\\x1b[2J" in ended_.output


def test_what_a_finding_says_is_not_obeyed_by_the_terminal(capsys: Capture) -> None:
    """Whoever finds something says it as it is; it is escaped as it is shown."""
    section = Section("records")
    section.note("odd", "it says \x9b31m and \u202eevil", where="a\u2066.csv")
    print_report(Report("campaign.toml", [section]))
    said = capsys.readouterr().out
    assert "\\u202eevil" in said
    assert not set("\x9b\u202e\u2066") & set(said)


def test_a_terminal_is_told_how_far_it_has_come(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = make_campaign(tmp_path)
    assert invoke(capsys, "check", campaign, "--offline").errors == ""
    monkeypatch.setattr("batchsend.cli.findings._INTERVAL", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    said = invoke(capsys, "check", campaign, "--offline").errors
    assert "3 records (100%)" in said
    assert said.endswith("\r\x1b[K")


def test_standard_input_can_be_checked(tmp_path: Path) -> None:
    campaign = make_campaign(tmp_path)
    running = process("check", campaign, "--recipients", "-", "--offline", "--json", stdin=-1)
    report = told(ended(running, "email,name\na@example.com,A\nnobody,N\n"))
    assert report["sections"][0]["title"] == "records: standard input"
    assert report["sections"][0]["findings"][0]["where"] == "standard input, line 3"


def test_help_says_what_the_exit_codes_mean(capsys: Capture) -> None:
    said = " ".join(invoke(capsys, "check", "--help").output.split())
    assert "Exit code: 0 nothing is wrong, 1 there are warnings or bad records, 2 there are errors" in said
