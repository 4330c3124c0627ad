"""Tests that take long are begun first, in every process."""

from __future__ import annotations

import random

import pytest

from tests.tools.shares import in_shares

LONG = {5: 3.0, 6: 3.0, 7: 1.0, 8: 1.0, 9: 1.0, 40: 1.0, 41: 1.0, 42: 1.0}


def long(test: int) -> float:
    return LONG.get(test, 0.0)


def test_each_process_begins_with_as_long_a_part_of_what_takes_long_and_neighbours_stay_together() -> None:
    assert in_shares(range(50), long, 2) == [
        *(5, 6, *range(5), *range(10, 28)),
        *(7, 8, 9, 40, 41, 42, *range(28, 40), *range(43, 50)),
    ]


def test_one_process_begins_with_all_of_it() -> None:
    assert in_shares(range(10), long, 1) == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
def test_each_test_is_run_once(processes: int) -> None:
    for seed in range(50):
        choose = random.Random(seed)
        taken = [choose.choice((0.0, 0.0, 0.0, 0.1, 5.0)) for _ in range(choose.randrange(40))]
        ordered = in_shares(range(len(taken)), taken.__getitem__, processes)
        assert sorted(ordered) == list(range(len(taken)))


def test_where_nothing_takes_long_the_order_stays() -> None:
    assert in_shares(range(9), lambda _: 0.0, 4) == list(range(9))
    assert in_shares([], lambda _: 1.0, 4) == []
