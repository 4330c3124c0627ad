"""Runs of a real pool with real sessions against servers that go wrong at random; the servers' account is the truth."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchsend import Delivery, Envelope, Outcome, Server, Submission, Timeouts
from batchsend.campaign.values import Duration
from batchsend.delivery.connector import Connector, Opened
from batchsend.delivery.pool import Pool
from batchsend.jitter import JITTER
from batchsend.message.submission import bundle
from batchsend.smtp.extensions import Extensions
from tests.delivery.harness import MODES, Account
from tests.random_server.server import FAULTS, UNDECIDABLE, Decisions, Faulty, Wire
from tests.random_server.virtual_time import VirtualTimeLoop
from tests.smtp.model_server import Habits
from tests.smtp.session_driver import envelope

if TYPE_CHECKING:
    from random import Random

RECORDS: Final = 500
"""Of one run."""


@dataclass
class Findings:
    """What came of the runs with one fault in one mode.

    Attributes:
        transactions: How many were begun.
        sessions: How many were opened.
        faults: How many replies were spoiled.
        spoiled: In how many sessions.
        outcomes: The last outcome of every record.
        doubtful_messages: How many messages have a recipient that is in doubt. One that was tried in two sessions,
            and is in doubt in both, counts twice.
        wrongly_accepted: Records called accepted that were not taken, although the replies showed a fault.
        unseen: The same where the replies showed none.
        taken: Records that were called refused or deferred, and were taken.
        twice: Records that were taken twice.
    """

    transactions: int = 0
    sessions: int = 0
    faults: int = 0
    spoiled: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    doubtful_messages: int = 0
    wrongly_accepted: list[str] = field(default_factory=list)
    unseen: int = 0
    taken: int = 0
    twice: int = 0

    def add(self, other: Findings) -> None:
        """Add another run's."""
        self.transactions += other.transactions
        self.sessions += other.sessions
        self.faults += other.faults
        self.spoiled += other.spoiled
        self.outcomes += other.outcomes
        self.doubtful_messages += other.doubtful_messages
        self.wrongly_accepted += other.wrongly_accepted
        self.unseen += other.unseen
        self.taken += other.taken
        self.twice += other.twice


class ModelConnector(Connector):
    """Opens connections to model servers in this process, half of which go wrong.

    Args:
        kind: How.
        mode: What they offer.
        choose: Where everything comes from.
        timeouts: Of the sessions.

    Attributes:
        wires: Every connection that was opened.
    """

    def __init__(self, kind: str, mode: str, choose: Random, timeouts: Timeouts) -> None:
        super().__init__(Server(host="127.0.0.1", port=25, tls="none"), timeouts)
        self.wires: list[Wire] = []
        self._kind = kind
        self._offered = MODES[mode]
        self._choose = choose

    async def open(self) -> Opened:
        """Open one."""
        choose, offered = self._choose, self._offered
        await asyncio.sleep(choose.choice((0.0, 0.01, 0.1)))
        habits = Habits(
            pipelining=offered.pipelining,
            refused_stay_open=choose.random() < 0.5,
            data_anyway=choose.random() < 0.5,
            enhanced=choose.random() < 0.5,
            strict=False,
        )
        faulty = Faulty(self._kind, choose)
        if choose.random() < 0.5:
            faulty.first = choose.randint(1, 60)
        wire = Wire(Decisions(choose), habits, faulty, choose)
        self.wires.append(wire)
        return Opened("the model", wire, Extensions(pipelining=offered.pipelining, chunking=offered.chunking))


async def _feed(pool: Pool, work: list[Submission], choose: Random) -> None:
    """Put the work in by and by, sometimes with a pause in which sessions become idle."""
    for start in range(0, len(work), 25):
        if not await pool.put(work[start : start + 25]):
            break
        if choose.random() < 0.2:
            await asyncio.sleep(choose.choice((0.1, 2.0, 20.0)))
    pool.close()


def _options(mode: str, choose: Random) -> Delivery:
    """Of a pool of four sessions."""
    return Delivery(
        max_connections=4,
        max_messages=choose.choice((1, 7, 25, 100)),
        depth=MODES[mode].depth,
        stop_after=1_000_000,
        give_up_after=Duration(86_400.0),
    )


async def run_pool(
    kind: str, mode: str, choose: Random, options: Delivery, work: list[Submission]
) -> tuple[Account, list[Wire]]:
    """Send some messages through a pool of four sessions."""
    account = Account()
    connector = ModelConnector(kind, mode, choose, options.timeouts)
    pool = Pool([connector], options, account, notice=account.notices.append)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_feed(pool, work, choose))
        tasks.create_task(pool.run())
    account.contract.over = True
    return account, connector.wires


