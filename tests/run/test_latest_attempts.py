"""What is known of records that were offered more than once in a run."""

from __future__ import annotations

from batchsend.outcome import Outcome
from batchsend.run.accounting import LatestAttempts


def test_of_a_record_that_was_offered_once_nothing_is_known_wherever_it_is() -> None:
    """Records come one after the other, and far behind each other."""
    latest = LatestAttempts()
    used = [latest.used]
    noted = [*range(1, 3000), 7000]
    for record in noted:
        latest.note(record, 2, Outcome.REJECTED)
    assert [*used, latest.used] == [False, True]
    assert [record for record in range(1, 20_000) if latest[record]] == noted
    assert [record for record in range(1, 20_000) if latest.status(record) is not None] == noted


def test_the_newest_attempt_counts_and_has_no_outcome_while_it_is_under_way() -> None:
    latest = LatestAttempts()
    for attempt in (2, 3, 31, 32, 8191):
        latest.note(1, attempt)
        assert (latest[1], latest.status(1)) == (attempt, None)
        for status in Outcome:
            latest.note(1, attempt, status)
            assert (latest[1], latest.status(1)) == (attempt, status)


def test_more_attempts_than_are_told_apart_count_as_so_many() -> None:
    latest = LatestAttempts()
    latest.note(1, 100_000, Outcome.DEFERRED)
    assert (latest[1], latest.status(1)) == (8191, Outcome.DEFERRED)
