"""Whatever a server does, what is asked of it in a minute is bounded: sessions, logins, offers that it refuses.

Each server does what chance says, by a seed; minutes of the loop's clock go by in no time. What it takes is counted,
too: a message that is accepted ends a pause (rule 2 of `batchsend.delivery.relay`), so each of them may be followed by
the sessions and offers that one pause is worth, and no more.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest

from batchsend import RunError, Server, Stage
from batchsend.campaign import Rate, Secret
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.delivery.replies import judge, parse
from batchsend.outcome import Outcome
from tests.delivery.harness import (
    TAKEN,
    Account,
    CountingServer,
    deliver,
    feed,
    options,
    server,
    several_domains,
    submissions,
    well_behaved,
)
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Await, Close, Expect, Step, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tools.listener import Listener
    from tests.tools.virtual import VirtualLoop
    from tests.tools.wire import Wire

CONNECTIONS = 5
MINUTE, LASTS = 60.0, 240.0

# In a minute without anything accepted the pauses are 0.2 s, 0.4 s … a minute, halved by chance at most: ten of them,
# and of each come one session more than there are slots.
SESSIONS = 10 * (CONNECTIONS + 1)
# In each session one message is under way and one is begun.
REFUSALS = 2 * SESSIONS
# What one accepted message may be followed by until the next pause has begun.
AFTER_ONE = CONNECTIONS + 1

TEXTS = {
    Stage.GREETING: ["421 4.3.2 not now", "554 5.3.2 no", "421 too many connections", "450 try later"],
    Stage.EHLO: ["421 4.3.2 no", "451 4.3.0 trouble"],
    Stage.MAIL: [
        "450 4.7.1 Error: too much mail from 192.0.2.1",
        "421 4.7.0 too many connections from 192.0.2.1",
        "421 too many messages in this connection",
        "451 4.3.0 trouble",
        "421 4.3.2 closing",
        "432 4.3.2 Concurrent connections limit exceeded",
        "550 Connection frequency limited",
    ],
    Stage.RCPT: ["450 4.7.1 slow down", "421 4.7.28 rate limited", "452 4.3.2 Connection rate limit exceeded"],
    Stage.DATA: ["452 4.4.5 Maximum number of messages per session exceeded.", "421 4.3.2 closing"],
    Stage.CONTENT: [
        "432 4.3.2 Concurrent connections limit exceeded",
        "451 4.7.1 please try again slower",
        "450 4.7.1 Message limit per hour exceeded, try again in 20 seconds",
        "454 4.7.0 Throttling failure: Maximum sending rate exceeded.",
        "421 4.3.2 closing",
    ],
}


class Moments:
    """What has happened when."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.all: list[float] = []
        self._loop = loop

    def note(self) -> None:
        self.all.append(self._loop.time())

    def within(self, begin: float, seconds: float = MINUTE) -> int:
        """How many there were in the seconds from a moment on."""
        return bisect_left(self.all, begin + seconds) - bisect_left(self.all, begin)


class ChanceServer(CountingServer):
    """Does at each stage what chance says, and often what it has said before.

    Args:
        loop: Whose clock counts.
        seed: What chance comes of.
    """

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self._chance = chance = random.Random(seed)
        super().__init__(self._decide, pipelining=chance.random() < 0.8, chunking=chance.random() < 0.3)
        self.sessions, self.refused, self.taken = Moments(loop), Moments(loop), Moments(loop)
        # How bad it is at each stage: mostly not at all, now and then, or always.
        self._bad = {stage: chance.choice([0.0, 0.0, 0.0, 0.05, 0.5, 1.0]) for stage in TEXTS}
        self._said = {stage: chance.sample(texts, min(len(texts), 2)) for stage, texts in TEXTS.items()}
        self._drops = chance.choice([0.0, 0.0, 0.1, 0.5])

    async def play(self, wire: Wire) -> None:
        self.sessions.note()
        await super().play(wire)

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if self._chance.random() >= self._bad[stage]:
            if stage is Stage.CONTENT:
                self.taken.note()
            return ACCEPT
        if self._chance.random() < self._drops:
            return drop(self._chance.choice([Then.CLOSE, Then.RESET, Then.HALF_CLOSE]))
        said = self._chance.choice(self._said[stage])
        if judge(stage, parse(said)).outcome is None:
            self.refused.note()
        return refuse(int(said[:3]), said[4:])


