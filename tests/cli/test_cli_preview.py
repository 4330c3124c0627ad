"""``batchsend preview``: one record's message as it would be sent, and nothing is."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

from batchsend.cli import main
from tests.cli.commandline import complaint, invoke, make_campaign

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "email,name\nada@example.com,Ada\nzoe@example.com,Zoë Ångström\nnobody,No\nwei@example.com,李薇\n"


def test_the_first_record_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = invoke(capsys, "preview", make_campaign(tmp_path, ROWS))
    assert (ended.code, ended.errors) == (0, "")
    assert "MAIL FROM:<from@example.com> RCPT TO:<ada@example.com>" in ended.output
    assert "Subject: For Ada" in ended.output
    assert "Hello Ada" in ended.output


def test_another_record_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = make_campaign(
        tmp_path, ROWS, message='html = "<p>{{ name }} &amp; co</p>"\nto = "{{ name }} <{{ email }}>"'
    )
    for record, name in ((2, "Zoë Ångström"), (4, "李薇")):
        ended = invoke(capsys, "preview", campaign, "--record", str(record))
        assert ended.code == 0
        assert f"Subject: For {name}" in ended.output
        assert f"Hello {name}" in ended.output
        assert f"{name} & co" in ended.output
        raw = invoke(capsys, "preview", campaign, "--record", str(record), "--raw")
        assert f"<p>{name} &amp; co</p>" in raw.output
        assert "Subject: =?utf-8?" in raw.output
        assert f"To: {name} <" in ended.output


def test_an_invalid_record_says_why_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(invoke(capsys, "preview", make_campaign(tmp_path, ROWS), "--record", "3"))
    assert "record 3 (line 4) is invalid" in said
    assert "nobody" in said


def test_other_recipients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.jsonl").write_text('{"email": "x@example.com", "name": "X"}\n')
    ended = invoke(capsys, "preview", make_campaign(tmp_path), "--recipients", tmp_path / "more.jsonl")
    assert "RCPT TO:<x@example.com>" in ended.output


def test_eml_is_the_message_to_the_octet(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    campaign = make_campaign(tmp_path, ROWS)
    for target in ("-", str(tmp_path / "one.eml")):
        with pytest.raises(SystemExit) as caught:
            main(["preview", str(campaign), "--record", "2", "--eml", target])
        assert not caught.value.code
    printed = capfdbinary.readouterr().out
    written = (tmp_path / "one.eml").read_bytes()
    assert b"\n" not in written.replace(b"\r\n", b"")
    for octets in (printed, written):
        message = message_from_bytes(octets, policy=policy.default)
        assert message["Subject"] == "For Zoë Ångström"
        assert message["To"] == "zoe@example.com"


def test_credentials_need_not_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = make_campaign(tmp_path, server='username = "${NOT_SET_AT_ALL}"\npassword = "${NOT_SET_AT_ALL}"')
    assert invoke(capsys, "preview", campaign).code == 0
    assert not (tmp_path / "results.jsonl").exists()
