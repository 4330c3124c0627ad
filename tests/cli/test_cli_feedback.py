"""``batchsend feedback``: sources of every kind, what it prints and keeps, and a campaign that heeds it."""

from __future__ import annotations

import json
import mailbox
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from batchsend.message.verp import Verp, make_key
from tests.cli.commandline import environment, invoke
from tests.feedback.letters import complaint, dsn, letter, lines_of, results_log

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = """\
recipients = "list.csv"
[[server]]
host = "127.0.0.1"
tls = "none"
[message]
from = "news@mail.example.com"
return_path = "bounce+{{ batch.verp }}@mail.example.com"
subject = "News"
text = "Hello"
"""


def four(folder: Path) -> Path:
    """A folder of four letters: two bounces, a complaint, and one that is no report."""
    mail = folder / "mail"
    mail.mkdir()
    (mail / "1.eml").write_bytes(dsn())
    (mail / "2.eml").write_bytes(dsn("stranger@example.com"))
    (mail / "3.eml").write_bytes(complaint())
    (mail / "4.eml").write_bytes(letter("Thank you!"))
    return mail


def test_what_came_back_is_said_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, mail = results_log(tmp_path), four(tmp_path)
    first = invoke(capsys, "feedback", mail, "--results", results)
    assert first.code == 0
    for words in ("2  bounced (2 hard)", "1  complaints", "1  not understood", "2  tied to their", "1  tied to none"):
        assert words in first.output
    log = tmp_path / "results.feedback.jsonl"
    assert [line["record"] for line in lines_of(log)] == [1, None, 3]
    again = invoke(capsys, "feedback", mail, "--results", results)
    assert f"0 new in {log}" in again.output
    assert len(lines_of(log)) == 3


def test_as_json_each_report_is_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, mail = results_log(tmp_path), four(tmp_path)
    objects = [json.loads(line) for line in invoke(capsys, "feedback", mail, "--json").output.splitlines()]
    assert [one["kind"] for one in objects] == ["bounced", "bounced", "complained", "other"]
    assert objects[0]["file"] == str(mail / "1.eml")
    assert not any("record" in one for one in objects)
    tied = invoke(capsys, "feedback", mail, "--json", "--results", results).output.splitlines()
    assert [json.loads(line).get("record") for line in tied] == [1, None, 3, None]


def test_a_maildir_an_mbox_and_standard_input_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letters = [dsn(), letter("From here on.\n\nFrom there as well."), complaint()]
    maildir = mailbox.Maildir(tmp_path / "maildir")
    mbox = mailbox.mbox(tmp_path / "mbox")
    for octets in letters:
        maildir.add(octets)
        mbox.add(octets)
    mbox.close()
    kinds = {}
    for source in ("maildir", "mbox"):
        output = invoke(capsys, "feedback", tmp_path / source, "--json").output
        kinds[source] = sorted(json.loads(line)["kind"] for line in output.splitlines())
    command = [sys.executable, "-m", "batchsend", "feedback", "-", "--json"]
    piped = subprocess.run(
        command, input=(tmp_path / "mbox").read_bytes(), env=environment(), capture_output=True, check=True
    )
    kinds["-"] = sorted(json.loads(line)["kind"] for line in piped.stdout.splitlines())
    assert all(found == ["bounced", "complained", "other"] for found in kinds.values()), kinds


