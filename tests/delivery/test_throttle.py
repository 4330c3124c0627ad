"""The rate is one bucket for all sessions: never exceeded but by its small depth, and used up where there is work."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.campaign import Rate
from batchsend.delivery.throttle import Goodput, Throttle
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import CountingServer, deliver, options, submissions
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from collections.abc import Callable

RATES = [0.5, 3.0, 17.0, 20.0, 50.0, 100.0, 1000.0, 7777.0]

TICK = 0.001
"""How late the loops' timers are, at their latest, where the machine is not busy."""


RESOLUTION = 1e-6
"""The least step of the clock: a wait that is shorter is over at the next look."""


def departures(throttle: Throttle, seconds: float, *, late: float = 0.0, start: float = 0.0) -> list[float]:
    """When messages go out if there is always one waiting and whoever is told to wait comes back a little late."""
    now, times = start, []
    while now < start + seconds:
        wait = throttle.take(now)
        if wait:
            now += max(wait + late, RESOLUTION)
        else:
            times.append(now)
    return times


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("late", [0.0, TICK])
def test_over_ten_seconds_the_rate_is_exact_within_two_percent(rate: float, late: float) -> None:
    seconds = max(10.0, 20 / rate)
    count = len(departures(Throttle(rate, 0.0), seconds, late=late))
    assert rate * seconds * 0.98 - 1 <= count <= rate * seconds * 1.02 + 1


@pytest.mark.parametrize("rate", RATES)
def test_the_first_message_goes_out_at_once_and_the_second_does_not(rate: float) -> None:
    throttle = Throttle(rate, 100.0)
    assert throttle.take(100.0) == 0.0
    assert throttle.take(100.0) == pytest.approx(1 / rate)


@pytest.mark.parametrize("rate", RATES)
def test_the_wait_that_is_asked_for_is_enough(rate: float) -> None:
    throttle = Throttle(rate, 0.0)
    now = 0.0
    for _ in range(50):
        assert throttle.take(now) == 0.0
        now += throttle.take(now) + RESOLUTION


@pytest.mark.parametrize("rate", RATES)
def test_an_hour_of_idleness_is_not_made_up_for(rate: float) -> None:
    throttle = Throttle(rate, 0.0)
    throttle.take(0.0)
    burst = 0
    while not throttle.take(3600.0):
        burst += 1
    assert burst <= max(1, rate * 0.05)


@given(
    rate=st.floats(0.1, 10_000),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60),
    eager=st.integers(1, 20),
)
def test_no_pattern_of_asking_gets_more_than_the_rate_and_the_depth(rate: float, gaps: list[float], eager: int) -> None:
    throttle = Throttle(rate, 0.0)
    now, taken = 0.0, 0
    for gap in gaps:
        now += gap
        taken += sum(not throttle.take(now) for _ in range(eager))
        assert taken <= now * rate + max(1.0, rate * 0.05) + 1e-6 * taken


def test_no_limit_means_no_wait() -> None:
    throttle = Throttle(None, 0.0)
    assert [throttle.take(0.0) for _ in range(1000)] == [0.0] * 1000


async def test_many_sessions_share_one_rate() -> None:
    """200/s over real connections, by the server's clock; five sessions do not send five times as fast."""
    arrived: list[float] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.CONTENT:
            arrived.append(asyncio.get_running_loop().time())
        return ACCEPT

    how = msgspec.structs.replace(options(max_connections=5), rate=Rate.parse("200/s"))
    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(160), how)
    account.check(peer, 160)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert len(peer.connections) == 5
    assert all(earlier <= later for earlier, later in pairwise(arrived))
    # At most the bucket's depth of ten is ahead of the rate, and a busy machine bunches some more together.
    for start in range(0, 160, 20):
        for end in range(start + 40, 160, 20):
            assert (end - start) / (arrived[end] - arrived[start] + 0.1) <= 200
    assert 159 / (arrived[-1] - arrived[0]) > 100


class Refusing:
    """A server that is sent to by one session, and says "slower" to what ``refuses`` says it does.

    Attributes:
        accepted: How many messages it took.
        refused: How many it refused.
    """

    PER_MESSAGE = 0.004  # seconds that it takes for one

    def __init__(self, refuses: Callable[[float], bool]) -> None:
        self.accepted = self.refused = 0
        self._refuses = refuses
        self.throttle = Throttle(None, 0.0)
        self._goodput = Goodput(0.0)

    def send_for(self, seconds: float) -> None:
        now = sampled = 0.0
        while now < seconds:
            if now - sampled >= Goodput.INTERVAL:
                sampled = now
                self._goodput.sample(now, self.accepted)
            if wait := self.throttle.take(now):
                now += min(max(wait, RESOLUTION), Goodput.INTERVAL)
                continue
            now += self.PER_MESSAGE
            if self._refuses(now):
                self.refused += 1
                self.throttle.slow_down(now, self._goodput.rate(now, self.accepted))
            else:
                self.accepted += 1


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_a_few_refusals_at_random_do_not_ratchet_the_rate_down(share: float) -> None:
    """They do not depend on the rate, and what gets through is what counts."""
    chance = random.Random(1)
    server = Refusing(lambda _: chance.random() < share)
    server.send_for(300.0)
    assert server.accepted > 300 / Refusing.PER_MESSAGE / 3


@pytest.mark.parametrize("limit", [5, 20, 100])
def test_a_rate_that_is_the_servers_is_found_and_little_is_refused(limit: int) -> None:
    taken: deque[float] = deque(maxlen=limit)

    def refuses(now: float) -> bool:
        full = len(taken) == limit and now - taken[0] < 1.0
        if not full:
            taken.append(now)
        return full

    server = Refusing(refuses)
    server.send_for(300.0)
    assert server.accepted > 300 * limit * 0.8
    assert server.refused < 0.1 * server.accepted


def test_as_many_refusals_cut_nothing_as_one_in_twenty_of_what_got_through_in_three_seconds() -> None:
    """However long it went well before: a server that has a limit by now is heard after a moment."""
    throttle = Throttle(None, 0.0)
    assert throttle.slow_down(0.0, 200.0)
    assert not throttle.slow_down(60.0, 100.0), "the first one of many"
    few = next(place for place in range(2, 100) if throttle.slow_down(60.0, 100.0))
    assert few == 1 + 3 * 100 // 20
