"""Who waits for another attempt, until when, and how often."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from batchsend import Delivery, Duration
from batchsend.run import retry
from batchsend.run.retry import RetryQueue, retries


def test_a_record_comes_back_after_the_pause_give_or_take_a_quarter() -> None:
    waiting = RetryQueue(max_attempts=5, pause=30.0)
    for record in range(1, 201):
        assert waiting.add(record, 1, now=1000.0)
    due = [record for seconds in (22.4, 37.6) for record in [len(waiting.take_due(1000.0 + seconds))]]
    assert due == [0, 200]
    assert len(waiting) == 0


def test_they_do_not_come_back_together() -> None:
    waiting = RetryQueue(max_attempts=5, pause=30.0)
    for record in range(1, 1001):
        waiting.add(record, 1, now=0.0)
    by_second = Counter(second for second in range(60) for _ in waiting.take_due(float(second)))
    assert len(by_second) >= 14
    assert max(by_second.values()) < 200


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (60, 3600)])
def test_the_pause_doubles_up_to_an_hour(attempt: int, seconds: float) -> None:
    waiting = RetryQueue(max_attempts=100, pause=30.0)
    waiting.add(1, attempt, now=0.0)
    due = waiting.next_due()
    assert due is not None
    assert seconds * 0.75 <= due <= seconds * 1.25
    assert waiting.take_due(due) == {1: attempt + 1}


@pytest.mark.parametrize("attempt", [1, 2, 9])
def test_a_pause_that_is_more_than_an_hour_from_the_first_on_stays_so(attempt: int) -> None:
    waiting = RetryQueue(max_attempts=100, pause=7200.0)
    waiting.add(1, attempt, now=0.0)
    assert waiting.next_due() == pytest.approx(7200.0, rel=0.25)


def test_the_last_attempt_is_the_last() -> None:
    waiting = RetryQueue(max_attempts=3, pause=30.0)
    assert waiting.add(1, 1, now=0.0)
    assert waiting.add(2, 2, now=0.0)
    assert not waiting.add(3, 3, now=0.0)
    assert len(waiting) == 2


def test_one_attempt_means_that_nobody_waits() -> None:
    waiting = RetryQueue(max_attempts=1, pause=30.0)
    assert not waiting.add(1, 1, now=0.0)
    assert waiting.next_due() is None
    assert waiting.take_due(1e9) == {}


def test_what_is_withdrawn_does_not_come_back() -> None:
    waiting = RetryQueue(max_attempts=3, pause=30.0)
    for record in (1, 2, 3):
        waiting.add(record, 1, now=0.0)
    assert waiting.withdraw(2)
    assert not waiting.withdraw(9)
    assert len(waiting) == 2
    assert waiting.take_due(100.0) == {1: 2, 3: 2}
    assert len(waiting) == 0


def test_nobody_waits_for_the_time_of_what_is_withdrawn() -> None:
    waiting = RetryQueue(max_attempts=9, pause=30.0)
    for record in (1, 2, 3):
        waiting.add(record, record, now=0.0)  # the pause doubles each time
    assert waiting.withdraw(2)
    assert waiting.next_due() == pytest.approx(30.0, rel=0.25)
    assert waiting.withdraw(1)
    assert waiting.next_due() == pytest.approx(120.0, rel=0.25)
    assert waiting.withdraw(3)
    assert waiting.next_due() is None


def test_nor_for_that_of_one_behind_those_that_were_due() -> None:
    waiting = RetryQueue(max_attempts=9, pause=30.0)
    waiting.add(1, 1, now=0.0)
    waiting.add(2, 4, now=0.0)
    waiting.withdraw(2)
    assert waiting.take_due(60.0) == {1: 2}
    assert waiting.next_due() is None


def test_the_number_that_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "MAX_WAITING", 10)
    waiting = RetryQueue(max_attempts=3, pause=30.0)
    assert [waiting.add(record, 1, now=0.0) for record in range(12)] == [True] * 10 + [False] * 2
    waiting.take_due(100.0)
    assert waiting.add(12, 1, now=100.0)


@pytest.mark.parametrize(
    ("is_pipe", "attempts", "waits"), [(False, 2, True), (True, 2, False), (False, 1, False), (True, 1, False)]
)
def test_nobody_waits_of_a_list_that_cannot_be_read_twice_which_is_said(
    is_pipe: bool, attempts: int, waits: bool
) -> None:
    """Unless nobody was to be tried again anyway."""
    said: list[str] = []
    reader: Any = SimpleNamespace(blocking=is_pipe, name="list.csv")
    waiting = retries(Delivery(max_attempts=attempts, retry_after=Duration(30)), reader, said.append)
    assert waiting.add(1, 1, now=0.0) is waits
    expected = ["list.csv cannot be read twice: deferred records are not tried again in this run"]
    assert said == (expected if is_pipe and attempts > 1 else [])
