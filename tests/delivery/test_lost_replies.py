"""A reply that never comes: what was told to others in its place is not believed, and a server that hangs is not it."""

from __future__ import annotations

from batchsend.outcome import Outcome
from tests.delivery.harness import GONE, GREETED, OFFERED, TAKEN, Account, deliver, options, submissions
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Expect, ReadContent, ReadToEnd, Step, reply

BEFORE: list[Step] = [*GREETED, *OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent(), *OFFERED]
"""The first message is there, and the second one is offered; nothing was said of either."""


async def send_two(*steps: Step) -> tuple[Account, ScriptedServer]:
    """Send two messages; a second session takes what is left."""
    async with ScriptedServer([*BEFORE, *steps], [*GREETED, *TAKEN, *GONE]) as peer:
        return await deliver(peer, submissions(2), options(data=0.15, quit=0.15)), peer


def outcomes_of_first(account: Account) -> list[Outcome]:
    return [result.status for result in account.lines if result.record == 1]


async def test_a_lost_refusal_makes_nothing_accepted() -> None:
    """What the first message was told is the second one's MAIL; the reply to QUIT gives it away."""
    account, _ = await send_two(
        reply("250 sender ok", "550 no such user", "503 no recipient"), Expect("QUIT"), reply("221 bye")
    )
    assert outcomes_of_first(account) == [Outcome.ACCEPTED, Outcome.IN_DOUBT]
    assert account.outcomes[2] is Outcome.ACCEPTED  # by the second session


async def test_a_server_that_hangs_takes_nothing_back() -> None:
    account, _ = await send_two(reply("250 taken", "250 sender ok", "550 no such user"), ReadToEnd())
    assert outcomes_of_first(account) == [Outcome.ACCEPTED]


async def test_a_server_that_is_only_slow_takes_nothing_back() -> None:
    account, _ = await send_two(
        reply("250 taken", "250 sender ok", "550 no such user"),
        Expect("QUIT"),
        reply("503 no recipient", "221 bye"),
    )
    assert outcomes_of_first(account) == [Outcome.ACCEPTED]
    assert account.outcomes[2] is Outcome.REJECTED


async def test_after_the_question_no_content_is_sent() -> None:
    """The server was slow, and waits for content: QUIT is its first line, so that no end of it may ever be sent."""
    account, peer = await send_two(
        reply("250 taken", "250 sender ok", "550 no such user"),
        Expect("QUIT"),
        reply("354 go"),
        ReadToEnd(),
    )
    assert outcomes_of_first(account) == [Outcome.ACCEPTED]
    assert peer.connections[0].received.endswith(b"QUIT\r\n")
    assert account.outcomes[2] is Outcome.REJECTED  # as the reply to RCPT said
