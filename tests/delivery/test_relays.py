"""Several relays at the same time in one pool: shares, a relay that dies and comes back, quotas; on a loop that jumps.

The servers' own accounts are the oracle.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Delivery, Outcome, RunError, Server, Stage
from batchsend.campaign import most_in_doubt
from batchsend.delivery.connector import Connector
from batchsend.delivery.foresight import BELIEVED
from batchsend.delivery.offered_again import MAX_HELD_BACK
from batchsend.delivery.pool import Pool
from batchsend.delivery.statistics import RelayState
from batchsend.monitor import words
from tests.delivery.harness import Account, CountingServer, feed, submissions
from tests.tools.faulty import ACCEPT, Action, Then, refuse
from tests.tools.virtual import most_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.delivery.statistics import PoolStatistics
    from tests.tools.virtual import VirtualLoop
    from tests.tools.wire import Wire


pools: list[Pool] = []  # the one at work


class Relay(CountingServer):
    """A server that takes messages, and takes down when.

    Attributes:
        alive: It answers; otherwise it closes every connection.
        times: When it took each message.
        says: What it refuses each message with, or None.
        says_to: What it refuses a recipient's with instead.
    """

    def __init__(self) -> None:
        super().__init__(self._decide, chunking=False)
        self.alive = True
        self.times: list[float] = []
        self.says: Action | None = None
        self.says_to: dict[str, Action] = {}
        self.delay = 0.0
        self.on_message: Callable[[int], None] = lambda _: None

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction
        if not self.alive and stage is not Stage.CONTENT:
            return Action(b"", Then.CLOSE)  # between two messages: one without an answer would be in doubt (RFC 1047)
        if stage is not Stage.CONTENT:
            return ACCEPT
        if (says := self.says_to.get(recipient or "", self.says)) is not None:
            return says
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
    loop: VirtualLoop,
    count: int,
    relays: dict[Relay, dict[str, Any]],
    *,
    delivery: Delivery | None = None,
    missing: int = 0,
    learned: dict[str, float] | None = None,
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
            pool = Pool(connectors, how, account, notice=account.notices.append, learned=learned or {})
            pools[:] = [pool]
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
    assert len(taken) >= count - missing - sum(outcome is Outcome.IN_DOUBT for outcome in account.outcomes.values())
    assert len(account.last) == count
    return account


@pytest.mark.parametrize(
    "weights", [(5, 3, 2), *(pytest.param(two, marks=pytest.mark.slow) for two in ((3, 1), (1, 1)))]
)
@pytest.mark.parametrize("count", [1500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_shares_follow_the_weights(loop: VirtualLoop, weights: tuple[int, ...], count: int) -> None:
    relays: dict[Relay, dict[str, Any]] = {Relay(): {"weight": weight} for weight in weights}
    run(loop, count, relays)
    for relay, weight in zip(relays, weights, strict=True):
        whole = weight / sum(weights)
        # What one may be ahead of its share does not grow with the number: 2 % of 10,000 messages, or of fewer.
        assert abs(len(relay.accepted) - count * whole) <= 0.02 * 10_000 * whole, [len(r.accepted) for r in relays]


QUOTA = refuse(450, "4.7.1 Message limit exceeded, try again in 30 seconds")


@pytest.mark.parametrize("count", [pytest.param(count, marks=pytest.mark.slow) for count in (1500, 20_000)])
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

    def most_off(since: float, until: float) -> float:
        """Shares are kept to within 64 messages, which of few are more than of many."""
        both = sum(relay.taken(began + since, began + until) for relay in (heavy, light))
        return max(0.015, 64 / both)

    assert share(1, 15) == pytest.approx(0.75, abs=most_off(1, 15))
    assert share(16, 20) == 0
    assert light.taken(began + 16, began + 20) == pytest.approx(4 * rate, rel=0.1)
    assert share(29, 40) == pytest.approx(0.75, abs=most_off(29, 40))
    assert share(41, 65) == 0
    assert {result.attempt for result in account.lines} == {1}


@pytest.mark.parametrize(
    ("count", "slowly", "quickly", "together"),
    [
        (60, "1/s", "20/s", "40/s"),
        (100, "2/s", "40/s", None),
        pytest.param(1000, "10/s", "100/s", None, marks=pytest.mark.slow),
    ],
)
def test_a_slow_relay_takes_less_and_holds_nobody_up(
    loop: VirtualLoop, count: int, slowly: str, quickly: str, together: str | None
) -> None:
    slow, quick = Relay(), Relay()
    began = loop.time()
    run(
        loop,
        count,
        {
            slow: {"rate": slowly, "weight": 1},
            quick: {"rate": quickly, "weight": 1},
        },
        delivery=Delivery(rate=together),
    )
    # They are equal in weight, and were so until it was clear.
    assert len(slow.times) < count / 4
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


@pytest.mark.slow
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


def test_a_session_that_is_open_too_late_does_not_stay_for_the_sleep(loop: VirtualLoop) -> None:
    only = Relay()
    seen: list[int] = []
    loop.call_at(loop.time() + 600, lambda: seen.append(only.open_now))
    run(loop, 6, {only: {"quota": "3/h"}}, delivery=Delivery(max_wait="forever", max_connections=5))
    assert len(only.connections) > 2
    assert seen == [0]


@pytest.mark.parametrize("refused", [True, False])
def test_what_was_not_taken_uses_nothing_of_a_quota(loop: VirtualLoop, *, refused: bool) -> None:
    """Of ten messages one goes back, as the relay says that it is too fast or its session ends; all go in one hour."""
    only = Relay()

    def recover() -> None:
        only.alive, only.says = True, None

    def fail(number: int) -> None:
        if number == 4:
            only.alive, only.says = refused, PACE if refused else None
            loop.call_later(1, recover)

    only.on_message = fail
    run(loop, 10, {only: {"quota": "10/h"}}, delivery=Delivery(max_wait="forever"))
    assert only.times[-1] - only.times[0] < 3600


def test_warm_up_gives_each_day_its_own_quota(loop: VirtualLoop) -> None:
    only = Relay()
    keys = {"warm_up": ["10/day", "20/day", "40/day"], "quota": "60/day"}
    run(loop, 200, {only: keys}, delivery=Delivery(max_wait="forever"))
    days = Counter(int((time - only.times[0]) // 86400) for time in only.times)
    assert [days[day] for day in range(5)] == [10, 20, 40, 60, 60]


PACE = refuse(450, "4.7.1 Maximum sending rate exceeded")


@pytest.mark.slow
@pytest.mark.parametrize("relays", [1, 2])
def test_a_pace_refused_for_ten_minutes_is_neither_an_attempt_nor_an_outcome(loop: VirtualLoop, relays: int) -> None:
    all_of_them = [Relay() for _ in range(relays)]
    for relay in all_of_them:
        relay.says = PACE
        loop.call_at(loop.time() + 600, setattr, relay, "says", None)
    account = run(loop, 60, {relay: {"weight": 1} for relay in all_of_them}, delivery=Delivery())
    assert {(result.status, result.attempt) for result in account.lines} == {(Outcome.ACCEPTED, 1)}
    assert len(account.went_back) > 50


def test_a_pace_refused_for_ever_ends_the_run_and_burns_nothing(loop: VirtualLoop) -> None:
    relay = Relay()
    relay.says = PACE
    began = loop.time()
    with pytest.raises(RunError, match=r"nothing was accepted for 1[56] min"):
        run(loop, 60, {relay: {}}, delivery=Delivery())
    assert 900 <= loop.time() - began < 960


def test_a_record_that_goes_back_again_and_again_while_others_get_through_is_deferred(loop: VirtualLoop) -> None:
    relay = Relay()
    relay.says_to = {"r7@example.com": PACE}
    account = run(loop, 600, {relay: {}}, delivery=Delivery(max_connections=1), missing=1)
    assert account.outcomes[7] is Outcome.DEFERRED
    assert len(account.went_back) == MAX_HELD_BACK


def test_sessions_and_what_may_be_in_doubt_are_bounded_by_relay(loop: VirtualLoop) -> None:
    """As `most_in_doubt` says, which the journal's size is made of: its sum over the relays."""
    relays: dict[Relay, dict[str, Any]] = {
        Relay(): {"weight": 2, "max_connections": 3, "max_messages": 10},
        Relay(): {"weight": 1, "max_connections": 1, "max_messages": 4},
    }
    how = Delivery(max_connections=9)
    account = run(loop, 600, relays, delivery=how)
    bounds = [most_in_doubt(Server(host="x", **keys), how) for keys in relays.values()]
    assert bounds == [4, 2]
    assert [relay.peak <= bound for relay, bound in zip(relays, bounds, strict=True)] == [True, True]
    assert 2 <= account.most_committed <= sum(bounds)


