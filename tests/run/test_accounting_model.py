"""The account of a local run against a model: what is said of a record, in every order that a pool can say it in.

The model knows of each record only what was said last of its newest attempt, and whether it may have been delivered.
The account is given the same events: handed over, settled, taken back by an older attempt, due, prepared, handed over
again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Envelope, Submission
from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.run.accounting import Accounting
from batchsend.run.handing_over import wait_until_due
from batchsend.run.retry import RetryQueue
from batchsend.run.summary import Summary
from tests.delivery.harness import GUARD
from tests.tools.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

# A compiled account takes no ledger and no pool but the real ones.
pytestmark = pytest.mark.interpreted

RECORDS = 8
MAX_ATTEMPTS = 4


class Lines:
    """Stands where the ledger does: the lines of the log, and the attempts that the journal would have."""

    def __init__(self) -> None:
        self.lines: list[DeliveryResult] = []
        self.committed: dict[int, int] = {}

    def commit(self, record: int, attempt: int) -> None:
        self.committed[record] = attempt

    def withdraw(self, record: int, attempt: int) -> None:
        if self.committed.get(record) == attempt:
            del self.committed[record]

    def append(self, result: DeliveryResult) -> bool:
        self.lines.append(result)
        return False

    def flush(self) -> None:
        pass


class Taken:
    """Stands where the pool does: takes everything, and remembers what it holds."""

    def __init__(self) -> None:
        self.held: dict[int, Submission] = {}
        self.offered: list[int] = []

    def add(self, submissions: Iterable[Submission]) -> None:
        for submission in submissions:
            assert submission.record not in self.held, "in two places"
            self.held[submission.record] = submission
            self.offered.append(submission.record)


def result(record: int, attempt: int, status: Outcome) -> DeliveryResult:
    return DeliveryResult(
        record=record,
        recipient=f"r{record}@example.com",
        status=status,
        attempt=attempt,
        stage=Stage.CONTENT,
        session=1,
    )


def submission(record: int, attempt: int) -> Submission:
    envelope = Envelope("from@example.com", f"r{record}@example.com")
    return Submission(record=record, envelope=envelope, content=b"x", attempt=attempt)


class World:
    """One random run, and the model beside it.

    Attributes:
        newest: The newest attempt of each record, and what was said of it last.
        in_doubt: Records that may have been delivered, and must not be offered again.
    """

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.lines, self.pool, self.summary = Lines(), Taken(), Summary()
        self.wait(max_attempts=MAX_ATTEMPTS, pause=1e-9)
        self.newest: dict[int, tuple[int, Outcome]] = {}
        self.in_doubt: set[int] = set()
        self.settled: list[DeliveryResult] = []  # any of these may still be taken back, once
        self.preparing: dict[int, int] = {}

    def wait(self, *, max_attempts: int, pause: float) -> None:
        """Begin with nothing, and let records that are deferred wait like this."""
        ledger: Any = self.lines
        self.waiting = RetryQueue(max_attempts=max_attempts, pause=pause)
        self.account = Accounting(ledger, self.summary, self.waiting)

    def hand_over(self, submissions: list[Submission]) -> None:
        pool: Any = self.pool
        self.account.hand_over(submissions, pool)

    def settle(self, record: int, status: Outcome) -> None:
        held = self.pool.held.pop(record)
        said = result(record, held.attempt, status)
        self.settled.append(said)
        self.newest[record] = held.attempt, status
        if status is Outcome.IN_DOUBT:
            self.in_doubt.add(record)
        self.account.settle(held, said)

    def take_back(self, earlier: DeliveryResult, status: Outcome) -> None:
        """What an attempt was told is not to be believed: a later one counts, unless it came to nothing, too."""
        record, doubtful = earlier.record, status is Outcome.IN_DOUBT
        attempt, latest = self.newest[record]
        still_to_come = record in self.preparing or record in self.waiting
        refused_later = earlier.attempt < attempt and latest is not Outcome.ACCEPTED
        if record in self.in_doubt:
            pass  # and stays so
        elif (doubtful and (still_to_come or refused_later)) or (earlier.attempt == attempt and not still_to_come):
            self.newest[record] = attempt, status
            if doubtful:
                self.in_doubt.add(record)
                self.preparing.pop(record, None)
        said = result(record, earlier.attempt, status)
        self.account.supersede(earlier, said)
        if record in self.in_doubt:
            assert self.lines.lines[-1] is not said or said.attempt == attempt, "it speaks of the newest attempt"

    async def step(self) -> None:
        """Do one thing that can be done now."""
        choose = self.choose
        match choose.choice(("settle", "settle", "take back", "due", "prepared", "withheld")):
            case "settle" if self.pool.held:
                outcomes = (Outcome.ACCEPTED, Outcome.REJECTED, *(Outcome.DEFERRED,) * 3, Outcome.IN_DOUBT)
                self.settle(choose.choice(sorted(self.pool.held)), choose.choice(outcomes))
            case "take back" if self.settled:
                earlier = self.settled.pop(choose.randrange(len(self.settled)))
                if earlier.record not in self.pool.held:  # there the pool itself decides
                    self.take_back(earlier, choose.choice((Outcome.IN_DOUBT, Outcome.DEFERRED)))
            case "due":
                self.preparing.update(self.account.due())
            case "prepared" if self.preparing:
                # As the second pass does: what was found in doubt meanwhile is composed with the rest.
                chosen = {record: self.preparing[record] for record in sorted(self.preparing)[:2]}
                chosen |= dict.fromkeys(sorted(self.in_doubt)[:1], 2)
                for record in chosen:
                    self.preparing.pop(record, None)
                self.hand_over([submission(record, attempt) for record, attempt in chosen.items()])
            case "withheld" if self.preparing or self.in_doubt:
                record = choose.choice(sorted({*self.preparing, *self.in_doubt}))
                attempt = self.preparing.pop(record, self.newest[record][0])
                if record not in self.in_doubt:
                    self.newest[record] = attempt, Outcome.SUPPRESSED
                self.account.withheld_again(result(record, 1, Outcome.SUPPRESSED))
        assert not self.in_doubt & self.pool.held.keys(), "offered again although it may have been delivered"


async def play(seed: int) -> World:
    world = World(seed)
    world.hand_over([submission(record, 1) for record in range(1, RECORDS + 1)])
    for _ in range(60):
        await world.step()
    world.account.not_found_again()
    for record in list(world.pool.held):
        world.settle(record, Outcome.ACCEPTED)
    return world


async def test_the_last_line_of_each_record_is_what_the_model_says() -> None:
    for seed in range(examples(400)):
        world = await play(seed)
        expected = {record: status for record, (_, status) in world.newest.items()}
        assert {line.record: line.status for line in world.lines.lines} == expected, seed
        world.summary.give_up_waiting()
        assert +world.summary.counts == Counter(expected.values()), seed


async def test_what_is_known_of_one_record_does_not_matter_for_those_after_it() -> None:
    """One goes back for the relay's reasons, and each of a long list is settled after it."""
    world = World(1)
    world.hand_over([submission(record, 1) for record in range(1, 3001)])
    world.account.retry(world.pool.held[1], result(1, 1, Outcome.DEFERRED))
    for record in range(1, 3001):
        world.settle(record, Outcome.ACCEPTED)
    assert +world.summary.counts == Counter({Outcome.ACCEPTED: 3000})
    assert world.account.is_over