def test_what_an_mbox_quotes_is_as_it_was_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mbox").write_bytes(
        b"From x\nSubject: a\n\n>From here\n>>From there\n> From him\n\nFrom y\nSubject: b\n"
    )
    invoke(capsys, "feedback", tmp_path / "mbox", "--keep", tmp_path / "kept")
    kept = {file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    assert kept == {b"Subject: a\n\nFrom here\n>From there\n> From him\n\n", b"Subject: b\n"}


def test_a_file_of_one_message_is_called_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether or not the line of the mailbox that it was in is left; in a mailbox of several each has a number."""
    mbox_line = b"From MAILER-DAEMON Mon Nov 30 09:00:00 2026\n"
    body = letter("Hello.\n\nFrom here on it goes on.")
    (tmp_path / "a.eml").write_bytes(mbox_line + body)
    (tmp_path / "b.EML").write_bytes(body)
    (tmp_path / "alone").write_bytes(mbox_line + body.replace(b"\nFrom here", b"\n>From here"))
    (tmp_path / "two").write_bytes(mbox_line + dsn() + b"\n" + mbox_line + dsn())
    sources = [tmp_path / name for name in ("a.eml", "b.EML", "alone", "two")]
    found = [json.loads(line)["file"] for line in invoke(capsys, "feedback", *sources, "--json").output.splitlines()]
    assert found == [*map(str, sources[:3]), f"{tmp_path / 'two'}:1", f"{tmp_path / 'two'}:2"]


def test_the_mails_are_kept_only_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mail = four(tmp_path)
    before = set(tmp_path.iterdir())
    invoke(capsys, "feedback", mail)
    assert set(tmp_path.iterdir()) == before
    for _ in range(2):
        invoke(capsys, "feedback", mail, "--keep", tmp_path / "kept")
    kept = sorted(file.read_bytes() for file in (tmp_path / "kept").iterdir())
    assert kept == sorted(file.read_bytes() for file in mail.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "cannot be read"),
        (["imaps://example.org/INBOX"], "the URL needs a host and a user"),
        (["imaps://bounces:secret@example.org/INBOX"], "the URL needs a host and a user, no password"),
        (["imaps://bounces@example.org/INBOX"], "no password"),
        (["mail", "--move", "Done"], "--move needs the results log"),
        (["mail", "--results", "nowhere.jsonl"], "cannot be opened"),
        (["mail", "--results", "list.csv"], "does not begin with the line of a run"),
        (["mail", "--suppress", "never.csv"], "--suppress needs the results log"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    four(tmp_path)
    (tmp_path / "list.csv").write_text("email\nanna@example.org\n")
    before = set(tmp_path.iterdir())
    ended = invoke(capsys, "feedback", *arguments)
    assert ended.code == 2
    assert said in ended.errors
    assert set(tmp_path.iterdir()) == before


def test_a_campaign_heeds_what_came_back_to_its_signed_return_paths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: sent, bounced to the return path that the server was given, tied, suppressed the next time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("email\nanna@example.org\nbert@example.org\n")
    (tmp_path / "campaign.toml").write_text(CAMPAIGN)
    assert invoke(capsys, "send", "campaign.toml", "--sandbox").code == 0
    run = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])["run"]["id"]
    token = Verp(run, lambda: make_key(tmp_path / "results.jsonl")).token(2)
    (tmp_path / "bounce.eml").write_bytes(dsn("x@example.com", to=f"bounce+{token}@mail.example.com"))
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")
    (tmp_path / "forged.eml").write_bytes(dsn("anna@example.org", to=f"bounce+{forged}@mail.example.com"))
    ended = invoke(capsys, "feedback", "bounce.eml", "forged.eml", "--results", "results.jsonl")
    assert "did not sign" in ended.output
    assert [line["record"] for line in lines_of(tmp_path / "results.feedback.jsonl")] == [2, None]
    suppressing = CAMPAIGN.replace("[message]", '[delivery]\nsuppress = ["results.feedback.jsonl"]\n[message]')
    (tmp_path / "next.toml").write_text(suppressing)
    assert invoke(capsys, "send", "next.toml", "--sandbox", "--results", "next.jsonl").code == 0
    statuses = {line["recipient"]: line["status"] for line in lines_of(tmp_path / "next.jsonl") if "record" in line}
    assert statuses == {"anna@example.org": "accepted", "bert@example.org": "suppressed"}


def test_a_run_whose_key_is_lost_does_not_go_on_with_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is signed with the key that is lost; whoever goes on without it says so by giving one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("email\nanna@example.org\nbert@example.org\n")
    (tmp_path / "campaign.toml").write_text(CAMPAIGN)
    assert invoke(capsys, "send", "campaign.toml", "--sandbox", "--limit", "1").code == 0
    key = tmp_path / "results.jsonl.key"
    key.unlink()
    ended = invoke(capsys, "resume", "results.jsonl", "--sandbox")
    assert ended.code == 2
    assert "results.jsonl.key is lost" in ended.errors
    assert "BATCHSEND_VERP_KEY" in ended.errors
    assert not key.exists()
    monkeypatch.setenv("BATCHSEND_VERP_KEY", "k" * 64)
    assert invoke(capsys, "resume", "results.jsonl", "--sandbox").code == 0
    assert len({line["record"] for line in lines_of(tmp_path / "results.jsonl") if "record" in line}) == 2


def test_a_lost_key_of_tokens_in_the_text_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("email\nanna@example.org\nbert@example.org\n")
    signed = CAMPAIGN.replace("bounce+{{ batch.verp }}@", "bounce@").replace('"News"', '"{{ batch.verp }}"')
    (tmp_path / "campaign.toml").write_text(signed)
    assert invoke(capsys, "send", "campaign.toml", "--sandbox", "--limit", "1").code == 0
    (tmp_path / "results.jsonl.key").unlink()
    ended = invoke(capsys, "resume", "results.jsonl", "--sandbox")
    assert ended.code == 0
    assert "results.jsonl.key is lost" in ended.errors + ended.output
