"""``batchsend send --to``: the message of a record, through the real relay, to a tester and to nobody else."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

from batchsend.message.proof import DISARMED, Proof
from batchsend.sink import Received, Sink, SinkOptions, parse_rule
from tests.cli.commandline import invoke, make_campaign, serving
from tests.message.composing import body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
MESSAGE = """\
to = "{{ name }} <{{ email }}>"
return_path = "bounce+{{ batch.record }}@example.com"
html = '''<p>For {{ name }}: <a href="https://example.com/u?t={{ email }}">Unsubscribe</a>
<a href="https://example.com/shop">shop</a></p>'''
headers = { List-Unsubscribe = "<https://example.com/u?t={{ email }}>", \
List-Unsubscribe-Post = "List-Unsubscribe=One-Click", X-Campaign = "spring" }
"""


class _Server:
    """A sink, and what it has received."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.sink = Sink(SinkOptions(rules=(parse_rule("reject", "*@reject.example.com"),)), on_message=self._take)

    def _take(self, message: Received) -> None:
        self.received.append(message)

    @property
    def url(self) -> str:
        return f"smtp://{self.sink.hosts[0]}:{self.sink.port}"


@pytest.fixture
def server() -> Iterator[_Server]:
    here = _Server()
    with serving(here.sink):
        yield here


def test_the_tester_gets_the_message_of_the_first_record(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, message=MESSAGE, text="To unsubscribe: https://example.com/u?t={{ email }} bye")
    ended = invoke(capsys, "send", campaign, "--to", "tester@example.net", "--server", server.url)
    assert ended.code == 0, ended.errors
    assert "record 1 to tester@example.net: accepted (250" in ended.errors
    (received,) = server.received
    assert received.recipients == ["tester@example.net"]
    message = message_from_bytes(received.content, policy=policy.default)
    assert (message["To"], message["Subject"]) == ("tester@example.net", "[Test] For A")
    assert message["X-Campaign"] == "spring"
    assert message["List-Unsubscribe"] is message["List-Unsubscribe-Post"] is None
    text, html = (body(message, kind) for kind in ("plain", "html"))
    assert "u?t=" not in text + html
    assert f"To unsubscribe: {DISARMED} bye" in text
    assert f'<p>For A: <a href="{DISARMED}">Unsubscribe</a>' in html
    assert "https://example.com/shop" in html
    assert received.reverse_path == "from@example.com"


def test_no_results_log_is_touched(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    (tmp_path / "results.jsonl").write_text("somebody else's\n")
    assert invoke(capsys, "send", campaign, "--to", "tester@example.net", "--server", server.url).code == 0
    assert (tmp_path / "results.jsonl").read_text() == "somebody else's\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaign.toml", "recipients.csv", "results.jsonl"]


def test_several_records(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    arguments = ("--to", "tester@example.net", "--record", "3", "--record", "1", "--server", server.url)
    assert invoke(capsys, "send", campaign, *arguments).code == 0
    assert server.sink.counts.connections == 1
    subjects = [message_from_bytes(one.content)["Subject"] for one in server.received]
    assert subjects == ["[Test] For A", "[Test] For C"]
    assert {one for received in server.received for one in received.recipients} == {"tester@example.net"}


def test_a_test_that_is_refused_is_said(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path)
    ended = invoke(capsys, "send", campaign, "--to", "t@reject.example.com", "--server", server.url)
    assert ended.code == 1
    assert "record 1 to t@reject.example.com: rejected (5" in ended.errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "nobody"), "--to: "),
        (("--to", "t@example.net", "--record", "9"), "3 records, and no record 9"),
        (("--record", "2"), "--record goes with --to"),
    ],
)
def test_what_cannot_be_sent(tmp_path: Path, capsys: Capture, arguments: tuple[str, ...], says: str) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path), *arguments)
    assert ended.code == 2
    assert says in ended.errors


def test_a_field_that_no_record_can_have_is_told_of_as_when_all_are_sent(tmp_path: Path, capsys: Capture) -> None:
    campaign = make_campaign(tmp_path, "email,name,Town\na@example.com,A,Rome\n", text="{{ town }}")
    proof = invoke(capsys, "send", campaign, "--to", "t@example.net")
    assert (proof.code, proof.errors) == (2, invoke(capsys, "send", campaign, "--sandbox").errors)
    assert "did you mean Town?" in proof.errors


def test_an_invalid_record_is_not_tested(tmp_path: Path, capsys: Capture) -> None:
    ended = invoke(capsys, "send", make_campaign(tmp_path, "email,name\nnobody,A\n"), "--to", "t@example.net")
    assert ended.code == 2
    assert "record 1 (line 2) is invalid" in ended.errors


def test_a_whole_message_is_tested_as_well(tmp_path: Path, server: _Server, capsys: Capture) -> None:
    (tmp_path / "message.eml").write_text(
        "From: a@example.com\nTo: {{ email }}\nSubject: Hi\nList-Unsubscribe: <https://example.com/{{ name }}>\n"
        "Content-Type: text/html; charset=utf-8\n\n<a href='https://example.com/{{ name }}'>abmelden</a>\n"
    )
    path = make_campaign(tmp_path)
    head = path.read_text().partition("[message]")[0]
    path.write_text(f'{head}[message]\neml_file = "message.eml"\n')
    assert invoke(capsys, "send", path, "--to", "tester@example.net", "--server", server.url).code == 0
    message = message_from_bytes(server.received[0].content)
    assert (message["To"], message["Subject"], message["List-Unsubscribe"]) == ("tester@example.net", "[Test] Hi", None)
    assert f'<a href="{DISARMED}">abmelden' in str(message.get_payload())


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href="https://x/1">Unsubscribe</a>', f'<a href="{DISARMED}">Unsubscribe</a>'),
        ("<a href=https://x/unsubscribe/1>here</a>", f'<a href="{DISARMED}">here</a>'),
        (
            "<p>Zum Abmelden <a class=x href='u'>hier</a>.</p>",
            f'<p>Zum Abmelden <a class=x href="{DISARMED}">hier</a>.</p>',
        ),
        ("<p>Unsubscribe</p><p><a href='shop'>shop</a></p>", "<p>Unsubscribe</p><p><a href='shop'>shop</a></p>"),
        ("<a href='shop'>shop</a>", "<a href='shop'>shop</a>"),
        (
            "<p>Click <a href='u'><b>here</b></a> to unsubscribe.</p><p>See <a href='shop'>shop</a></p>",
            f"<p>Click <a href=\"{DISARMED}\"><b>here</b></a> to unsubscribe.</p><p>See <a href='shop'>shop</a></p>",
        ),
        (
            "<a href='shop'>shop</a> | <a href='u'><div>unsubscribe</div></a>",
            f"<a href='shop'>shop</a> | <a href=\"{DISARMED}\"><div>unsubscribe</div></a>",
        ),
        ("<a href='shop'>shop</a>. Unsubscribe", "<a href='shop'>shop</a>. Unsubscribe"),
    ],
)
def test_links_that_unsubscribe_lead_nowhere(html: str, expected: str) -> None:
    assert Proof("t@example.net").html(html) == expected
