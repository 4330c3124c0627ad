"""The feedback log: the same report is one line, a kill costs no line, and it says whom not to write to."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.campaign.model import feedback_path
from batchsend.errors import RunError, UsageError
from batchsend.feedback.log import FeedbackLog, as_fields
from batchsend.feedback.reading import come_back, grow_list
from batchsend.feedback.report import LOGGED
from batchsend.feedback.understanding import understand
from batchsend.message import Suppression
from batchsend.recipients.feedback import KINDS
from tests.cli.commandline import environment
from tests.feedback.letters import complaint, dsn, lines_of, results_log

if TYPE_CHECKING:
    from pathlib import Path


def line(octets: bytes, record: int | None = 1, recipient: str = "anna@example.org") -> dict[str, Any]:
    (report,) = understand(octets)
    return as_fields(report, record=record, recipient=recipient, source="a.eml")


def soft(day: int) -> bytes:
    return dsn(status="5.2.2", said="552 5.2.2 Mailbox full", date=f"{day} Nov 2026 09:00:00 +0000")


def logged(path: Path, *lines: dict[str, Any]) -> int:
    with FeedbackLog(path) as log:
        return log.add(list(lines))


def test_it_stands_beside_the_results_log(tmp_path: Path) -> None:
    assert feedback_path(tmp_path / "results.jsonl") == tmp_path / "results.feedback.jsonl"
    assert feedback_path(tmp_path / "october") == tmp_path / "october.feedback.jsonl"


def test_the_fields_are_the_promised_ones_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    logged(path, line(dsn()))
    assert list(lines_of(path)[0]) == [
        *("record", "recipient", "kind", "hard", "enhanced", "code", "reason", "said", "reported_by", "message_id"),
        *("time", "source"),
    ]


def test_the_same_report_is_one_line_wherever_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    again = {**line(dsn()), "source": "another.mbox:3"}
    assert logged(path, line(dsn()), again) == 1
    assert logged(path, again) == 0
    assert logged(path, line(dsn(date="Sat, 28 Nov 2026 09:00:00 +0100"))) == 1
    assert len(lines_of(path)) == 2


@pytest.mark.parametrize("cut", [2, 30, 200])
def test_a_torn_last_line_is_written_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.feedback.jsonl"
    logged(path, line(soft(1)), line(soft(2)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert logged(path, line(soft(1)), line(soft(2))) == 1
    assert path.read_bytes() == whole


def test_a_last_line_without_a_line_feed_is_a_line(tmp_path: Path) -> None:
    """Editors leave it out, and whoever stands there has unsubscribed all the same."""
    path = tmp_path / "r.feedback.jsonl"
    logged(path, line(dsn()), line(complaint(), record=2, recipient="bob@example.org"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    listed = Suppression.read([path])
    assert "bob@example.org" in listed
    assert logged(path, line(soft(1))) == 1
    assert path.read_bytes().startswith(whole)
    listed.follow()
    assert len(lines_of(path)) == 3


def test_who_reads_a_line_without_its_line_feed_counts_it_once(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    logged(path, line(soft(1)), line(soft(2)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    listed = Suppression.read([path])
    listed.follow()
    path.write_bytes(whole)
    listed.follow()
    assert "anna@example.org" not in listed
    logged(path, line(soft(3)))
    listed.follow()
    assert "anna@example.org" in listed


def test_what_only_looks_like_a_feedback_log_is_a_list(tmp_path: Path) -> None:
    path = tmp_path / "gone.jsonl"
    path.write_text('{"record":1,"recipient":"anna@example.org","kind":"customer"}\n')
    assert "anna@example.org" in Suppression.read([path])
    assert set(KINDS) == {str(kind) for kind in LOGGED}


def test_a_kind_that_is_not_known_stops_the_run(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    path.write_text('{"record":1,"recipient":"anna@example.org","kind":"Unsubscribed"}\n')
    with pytest.raises(UsageError, match=r":1: no line of a feedback log"):
        Suppression.read([path])


def test_a_line_that_is_none_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    path.write_text('{"email":"anna@example.org"}\n')
    with pytest.raises(UsageError, match=r":1: no line of a feedback log"):
        logged(path, line(dsn()))
    with pytest.raises(UsageError, match=r":1: no line of a feedback log"):
        Suppression.read([path])
    assert path.read_text() == '{"email":"anna@example.org"}\n'


def test_two_processes_do_not_add_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    with FeedbackLog(path), pytest.raises(RunError, match="another process"), FeedbackLog(path, wait=0):
        pass


def test_who_comes_second_waits_for_the_first(tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_bytes(dsn())
    results = results_log(tmp_path)
    command = [sys.executable, "-m", "batchsend", "feedback", str(tmp_path / "one.eml"), "--results", str(results)]
    with FeedbackLog(tmp_path / "results.feedback.jsonl") as log:
        second = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
        assert log.add([line(dsn())]) == 1
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert b"0 new" in said  # it has read what the first one added


@pytest.mark.parametrize(
    ("letters", "suppressed"),
    [
        ([dsn()], True),
        ([soft(1), soft(2)], False),
        ([soft(1), soft(2), soft(3)], True),
        ([soft(1), soft(1), soft(1)], False),  # one report, three times
        ([complaint()], True),
        ([complaint("opt-out")], True),
        ([complaint("auth-failure")], False),
        (
            [dsn(action="delayed", status="4.4.1", said="no route", date=f"{day} Nov 2026") for day in range(1, 9)],
            False,
        ),
    ],
)
def test_whom_it_suppresses(tmp_path: Path, letters: list[bytes], suppressed: bool) -> None:
    path = tmp_path / "r.feedback.jsonl"
    for octets in letters:
        logged(path, line(octets))
    listed = Suppression.read([path])
    assert ("Anna@example.org" in listed) is suppressed
    assert "bert@example.org" not in listed


def test_what_is_tied_to_no_record_suppresses_nobody(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    logged(path, line(dsn(), record=None), line(complaint(), record=None))
    assert "anna@example.org" not in Suppression.read([path])


def test_an_empty_one_is_a_list_of_nobody_and_a_renamed_one_is_known(tmp_path: Path) -> None:
    path = tmp_path / "r.feedback.jsonl"
    logged(path)
    assert not Suppression.read([path])
    logged(path, line(dsn()))
    renamed = path.rename(tmp_path / "gone.txt")
    assert "anna@example.org" in Suppression.read([renamed])


def test_a_list_grows_over_campaigns(tmp_path: Path) -> None:
    listed, path = tmp_path / "never.csv", tmp_path / "r.feedback.jsonl"
    logged(path, line(dsn()))
    assert grow_list(listed, path) == 1
    assert grow_list(listed, path) == 0
    listed.write_text(listed.read_text().rstrip("\n"))  # as an editor may leave it
    logged(path, line(complaint(), recipient="bert@example.org"))
    assert grow_list(listed, path) == 1
    assert listed.read_text() == "email,reason\nanna@example.org,hard bounce\nbert@example.org,complained\n"
    assert "bert@example.org" in Suppression.read([listed])


def test_a_report_about_a_forwarded_message_is_logged_for_whom_we_wrote_to(tmp_path: Path) -> None:
    results = results_log(tmp_path)
    mail = tmp_path / "one.eml"
    mail.write_bytes(dsn("elsewhere@example.com", message_id="<20261127T080000.abcdef012345.2@mail.example.com>"))
    ((found,),) = come_back([str(mail)], results=results)
    assert found.fields()["recipient"] == "bert@example.org"
    assert found.fields()["record"] == json.loads(json.dumps(found.to_json()))["record"] == 2
