"""The pool keeps its bounds, loses nothing with its sessions, and knows when the run is over."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from batchsend.delivery import slots
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.delivery.session import Session
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import (
    GUARD,
    MODES,
    Account,
    CountingServer,
    address,
    deliver,
    options,
    serve,
    server,
    submissions,
    well_behaved,
)
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say

if TYPE_CHECKING:
    from tests.tools.virtual import VirtualLoop

modes = pytest.mark.parametrize("mode", MODES)
modes_and_stages = pytest.mark.parametrize(
    ("mode", "stage"),
    [
        (mode, stage)
        for mode in MODES
        for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT)
        if (mode, stage) != ("chunked", Stage.DATA)
    ],
)


@modes
@pytest.mark.parametrize(("connections", "limit", "count"), [(1, 5, 23), (3, 4, 50), (4, 1, 9), (2, 100, 0)])
async def test_sessions_and_their_messages_stay_within_the_bounds(
    mode: str, connections: int, limit: int, count: int
) -> None:
    depth = MODES[mode].depth
    async with serve(well_behaved, mode) as peer:
        how = options(max_connections=connections, max_messages=limit, depth=depth)
        account = await deliver(peer, submissions(count), how)
    account.check(peer, count)
    assert set(account.outcomes.values()) <= {Outcome.ACCEPTED}
    # One more than max_connections may be open for the moment in which one takes over from another; it may find that
    # there is nothing left to do.
    assert peer.peak <= connections + 1
    assert sum(peer.begun) == count
    assert max(peer.begun, default=0) <= limit
    cut_short = [begun for begun in peer.begun if 0 < begun < limit]
    assert len(cut_short) <= connections, "a session ended before its max_messages, and the run was not over"
    used = [connection for connection, begun in zip(peer.connections, peer.begun, strict=True) if begun]
    assert all(connection.commands[-1] == b"QUIT" for connection in used)


@pytest.mark.parametrize("how", ["stopped", "cancelled"])
async def test_who_waits_for_room_is_told_at_once_that_there_will_be_none(how: str) -> None:
    """Also while what is under way is still awaited, which may take minutes."""
    silent = asyncio.Event()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is not Stage.MAIL:
            return ACCEPT
        silent.set()
        return drop(Then.SILENCE)

    account = Account()
    async with CountingServer(decide) as peer, asyncio.timeout(GUARD):
        delivery = options(max_connections=1)
        pool = Pool([Connector(server(peer), delivery.timeouts)], delivery, account, notice=account.notices.append)
        running = asyncio.create_task(pool.run())
        pool.add(submissions(1000))
        waiting = asyncio.create_task(pool.room())
        await silent.wait()
        assert not waiting.done()
        if how == "stopped":
            pool.stop()
        else:
            running.cancel()
        assert not await waiting
        assert how == "cancelled" or not running.done(), "the server has not answered"
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_limit_that_the_server_names_is_kept() -> None:
    async with CountingServer(well_behaved, extensions=("LIMITS MAILMAX=3",)) as peer:
        account = await deliver(peer, submissions(10), options())
    account.check(peer, 10)
    assert [begun for begun in peer.begun if begun] == [3, 3, 3, 1]


@modes_and_stages
@pytest.mark.parametrize("code", [450, 550])
async def test_a_refusal_costs_neither_session_nor_neighbours(mode: str, stage: Stage, code: int) -> None:
    depth = MODES[mode].depth

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(code) if asked is stage and transaction % 3 == 2 else ACCEPT

    async with serve(decide, mode) as peer:
        account = await deliver(peer, submissions(12), options(depth=depth))
    account.check(peer, 12)
    refused = {2, 5, 8, 11}
    expected = Outcome.DEFERRED if code == 450 else Outcome.REJECTED
    assert {record for record, outcome in account.outcomes.items() if outcome is expected} == refused
    assert len(peer.accepted) == 8
    assert len(peer.connections) == 1
    for record in refused:
        result = account.last[record]
        assert (result.stage, result.code, result.reply, result.attempt) == (stage, code, "refused", 1)


@modes_and_stages
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refuse(421, "4.3.2 going down"), id="421"),
        pytest.param(drop(Then.CLOSE), id="close"),
        pytest.param(drop(Then.RESET), id="reset"),
        pytest.param(drop(Then.HALF_CLOSE), id="half-close"),
        pytest.param(drop(Then.CLOSE, succeeds=True), id="taken-and-closed"),
        pytest.param(drop(Then.RESET, succeeds=True), id="taken-and-reset"),
    ],
)
async def test_what_a_lost_session_had_not_committed_is_sent_elsewhere(mode: str, stage: Stage, fault: Action) -> None:
    depth = MODES[mode].depth

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return fault if (connection, transaction, asked) == (1, 3, stage) else ACCEPT

    async with serve(decide, mode) as peer:
        account = await deliver(peer, submissions(12), options(depth=depth))
    account.check(peer, 12)
    assert {result.attempt for result in account.lines} == {1}, "a lost session used up an attempt"
    doubtful = [record for record, outcome in account.outcomes.items() if outcome is Outcome.IN_DOUBT]
    said_421 = fault.reply != b""
    if mode == "chunked":
        assert len(doubtful) <= (0 if said_421 else depth)
    else:
        assert doubtful == ([3] if stage is Stage.CONTENT and not said_421 else [])
    assert list(account.outcomes.values()).count(Outcome.ACCEPTED) == 12 - len(doubtful)
    for record in doubtful:
        assert account.last[record].code is None
        assert account.last[record].reason


@modes
async def test_many_sessions_may_die_and_everything_is_accounted_for(mode: str) -> None:
    """Every third session ends with a fault of its own at a place of its own."""
    depth = MODES[mode].depth
    faults = [refuse(421), drop(Then.RESET, succeeds=True), drop(), drop(Then.HALF_CLOSE)]
    stages = [Stage.CONTENT, Stage.RCPT, Stage.MAIL, Stage.DATA]

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if connection % 3 == 0 and transaction == 1 + connection % 4 and asked is stages[connection // 3 % 4]:
            return faults[connection % 4]
        return refuse(550) if asked is Stage.RCPT and recipient == address(77) else ACCEPT

    async with serve(decide, mode) as peer:
        account = await deliver(peer, submissions(300), options(max_connections=4, max_messages=9, depth=depth))
    account.check(peer, 300)
    assert account.outcomes[77] is Outcome.REJECTED
    assert Outcome.DEFERRED not in account.outcomes.values()
    assert peer.peak <= 4 + 1


async def test_a_record_that_ends_five_sessions_is_deferred_and_costs_nobody_else_anything() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop() if asked is Stage.RCPT and recipient == address(3) else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(8), options(max_connections=5))
    account.check(peer, 8)
    assert [record for record, outcome in account.outcomes.items() if outcome is not Outcome.ACCEPTED] == [3]
    deadly = account.last[3]
    assert deadly.status is Outcome.DEFERRED
    assert deadly.code is None
    assert deadly.reason is not None
    assert "5 sessions" in deadly.reason
    assert sum(b"RCPT TO:<r3@example.com>" in connection.commands for connection in peer.connections) == 5


async def test_four_losses_do_not_defer() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop() if asked is Stage.RCPT and recipient == address(3) and connection <= 4 else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(8), options(max_connections=5))
    account.check(peer, 8)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}


@pytest.mark.parametrize("mode", ["pipelined", "lockstep"])
async def test_a_goodbye_between_two_transactions_costs_nothing(mode: str) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.CONTENT and transaction == 2:
            return say(b"250 2.0.0 Ok\r\n421 4.4.2 Idle for too long\r\n", then=Then.CLOSE, succeeds=True)
        return ACCEPT

    async with serve(decide, mode) as peer:
        account = await deliver(peer, submissions(9), options())
    account.check(peer, 9)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert len(peer.connections) >= 4


async def test_the_session_counts_itself_in_every_result() -> None:
    async with CountingServer(well_behaved) as peer:
        account = await deliver(peer, submissions(7), options(max_messages=3))
    sessions = [account.last[record].session for record in range(1, 8)]
    assert sessions == [1, 1, 1, 2, 2, 2, 3]
    assert all(result.elapsed is not None and 0 <= result.elapsed < 60 for result in account.lines)
    assert all(result.recipient == address(result.record) for result in account.lines)


def sessions_in_memory() -> int:
    """How many there are, by `type`: `isinstance` asks an object for its class, where others' lazy ones fail."""
    gc.collect()
    return sum(issubclass(type(one), Session) for one in gc.get_objects())


