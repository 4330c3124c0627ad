"""What a results log comes to: the last line of a record counts, over all runs in it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchsend.errors import UsageError
from batchsend.outcome import Outcome
from batchsend.report import kinds
from batchsend.report.analysis import NO_DOMAIN, analyse
from tests.report.logs import begin, deferred, end, everything, in_doubt, invalid, outcome, rejected, report_of, write
from tests.tools.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

MAKE: dict[Outcome, Any] = {
    Outcome.ACCEPTED: outcome,
    Outcome.REJECTED: rejected,
    Outcome.DEFERRED: deferred,
    Outcome.IN_DOUBT: in_doubt,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(50))
@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(list(MAKE)), st.integers(1, 4))))
def test_the_last_line_of_a_record_counts(tmp_path: Path, told: list[tuple[int, Outcome, int]]) -> None:
    report = report_of(tmp_path, begin(), *(MAKE[status](record, attempt=attempt) for record, status, attempt in told))
    last = {record: (status, attempt) for record, status, attempt in told}
    assert report.counts == Counter(status for status, _ in last.values())
    assert report.needed == Counter(last.values())
    assert report.attempts == len(told)
    assert sum(domain.records for domain in report.domains) == report.records == len(last)
    failed = [status for status, _ in last.values() if status is not Outcome.ACCEPTED]
    assert sum(failure.records for failure in report.failures) == len(failed)
    assert sum(domain.failed for domain in report.domains) == len(failed)


def test_everything_that_a_log_tells(tmp_path: Path) -> None:
    report = report_of(tmp_path, *everything())
    assert {outcome: report.counts[outcome] for outcome in Outcome} == {
        Outcome.ACCEPTED: 124,
        Outcome.REJECTED: 10,
        Outcome.DEFERRED: 2,
        Outcome.IN_DOUBT: 1,
        Outcome.INVALID: 1,
        Outcome.SUPPRESSED: 1,
    }
    assert (report.attempts, report.retries) == (143, 6)
    assert report.needed[Outcome.ACCEPTED, 2] == 4
    assert report.elapsed == pytest.approx(25)
    assert report.learned == {"max_messages": 20, "rate": 40.5}
    assert report.stopped is None
    assert [run.last.stopped if run.last else "" for run in report.runs] == ["stopped by SIGINT", None]
    assert report.pauses == pytest.approx([20])
    assert report.failures[0].cause.name == "Unknown mailbox"
    assert report.domains[0].name == "gone.example.net"
    assert {domain.name for domain in report.domains} == {
        *("example.com", "gone.example.net", "example.org", NO_DOMAIN),
    }
    assert report.sessions.count == 10
    assert report.sessions.most == 20
    assert report.latency.longest == pytest.approx(0.065)


def test_the_same_reply_is_counted_as_one_and_another_code_as_another(tmp_path: Path) -> None:
    lines = [rejected(record, code=code) for record, code in enumerate([550] * 5 + [551] * 3, 1)]
    replies = report_of(tmp_path, begin(), *(outcome(record) for record in range(20, 30)), *lines).replies
    assert [(found.kind.code, found.count) for found in replies] == [(250, 10), (550, 5), (551, 3)]
    assert replies[1].said == "550 5.1.1 <…@…>: User unknown"


def test_an_enhanced_code_on_each_line_of_a_reply_is_said_once(tmp_path: Path) -> None:
    reply = "5.1.1 The account does not exist.\n5.1.1 Look for typing errors."
    found = report_of(tmp_path, begin(), rejected(1, reply=reply)).replies[0]
    assert found.said == "550 5.1.1 The account does not exist. Look for typing errors."


def test_too_many_kinds_are_put_together_and_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MOST", 3)
    words = ["one", "two", "three", "four", "five", "six"]
    lines = [rejected(number, reply=f"5.1.1 {word}", reason=None) for number, word in enumerate(words, 1)]
    report = report_of(tmp_path, begin(), *lines)
    assert sum(found.count for found in report.replies) == len(words)
    assert report.replies[0].kind.text == kinds.OTHER
    assert report.counts[Outcome.REJECTED] == len(words)


def test_a_domain_is_the_same_in_any_case(tmp_path: Path) -> None:
    names = ["a@Example.COM", "b@example.com", '"c@d"@EXAMPLE.com']
    report = report_of(tmp_path, begin(), *(outcome(n, recipient=name) for n, name in enumerate(names, 1)))
    assert [(domain.name, domain.records) for domain in report.domains] == [("example.com", 3)]


def test_a_torn_last_line_does_not_count(tmp_path: Path) -> None:
    torn = outcome(2)[:-20]
    report = report_of(tmp_path, begin(), outcome(1), torn)
    assert (report.records, report.torn) == (1, len(torn))


def test_a_run_that_was_killed_is_said_to_have_no_end(tmp_path: Path) -> None:
    report = report_of(tmp_path, begin(), outcome(1, after=5.0))
    assert report.stopped is not None
    assert report.elapsed == pytest.approx(5)
    assert report.learned == {}


def test_a_run_in_which_nothing_happened(tmp_path: Path) -> None:
    report = report_of(tmp_path, begin(), end(after=0.0))
    assert (report.records, report.attempts, report.rate, report.elapsed) == (0, 0, 0.0, 0.0)


def test_a_clock_that_is_put_back_does_not_turn_the_run_round(tmp_path: Path) -> None:
    report = report_of(tmp_path, begin(), outcome(1, after=10.0), outcome(2, after=-3600.0), end(after=-3590.0))
    assert report.elapsed == pytest.approx(10)
    assert sum(step.total for step in report.timeline) == 2


def test_records_that_were_never_offered_are_no_attempts(tmp_path: Path) -> None:
    report = report_of(tmp_path, begin(), invalid(1, "2 fields where the header has 4"))
    assert (report.attempts, report.counts[Outcome.INVALID]) == (0, 1)
    assert report.replies == []
    assert report.failures[0].kinds[0].said == "2 fields where the header has 4"


def test_blocks_end_where_lines_do(tmp_path: Path) -> None:
    """More than one block of a megabyte, and a line of more than one."""
    long = rejected(9000, reply="5.1.1 " + "x" * 1_500_000)
    report = report_of(tmp_path, begin(), *(outcome(record) for record in range(1, 6001)), long, outcome(9001))
    assert report.records == 6002


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b""], "does not begin with the line of a run"),
        ([outcome(1)], "does not begin with the line of a run"),
        ([b"email\na@example.com\n"], "does not begin with the line of a run"),
        ([begin()[:-20]], "does not begin with the line of a run"),
        ([begin(), b"nonsense\n"], ":2: not a line"),
        ([begin(), outcome(1), b"{}\n", outcome(2)], ":3: not a line"),
        ([begin(), outcome(1).replace(b'"accepted"', b'"lost"')], ":2: not a line"),
        ([begin(), outcome(1).replace(b'"time":"2026', b'"time":"20x6')], ":2: not a line"),
        ([begin(), outcome(1)[:-1] + outcome(2)], ":2: not a line"),
        ([begin(), outcome(1).replace(b'"elapsed":0.01', b'"elapsed":-1')], ":2: not a line"),
        ([begin(), outcome(1).replace(b"r1@", b"\xff@")], ":2: not a line"),
        ([end(), outcome(1)], "does not begin with the line of a run"),
        ([begin(), begin(id_="another")], "the accounts of two runs"),
    ],
)
def test_what_is_no_results_log(tmp_path: Path, lines: list[bytes], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        report_of(tmp_path, *lines)
    assert caught.value.remedy


def test_only_what_may_be_a_torn_log_is_to_be_removed(tmp_path: Path) -> None:
    for lines, is_torn in (
        ([b""], True),
        ([begin()[:-20]], True),
        ([begin()[:5]], True),
        ([bytes(4096)], True),
        ([outcome(1)], False),
        ([b"email\na@example.com\n"], False),
        ([b'{"email":"a@example.com"}\n'], False),
        ([b'recipients = "list.csv"\n'], False),
    ):
        with pytest.raises(UsageError, match="does not begin with the line of a run") as caught:
            report_of(tmp_path, *lines)
        assert ("remove it" in (caught.value.remedy or "")) is is_torn, lines


def test_a_log_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(UsageError, match="cannot be opened"):
            analyse(path)


def test_the_log_is_only_read(tmp_path: Path) -> None:
    path = write(tmp_path, *everything())
    before = path.read_bytes(), path.stat().st_mtime_ns
    analyse(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.iterdir()) == [path]
