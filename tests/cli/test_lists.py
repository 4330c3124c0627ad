"""Lists as people have them: who gets a message is told by the server, and `check` says what was made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.sink import Received, Sink, SinkOptions, parse_rule
from tests.cli.commandline import invoke, make_campaign, outcomes, serving, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


class _Server:
    """A sink, and what it has received."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        rules = (parse_rule("defer", "*@defer.example.com"), parse_rule("drop", "*@drop.example.com"))
        self.sink = Sink(SinkOptions(rules=rules), on_message=self.received.append)

    @property
    def options(self) -> tuple[str, str]:
        return "--server", f"smtp://{self.sink.hosts[0]}:{self.sink.port}"

    @property
    def recipients(self) -> list[str]:
        return sorted(recipient for message in self.received for recipient in message.recipients)


@pytest.fixture
def server() -> Iterator[_Server]:
    here = _Server()
    with serving(here.sink):
        yield here


def checked(capsys: Capture, campaign: Path) -> dict[str, Any]:
    """The section about records that `check` gives, its findings by their kinds."""
    told = json.loads(invoke(capsys, "check", campaign, "--offline", "--json").output)
    section: dict[str, Any] = told["sections"][0]
    return {"facts": section["facts"], "findings": {finding["kind"]: finding for finding in section["findings"]}}


def run_line(folder: Path) -> dict[str, Any]:
    line: dict[str, Any] = json.loads((folder / "results.jsonl").read_text().splitlines()[0])["run"]
    return line


def test_addresses_are_cleaned_and_check_says_so(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    written = [" a@example.com", "b@example.com\xa0", "\u200bc@example.com", "'d@example.com", "mailto:e@example.com"]
    rows = "".join(f'"{address}",N\n' for address in written)
    campaign = make_campaign(tmp_path, f"email,name\n{rows}", message='to = "{{ name }} <{{ email }}>"')
    finding = checked(capsys, campaign)["findings"]["address-cleaned"]
    assert (finding["count"], finding["lines"]) == (5, [2, 3, 4, 5, 6])
    assert invoke(capsys, "send", campaign, *server.options).code == 0
    assert server.recipients == [f"{letter}@example.com" for letter in "abcde"]
    assert all(f"<{message.recipients[0]}>".encode() in message.content for message in server.received)


def test_what_servers_take_apart_differently_is_invalid(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    written = ['"bob> ORCPT=x@y"@example.org', '"a b"@example.org', '"a@b"@example.org', '""@example.org']
    written += ["u@[127.0.0.1]", "v%o@example.org"]
    rows = "".join(json.dumps({"email": address, "name": "N"}) + "\n" for address in written)
    campaign = make_campaign(tmp_path, message="")
    (tmp_path / "list.jsonl").write_text(rows)
    ended = invoke(capsys, "send", campaign, "--recipients", tmp_path / "list.jsonl", *server.options)
    assert ended.code == 1
    assert server.recipients == []
    lines = outcomes(tmp_path / "results.jsonl")
    assert [line["status"] for line in lines] == ["invalid"] * 6
    assert all("is not an address" in line["reason"] for line in lines)


def test_one_person_written_in_several_ways_gets_one_message(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    rows = [
        r'"r\1"@example.com',
        "r1@example.com",
        "R1@EXAMPLE.com",
        '"u"@example.com',
        "U@example.com",
        "gone@example.com",
    ]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps({"email": row, "name": "N"}) + "\n" for row in rows))
    (tmp_path / "gone.txt").write_text('"gone"@example.com\n')
    campaign = make_campaign(tmp_path, delivery='suppress = ["gone.txt"]')
    options = ("--recipients", tmp_path / "list.jsonl")
    assert invoke(capsys, "send", campaign, *options, *server.options).code == 0
    assert server.recipients == ["r1@example.com", "u@example.com"]
    assert list(statuses(tmp_path / "results.jsonl").values()).count("suppressed") == 4


def test_check_and_send_count_the_same(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    """An invalid record takes nothing from a later one of its address; whoever is held back is no duplicate."""
    rows = ["a@example.com,A", "A@example.com,A", "b@example.com,b b", "b@example.com,B", "gone@example.com,G"]
    rows += ["gone@example.com,G", "had@example.com,H", "had@example.com,H", "nobody,N"]
    (tmp_path / "gone.csv").write_text("status,reason,email,created\n550,Mailbox full,gone@example.com,1700000000\n")
    (tmp_path / "empty.txt").write_text("# nobody\n")
    before = make_campaign(tmp_path, "email,name\nhad@example.com,H\n")
    assert invoke(capsys, "send", before, *server.options, "--results", tmp_path / "october.jsonl").code == 0
    campaign = make_campaign(
        tmp_path,
        "email,name\n" + "\n".join(rows) + "\n",
        message='reply_to = "{{ name }}@example.com"',
        delivery='suppress = ["gone.csv", "empty.txt"]\nexclude = ["october.jsonl"]',
    )
    found = checked(capsys, campaign)
    assert found["facts"]["ready to send"] == "2"
    assert found["facts"]["suppressed"] == "4"
    assert found["facts"]["duplicates"].startswith("1,")
    assert found["findings"]["address-duplicate"]["count"] == 1
    assert found["findings"]["suppression-empty"]["severity"] == "warning"
    assert invoke(capsys, "send", campaign, *server.options).code == 1
    assert server.recipients == ["a@example.com", "b@example.com", "had@example.com"]
    lines = outcomes(tmp_path / "results.jsonl")
    assert [line["record"] for line in lines if line["status"] == "accepted"] == [1, 4]
    reasons = {line["record"]: line["reason"] for line in lines if line["status"] == "suppressed"}
    assert reasons == {
        2: "duplicate",
        5: "on a suppression list",
        6: "on a suppression list",
        7: "had it already",
        8: "had it already",
    }
    assert [line["record"] for line in lines if line["status"] == "invalid"] == [3, 9]
    assert run_line(tmp_path)["suppress"] == [
        {"path": str(tmp_path / "gone.csv"), "entries": 1},
        {"path": str(tmp_path / "empty.txt"), "entries": 0},
    ]


def test_whoever_was_written_to_is_known_before_the_first_record_is_offered_again(
    tmp_path: Path, server: _Server, capsys: Capture
) -> None:
    """The first record was invalid and is mended by the template; the last one, far behind it, has the same address."""
    rows = "".join(f"r{n}@example.com,N\n" for n in range(2, 300))
    message = 'reply_to = "{{ name }}@example.com"'
    campaign = make_campaign(tmp_path, f"email,name\nsame@example.com,a b\n{rows}same@example.com,N\n", message=message)
    assert invoke(capsys, "send", campaign, *server.options).code == 1
    assert statuses(tmp_path / "results.jsonl")[1] == "invalid"
    assert server.recipients.count("same@example.com") == 1
    campaign.write_text(campaign.read_text().replace(message, ""))
    assert invoke(capsys, "resume", tmp_path / "results.jsonl", "--retry", "invalid", *server.options).code == 0
    assert server.recipients.count("same@example.com") == 1
    assert statuses(tmp_path / "results.jsonl")[1] == "suppressed"
