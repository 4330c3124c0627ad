"""How fast it goes, and how long it still takes."""

from __future__ import annotations

import pytest

from batchsend.monitor.pace import Pace
from tests.monitor.samples import sample


def test_now_is_the_last_five_seconds_and_overall_all_of_them() -> None:
    pace = Pace(sample(100.0, 0))
    for second in range(1, 11):
        pace.add(sample(100.0 + second, 1000 * second))
    speed = None
    for second in range(1, 6):
        speed = pace.add(sample(110.0 + second, 10_000 + 100 * second))
    assert speed is not None
    assert speed.elapsed == 15.0
    assert speed.now == pytest.approx(100.0)
    assert speed.overall == pytest.approx(10_500 / 15)


def test_the_time_left_follows_a_server_that_gets_slower() -> None:
    pace = Pace(sample(0.0, 0, 0.0))
    for second in range(1, 41):
        left = pace.add(sample(float(second), second, second / 100)).left
    assert left == pytest.approx(60.0)
    for second in range(1, 61):
        left = pace.add(sample(40.0 + second, 40 + second, 0.4 + second / 1000)).left
    assert left == pytest.approx(540.0), "a minute after it has become ten times slower nothing else counts"


@pytest.mark.parametrize(
    ("time", "progress"),
    [
        pytest.param(1.0, 0.5, id="too early"),
        pytest.param(9.0, 0.0, id="no progress"),
        pytest.param(9.0, None, id="pipe"),
    ],
)
def test_nothing_is_said_of_the_time_left_where_it_cannot_be_known(time: float, progress: float | None) -> None:
    assert Pace(sample(0.0, 0, 0.0)).add(sample(time, 10, progress)).left is None


def test_two_samples_at_the_same_moment_are_no_division_by_zero() -> None:
    speed = Pace(sample(5.0, 0)).add(sample(5.0, 3))
    assert (speed.now, speed.overall) == (0.0, 0.0)


def test_a_run_of_days_is_remembered_by_its_last_minute_only() -> None:
    pace = Pace(sample(0.0))
    for quarter in range(1, 4000):
        pace.add(sample(quarter / 4, quarter))
    assert len(pace.samples) <= 4 * 60 + 2
