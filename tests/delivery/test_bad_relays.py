"""Relays that are half there, want another name, or lose what they offered to take; minutes go by in no time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import msgspec
import pytest

from batchsend import Outcome, Server, Stage
from tests.delivery.harness import (
    GONE,
    GREETED,
    TAKEN,
    CountingServer,
    deliver,
    options,
    server,
    several_domains,
    submissions,
    well_behaved,
)
from tests.tools.faulty import ACCEPT, Action, refuse
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Dialogue, Expect, ReadToEnd, Repeat, Silence, Step, reply

if TYPE_CHECKING:
    from batchsend import Delivery, Submission
    from tests.delivery.harness import Account
    from tests.tools.listener import Listener
    from tests.tools.virtual import VirtualLoop

NAME = "relay.test"
HOURS = 7200.0
"""The guard of a test on this loop's clock."""


def delivered(
    loop: VirtualLoop, where: list[Listener], to: list[Server] | Server, work: list[Submission], how: Delivery
) -> Account:
    """What comes of sending through servers that listen meanwhile."""

    async def run() -> Account:
        return await deliver(to if isinstance(to, list) else [to], work, how, guard=HOURS)

    for one in where:
        loop.run_until_complete(one.__aenter__())
    try:
        if isinstance(to, Server) and to.host == NAME:
            loop.names[NAME] = [(one.host, one.port) for one in where]
        return loop.run(run)
    finally:
        for one in where:
            loop.run_until_complete(one.__aexit__(None, None, None))


NOT_HERE: dict[str, list[Step]] = {
    "421": [reply("421 4.3.2 not now"), Close()],
    "554": [reply("554 5.3.2 no service here"), Close()],
    "closed": [Close()],
    "silent": [Silence()],
}


@pytest.mark.parametrize("first", NOT_HERE.values(), ids=NOT_HERE)
def test_of_two_addresses_the_one_that_works_is_used_and_the_other_left_alone(
    first: list[Step], loop: VirtualLoop
) -> None:
    dead, alive = ScriptedServer(first), CountingServer(well_behaved)
    began = loop.time()
    relay = Server(host=NAME, tls="none")
    account = delivered(loop, [dead, alive], relay, submissions(60), options(max_connections=2, max_messages=5))
    account.check(alive, 60)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert len(alive.connections) >= 12, "sessions are opened again and again"
    assert len(dead.connections) == 1
    assert loop.time() - began < 1.5 * options().timeouts.greeting, "it costs one time-out at most, not one a session"


def test_a_relay_that_refuses_at_its_greeting_hands_over_to_the_next(loop: VirtualLoop) -> None:
    first, second = ScriptedServer(NOT_HERE["554"]), CountingServer(well_behaved)
    where: list[Listener] = [first, second]
    for one in where:
        loop.run_until_complete(one.__aenter__())
    began = loop.time()
    account = loop.run(lambda: deliver([server(first), server(second)], submissions(20), options()))
    for one in where:
        loop.run_until_complete(one.__aexit__(None, None, None))
    account.check(second, 20)
    # Rule 2 of a relay's pauses: at least 0.1 s, 0.2 s, 0.4 s and so on; rule 5: one at a time, until one was opened.
    seconds = loop.time() - began
    assert len(first.connections) <= 1 + int(math.log2(1 + seconds / 0.1)), "one try a pause, and not one a session"
    assert seconds < 30
    assert any("554 5.3.2 no service here" in notice for notice in account.notices)


def refusing(stage: Stage, code: int, text: str) -> CountingServer:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(code, text) if asked is stage else ACCEPT

    return CountingServer(decide)


def on_one(loop: VirtualLoop, peer: Listener, work: list[Submission], how: Delivery, **keys: bool) -> Account:
    loop.run_until_complete(peer.__aenter__())
    try:
        relay = msgspec.structs.replace(server(peer), **keys)
        return loop.run(lambda: deliver(relay, work, how, guard=HOURS))
    finally:
        loop.run_until_complete(peer.__aexit__(None, None, None))


def test_a_name_that_is_refused_at_each_rcpt_stops_the_run_and_is_named(loop: VirtualLoop) -> None:
    peer = refusing(Stage.RCPT, 504, "5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname")
    account = on_one(loop, peer, several_domains(500), options(max_connections=3))
    assert account.error is not None
    assert "Helo command rejected" in account.error.message
    assert "ehlo_name" in (account.error.remedy or "")
    assert account.outcomes == {}, "it is about us, and about no recipient"
    assert len(account.went_back) <= 2 * 3


