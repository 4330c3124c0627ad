"""A stream of replies that cannot be right ends its session, and nothing that it may have shifted stays accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.outcome import Outcome, Stage
from batchsend.trace import Trace
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
)
from tests.tools.faulty import ACCEPT, Action, say
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import ReadContent, ReadToEnd, Reset, Send, Step, reply

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {
    "extra reply": b"250 ok\r\n250 again\r\n",
    "extra refusal": b"250 ok\r\n550 and no\r\n",
    "mixed codes": b"250-ok\r\n450 not ok\r\n",
    "no code": b"ok\r\n",
    "code of four digits": b"2500 ok\r\n",
    "1yz": b"150 ok\r\n",
    "6yz": b"650 ok\r\n",
    "354": b"354 go\r\n",
    "bare LF": b"250 ok\n250 more\r\n",
    "out of place": b"220 hello\r\n",
    "endless line": b"250 " + b"x" * 20_000 + b"\r\n",
    "endless reply": b"250-more\r\n" * 10_000,
    "NUL": b"\0\0\0\r\n",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.CONTENT])
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_reply_that_cannot_be_right_never_makes_a_message_accepted_that_was_not(
    mode: str, stage: Stage, wrong: str
) -> None:
    depth = MODES[mode].depth

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if (connection, transaction, asked) == (1, 3, stage):
            return say(WRONG[wrong], succeeds=wrong in {"extra reply", "extra refusal"})
        return ACCEPT

    async with serve(decide, mode) as peer:
        account = await deliver(peer, submissions(10), options(depth=depth))
    account.check(peer, 10)
    assert Outcome.REJECTED not in account.outcomes.values()
    assert {result.attempt for result in account.lines} == {1}
    if wrong == "extra reply" or (mode == "chunked" and wrong == "extra refusal"):
        return  # All replies are 250 there, so whichever is the true one, it says the same.
    assert len(peer.connections) >= 2, "the session went on"
    assert list(account.outcomes.values()).count(Outcome.IN_DOUBT) <= 2 * depth


async def test_an_extra_reply_takes_back_what_it_may_have_shifted() -> None:
    """The extra 550 is read as the reply to MAIL, and what follows cannot be: then the message before is doubtful."""
    script: list[Step] = [
        *GREETED,
        *TAKEN,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        ReadContent(),
        *OFFERED,
        reply("250 taken", "550 not taken", "250 ok", "250 ok", "354 go"),
        ReadToEnd(),
    ]
    async with ScriptedServer(script, [*GREETED, *TAKEN, *TAKEN, *GONE]) as peer:
        account = await deliver(peer, submissions(4), options())
    assert account.outcomes == {
        1: Outcome.ACCEPTED,
        2: Outcome.IN_DOUBT,
        3: Outcome.ACCEPTED,
        4: Outcome.ACCEPTED,
    }
    assert account.taken_back == [2]
    first, second = [result for result in account.lines if result.record == 2]
    assert first.status is Outcome.ACCEPTED
    assert second.reason is not None
    assert "may have been another's" in second.reason
    assert (second.code, second.reply, second.message_id) == (None, None, first.message_id)


async def test_replies_may_come_in_any_pieces() -> None:
    for segment in (1, 3):
        async with CountingServer(lambda *_: ACCEPT, segment=segment) as peer:
            account = await deliver(peer, submissions(6), options(max_connections=2))
        account.check(peer, 6)
        assert set(account.outcomes.values()) == {Outcome.ACCEPTED}


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO])
async def test_a_reply_too_many_while_the_session_is_opened_makes_nothing_accepted_that_was_not(stage: Stage) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return say(b"220 ready\r\n250 surplus\r\n") if asked is stage and connection == 1 else ACCEPT

    async with CountingServer(decide) as peer:
        account = await deliver(peer, submissions(4), options())
    account.check(peer, 4)


async def test_a_reply_that_came_with_the_end_of_the_connection_counts() -> None:
    script: list[Step] = [
        *GREETED,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        ReadContent(),
        reply("250 taken"),
        Reset(),
    ]
    async with ScriptedServer(script) as peer:
        account = await deliver(peer, submissions(1), options())
    assert account.outcomes == {1: Outcome.ACCEPTED}


async def test_text_of_the_server_is_data() -> None:
    """Control characters are escaped, octets that are not UTF-8 too; line ends of a long reply are kept."""
    evil = b"550-5.1.1 \x1b[2J\x07caf\xe9\r\n550 5.1.1 second\r\n"
    script: list[Step] = [*GREETED, *OFFERED, reply("250 ok"), Send(evil), reply("554 no recipients"), ReadToEnd()]
    async with ScriptedServer(script) as peer:
        account = await deliver(peer, submissions(1), options(quit=0.1))
    assert account.last[1].reply == "5.1.1 \\x1b[2J\\x07caf\\xe9\n5.1.1 second"
    assert (account.last[1].enhanced, account.last[1].reason) == ("5.1.1", "unknown_mailbox")


async def test_the_trace_says_why_a_session_that_had_nothing_to_answer_was_ended(tmp_path: Path) -> None:
    script: list[Step] = [*GREETED, *OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent()]
    script += [reply("250 taken", "550 and another"), ReadToEnd()]
    with Trace(tmp_path / "trace") as trace:
        async with ScriptedServer(script) as peer:
            account, how = Account(), options()
            pool = Pool([Connector(server(peer), how.timeouts, trace=trace)], how, account)
            with anyio.fail_after(GUARD):
                await feed(pool, submissions(1))
    assert account.outcomes == {1: Outcome.IN_DOUBT}
    assert "# a reply to nothing: 550 and another\n" in (tmp_path / "trace").read_text()