@pytest.mark.parametrize("fault", [None, *(pytest.param(one, marks=pytest.mark.slow) for one in (drop(), refuse(421)))])
async def test_sessions_that_have_ended_leave_nothing_in_memory(fault: Action | None) -> None:
    """However many there were: neither a time-out that still runs nor a list has any of them."""
    there: list[int] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if recipient == address(40) and asked is Stage.CONTENT:
            there.append(sessions_in_memory())
        return fault if fault is not None and (transaction, asked) == (2, Stage.MAIL) else ACCEPT

    async with serve(decide, "pipelined") as peer:
        account = await deliver(peer, submissions(40), options(max_messages=2))
    account.check(peer, 40)
    assert len(peer.connections) >= 20
    assert there[0] <= 4


@pytest.mark.slow
def test_nor_do_those_that_a_pause_has_ended(loop: VirtualLoop) -> None:
    async def main() -> None:
        async with serve(well_behaved, "pipelined") as peer:
            account, how = Account(), options()
            pool = Pool([Connector(server(peer), how.timeouts)], how, account)

            async def work() -> None:
                for one in submissions(20):
                    pool.add([one])
                    await asyncio.sleep(5)
                    pool.pause()
                    await asyncio.sleep(5)
                    pool.resume()
                assert sessions_in_memory() <= 2
                pool.close()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(work())
                tasks.create_task(pool.run())
        account.check(peer, 20)
        assert len(peer.connections) == 20

    loop.run(main)


async def test_depth_without_chunking_is_lockstep_with_one_warning() -> None:
    async with CountingServer(well_behaved, chunking=False) as peer:
        account = await deliver(peer, submissions(20), options(depth=8, max_messages=5))
    account.check(peer, 20)
    assert len(account.notices) == 1
    assert "CHUNKING" in account.notices[0]


@pytest.mark.interpreted
async def test_a_spare_that_was_refused_once_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad moment of the server does not cost the rest of the run its rotations."""
    monkeypatch.setattr(slots, "_SPARE_PAUSE", 0.01)
    openings = 0
    together: list[int] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        nonlocal openings
        if asked is Stage.GREETING:
            openings += 1
            together.append(peer.open_now)
            return refuse(421, "4.3.2 too busy") if openings == 2 else ACCEPT
        return ACCEPT

    async with CountingServer(decide, chunking=False) as peer:
        account = await deliver(peer, submissions(600), options(max_messages=20))
    account.check(peer, 600)
    assert together[1] == 2, "the second session was no spare"
    assert together[-5:] == [2] * 5, "there are no spares any more"
