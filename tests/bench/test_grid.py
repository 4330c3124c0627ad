"""The points of a bench: their order, and how the messages are divided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.bench.grid import GridPoint, all_points, allot, fewest, plan

numbers = st.lists(st.integers(1, 50), min_size=1, max_size=4)


def test_from_the_gentlest_up_and_none_twice() -> None:
    assert all_points([5, 1, 5], [16, 1]) == [GridPoint(1, 1), GridPoint(1, 16), GridPoint(5, 1), GridPoint(5, 16)]


@given(numbers, numbers, st.integers(0, 5000))
def test_never_more_than_there_are_and_each_point_can_be_measured(
    connections: list[int], depths: list[int], spare: int
) -> None:
    grid = all_points(connections, depths)
    total = fewest(grid) + spare
    counts = allot(total, grid)
    assert sum(counts) <= total
    assert sum(counts) >= total - len(grid), "rounding leaves over at most one each"
    assert all(count > point.connections for point, count in zip(grid, counts, strict=True))


@pytest.mark.parametrize(
    ("point", "words"), [(GridPoint(1, 1), "1 connection at depth 1"), (GridPoint(5, 16), "5 connections at depth 16")]
)
def test_a_point_in_words(point: GridPoint, words: str) -> None:
    assert str(point) == words


def test_more_in_flight_gets_more_messages() -> None:
    counts = allot(1000, all_points([1, 5, 20], [1, 16]))
    assert counts == [26, 99, 60, 224, 130, 458]


def test_few_messages_are_few_visits() -> None:
    grid = all_points([1, 5, 20], [1, 16])
    assert plan(None, grid) == (5, None)
    assert [plan(total, grid).rounds for total in (58, 401, 402, 670, 1000)] == [1, 1, 3, 5, 5]


@given(numbers, numbers, st.integers(0, 5000))
def test_all_visits_together_send_no_more_than_there_are(connections: list[int], depths: list[int], spare: int) -> None:
    grid = all_points(connections, depths)
    total = fewest(grid) + spare
    rounds, counts = plan(total, grid)
    assert counts is not None
    assert rounds * sum(counts) <= total
