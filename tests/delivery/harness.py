"""Drives a pool against a server, and holds its account against what the server has taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import anyio

from batchsend import Delivery, Envelope, Outcome, RunError, Server, Submission, Timeouts
from batchsend.campaign.values import Duration
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from tests.delivery.contract import Observer
from tests.tools.faulty import ACCEPT, Action, FaultyServer
from tests.tools.steps import Expect, ReadContent, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchsend import DeliveryResult, Stage
    from tests.tools.faulty import Decide
    from tests.tools.listener import Listener
    from tests.tools.steps import Step
    from tests.tools.wire import Wire

GUARD = 20.0
"""Seconds after which a test has failed; far more than any of them takes."""


class Mode(NamedTuple):
    """What the server offers, and the depth that goes with it."""

    pipelining: bool
    chunking: bool
    depth: int


MODES = {"pipelined": Mode(True, False, 1), "lockstep": Mode(False, False, 1), "chunked": Mode(True, True, 4)}


GREETED: list[Step] = [reply("220 ready"), Expect("EHLO"), reply("250-scripted.example.org", "250 PIPELINING")]
"""The steps of a scripted server up to the first MAIL."""

OFFERED: list[Step] = [Expect("MAIL"), Expect("RCPT"), Expect("DATA")]
"""The client's part of a transaction up to DATA, in one group."""

TAKEN: list[Step] = [*OFFERED, reply("250 ok", "250 ok", "354 go"), ReadContent(), reply("250 taken")]
"""A transaction that goes well."""

GONE: list[Step] = [Expect("QUIT"), reply("221 bye")]
"""The end of a session that goes well."""


def submissions(count: int, *, content: bytes = b"Subject: x\r\n\r\nText\r\n") -> list[Submission]:
    """So many submissions; the recipient says the record's number."""
    return [
        Submission(record=number, envelope=Envelope("from@example.com", address(number)), content=content)
        for number in range(1, count + 1)
    ]


def several_domains(count: int) -> list[Submission]:
    """Submissions to five domains in turns: what all of them hear is not about their recipients."""
    return [
        Submission(
            record=number,
            envelope=Envelope("from@example.com", f"r{number}@{number % 5}.example.com"),
            content=b"Subject: x\r\n\r\nText\r\n",
        )
        for number in range(1, count + 1)
    ]


def message(*recipients: str) -> EmailMessage:
    """A message as a program sends it."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "shop@example.com", ", ".join(recipients), "Your order"
    made.set_content("It is on its way.\n")
    return made


def address(record: int) -> str:
    """The recipient of a record."""
    return f"r{record}@example.com"


def server(listener: Listener) -> Server:
    """The test's server, in the clear."""
    return Server(host=listener.host, port=listener.port, tls="none")


def options(
    *,
    max_connections: int = 1,
    max_messages: int = 100,
    depth: int = 1,
    give_up_after: float = 300,
    limits: Mapping[str, float] = MappingProxyType({}),
    **timeouts: float,
) -> Delivery:
    """Delivery options; further arguments, or ``limits``, are time-outs in seconds, the others at their defaults."""
    return Delivery(
        max_connections=max_connections,
        max_messages=max_messages,
        depth=depth,
        give_up_after=Duration(give_up_after),
        timeouts=Timeouts(**{name: Duration(seconds) for name, seconds in {**limits, **timeouts}.items()}),
    )