def shared_messages(count: int, choose: Random) -> list[list[int]]:
    """The records of each message, so many records together; in half of the runs some share a message."""
    most = choose.choice((1, 8))
    messages = []
    record = 1
    while record <= count:
        last = min(record + choose.randrange(most), count)
        messages.append(list(range(record, last + 1)))
        record = last + 1
    return messages


def _submissions(messages: list[list[int]]) -> list[Submission]:
    """What is sent: each forward-path says the record's number."""
    return [bundle([_submission(record, records[0]) for record in records]) for records in messages]


def _submission(record: int, message: int) -> Submission:
    reverse_path, forward_path, content = envelope(record, message)
    return Submission(record=record, envelope=Envelope(reverse_path.decode(), forward_path.decode()), content=content)


def one_run(kind: str, mode: str, seed: int, *, single: bool = False) -> Findings:
    """One run, judged.

    Args:
        kind: What goes wrong.
        mode: What the servers offer.
        seed: Where everything comes from.
        single: Every message has one recipient. The same seed is then the same run as before messages could be shared.
    """
    JITTER.seed(seed)  # the jitter of the pauses
    choose = random.Random(seed)
    # Which options there are is chosen before who shares a message, in the order in which it always was.
    options = _options(mode, choose)
    messages = [[record] for record in range(1, RECORDS + 1)] if single else shared_messages(RECORDS, choose)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        account, wires = runner.run(run_pool(kind, mode, choose, options, _submissions(messages)))
    found = Findings(sessions=len(wires))
    taken: Counter[int] = Counter()
    by_session: dict[int, Wire] = {}
    for wire in wires:
        by_session[wire.session] = wire
        found.transactions += wire.dialogue.asked.count(b"MAIL")
        found.faults += wire.faulty.happened
        found.spoiled += bool(wire.faulty.happened)
        taken.update(int(path.partition(b"@")[0]) for _, path, _ in wire.server.accepted)
    message_of = {record: records[0] for records in messages for record in records}
    found.doubtful_messages = len(
        {
            (result.session, message_of[record])
            for record, result in account.last.items()
            if result.status is Outcome.IN_DOUBT
        }
    )
    for record, result in account.last.items():
        found.outcomes[result.status] += 1
        times = taken[record]
        found.twice += times > 1
        if result.status is Outcome.ACCEPTED and not times:
            wire = by_session[result.session or 0]
            # The replies to two RCPT of one message fit in each other's places, whatever shows later.
            shared = wire.dialogue.asked.count(b"RCPT") > wire.dialogue.asked.count(b"MAIL")
            if wire.dialogue.faultless() or (shared and kind in UNDECIDABLE):
                found.unseen += 1
            else:
                found.wrongly_accepted.append(f"record {record} in session {result.session}: {kind}, {mode}, {seed}")
        elif times and result.status not in (Outcome.ACCEPTED, Outcome.IN_DOUBT):
            found.taken += 1
    assert not account.committed, "the journal would name what is settled"
    assert not account.contract.broken
    assert len(account.last) == RECORDS
    return found


def run_trials(transactions: int, seed: int, *, single: bool = False) -> dict[tuple[str, str], Findings]:
    """Runs of every kind in every mode until so many transactions were begun and each fault has happened.

    Args:
        transactions: How many.
        seed: Where everything comes from.
        single: Every message has one recipient.

    Raises:
        AssertionError: A fault does not happen, in however many runs.
    """
    found = {(kind, mode): Findings() for kind in FAULTS for mode in MODES}
    choose = random.Random(seed)
    begun = 0
    while begun < transactions:
        for (kind, mode), findings in found.items():
            begun += _add_run(findings, kind, mode, choose, single=single)
    for (kind, mode), findings in found.items():
        more = 0
        while kind != "none" and not findings.faults:
            # A run may be over before its server has come to its fault.
            assert more < 50, f"{kind}, {mode}: the fault does not happen"
            _add_run(findings, kind, mode, choose, single=single)
            more += 1
    return found


def _add_run(findings: Findings, kind: str, mode: str, choose: Random, *, single: bool) -> int:
    """Add one more run; returns how many transactions it began."""
    one = one_run(kind, mode, choose.randrange(2**32), single=single)
    findings.add(one)
    return one.transactions
