"""A run that is paused, slowed down, or given more or fewer sessions while it goes on; the server's account counts."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from tests.delivery.harness import Account, CountingServer, feed, options, server, submissions
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend import Stage
    from tests.tools.virtual import VirtualLoop


class Watched(CountingServer):
    """Calls something back when it has taken so many messages.

    Args:
        at: What is called, by the number of messages that were taken before.
    """

    def __init__(self, at: dict[int, Callable[[], None]]) -> None:
        super().__init__(self._decide)
        self._at = at
        self.times: list[float] = []

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if stage.value == "content":
            self.times.append(asyncio.get_running_loop().time())
            if (call := self._at.pop(len(self.times), None)) is not None:
                call()
        return ACCEPT


def run(loop: VirtualLoop, count: int, at: dict[int, Callable[[Pool], None]], **how: float) -> tuple[Watched, Account]:
    """Send so many messages, and act on the pool in mid-run."""
    account = Account()
    delivery = options(max_connections=int(how.pop("max_connections", 3)), max_messages=1000)

    async def main() -> Watched:
        calls: dict[int, Callable[[], None]] = {}
        async with Watched(calls) as peer:
            pool = Pool([Connector(server(peer), delivery.timeouts)], delivery, account, notice=account.notices.append)
            calls.update({number: partial(act, pool) for number, act in at.items()})
            await asyncio.wait_for(feed(pool, submissions(count)), 100_000)
        return peer

    peer = loop.run(main)
    account.check(peer, count)
    return peer, account


def test_a_pause_finishes_what_was_begun_and_closes_the_sessions_in_order(loop: VirtualLoop) -> None:
    seen: list[tuple[int, int]] = []

    def pause(pool: Pool) -> None:
        pool.pause()
        loop.call_later(60, look, pool)

    def look(pool: Pool) -> None:
        assert pool.paused
        statistics = pool.statistics()
        seen.append((len(statistics.sessions) + statistics.opening, statistics.in_flight))
        pool.resume()

    peer, _ = run(loop, 300, {100: pause})
    assert seen == [(0, 0)]
    gap = max(later - sooner for sooner, later in zip(peer.times, peer.times[1:], strict=False))
    assert gap > 55
    assert all(connection.commands[-1] == b"QUIT" for connection in peer.connections)


def test_a_paused_run_can_be_stopped(loop: VirtualLoop) -> None:
    account = Account()

    async def main() -> None:
        how = options(max_connections=2)
        async with CountingServer(lambda *_: ACCEPT) as peer:
            pool = Pool([Connector(server(peer), how.timeouts)], how, account)
            pool.pause()
            loop.call_later(20, pool.stop)
            await asyncio.wait_for(feed(pool, submissions(1000)), 1000)
            assert peer.accepted == []

    loop.run(main)
    assert account.lines == []


def test_a_rate_set_in_mid_run_holds_at_once_and_can_be_taken_away(loop: VirtualLoop) -> None:
    peer, _ = run(loop, 400, {100: lambda pool: pool.set_rate(2.0), 200: lambda pool: pool.set_rate(None)})
    slow = peer.times[190] - peer.times[110]
    assert slow >= 0.9 * 80 / 2.0
    assert peer.times[-1] - peer.times[210] < 0.1 * slow


def test_fewer_connections_end_sessions_and_more_open_some(loop: VirtualLoop) -> None:
    seen: dict[str, int] = {}

    def fewer(pool: Pool) -> None:
        pool.set_connections(1)

    def look(pool: Pool) -> None:
        seen["fewer"] = len(pool.statistics().sessions)
        pool.set_connections(6)

    def look_again(pool: Pool) -> None:
        seen["more"] = len(pool.statistics().sessions)

    peer, _ = run(loop, 1200, {100: fewer, 300: look, 1000: look_again})
    assert seen == {"fewer": 1, "more": 6}
    assert peer.peak <= 7


def test_sessions_that_are_being_opened_when_fewer_are_asked_for_end(loop: VirtualLoop) -> None:
    account, how = Account(), options(max_connections=3, max_messages=1000)
    pools: list[Pool] = []
    sessions: list[int] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del transaction, recipient
        [pool] = pools
        if stage.value == "greeting" and connection == 3:
            pool.set_connections(1)
        if stage.value == "content":
            sessions.append(len(pool.statistics().sessions))
        return ACCEPT

    async def main() -> CountingServer:
        async with CountingServer(decide) as peer:
            pools.append(Pool([Connector(server(peer), how.timeouts)], how, account))
            await asyncio.wait_for(feed(pools[0], submissions(300)), 1000)
        return peer

    peer = loop.run(main)
    account.check(peer, 300)
    assert len(peer.connections) == 3
    assert set(sessions[100:]) == {1}
