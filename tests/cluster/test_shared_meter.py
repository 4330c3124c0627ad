"""How many messages a worker may send of what it was granted of a quota, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from batchsend.campaign import Quota
from batchsend.cluster.quotas import Grant, SharedMeter

DAY = 86400.0
BY_DAY = Quota(100, 86400)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def granted(clock: Clock, allowed: int, **changed: Any) -> Grant:
    """A grant of so many messages that holds for 5 seconds."""
    grant = Grant(allowed, 0, 0, clock.now + 5.0, [("100/day", 7, 100)], None)
    return grant._replace(**changed)


def meter(clock: Clock, *quotas: Quota, warm_up: tuple[Quota, ...] = ()) -> SharedMeter:
    return SharedMeter("campaign 1", quotas, warm_up, clock)


def test_without_a_grant_nothing_may_be_sent() -> None:
    clock = Clock()
    one = meter(clock, BY_DAY)
    assert (one.lapsed, one.room(clock.now), one.used_up(clock.now), one.figures(clock.now)) == (True, 0, None, [])
    assert one.wait(clock.now) == pytest.approx(0.1)


def test_of_what_was_granted_there_is_left_what_is_neither_sent_nor_under_way() -> None:
    clock = Clock()
    one = meter(clock, BY_DAY)
    one.grant(granted(clock, 4))
    assert (one.room(clock.now), one.wait(clock.now)) == (4, 0.0)
    for _ in range(3):
        one.take()
    assert one.room(clock.now) == 1
    one.answered(clock.now, counts=True)
    assert (one.spent, one.room(clock.now)) == (1, 1)
    one.answered(clock.now, counts=False)
    assert (one.spent, one.room(clock.now)) == (1, 2), "one that was refused may be sent to somebody else"
    for _ in range(2):
        one.take()
    assert one.room(clock.now) == 0
    assert one.wait(clock.now) == pytest.approx(0.1)
    one.grant(granted(clock, 2))
    assert one.room(clock.now) == 0, "more is under way than is allowed by now"


def test_a_grant_holds_until_its_end() -> None:
    clock = Clock()
    one = meter(clock, BY_DAY)
    one.grant(granted(clock, 4))
    clock.now += 5.0
    assert (one.lapsed, one.room(clock.now)) == (False, 4)
    clock.now += 0.001
    assert (one.lapsed, one.room(clock.now)) == (True, 0)


def test_what_is_given_back_is_all_but_what_is_under_way() -> None:
    clock = Clock()
    one = meter(clock, BY_DAY)
    one.grant(granted(clock, 10))
    for _ in range(3):
        one.take()
    one.answered(clock.now, counts=True)
    one.give_back()
    assert (one.allowed, one.room(clock.now)) == (3, 0)


def test_where_all_is_used_up_it_is_known_until_when() -> None:
    clock = Clock()
    one = meter(clock, BY_DAY)
    used_up = (BY_DAY, clock.now + 60.0)
    one.grant(granted(clock, 1, used_up=used_up))
    assert (one.used_up(clock.now), one.wait(clock.now)) == (None, 0.0), "there is one more"
    one.take()
    assert one.used_up(clock.now) is BY_DAY
    assert one.wait(clock.now) == pytest.approx(60.0)
    clock.now += 59.99
    assert one.used_up(clock.now) is BY_DAY
    assert one.wait(clock.now) == pytest.approx(0.1), "who waits asks no more often than that"
    clock.now += 0.01
    assert one.used_up(clock.now) is None
    assert one.wait(clock.now) == pytest.approx(0.1)


def test_figures_are_those_of_the_whole_cluster() -> None:
    clock = Clock()
    one = meter(clock, BY_DAY)
    one.grant(granted(clock, 1))
    assert one.figures(clock.now) == [("100/day", 7, 100)]


@pytest.mark.parametrize(
    ("age", "day"),
    [(None, 0), (-1.0, 0), (0.0, 0), (DAY - 1, 0), (DAY, 1), (2 * DAY - 1, 1), (2 * DAY, None), (9 * DAY, None)],
)
def test_each_day_of_a_warm_up_has_its_number(age: float | None, day: int | None) -> None:
    days = (Quota(40, 86400), Quota(70, 86400))
    one = meter(Clock(), BY_DAY, warm_up=days)
    assert one.limits(age) == [BY_DAY, *([] if day is None else [days[day]])]


@pytest.mark.parametrize(
    ("quotas", "warm_up", "seconds"),
    [
        ((Quota(10, 60),), (), 1.0),
        ((BY_DAY,), (), DAY / 4096),
        ((BY_DAY, Quota(10, 60)), (), 1.0),
        ((), (BY_DAY,), DAY / 4096),
        ((Quota(10, 60),), (BY_DAY,), 1.0),
    ],
)
def test_messages_are_counted_by_the_second_or_by_a_small_part_of_the_day(
    quotas: tuple[Quota, ...], warm_up: tuple[Quota, ...], seconds: float
) -> None:
    assert meter(Clock(), *quotas, warm_up=warm_up).together == seconds
