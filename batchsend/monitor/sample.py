"""A sample of a run: how many records, which sessions and what pace there are at one moment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.outcome import Outcome
    from batchsend.run.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A run at one moment.

    Attributes:
        time: When, in seconds on the monotonic clock.
        records: Records that were dealt with, those that wait for another attempt included.
        counts: Records by outcome.
        waiting: Deferred records that wait for their next attempt.
        progress: How much of the work is done, from 0 to 1; None where it is not known how much there is.
        stopped: Why the run is ending early, or None.
        max_connections: How many sessions the campaign allows at once.
        pool: Sessions, pace and replies; None before anything is sent.
        held: Why nothing is begun at present, on one line; None where that is the relays' business.
        is_paused: Because somebody has paused it.
        left: About how many records are left; None where that is not known.
        done: When the last of them will have been sent, in seconds since the epoch; None where that is not known.
    """

    time: float
    records: int
    counts: Mapping[Outcome, int]
    waiting: int
    progress: float | None
    stopped: str | None
    max_connections: int
    pool: PoolStatistics | None
    held: str | None = None
    is_paused: bool = False
    left: int | None = None
    done: float | None = None

    @classmethod
    def take(cls, batch: Batch) -> Sample:
        """Look at a run; only in the thread of its loop."""
        summary, pool = batch.summary, batch.statistics
        return cls(
            time=time.monotonic(),
            records=summary.records,
            counts=summary.counts.copy(),
            waiting=summary.waiting,
            progress=batch.progress,
            stopped=summary.stopped,
            max_connections=sum(relay.max_connections for relay in pool.relays)
            if pool is not None
            else batch.steering.connections,
            pool=pool,
            held=batch.steering.why_held,
            is_paused=batch.steering.paused,
            left=batch.left,
            done=batch.outlook.done(),
        )
