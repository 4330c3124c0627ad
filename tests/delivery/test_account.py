"""Pools that meet every kind of fault say what `batchsend.delivery.account` states, in that order, and nothing else."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from batchsend import Delivery, Envelope, Outcome, Submission, Timeouts
from batchsend.campaign.values import Duration
from batchsend.delivery.connector import Connector, Opened
from batchsend.delivery.offered_again import MAX_HELD_BACK
from batchsend.delivery.pool import Pool
from batchsend.jitter import JITTER
from batchsend.message.submission import bundle
from batchsend.outcome import Stage
from batchsend.smtp.extensions import Extensions
from tests.delivery.contract import STATED, Row
from tests.delivery.harness import (
    GREETED,
    MODES,
    OFFERED,
    Account,
    CountingServer,
    address,
    deliver,
    options,
    server,
    submissions,
)
from tests.random_server.server import Decisions, Faulty, Wire
from tests.random_server.trial import ModelConnector
from tests.random_server.virtual_time import VirtualTimeLoop
from tests.smtp.model_server import Habits
from tests.smtp.session_driver import envelope
from tests.tools.examples import examples
from tests.tools.faulty import ACCEPT, Action, say
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import ReadContent, ReadToEnd, Step, reply

if TYPE_CHECKING:
    from random import Random

    from batchsend import DeliveryResult
    from tests.tools.virtual import VirtualLoop

FULL = b"452 4.4.5 Maximum number of messages per session exceeded.\r\n"
"""For the relay's reasons: it goes back, as often as it is said."""

SLOWLY = b"451 4.7.1 slow down\r\n"
"""Likewise; its session goes on."""

ATTEMPTS = 3

HOURS = 7200.0
"""On a clock that jumps over what is waited for."""

MOST_RUNS = 1000
"""Far more than are needed until the rarest thing has happened."""


class Capricious(Faulty):
    """Takes back what it has said, and says it twice: in any place, and never with a word that announces it."""

    def __call__(self, reply: bytes) -> bytes:
        if not reply or self.first is None or self.random.random() > self.share:
            return reply
        return self.random.choice(
            [
                *(FULL, FULL, FULL, FULL + reply, FULL + reply),
                *(SLOWLY, SLOWLY + reply),
                reply + b"250 ok\r\n",
                reply + b"250 ok\r\n",
                b"552 5.5.3 Recipient count exceeds 2\r\n",
                b"451 4.3.0 later\r\n",
                b"421 4.3.2 going down\r\n",
                b"",
            ]
        )


class CapriciousConnector(ModelConnector):
    """Opens connections to capricious servers."""

    def __init__(self, mode: str, choose: Random, share: float, how: Delivery) -> None:
        super().__init__("none", mode, choose, how.timeouts)
        self.offered = MODES[mode]
        self.random = choose
        self.share = share

    async def open(self) -> Opened:
        choose, offered = self.random, self.offered
        await asyncio.sleep(choose.choice((0.0, 0.01, 0.1)))
        habits = Habits(
            pipelining=offered.pipelining,
            refused_stay_open=choose.random() < 0.5,
            data_anyway=choose.random() < 0.5,
            enhanced=True,
            strict=False,
        )
        faulty = Capricious("none", choose, first=1, share=self.share)
        pauses = choose.choice([(1e-6, 0.001), (0.001, 0.01), (0.01, 0.1), (0.1, 1.0)])
        wire = Wire(Decisions(choose), habits, faulty, choose, pauses)
        return Opened("the model", wire, Extensions(pipelining=offered.pipelining, chunking=offered.chunking))


class Persistent(Account):
    """Puts what was deferred into the pool again, and stops the pool at some result.

    Attributes:
        pool: The pool.
        to_come: How many results there are still to be until it is stopped; it may be more than ever come.
    """

    def __init__(self, records: int, to_come: int) -> None:
        super().__init__()
        self.pool: Pool | None = None
        self.to_come = to_come
        self.out = records

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        super().settle(submission, result)
        assert self.pool is not None
        self.out -= 1
        self.to_come -= 1
        if result.status is Outcome.DEFERRED and submission.attempt < ATTEMPTS:
            self.out += 1
            submission.attempt += 1
            asyncio.get_running_loop().call_soon(self.pool.add, [submission])
        if not self.to_come:
            self.pool.stop()
        elif not self.out:
            self.pool.close()


