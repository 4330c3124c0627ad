"""The recommendation: computed from the measurements, whichever way they fell out."""

from __future__ import annotations

from batchsend.bench.advice import Advice, advise, undecided
from batchsend.bench.grid import GridPoint
from batchsend.bench.measurement import Measurement, OwnLimit, VisitRate
from batchsend.bench.probe import Probe
from batchsend.outcome import Outcome
from batchsend.smtp.extensions import Extensions
from batchsend.verdict import Verdict

NOW = GridPoint(5, 1)
EVERYTHING = Extensions(pipelining=True, chunking=True)


def measured(
    connections: int, depth: int, rate: float, learned: dict[str, float] | None = None, *, within: float = 0.01
) -> Measurement:
    """A point that was visited five times, each time at this rate, more or less by some part of it."""
    one = Measurement(GridPoint(connections, depth), messages=100)
    if rate:
        one.visits = [VisitRate(round(rate * 1e6 * (1 + part * within)), 1e6) for part in (-1, -0.5, 0, 0.5, 1)]
    one.outcomes[Outcome.ACCEPTED] = 100
    one.learned = learned or {}
    return one


def advice(*measurements: Measurement, extensions: Extensions = EVERYTHING, round_trip: float = 0.048) -> Advice:
    return advise(measurements, Probe("mail.example.com:587", 0.3, round_trip, extensions), NOW)


def test_distance_is_overcome_by_depth() -> None:
    told = advice(measured(1, 1, 20), measured(5, 1, 100), measured(5, 16, 1400), measured(20, 16, 1450))
    assert (told.point, told.rate) == (GridPoint(5, 16), None)
    assert told.times == 14
    assert told.sentences == (
        "48 ms away; 5 connections at depth 16 would send 14 times as fast as now, 5 connections at depth 1: 1,400/s",
        "in [delivery]: max_connections = 5, depth = 16",
        "so 10,000 messages would take about 7.1 s (7.1 s to 7.2 s, 95 times of a hundred)",
        "the price: a connection that is lost leaves up to 16 messages in doubt instead of 1",
    )


def test_what_is_as_fast_with_less_in_flight_is_better() -> None:
    told = advice(measured(1, 1, 990), measured(5, 1, 1020), measured(5, 16, 1030, within=0.05), round_trip=0.0001)
    assert told.point == GridPoint(1, 1)
    assert told.sentences[0] == (
        "less than 1 ms away; 1 connection at depth 1 sent 990/s: nearly as fast as now, 5 connections at depth 1, "
        "with less in flight"
    )


def test_nothing_is_to_be_changed_where_nothing_is_faster() -> None:
    told = advice(measured(1, 1, 20), measured(5, 1, 100), measured(5, 16, 105, within=0.1))
    assert (told.point, told.times, told.expected) == (NOW, 1, 100)
    assert told.sentences[0] == (
        "48 ms away; 5 connections at depth 1, as it is now, sent 100/s, and nothing measured was surely more than 5% "
        "faster"
    )


def test_where_the_present_was_not_measured_nothing_is_compared_with_it() -> None:
    told = advice(measured(1, 1, 20), measured(1, 16, 300))
    assert (told.point, told.times) == (GridPoint(1, 16), None)
    assert told.sentences[0] == (
        "48 ms away; 1 connection at depth 16 sent 300/s, about as fast as the fastest; there is no figure for what is "
        "set now, 5 connections at depth 1"
    )


def test_where_the_gentlest_is_not_surely_faster_another_one_that_is_may_be() -> None:
    """It would be wrong to say that nothing was surely faster."""
    unsure, surely = measured(5, 4, 960, within=0.2), measured(20, 4, 1000)
    told = advice(measured(5, 1, 940), unsure, surely)
    assert told.point == GridPoint(20, 4)
    assert "would send 1.1 times as fast" in told.sentences[0]
    assert undecided([measured(5, 1, 940), surely], NOW) == []


def test_what_the_server_asked_for_is_said() -> None:
    learned = {"rate": 27.5, "max_connections": 3.0, "max_messages": 10.0}
    told = advice(measured(1, 1, 20), measured(5, 1, 30, learned), extensions=Extensions())
    assert told.rate == 27.5
    assert told.sentences[-4:] == (
        "the server offers no PIPELINING: each message costs four round trips, and only more connections help",
        (
            'at 5 connections at depth 1 the server asked for a slower pace: rate = "27.5/s" stays within it, but it '
            "may take far more: give more --messages for the fastest pace to be looked for"
        ),
        "at 5 connections at depth 1 the server allowed 3 connections",
        "the server ends a session after 10 messages: set max_messages to that",
    )


