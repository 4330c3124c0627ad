"""What came back, in the report: delivered is accepted less bounced, complaints by domain, bounces by cause."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson

from batchsend.report.analysis import analyse
from tests.cli.commandline import invoke
from tests.feedback.letters import results_log

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


def test_it_is_said_and_without_a_feedback_log_nothing_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = written(tmp_path)
    said = invoke(capsys, "report", results).output
    assert "What came back" in said
    assert "b.example: 2 complaints of 500 accepted (0.40%), above 0.3 %" in said
    assert "gmail.example: 1 complaint of 1,000 accepted (0.10%), above 0.1 %" in said
    (tmp_path / "results.feedback.jsonl").unlink()
    assert "What came back" not in invoke(capsys, "report", results).output
    assert json.loads(invoke(capsys, "report", results, "--json").output)["feedback"] is None
