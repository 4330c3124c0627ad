"""A record that was offered twice: what the older offer turns out to have been never sends it a third time."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from batchsend import Timeouts
from batchsend.campaign.values import Duration
from batchsend.delivery.connector import Connector
from batchsend.delivery.offer import Offer, not_believed
from batchsend.delivery.pool import Pool
from batchsend.outcome import DeliveryResult, Outcome, Stage
from tests.delivery.harness import (
    GONE,
    GREETED,
    GUARD,
    OFFERED,
    Account,
    CountingServer,
    address,
    deliver,
    options,
    server,
    submissions,
)
from tests.tools.examples import examples
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import ReadContent, ReadToEnd, Step, reply

if TYPE_CHECKING:
    from tests.tools.virtual import VirtualLoop

HOURS = 7200.0
"""On a clock that jumps over what is waited for."""

NOTHING: list[Step] = [*GREETED, *GONE]


def lines(account: Account) -> list[tuple[int, Outcome]]:
    return [(result.record, result.status) for result in account.lines]


async def test_held_back_for_the_pace_and_then_in_doubt_it_is_not_sent_again() -> None:
    """The refusal was another command's, and the extra 250 perhaps the message's: it waits no longer."""
    script: list[Step] = [
        *GREETED,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        ReadContent(),
        reply("451 4.7.1 slow down", "250 Ok"),
        ReadToEnd(),
    ]
    async with ScriptedServer(script, NOTHING) as peer:
        account = await deliver(peer, submissions(1), options())
    assert lines(account) == [(1, Outcome.IN_DOUBT)]
    assert all(b"MAIL" not in b" ".join(connection.commands) for connection in peer.connections[1:])


async def test_under_way_again_in_the_session_that_breaks_it_is_not_sent_a_third_time() -> None:
    script: list[Step] = [
        *GREETED,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        ReadContent(),
        reply("451 4.7.1 slow down"),
        *OFFERED,
        reply("250 ok", "250 ok", "250 and one too many"),
        ReadToEnd(),
    ]
    async with ScriptedServer(script, NOTHING) as peer:
        account = await deliver(peer, submissions(1), options())
    assert lines(account) == [(1, Outcome.IN_DOUBT)]
    assert [result.status for result in account.went_back] == [Outcome.DEFERRED, Outcome.IN_DOUBT], "named at once"
    assert all(b"MAIL" not in b" ".join(connection.commands) for connection in peer.connections[1:])


FULL = b"452 4.4.5 Maximum number of messages per session exceeded.\r\n"
"""It goes back, at once and as often as it is said."""


@pytest.mark.slow
async def test_servers_that_take_back_and_lie_at_random_get_nobody_written_to_twice() -> None:
    """Refusals that were acceptances, shifted by one reply; honest ones, deferrals and lost connections among them."""
    async with asyncio.TaskGroup() as tasks:  # all at once: what takes time are the pauses after lost connections
        for seed in range(examples(12)):
            tasks.create_task(nobody_is_written_to_twice(seed))


async def nobody_is_written_to_twice(seed: int) -> None:
    choose = random.Random(seed)
    said: dict[str, int] = {}

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is not Stage.CONTENT or recipient is None:
            return refuse(450, "4.2.1 later") if asked is Stage.RCPT and choose.random() < 0.05 else ACCEPT
        said[recipient] = said.get(recipient, 0) + 1
        kind = choose.random()
        if kind < 0.15:
            return say(FULL + b"250 ok\r\n", succeeds=True)
        if kind < 0.30:
            return say(FULL, succeeds=False)
        if kind < 0.35:
            return drop(Then.CLOSE, succeeds=choose.random() < 0.5)
        return ACCEPT

    async with CountingServer(decide, chunking=False) as peer:
        account = await deliver(peer, submissions(80), options(max_connections=3, max_messages=7))
    try:
        account.check(peer, 80)
        assert max(said.values()) > 1, "nobody was offered twice: the test has tested nothing"
        assert Outcome.IN_DOUBT in account.outcomes.values()
    except AssertionError as error:
        error.add_note(f"with seed {seed}")
        raise


async def test_who_waits_for_room_hears_of_it_when_the_large_message_that_waited_is_in_doubt() -> None:
    """No session takes it then, which is what tells of room otherwise."""
    async with CountingServer(lambda *_: ACCEPT) as peer:
        pool = Pool([Connector(server(peer), options().timeouts)], options(), Account())
        (large,) = submissions(1, content=bytes(9 << 20))
        pool.add([large])
        waiting = asyncio.create_task(pool.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        earlier = DeliveryResult(record=1, recipient=address(1), status=Outcome.DEFERRED, time=time.time())
        doubtful = not_believed(earlier, "a reply to nothing", session=1, committed=True)
        pool.supersede(Offer(large, time.monotonic()), earlier, doubtful)
        async with asyncio.timeout(GUARD):
            assert await waiting


async def test_what_a_lost_session_gives_back_keeps_its_order() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(421, "4.3.2 going down") if (connection, transaction, asked) == (1, 6, Stage.MAIL) else ACCEPT

    async with CountingServer(decide, chunking=True) as peer:
        account = await deliver(peer, submissions(20), options(depth=4))
    account.check(peer, 20)
    assert [message.recipients[0] for message in peer.accepted] == [address(record) for record in range(1, 21)]


@pytest.mark.parametrize("kind", ["lost", pytest.param("full", marks=pytest.mark.slow)])
def test_a_later_attempt_does_not_pay_for_what_befell_an_earlier_one(kind: str, loop: VirtualLoop) -> None:
    """How often a record was lost, or went back, is forgotten with its outcome."""
    often = {"lost": 3, "full": 30}[kind]
    offers = 0

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        nonlocal offers
        if asked is not Stage.CONTENT:
            return ACCEPT
        offers += 1
        if offers == often + 1:
            return refuse(450, "4.2.0 later")
        if offers == 2 * often + 2:
            return ACCEPT
        return refuse(421, "4.3.2 going down") if kind == "lost" else say(FULL, succeeds=False)

    first, again = submissions(1)[0], submissions(1)[0]
    again.attempt = 2
    account = Account()
    how = msgspec.structs.replace(options(), max_wait=Duration(HOURS))  # each time it is waited for longer

    async def work(pool: Pool) -> None:
        await pool.put([first])
        await account.first.wait()
        await pool.put([again])
        pool.close()

    async def run() -> None:
        async with CountingServer(decide, chunking=False) as peer:
            pool = Pool([Connector(server(peer), Timeouts())], how, account)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(work(pool))
                tasks.create_task(pool.run())

    loop.run(run)
    assert [(line.attempt, line.status) for line in account.lines] == [(1, Outcome.DEFERRED), (2, Outcome.ACCEPTED)]
