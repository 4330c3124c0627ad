"""Reading a results log back gives what was written, whatever is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchsend.errors import UsageError
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.report.lines import Line, LogLines
from batchsend.results import format as log_format
from batchsend.results.line import change_line, end_line, outcome_line, run_line
from batchsend.results.reader import RunAccount, read_account
from batchsend.results.run import RecipientsFile, Run

if TYPE_CHECKING:
    from batchsend.results.format import OutcomeLine
    from batchsend.results.run import Change

RUN = Run(
    id="20261122T070000.abcdef",
    started=1_795_330_800.0,
    campaign="/campaigns/campaign.toml",
    recipients=RecipientsFile(path="/campaigns/recipients.csv", size=12, sha256="ab" * 32),
    version="0.1.0",
    server="smtp.example.com:587",
)
ACCEPTED = b'{"record":1,"status":"accepted","attempt":1}\n'
END = end_line(RUN.id, ended=1_795_330_900.0, stopped=None, learned={"rate": 40.0})

texts = st.none() | st.text(max_size=30)
results = st.builds(
    DeliveryResult,
    record=st.integers(1, 200),
    recipient=texts,
    status=st.sampled_from(Outcome),
    stage=st.none() | st.sampled_from(Stage),
    code=st.none() | st.integers(200, 599),
    enhanced=st.none() | st.sampled_from(["2.0.0", "5.1.1", "4.7.1"]),
    reply=texts,
    reason=texts,
    attempt=st.integers(0, 40),
    session=st.none() | st.integers(1, 99),
    message_id=texts,
    time=st.floats(0, 2e9),
    elapsed=st.none() | st.floats(0, 100),
    line=st.none() | st.integers(1, 99),
)


def read(path: Path, data: bytes, lines: list[OutcomeLine] | None = None) -> RunAccount:
    """Read a log with this content."""
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    try:
        return read_account(path, file, visit=None if lines is None else lambda line, _: lines.append(line))
    finally:
        os.close(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(results), st.integers(1, 500))
def test_what_is_read_is_what_json_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[DeliveryResult], block: int
) -> None:
    monkeypatch.setattr(log_format, "BLOCK", block)
    data = run_line(RUN) + b"".join(map(outcome_line, written))
    lines: list[OutcomeLine] = []
    account = read(tmp_path / "log", data, lines)
    said = [json.loads(line) for line in data.split(b"\n")[1:-1]]
    assert [(line.record, line.status, line.attempt, line.code, line.enhanced) for line in lines] == [
        (line["record"], line["status"], line["attempt"], line["code"], line["enhanced"]) for line in said
    ]
    for record in range(1, 201):
        last = next((line["status"] for line in reversed(said) if line["record"] == record), None)
        assert account.tally.status(record) == last
    assert (account.size, account.torn) == (len(data), 0)


def test_the_run_line_comes_back_whole(tmp_path: Path) -> None:
    written = replace(RUN, overrides={"server": "smtp://127.0.0.1:2525", "max_connections": 3})
    run = read(tmp_path / "log", run_line(written)).run
    assert run == replace(written, started=0.0)
    assert "overrides" not in json.loads(run_line(RUN))["run"], "where nothing was said, nothing is written"


def test_a_report_refuses_what_resuming_refuses_in_the_same_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    good = outcome_line(DeliveryResult(record=1, recipient=None, status=Outcome.ACCEPTED, attempt=1))
    for data in (b"", good + run_line(RUN), END, run_line(RUN) + b"{}\n", b"email\na@example.com\n"):
        with pytest.raises(UsageError) as by_resuming:
            read(log, data)
        with pytest.raises(UsageError) as by_report:
            list(LogLines(log).read(Line))
        assert str(by_report.value) == str(by_resuming.value)


def test_where_the_last_run_line_begins_is_known_to_the_octet(tmp_path: Path) -> None:
    good = outcome_line(DeliveryResult(record=1, recipient="ä\u2028@x", status=Outcome.ACCEPTED, attempt=1))
    before = run_line(RUN) + good + END + good
    account = read(tmp_path / "log", before + run_line(RUN) + good)
    assert (account.begun, account.outcomes) == (len(before), 3)


@pytest.mark.parametrize(
    ("data", "ended"),
    [
        (run_line(RUN), False),
        (run_line(RUN) + END, True),
        (run_line(RUN) + END + run_line(RUN), False),
        (run_line(RUN) + run_line(RUN) + END, True),
        (run_line(RUN) + END[:-1], False),
    ],
)
def test_a_run_has_ended_where_its_last_line_says_so(tmp_path: Path, data: bytes, ended: bool) -> None:
    assert read(tmp_path / "log", data).ended is ended


def test_a_torn_last_line_of_any_length_is_told_from_whole_ones(tmp_path: Path) -> None:
    line = outcome_line(DeliveryResult(record=2, recipient="b@example.com", status=Outcome.ACCEPTED, attempt=1))
    whole = run_line(RUN) + outcome_line(DeliveryResult(record=1, recipient=None, status=Outcome.REJECTED, attempt=1))
    for length in range(len(line)):
        account = read(tmp_path / "log", whole + line[:length])
        assert (account.size, account.torn) == (len(whole), length)
        assert account.tally.status(1) is Outcome.REJECTED
        assert account.tally.status(2) is None


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"record":0,"status":"accepted"}',
        b'{"record":-1,"status":"accepted"}',
        b'{"record":1}',
        b'{"status":"accepted"}',
        b'{"record":1,"status":"delivered"}',
        b'{"record":1,"status":"accepted","attempt":-1}',
        b'{"record":1000000001,"status":"accepted"}',
        b'{"record":1,"status":"accepted"',
        b'{"record":1,"status":"accepted"}{"record":2,"status":"accepted"}',
        b"\0\0\0\0",
        b"\xff",
        b"",
    ],
)
def test_a_line_that_no_log_has_is_named_by_its_number(tmp_path: Path, line: bytes) -> None:
    good = outcome_line(DeliveryResult(record=1, recipient=None, status=Outcome.ACCEPTED, attempt=1))
    with pytest.raises(UsageError, match=r"log:4: not a line of a results log"):
        read(tmp_path / "log", run_line(RUN) + good + good + line + b"\n" + good)


def test_a_line_that_names_no_attempt_is_of_a_record_that_was_not_offered(tmp_path: Path) -> None:
    tally = read(tmp_path / "log", run_line(RUN) + b'{"record":1,"status":"suppressed"}\n').tally
    assert (tally.status(1), tally.attempts(1)) == (Outcome.SUPPRESSED, 0)


def test_a_log_that_was_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    before = len(list(Path("/dev/fd").iterdir()))
    with log_format.opened(path):
        pass
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_two_runs_in_one_log_are_not_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds the accounts of two runs"):
        read(tmp_path / "log", run_line(RUN) + END + run_line(replace(RUN, id="another")))


def test_a_file_that_begins_with_no_run_is_no_log(tmp_path: Path) -> None:
    """Outcomes before the first run's beginning belong to a run that nobody knows."""
    for data in (b"", ACCEPTED, run_line(RUN)[:-1], ACCEPTED + run_line(RUN) + ACCEPTED, END, END + run_line(RUN)):
        with pytest.raises(UsageError, match="does not begin with the line of a run"):
            read(tmp_path / "log", data)


