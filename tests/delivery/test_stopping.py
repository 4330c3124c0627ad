"""How a run ends before its time: asked to, cancelled, refused, or with the server gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend.campaign import Server
from batchsend.delivery.connector import Connector
from batchsend.delivery.consequences import MAX_SENDER_REFUSALS
from batchsend.delivery.pool import Pool
from batchsend.errors import RunError
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import (
    GONE,
    GREETED,
    GUARD,
    MODES,
    OFFERED,
    TAKEN,
    Account,
    CountingServer,
    deliver,
    feed,
    options,
    serve,
    server,
    submissions,
    well_behaved,
)
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Await, Expect, ReadContent, ReadToEnd, Signal, Silence, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.campaign import Tls
    from batchsend.message.submission import Submission
    from batchsend.outcome import DeliveryResult
    from tests.tools.steps import Step


@pytest.mark.parametrize("mode", MODES)
async def test_stop_awaits_what_is_under_way_and_leaves_nothing_in_doubt(mode: str) -> None:
    how = options(max_connections=2, depth=MODES[mode].depth)
    account = Account()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if (connection, transaction, asked) == (1, 5, Stage.CONTENT):
            pool.stop()
        return ACCEPT

    async with serve(decide, mode) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account)
        with anyio.fail_after(GUARD):
            await feed(pool, submissions(1000))
    account.check(peer, 1000, whole=False)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert 5 <= len(account.lines) < 100
    used = [connection for connection, begun in zip(peer.connections, peer.begun, strict=True) if begun]
    assert all(connection.commands[-1] == b"QUIT" for connection in used)


@pytest.mark.parametrize("mode", MODES)
async def test_a_session_that_is_told_to_leave_while_its_commit_is_held_back_ends(mode: str) -> None:
    """The account has not written a message down yet when the relay's quota is met: it is not sent, and not awaited."""

    class Slow(Account):
        let_go: Callable[[bool], None] | None = None

        def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
            super().commit(submission, release)
            if self.let_go is None:
                self.let_go = release
                asyncio.get_running_loop().call_soon(pool.add, work[1:])
            return False

        def retry(self, submission: Submission, result: DeliveryResult) -> None:
            super().retry(submission, result)
            pool.stop()
            if self.let_go is not None:
                asyncio.get_running_loop().call_soon(self.let_go, True)

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if connection > 1 and asked is Stage.RCPT:
            return refuse(454, "4.7.0 Daily message quota exceeded")
        return ACCEPT

    work, account = submissions(6), Slow()
    how = options(max_connections=2, depth=MODES[mode].depth)
    async with serve(decide, mode) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account)
        with anyio.fail_after(GUARD):
            await feed(pool, work[:1])
    account.check(peer, 6, whole=False)
    assert len(account.went_back) == 1
    assert not account.lines
    assert not peer.accepted


async def test_stop_before_anything_began_sends_nothing() -> None:
    how = options()
    account = Account()
    async with CountingServer(well_behaved) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account)
        pool.stop()
        with anyio.fail_after(GUARD):
            await feed(pool, submissions(10))
    assert account.lines == []
    assert peer.accepted == []


async def test_a_stopped_run_says_why() -> None:
    how = options()
    account = Account()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if transaction == 3:
            pool.stop(RunError("the disk is full"))
            pool.stop(RunError("something later"))
        return ACCEPT

    async with CountingServer(decide) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account)
        with anyio.fail_after(GUARD), pytest.raises(RunError, match="the disk is full"):
            await feed(pool, submissions(100))
    account.check(peer, 100, whole=False)


async def test_cancelling_names_what_is_in_flight() -> None:
    how = options(max_connections=2)
    account = Account()
    silent: list[str] = []
    scope = anyio.CancelScope()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if transaction == 4 and asked is Stage.CONTENT:
            assert recipient is not None
            silent.append(recipient)
            if len(silent) == 2:
                scope.cancel()
            return drop(Then.SILENCE, succeeds=True)
        return ACCEPT

    async with CountingServer(decide, chunking=False) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account)
        with anyio.fail_after(GUARD), scope:
            await feed(pool, submissions(100))
        assert scope.cancelled_caught
    account.check(peer, 100, whole=False)
    doubtful = {result.recipient for result in account.lines if result.status is Outcome.IN_DOUBT}
    assert doubtful == set(silent)
    assert all(result.reason == "the run was stopped" for result in account.last.values() if result.recipient in silent)


