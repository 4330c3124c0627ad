"""``batchsend explain``: what a reply means."""

from __future__ import annotations

import io
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.smtp import commands
from batchsend.smtp.client import Client
from batchsend.smtp.transaction import Disposition, Transaction
from tests.cli.commandline import complaint, ended, invoke, process

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def explained(capsys: Capture, *arguments: str | Path) -> dict[str, Any]:
    result = invoke(capsys, "explain", *arguments, "--json")
    assert (result.code, result.errors) == (0, "")
    told = json.loads(result.output)
    assert isinstance(told, dict)
    return told


def test_the_terminal_says_whom_it_is_about_and_what_is_done(capsys: Capture) -> None:
    result = invoke(capsys, "explain", "550 5.4.5 Daily user sending quota exceeded")
    assert (result.code, result.errors) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines() if not line.startswith(" "))
    assert lines["verdict"] == "quota (quota)"
    assert lines["about"] == "the relay"
    assert lines["record"].startswith("goes back")
    assert "max_wait" in result.output
    assert "at the latest" in lines["until"]


def test_json_has_the_keys_that_programs_hold_on_to(capsys: Capture) -> None:
    told = explained(
        capsys, "550 5.1.1 <u1@example.com>: Recipient address rejected: User unknown in virtual mailbox table"
    )
    assert {"verdict", "outcome", "reason", "scope", "until", "provider", "advice", "rule"} <= set(told)
    assert (told["verdict"], told["outcome"], told["reason"], told["scope"]) == (
        *("mailbox", "rejected", "unknown_mailbox", "recipient"),
    )
    assert told["provider"] == "Postfix"
    assert told["until"] is None


@pytest.mark.parametrize(
    "reply",
    [
        "550-5.1.1 The email account that you tried to reach does\n550 5.1.1 not exist. gsmtp",
        "550-5.1.1 The email account that you tried to reach does\r\n550-5.1.1 not exist.\r\n550 5.1.1 gsmtp\r\n",
        r"550-5.1.1 The email account that you tried to reach does\n550 5.1.1 not exist. gsmtp",
        "550-5.1.1 The email account that you tried to reach does / 5.1.1 not exist. / 5.1.1 gsmtp",
        "  '550 5.1.1 The email account that you tried to reach does not exist. gsmtp'\n",
    ],
)
def test_lines_may_be_written_in_any_way(capsys: Capture, reply: str) -> None:
    told = explained(capsys, reply)
    assert (told["verdict"], told["enhanced"], told["provider"]) == ("mailbox", "5.1.1", "Gmail")


def test_a_goes_back_is_no_outcome(capsys: Capture) -> None:
    told = explained(capsys, "421 Too many concurrent SMTP connections")
    assert (told["verdict"], told["outcome"]) == ("connections", "goes_back")


def test_the_stage_counts(capsys: Capture) -> None:
    at_mail = explained(capsys, "--stage", "mail", "550 No")
    at_content = explained(capsys, "--stage", "content", "550 No")
    assert (at_mail["verdict"], at_content["verdict"]) == ("sender", "refused")


@pytest.mark.parametrize(
    ("stage", "reply", "scope", "session", "relay"),
    [
        ("content", "503 5.5.1 BDAT command not allowed here", "session", "ends", "gets DATA from now on"),
        ("content", "500 unrecognized command: BDAT", "session", "ends", "gets DATA from now on"),
        ("mail", "500 Too long idle", "session", "is over", "goes on"),
        ("mail", "451 4.4.2 Timeout waiting for data from client.", "session", "is over", "goes on"),
        ("auth", "454 4.7.0 Temporary authentication failure", "session", "is not opened", "pauses for about two min"),
        ("auth", "454 4.7.0 too many logins", "relay", "is not opened", "pauses for about two minutes"),
        ("auth", "535 5.7.8 too many failed logins", "relay", "is not opened", "is out of service"),
        ("greeting", "450 not now", "session", "is not opened", "is tried again after a pause"),
        ("greeting", "554 5.3.2 no service here", "relay", "is not opened", "is out of service"),
        ("starttls", "454 4.7.0 TLS not available", "session", "is not opened", "is tried again after a pause"),
        ("starttls", "554 no", "relay", "is not opened", "is out of service"),
    ],
)
def test_what_is_said_is_what_is_done(
    stage: str, reply: str, scope: str, session: str, relay: str, capsys: Capture
) -> None:
    """Where a session ends or is not opened, no record has an outcome."""
    told = explained(capsys, "--stage", stage, reply)
    assert (told["outcome"], told["scope"]) == ("goes_back", scope)
    assert told["session"].startswith(session)
    assert told["relay"].startswith(relay)
    assert "attempt" in told["record"]


