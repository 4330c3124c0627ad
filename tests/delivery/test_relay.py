"""When a relay may be sent to: its rate and its pauses together, with a clock of the test's own."""

from __future__ import annotations

import pytest

from batchsend import Delivery, Rate
from batchsend.delivery.relay import Relay
from batchsend.errors import RunError


def sent(relay: Relay, since: float, seconds: float, step: float = 0.001) -> int:
    """How many messages it lets go in so many seconds to somebody who asks all the time."""
    return sum(not relay.wait_to_send(since + tick * step) for tick in range(int(seconds / step)))


@pytest.mark.parametrize("pause", ["back off", "back off for", "sleep", "none"])
def test_the_rate_holds_after_a_pause_as_before_it(pause: str) -> None:
    relay = Relay("relay", Delivery(rate=Rate(20, 1)), 0.0)
    if pause == "back off":
        relay.back_off(0.0)
    elif pause == "back off for":
        relay.back_off_for(0.0, 5.0)
    elif pause == "sleep":
        relay.sleep(0.0, 5.0, "550 Daily limit")
    assert 18 * 5 <= sent(relay, 10.0, 5.0) <= 22 * 5


def test_nothing_is_sent_during_a_pause() -> None:
    assert Relay("another", Delivery(), 0.0).unlimited
    relay = Relay("relay", Delivery(), 0.0)
    relay.sleep(0.0, 5.0, "550 Daily limit")
    assert not relay.unlimited
    assert sent(relay, 0.0, 4.9) == 0
    assert not relay.can_send(4.9)
    assert relay.can_send(5.0)


def test_pauses_grow_to_a_minute_and_an_accepted_message_ends_them() -> None:
    relay = Relay("relay", Delivery(), 0.0)
    now, tries = 0.0, 0
    while now < 600.0:
        assert relay.back_off(now)
        assert not relay.back_off(now), "what fails together counts once"
        now += relay.wait(now)
        tries += 1
    assert tries <= 30, "in ten minutes of failing"
    for _ in range(500):
        relay.back_off(now)
        assert 30.0 <= relay.wait(now) <= 60.0
        now += relay.wait(now)
    relay.took()
    assert relay.wait(now) == 0.0
    assert relay.unlimited
    relay.back_off(now)
    assert relay.wait(now) <= 0.2


def test_after_a_sleep_one_session_tries_and_the_others_wait_for_it() -> None:
    relay = Relay("relay", Delivery(max_connections=5), 0.0)
    relay.sleep(0.0, 5.0, "550 Daily limit")
    relay.took()
    assert relay.connections(6.0) == 1, "what was under way before the sleep says nothing of its end"
    assert not relay.wait_to_send(6.0)
    relay.took()
    assert relay.connections(6.0) == 5


def test_a_relay_that_refuses_us_stays_out_of_service() -> None:
    relay = Relay("relay", Delivery(), 0.0)
    first, second = RunError("first"), RunError("second")
    for error in (first, second):
        relay.retire(error)
    assert relay.out_of_service is first
    assert not relay.can_send(1e9)


def test_of_its_own_rate_only_the_part_that_others_do_not_use_is_used() -> None:
    """The campaign's rate is shared out by others, and is not divided here."""
    relay = Relay("relay", Delivery(), 0.0, own_rate=20.0)
    relay.set_part(0.25, 0.0)
    assert 4 * 9 <= sent(relay, 1.0, 10.0) <= 4 * 15
    relay.set_rate(2.0, 20.0)
    assert 18 <= sent(relay, 30.0, 10.0) <= 25
    relay.set_rate(None, 50.0)
    relay.set_part(1.0, 50.0)
    assert 18 * 10 <= sent(relay, 60.0, 10.0) <= 22 * 10


def test_who_waits_for_a_pause_hears_that_it_is_over_or_shorter() -> None:
    heard: list[Relay] = []
    relay = Relay("relay", Delivery(), 0.0, eased=heard.append)
    relay.back_off_for(0.0, 60.0)
    relay.is_tried_by(100.0)
    assert heard == [], "it is over before that anyway"
    relay.is_tried_by(5.0)
    assert heard == [relay]
    assert relay.wait(0.0) == 5.0
    relay.back_off(6.0)
    relay.took()
    relay.took()
    assert heard == [relay, relay]
    assert relay.wait(6.0) == 0.0
