"""Several relays at the same time in one pool: shares, a relay that dies and comes back, quotas; on a loop that jumps.

The servers' own accounts are the oracle.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Delivery, Outcome, Server, Stage
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from tests.delivery.harness import Account, CountingServer, feed, submissions
from tests.tools.faulty import ACCEPT, Action, Then, refuse
from tests.tools.virtual import virtual_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tools.virtual import VirtualLoop
    from tests.tools.wire import Wire


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    yield from virtual_loop()


class Relay(CountingServer):
    """A server that takes messages, and takes down when.

    Attributes:
        alive: It answers; otherwise it closes every connection.
        times: When it took each message.
        says: What it refuses each message with, or None.
    """

    def __init__(self) -> None:
        super().__init__(self._decide, chunking=False)
        self.alive = True
        self.times: list[float] = []
        self.says: Action | None = None
        self.delay = 0.0
        self.on_message: Callable[[int], None] = lambda _: None

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if not self.alive:
            return Action(b"", Then.CLOSE)
        if stage is not Stage.CONTENT:
            return ACCEPT
        if self.says is not None:
            return self.says
        self.times.append(asyncio.get_running_loop().time())
        self.on_message(len(self.times))
        return ACCEPT

    async def play(self, wire: Wire) -> None:
        if self.alive:
            await super().play(wire)

    def taken(self, since: float, until: float) -> int:
        """How many messages it took between two times of the loop."""
        return sum(since <= time < until for time in self.times)

    def server(self, **keys: Any) -> Server:
        return Server(host=self.host, port=self.port, tls="none", **keys)


def run(
    loop: VirtualLoop, count: int, relays: dict[Relay, dict[str, Any]], *, delivery: Delivery | None = None
) -> Account:
    """Send so many messages through the relays, and check the account against all of theirs."""
    account = Account()
    how = delivery or Delivery(max_wait="forever")

    async def main() -> None:
        for relay in relays:
            await relay.__aenter__()
        try:
            connectors = [
                Connector(relay.server(name=name, **keys), how.timeouts)
                for (relay, keys), name in zip(relays.items(), "abcdef", strict=False)
            ]
            pool = Pool(connectors, how, account, notice=account.notices.append)
            await asyncio.wait_for(feed(pool, submissions(count)), 1_000_000)
        finally:
            for relay in relays:
                await relay.__aexit__(None, None, None)

    loop.run(main)
    taken = Counter(message.recipients[0] for relay in relays for message in relay.accepted)
    assert set(taken.values()) <= {1}
    assert not account.committed
    for relay, name in zip(relays, "abcdef", strict=False):
        called = name if len(relays) > 1 else None
        named = {result.recipient for result in account.last.values() if result.server == called and result.code == 250}
        assert named == {message.recipients[0] for message in relay.accepted}
    assert len(taken) >= count - sum(outcome is Outcome.IN_DOUBT for outcome in account.outcomes.values())
    assert len(account.last) == count
    return account


@pytest.mark.parametrize("weights", [(3, 1), (1, 1), (5, 3, 2)])
def test_shares_follow_the_weights(loop: VirtualLoop, weights: tuple[int, ...]) -> None:
    relays: dict[Relay, dict[str, Any]] = {Relay(): {"weight": weight} for weight in weights}
    count = 1500
    run(loop, count, relays)
    for relay, weight in zip(relays, weights, strict=True):
        share = count * weight / sum(weights)
        assert abs(len(relay.times) - share) <= 0.02 * 10_000 * weight / sum(weights), [len(r.times) for r in relays]


QUOTA = refuse(450, "4.7.1 Message limit exceeded, try again in 30 seconds")


@pytest.mark.parametrize("count", [1500, pytest.param(20_000, marks=pytest.mark.slow)])
def test_one_dies_comes_back_and_uses_its_quota_up(loop: VirtualLoop, count: int) -> None:
    heavy, light = Relay(), Relay()
    rate = count / 60  # the clock jumps: a minute, and what the relays cannot do together
    began = loop.time()

    def at(second: float, act: Callable[[], None]) -> None:
        loop.call_at(began + second, act)

    at(15, lambda: setattr(heavy, "alive", False))
    at(20, lambda: setattr(heavy, "alive", True))
    at(40, lambda: setattr(heavy, "says", QUOTA))
    at(50, lambda: setattr(heavy, "says", None))
    delivery = Delivery(rate=f"{rate}/s", max_wait="forever")
    account = run(loop, count, {heavy: {"weight": 3}, light: {"weight": 1}}, delivery=delivery)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}

    def share(since: float, until: float) -> float:
        took = heavy.taken(began + since, began + until)
        return took / (took + light.taken(began + since, began + until))

    assert share(1, 15) == pytest.approx(0.75, abs=0.04)
    assert share(16, 20) == 0
    assert light.taken(began + 16, began + 20) == pytest.approx(4 * rate, rel=0.1)
    assert share(29, 40) == pytest.approx(0.75, abs=0.04)
    assert share(41, 65) == 0
    assert {result.attempt for result in account.lines} == {1}


def test_a_slow_relay_takes_less_and_holds_nobody_up(loop: VirtualLoop) -> None:
    slow, quick = Relay(), Relay()
    began = loop.time()
    run(
        loop,
        1000,
        {
            slow: {"rate": "10/s", "weight": 1},
            quick: {"rate": "100/s", "weight": 1},
        },
        delivery=Delivery(),
    )
    # They are equal in weight, and were so until it was clear.
    assert len(slow.times) < 250
    assert loop.time() - began < 20


def test_in_the_order_of_the_file_the_second_waits_for_the_first_to_fail(loop: VirtualLoop) -> None:
    first, second = Relay(), Relay()
    first.on_message = lambda number: setattr(first, "alive", number != 100)
    run(loop, 300, {first: {}, second: {}})
    assert len(first.times) == 100
    assert len(second.times) >= 190  # what the first had committed and not answered is in doubt
    assert min(second.times) > max(first.times)


def test_priorities_go_before_weights(loop: VirtualLoop) -> None:
    one, two, last = Relay(), Relay(), Relay()
    run(loop, 400, {last: {"priority": 2, "weight": 100}, one: {"priority": 1}, two: {"priority": 1}})
    assert len(last.times) == 0
    assert abs(len(one.times) - len(two.times)) < 80


def test_a_relay_that_is_not_there_at_first_is_used_once_it_is(loop: VirtualLoop) -> None:
    there, later = Relay(), Relay()
    later.alive = False
    began = loop.time()
    loop.call_at(began + 10, lambda: setattr(later, "alive", True))
    run(loop, 1000, {later: {"weight": 1}, there: {"weight": 1}}, delivery=Delivery(rate="25/s"))
    assert len(later.times) > 150
    assert min(later.times) >= began + 10


def test_own_limits_hold_by_relay(loop: VirtualLoop) -> None:
    wide, narrow = Relay(), Relay()
    how = Delivery(max_connections=4, max_messages=50)
    run(loop, 800, {wide: {"weight": 1}, narrow: {"weight": 1, "max_connections": 1, "max_messages": 7}}, delivery=how)
    assert 2 <= wide.peak <= 5
    assert narrow.peak <= 2
    assert max(narrow.begun) == 7
    assert max(wide.begun) > 7


def test_quotas_are_kept_to_the_message_and_the_others_go_on(loop: VirtualLoop) -> None:
    rationed, free = Relay(), Relay()
    began = loop.time()
    run(
        loop,
        1200,
        {rationed: {"quota": ["50/min", "120/h"], "weight": 1}, free: {"weight": 1}},
        delivery=Delivery(rate="5/s", max_wait="forever"),
    )
    assert len(rationed.times) == 120
    assert most_within(rationed.times, 60) == 50
    assert loop.time() - began < 300


def test_the_campaigns_quota_holds_for_all_relays_together(loop: VirtualLoop) -> None:
    one, two = Relay(), Relay()
    run(loop, 250, {one: {"weight": 3}, two: {"weight": 1}}, delivery=Delivery(quota="40/min", max_wait="forever"))
    assert most_within(sorted(one.times + two.times), 60) == 40


def test_a_quota_alone_is_waited_for_and_no_offer_is_refused(loop: VirtualLoop) -> None:
    only = Relay()
    run(loop, 130, {only: {"quota": "30/min"}}, delivery=Delivery(max_wait="forever"))
    assert most_within(only.times, 60) == 30
    assert 240 <= only.times[-1] - only.times[0] < 250


def test_warm_up_gives_each_day_its_own_quota(loop: VirtualLoop) -> None:
    only = Relay()
    keys = {"warm_up": ["10/day", "20/day", "40/day"], "quota": "60/day"}
    run(loop, 200, {only: keys}, delivery=Delivery(max_wait="forever"))
    days = Counter(int((time - only.times[0]) // 86400) for time in only.times)
    assert [days[day] for day in range(5)] == [10, 20, 40, 60, 60]


def most_within(times: list[float], seconds: float) -> int:
    """The most of these times that any window of so many seconds holds."""
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