def send_for_a_while(loop: VirtualLoop, peer: Listener, where: Callable[[], Server], records: int) -> Account:
    """Some minutes of a campaign, or less where it ends before."""
    account = Account()

    async def run() -> None:
        how = options(max_connections=CONNECTIONS, max_messages=20)
        pool = Pool([Connector(where(), how.timeouts)], how, account, notice=account.notices.append)
        with anyio.move_on_after(LASTS):
            with suppress(RunError):
                await feed(pool, submissions(records))

    loop.run_until_complete(peer.__aenter__())
    try:
        loop.run(run)
    finally:
        loop.run_until_complete(peer.__aexit__(None, None, None))
    return account


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 60))])
def test_sessions_and_refused_offers_of_any_minute_are_bounded(seed: int, loop: VirtualLoop) -> None:
    peer = ChanceServer(loop, seed)
    account = send_for_a_while(loop, peer, lambda: Server(host=peer.host, port=peer.port, tls="none"), 300)
    for begin in peer.sessions.all:
        taken = peer.taken.within(begin)
        assert peer.sessions.within(begin) <= SESSIONS + AFTER_ONE * taken
    for begin in peer.refused.all:
        taken = peer.taken.within(begin)
        assert peer.refused.within(begin) <= REFUSALS + 2 * AFTER_ONE * taken
    assert not account.committed


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Stage.DATA, "452 4.4.5 Maximum number of messages per session exceeded."),
        pytest.param(Stage.MAIL, "452 4.7.0 too many messages in this connection", marks=pytest.mark.slow),
        pytest.param(Stage.RCPT, "450 4.7.0 Max message per connection reached", marks=pytest.mark.slow),
    ],
)
def test_sessions_that_are_full_before_their_first_message_end_the_run_and_are_few(
    stage: Stage, said: str, loop: VirtualLoop
) -> None:
    """The next session would be told the same: it is no limit of how long a session is."""
    most = SESSIONS + 16 * 2 * (CONNECTIONS + 1)  # two pauses a minute at most, after the first

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del transaction, recipient
        return refuse(int(said[:3]), said[4:]) if asked is stage and connection <= most else ACCEPT

    how = options(max_connections=CONNECTIONS, max_messages=20)
    account = Account()

    async def run() -> None:
        async with CountingServer(decide) as peer:
            connector = Connector(Server(host=peer.host, port=peer.port, tls="none"), how.timeouts)
            with pytest.raises(RunError, match=r"nothing was accepted for 1[56] min"):
                await feed(Pool([connector], how, account), submissions(300))

    loop.run(run)
    assert not account.outcomes


