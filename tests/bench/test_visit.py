"""A point: its sessions are all at work when the clock starts, whatever the server does at their opening."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from batchsend import Delivery
from batchsend.bench.gathering import GatheringConnector
from batchsend.bench.grid import GridPoint
from batchsend.bench.measurement import Measurement
from batchsend.bench.messages import BenchRecipients, Messages
from batchsend.bench.visit import Visit
from batchsend.outcome import Stage
from batchsend.verdict import Verdict
from tests.delivery.harness import GUARD, CountingServer, server, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse


def a_visit(peer: CountingServer, measurement: Measurement) -> Visit:
    delivery = Delivery()
    return Visit(measurement, GatheringConnector(server(peer), delivery.timeouts), delivery)


def messages() -> Messages:
    return Messages(sender="a@example.com", recipients=BenchRecipients("b@example.com"), size=700)


async def measure(peer: CountingServer, point: GridPoint, count: int | None, seconds: float = GUARD) -> Measurement:
    measurement = Measurement(point)
    with anyio.fail_after(GUARD):
        await a_visit(peer, measurement).run(messages(), count, seconds)
    return measurement


@pytest.mark.parametrize("depth", [1, 8])
async def test_no_message_is_sent_before_every_session_is_open(depth: int) -> None:
    """The first session of several could do all that there is to do while the others say EHLO."""
    greeted: set[int] = set()
    greeted_at_mail: list[int] = []

    def watch(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.GREETING:
            greeted.add(connection)
        elif stage is Stage.MAIL:
            greeted_at_mail.append(len(greeted))
        return ACCEPT

    async with CountingServer(watch) as peer:
        measurement = await measure(peer, GridPoint(5, depth), 30)
    assert set(greeted_at_mail) == {5}
    # Five have opened the sessions. The others are few: all of them are timed.
    assert (measurement.messages, measurement.timed) == (30, 25)
    assert len(peer.accepted) == 30


async def test_few_messages_are_timed_from_their_hand_over_on() -> None:
    """What is under way together is answered together: the time between two such replies is no pace."""
    async with CountingServer(well_behaved) as peer:
        measurement = await measure(peer, GridPoint(1, 16), 16)
    longest = measurement.percentile(99)
    assert longest is not None
    assert measurement.timed == measurement.latencies.count == 15
    assert measurement.seconds >= longest * 0.9  # percentiles are exact to some per cent


async def test_of_many_messages_those_that_warm_up_are_not_timed() -> None:
    async with CountingServer(well_behaved) as peer:
        measurement = await measure(peer, GridPoint(2, 1), 102)
    assert (measurement.messages, measurement.timed) == (102, 75)


async def test_the_sessions_are_rotated_one_after_the_other() -> None:
    """Those of a campaign are; rotated all at the same moment, they would wait for one another."""
    most: Counter[int] = Counter()

    def watch(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        most[connection] = max(most[connection], transaction)
        return ACCEPT

    async with CountingServer(watch) as peer:
        measurement = await measure(peer, GridPoint(4, 1), 800)
    assert measurement.accepted == len(peer.accepted) == 800
    assert sorted(most[connection] for connection in list(most)[:4]) == [25, 50, 75, 100]


async def test_what_cannot_be_opened_is_not_waited_for_and_is_learned() -> None:
    def two(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.GREETING and peer.open_now > 2:
            return refuse(421, "4.7.0 Too many concurrent connections")
        return ACCEPT

    async with CountingServer(two) as peer:
        measurement = await measure(peer, GridPoint(5, 1), 30)
    assert measurement.accepted == len(peer.accepted) == 30
    assert measurement.learned == {"max_connections": 2}
    assert measurement.throttled
    assert len(measurement.notices) == 3


async def test_a_server_that_falls_silent_is_left_by_cancelling() -> None:
    """Nothing hangs on, neither the sessions nor those that wait for one another."""

    silent = anyio.Event()

    def third_is_silent(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if connection < 3 or stage is not Stage.GREETING:
            return ACCEPT
        silent.set()
        return drop(Then.SILENCE)

    async with CountingServer(third_is_silent) as peer:
        measurement = Measurement(GridPoint(3, 1))
        visit = a_visit(peer, measurement)
        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(visit.run, messages(), 10, GUARD)
                await silent.wait()
                tasks.cancel_scope.cancel()
    assert measurement.messages == 0
    assert peer.accepted == []


async def test_stopping_awaits_what_is_under_way_and_sends_nothing_new() -> None:
    well_on_its_way = anyio.Event()

    def watch(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if transaction == 20:
            well_on_its_way.set()
        return ACCEPT

    async with CountingServer(watch) as peer:
        measurement = Measurement(GridPoint(2, 1))
        visit = a_visit(peer, measurement)
        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(visit.run, messages(), 100_000, GUARD)
                await well_on_its_way.wait()
                visit.stop()
    assert measurement.accepted == measurement.messages == len(peer.accepted) < 100_000


async def test_the_time_ends_it_and_only_what_was_taken_in_it_is_the_pace() -> None:
    """The messages that open the sessions and those of the warm-up are sent, and are no pace."""
    async with CountingServer(well_behaved) as peer:
        measurement = await measure(peer, GridPoint(2, 1), None, 0.1)
    assert measurement.accepted == measurement.messages == len(peer.accepted)
    [visit] = measurement.visits
    assert 0 < visit.accepted <= measurement.accepted - 2
    assert visit.seconds >= 0.1
    assert measurement.latencies.count >= visit.accepted


async def test_where_the_server_asks_for_a_slower_pace_the_time_begins_anew() -> None:
    """What it took before it said so is not what it takes."""
    refused = False

    def once(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        nonlocal refused
        if stage is Stage.CONTENT and not refused and len(peer.accepted) >= 40:
            refused = True
            return refuse(454, "4.7.0 Throttling failure: maximum sending rate exceeded")
        return ACCEPT

    async with CountingServer(once) as peer:
        measurement = await measure(peer, GridPoint(1, 1), 44)
    assert measurement.accepted == len(peer.accepted) == 44
    assert measurement.timed < 10
    [limit] = measurement.limits.values()
    assert limit.verdict is Verdict.PACE
    assert str(limit).startswith("its own limit, pace")
    assert "maximum sending rate exceeded" in limit.said


async def test_a_pace_is_kept_and_what_the_server_says_at_it_is_not_what_it_asks_for() -> None:
    """It is tried to see whether the server takes it: that a pool then learns a slower one is no advice."""

    def always(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and len(peer.accepted) == 6 and not measurement.limits:
            return refuse(454, "4.7.0 Throttling failure: maximum sending rate exceeded")
        return ACCEPT

    async with CountingServer(always) as peer:
        measurement = Measurement(GridPoint(1, 1))
        delivery = Delivery()
        connector = GatheringConnector(server(peer), delivery.timeouts)
        visit = Visit(measurement, connector, delivery, pace=50)
        with anyio.fail_after(GUARD):
            await visit.run(messages(), 12, GUARD)
    assert visit.learned["rate"] < 50
    assert visit.best_second <= 12
    assert measurement.learned == {}
