"""CHUNKING that is offered and goes wrong: one message finds it out, and one at most is in doubt for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import GREETED, TAKEN, CountingServer, deliver, options, submissions
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, ReadToEnd, reply

if TYPE_CHECKING:
    from tests.tools.faulty import Decide
    from tests.tools.steps import Step

TWICE = say(b"250\r\n250 Ok queued\r\n")
STRAY = say(b"503 5.5.1 Bad sequence of commands\r\n250 Ok queued\r\n", succeeds=True)


class ChunkedServer(CountingServer):
    """A server that offers CHUNKING, and says what the test wants to each BDAT."""

    def __init__(self, *to_bdat: Action, to_data: Action = ACCEPT) -> None:
        super().__init__(self._decision(list(to_bdat), to_data), chunking=True)

    def _decision(self, to_bdat: list[Action], to_data: Action) -> Decide:
        def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
            if asked is not Stage.CONTENT:
                return ACCEPT
            if not self.by_bdat(connection):
                return to_data
            return to_bdat.pop(0) if len(to_bdat) > 1 else to_bdat[0]

        return decide

    def by_bdat(self, connection: int) -> int:
        """How many messages came by BDAT in a connection."""
        return sum(command.startswith(b"BDAT") for command in self.connections[connection - 1].commands)

    @property
    def bdats(self) -> int:
        """How many came in all of them."""
        return sum(self.by_bdat(number) for number in range(1, len(self.connections) + 1))


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_refused_command_costs_nobody_the_message(code: int) -> None:
    async with ChunkedServer(refuse(code, "5.5.1 BDAT command not allowed here")) as peer:
        account = await deliver(peer, submissions(40), options(max_connections=4, max_messages=9, depth=4))
    account.check(peer, 40)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert peer.bdats == 1, "one message finds it out"
    assert [notice for notice in account.notices if "CHUNKING" in notice] == account.notices != []


async def test_a_stray_refusal_sends_nothing_twice() -> None:
    """The server took what it seems to refuse: that message is in doubt, and DATA is used then."""
    async with ChunkedServer(STRAY) as peer:
        account = await deliver(peer, submissions(40), options(max_connections=4, max_messages=9, depth=4))
    account.check(peer, 40)
    assert list(account.outcomes.values()).count(Outcome.IN_DOUBT) == 1
    assert list(account.outcomes.values()).count(Outcome.ACCEPTED) == 39
    assert peer.bdats == 1


@pytest.mark.parametrize("silence", [drop(Then.SILENCE, succeeds=True), drop(succeeds=True)], ids=["silence", "close"])
async def test_a_bdat_without_an_answer_leaves_one_record_in_doubt(silence: Action) -> None:
    async with ChunkedServer(silence) as peer:
        account = await deliver(
            peer, submissions(40), options(max_connections=4, max_messages=9, depth=4, content=0.8, quit=0.2)
        )
    account.check(peer, 40)
    assert list(account.outcomes.values()).count(Outcome.IN_DOUBT) == 1
    assert list(account.outcomes.values()).count(Outcome.ACCEPTED) == 39
    assert peer.bdats == 1


async def test_a_server_that_answers_each_message_twice_is_known_by_the_first() -> None:
    async with ChunkedServer(TWICE, to_data=TWICE) as peer:
        account = await deliver(peer, submissions(60), options(max_connections=3, max_messages=20, depth=4))
    account.check(peer, 60)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert {result.reply for result in account.lines} == {"Ok queued"}
    assert peer.bdats == 1
    assert sum("says 250 twice" in notice and "DATA" in notice for notice in account.notices) == 1


async def test_where_that_begins_later_a_session_at_most_is_in_doubt() -> None:
    async with ChunkedServer(*[ACCEPT] * 7, TWICE, to_data=TWICE) as peer:
        account = await deliver(peer, submissions(200), options(max_connections=1, max_messages=20, depth=4))
    account.check(peer, 200)
    assert list(account.outcomes.values()).count(Outcome.IN_DOUBT) <= 20
    by_bdat = [peer.by_bdat(number) for number in range(1, len(peer.connections) + 1)]
    assert by_bdat[0]
    assert not any(by_bdat[2:]), "the session that is open by then may be the second one"


async def test_a_server_that_ends_sessions_in_the_midst_of_messages_gets_one_at_a_time() -> None:
    """As Postfix does after too many errors: what is on its way by BDAT is in doubt each time, and little is taken."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop(Then.RESET) if (asked, transaction) == (Stage.MAIL, 4) else ACCEPT

    async with CountingServer(decide, chunking=True) as peer:
        account = await deliver(peer, submissions(200), options(max_connections=1, depth=16))
    account.check(peer, 200)
    in_doubt = list(account.outcomes.values()).count(Outcome.IN_DOUBT)
    assert 3 < in_doubt <= 4 * 16, "in three sessions, and one that was open by then"
    assert list(account.outcomes.values()).count(Outcome.ACCEPTED) == 200 - in_doubt
    assert len([notice for notice in account.notices if "in the midst of messages" in notice]) == 1