def _submissions(records: int, choose: Random) -> list[Submission]:
    """Messages of one and of four recipients; some are of octets that these servers do not take."""
    made: list[Submission] = []
    first = 1
    while first <= records:
        last = min(first + choose.choice((0, 0, 3)), records)
        text = b"caf\xc3\xa9\r\n" if choose.random() < 0.02 else b""
        members = []
        for record in range(first, last + 1):
            reverse_path, forward_path, content = envelope(record, first)
            path = Envelope(reverse_path.decode(), forward_path.decode())
            members.append(Submission(record=record, envelope=path, content=content + text))
        made.append(bundle(members))
        first = last + 1
    return made


async def _run(seed: int) -> Account:
    choose = random.Random(seed)
    mode = choose.choice(["pipelined", "lockstep", "chunked", "chunked"])
    how = Delivery(
        max_connections=choose.choice((2, 4, 8)),
        max_messages=choose.choice((7, 100)),
        depth=MODES[mode].depth,
        stop_after=1_000_000,
        give_up_after=Duration(86_400.0),
    )
    # Few records are soon offered again by the other sessions; of many, most wait.
    records = choose.choice((12, 24, 48))
    account = Persistent(records, choose.randrange(1, 3 * records))
    connector = CapriciousConnector(mode, choose, choose.choice((0.05, 0.1, 0.2)), how)
    account.pool = pool = Pool([connector], how, account, notice=account.notices.append)
    work = _submissions(records, choose)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.put(work))
        tasks.create_task(pool.run())
    account.contract.over = True
    return account


def _observed(seed: int) -> set[Row]:
    JITTER.seed(seed)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        account = runner.run(_run(seed))
    assert not account.contract.broken, f"with seed {seed}"
    assert not account.committed, f"the journal would name what is settled, with seed {seed}"
    return account.contract.seen


# A compiled pool takes no connector but the real one.
@pytest.mark.interpreted
def test_a_pool_says_nothing_but_what_is_stated_of_each_record() -> None:
    first = random.randrange(2**32)
    seen = set[Row]().union(*(_observed(seed) for seed in range(first, first + examples(40))))
    assert {row.call for row in seen} == {row.call for row in STATED.values()}, "nothing was tested"


@pytest.mark.interpreted
@pytest.mark.slow
def test_whatever_is_stated_is_said_at_times() -> None:
    """A row that no pool ever comes to says something untrue. That two offers are in doubt takes thousands of runs."""
    unseen = {row for row in STATED.values() if (row.call, row.before) != ("retry", "doubted")}
    for seed in range(MOST_RUNS):
        unseen -= _observed(seed)
        if not unseen:
            return
    assert unseen == set()


@pytest.mark.slow
def test_a_record_that_went_back_too_often_and_may_have_been_delivered_is_in_doubt(loop: VirtualLoop) -> None:
    """Its last refusal is its outcome, and is superseded as any other."""
    said = 0

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        nonlocal said
        if asked is not Stage.CONTENT or recipient != address(1):
            return ACCEPT  # while the other one does not get through, it is not about the record
        said += 1
        return say(FULL, succeeds=False) if said <= MAX_HELD_BACK else say(FULL + b"250 ok\r\n", succeeds=True)

    async def run() -> tuple[Account, CountingServer]:
        how = msgspec.structs.replace(options(), max_wait=Duration(HOURS))  # each time it is waited for longer
        async with CountingServer(decide, chunking=False) as peer:
            return await deliver(peer, submissions(2), how, guard=HOURS), peer

    account, peer = loop.run(run)
    of_first = [line.status for line in account.lines if line.record == 1]
    assert of_first == [Outcome.DEFERRED, Outcome.IN_DOUBT]
    account.check(peer, 2)


class Stopping(Account):
    """Stops the pool when something goes back."""

    pool: Pool | None = None

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        super().retry(submission, result)
        assert self.pool is not None
        self.pool.stop()


async def test_what_went_back_when_the_run_stopped_and_may_have_been_delivered_is_in_doubt() -> None:
    """Otherwise the next run would offer it again."""
    script: list[Step] = [
        *GREETED,
        *OFFERED,
        reply("250 ok", "250 ok", "354 go"),
        ReadContent(),
        reply("451 4.7.1 slow down", "250 ok"),
        ReadToEnd(),
    ]
    async with ScriptedServer(script) as peer:
        account = Stopping()
        account.pool = pool = Pool([Connector(server(peer), Timeouts())], options(), account)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pool.put(submissions(1)))
            tasks.create_task(pool.run())
    assert not account.contract.broken
    assert [(line.record, line.status) for line in account.lines] == [(1, Outcome.IN_DOUBT)]
