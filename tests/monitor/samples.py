"""Samples of a run that never was: for tests of what is made of them, and for pictures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec.structs import replace

from batchsend.delivery.statistics import PoolStatistics, SessionState, SessionStatistics, Slowdown
from batchsend.monitor.sample import Sample
from batchsend.outcome import Outcome

WORKING = tuple(
    SessionStatistics(number, state, messages, 100, 1 if state is SessionState.SENDING else 0)
    for number, state, messages in (
        (241, SessionState.RETIRING, 100),
        (242, SessionState.SENDING, 87),
        (243, SessionState.SENDING, 64),
        (244, SessionState.SENDING, 31),
        (245, SessionState.SENDING, 8),
        (246, SessionState.SPARE, 0),
    )
)

POOL = PoolStatistics(
    sessions=WORKING,
    opening=1,
    opened=246,
    connections=5,
    in_flight=4,
    backlog=64,
    goodput=412.0,
    rate=None,
    slowdown=None,
    replies={250: 24_100, 550: 312, 450: 392},
)

SLOWED = replace(
    POOL,
    rate=40.2,
    slowdown=Slowdown(1_700_000_000.0, "454 4.7.0 Throttling failure: Maximum sending rate exceeded", 1),
)


def sample(time: float = 0.0, records: int = 0, progress: float | None = 0.0, **others: Any) -> Sample:
    """A sample with some of its values."""
    values: dict[str, Any] = {
        "counts": Counter({Outcome.ACCEPTED: records}),
        "waiting": 0,
        "stopped": None,
        "max_connections": 5,
        "pool": POOL,
    }
    return Sample(time=time, records=records, progress=progress, **{**values, **others})


def busy(**others: Any) -> Sample:
    """A sample in which everything has happened."""
    counts = Counter(
        {
            Outcome.ACCEPTED: 24_100,
            Outcome.REJECTED: 312,
            Outcome.DEFERRED: 12,
            Outcome.IN_DOUBT: 2,
            Outcome.INVALID: 31,
            Outcome.SUPPRESSED: 5,
        }
    )
    values: dict[str, Any] = {"counts": counts, "waiting": 380, "pool": SLOWED, **others}
    return sample(61.0, 24_842, 0.62, **values)
