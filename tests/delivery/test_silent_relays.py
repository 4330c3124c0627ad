"""Connections at which a relay says nothing: another one is tried beside them, and they are few."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from batchsend import Outcome, Server, Stage
from batchsend.campaign import Secret
from batchsend.delivery.attempts import BESIDE_AFTER
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from tests.delivery.harness import (
    GONE,
    GREETED,
    TAKEN,
    Account,
    CountingServer,
    deliver,
    options,
    server,
    submissions,
    well_behaved,
)
from tests.tools.faulty import ACCEPT, Action, Then, drop
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Dialogue, Expect, ReadToEnd, Signal, Step, reply

if TYPE_CHECKING:
    from batchsend import Delivery
    from tests.tools.listener import Listener
    from tests.tools.virtual import VirtualLoop

HOUR = 3600.0
"""The guard of a test on this loop's clock."""

AT = {"from the connection on": Stage.GREETING, "from its greeting on": Stage.EHLO}
"""From where on a silent connection is silent: what it does not say any more."""

at_each = pytest.mark.parametrize("silent_at", AT.values(), ids=AT)


def silent(at: Stage, connections: int) -> CountingServer:
    """A server whose first connections are silent."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del transaction, recipient
        return drop(Then.SILENCE) if asked is at and connection <= connections else ACCEPT

    return CountingServer(decide)


def sent(loop: VirtualLoop, peer: Listener, how: Delivery, *, login: bool = False) -> tuple[Account, float]:
    """What comes of ten messages, and in how many seconds."""

    async def run() -> Account:
        async with peer:
            where = server(peer)
            if login:
                where = Server(host=peer.host, port=peer.port, tls="none", username=Secret("u"), password=Secret("p"))
            return await deliver(where, submissions(10), how, guard=HOUR)

    began = loop.time()
    return loop.run(run), loop.time() - began


@pytest.mark.parametrize("connections", [1, 5])
@at_each
def test_another_connection_is_tried_beside_a_silent_one(silent_at: Stage, connections: int, loop: VirtualLoop) -> None:
    peer = silent(silent_at, 1)
    account, seconds = sent(loop, peer, options(max_connections=connections))
    account.check(peer, 10)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert BESIDE_AFTER <= seconds < 2 * BESIDE_AFTER
    assert peer.peak <= connections + 1


@at_each
def test_a_relay_that_is_always_silent_is_connected_to_seldom_and_given_up_in_time(
    silent_at: Stage, loop: VirtualLoop
) -> None:
    peer = silent(silent_at, 1000)
    account, seconds = sent(loop, peer, options(max_connections=5))
    assert account.error is not None
    assert "given up after 300 s" in account.error.message
    assert seconds == pytest.approx(300, abs=2)
    assert 4 <= len(peer.connections) <= 5, "at first, and after 20, 60 and 140 seconds, and perhaps at the very end"


def test_there_is_one_at_most_beside_the_sessions_that_are_allowed(loop: VirtualLoop) -> None:
    peer = silent(Stage.GREETING, 1000)
    account, _ = sent(loop, peer, options(max_connections=1))
    assert account.error is not None
    assert len(peer.connections) == 2


class Late:
    """The greeting is late."""

    async def play(self, dialogue: Dialogue) -> None:
        del dialogue
        await asyncio.sleep(3.5 * BESIDE_AFTER)


def test_a_relay_that_greets_late_and_takes_one_connection_at_a_time_is_waited_for(loop: VirtualLoop) -> None:
    """What one beside the first is told may be said only because there are two."""
    one_too_many: list[Step] = [reply("421 4.7.0 too many connections"), Close()]
    peer = ScriptedServer([Late(), *GREETED, *TAKEN * 10, *GONE], one_too_many)
    account, seconds = sent(loop, peer, options(max_connections=1))
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert len(peer.connections) == 3
    assert seconds < 4 * BESIDE_AFTER


@pytest.mark.parametrize("says", ["535 5.7.8 Username and Password not accepted", "454 4.7.0 Too many logins"])
def test_a_login_that_is_refused_beside_a_silent_connection_counts_at_once(says: str, loop: VirtualLoop) -> None:
    refusing = [*GREETED[:2], reply("250-mx.example.org", "250 AUTH PLAIN"), Expect("AUTH"), reply(says), Close()]
    peer = ScriptedServer([ReadToEnd()], refusing)
    account, seconds = sent(loop, peer, options(max_connections=5, give_up_after=100), login=True)
    assert account.error is not None
    assert says in account.error.message
    assert len(peer.connections) == (2 if says.startswith("535") else 3), "for now: once more, at the very end"
    assert seconds == pytest.approx(BESIDE_AFTER if says.startswith("535") else 100, abs=2)


def test_of_two_addresses_the_other_one_is_tried_beside_the_silent_one(loop: VirtualLoop) -> None:
    dead, alive = silent(Stage.GREETING, 1000), CountingServer(well_behaved)

    async def run() -> Account:
        async with dead, alive:
            loop.names["relay.test"] = [(one.host, one.port) for one in (dead, alive)]
            where = Server(host="relay.test", tls="none")
            return await deliver(where, submissions(60), options(max_connections=3, max_messages=5), guard=HOUR)

    began = loop.time()
    account = loop.run(run)
    account.check(alive, 60)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert loop.time() - began < 2 * BESIDE_AFTER
    assert len(dead.connections) == 1


@pytest.mark.parametrize("how", ["cancelled", "stopped", "paused"])
def test_a_run_that_ends_meanwhile_leaves_no_connection_open(how: str, loop: VirtualLoop) -> None:
    second = asyncio.Event()
    delivery = options(max_connections=5)

    async def run() -> None:
        async with ScriptedServer([ReadToEnd()], [Signal(second), ReadToEnd()]) as peer:
            pool = Pool([Connector(server(peer), delivery.timeouts)], delivery, Account())
            running = asyncio.create_task(pool.run())
            pool.add(submissions(1))
            await second.wait()
            if how == "cancelled":
                running.cancel()
            elif how == "stopped":
                pool.stop()
            else:
                pool.pause()
            await peer.ended(2)
            assert pool.statistics().opening == 0
            pool.stop()
            await asyncio.wait([running])
            assert running.cancelled() == (how == "cancelled")

    loop.run(run)