@pytest.mark.parametrize(
    "after",
    [
        pytest.param([Repeat([Expect(""), reply("501 5.5.4 Invalid EHLO")])], id="says it to HELO, too"),
        pytest.param([Close()], id="hangs up"),
        pytest.param([Expect("HELO"), Close()], id="hangs up at HELO"),
    ],
)
def test_a_name_that_ehlo_refuses_is_shown_with_the_key_that_changes_it(after: list[Step], loop: VirtualLoop) -> None:
    peer = ScriptedServer([reply("220 ready"), Expect("EHLO"), reply("501 5.5.4 Invalid EHLO"), *after])
    account = on_one(loop, peer, submissions(20), options(max_connections=5))
    assert account.error is not None
    assert "501 5.5.4 Invalid EHLO" in account.error.message
    assert "ehlo_name" in (account.error.remedy or "")
    assert len(peer.connections) == 1


def test_a_block_that_is_said_to_ehlo_is_not_told_as_one_of_the_name(loop: VirtualLoop) -> None:
    peer = ScriptedServer([reply("220 ready"), Expect("EHLO"), reply("554 5.7.1 Your IP is blocked"), Close()])
    account = on_one(loop, peer, submissions(20), options(max_connections=5))
    assert account.error is not None
    assert "554 5.7.1 Your IP is blocked" in account.error.message
    assert "ehlo_name" not in (account.error.remedy or "")


def test_a_sender_that_is_refused_at_each_rcpt_stops_the_run(loop: VirtualLoop) -> None:
    text = "5.7.1 <from@example.com>: Sender address rejected: not owned by user app@example.com"
    account = on_one(loop, refusing(Stage.RCPT, 553, text), several_domains(500), options(max_connections=3))
    assert account.error is not None
    assert "the sender is refused at rcpt: 553" in account.error.message
    assert 'Choice(["sender"])' in (account.error.remedy or "")
    assert 10 <= len(account.outcomes) <= 10 + 2 * 3


def test_too_much_mail_said_to_everything_is_not_answered_with_more_of_it(loop: VirtualLoop) -> None:
    """For two minutes everything is refused for the pace; in the end everybody has it, at no attempt's cost."""
    ends = loop.time() + 120
    refused: list[float] = []

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.MAIL and loop.time() < ends:
            refused.append(loop.time())
            return refuse(450, "4.7.1 Error: too much mail from 192.0.2.1")
        return ACCEPT

    peer = CountingServer(decide)
    account = on_one(loop, peer, submissions(800), options(max_connections=5))
    account.check(peer, 800)
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert {line.attempt for line in account.lines} == {1}
    assert sum(moment < refused[0] + 10 for moment in refused) <= 20
    assert len(refused) <= 60


class Alone:
    """The command before came alone: a group is a failure."""

    async def play(self, dialogue: Dialogue) -> None:
        await asyncio.sleep(0)
        received = dialogue.wire.connection.received
        assert received.endswith(dialogue.wire.connection.commands[-1] + b"\r\n"), received


LOSES_GROUPS: list[Step] = [*GREETED, Expect("MAIL"), reply("250 ok"), ReadToEnd()]
ONE_BY_ONE: list[Step] = [
    *GREETED,
    *(Expect("MAIL"), Alone(), reply("250 ok"), Expect("RCPT"), Alone(), reply("250 ok"), Expect("DATA")),
    *(reply("354 go"), *TAKEN[-2:]),
    *GONE,
]


def test_pipelining_that_is_offered_and_loses_groups_is_given_up(loop: VirtualLoop) -> None:
    peer = ScriptedServer(LOSES_GROUPS, ONE_BY_ONE)
    account = on_one(loop, peer, submissions(1), options())
    assert account.outcomes == {1: Outcome.ACCEPTED}
    assert len(peer.connections) == 2, "one time-out, and then one command at a time"
    assert any("pipelining = false" in notice for notice in account.notices)


def test_commands_wait_for_each_other_where_the_campaign_says_so(loop: VirtualLoop) -> None:
    """A server that answers only what came alone: the octets of a group behind its first command are lost."""
    peer = ScriptedServer(ONE_BY_ONE)
    began = loop.time()
    account = on_one(loop, peer, submissions(1), options(), pipelining=False)
    assert account.outcomes == {1: Outcome.ACCEPTED}
    assert loop.time() - began < 10
