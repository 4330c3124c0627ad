"""What a refusal means beyond its own record: for its relay and for the run. The server's account is the oracle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest

from batchsend import Rate, Server
from batchsend.campaign import Secret
from batchsend.campaign.values import Wait
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import (
    GONE,
    GREETED,
    OFFERED,
    TAKEN,
    Account,
    CountingServer,
    deliver,
    feed,
    options,
    server,
    submissions,
)
from tests.tools.faulty import ACCEPT, Action, Decide, refuse
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, ReadContent, ReadToEnd, Step, reply

if TYPE_CHECKING:
    from tests.tools.virtual import VirtualLoop
    from tests.tools.wire import Wire

LIMITS = [
    "550 5.4.5 Daily user sending limit exceeded",
    "454 Throttling failure: Daily message quota exceeded.",
    "550 Domain example.com has exceeded the max emails per hour (100/100 (100%)) allowed. Message discarded.",
    "550 5.1.90 Your message can't be sent because you've reached your daily limit for sending email",
]


def from_the(number: int, text: str, stage: Stage = Stage.CONTENT, *, upto: int = 10**9) -> Decide:
    """Refuse every message from the n-th one on that is offered, at a stage, with these words."""
    code, _, words = text.partition(" ")
    offered = 0

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        nonlocal offered
        if asked is stage:
            offered += 1
            if number <= offered < upto:
                return refuse(int(code), words)
        return ACCEPT

    return decide


def refused(account: Account) -> int:
    return sum(status is Outcome.REJECTED for status in account.outcomes.values())


@pytest.mark.parametrize("text", LIMITS)
@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.CONTENT])
async def test_a_quota_stops_the_run_and_nobody_is_rejected(text: str, stage: Stage) -> None:
    async with CountingServer(from_the(6, text, stage)) as peer:
        account = await deliver(peer, submissions(40), options(max_connections=2))
    account.check(peer, 40, whole=False)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert account.error is not None
    assert "its sending limit is used up until about" in account.error.message
    assert "Batch(…, resumption=…)" in (account.error.remedy or "")
    assert len(account.went_back) <= 4, "refused offers are bounded"


async def test_a_short_quota_is_waited_for_and_everybody_is_written_to_once() -> None:
    decide = from_the(6, "450 4.7.1 Message limit per hour exceeded, try again in 1 seconds", upto=8)
    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(20), options())
    account.check(peer, 20)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert {result.attempt for result in account.lines} == {1}, "going back is no attempt"


async def test_a_limit_that_is_met_again_until_the_same_minute_is_said_once() -> None:
    decide = from_the(6, "450 4.7.1 Message limit per hour exceeded, try again in 1 seconds", upto=9)
    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(20), options(max_connections=1), guard=40)
    account.check(peer, 20)
    assert len(account.went_back) == 3
    assert any(notice.startswith("sending limit until ") for notice in account.notices)
    assert len(set(account.notices)) == len(account.notices)


async def test_a_relay_that_has_no_quota_left_hands_its_work_to_the_next() -> None:
    async with CountingServer(from_the(4, LIMITS[0])) as first, CountingServer(from_the(10**6, "")) as second:
        account = await deliver([server(first), server(second)], submissions(30), options())
    assert account.error is None
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert (len(first.accepted), len(second.accepted)) == (3, 27)
    assert len({message.recipients[0] for message in first.accepted + second.accepted}) == 30


async def test_a_relay_that_refuses_us_stops_the_run_and_rejects_nobody() -> None:
    text = "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using Spamhaus"
    async with CountingServer(from_the(1, text, Stage.RCPT)) as peer:
        account = await deliver(peer, submissions(200), options(max_connections=2))
    assert account.error is not None
    assert " refuses to send for us at rcpt: " in account.error.message
    assert account.outcomes == {}
    assert len(account.went_back) <= 4


async def test_a_relay_out_of_service_is_told_of_and_the_next_one_goes_on() -> None:
    text = "502 5.7.0 Your SMTP account is not yet activated."
    async with CountingServer(from_the(1, text, Stage.MAIL)) as first, CountingServer(from_the(10**6, "")) as second:
        account = await deliver([server(first), server(second)], submissions(10), options())
    assert account.error is None
    assert len(second.accepted) == 10
    assert any("is not used any more in this run" in notice for notice in account.notices)


def several_domains(count: int) -> list[str]:
    return [f"r{number}@{number % 5}.example.com" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("554 5.7.1 Message rejected as spam by content filter, id {}", Stage.CONTENT),
        ("552 5.7.0 This message was blocked because its content presents a potential security issue.", Stage.CONTENT),
    ],
)
async def test_the_same_refusal_of_everybody_stops_the_run(text: str, stage: Stage) -> None:
    async with CountingServer(from_the(3, text, stage)) as peer:
        work = submissions(400)
        for submission, recipient in zip(work, several_domains(400), strict=True):
            submission.envelope = type(submission.envelope)("from@example.com", recipient)
        account = await deliver(peer, work, options())
    assert account.error is not None
    assert "records in a row were refused alike" in account.error.message
    assert 'with Choice(["content"])' in (account.error.remedy or "")
    assert 100 <= refused(account) <= 102


async def test_one_domain_may_refuse_everybody() -> None:
    async with CountingServer(from_the(1, "554 5.7.1 Message rejected as spam", Stage.CONTENT)) as peer:
        account = await deliver(peer, submissions(150), options())
    assert account.error is None
    assert refused(account) == 150


async def test_unknown_mailboxes_never_stop_a_run() -> None:
    async with CountingServer(from_the(1, "550 5.1.1 User unknown", Stage.RCPT)) as peer:
        work = submissions(250)
        for submission, recipient in zip(work, several_domains(250), strict=True):
            submission.envelope = type(submission.envelope)("from@example.com", recipient)
        account = await deliver(peer, work, options())
    assert account.error is None
    assert refused(account) == 250


async def test_words_about_one_message_never_slow_the_relay() -> None:
    async with CountingServer(from_the(5, "552 Too many attachments", upto=6)) as peer:
        account = await deliver(peer, submissions(60), options())
    account.check(peer, 60)
    assert refused(account) == 1
    assert not any("slowed" in notice for notice in account.notices)


async def test_a_session_that_is_full_is_rotated_and_the_number_learned() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.DATA and transaction > 4:
            return refuse(452, "4.4.5 Maximum number of messages per session exceeded.")
        return ACCEPT

    async with CountingServer(decide, pipelining=False) as peer:
        account = await deliver(peer, submissions(30), options())
    account.check(peer, 30)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert {result.attempt for result in account.lines} == {1}
    assert len(account.went_back) <= 2, "learned: later sessions are rotated before the server has to say so"


async def test_a_greeting_that_refuses_stops_the_run_with_its_words() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(554, "No SMTP service here") if asked is Stage.GREETING else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(5), options(max_connections=5))
    assert account.error is not None
    assert "No SMTP service here" in account.error.message
    assert len(peer.connections) == 1


async def test_waiting_for_ever_is_infinite() -> None:
    assert str(Wait.parse("forever")) == "forever"
    assert float(Wait.parse("15m")) == 900


async def test_chunking_that_is_offered_and_refused_costs_nobody_the_message() -> None:
    """The first BDAT of a relay goes alone; refused, everything goes by DATA, in this session's successors, too."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        chunked = any(command.startswith(b"BDAT") for command in peer.connections[connection - 1].commands)
        return refuse(503, "5.5.1 BDAT command not allowed here") if asked is Stage.CONTENT and chunked else ACCEPT

    async with CountingServer(decide, chunking=True) as peer:
        account = await deliver(peer, submissions(40), options(max_connections=2, max_messages=9, depth=4))
    account.check(peer, 40)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    bdats = [sum(command.startswith(b"BDAT") for command in one.commands) for one in peer.connections]
    assert sum(bdats) == 1, "the other sessions wait for the answer"