async def test_a_session_lost_now_and_then_is_no_reason_to_send_more_slowly() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop(Then.RESET) if (asked, transaction) == (Stage.MAIL, 60) else ACCEPT

    async with CountingServer(decide, chunking=True) as peer:
        account = await deliver(peer, submissions(400), options(max_connections=1, depth=8))
    account.check(peer, 400)
    assert list(account.outcomes.values()).count(Outcome.IN_DOUBT) > 16
    assert not [notice for notice in account.notices if "DATA" in notice]


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "lockstep"])
async def test_two_answers_to_each_message_are_said_once(*, pipelining: bool) -> None:
    """Everything is accepted, and the log says what the second line does: the first one has no text."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return TWICE if asked is Stage.CONTENT else ACCEPT

    async with CountingServer(decide, pipelining=pipelining, chunking=False) as peer:
        account = await deliver(peer, submissions(30), options(max_connections=2, max_messages=7))
    account.check(peer, 30)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert {result.reply for result in account.lines} == {"Ok queued"}
    assert len(account.notices) == 1
    assert "says 250 twice" in account.notices[0]


@pytest.mark.parametrize(
    ("farewell", "is_twice"),
    [
        pytest.param([reply("250 Bye"), Close()], False, id="250 and the end"),
        pytest.param([reply("250 Bye"), ReadToEnd()], False, id="250 and silence"),
        pytest.param([reply("250 Ok", "221 Bye")], True, id="250 and 221"),
        pytest.param([reply("250 Ok", "250 Bye"), Close()], True, id="250 and 250"),
    ],
)
async def test_a_server_that_says_goodbye_by_250_has_said_nothing_twice(
    farewell: list[Step], *, is_twice: bool
) -> None:
    async with ScriptedServer([*GREETED, *TAKEN, Expect("QUIT"), *farewell]) as peer:
        account = await deliver(peer, submissions(1), options(quit=0.15))
    assert account.outcomes == {1: Outcome.ACCEPTED}
    assert len(account.notices) == is_twice, account.notices


async def test_one_session_waits_for_another_to_find_out() -> None:
    """Four sessions are open, and only one of them sends a message by BDAT before an answer is there."""
    bdats_before_the_first_answer: list[int] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.CONTENT and not bdats_before_the_first_answer:
            everywhere = [command for one in peer.connections for command in one.commands]
            bdats_before_the_first_answer.append(sum(command.startswith(b"BDAT") for command in everywhere))
        return ACCEPT

    async with CountingServer(decide, chunking=True) as peer:
        account = await deliver(peer, submissions(400), options(max_connections=4, depth=4))
    account.check(peer, 400)
    assert bdats_before_the_first_answer == [1]
    by_data = [command for one in peer.connections for command in one.commands if command == b"DATA"]
    assert not by_data, "all of them use BDAT once it is known to work"


async def test_a_session_that_is_lost_after_that_says_nothing_of_bdat() -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop() if (connection, transaction, asked) == (1, 5, Stage.MAIL) else ACCEPT

    async with CountingServer(decide, chunking=True) as peer:
        account = await deliver(peer, submissions(20), options(depth=4))
    account.check(peer, 20)
    assert len(peer.connections) > 1
    assert not [command for one in peer.connections for command in one.commands if command == b"DATA"]
    assert account.notices == []


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.CONTENT])
@pytest.mark.parametrize("said", [b"421 4.7.0 Not now\r\n", b"451 4.3.0 Sender verification timed out\r\n"])
async def test_who_says_farewell_and_goes_on_is_sent_nothing_twice(stage: Stage, said: bytes) -> None:
    """What was on its way behind such a reply is taken: it must not go out again in another session."""
    offered: set[tuple[int, int]] = set()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        del recipient
        if asked is stage and transaction % 5 == 3 and (connection, transaction) not in offered:
            offered.add((connection, transaction))
            return say(said, succeeds=False)
        return ACCEPT

    async with CountingServer(decide, chunking=True) as peer:
        account = await deliver(peer, submissions(30), options(max_connections=2, max_messages=20, depth=6))
    account.check(peer, 30)
    taken = [recipient for message in peer.accepted for recipient in message.recipients]
    assert len(taken) == len(set(taken))
    assert Outcome.IN_DOUBT not in set(account.outcomes.values())
