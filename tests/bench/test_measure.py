"""A point: its sessions are all at work when the clock starts, whatever the server does at their opening."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend import Delivery
from batchsend.bench.gathering import GatheringConnector
from batchsend.bench.grid import GridPoint
from batchsend.bench.measure import PointRun
from batchsend.bench.messages import Messages
from batchsend.outcome import Stage
from tests.delivery.harness import GUARD, CountingServer, server
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse

if TYPE_CHECKING:
    from batchsend.bench.measurement import Measurement


def a_run(peer: CountingServer, point: GridPoint) -> PointRun:
    delivery = Delivery()
    return PointRun(point, GatheringConnector(server(peer), delivery.timeouts), delivery)


def messages() -> Messages:
    return Messages(sender="a@example.com", recipient="b@example.com", size=700)


async def measure(peer: CountingServer, point: GridPoint, count: int) -> Measurement:
    point_run = a_run(peer, point)
    with anyio.fail_after(GUARD):
        await point_run.run(messages(), count)
    return point_run.measurement


@pytest.mark.parametrize("depth", [1, 8])
async def test_no_message_is_sent_before_every_session_is_open(depth: int) -> None:
    """The first session of several could do all that there is to do while the others say EHLO."""
    open_at_mail: list[int] = []

    def watch(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.MAIL:
            open_at_mail.append(peer.open_now)
        return ACCEPT

    async with CountingServer(watch) as peer:
        measurement = await measure(peer, GridPoint(5, depth), 30)
    assert set(open_at_mail) == {5}
    assert (measurement.messages, measurement.timed) == (30, 25)
    assert len(peer.accepted) == 30


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
        point_run = a_run(peer, GridPoint(3, 1))
        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(point_run.run, messages(), 10)
                await silent.wait()
                tasks.cancel_scope.cancel()
    assert point_run.measurement.messages == 0
    assert peer.accepted == []


async def test_stopping_awaits_what_is_under_way_and_sends_nothing_new() -> None:
    well_on_its_way = anyio.Event()

    def watch(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if transaction == 20:
            well_on_its_way.set()
        return ACCEPT

    async with CountingServer(watch) as peer:
        point_run = a_run(peer, GridPoint(2, 1))
        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(point_run.run, messages(), 100_000)
                await well_on_its_way.wait()
                point_run.stop()
    measurement = point_run.measurement
    assert measurement.accepted == measurement.messages == len(peer.accepted) < 100_000