@pytest.mark.slow
async def test_too_many_connections_never_makes_a_storm() -> None:
    """Every message is refused so while others hold the slots: sessions and refused offers stay few."""
    loop = asyncio.get_running_loop()
    free_at = loop.time() + 4.0

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.CONTENT and loop.time() < free_at:
            return refuse(432, "4.3.2 Concurrent connections limit exceeded")
        return ACCEPT

    async with CountingServer(decide, chunking=False) as peer:
        account = await deliver(peer, submissions(30), options(max_connections=5), guard=40)
    account.check(peer, 30)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert {line.attempt for line in account.lines} == {1}
    assert len(account.went_back) <= 20
    assert len(peer.connections) <= 12
    said = "1 connection at most from here on: the server said 432 4.3.2 Concurrent connections limit exceeded"
    assert account.notices.count(said) == 1
    assert len(set(account.notices)) == len(account.notices)


async def test_a_login_that_is_refused_is_tried_by_one_session_alone() -> None:
    script: list[Step] = [
        reply("220 ready"),
        Expect("EHLO"),
        reply("250-mx.example.org", "250 AUTH PLAIN"),
        Expect("AUTH"),
        reply("535 5.7.8 Username and Password not accepted"),
        ReadToEnd(),
    ]
    async with ScriptedServer(script) as peer:
        login = Server(host=peer.host, port=peer.port, tls="none", username=Secret("u"), password=Secret("p"))
        account = await deliver(login, submissions(20), options(max_connections=5))
    assert len(peer.connections) == 1
    assert account.error is not None
    assert "535 5.7.8 Username and Password not accepted" in account.error.message


