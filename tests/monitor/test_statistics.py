"""What a pool says of itself while it works: its sessions and what they are doing, replies, pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from batchsend.delivery.account import NullAccount
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.delivery.statistics import PoolStatistics, SessionState
from batchsend.outcome import Stage
from tests.delivery.harness import GUARD, CountingServer, address, feed, options, server, submissions
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend import Delivery
    from tests.tools.faulty import Decide


def silent_at(connection: int, transaction: int) -> Decide:
    """A server that never answers this one message."""

    def decide(at_connection: int, at_transaction: int, stage: Stage, recipient: str | None) -> Action:
        here = (at_connection, at_transaction, stage) == (connection, transaction, Stage.CONTENT)
        return drop(Then.SILENCE) if here else ACCEPT

    return decide


async def watched(decide: Decide, count: int, how: Delivery, until: Callable[[PoolStatistics], bool]) -> PoolStatistics:
    """Run a pool until its statistics are as awaited, and stop it there."""
    async with CountingServer(decide) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, NullAccount())
        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(feed, pool, submissions(count))
                while not until(found := pool.statistics()):  # noqa: ASYNC110 - nothing tells of it
                    await anyio.sleep(0.001)
                tasks.cancel_scope.cancel()
    return found


async def test_a_session_that_sends_and_what_it_holds() -> None:
    found = await watched(
        silent_at(1, 4), 20, options(max_messages=50), lambda now: now.replies[250] == 3 and now.in_flight == 2
    )
    (session,) = found.sessions
    assert (session.number, session.state, session.max_messages) == (1, SessionState.SENDING, 50)
    assert (session.messages, session.unanswered) == (5, 2), "the fifth is begun with the content of the fourth"
    assert (found.opened, found.opening, found.connections) == (1, 0, 1)
    assert found.backlog == 15
    assert found.rate is None
    assert found.slowdown is None


async def test_a_spare_before_a_rotation() -> None:
    found = await watched(
        silent_at(1, 8), 30, options(max_messages=10), lambda now: len(now.sessions) == 2 and not now.opening
    )
    assert [session.state for session in found.sessions] == [SessionState.SENDING, SessionState.SPARE]


async def test_one_that_has_begun_all_it_may_retires_and_the_next_goes_on() -> None:
    found = await watched(
        silent_at(1, 5), 8, options(max_messages=5), lambda now: now.replies[250] == 7 and now.in_flight == 1
    )
    first = found.sessions[0]
    assert (first.number, first.state) == (1, SessionState.RETIRING)
    assert (first.messages, first.unanswered) == (5, 1)


async def test_replies_are_counted_by_their_codes() -> None:
    answers = {
        address(2): refuse(550, "5.1.1 no such user"),
        address(3): refuse(550, "5.1.1 no such user"),
        address(4): refuse(452, "4.2.2 full"),
    }

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.RCPT and recipient in answers:
            return answers[recipient]
        if stage is Stage.CONTENT and recipient == address(5):
            return say(b"251 2.0.0 taken, and forwarded\r\n", succeeds=True)
        return ACCEPT

    found = await watched(decide, 9, options(), lambda now: sum(now.replies.values()) == 9)
    assert found.replies == {250: 5, 550: 2, 452: 1, 251: 1}


async def test_why_it_is_slow() -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        once = stage is Stage.RCPT and (connection, transaction) == (1, 3)
        return say(b"454-4.7.0 Throttling failure:\r\n454 4.7.0 slow down\r\n") if once else ACCEPT

    found = await watched(decide, 50, options(), lambda now: now.slowdown is not None)
    assert found.slowdown is not None
    assert found.slowdown.said == "454 4.7.0 Throttling failure: 4.7.0 slow down"
    assert found.slowdown.cuts == 1
    assert found.rate is not None
