"""When a run will be done: from what is left, its pace so far, its rate, quotas and hours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from msgspec.structs import replace

from batchsend.campaign.forecast import Plan
from batchsend.errors import RunError
from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections import Counter

    from batchsend.campaign import Campaign
    from batchsend.delivery.quota import Meters
    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.run.first_pass import FirstPass
    from batchsend.run.steering import Steering
    from batchsend.run.summary import Summary

_EVERY: Final = 5.0
"""Seconds for which a forecast holds: a long one takes some milliseconds."""

_COUNTED_FOR: Final = 0.5
"""Seconds for which a list is read on to count what is left: half a million records and more."""

_LEAST: Final = 2.0
"""Seconds of sending before the pace so far says anything."""


class Rest(NamedTuple):
    """What a run that stopped has left.

    Attributes:
        records: How many records have no outcome, or wait for another attempt.
        is_exact: They were counted. Otherwise the list is too long for that.
    """

    records: int
    is_exact: bool


async def count_rest(first: FirstPass, summary: Summary, untouched: Counter[Outcome]) -> Rest | None:
    """Count what a run leaves that stops early; of a long list, reckon it by the records that could be counted.

    Args:
        first: The run's pass over its list, which is over.
        summary: What it has come to.
        untouched: The records that an earlier run has settled and this one has not.

    Returns:
        None where that is not known: the records come by a pipe, or the list is not there any more.
    """
    settled = summary.records - summary.waiting
    try:
        taken, is_whole = await first.take_on(_COUNTED_FOR)
    except RunError:
        return None  # what is wrong with the list is said by whoever goes on with the run
    if is_whole:
        return Rest(taken - settled, is_exact=True)
    read, given = first.reader.progress, first.reader.given
    if not read or not given:
        return None
    # Here the list is long, and read as far as it could be: what is chosen of it goes by those records.
    chosen = given - (first.passed_over or 0)
    done_before = untouched.total() - untouched[Outcome.DEFERRED]
    return Rest(max(taken - settled, round(chosen / read) - settled - done_before), is_exact=False)


class UnderWay(Protocol):
    """What is asked of a run: a `Batch` is one."""

    campaign: Campaign
    summary: Summary
    steering: Steering
    meters: Meters
    rest: Rest | None

    @property
    def statistics(self) -> PoolStatistics | None:
        """The pool as it is now; None before anything is sent."""

    @property
    def left(self) -> int | None:
        """About how many records are left; None where that is not known."""


class Outlook:
    """Reckons a run's end anew every few seconds, when somebody asks.

    Where nothing but the relays' pace decides, there is none: how long that takes is reckoned from the pace alone.

    Args:
        batch: The run.
    """

    def __init__(self, batch: UnderWay) -> None:
        self._batch = batch
        self._plan = Plan.of(batch.campaign)
        self._done: float | None = None
        self._reckoned = time.monotonic() - _EVERY
        self._looked: float | None = None
        self._sending = 0.0  # seconds in which it was not held back

    def done(self) -> float | None:
        """When the last record will have been sent, in seconds since the epoch; None where that cannot be told."""
        now = time.monotonic()
        self._look(now)
        if now - self._reckoned >= (_EVERY if self._done is not None else 1.0):
            self._reckoned = now
            self._done = self._reckon()
        return self._done

    def _look(self, now: float) -> None:
        """Count the time in which it could send."""
        pool = self._batch.statistics
        may_send = pool is not None and pool.asleep is None and not self._batch.steering.held
        if self._looked is not None and may_send:
            self._sending += now - self._looked
        self._looked = now if may_send else None

    def told(self) -> str | None:
        """How many are left when it ends early, and when they will have been sent if it is gone on with."""
        batch, now = self._batch, time.time()
        if batch.rest is None or not (left := batch.rest.records):
            return None
        said = f"{left:,} left" if batch.rest.is_exact else f"about {left:,} left"
        # A rate that was changed in mid-run holds for whoever goes on.
        delivery = replace(batch.campaign.delivery, rate=batch.steering.rate)
        plan, meters = Plan.of(replace(batch.campaign, delivery=delivery)), batch.meters
        when = plan.foretells(now, left, pace=self._pace(), sent=meters.sent(), began=meters.began)
        return said if when is None else f"{said}; gone on with, done {when}"

    def _pace(self) -> float | None:
        """Records a second in the time in which it could send; None where that was too short to tell."""
        records = self._batch.summary.records
        return records / self._sending if self._sending > _LEAST and records else None

    def _reckon(self) -> float | None:
        batch, steering, plan = self._batch, self._batch.steering, self._plan
        pool, left = batch.statistics, batch.left
        asleep = None if pool is None else pool.asleep
        if left is None or steering.paused or not (plan.is_bounded or asleep is not None):
            return None
        now = time.time() if asleep is None else max(time.time(), asleep.until)
        limit = None if steering.rate is None else steering.rate.per_second
        meters = batch.meters
        return plan.ends(now, left, rates=(limit, self._pace()), sent=meters.sent(), began=meters.began)