@pytest.mark.parametrize("refusals", [2, 3])
def test_a_login_that_has_worked_is_tried_three_times_at_most(refusals: int, loop: VirtualLoop) -> None:
    """A directory that does not answer for a moment stops no run, and no account is locked for it."""
    offer = reply("250-mx.example.org", "250-PIPELINING", "250 AUTH PLAIN")
    asked: list[Step] = [reply("220 ready"), Expect("EHLO"), offer, Expect("AUTH")]
    works: list[Step] = [*asked, reply("235 ok"), *TAKEN, *GONE]
    refused: list[Step] = [*asked, reply("535 5.7.8 Username and Password not accepted"), ReadToEnd()]

    async def run() -> tuple[int, Account]:
        async with ScriptedServer(works, *[refused] * refusals, works) as peer:
            login = Server(host=peer.host, port=peer.port, tls="none", username=Secret("u"), password=Secret("p"))
            account = await deliver(login, submissions(3), options(max_messages=1), guard=600)
            return len(peer.connections), account

    connections, account = loop.run(run)
    if refusals == 2:
        assert (connections, len(account.lines), account.error) == (5, 3, None)
    else:
        assert (connections, len(account.lines)) == (4, 1)
        assert account.error is not None
        assert "535 5.7.8 Username and Password not accepted" in account.error.message


class TakesThree(CountingServer):
    """Refuses the fourth connection, and greets the second and the third one only then."""

    def __init__(self) -> None:
        super().__init__(self._decision)
        self._refused = asyncio.Event()

    def _decision(self, connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(421, "4.3.2 Not more of you") if (connection, asked) == (4, Stage.GREETING) else ACCEPT

    async def play(self, wire: Wire) -> None:
        if wire.connection.number in (2, 3):
            await self._refused.wait()
        await super().play(wire)
        if wire.connection.number == 4:
            self._refused.set()


async def test_one_connection_too_many_is_said_with_how_many_are_left() -> None:
    """One session is open and two are being opened by then: three are what the server takes."""
    async with TakesThree() as peer:
        account = await deliver(peer, submissions(60), options(max_connections=4))
    account.check(peer, 60)
    assert len(peer.connections) == 4
    assert [notice.partition("; ")[2] for notice in account.notices] == ["going on with 3 sessions"]


async def test_too_many_logins_are_waited_out_one_at_a_time() -> None:
    script: list[Step] = [
        reply("220 ready"),
        Expect("EHLO"),
        reply("250-mx.example.org", "250 AUTH PLAIN"),
        Expect("AUTH"),
        reply("454 4.7.0 Temporary authentication failure"),
        ReadToEnd(),
    ]
    async with ScriptedServer(script) as peer:
        login = Server(host=peer.host, port=peer.port, tls="none", username=Secret("u"), password=Secret("p"))
        how = options(max_connections=5)
        account = Account()
        pool = Pool([Connector(login, how.timeouts)], how, account)
        with anyio.move_on_after(2.0):
            await feed(pool, submissions(20))
    assert len(peer.connections) == 1, "minutes of pause, not another login"


async def test_a_session_that_is_closed_for_idleness_leaves_nothing_in_doubt() -> None:
    """At a low rate every session is idle between two messages, and the server says 451 and closes."""
    taken = [*OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent(), reply("250 taken")]
    script: list[Step] = [*GREETED, *taken, reply("451 4.4.2 Timeout waiting for data from client."), Close()]
    async with ScriptedServer(script) as peer:
        how = msgspec.structs.replace(options(), rate=Rate(4, 1))
        account = await deliver(peer, submissions(6), how)
    assert [line.status for line in account.lines] == [Outcome.ACCEPTED] * 6
    assert not any("max_messages" in notice for notice in account.notices)
    assert len(peer.connections) == 6


@pytest.mark.slow
async def test_sessions_that_end_before_anything_was_said_never_make_a_storm() -> None:
    """Whatever a server says to every session as soon as it is open, the sessions of three seconds are few."""
    sessions: dict[str, int] = {}

    async def try_it(says: str) -> None:
        async with ScriptedServer([*GREETED, reply(says), Close()]) as peer:
            how = options(max_connections=5)
            account = Account()
            pool = Pool([Connector(server(peer), how.timeouts)], how, account)
            with anyio.move_on_after(3.0):
                await feed(pool, submissions(20))
        sessions[says] = len(peer.connections)
        assert Outcome.ACCEPTED not in account.outcomes.values()

    async with asyncio.TaskGroup() as tasks:
        for says in (
            "451 4.4.2 Timeout waiting for data from client.",
            "421 4.3.2 Closing",
            "421 4.7.0 Too many connections from 192.0.2.1",
            "554 5.3.2 no",
            "250 what was that?",
        ):
            tasks.create_task(try_it(says))
    assert len(sessions) == 5
    assert {says: count for says, count in sessions.items() if not 0 < count <= 30} == {}
