"""Whatever others have written, none of it reaches a terminal as something that a terminal obeys: ECMA-48, UAX #9.

Every command that shows foreign text is given it in each place where that can stand: file names, keys and values of a
campaign, a list's header and cells, what servers say, logs, letters that come back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.feedback.log import FeedbackLog
from tests.cli.commandline import invoke, make_campaign, serving
from tests.delivery.harness import GREETED, OFFERED
from tests.feedback.letters import dsn, letter
from tests.report.logs import begin, deferred, end, in_doubt, invalid, outcome, rejected, write
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Expect, ReadContent, ReadToEnd, Send, reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tools.steps import Step

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\x7f\x08\r"
NAME = ESCAPES.replace("/", "")
OBEYED = set(ESCAPES) - set("]0;owned[2J31mevil")


def quoted(text: str) -> str:
    """A text as TOML has it."""
    return json.dumps(text)


def _campaign(folder: Path) -> Path:
    return make_campaign(folder, f"email,name,{NAME.replace(chr(13), '')}\na@example.com,{ESCAPES!r},x\n")


def _wrong_key(folder: Path) -> Path:
    path = _campaign(folder)
    path.write_text(f"{quoted(ESCAPES)} = 1\n{path.read_text()}")
    return path


def _wrong_value(folder: Path) -> Path:
    path = _campaign(folder)
    path.write_text(path.read_text().replace('"smtp.example.com"', quoted(ESCAPES)))
    return path


def _no_toml(folder: Path) -> Path:
    (folder / "campaign.toml").write_text(f"a = {ESCAPES}\n")
    return folder / "campaign.toml"


def _cells(folder: Path) -> Path:
    rows = "".join(f'"a{number}@{NAME}.example.com","{NAME}"\n' for number in range(3))
    return make_campaign(folder, f'email,name\n{rows}"b@example.com","{NAME}"\n')


def _template(folder: Path) -> Path:
    path = make_campaign(folder, "email,name\na@example.com,A\n", text="{{ missing }}")
    path.write_text(
        path.read_text().replace("{{ missing }}", "{{ row[" + json.dumps(ESCAPES)[1:-1].join("''") + "] }}")
    )
    return path


def _log(folder: Path) -> Path:
    lines = [begin(campaign=f"/x/{NAME}/campaign.toml")]
    for number in range(1, 4):
        told: dict[str, Any] = {"recipient": f"a@{NAME}.example.com", "reply": f"5.1.1 {NAME}", "reason": NAME}
        lines += [rejected(number, **told), deferred(10 + number, **told), in_doubt(20 + number, reason=NAME)]
        lines += [outcome(30 + number, **told), invalid(40 + number, NAME, recipient=f"a@{NAME}")]
    path = write(folder, *lines, end(stopped=NAME, learned={f"{NAME}.max_messages": 3}))
    complaint = {"record": 31, "recipient": f"a@{NAME}.example.com", "kind": "complained", "said": NAME, "code": 550}
    (folder / "results.feedback.jsonl").write_text(json.dumps(complaint) + "\n")
    return path


def _letters(folder: Path) -> list[str | Path]:
    (folder / f"{NAME}.eml").write_bytes(dsn(said=f"550 5.1.1 {NAME}"))
    (folder / "other.eml").write_bytes(
        letter(ESCAPES, subject=NAME.replace("\r", ""), sender=f"{NAME} <x@example.org>")
    )
    return [folder / f"{NAME}.eml", folder / "other.eml"]


SHOWN: dict[str, Callable[[Path], list[str | Path]]] = {
    **{
        f"{command}, a file that is not there": lambda folder, command=command: [command, folder / NAME]  # type: ignore[misc]
        for command in ("send", "check", "preview", "resume", "report", "feedback")
    },
    "send, where there is no such command": lambda _: [NAME],
    "send, an option that there is not": lambda _: ["send", f"--{NAME}"],
    "send, a server that is none": lambda folder: ["send", _campaign(folder), "--server", NAME],
    "control": lambda folder: ["control", folder / NAME, "status"],
    "control, a command": lambda folder: ["control", _log(folder), NAME],
    "events": lambda folder: ["events", folder / NAME, "--url", f"http://127.0.0.1:1/{NAME}"],
    "listen": lambda folder: ["listen", folder / NAME, "--http", "127.0.0.1:0"],
    "listen, an address": lambda folder: ["listen", _log(folder), "--http", NAME],
    "check, a key": lambda folder: ["check", _wrong_key(folder)],
    "check, a value": lambda folder: ["check", _wrong_value(folder)],
    "check, a file that is none": lambda folder: ["check", _no_toml(folder)],
    "check, cells": lambda folder: ["check", _cells(folder), "--offline"],
    "check, a template": lambda folder: ["check", _template(folder), "--offline"],
    "preview, cells": lambda folder: ["preview", _cells(folder), "--record", "4"],
    "preview, an address": lambda folder: ["preview", _cells(folder), "--record", "1"],
    "preview, a template": lambda folder: ["preview", _template(folder)],
    "send, cells": lambda folder: ["send", _cells(folder), "--sandbox", "--no-progress"],
    "report": lambda folder: ["report", _log(folder)],
    "report, json": lambda folder: ["report", _log(folder), "--json"],
    "check, json": lambda folder: ["check", _cells(folder), "--offline", "--json"],
    "feedback, json": lambda folder: ["feedback", *_letters(folder), "--json"],
    "send, json": lambda folder: ["send", _cells(folder), "--sandbox", "--no-progress", "--json"],
    "report, a file": lambda folder: ["report", _log(folder), "--html", folder / NAME / NAME],
    "resume": lambda folder: ["resume", _log(folder)],
    "explain": lambda _: ["explain", f"550 5.1.1 {ESCAPES}"],
    "explain, json": lambda _: ["explain", "--json", f"550 5.1.1 {ESCAPES}"],
    "feedback": lambda folder: ["feedback", *_letters(folder)],
    "feedback, kept": lambda folder: ["feedback", *_letters(folder), "--results", _log(folder)],
    "init": lambda folder: ["init", folder / NAME, "--recipients", _cells(folder).parent / "recipients.csv"],
    "presets": lambda _: ["presets", NAME],
    "manual": lambda _: ["manual", NAME],
    "bench": lambda _: ["bench", "--server", NAME],
    "sink": lambda _: ["sink", "--tls", NAME],
}


@pytest.mark.parametrize("what", SHOWN)
def test_nothing_that_a_terminal_would_obey_is_printed(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHSEND_EVENTS_SECRET", "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0")
    done = invoke(capsys, *SHOWN[what](tmp_path))
    said = done.output + done.errors
    assert said
    assert sorted(set(said) & OBEYED) == [], said


@pytest.mark.parametrize("name", [NAME, "\udcff"], ids=["escapes", "no UTF-8"])
def test_json_tells_a_program_what_a_file_is_called(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{name}.jsonl"
    _log(tmp_path).rename(path)
    assert json.loads(invoke(capsys, "report", path, "--json").output)["results"] == str(path)


EVIL = ESCAPES.replace("\r", "").encode()
SAID: dict[str, list[Step]] = {
    "greeting": [Send(b"554 5.7.1 " + EVIL + b"\r\n")],
    "EHLO": [reply("220 ready"), Expect("EHLO"), Send(b"421 4.3.2 " + EVIL + b"\r\n")],
    "MAIL": [*GREETED, *OFFERED, Send(b"554 5.7.1 " + EVIL + b"\r\n503 no\r\n503 no\r\n")],
    "RCPT": [*GREETED, *OFFERED, Send(b"250 ok\r\n550 5.1.1 " + EVIL + b"\r\n503 no\r\n")],
    "content": [
        *GREETED,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        ReadContent(),
        Send(b"554 5.7.1 " + EVIL + b"\r\n"),
    ],
}


@pytest.mark.parametrize("place", SAID)
def test_what_a_server_says_is_shown_and_not_obeyed(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(ScriptedServer([*SAID[place], Expect("QUIT"), reply("221 bye"), ReadToEnd()])) as server:
        path = make_campaign(
            tmp_path, "email,name\na@example.com,A\n", delivery='max_attempts = 1\ngive_up_after = "500ms"'
        )
        near = f'host = "127.0.0.1"\nport = {server.port}\ntls = "none"'
        path.write_text(path.read_text().replace('host = "smtp.example.com"', near))
        done = invoke(capsys, "send", path, "--no-progress", "--trace", tmp_path / "trace")
    shown = done.output + done.errors + (tmp_path / "trace").read_text()
    assert "owned" in shown
    assert sorted(set(shown) & OBEYED) == [], shown
    if (tmp_path / "results.jsonl").exists():
        reported = invoke(capsys, "report", tmp_path / "results.jsonl")
        assert sorted(set(reported.output + reported.errors) & OBEYED) == []


def test_a_log_of_feedback_is_no_way_round_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _log(tmp_path)
    with FeedbackLog(tmp_path / "results.feedback.jsonl") as log:
        log.add([{"record": 1, "recipient": f"a@{NAME}", "kind": "bounced", "hard": True, "said": NAME, "code": 550}])
    done = invoke(capsys, "report", path)
    assert sorted(set(done.output + done.errors) & OBEYED) == []
