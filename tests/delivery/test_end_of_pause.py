"""Sessions that wait for the end of a relay's pause go on when it ends, not when it was to end at the latest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from batchsend import Outcome
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from tests.delivery.harness import (
    GONE,
    GREETED,
    OFFERED,
    Account,
    feed,
    options,
    server,
    several_domains,
)
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Await, Dialogue, Expect, ReadContent, Signal, Step, reply

if TYPE_CHECKING:
    from batchsend import DeliveryResult, Submission
    from tests.tools.virtual import VirtualLoop

REFUSALS = 9
"""After the third they pause the relay, for 0.2 s and twice as long each time: the last pause is one of seconds."""

REFUSED: list[Step] = [*OFFERED, reply("451 4.3.0 trouble", "503 5.5.1 MAIL first", "503 5.5.1 RCPT first")]


@dataclass
class Following(Account):
    """An account that says when so many records were refused, and when one was accepted.

    Attributes:
        refused: Set after so many refusals.
        accepted_at: When the first record was accepted, on the loop's clock.
    """

    refused: asyncio.Event = field(default_factory=asyncio.Event)
    accepted_at: float | None = None

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        super().settle(submission, result)
        if result.status is Outcome.DEFERRED and len(self.lines) == REFUSALS:
            self.refused.set()
        elif result.status is Outcome.ACCEPTED and self.accepted_at is None:
            self.accepted_at = asyncio.get_running_loop().time()


@dataclass
class Moment:
    """The dialogue has come this far.

    Attributes:
        at: When, on the loop's clock.
    """

    at: float | None = None

    async def play(self, dialogue: Dialogue) -> None:
        del dialogue
        self.at = asyncio.get_running_loop().time()


def test_a_session_that_waits_for_the_end_of_a_pause_goes_on_when_a_message_is_accepted(loop: VirtualLoop) -> None:
    """One session has a message under way; another hears refusals only, which pause the relay for longer and longer."""

    async def run() -> None:
        account, offered, moment = Following(), asyncio.Event(), Moment()
        go_on = reply("250 ok", "250 ok", "354 go")
        waits = [*OFFERED, go_on, ReadContent(), Await(account.refused), reply("250 taken")]
        goes_on = [*OFFERED, Await(offered), go_on, ReadContent(), reply("250 taken")]
        held: list[Step] = [
            Expect("MAIL"),
            moment,
            Signal(offered),
            Expect("RCPT"),
            Expect("DATA"),
            go_on,
            ReadContent(),
        ]
        scripts = [*GREETED, *waits, *goes_on, *GONE], [*GREETED, *REFUSED * REFUSALS, *held, reply("250 taken"), *GONE]
        how = msgspec.structs.replace(options(max_connections=2), stop_after=3)
        async with ScriptedServer(*scripts) as peer:
            pool = Pool([Connector(server(peer), how.timeouts)], how, account)
            await feed(pool, several_domains(2 + REFUSALS + 1))
        assert list(account.outcomes.values()).count(Outcome.ACCEPTED) == 3
        assert account.accepted_at is not None
        assert moment.at is not None
        assert moment.at - account.accepted_at < 1.0

    loop.run(run)
