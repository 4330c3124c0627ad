"""What is counted at a point, and what the figures are."""

from __future__ import annotations

import pytest

from batchsend.bench.findings import per_second, row
from batchsend.bench.grid import GridPoint
from batchsend.bench.measurement import Measurement, VisitRate
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.verdict import Verdict


def result(
    status: Outcome = Outcome.ACCEPTED, code: int | None = 250, elapsed: float = 0.1, **more: object
) -> DeliveryResult:
    return DeliveryResult(record=1, recipient="a@example.com", status=status, code=code, elapsed=elapsed, **more)  # type: ignore[arg-type]  # as the tests give them


def test_nothing_measured_is_not_zero() -> None:
    measurement = Measurement(GridPoint(1, 1))
    assert measurement.percentile(50) is None
    assert measurement.rate == 0.0
    assert measurement.interval is None
    assert " - " in row(measurement)
    assert " ? " in row(measurement)


def test_the_pace_is_that_of_all_visits_and_two_do_not_say_how_sure_it_is() -> None:
    measurement = Measurement(GridPoint(1, 1), visits=[VisitRate(10, 1.0), VisitRate(40, 2.0)])
    assert (measurement.timed, measurement.seconds, measurement.rate) == (50, 3.0, 50 / 3)
    assert measurement.interval is None, "two figures that agree would look sure"


def test_how_sure_three_visits_are() -> None:
    measurement = Measurement(GridPoint(1, 1), visits=[VisitRate(rate, 1.0) for rate in (9, 10, 11)])
    sure = measurement.interval
    assert sure is not None
    # Student's t with two degrees of freedom, 4.303, by a standard deviation of 1 and the root of 3.
    assert (sure.low, sure.high) == pytest.approx((10 - 2.484, 10 + 2.484), abs=0.001)
    assert "±25%" in row(measurement)


def test_refusals_are_counted_by_what_was_said() -> None:
    measurement = Measurement(GridPoint(1, 1))
    measurement.count(result(), None)
    measurement.count(result(Outcome.REJECTED, 550, enhanced="5.1.1"), None)
    measurement.count(result(Outcome.DEFERRED, None, reason="gone"), None)
    assert measurement.replies == {"250": 1, "550 5.1.1": 1, "gone": 1}


def test_a_result_that_is_taken_back_counts_once() -> None:
    measurement = Measurement(GridPoint(1, 1))
    accepted, doubted = result(), result(Outcome.IN_DOUBT, None, reason="shifted")
    measurement.count(accepted, None)
    measurement.count(doubted, accepted)
    assert (measurement.messages, measurement.accepted) == (1, 0)
    assert measurement.to_json()["replies"] == {"shifted": 1}


def test_the_relays_own_limits_are_told_by_what_its_replies_mean() -> None:
    measurement = Measurement(GridPoint(1, 1))
    said = "Daily user sending limit exceeded."
    for number in range(2):
        measurement.hear(result(Outcome.REJECTED, 550, stage=Stage.CONTENT, enhanced="5.4.5", reply=f"{said} {number}"))
    measurement.hear(result(Outcome.REJECTED, 550, stage=Stage.RCPT, enhanced="5.1.1", reply="No such user"))
    measurement.hear(result())
    [limit] = measurement.limits.values()
    assert (limit.verdict, limit.said) == (Verdict.QUOTA, f"550 5.4.5 {said} 0")


def test_a_reply_of_several_lines_is_told_in_one() -> None:
    measurement = Measurement(GridPoint(1, 1))
    said = "5.4.5 Daily user sending limit exceeded. For more\n5.4.5 see our pages"
    measurement.hear(result(Outcome.REJECTED, 550, stage=Stage.CONTENT, enhanced="5.4.5", reply=said))
    [limit] = measurement.limits.values()
    assert measurement.refused == limit.said == f"550 {said}".replace("\n", " ")


def test_few_messages_a_second_are_not_rounded_away() -> None:
    measurement = Measurement(GridPoint(1, 1), visits=[VisitRate(number, 100.0) for number in (3, 4, 5)])
    told = measurement.to_json()
    assert (told["rate"], told["visits"]) == (0.04, [0.03, 0.04, 0.05])
    assert "  0.04  " in row(measurement)
    assert (per_second(12345.6), per_second(99.96), per_second(12.345), per_second(0)) == ("12,346", "100", "12.3", "0")
