"""What is changed in a run by hand: before it begins, while it goes on, and in the run that it goes on with."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Batch, Delivery, Outcome, Rate
from batchsend.run.steering import Steering
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.test_batch import campaign, log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.tools.virtual import VirtualLoop

BY = "the test"


def test_what_is_said_before_it_begins_holds_from_the_beginning_and_can_be_changed_while_it_waits(
    loop: VirtualLoop, tmp_path: Path
) -> None:
    batch: Batch
    seen: list[tuple[int, float | None]] = []

    def look() -> None:
        assert batch.statistics is not None
        seen.append((batch.statistics.connections, batch.statistics.rate))

    async def go_on_later(server: CountingServer) -> None:
        await asyncio.sleep(60)
        assert server.connections == [], "it is paused"
        look()
        batch.steering.set_connections(3, BY)
        batch.steering.set_rate(Rate.parse("2/s"), BY)
        look()
        batch.steering.set_rate(None, BY)
        look()
        batch.steering.go_on(BY)

    async def main() -> None:
        nonlocal batch

        @asynccontextmanager
        async def beside() -> AsyncIterator[None]:
            later = asyncio.create_task(go_on_later(server))
            yield
            await later

        async with CountingServer(well_behaved) as server:
            batch = Batch(campaign(tmp_path, server, max_connections=5), beside=beside)
            batch.steering.set_rate(Rate.parse("10/s"), BY)
            batch.steering.set_connections(1, BY)
            batch.steering.pause(BY)
            summary = await batch.run()
        assert +summary.counts == {Outcome.ACCEPTED: 10}

    loop.run(main)
    assert seen == [(1, 10.0), (3, 2.0), (3, None)]
    changes = [line["change"] for line in log(tmp_path)[0] if "change" in line]
    assert changes == [
        *({"rate": "10/s"}, {"max_connections": 1}, {"paused": True}),
        *({"max_connections": 3}, {"rate": "2/s"}, {"rate": None}, {"paused": False}),
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("5/s", 4, False)),
        ({"rate": "6/min"}, ("6/min", 4, False)),
        ({"rate": None, "paused": False}, (None, 4, False)),
        ({"max_connections": 2, "paused": True}, ("5/s", 2, True)),
    ],
)
def test_what_was_changed_in_the_run_that_is_gone_on_with_holds_as_it_was_said_last(
    changes: dict[str, Any], expected: tuple[str | None, int, bool]
) -> None:
    steering = Steering(Delivery(rate=Rate(5, 1), max_connections=4), lambda _: None)
    steering.take_over(changes, BY)
    rate = None if steering.rate is None else str(steering.rate)
    assert (rate, steering.connections, steering.paused) == expected


@pytest.mark.parametrize(
    ("change", "expected"), [("rate", (5, 10.0)), ("connections", (1, None)), ("pause", (5, None))]
)
async def test_each_of_them_holds_by_itself_before_anything_is_sent(
    tmp_path: Path, change: str, expected: tuple[int, float | None]
) -> None:
    seen: list[tuple[int, float | None]] = []

    @asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        assert batch.statistics is not None
        seen.append((batch.statistics.connections, batch.statistics.rate))
        batch.steering.go_on(BY)
        yield

    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server, "r@example.com,N\n", max_connections=5), beside=beside)
        steering = batch.steering
        match change:
            case "rate":
                steering.set_rate(Rate.parse("10/s"), BY)
            case "connections":
                steering.set_connections(1, BY)
            case _:
                steering.pause(BY)
        await batch.run()
    assert seen == [expected]
