"""What came back, in the report: delivered is accepted less bounced, complaints by domain, bounces by cause."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson

from batchsend.report.analysis import analyse
from batchsend.report.causes import MAILBOX_FULL, UNKNOWN_MAILBOX
from batchsend.report.html import render
from tests.cli.commandline import invoke
from tests.feedback.letters import results_log
from tests.report.test_page import Structure, text_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MANY = (*(f"r{number}@gmail.example" for number in range(1, 1001)), *(f"r{number}@b.example" for number in range(500)))


def written(folder: Path) -> Path:
    results = results_log(folder, MANY)
    full = {"kind": "bounced", "hard": False, "code": 552, "enhanced": "5.2.2", "reason": "mailbox_full"}
    unknown = {"kind": "bounced", "hard": True, "code": 550, "enhanced": "5.1.1", "reason": "unknown_mailbox"}
    lines = [
        {"record": 1, **unknown},
        {"record": 1, **full},  # the same record again
        {"record": 2, **unknown},
        {"record": 3, **full},
        {"record": None, **unknown},
        {"record": 9999, **unknown},  # not in this log
        {"record": 4, "recipient": MANY[3], "kind": "complained"},
        {"record": 4, "recipient": MANY[3], "kind": "complained"},
        {"record": 1001, "recipient": MANY[1000], "kind": "complained"},
        {"record": 1002, "recipient": MANY[1001], "kind": "complained"},
        {"record": 1003, "recipient": MANY[1002], "kind": "complained", "reason": "authentication"},
        {"record": 5, "recipient": MANY[4], "kind": "unsubscribed"},
        {"record": 6, "recipient": MANY[5], "kind": "auto_reply"},
    ]
    (folder / "results.feedback.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return results


def test_delivered_is_accepted_less_bounced(tmp_path: Path) -> None:
    found = analyse(written(tmp_path)).to_json()["feedback"]
    assert found["delivered"] == 1500 - 3
    assert (found["bounced"], found["hard"], found["untied"]) == (4, 3, 1)
    assert (found["complained"], found["unsubscribed"]) == (3, 1)
    assert [cause["records"] for cause in found["causes"]] == [3, 1]
    assert all(cause["advice"] for cause in found["causes"])
    assert found["complaints"] == [
        {"domain": "b.example", "complained": 2, "accepted": 500},
        {"domain": "gmail.example", "complained": 1, "accepted": 1000},
    ]


def test_the_page_shows_it_with_advice_and_what_is_tolerated(tmp_path: Path) -> None:
    results = written(tmp_path)
    text = text_of(render(analyse(results), version="0.1.0"))
    for said in (
        "Delivered is what was accepted and has not bounced; 1 report could not be tied to a record.",
        "Who bounced for good, complained or unsubscribed is kept from being written to by results.feedback.jsonl",
        "Delivered 1,497 99.8 % of what was accepted",
        "Bounced 4 3 for good",
        "Complained 3 0.2 %",
        "Unsubscribed 1 ",
        "b. example 2 500 0.40% above 0.3 %: Gmail and Yahoo refuse such senders",
        "gmail. example 1 1,000 0.10% above 0.1 %, which Gmail and Yahoo ask senders to stay below",
        f"Unknown mailbox {UNKNOWN_MAILBOX.advice.partition('`')[0]}",
        f"Mailbox full {MAILBOX_FULL.advice.partition('`')[0]}",
    ):
        assert said in text, (said, text)
    (tmp_path / "results.feedback.jsonl").unlink()
    assert "What came back" not in text_of(render(analyse(results), version="0.1.0"))


def test_what_strangers_wrote_is_text_in_the_page(tmp_path: Path) -> None:
    results = written(tmp_path)
    hostile = "a@<script>alert(1)</script>"
    line = {"record": 7, "recipient": hostile, "kind": "complained", "said": hostile}
    bounce = {"record": 8, "recipient": hostile, "kind": "bounced", "reason": hostile, "said": hostile}
    (tmp_path / "results.feedback.jsonl").write_bytes(orjson.dumps(line) + b"\n" + orjson.dumps(bounce) + b"\n")
    page = render(analyse(results), version="0.1.0")
    assert "script" not in {tag for tag, _ in Structure(page).elements}
    assert "<script>alert(1)</script>" in text_of(page)


def test_it_is_said_and_without_a_feedback_log_nothing_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = written(tmp_path)
    said = invoke(capsys, "report", results).output
    assert "What came back" in said
    assert "b.example: 2 complaints of 500 accepted (0.40%), above 0.3 %" in said
    assert "gmail.example: 1 complaint of 1,000 accepted (0.10%), above 0.1 %" in said
    (tmp_path / "results.feedback.jsonl").unlink()
    assert "What came back" not in invoke(capsys, "report", results).output
    assert json.loads(invoke(capsys, "report", results, "--json").output)["feedback"] is None