def became_of_two(stage: str, reply: str, quiet: float) -> list[Disposition]:
    """What a session says of two messages, of which the first one is accepted.

    The reply comes at a stage of the second one, after so many seconds of silence.
    """
    client: Client[int] = Client(pipelining=True)
    messages = [Transaction(number, mail=commands.mail(""), rcpt=b"RCPT", content=b"") for number in (1, 2)]
    client.begin(messages[0])
    client.data_to_send()
    client.receive(b"250 Ok\r\n250 Ok\r\n354 Go\r\n")
    client.begin(messages[1])
    client.data_to_send()
    client.receive(b"250 Ok\r\n250 Ok\r\n250 Ok\r\n" + (b"354 Go\r\n" if stage == "content" else b""))
    client.data_to_send()
    client.receive(f"{reply}\r\n".encode(), quiet=quiet)
    confirmed = client.error is None or not client.unconfirmed
    client.abandon()
    return [messages[0].disposition if confirmed else Disposition.IN_DOUBT, messages[1].disposition]


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        ("421 4.4.2 mx.example.net Error: timeout exceeded", 1),
        ("451 4.4.2 Timeout waiting for data from client", 1),
        ("421 4.3.2 Service shutting down", 30),
        ("421 bye", 30),
        ("421", 30),
        ("421 4.7.0 Too much mail, try again later", None),
        ("451 4.3.0 The scanner for viruses has timed out", None),
        ("550 5.7.1 No", None),
    ],
)
def test_it_says_when_a_message_is_in_doubt_and_a_session_has_it_so(
    reply: str, seconds: float | None, capsys: Capture
) -> None:
    """What refuses a content may come from a server that has answered it, and has waited for the next command since."""
    told = explained(capsys, "--stage", "content", reply)
    assert told["in_doubt_from"] == seconds
    assert ("in doubt " in invoke(capsys, "explain", "--stage", "content", reply).output) == (seconds is not None)
    for quiet in (0.0, 0.9, 1.0, 29.0, 30.0, 500.0):
        doubtful = seconds is not None and quiet >= seconds
        _, disposition = became_of_two("content", reply, quiet)
        assert (disposition is Disposition.IN_DOUBT) == doubtful, quiet


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_before_its_content_is_sent_no_message_is_in_doubt(stage: str, capsys: Capture) -> None:
    """But the one before it may have been told what was said to a later command, if the server had waited for long."""
    told = explained(capsys, "--stage", stage, "421 bye")
    assert told["in_doubt_from"] is None
    assert "message before it" in invoke(capsys, "explain", "--stage", stage, "421 bye").output
    assert became_of_two("data", "421 bye", 29.0) == [Disposition.ANSWERED, Disposition.UNSENT]
    assert became_of_two("data", "421 bye", 30.0) == [Disposition.IN_DOUBT, Disposition.UNSENT]


def test_the_stage_is_taken_from_the_table_or_from_what_postfix_adds(capsys: Capture) -> None:
    assert (
        explained(capsys, "554 Message not allowed - [PH01] Email not accepted for policy reasons.")["stage"]
        == "content"
    )
    assert explained(capsys, "550 no (in reply to MAIL FROM command)")["stage"] == "mail"
    assert explained(capsys, "535 no")["stage"] == "auth"
    assert explained(capsys, "550 no")["stage"] == "rcpt"


def test_it_is_read_from_standard_input() -> None:
    result = ended(
        process("explain", "-", "--json", stdin=subprocess.PIPE), "450 4.2.0 Greylisted, try again in 300 seconds\n"
    )
    assert json.loads(result.output)["verdict"] == "greylisted"


def test_what_a_server_says_does_not_reach_the_terminal_as_it_is(capsys: Capture) -> None:
    result = invoke(capsys, "explain", "550 \x1b[31mno\x07")
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


@pytest.mark.parametrize("reply", ["hello", "", "55 no", "999 no", "no 550 here"])
def test_no_reply_code_is_an_error_with_a_remedy(capsys: Capture, reply: str) -> None:
    assert "550 5.1.1 User unknown" in complaint(invoke(capsys, "explain", reply))


def test_354_decides_nothing(capsys: Capture) -> None:
    assert " asks for more and decides nothing" in complaint(invoke(capsys, "explain", "354 go ahead"))


def test_an_unknown_stage_is_an_error(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "--stage" in complaint(invoke(capsys, "explain", "550 no", "--stage", "quit"))


@pytest.mark.parametrize("reply", ["452 4.5.3 Too many recipients", "550 5.5.3 Too many recipients"])
def test_what_is_taken_later_is_no_fault_of_message_or_address(capsys: Capture, reply: str) -> None:
    told = explained(capsys, reply)
    assert (told["verdict"], told["outcome"]) == ("later", "deferred")
    assert "Try again later" in told["advice"]
