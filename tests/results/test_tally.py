"""Where every record stands, an octet each."""

from __future__ import annotations

import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from batchsend.outcome import Outcome
from batchsend.results.format import OutcomeLine
from batchsend.results.tally import MAX_ATTEMPTS, Tally

notes = st.lists(
    st.tuples(
        st.integers(1, 3000) | st.integers(1, 20),
        st.sampled_from(Outcome),
        st.integers(0, 40) | st.integers(0, MAX_ATTEMPTS),
    )
)


@given(notes)
def test_the_last_outcome_counts_and_attempts_are_kept(noted: list[tuple[int, Outcome, int]]) -> None:
    tally = Tally()
    statuses: dict[int, Outcome] = {}
    attempts: dict[int, int] = {}
    for record, status, attempt in noted:
        tally.note(record, status, attempt)
        statuses[record] = status
        attempts[record] = attempt or attempts.get(record, 0)
    for record in {*statuses, 4000}:
        assert tally.status(record) is statuses.get(record)
        assert tally.attempts(record) == attempts.get(record, 0)
    assert tally.counts() == Counter(statuses.values())


@given(notes)
def test_lines_are_taken_down_as_single_outcomes_are(noted: list[tuple[int, Outcome, int]]) -> None:
    one_by_one, at_once = Tally(), Tally()
    for record, status, attempt in noted:
        one_by_one.note(record, status, attempt)
    lines = [OutcomeLine(record=record, status=status.value, attempt=attempt) for record, status, attempt in noted]
    assert at_once.note_lines(lines) == []
    for record in range(3001):
        assert at_once.status(record) is one_by_one.status(record)
        assert at_once.attempts(record) == one_by_one.attempts(record)


def test_any_number_of_attempts_is_kept_from_the_first_line_on() -> None:
    """A new tally each time: the first number that does not fit into the octet brings the second one."""
    for attempt in (*range(100), 8191):
        tally = Tally()
        tally.note(1, Outcome.DEFERRED, attempt)
        assert (tally.attempts(1), tally.status(1)) == (attempt, Outcome.DEFERRED)


def test_more_attempts_than_are_told_apart_count_as_so_many() -> None:
    tally = Tally()
    tally.note(1, Outcome.DEFERRED, 8192)
    tally.note_lines([OutcomeLine(record=2, status="deferred", attempt=100_000)])
    assert (tally.attempts(1), tally.attempts(2)) == (8191, 8191)


def test_the_highest_record_is_known() -> None:
    tally = Tally()
    assert tally.last == 0
    for record in (1, 5, 3):
        tally.note(record, Outcome.ACCEPTED, 1)
    assert tally.last == 5


def test_it_takes_an_octet_a_record() -> None:
    tracemalloc.start()
    try:
        tally = Tally()
        for record in range(1, 100_001):
            tally.note(record, Outcome.ACCEPTED, 1)
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert octets < 150_000


def test_few_attempts_in_a_line_take_the_place_of_many() -> None:
    tally = Tally()
    tally.note(1, Outcome.DEFERRED, 40)
    tally.note_lines([OutcomeLine(record=1, status="deferred", attempt=2)])
    assert tally.attempts(1) == 2


def test_few_attempts_take_the_place_of_many_also_within_the_lines_that_are_read_at_once() -> None:
    tally = Tally()
    tally.note(3000, Outcome.ACCEPTED, 1)
    tally.note_lines([OutcomeLine(record=1, status="deferred", attempt=attempt) for attempt in (1, 40, 2)])
    assert tally.attempts(1) == 2