@pytest.mark.parametrize(
    "stage", [Stage.CONTENT, *(pytest.param(one, marks=pytest.mark.slow) for one in (Stage.RCPT, Stage.DATA))]
)
def test_sessions_that_are_closed_after_each_refusal_are_not_taken_for_full(stage: Stage, loop: VirtualLoop) -> None:
    """Where one message a session were all that it takes, the next could be opened at once, and so on for all."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        trouble = say(b"451 4.3.0 trouble\r\n", then=Then.CLOSE, succeeds=False)
        return trouble if asked is stage else ACCEPT

    peer = CountingServer(decide)
    send_for_a_while(loop, peer, lambda: Server(host=peer.host, port=peer.port, tls="none"), 1000)
    assert len(peer.connections) <= SESSIONS + 4 * 2 * (CONNECTIONS + 1), "two pauses a minute, after the first ten"


ASKED: list[Step] = [reply("220 ready"), Expect("EHLO"), reply("250-mx.example.org", "250 AUTH PLAIN"), Expect("AUTH")]


@pytest.mark.parametrize(
    ("says", "most"),
    [
        ("535 5.7.8 Username and Password not accepted", 1),
        ("534 5.7.9 Please log in with your web browser", 1),
        ("454 4.7.0 Temporary authentication failure", 3),
        ("454 4.7.0 Too many login attempts, please try again later", 3),
        ("421 4.7.0 Try again later", SESSIONS),
        ("", SESSIONS),
    ],
)
def test_logins_are_few_whatever_they_come_to(says: str, most: int, loop: VirtualLoop) -> None:
    peer = ScriptedServer([*ASKED, reply(says), Close()] if says else [*ASKED, Close()])

    account = send_for_a_while(loop, peer, lambda: logging_in(peer), 20)
    assert not account.outcomes
    assert 1 <= len(peer.connections) <= most


def logging_in(peer: Listener) -> Server:
    return Server(host=peer.host, port=peer.port, tls="none", username=Secret("u"), password=Secret("p"))


@pytest.mark.parametrize(("patience", "most"), [(25.0, 2), (300.0, 4)])
def test_logins_that_are_refused_for_now_are_given_up_after_the_stated_time(
    patience: float, most: int, loop: VirtualLoop
) -> None:
    """The pauses are of minutes, and none is longer than what is left of it: so one login more is tried at its end."""
    account = Account()

    async def run() -> float:
        async with ScriptedServer([*ASKED, reply("454 4.7.0 Temporary authentication failure"), Close()]) as peer:
            how = options(max_connections=CONNECTIONS, give_up_after=patience)
            began = loop.time()
            with pytest.raises(RunError, match=f"given up after {patience:.0f} s"):
                await feed(Pool([Connector(logging_in(peer), how.timeouts)], how, account), submissions(20))
            assert 2 <= len(peer.connections) <= most
            return loop.time() - began

    assert loop.run(run) == pytest.approx(patience, abs=2.0)


class KeepsOne(CountingServer):
    """Serves one session, and closes every other one without a word soon after it is open."""

    async def play(self, wire: Wire) -> None:
        if not self.open_now:
            await super().play(wire)
            return
        await wire.send(b"220 ready\r\n")
        await wire.read_command()
        await wire.send(b"250 mx.example.org\r\n")
        await asyncio.sleep(0.3)


def test_sessions_that_are_closed_before_their_first_message_are_few(loop: VirtualLoop) -> None:
    """At this rate most sessions have nothing to send for a while: they are ended in the midst of that."""
    how = msgspec.structs.replace(options(max_connections=CONNECTIONS), rate=Rate.parse("5/s"))

    async def run() -> None:
        async with KeepsOne(well_behaved) as peer:
            account = await deliver(server(peer), submissions(300), how, guard=600.0)
            assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
            assert len(peer.connections) <= 20

    loop.run(run)


def test_the_last_session_that_ends_cuts_a_pause_for_logins_short(loop: VirtualLoop) -> None:
    """While it was open, the pause held up nobody."""
    lasted = asyncio.Event()
    said = ["250-mx.example.org", "250-PIPELINING", "250 AUTH PLAIN"]
    asked: list[Step] = [reply("220 ready"), Expect("EHLO"), reply(*said), Expect("AUTH")]
    first: list[Step] = [*asked, reply("235 2.7.0 welcome"), *TAKEN, Await(lasted), Close()]
    others: list[Step] = [*asked, reply("454 4.7.0 Too many login attempts"), Close()]
    account = Account()

    async def run() -> float:
        async with ScriptedServer(first, others) as peer:
            how = options(max_connections=2, give_up_after=25.0)
            loop.call_later(10.0, lasted.set)
            began = loop.time()
            with pytest.raises(RunError, match="given up after 25 s"):
                await feed(Pool([Connector(logging_in(peer), how.timeouts)], how, account), submissions(20))
            return loop.time() - began

    assert loop.run(run) == pytest.approx(10.0 + 25.0 + 25.0, abs=2.0)
    assert account.outcomes == {1: Outcome.ACCEPTED}


IDLE_FOR = 1.3


class Impatient(CountingServer):
    """Ends a session from which it has heard nothing for about `IDLE_FOR` seconds."""

    async def play(self, wire: Wire) -> None:
        playing = asyncio.ensure_future(super().play(wire))
        heard, received = -1, wire.connection.received
        try:
            while heard < len(received) and not playing.done():
                heard = len(received)
                await asyncio.wait((playing,), timeout=IDLE_FOR)
            if playing.done():
                playing.result()
            else:
                await wire.send(b"421 4.4.2 idle for too long, closing\r\n")
        finally:
            playing.cancel()


@pytest.mark.parametrize(("relays", "rate", "more"), [(1, "1/s", 3), (1, "12/min", 40), (2, "12/min", 40)])
def test_a_session_that_was_ended_for_idleness_is_opened_again_when_there_is_a_message_for_it(
    relays: int, rate: str, more: int, loop: VirtualLoop
) -> None:
    """One goes on with a message a second, or one is opened for each."""
    peers = [Impatient(well_behaved) for _ in range(relays)]
    how = msgspec.structs.replace(options(max_connections=CONNECTIONS), rate=Rate.parse(rate))

    async def run() -> Account:
        async with AsyncExitStack() as stack:
            there = [server(await stack.enter_async_context(peer)) for peer in peers]
            servers = [msgspec.structs.replace(one, weight=1) for one in there]
            return await deliver(servers, submissions(40), how, guard=10 * LASTS)

    account = loop.run(run)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert sum(len(peer.connections) for peer in peers) <= relays * (CONNECTIONS + more)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.CONTENT])
@pytest.mark.parametrize("connections", [1, 3])
def test_a_relay_that_never_decides_a_message_ends_the_run(stage: Stage, connections: int, loop: VirtualLoop) -> None:
    """Its sessions open, and that alone says nothing: otherwise a list is in doubt, one record after the other."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        return say(b"250ok\r\n") if asked is stage else ACCEPT

    how = options(max_connections=connections, max_messages=20, give_up_after=100.0)
    account = Account()

    async def run() -> float:
        async with CountingServer(decide) as peer:
            connector = Connector(Server(host=peer.host, port=peer.port, tls="none"), how.timeouts)
            began = loop.time()
            with pytest.raises(RunError, match=r"sessions end before anything is answered: .*; given up after"):
                await feed(Pool([connector], how, account), submissions(500))
            return loop.time() - began

    assert loop.run(run) == pytest.approx(100, abs=2.0)
    assert len(account.outcomes) <= 20 * connections


