"""The bound at the worst moments: sessions as the server counts them, and records that a kill would leave in doubt.

Never more than ``max_connections`` + 1 sessions are open or being opened, and never more than that many times
min(``depth``, ``max_messages``) records are committed and unanswered: at the start, at each rotation, and in a burst
after a pause.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from batchsend import RunError
from batchsend.delivery import backlog
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import (
    GREETED,
    MODES,
    Account,
    CountingServer,
    deliver,
    feed,
    options,
    server,
    submissions,
    well_behaved,
)
from tests.tools.faulty import ACCEPT, Action, drop, refuse
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Expect, Silence, StopReading, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend import Delivery, DeliveryResult, Submission
    from tests.tools.faulty import Decide
    from tests.tools.steps import Step
    from tests.tools.virtual import VirtualLoop
    from tests.tools.wire import Wire

modes = pytest.mark.parametrize("mode", MODES)
messages_of_a_session = pytest.mark.parametrize(
    "max_messages", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 10))]
)


class SlowServer(CountingServer):
    """Takes its time over each greeting and each goodbye, and counts from the connection.

    So sessions are being opened, and take their leave, for long.

    Args:
        decide: What it decides.
        mode: What it offers.
    """

    def __init__(self, decide: Decide, mode: str) -> None:
        super().__init__(decide, pipelining=MODES[mode].pipelining, chunking=MODES[mode].chunking)
        self._choose = random.Random(1)
        self._playing: set[asyncio.Task[None]] = set()

    async def play(self, wire: Wire) -> None:
        self.open_now += 1
        self.peak = max(self.peak, self.open_now)
        playing = asyncio.create_task(self._play(wire))
        self._playing.add(playing)
        try:
            await asyncio.wait((playing,))
            if not playing.cancelled():
                playing.result()
        finally:
            playing.cancel()
            self.open_now -= 1
            self._playing.discard(playing)

    async def _play(self, wire: Wire) -> None:
        await asyncio.sleep(self._choose.choice((0.0, 0.005, 0.02)))
        await super(CountingServer, self).play(wire)

    async def quitting(self, connection: int) -> None:
        del connection
        await asyncio.sleep(self._choose.choice((0.0, 0.005, 0.02)))

    def hang_up(self) -> None:
        """End every session, as servers do with idle ones."""
        for playing in self._playing:
            playing.cancel()


class Awaited(Account):
    """An account that says when so many records are settled."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = 0
        self._reached = asyncio.Event()

    async def settled(self, count: int) -> None:
        self._wanted = count
        while len(self.lines) < count:
            self._reached.clear()
            await self._reached.wait()

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        super().settle(submission, result)
        if len(self.lines) >= self._wanted:
            self._reached.set()


def check_bound(account: Account, peer: CountingServer, how: Delivery) -> None:
    sessions = how.max_connections + 1
    assert peer.peak <= sessions
    assert account.most_committed <= sessions * min(how.depth, how.max_messages)


@modes
@messages_of_a_session
@pytest.mark.parametrize("connections", [1, 4])
async def test_at_the_start_and_at_each_rotation(mode: str, max_messages: int, connections: int) -> None:
    how = options(max_connections=connections, max_messages=max_messages, depth=MODES[mode].depth)
    async with SlowServer(well_behaved, mode) as peer:
        account = await deliver(peer, submissions(40 * connections), how)
    account.check(peer, 40 * connections)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    check_bound(account, peer, how)


@modes
@messages_of_a_session
async def test_where_sessions_are_lost_and_refused(mode: str, max_messages: int) -> None:
    """Whatever ends a session, its place is free only when it is gone."""
    choose = random.Random(max_messages)
    # A session that is refused is one too many for the server, which need not be so in truth.
    faults = {Stage.GREETING: refuse(421, "4.3.2 not now"), Stage.MAIL: refuse(421, "4.3.2 going down")}
    how = options(max_connections=4, max_messages=max_messages, depth=MODES[mode].depth)

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del transaction, recipient
        if connection < 3 or choose.random() > 0.02:
            return ACCEPT
        return faults.get(stage, drop())

    async with SlowServer(decide, mode) as peer:
        account = await deliver(peer, submissions(120), how)
    account.check(peer, 120)
    check_bound(account, peer, how)


@modes
@messages_of_a_session
async def test_in_a_burst_after_a_pause(mode: str, max_messages: int) -> None:
    """All sessions sleep, or have been ended while they were idle; then there is work for all of them at once."""
    how = options(max_connections=4, max_messages=max_messages, depth=MODES[mode].depth)
    async with SlowServer(well_behaved, mode) as peer:
        account = Awaited()
        pool = Pool([Connector(server(peer), how.timeouts)], how, account)
        work = submissions(150)

        async def bursts() -> None:
            for start in range(0, len(work), 50):
                await pool.put(work[start : start + 50])
                await account.settled(start + 50)
                if start == 50:
                    peer.hang_up()
            pool.close()

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(bursts())
            tasks.create_task(pool.run())
    account.check(peer, 150)
    assert set(account.outcomes.values()) <= {Outcome.ACCEPTED, Outcome.IN_DOUBT}  # what met a session that was ending
    check_bound(account, peer, how)


@pytest.mark.interpreted
@modes
async def test_large_messages_are_under_way_only_as_far_as_there_is_memory_for_them(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three at once, whatever the number of sessions; one that is larger than all of that goes alone."""
    monkeypatch.setattr(backlog, "LARGE", 9_000)
    monkeypatch.setattr(backlog, "MOST_OCTETS", 35_000)
    content = b"Subject: x\r\n\r\n" + b"x" * 9_998 + b"\r\n"
    large = submissions(40, content=content)
    large[20] = submissions(21, content=content * 5)[20]
    under_way: list[int] = []

    class Watched(Account):
        def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
            super().commit(submission, release)
            under_way.append(sum(len(large[record - 1].content) for record in self.committed))
            return True

    account = Watched()
    how = options(max_connections=8, depth=MODES[mode].depth)
    async with CountingServer(well_behaved, chunking=MODES[mode].chunking) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account)
        await feed(pool, large)
    account.check(peer, 40)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    *others, largest = sorted(set(under_way))
    assert largest == len(content * 5), "it went alone"
    assert 2 * len(content) <= others[-1] <= 35_000


@pytest.mark.interpreted
def test_what_servers_never_read_is_held_only_as_far_as_there_is_memory_for_it(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They answer DATA and take nothing of what follows, which stays here until its time is over."""
    monkeypatch.setattr(backlog, "LARGE", 100_000)
    monkeypatch.setattr(backlog, "MOST_OCTETS", 14_000_000)
    content = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 60_000
    held: list[int] = []

    class Watched(Account):
        def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
            super().commit(submission, release)
            held.append(len(self.committed))
            return True

    account = Watched()
    how = options(max_connections=8, give_up_after=90, content=30, quit=1)
    asked: list[Step] = [Expect(""), Expect(""), Expect("")]  # MAIL, RCPT and DATA, or a QUIT without them
    script: list[Step] = [*GREETED, *asked, reply("250 ok", "250 ok", "354 go"), StopReading(), Silence()]

    async def send() -> None:
        async with ScriptedServer(script, receive_buffer=4096) as peer:
            pool = Pool([Connector(server(peer), how.timeouts)], how, account)
            with pytest.raises(RunError, match="before anything is answered"):
                await feed(pool, submissions(40, content=content))

    loop.run(send)
    assert not account.committed
    assert set(account.outcomes.values()) <= {Outcome.DEFERRED}, "none of them is in doubt"
    assert 2 <= max(held) <= 3