async def test_a_run_is_over_when_the_only_record_that_waits_proves_to_be_in_doubt() -> None:
    """It would else wait for the time at which that record was to be offered again, up to an hour."""
    world = World(1)
    world.wait(max_attempts=2, pause=1000.0)
    world.hand_over([submission(1, 1)])
    world.settle(1, Outcome.DEFERRED)
    due = asyncio.create_task(wait_until_due(world.account))
    await asyncio.sleep(0)
    assert not due.done()
    world.account.supersede(world.settled[0], result(1, 1, Outcome.IN_DOUBT))
    async with asyncio.timeout(GUARD):
        assert await due is None
    assert world.account.is_over


async def test_what_is_not_found_again_stays_deferred_and_is_counted_once() -> None:
    """However many passes through a list there are in which it is not."""
    world = World(1)
    world.wait(max_attempts=2, pause=0.0)
    world.hand_over([submission(record, 1) for record in (1, 2)])
    for record in (1, 2):
        world.settle(record, Outcome.DEFERRED)
    assert world.account.due() == {1: 2, 2: 2}
    for _ in range(2):
        world.account.not_found_again()
        assert (+world.summary.counts, world.summary.waiting) == (Counter({Outcome.DEFERRED: 2}), 0)
        assert world.account.under_way == 0