async def test_cancelling_says_nothing_bad_of_the_server() -> None:
    """It has ended no session: we have, and what is in doubt is so because of that."""
    how = options(max_connections=4, depth=16)
    scope = anyio.CancelScope()

    class Watched(Account):
        def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
            super().commit(submission, release)
            if len(self.committed) == 50:  # of 64 at most: several in each of three sessions
                asyncio.get_running_loop().call_soon(scope.cancel)
            return True

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        is_first = (connection, transaction) == (1, 1)
        return drop(Then.SILENCE) if asked is Stage.CONTENT and not is_first else ACCEPT

    account = Watched()
    async with CountingServer(decide, chunking=True) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account, notice=account.notices.append)
        with anyio.fail_after(GUARD), scope:
            await feed(pool, submissions(200))
        assert scope.cancelled_caught
    account.check(peer, 200, whole=False)
    assert list(account.outcomes.values()).count(Outcome.IN_DOUBT) >= 50
    assert account.notices == []


async def test_cancelling_before_the_first_message_is_answered_says_nothing_of_its_chunking() -> None:
    how = options(depth=4)
    scope = anyio.CancelScope()
    account = Account()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is not Stage.CONTENT:
            return ACCEPT
        scope.cancel()
        return drop(Then.SILENCE)

    async with CountingServer(decide, chunking=True) as peer:
        pool = Pool([Connector(server(peer), how.timeouts)], how, account, notice=account.notices.append)
        with anyio.fail_after(GUARD), scope:
            await feed(pool, submissions(20))
        assert scope.cancelled_caught
    account.check(peer, 20, whole=False)
    assert account.outcomes == {1: Outcome.IN_DOUBT}
    assert account.notices == []


async def test_the_end_does_not_wait_for_a_session_that_is_being_opened() -> None:
    """A server that lets the surplus connections hang before its greeting does not hold up a run that is done."""
    hanging = asyncio.Event()
    first = [
        *GREETED,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        ReadContent(),
        Await(hanging),
        reply("250 taken"),
        *TAKEN,
        *TAKEN,
        *GONE,
    ]
    async with ScriptedServer(first, [Signal(hanging), ReadToEnd()]) as peer:
        account = await deliver(peer, submissions(3), options(max_connections=2), guard=3)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}


@pytest.mark.parametrize("code", [530, 534, 535])
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT])
async def test_refused_credentials_stop_the_run(code: int, stage: Stage) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(code, "5.7.0 Authentication required") if asked is stage and transaction > 3 else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(500), options(max_connections=2))
    account.check(peer, 500, whole=False)
    assert account.error is not None
    assert f"{code} 5.7.0 Authentication required" in account.error.message
    assert account.error.remedy is not None
    assert "password" in account.error.remedy
    assert Outcome.REJECTED not in account.outcomes.values(), "it is the sender who was refused, not the records"
    assert len(account.lines) < 20


async def test_the_same_refusal_of_mail_ten_times_in_a_row_stops_the_run() -> None:
    count = 0

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        nonlocal count
        count += asked is Stage.MAIL
        return refuse(550, "5.7.1 Sender refused") if asked is Stage.MAIL and count > 3 else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(1000), options())
    account.check(peer, 1000, whole=False)
    assert account.error is not None
    assert "550" in account.error.message
    # While one session takes over from another, one more may be under way.
    assert 10 <= list(account.outcomes.values()).count(Outcome.REJECTED) <= 11
    assert MAX_SENDER_REFUSALS == 10
    assert len(peer.accepted) == 3


async def test_refusals_of_mail_that_are_not_in_a_row_stop_nothing() -> None:
    count = 0

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        nonlocal count
        count += asked is Stage.MAIL
        return refuse(550) if asked is Stage.MAIL and count % 9 else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(60), options())
    account.check(peer, 60)
    assert account.error is None
    assert len(peer.accepted) == 60 // 9


async def test_different_refusals_of_mail_stop_nothing() -> None:
    count = 0

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        nonlocal count
        count += asked is Stage.MAIL
        return refuse(550 + count % 2) if asked is Stage.MAIL else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(40), options())
    assert account.error is None
    assert set(account.outcomes.values()) == {Outcome.REJECTED}


async def test_a_server_that_is_not_there_stops_the_run_at_once() -> None:
    async with CountingServer(well_behaved) as gone:
        where = server(gone)
    account = await deliver(where, submissions(5), options(max_connections=3))
    assert account.error is not None
    assert f"{where.host}:{where.port}: cannot connect: Connection refused" in account.error.message
    assert account.error.remedy
    assert account.lines == []


async def test_a_server_that_goes_away_is_given_up_after_the_stated_time() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if connection > 1:
            return refuse(421, "4.3.2 Too busy") if asked is Stage.GREETING else ACCEPT
        return refuse(421) if transaction == 4 and asked is Stage.MAIL else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(20), options(give_up_after=0.3))
    account.check(peer, 20, whole=False)
    assert len(account.lines) == 3
    assert account.error is not None
    assert "421 4.3.2 Too busy" in account.error.message
    assert "given up" in account.error.message
    assert any("trying again" in notice for notice in account.notices)


async def test_sessions_that_cannot_be_opened_in_mid_run_are_opened_later() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if connection == 2:
            return refuse(421, "4.3.2 Too busy") if asked is Stage.GREETING else ACCEPT
        return ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(9), options(max_messages=5))
    account.check(peer, 9)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert [begun for begun in peer.begun if begun] == [5, 4]