def test_a_quota_that_a_relay_was_found_to_have_costs_one_refused_offer(loop: VirtualLoop) -> None:
    """Nobody has set it: an earlier run has learned it, and it is come near to by one message at a time."""
    known, free = Relay(), Relay()

    def refuse_from_now_on(number: int) -> None:
        if number == 40:
            known.says = refuse(450, "4.7.1 Max emails per hour exceeded for this account")
            loop.call_later(3600, setattr, known, "says", None)

    known.on_message = refuse_from_now_on
    delivery = Delivery(rate="20/s")
    account = run(loop, 200, {known: {"weight": 1}, free: {"weight": 1}}, delivery=delivery, learned={"a.quota": 40.0})
    assert [result.server for result in account.went_back] == ["a"]
    assert (len(known.times), len(free.times)) == (40, 160)
    assert pools[-1].learned == {"a.quota": 40, "a.quota_hours": 1, "a.quota_sure": BELIEVED}


def test_each_relay_says_how_it_is(loop: VirtualLoop) -> None:
    rationed, gone = Relay(), Relay()
    gone.alive = False
    seen: list[PoolStatistics] = []

    def look(number: int) -> None:
        if number == 60:
            seen.append(pools[-1].statistics())

    rationed.on_message = look
    keys: dict[Relay, dict[str, Any]] = {rationed: {"weight": 1, "quota": "500/h"}, gone: {"weight": 1}}
    run(loop, 100, keys, delivery=Delivery(rate="20/s", quota="1000/day"))
    one, other = seen[0].relays
    assert (one.name, one.state, other.name) == ("a", RelayState.READY, "b")
    assert one.quotas == (("500/h", one.accepted, 500),)
    assert seen[0].quotas == (("1000/day", one.accepted, 1000),)
    assert other.sessions == other.accepted == 0
    lines = words.relays(seen[0])
    assert lines[0].startswith(f"  a: accepted {one.accepted} · ")
    assert lines[0].endswith(f"{one.accepted} of 500/h")