@pytest.mark.slow
def test_sessions_that_have_nothing_to_send_keep_no_run_going(loop: VirtualLoop) -> None:
    """Of large messages few are under way at once: the other sessions wait, and show nothing."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        return drop(Then.SILENCE) if asked is Stage.DATA else ACCEPT

    how = options(max_connections=20, give_up_after=30.0, data=10.0)
    account = Account()

    async def run() -> float:
        async with CountingServer(decide) as peer:
            connector = Connector(Server(host=peer.host, port=peer.port, tls="none"), how.timeouts)
            began = loop.time()
            with pytest.raises(RunError, match="sessions end before anything is answered"):
                await feed(Pool([connector], how, account), submissions(30, content=bytes(30 << 20)))
            return loop.time() - began

    assert loop.run(run) < 60.0
    assert not account.outcomes, "nobody is given up for a relay that answers nobody"


@pytest.mark.parametrize("stage", [Stage.RCPT, pytest.param(Stage.CONTENT, marks=pytest.mark.slow)])
def test_offers_that_all_are_refused_for_now_are_few_until_one_is_taken(stage: Stage, loop: VirtualLoop) -> None:
    """It is a trouble of the relay's: to go through a whole list in seconds helps nobody, and is held against us."""
    began, refused = loop.time(), Moments(loop)

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if asked is not stage or loop.time() - began > 5 * MINUTE:
            return ACCEPT
        refused.note()
        return refuse(451, "4.3.0 trouble")

    how = msgspec.structs.replace(options(max_connections=CONNECTIONS), max_attempts=1)
    account = Account()

    async def run() -> None:
        async with CountingServer(decide) as peer:
            connector = Connector(Server(host=peer.host, port=peer.port, tls="none"), how.timeouts)
            await feed(Pool([connector], how, account), several_domains(1000))

    loop.run(run)
    assert len(refused.all) <= how.stop_after + REFUSALS + 4 * 2 * 2 * (CONNECTIONS + 1)
    assert list(account.outcomes.values()).count(Outcome.ACCEPTED) == 1000 - len(refused.all)
    assert loop.time() - began < 7 * MINUTE


@pytest.mark.slow
def test_a_relay_that_takes_nothing_for_long_is_not_asked_for_ever(loop: VirtualLoop) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        return refuse(451, "4.3.0 trouble") if asked is Stage.MAIL else ACCEPT

    how = msgspec.structs.replace(options(max_connections=CONNECTIONS), max_attempts=1)
    account = Account()

    async def run() -> None:
        async with CountingServer(decide) as peer:
            connector = Connector(Server(host=peer.host, port=peer.port, tls="none"), how.timeouts)
            with pytest.raises(RunError, match=r"nothing was accepted for 1[56] min.*451 4\.3\.0 trouble"):
                await feed(Pool([connector], how, account), several_domains(1000))

    loop.run(run)
    assert len(account.outcomes) < 1000, "the others were not tried, and have an attempt left"


def test_a_relay_whose_replies_never_fit_leaves_few_in_doubt(loop: VirtualLoop) -> None:
    """Each session ends with its first message, which may have been taken."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        return say(b"250 ok\r\n" * 5, succeeds=True) if asked is Stage.CONTENT else ACCEPT

    how = options(max_connections=CONNECTIONS, max_messages=20)
    account = Account()

    async def run() -> None:
        async with CountingServer(decide) as peer:
            connector = Connector(Server(host=peer.host, port=peer.port, tls="none"), how.timeouts)
            with pytest.raises(RunError, match="sends replies that do not fit, in session after session"):
                await feed(Pool([connector], how, account), submissions(1000))

    loop.run(run)
    in_doubt = [record for record, outcome in account.outcomes.items() if outcome is Outcome.IN_DOUBT]
    assert 0 < len(in_doubt) <= 2 * (20 + CONNECTIONS)


def test_a_relay_that_comes_to_itself_in_time_is_gone_on_with(loop: VirtualLoop) -> None:
    began = loop.time()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        return drop() if asked is Stage.MAIL and loop.time() - began < 90 else ACCEPT

    how = options(max_connections=2, max_messages=20, give_up_after=150.0)
    account = Account()

    async def run() -> None:
        async with CountingServer(decide) as peer:
            connector = Connector(Server(host=peer.host, port=peer.port, tls="none"), how.timeouts)
            await feed(Pool([connector], how, account), submissions(60))

    loop.run(run)
    assert list(account.outcomes.values()).count(Outcome.ACCEPTED) >= 50
