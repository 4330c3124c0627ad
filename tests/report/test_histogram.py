"""Quantiles and a histogram of times that are not kept themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.histogram import Histogram

seconds = st.floats(1e-5, 3600)


@given(st.lists(seconds, min_size=1), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_right_to_two_per_cent(times: list[float], part: float) -> None:
    spread = Histogram()
    spread.update(times)
    place = max(0, -int(-part * len(times) // 1) - 1)
    assert spread.quantile(part) == pytest.approx(sorted(times)[place], rel=0.02)
    assert spread.longest == max(times)


@given(st.lists(seconds, min_size=1), st.integers(20, 60))
def test_all_times_are_in_the_histogram(times: list[float], bars: int) -> None:
    spread = Histogram()
    for time in times:
        spread.update([time])
    found = list(spread.histogram(bars))
    assert len(found) <= bars
    assert sum(count for _, _, count in found) == len(times) == spread.count
    assert found[0][0] <= min(times) * 1.001
    assert max(times) <= found[-1][1] * 1.001


def test_no_time_at_all_and_none() -> None:
    spread = Histogram()
    spread.update([0.0, 0.0])
    assert spread.quantile(0.5) == 0.0
    assert Histogram().quantile(0.5) == 0.0
    assert list(Histogram().histogram(10)) == []
