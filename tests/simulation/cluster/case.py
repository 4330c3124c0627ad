"""A case of the simulated cluster: its workers, what befalls them, and what befalls their way to the database.

As a case of one machine's runs, it is drawn from a seed, and the same case is the same course of things.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from batchsend.outcome import Stage
from tests.simulation.case import Break, Breaks, Relay, Reply
from tests.simulation.drawing import with_habits, with_way
from tests.simulation.replies import IMPOSSIBLE, PLAIN, QUOTA_OF_A_MINUTE

if TYPE_CHECKING:
    from random import Random

LEASE = 15.0
"""Seconds that a lease holds."""

Hitch: TypeAlias = Literal["late", "late answer", "lost", "lost answer", "silent"]
"""What befalls one statement: it reaches the database late, also where its sender has given it up meanwhile; its answer
is late; the connection is reset before it is done, or after it is done and before its answer; no answer ever comes."""


Befalls: TypeAlias = Literal["kill", "freeze", "leave", "hurry", "cut", "restart", "jump"]
"""What befalls a worker, or the database: see `Event`."""


class Trouble(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What befalls one statement.

    Attributes:
        client: Whose: 0 for who publishes, from 1 for the workers.
        nth: The how manieth of all its statements, from 1.
        what: What.
        seconds: How late.
    """

    client: int
    nth: int
    what: Hitch
    seconds: float = 0.0


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What befalls a worker, or the database.

    Attributes:
        worker: Which worker, from 1; 0 for the database.
        after: After how many seconds from the beginning of the work.
        what: A worker is killed, is stopped for some seconds and let go on (``freeze``), is told to end (``leave``), or
            what it sends to the database is held back (``cut``). The database ends all connections and takes none for
            some seconds (``restart``), or its clock is set (``jump``). One that is told to end may be told once more
            some seconds later, and ends at once (``hurry``).
        seconds: For how long; of ``jump``, by how much.
    """

    worker: int
    after: float
    what: Befalls
    seconds: float = 0.0


class ClusterCase(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One course of things.

    Attributes:
        seed: What the case does not say comes from it.
        records: How many records the list has.
        lot: How many of them are a lot.
        workers: When each worker begins, in seconds; one more begins after the last event, and goes on to the end.
        relays: Where they send.
        replies: What the relays say that is not the usual.
        breaks: What befalls connections to them.
        troubles: What befalls statements.
        events: What befalls workers and the database.
        delivery: What the campaign says under ``[delivery]``.
        far: Seconds that a reply is on its way at least.
        clocks: By how many seconds each worker's clock is ahead of the database's.
    """

    seed: int
    records: int
    lot: int = 10
    workers: tuple[float, ...] = (0.0,)
    relays: tuple[Relay, ...] = (Relay(),)
    replies: tuple[Reply, ...] = ()
    breaks: tuple[Break, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    events: tuple[Event, ...] = ()
    delivery: dict[str, int | str] = {}
    far: float = 0.0
    clocks: tuple[float, ...] = ()


def draw(seed: int) -> ClusterCase:
    """The case of a seed."""
    # What goes wrong besides has numbers of its own, so that the rest of a seed's case stays what it was.
    return _with_more(_drawn(seed), random.Random(f"{seed}, and more"))


def _drawn(seed: int) -> ClusterCase:
    choose = random.Random(seed)
    records = choose.choice((5, 20, 40))
    workers = choose.choice((1, 2, 2, 3))
    trouble = choose.choice((0, 1, 3, 3, 6))
    chunking = choose.random() < 0.5
    return ClusterCase(
        seed=seed,
        records=records,
        lot=choose.choice((3, 10, 20)),
        workers=tuple(choose.choice((0.0, 0.0, 1.0, 5.0)) for _ in range(workers)),
        relays=tuple(_relay(choose, chunking=chunking) for _ in range(choose.choice((1, 1, 2)))),
        replies=tuple(_reply(choose, records) for _ in range(choose.randint(0, trouble))),
        breaks=tuple(_break(choose) for _ in range(choose.randint(0, trouble // 2))),
        troubles=tuple(_trouble(choose, workers) for _ in range(choose.randint(0, 2 * trouble))),
        events=tuple(_event(choose, workers) for _ in range(choose.randint(0, trouble))),
        delivery={
            "max_connections": choose.choice((1, 3, 5)),
            "max_messages": choose.choice((1, 3, 100)),
            "depth": choose.choice((1, 4)) if chunking else 1,
            "max_attempts": choose.choice((1, 2, 3)),
            "retry_after": choose.choice(("1s", "30s")),
            "timeouts.content": "30s",
            # So that there is something under way when something happens.
            "rate": choose.choice(("1/s", "5/s", "20/s")),
        },
        far=choose.choice((0.0, 0.5, 2.0)),
        clocks=tuple(choose.choice((0.0, 0.0, -3600.0, 20.0)) for _ in range(workers)),
    )


def _relay(choose: Random, *, chunking: bool) -> Relay:
    return Relay(
        pipelining=choose.random() < 0.8,
        chunking=chunking,
        per_session=choose.choice((None, None, 3)),
        sessions=choose.choice((None, None, 2)),
        window=choose.choice((65536, 4000)),
    )


def _reply(choose: Random, records: int) -> Reply:
    nth = choose.randint(1, records)
    kind = choose.randrange(3)
    if kind == 0:
        stage = choose.choice((Stage.RCPT, Stage.CONTENT, Stage.MAIL))
        return Reply(relay=0, stage=stage, nth=nth, says=choose.choice(PLAIN[stage]), again=choose.choice((0, 0, 5)))
    if kind == 1:
        takes = choose.choice((True, False))
        return Reply(relay=0, stage=Stage.CONTENT, nth=nth, says=choose.choice(IMPOSSIBLE), takes=takes)
    then = choose.choice(("close", "close", "reset", "reset", "silence"))
    return Reply(relay=0, stage=Stage.CONTENT, nth=nth, says="", then=then, takes=choose.choice((True, False)))


def _break(choose: Random) -> Break:
    return Break(
        relay=0,
        connection=choose.randint(1, 8),
        what=choose.choice(("refuse", "reset", "reset", "close", "close", "deaf")),
        octets=round(10 ** choose.uniform(0, 3.5)),
    )


def _trouble(choose: Random, workers: int) -> Trouble:
    hitches: tuple[Hitch, ...] = ("late", "late", "late answer", "lost", "lost answer", "silent")
    return Trouble(
        client=choose.randint(0, workers),
        nth=round(10 ** choose.uniform(0, 2.2)),
        what=choose.choice(hitches),
        seconds=choose.choice((0.5, 6.0, LEASE + 5, 60.0)),
    )


def _event(choose: Random, workers: int) -> Event:
    worker, after = choose.randint(0, workers), round(choose.choice((2.0, 10.0, 40.0)) * choose.random(), 3)
    if worker == 0:
        if choose.random() < 0.2:
            return Event(worker=0, after=after, what="jump", seconds=choose.choice((-60.0, 20.0, 3600.0)))
        return Event(worker=0, after=after, what="restart", seconds=choose.choice((0.0, 1.0, 10.0, 40.0)))
    all_of_it: tuple[Befalls, ...] = ("kill", "freeze", "freeze", "cut", "cut", "leave")
    what = choose.choice(all_of_it)
    seconds = choose.choice((1.0, 6.0, LEASE + 1, LEASE + 10, 90.0))
    return Event(worker=worker, after=after, what=what, seconds=seconds)


def _with_more(case: ClusterCase, choose: Random) -> ClusterCase:
    """What the single run's cases have besides, and a quota of the campaign's own."""
    delivery = dict(case.delivery)
    if choose.random() < 0.1:
        delivery["quota"] = f"{choose.randint(case.records // 2 + 1, case.records)}/min"
    return replace(
        case,
        relays=tuple(_with_habits(relay, case.records, choose) for relay in case.relays),
        breaks=tuple(with_way(_other(one, choose), choose) for one in case.breaks),
        events=tuple(
            replace(event, what="hurry") if event.what == "leave" and choose.random() < 0.5 else event
            for event in case.events
        ),
        delivery=delivery,
    )


def _with_habits(relay: Relay, records: int, choose: Random) -> Relay:
    if choose.random() < 0.1:
        # Of a minute: while a relay sleeps, workers ask the database each second, and it is a real one.
        relay = replace(
            relay,
            quota=(choose.randint(records // 2 + 1, records), 60),
            quota_stage=choose.choice((Stage.MAIL, Stage.RCPT, Stage.CONTENT)),
            quota_says=QUOTA_OF_A_MINUTE,
        )
    return with_habits(replace(relay, addresses=choose.choice((1, 1, 1, 2))), choose)


def _other(one: Break, choose: Random) -> Break:
    others: tuple[Breaks, ...] = ("unreachable", "drip", "mute")
    return replace(one, what=choose.choice(others)) if choose.random() < 0.3 else one
