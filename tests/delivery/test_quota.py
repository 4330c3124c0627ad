"""Quotas and warm-up: never a message more than they allow in any window, and hardly later than they could."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend import Delivery, Server
from batchsend.campaign import Quota
from batchsend.delivery.leave import Leave
from batchsend.delivery.quota import DAY, EXACT, Meter, Meters, RollingWindow
from batchsend.delivery.relay import relays_of
from tests.tools.virtual import most_within

START = 1_780_000_000.0


def sent(meter: Meter, seconds: float, *, now: float = START, most: int = 100_000) -> list[float]:
    """When messages go out that a meter lets through as soon as it can."""
    times: list[float] = []
    end = now + seconds
    while now < end and len(times) < most:
        wait = meter.wait(now)
        if wait:
            now += wait
            continue
        meter.take()
        now += 0.001
        meter.answered(now, counts=True)
        times.append(now)
    return times


@given(
    messages=st.integers(1, 60),
    gaps=st.lists(st.floats(0, 30), max_size=200),
    accepted=st.lists(st.booleans(), min_size=200, max_size=200),
)
def test_no_window_holds_more_than_the_quota(messages: int, gaps: list[float], accepted: list[bool]) -> None:
    meter = Meter([Quota(messages, 60.0)])
    times: list[float] = []
    now = START
    for gap, counts in zip(gaps, accepted, strict=False):
        now += gap
        if meter.room(now) > 0:
            assert meter.wait(now) == 0
            meter.take()
            meter.answered(now, counts=counts)
            times += [now] * counts
        else:
            assert 0 < meter.wait(now) <= 61
    assert most_within(times, 60.0) <= messages


def test_a_quota_is_used_to_the_message_and_no_later_than_it_can_be() -> None:
    times = sent(Meter([Quota(100, 3600.0), Quota(250, DAY)]), 2 * DAY)
    assert most_within(times, 3600.0) == 100
    assert most_within(times, DAY) == 250
    assert len(times) == 500


def test_a_great_quota_is_counted_in_bounded_memory_and_as_exactly() -> None:
    window = RollingWindow(DAY, 1_000_000)
    now = START
    for _ in range(100_000):
        window.note(now)
        now += 1.0
    assert len(window) <= EXACT + 2
    assert 86_400 <= window.used(now) <= 86_400 + DAY / EXACT + 1


def test_what_is_under_way_counts_until_it_is_answered() -> None:
    meter = Meter([Quota(3, 60.0)])
    for _ in range(3):
        meter.take()
    assert meter.room(START) == 0
    assert meter.wait(START) == math.inf
    meter.answered(START, counts=False)
    assert meter.wait(START) == 0
    meter.answered(START, counts=True)
    assert meter.room(START) == 1


def test_warm_up_counts_days_from_the_first_message() -> None:
    meter = Meter([Quota(40, DAY)], [Quota(5, DAY), Quota(10, DAY), Quota(20, DAY)])
    times = sent(meter, 5 * DAY - 60, now=START + 12345)
    days = [sum(day <= (time - times[0]) // DAY < day + 1 for time in times) for day in range(5)]
    assert days == [5, 10, 20, 40, 40]


@pytest.mark.parametrize("cut", [0, 1, 99, 100, 101, 240])
def test_what_an_earlier_run_has_sent_counts_as_if_this_one_had(cut: int) -> None:
    quotas = [Quota(100, 3600.0), Quota(250, DAY)]
    times = sent(Meter(quotas), 3 * DAY)
    meter = Meter(quotas)
    for when in times[:cut]:
        meter.note(when)
    assert times[:cut] + sent(meter, 3 * DAY - (times[cut] - START), now=times[cut] - 0.001) == pytest.approx(times)


def test_a_log_dated_in_the_future_counts_as_of_now() -> None:
    meters = Meters([Server(host="one.example.com", quota="1/h")], [Quota(1, 3600.0)])
    meters.note("one.example.com", START + 10 * DAY, START)
    assert meters.campaign is not None
    for meter in (meters.campaign, meters.relays["one.example.com"]):
        assert 0 < meter.wait(START) <= 3601


def test_what_an_earlier_run_has_sent_counts_for_its_relay_and_where_that_is_unknown_for_each() -> None:
    servers = [
        Server(host="one.example.com", quota="10/h"),
        Server(host="two.example.com", name="two", quota="10/h"),
        Server(host="three.example.com"),
    ]
    meters = Meters(servers, [Quota(100, DAY)])
    meters.note("two", START, START)
    meters.note("one.example.com:587", START + 1, START + 1)  # as a run with this relay alone has it
    meters.note(None, START + 2, START + 2)
    meters.note("three.example.com", START + 3, START + 3)
    meters.note("gone.example.com", START + 4, START + 4)
    rooms = {name: meter.room(START + 5) for name, meter in meters.relays.items()}
    assert rooms == {"one.example.com": 8, "two": 8}
    assert meters.campaign is not None
    assert meters.campaign.room(START + 5) == 95


def test_a_message_of_which_nobody_knows_the_relay_begins_no_warm_up() -> None:
    """It counts, but were the first day another relay's, the second would begin before its time."""
    meters = Meters([Server(host="old.example.com"), Server(host="new.example.com", warm_up=["2/day", "4/day"])], [])
    meters.note(None, START, START)
    meter = meters.relays["new.example.com"]
    assert meter.room(START + 1) == 1
    meters.note("new.example.com", START + DAY / 2, START + DAY / 2)
    assert meter.room(START + DAY + 1) == 1, "still its first day"
    assert meter.room(START + 1.5 * DAY + 1) == 4


def test_what_an_earlier_run_has_sent_does_not_count_shorter_because_a_pool_takes_time_to_make() -> None:
    servers, how = [Server(host="one.example.com", quota="1/h")], Delivery()
    meters = Meters(servers, [])
    began = time.monotonic() - 0.5
    relays = relays_of(servers, [how], {}, meters, began)
    leave = Leave(relays, how, now=began, meter=None, pace=lambda _: 0.0, retire=lambda _: None, again=lambda: None)
    now = time.time()
    meters.note("one.example.com", now - 3599.8, now)
    assert leave.take(relays[0], time.monotonic()) > 0


def test_where_there_is_no_quota_nothing_is_counted() -> None:
    assert not Meters([Server(host="one.example.com")], [])
