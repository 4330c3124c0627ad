"""Results that a program takes as they come: a run waits while many are not taken, and never for one that has left."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import DeliveryResult, Outcome
from batchsend.run.streaming import ResultStream
from tests.delivery.harness import GUARD

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 1000
"""How many results may wait, as the manual says."""


def tell(stream: ResultStream, records: Iterable[int]) -> None:
    for record in records:
        stream.tell(DeliveryResult(record=record, recipient="r@example.com", status=Outcome.ACCEPTED))


async def is_held_back(room: asyncio.Task[None]) -> bool:
    """Whether the run still waits for room when everything else has had its turn."""
    for _ in range(3):
        await asyncio.sleep(0)
    return not room.done()


async def test_a_run_goes_on_when_one_of_very_many_results_was_taken() -> None:
    stream = ResultStream()
    tell(stream, range(1, MOST))
    await stream.room()
    tell(stream, [MOST])
    room = asyncio.create_task(stream.room())
    assert await is_held_back(room)
    assert (first := await stream.next()) is not None
    assert first.record == 1
    async with asyncio.timeout(GUARD):
        await room


async def test_it_does_not_wait_for_a_program_that_has_left() -> None:
    stream = ResultStream()
    tell(stream, range(MOST))
    room = asyncio.create_task(stream.room())
    assert await is_held_back(room)
    stream.leave()
    async with asyncio.timeout(GUARD):
        await room
        tell(stream, range(2 * MOST))  # what was under way
        await stream.room()


async def test_whoever_takes_results_and_is_cancelled_leaves_no_run_behind() -> None:
    """The run ends in order, which takes it a while, before the one who took its results has ended."""
    begun, ended = asyncio.Event(), False

    async def run() -> None:
        nonlocal ended
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            ended = True

    async def take() -> None:
        async for _ in ResultStream().of(run, lambda _: None):
            pass

    taking = asyncio.create_task(take())
    async with asyncio.timeout(GUARD):
        await begun.wait()
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    assert ended


async def test_a_run_that_is_held_back_comes_to_its_end_in_order_where_the_loop_over_its_results_is_left() -> None:
    stream, stopped, ended = ResultStream(), list[str](), False

    async def run() -> None:
        nonlocal ended
        tell(stream, range(2 * MOST))
        await stream.room()
        await asyncio.sleep(0)  # replies that are awaited
        ended = True

    async with asyncio.timeout(GUARD), aclosing(stream.of(run, stopped.append)) as results:
        await anext(results)
    assert stopped == ["its results were not taken to the end"]
    assert ended
