"""What is counted at a point, and what the percentiles are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.bench.findings import row
from batchsend.bench.grid import GridPoint
from batchsend.bench.measurement import Measurement
from batchsend.outcome import DeliveryResult, Outcome


def result(
    status: Outcome = Outcome.ACCEPTED, code: int | None = 250, elapsed: float = 0.1, **more: str
) -> DeliveryResult:
    return DeliveryResult(record=1, recipient="a@example.com", status=status, code=code, elapsed=elapsed, **more)  # type: ignore[arg-type]  # texts only


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300), st.integers(1, 100))
def test_so_many_of_a_hundred_stay_within(latencies: list[float], percent: int) -> None:
    measurement = Measurement(GridPoint(1, 1))
    measurement.latencies.extend(latencies)
    limit = measurement.percentile(percent)
    assert limit in latencies
    within = sum(latency <= limit for latency in latencies)
    below = sum(latency < limit for latency in latencies)
    assert within * 100 >= percent * len(latencies) > below * 100


def test_nothing_measured_is_not_zero() -> None:
    measurement = Measurement(GridPoint(1, 1))
    assert measurement.percentile(50) is None
    assert measurement.rate == 0.0
    assert " - " in row(measurement)


def test_what_opens_the_sessions_is_counted_and_not_timed() -> None:
    measurement = Measurement(GridPoint(1, 1))
    measurement.count(result(elapsed=5), None, timed=False)
    for _ in range(4):
        measurement.count(result(), None, timed=True)
    measurement.seconds = 2.0
    assert (measurement.messages, measurement.timed, measurement.rate) == (5, 4, 2.0)
    assert measurement.percentile(99) == pytest.approx(0.1)


def test_refusals_are_no_pace() -> None:
    measurement = Measurement(GridPoint(1, 1), seconds=1.0)
    measurement.count(result(), None, timed=True)
    measurement.count(result(Outcome.REJECTED, 550, enhanced="5.1.1"), None, timed=True)
    measurement.count(result(Outcome.DEFERRED, None, reason="gone"), None, timed=True)
    assert measurement.rate == 1.0
    assert measurement.replies == {"250": 1, "550 5.1.1": 1, "gone": 1}
    assert len(measurement.latencies) == 2, "what was never answered took no time"


def test_a_result_that_is_taken_back_counts_once() -> None:
    measurement = Measurement(GridPoint(1, 1), seconds=1.0)
    accepted, doubted = result(), result(Outcome.IN_DOUBT, None, reason="shifted")
    measurement.count(accepted, None, timed=True)
    measurement.count(doubted, accepted, timed=True)
    assert (measurement.messages, measurement.accepted, measurement.rate) == (1, 0, 0.0)
    assert measurement.to_json()["replies"] == {"shifted": 1}