def test_one_whose_first_line_never_reached_the_disk_may_be_removed_and_nothing_else(tmp_path: Path) -> None:
    for data in (b"", b"\0\0\0\n", run_line(RUN)[:8], run_line(RUN)[:-1], run_line(RUN)[:8] + b"\0\0"):
        assert "remove it: nothing was sent" in refused(tmp_path / "log", data), data
    for data in (b"email\na@example.com\n", b"\0\0\n" + ACCEPTED, run_line(RUN)[:8] + b"\n" + ACCEPTED):
        assert "nothing was sent" not in refused(tmp_path / "log", data), data


@pytest.mark.parametrize(
    "first", ["the end of a run", "an outcome", "a hole", "the end of a run without its line feed"]
)
def test_a_log_that_has_lost_its_beginning_says_what_was_sent_all_the_same(first: str, tmp_path: Path) -> None:
    data = {"the end of a run": END, "an outcome": ACCEPTED + END, "a hole": b"\0\0\0" + ACCEPTED}.get(first, END[:-1])
    said = refused(tmp_path / "log", data)
    assert "its beginning is missing" in said
    assert "nothing was sent" not in said


def refused(path: Path, data: bytes) -> str:
    """What is said of a file that is no log."""
    with pytest.raises(UsageError) as caught:
        read(path, data)
    return str(caught.value)


def test_behind_what_is_sound_the_first_line_that_is_none_ends_the_log(tmp_path: Path) -> None:
    good = outcome_line(DeliveryResult(record=1, recipient=None, status=Outcome.ACCEPTED, attempt=1))
    whole = run_line(RUN) + good
    (tmp_path / "log").write_bytes(whole + b"\0\0\0\n" + good + good)
    with (tmp_path / "log").open("rb") as file:
        account = read_account(tmp_path / "log", file.fileno(), sound=len(whole))
    assert (account.size, account.torn, account.outcomes) == (len(whole), 4 + 2 * len(good), 1)


def test_what_was_changed_on_the_way_holds_for_whoever_goes_on_but_for_a_pause(tmp_path: Path) -> None:
    run = replace(RUN, overrides={"max_connections": 3, "rate": "5/s"})
    changes: list[dict[str, Change]] = [{"rate": None}, {"paused": True}, {"max_connections": 4}]
    lines = [change_line(RUN.id, changed=1_795_330_850.0, change=change, by="key") for change in changes]
    assert read(tmp_path / "log", run_line(run) + b"".join(lines)).held == {"max_connections": 4}


def test_whoever_asks_for_the_outcomes_is_told_in_which_line_each_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a log that is used as a list these are the numbers of its records."""
    monkeypatch.setattr(log_format, "BLOCK", 300)
    outcomes = [outcome_line(DeliveryResult(record=one, recipient=None, status=Outcome.ACCEPTED)) for one in (7, 8, 9)]
    path = tmp_path / "log"
    path.write_bytes(run_line(RUN) + outcomes[0] + END + run_line(RUN) + outcomes[1] + outcomes[2])
    told: list[tuple[int, int]] = []
    with path.open("rb") as file:
        read_account(path, file.fileno(), visit=lambda line, number: told.append((line.record, number)))
    assert told == [(7, 2), (8, 5), (9, 6)]


def test_the_first_line_that_is_none_ends_the_log_in_whatever_block_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = outcome_line(DeliveryResult(record=1, recipient=None, status=Outcome.ACCEPTED, attempt=1))
    whole = run_line(RUN) + 20 * good
    path = tmp_path / "log"
    path.write_bytes(whole + b"\0\0\0\n" + 20 * good)
    for block in (250, 400, 1000, 10_000):
        monkeypatch.setattr(log_format, "BLOCK", block)
        with path.open("rb") as file:
            account = read_account(path, file.fileno(), sound=len(whole))
        assert (account.size, account.outcomes) == (len(whole), 20)
        with path.open("rb") as file, pytest.raises(UsageError, match="log:22: not a line of a results log"):
            read_account(path, file.fileno(), sound=len(whole) + 1)
