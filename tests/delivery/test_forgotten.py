"""Records that become somebody else's in mid-run: what waits is not offered, what is under way has its outcome once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import anyio
import pytest

from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import GUARD, Account, CountingServer, address, feed, options, server, submissions
from tests.tools.faulty import ACCEPT, Action, drop, refuse, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tools.virtual import VirtualLoop

FULL: Final = say(b"452 4.4.5 Maximum number of messages per session exceeded.\r\n", succeeds=False)
"""It goes back, and is offered again as a rule."""


class Forgetful(CountingServer):
    """A server in whose mid-run records become somebody else's.

    Args:
        forget: The records, when the first one is looked at for the first time.
        at: The stage at which that is.
        says: What is said to the first record then.

    Attributes:
        waited: What the pool said of these records.
        offered: How often each recipient was.
    """

    def __init__(self, forget: set[int], at: Stage, says: Action) -> None:
        super().__init__(self._decide)
        self.pool: Pool | None = None
        self.waited: set[int] | None = None
        self.offered: dict[str, int] = {}
        self._forget = forget
        self._at = at
        self._says = says

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.RCPT and recipient is not None:
            self.offered[recipient] = self.offered.get(recipient, 0) + 1
        if stage is not self._at or recipient != address(1) or self.waited is not None:
            return ACCEPT
        assert self.pool is not None
        self.waited = self.pool.forget(self._forget)
        return self._says


async def run(peer: Forgetful, count: int) -> Account:
    account = Account()
    how = options()
    peer.pool = Pool([Connector(server(peer), how.timeouts)], how, account)
    with anyio.fail_after(GUARD):
        await feed(peer.pool, submissions(count))
    assert not account.committed
    return account


async def test_what_waits_is_not_offered_and_what_is_under_way_is_settled() -> None:
    async with Forgetful({1, 4, 6, 99}, Stage.CONTENT, ACCEPT) as peer:
        account = await run(peer, 6)
    assert peer.waited == {4, 6}
    assert account.outcomes == dict.fromkeys((1, 2, 3, 5), Outcome.ACCEPTED)
    assert peer.offered == {address(record): 1 for record in (1, 2, 3, 5)}


@pytest.mark.parametrize(
    ("at", "says", "said"),
    [
        pytest.param(Stage.CONTENT, FULL, "Maximum number of messages", id="refused by its session"),
        pytest.param(Stage.RCPT, refuse(421, "4.3.2 going down"), "somebody else's by now", id="421"),
        pytest.param(Stage.RCPT, drop(), "somebody else's by now", id="lost"),
    ],
)
async def test_what_goes_back_is_settled_and_not_offered_again(at: Stage, says: Action, said: str) -> None:
    async with Forgetful({1}, at, says) as peer:
        account = await run(peer, 5)
    assert peer.waited == set()
    assert peer.offered[address(1)] == 1
    assert len(account.lines) == 5
    assert account.outcomes == {1: Outcome.DEFERRED, **dict.fromkeys(range(2, 6), Outcome.ACCEPTED)}
    assert said in f"{account.last[1].reply} {account.last[1].reason}"


async def test_one_that_was_not_there_is_offered_as_any_other_when_it_comes() -> None:
    """A lot may come back to a worker that has lost it."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return FULL if stage is Stage.CONTENT and (connection, transaction) == (1, 1) else ACCEPT

    async with CountingServer(decide) as peer:
        account = Account()
        pool = Pool([Connector(server(peer), options().timeouts)], options(), account)
        assert pool.forget({1}) == set()
        with anyio.fail_after(GUARD):
            await feed(pool, submissions(2))
    account.check(peer, 2)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}


async def test_who_waits_for_room_hears_of_it_when_all_that_waited_is_somebody_elses() -> None:
    """No session takes anything then, which is what tells of room otherwise."""
    async with CountingServer(lambda *_: ACCEPT) as peer:
        pool = Pool([Connector(server(peer), options().timeouts)], options(), Account())
        pool.add(submissions(100))
        waiting = asyncio.create_task(pool.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert len(pool.forget(range(1, 101))) == 100
        with anyio.fail_after(GUARD):
            assert await waiting


async def test_a_run_in_which_only_that_was_left_is_over() -> None:
    async with CountingServer(lambda *_: ACCEPT) as peer:
        account = Account()
        pool = Pool([Connector(server(peer), options().timeouts)], options(), account)
        pool.pause()
        pool.add(submissions(3))
        pool.close()
        with anyio.fail_after(GUARD):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pool.run())
                await asyncio.sleep(0)
                assert pool.forget({1, 2, 3}) == {1, 2, 3}
    assert not account.lines
    assert not peer.accepted


def test_when_it_comes_again_the_sessions_it_was_lost_with_before_do_not_count(loop: VirtualLoop) -> None:
    """The fifth loss would defer it: what befell it before it was somebody else's is not held against it."""
    (one,) = submissions(1)
    at_greeting: dict[int, Callable[[], None]] = {}

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.GREETING and (act := at_greeting.get(connection)) is not None:
            act()
        return drop() if stage is Stage.RCPT and connection <= 6 else ACCEPT

    async def main() -> Account:
        account = Account()
        async with CountingServer(decide) as peer:
            pool = Pool([Connector(server(peer), options().timeouts)], options(), account)

            def take_and_give_back() -> None:
                assert pool.forget({1}) == {1}
                pool.add([one])

            async def work() -> None:
                await pool.put([one])
                await account.first.wait()
                pool.close()

            at_greeting[4] = take_and_give_back
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(work())
                tasks.create_task(pool.run())
        return account

    assert loop.run(main).outcomes == {1: Outcome.ACCEPTED}
