"""Where a quota ends that nobody has told us of: found, believed, tried again and given up; the clock is the test's."""

from __future__ import annotations

import math
import time
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend import Delivery, Server
from batchsend.campaign import Quota
from batchsend.delivery.foresight import BELIEVED, ROUND_NUMBERS, Foresight
from batchsend.delivery.quota import Meters
from batchsend.delivery.relay import Relay, relays_of

HOUR, DAY = 3600.0, 86400.0


class Rationed:
    """A server that takes so many messages in any hour, sent to by so many sessions that each have one under way.

    Attributes:
        refused: How many it has refused.
    """

    def __init__(self, quota: int, sessions: int = 5) -> None:
        self.quota = quota
        self.sessions = sessions
        self.refused = 0
        self.accepted = 0
        self._times: deque[float] = deque(maxlen=quota)
        self._asleep = False
        self.foresight = Foresight(2 * (sessions + 1), 0.0)

    def send(self, now: float) -> float:
        """Send until nothing more is to be sent; how long the rest is to be, and for ever after a refusal."""
        under_way = 0
        if self._asleep:
            self._asleep = False
            self.foresight.woken(self.accepted, now)
        while True:
            wait = self.foresight.wait(self.accepted, under_way, now) if self._is_careful else 0.0
            if not wait and under_way < self.sessions:
                under_way += 1
            elif under_way:
                under_way -= 1
                if self._take(now):
                    continue
                self.foresight.refused(self.accepted, now, HOUR, first=False)
                for _ in range(under_way):
                    self._take(now)
                self._asleep = True
                return math.inf
            else:
                self.foresight.rests()
                return wait

    def raise_to(self, quota: int) -> None:
        """From now on it takes so many an hour."""
        self.quota = quota
        self._times = deque(self._times, maxlen=quota)

    @property
    def _is_careful(self) -> bool:
        return self.accepted >= self.foresight.careful_from

    def _take(self, now: float) -> bool:
        taken = len(self._times) < self.quota or self._times[0] <= now - HOUR
        if taken:
            self._times.append(now)
        self.accepted += taken
        self.refused += not taken
        return taken


@pytest.mark.parametrize("quota", ROUND_NUMBERS)
def test_a_round_quota_costs_one_refused_offer_to_find_and_one_to_be_sure_of(quota: int) -> None:
    server = Rationed(quota)
    assert server.send(0.0) == math.inf
    assert server.refused == 1
    assert server.foresight.quota == Quota(quota, HOUR)
    assert server.send(2 * HOUR) == math.inf
    assert server.refused == 2


@settings(max_examples=40)
@given(quota=st.integers(1, 1200), sessions=st.integers(1, 20))
def test_any_quota_costs_each_session_one_and_is_foreseen_from_the_third_time_on(quota: int, sessions: int) -> None:
    server = Rationed(quota, sessions)
    server.send(0.0)
    assert server.refused <= sessions
    assert server.foresight.quota == Quota(quota, HOUR)
    found = server.refused
    server.send(2 * HOUR)
    assert server.refused == found + 1
    now = 4 * HOUR
    for _ in range(BELIEVED):
        wait = server.send(now)
        assert 0 < wait <= HOUR + 1, "it rests until its quota has room"
        now += wait + HOUR
    assert server.refused == found + 1
    server.send(now)
    assert server.refused == found + 2, "after some times it is tried again: it may have grown"


def test_a_quota_of_which_somebody_else_had_a_part_is_found_to_be_more_the_next_time() -> None:
    server = Rationed(40)
    server.send(0.0)
    assert server.foresight.quota == Quota(40, HOUR)
    server.raise_to(170)
    server.send(2 * HOUR)
    assert server.foresight.quota == Quota(170, HOUR)
    server.send(4 * HOUR)
    assert server.send(6 * HOUR) < math.inf
    assert server.accepted == 40 + 3 * 170


