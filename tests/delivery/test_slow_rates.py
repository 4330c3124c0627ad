"""At a slow rate there are as many sessions as it needs, and not as many as there may be."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec
import pytest

from batchsend import Outcome
from batchsend.campaign import Rate
from tests.delivery.harness import CountingServer, deliver, options, server, submissions, well_behaved

if TYPE_CHECKING:
    from tests.delivery.harness import Account
    from tests.tools.virtual import VirtualLoop
    from tests.tools.wire import Wire

HOUR = 3600.0
CONNECTIONS = 5


class Unhurried(CountingServer):
    """Answers each content after some seconds.

    Args:
        seconds: So many.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(well_behaved, pipelining=False, chunking=False)
        self._seconds = seconds

    async def play(self, wire: Wire) -> None:
        read_content = wire.read_content

        async def later() -> bytes:
            content = await read_content()
            await asyncio.sleep(self._seconds)
            return content

        wire.read_content = later  # type: ignore[method-assign]
        await super().play(wire)


def sent(loop: VirtualLoop, peers: list[CountingServer], rate: str, count: int) -> tuple[Account, float]:
    """What comes of so many messages at a rate, and in how many seconds."""
    how = msgspec.structs.replace(options(max_connections=CONNECTIONS), rate=Rate.parse(rate))

    async def run() -> Account:
        async with AsyncExitStack() as stack:
            there = [server(await stack.enter_async_context(peer)) for peer in peers]
            return await deliver(
                [msgspec.structs.replace(one, weight=1) for one in there], submissions(count), how, guard=HOUR
            )

    began = loop.time()
    return loop.run(run), loop.time() - began


@pytest.mark.parametrize("rate", ["1/s", "12/min", pytest.param("100/h", marks=pytest.mark.slow)])
@pytest.mark.parametrize("relays", [1, 2])
def test_one_session_is_enough_where_a_message_takes_next_to_no_time(rate: str, relays: int, loop: VirtualLoop) -> None:
    peers = [CountingServer(well_behaved) for _ in range(relays)]
    account, seconds = sent(loop, peers, rate, 30)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert sum(len(peer.connections) for peer in peers) <= 2 * relays, "one each, and one more by chance"
    assert seconds == pytest.approx(29 / Rate.parse(rate).per_second, rel=0.05)


def test_there_are_more_where_the_rate_needs_them(loop: VirtualLoop) -> None:
    peer = Unhurried(3.5)
    account, seconds = sent(loop, [peer], "1/s", 60)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert 4 <= peer.peak <= CONNECTIONS
    assert seconds < 70


def test_at_a_rate_that_is_not_slow_there_are_all_of_them_from_the_beginning(loop: VirtualLoop) -> None:
    peer = Unhurried(1.0)
    account, seconds = sent(loop, [peer], "100/s", 100)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert peer.peak == CONNECTIONS
    assert seconds < 100 / CONNECTIONS + 3


class AwayAtFirst(CountingServer):
    """Closes each connection without a word, until so many seconds after the first one.

    Args:
        seconds: So many.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(well_behaved)
        self._seconds = seconds
        self._back: float | None = None

    async def play(self, wire: Wire) -> None:
        now = asyncio.get_running_loop().time()
        self._back = self._back or now + self._seconds
        if now >= self._back:
            await super().play(wire)


@pytest.mark.parametrize("priorities", [(1, 2), (1, 1)])
def test_a_relay_that_is_back_is_sent_to_again(priorities: tuple[int, int], loop: VirtualLoop) -> None:
    """The other one has a session for each message, before it could be seen that this one is back."""
    peers = [AwayAtFirst(90.0), CountingServer(well_behaved)]
    how = msgspec.structs.replace(options(max_connections=CONNECTIONS), rate=Rate.parse("100/h"))

    async def run() -> Account:
        async with AsyncExitStack() as stack:
            there = [server(await stack.enter_async_context(peer)) for peer in peers]
            order = zip(there, priorities, strict=True)
            servers = [msgspec.structs.replace(one, priority=priority, weight=1) for one, priority in order]
            return await deliver(servers, submissions(30), how, guard=HOUR)

    account = loop.run(run)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert sum(peers[0].begun) >= 10
