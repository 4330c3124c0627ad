"""A correction to those who got a campaign: its log is the list, and the fields of its own list are there."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.cli.commandline import Ended, invoke, make_campaign, outcomes, serving
from tests.delivery.harness import CountingServer
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = [("ann@example.com", "Ann", "5"), ("bob@example.com", "Bob", "6"), ("cy@example.com", "Cy", "7")]
ROWS += [("dee@example.com", "Dee", "8"), ("eve@example.com", "Eve", "9")]
CSV = "name,E-Mail,seat\n" + "".join(f'"{name}\nsenior",{address},{seat}\n' for address, name, seat in ROWS)


class Relay(CountingServer):
    """Refuses Bob for good, and Cy once."""

    def __init__(self) -> None:
        super().__init__(self._decide)
        self._asked = 0

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.RCPT and recipient == "bob@example.com":
            return refuse(550, "5.1.1 no such user")
        if stage is Stage.RCPT and recipient == "cy@example.com":
            self._asked += 1
            return refuse(450, "4.2.0 later") if self._asked == 1 else ACCEPT
        return ACCEPT

    def said(self) -> dict[str, str]:
        """The last line of what each recipient got since the last time, without soft line ends."""
        found = {
            message.recipients[0]: message.content.replace(b"=\r\n", b"").decode().strip().splitlines()[-1]
            for message in self.accepted
        }
        self.accepted.clear()
        return found


@pytest.fixture
def relay() -> Iterator[Relay]:
    with serving(Relay()) as relay:
        yield relay


class Folder:
    """A campaign that was sent, and corrections to it."""

    def __init__(self, path: Path, relay: Relay, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.log = path / "results.jsonl"
        self._relay = relay
        self._capsys = capsys

    def campaign(self, text: str, recipients: str, **tables: str) -> Path:
        tables["server"] = f'port = {self._relay.port}\ntls = "none"'
        tables["delivery"] = 'max_connections = 1\nretry_after = "10ms"'
        path = make_campaign(self.path, CSV, text=text, **tables)
        toml = path.read_text().replace("smtp.example.com", self._relay.host).replace("recipients.csv", recipients)
        path.write_text(toml.replace("For {{ name }}", "News"))
        return path

    def run(self, *arguments: str | Path) -> Ended:
        return invoke(self._capsys, *arguments, "--no-progress")

    def correct(
        self, text: str, results: str, *options: str, recipients: str = "results.jsonl", **tables: str
    ) -> Ended:
        campaign = self.campaign(text, recipients, **tables)
        return self.run("send", campaign, "--results", self.path / results, *options)


@pytest.fixture
def folder(tmp_path: Path, relay: Relay, capsys: pytest.CaptureFixture[str]) -> Folder:
    folder = Folder(tmp_path, relay, capsys)
    assert folder.run("send", folder.campaign("Seat {{ seat }}", "recipients.csv")).code == 1
    assert [line["record"] for line in outcomes(folder.log)] == [1, 2, 3, 4, 5, 3]
    relay.said()
    return folder


def test_those_who_got_it_are_written_to_with_their_own_fields(folder: Folder, relay: Relay) -> None:
    ended = folder.correct("Not {{ seat }}, {{ name.split()[0] }} {{ code }}", "second.jsonl", "--only", "accepted")
    assert ended.code == 0, ended
    assert relay.said() == {
        "ann@example.com": "Not 5, Ann 250",
        "cy@example.com": "Not 7, Cy 250",
        "dee@example.com": "Not 8, Dee 250",
        "eve@example.com": "Not 9, Eve 250",
    }
    assert [line["record"] for line in outcomes(folder.path / "second.jsonl")] == [1, 3, 4, 5], "as in the list"


def test_a_correction_is_gone_on_with_and_corrected_itself(folder: Folder, relay: Relay) -> None:
    options = ("--only", "accepted", "--limit", "2")
    assert folder.correct("Not {{ seat }}", "second.jsonl", *options).code == 0
    assert relay.said() == {"ann@example.com": "Not 5", "cy@example.com": "Not 7"}
    assert folder.run("resume", folder.path / "second.jsonl").code == 0
    assert relay.said() == {"dee@example.com": "Not 8", "eve@example.com": "Not 9"}
    third = folder.correct("Really {{ seat }}", "third.jsonl", "--only", "accepted", recipients="second.jsonl")
    assert third.code == 0, third
    assert sorted(relay.said().values()) == ["Really 5", "Really 7", "Really 8", "Really 9"]
    run = json.loads((folder.path / "third.jsonl").read_text().splitlines()[0])["run"]
    assert run["recipients"]["of"]["path"] == str(folder.path / "recipients.csv")


def test_a_list_that_has_changed_is_not_used_and_that_is_said(folder: Folder, relay: Relay) -> None:
    assert folder.correct("Not {{ seat }}", "second.jsonl", "--only", "accepted", "--limit", "1").code == 0
    relay.said()
    list_ = folder.path / "recipients.csv"
    list_.write_text(list_.read_text().replace("ann@", "someone-else@"))
    changed = folder.run("resume", folder.path / "second.jsonl")
    assert changed.code == 2, "the numbers of its records are places in a list that is another now"
    assert "recipients.csv has changed" in changed.errors
    campaign = folder.path / "campaign.toml"
    campaign.write_text(campaign.read_text().replace("Not {{ seat }}", "Sorry, {{ recipient }}"))
    arguments = ("send", campaign, "--results", folder.path / "third.jsonl", "--only", "accepted")
    ended = folder.run(*arguments)
    assert ended.code == 0, ended
    assert "records have the fields of the log alone, not those of its list: " in ended.errors
    assert relay.said()["ann@example.com"] == "Sorry, ann@example.com"


def test_the_address_is_the_one_that_was_written_to_unless_a_field_is_named(folder: Folder, relay: Relay) -> None:
    grown = folder.path / "recipients.csv"
    grown.write_text(f"{grown.read_text()}New,new@example.com,10\n")
    campaign = folder.campaign("Not {{ seat }}", "results.jsonl", top='recipient_field = "E-Mail"')
    grown.write_text(f"{CSV}New,new@example.com,10\n")
    ended = folder.run("send", campaign, "--results", folder.path / "second.jsonl", "--only", "5.1.1")
    assert ended.code == 1, ended
    assert [line["recipient"] for line in outcomes(folder.path / "second.jsonl")] == ["bob@example.com"]


def test_a_compressed_list_is_read_likewise(folder: Folder, relay: Relay) -> None:
    (folder.path / "list.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    campaign = folder.campaign("Seat {{ seat }}", "list.csv.gz")
    assert folder.run("send", campaign, "--results", folder.path / "first.jsonl").code == 1
    relay.said()
    ended = folder.correct("Not {{ seat }}", "second.jsonl", "--only", "accepted", recipients="first.jsonl")
    assert ended.code == 0, ended
    assert sorted(relay.said().values()) == ["Not 5", "Not 7", "Not 8", "Not 9"]