def test_an_hours_quota_is_kept_where_the_days_is_used_up_too() -> None:
    foresight = Foresight(12, 0.0)
    foresight.refused(100, 1.0, HOUR, first=False)
    foresight.woken(100, HOUR + 1)
    foresight.refused(150, HOUR + 2, DAY, first=False)
    foresight.woken(150, DAY + HOUR)
    assert foresight.learned == {"quota": 100, "quota_hours": 1, "quota_sure": 0}
    foresight.refused(150, DAY + HOUR, HOUR, first=True)
    assert foresight.quota == Quota(100, HOUR), "what is said to the first message is about the sleep"


def test_where_there_is_no_hurry_messages_go_alone_once_a_quota_is_known() -> None:
    """A day's quota, which nobody knows of yet, then refuses one offer and not one of each session."""
    foresight = Foresight(12, 0.0)
    foresight.refused(97, 1.0, HOUR, first=False)
    foresight.woken(97, HOUR + 1)
    assert foresight.careful_from <= 97, "each message counts from now on"
    assert foresight.wait(97, 0, HOUR + 2) == 0.0
    assert foresight.wait(97, 1, HOUR + 2) == math.inf
    assert foresight.room(97, 0, HOUR + 2) == 1


def test_where_a_quota_is_large_they_go_side_by_side_until_it_is_near() -> None:
    foresight = Foresight(12, 0.0)
    foresight.refused(5_003, 1.0, HOUR, first=False)
    foresight.woken(5_003, HOUR + 1)
    assert foresight.careful_from == 2 * 5_003 - 12
    assert foresight.wait(5_003, 5, HOUR + 2) == 0.0


def test_of_several_sent_at_once_as_many_go_as_the_quota_has_room_for() -> None:
    foresight = Foresight(12, 0.0)
    foresight.refused(5_003, 1.0, HOUR, first=False)
    foresight.woken(5_003, HOUR + 1)
    assert foresight.room(5_003, 0, HOUR + 2) == 5_003
    assert foresight.wait(10_000, 1, HOUR + 3) == 0.0
    assert foresight.room(10_000, 1, HOUR + 3) == 5
    assert foresight.room(10_000, 5, HOUR + 3) == 1


def test_what_was_sent_over_longer_than_the_quota_counts_says_nothing_of_it() -> None:
    foresight = Foresight(12, 0.0)
    foresight.refused(5000, 3 * HOUR, HOUR, first=False)
    assert foresight.quota is None


def test_where_a_session_is_lost_the_others_do_not_stop_for_the_same_number() -> None:
    foresight = Foresight(12, 0.0)
    assert foresight.wait(100, 1, 1.0) == math.inf
    foresight.lost(100, 1.0)
    assert foresight.careful_from > 100
    assert foresight.wait(500, 1, 1.0) == math.inf, "the next one it does stop for"


def remembered(sent: int, ago: float, now: float = 50.0) -> Relay:
    """A relay of which an earlier run has found that it takes 100 an hour, and what the log says was sent."""
    servers = [Server(host="smtp.example.com")]
    learned = {"quota": 100.0, "quota_hours": 1.0, "quota_sure": 3.0}
    meters = Meters(servers, ())
    meters.watch(learned)
    for _ in range(sent):
        meters.note("smtp.example.com:587", time.time() - ago, time.time())
    return relays_of(servers, [Delivery()], learned, meters, now)[0]


def test_what_the_log_says_was_sent_in_the_last_hour_counts() -> None:
    relay = remembered(60, ago=600.0)
    assert relay.trying
    for _ in range(40):
        assert not relay.wait_to_send(50.0)
        relay.took()
    assert 2900 < relay.wait_to_send(50.0) < 3100
    assert not relay.can_send(50.0)
    assert relay.foresight.learned["quota_sure"] == 2


def test_whoever_resumes_early_is_believed_and_one_message_asks_the_relay() -> None:
    """The log says that the hour's quota is used up: the user may know better, because it was raised."""
    relay = remembered(100, ago=600.0)
    assert relay.connections(50.0) == 1
    for _ in range(100):
        assert not relay.wait_to_send(50.0)
        relay.took()
    assert relay.wait_to_send(50.0) > 3500
