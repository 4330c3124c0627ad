"""Outcomes by time: nothing is lost when steps are put together, and there are never too many."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from batchsend.outcome import Outcome
from batchsend.report.timeline import Timeline

times = st.floats(0, 100_000) | st.floats(0, 10)


def timeline(*counted: tuple[float, Outcome]) -> Timeline:
    found = Timeline()
    for time, outcome in counted:
        found.add(time, outcome)
    return found


@given(st.lists(st.tuples(times, st.sampled_from(Outcome)), min_size=1), st.integers(5, 100))
def test_all_outcomes_are_in_the_steps(counted: list[tuple[float, Outcome]], most: int) -> None:
    steps = list(timeline(*counted).of_at_most(most))
    assert len(steps) <= most
    assert sum((step.counts for step in steps), Counter()) == Counter(outcome for _, outcome in counted)


@given(st.lists(st.tuples(st.integers(0, 100_000), st.sampled_from(Outcome)), min_size=1))
def test_each_outcome_is_in_the_step_of_its_millisecond(counted: list[tuple[int, Outcome]]) -> None:
    coarse = timeline(*((milliseconds / 1000, outcome) for milliseconds, outcome in counted)).of_at_most(20)
    for step in coarse:
        start = round(step.start * 1000)
        assert step.total == sum(start <= time < start + coarse.width * 1000 for time, _ in counted)


def test_a_run_of_a_year_needs_no_more_room_than_one_of_an_hour() -> None:
    found = timeline(*((hour * 3600.0, Outcome.ACCEPTED) for hour in range(365 * 24)))
    assert found.width >= 3600
    assert sum(step.total for step in found) == 365 * 24


def test_steps_in_which_nothing_happened_are_there_too() -> None:
    steps = list(timeline((0.0, Outcome.ACCEPTED), (9.95, Outcome.REJECTED)).of_at_most(10))
    assert [step.total for step in steps] == [1, *[0] * (len(steps) - 2), 1]


def test_the_fastest_second() -> None:
    burst = [(5 + place / 100, Outcome.ACCEPTED) for place in range(50)]
    assert timeline((0.0, Outcome.ACCEPTED), *burst).fastest() == 50
    assert Timeline().fastest() == 0
    assert list(Timeline()) == []