async def test_patience_begins_when_the_server_goes_away_and_not_when_it_was_last_connected_to() -> None:
    """A session that lasted longer than give_up_after does not make the first failure after it the last one."""
    lasted = asyncio.Event()
    first = [*GREETED, *TAKEN, Expect("MAIL"), Await(lasted)]
    scripts = first, [reply("421 later")], [*GREETED, *TAKEN, *TAKEN, *GONE]
    async with ScriptedServer(*scripts) as peer:
        asyncio.get_running_loop().call_later(0.3, lasted.set)
        account = await deliver(peer, submissions(3), options(give_up_after=0.1))
    assert account.error is None
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}


@pytest.mark.parametrize("silent_at", ["greeting", "ehlo"])
async def test_a_server_that_is_silent_is_given_up_after_the_stated_time(silent_at: str) -> None:
    """Not after the time-out of the step, which is minutes, nor only after a second attempt."""
    before: list[Step] = [] if silent_at == "greeting" else [reply("220 x"), Expect("EHLO")]
    async with ScriptedServer([*before, Silence()]) as peer:
        account = await deliver(peer, submissions(3), options(give_up_after=0.1))
    assert account.error is not None
    assert "no answer at" in account.error.message
    assert "given up after" in account.error.message
    assert account.lines == []


async def test_a_server_further_down_takes_over_in_the_order_given() -> None:
    async with CountingServer(well_behaved) as gone:
        absent = server(gone)
    async with CountingServer(well_behaved) as second, CountingServer(well_behaved) as third:
        account = await deliver([absent, server(second), server(third)], submissions(10), options(max_messages=3))
    account.check(second, 10)
    assert third.connections == []


async def test_where_no_server_is_there_the_error_is_about_the_preferred_one() -> None:
    async with CountingServer(well_behaved) as one, CountingServer(well_behaved) as other:
        places = [server(one), server(other)]
    account = await deliver(places, submissions(1), options())
    assert account.error is not None
    assert str(places[0].port) in account.error.message


async def test_a_server_without_an_address_stops_the_run() -> None:
    # A label has at most 63 octets, so the DNS is not even asked.
    host = "x" * 64 + ".example.com"
    account = await deliver(Server(host=host, port=2525, tls="none"), submissions(1), options())
    assert account.error is not None
    assert "cannot be resolved" in account.error.message
    assert account.error.remedy


_OFFERS: list[Step] = [reply("220 ready"), Expect("EHLO"), reply("250-here", "250-STARTTLS", "250 AUTH PLAIN")]
OPENINGS: list[tuple[Tls, str | None, list[Step]]] = [
    ("none", None, [ReadToEnd()]),
    ("none", None, [reply("220 ready"), Expect("EHLO"), ReadToEnd()]),
    ("none", "me", [*_OFFERS, Expect("AUTH"), ReadToEnd()]),
    ("starttls", None, [*_OFFERS, Expect("STARTTLS"), reply("220 begin"), ReadToEnd()]),
    ("implicit", None, [ReadToEnd()]),
]
at_any_moment = pytest.mark.parametrize(
    ("tls", "username", "script"),
    OPENINGS,
    ids=["the greeting", "the reply to EHLO", "the reply to AUTH", "the handshake", "the handshake at once"],
)


@at_any_moment
async def test_a_run_that_is_cancelled_at_any_moment_of_the_opening_does_not_wait_for_the_server(
    tls: Tls, username: str | None, script: list[Step]
) -> None:
    """`asyncio.wait_for` of Python 3.11 loses a cancellation that comes with what it waits for."""
    async with ScriptedServer(script) as peer:
        delivery = options()
        where = Server(host=peer.host, port=peer.port, tls=tls, username=username, password=username)
        connector = Connector(where, delivery.timeouts)
        for turns in range(80):
            pool = Pool([connector], delivery, Account())
            running = asyncio.create_task(pool.run())
            pool.add(submissions(1))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running], timeout=GUARD)
            assert running.cancelled(), f"cancelled in turn {turns} of the loop, it goes on"


@at_any_moment
async def test_a_run_that_is_stopped_at_any_moment_of_the_opening_does_not_wait_for_the_server(
    tls: Tls, username: str | None, script: list[Step]
) -> None:
    async with ScriptedServer(script) as peer:
        delivery = options()
        where = Server(host=peer.host, port=peer.port, tls=tls, username=username, password=username)
        connector = Connector(where, delivery.timeouts)
        for turns in range(80):
            pool = Pool([connector], delivery, Account())
            running = asyncio.create_task(pool.run())
            pool.add(submissions(1))
            for _ in range(turns):
                await asyncio.sleep(0)
            pool.stop()
            await asyncio.wait([running], timeout=GUARD)
            assert running.done(), f"stopped in turn {turns} of the loop, it goes on"
            running.result()