@dataclass
class Account:
    """What a pool reported, held against the contract.

    Attributes:
        lines: Every result, in the order of reporting.
        committed: Records that may have been delivered, and of which nothing was said since.
        most_committed: The most of them at once: what a kill would have left in doubt.
        went_back: Refusals for the relay's reasons: the record stayed in the pool.
        taken_back: Records an earlier result of which was superseded.
        notices: What the user was told.
        error: What stopped the run, or None.
        first: Set when the first record was settled.
        contract: Follows each record.
    """

    lines: list[DeliveryResult] = field(default_factory=list)
    committed: set[int] = field(default_factory=set)
    most_committed: int = 0
    went_back: list[DeliveryResult] = field(default_factory=list)
    taken_back: list[int] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    error: RunError | None = None
    first: asyncio.Event = field(default_factory=asyncio.Event)
    contract: Observer = field(default_factory=Observer)

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        self.contract.commit(submission)
        self.committed.add(submission.record)
        self.most_committed = max(self.most_committed, len(self.committed))
        return True

    def withdraw(self, submission: Submission) -> None:
        self.contract.withdraw(submission)
        self.committed.discard(submission.record)

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        self.contract.retry(submission, result)
        self.went_back.append(result)
        if result.status is not Outcome.IN_DOUBT:  # then it is said of an earlier offer
            self.committed.discard(submission.record)

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        self.contract.settle(submission, result)
        self.committed.discard(submission.record)
        self.lines.append(result)
        self.first.set()

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        self.contract.supersede(earlier, result)
        if earlier is not None:
            self.lines.append(result)
            self.taken_back.append(result.record)

    @property
    def last(self) -> dict[int, DeliveryResult]:
        """The result that counts, by record."""
        return {result.record: result for result in self.lines}

    @property
    def outcomes(self) -> dict[int, Outcome]:
        return {record: result.status for record, result in sorted(self.last.items())}

    def check(self, peer: FaultyServer, count: int, *, whole: bool = True) -> None:
        """Hold the account against the server's: the promises that no fault may break.

        Args:
            peer: The server; its ``accepted`` is the truth.
            count: How many submissions there were.
            whole: Every one of them must have a result; False where the run was stopped.
        """
        results = Counter(result.record for result in self.lines)
        results.subtract(self.taken_back)
        assert set(results.values()) <= {1}, "a submission has more than one result"
        assert not self.committed, "the journal would name what is settled"
        assert not self.contract.broken
        if whole:
            assert set(results) == set(range(1, count + 1))
        taken = Counter(message.recipients[0] for message in peer.accepted)
        for record in range(1, count + 1):
            outcome = self.outcomes.get(record)
            times = taken[address(record)]
            if outcome is Outcome.ACCEPTED:
                assert times == 1, f"record {record} is accepted, and was taken {times} times"
            elif outcome is Outcome.IN_DOUBT:
                assert times <= 1
            else:
                assert times == 0, f"record {record} is {outcome}, and was taken"


async def deliver(
    where: Listener | Server | list[Server], work: list[Submission], how: Delivery, *, guard: float = GUARD
) -> Account:
    """Run a pool until it ends, by itself or by a RunError; the test fails if it has not after ``guard`` seconds."""
    account = Account()
    servers = where if isinstance(where, list) else [where if isinstance(where, Server) else server(where)]
    pool = Pool([Connector(one, how.timeouts) for one in servers], how, account, notice=account.notices.append)
    with anyio.fail_after(guard):
        try:
            await feed(pool, work)
        except RunError as error:
            account.error = error
    account.contract.over = True
    assert not account.contract.broken
    return account


async def feed(pool: Pool, work: list[Submission]) -> None:
    """Run a pool on a list of submissions; what it does not take because it stops is left."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_to_end(pool))
        for start in range(0, len(work), 7):
            if not await pool.put(work[start : start + 7]):
                break
        pool.close()
    if (error := running.result()) is not None:
        raise error


async def run_to_end(pool: Pool) -> RunError | None:
    """Run a pool; a task group would wrap the error that ends it."""
    try:
        await pool.run()
    except RunError as error:
        return error
    return None


class CountingServer(FaultyServer):
    """A faulty server that knows how many sessions it has open.

    Attributes:
        peak: The most sessions open at once.
    """

    open_now = 0
    peak = 0

    async def play(self, wire: Wire) -> None:
        self.open_now += 1
        self.peak = max(self.peak, self.open_now)
        try:
            await super().play(wire)
        finally:
            self.open_now -= 1

    @property
    def begun(self) -> list[int]:
        """How many transactions each session began."""
        return [sum(command.startswith(b"MAIL ") for command in connection.commands) for connection in self.connections]


def well_behaved(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    """Accept everything."""
    return ACCEPT


def serve(decide: Decide, mode: str) -> CountingServer:
    """A server that offers what the mode needs."""
    return CountingServer(decide, pipelining=MODES[mode].pipelining, chunking=MODES[mode].chunking)