def test_a_pace_that_was_not_looked_for_is_said_to_be_a_cautious_one() -> None:
    """A pool that is told to slow down goes far below what the server takes, for a while."""
    slow, paced = measured(1, 1, 20, {"rate": 1.8}), measured(5, 1, 47, {"rate": 47.5})
    paced.pace_found = True
    more = "but it may take far more: give more --messages"
    assert any(more in sentence for sentence in advice(slow).sentences)
    told = advice(slow, paced)
    assert (told.rate, told.expected) == (47.5, 47)
    assert not any(more in sentence for sentence in told.sentences)


def test_nothing_accepted_is_no_advice() -> None:
    told = advice(measured(1, 1, 0))
    assert (told.point, told.times) == (None, None)
    assert "nothing was accepted" in told.sentences[0]


def test_what_cannot_be_told_apart_is_not_advised() -> None:
    """The next measurement might say the opposite."""
    told = advice(measured(5, 1, 100, within=0.4), measured(5, 16, 130, within=0.4))
    assert (told.point, told.expected) == (NOW, 100)
    assert "nothing measured was surely more than 5% faster" in told.sentences[0]
    assert "only sure to" in told.sentences[1]
    assert advice(measured(5, 1, 100), measured(5, 16, 130)).point == GridPoint(5, 16)


def test_what_was_measured_once_is_not_called_sure() -> None:
    once, other = measured(5, 1, 100), measured(5, 16, 130)
    once.visits, other.visits = once.visits[:1], other.visits[:1]
    told = advice(once, other)
    assert told.point == NOW
    assert "measured too few times" in told.sentences[1]


def test_where_the_present_is_not_known_and_the_others_were_measured_once_nothing_is_advised() -> None:
    """As where the server was gone in the midst of the first round."""
    once = measured(1, 1, 100)
    once.visits = once.visits[:1]
    told = advice(once)
    assert (told.point, told.expected) == (None, once.rate)
    assert (
        told.sentences[0] == "48 ms away; 1 connection at depth 1 sent 99/s: too little was measured to advise anything"
    )
    assert not any("[delivery]" in sentence for sentence in told.sentences)


def test_a_point_that_the_server_did_not_allow_is_not_advised() -> None:
    told = advice(measured(5, 1, 100), measured(20, 1, 200, {"max_connections": 7}))
    assert told.point == NOW
    assert "at 20 connections at depth 1 the server allowed 7 connections" in told.sentences


def test_a_limit_in_the_relays_words_is_told_once() -> None:
    first, second = measured(5, 1, 100), measured(5, 16, 100)
    for one in (first, second):
        one.limits[Verdict.QUOTA] = OwnLimit(Verdict.QUOTA, "Gmail", f"550 5.4.5 enough: {one.point}")
    told = advice(first, second)
    told_of = [sentence for sentence in told.sentences if "own limit" in sentence]
    where = "5 connections at depth 1"
    assert told_of == [
        f"at {where} the server told of its own limit, quota (as Gmail words it): 550 5.4.5 enough: {where}"
    ]


def test_what_is_predicted_is_a_campaign_at_the_advised_rate() -> None:
    told = advice(measured(5, 1, 210), measured(5, 16, 215, {"rate": 190.0}))
    assert (told.rate, told.expected) == (190.0, 190.0)
    assert told.sentences[1] == "so 10,000 messages would take about 52.6 s"


def test_a_moments_sending_is_not_said_to_predict_a_campaign() -> None:
    one = measured(5, 1, 100)
    one.visits = [VisitRate(round(visit.rate / 10), 0.1) for visit in one.visits]
    assert "only 0.5 s of sending were timed, and a campaign lasts longer" in advice(one).sentences[1]


def test_what_is_not_told_apart_is_measured_more_often() -> None:
    slow, fast = measured(5, 1, 100, within=0.2), measured(5, 16, 115, within=0.1)
    assert undecided([slow, fast], NOW) == [slow, fast]
    assert undecided([measured(5, 1, 112, within=0.05), fast], NOW) == [], "about as fast, whichever it is"
    assert undecided([measured(5, 1, 100), measured(5, 16, 130)], NOW) == [], "that is told apart"
    assert undecided([slow, measured(5, 16, 130, {"rate": 90.0}, within=0.4)], NOW) == (), "its pace is looked for"


def test_the_fastest_and_what_may_be_as_fast_are_measured_until_they_are_known() -> None:
    sure, unsure, gentle = measured(5, 16, 1000), measured(20, 16, 950, within=0.4), measured(5, 1, 100, within=0.4)
    assert undecided([gentle, sure, unsure], NOW) == [unsure], "what is surely slower need not be known"
    once = measured(5, 16, 1000)
    once.visits = once.visits[:1]
    assert undecided([once], NOW) == (), "there are too few messages to tell anything"