@pytest.mark.parametrize("later", [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED])
def test_an_offer_that_went_back_and_is_doubtful_makes_a_later_refusal_doubtful(later: Outcome) -> None:
    """It was refused for the pace, offered again with the same attempt, and decided; the refusal was another's."""

    async def settle_and_take_back() -> World:
        world = World(1)
        world.wait(max_attempts=1, pause=1.0)
        world.hand_over([submission(1, 1)])
        world.account.retry(world.pool.held[1], result(1, 1, Outcome.DEFERRED))
        world.settle(1, later)
        world.account.supersede(None, result(1, 1, Outcome.IN_DOUBT))
        return world

    world = asyncio.run(settle_and_take_back())
    expected = Outcome.ACCEPTED if later is Outcome.ACCEPTED else Outcome.IN_DOUBT
    assert world.lines.lines[-1].status is expected
    assert +world.summary.counts == Counter({expected: 1})


async def test_what_was_read_is_under_way_until_its_outcome_stands() -> None:
    """It is out, or waits, or is composed again."""
    world = World(1)
    world.wait(max_attempts=2, pause=0.0)
    world.hand_over([submission(record, 1) for record in (1, 2, 3)])
    told = [world.account.under_way]
    world.settle(1, Outcome.ACCEPTED)
    told.append(world.account.under_way)
    world.settle(2, Outcome.DEFERRED)
    told.append(world.account.under_way)
    assert world.account.due() == {2: 2}
    told.append(world.account.under_way)
    world.hand_over([submission(2, 2)])
    told.append(world.account.under_way)
    for record in (2, 3):
        world.settle(record, Outcome.REJECTED)
        told.append(world.account.under_way)
    assert told == [3, 2, 2, 2, 2, 1, 0]


async def test_one_that_proves_to_be_in_doubt_while_it_is_composed_again_is_not_offered() -> None:
    """Nor where it is the only one that was due."""
    world = World(1)
    world.wait(max_attempts=3, pause=0.0)
    world.hand_over([submission(1, 1)])
    world.settle(1, Outcome.DEFERRED)
    assert world.account.due() == {1: 2}
    world.account.supersede(world.settled[0], result(1, 1, Outcome.IN_DOUBT))
    world.hand_over([submission(1, 2)])
    assert world.pool.held == {}
    assert world.account.is_over
    assert +world.summary.counts == Counter({Outcome.IN_DOUBT: 1})


async def test_what_goes_back_is_in_flight_no_more_and_what_may_have_been_delivered_is_named_at_once() -> None:
    """This process may be killed before the next offer of it has its outcome."""
    world = World(1)
    offered = [submission(record, 1) for record in (1, 2, 3)]
    world.hand_over(offered)
    for one in offered:
        assert world.account.commit(one, lambda _: None)
    world.account.withdraw(offered[0])
    assert world.lines.committed == {2: 1, 3: 1}
    world.account.retry(offered[1], result(2, 1, Outcome.DEFERRED))
    assert world.lines.committed == {3: 1}
    assert world.lines.lines == []
    world.account.retry(offered[2], in_doubt := result(3, 1, Outcome.IN_DOUBT))
    assert world.lines.lines == [in_doubt]


async def test_whoever_was_accepted_and_may_have_been_delivered_before_is_told_of() -> None:
    said: list[str] = []
    ledger: Any = Lines()
    account = Accounting(ledger, Summary(), RetryQueue(max_attempts=2, pause=0.0), notice=said.append)
    pool: Any = Taken()
    for attempt, status in ((1, Outcome.DEFERRED), (2, Outcome.ACCEPTED)):
        account.hand_over([offered := submission(1, attempt)], pool)
        account.settle(offered, result(1, attempt, status))
        account.due()
        pool.held.clear()
    account.supersede(result(1, 1, Outcome.DEFERRED), result(1, 1, Outcome.IN_DOUBT))
    (one,) = said
    assert one.startswith("record 1 may have been delivered by an earlier attempt, too")


async def test_a_list_is_not_read_again_at_once_for_those_who_are_due() -> None:
    """At most a twentieth of the time goes there."""
    world = World(1)
    world.wait(max_attempts=2, pause=0.0)
    world.hand_over([submission(1, 1)])
    world.settle(1, Outcome.DEFERRED)
    world.account.pause_between_passes(100.0)
    assert world.account.due() == {}
    assert world.account.seconds_until_due() == pytest.approx(2000.0, abs=GUARD)
    world.account.pause_between_passes(0.0)
    assert world.account.seconds_until_due() == pytest.approx(1.0, abs=0.5), "nor all the time, however short it is"
