"""When a run will be done: from what is left, its pace so far, its rate, quotas and hours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from msgspec.structs import replace

from batchsend.campaign.forecast import Plan

if TYPE_CHECKING:
    from batchsend.campaign import Campaign
    from batchsend.delivery.quota import Meters
    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.run.steering import Steering
    from batchsend.run.summary import Summary

_EVERY: Final = 5.0
"""Seconds for which a forecast holds: a long one takes some milliseconds."""

_LEAST: Final = 2.0
"""Seconds of sending before the pace so far says anything."""


class UnderWay(Protocol):
    """What is asked of a run: a `Batch` is one."""

    campaign: Campaign
    summary: Summary
    steering: Steering
    meters: Meters

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
        self._records = 0
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
        """About how many are left when it ends early, and when they will have been sent if it is gone on with."""
        batch, now = self._batch, time.time()
        if not (left := batch.left):
            return None
        # A rate that was changed in mid-run holds for whoever goes on.
        delivery = replace(batch.campaign.delivery, rate=batch.steering.rate)
        plan, meters = Plan.of(replace(batch.campaign, delivery=delivery)), batch.meters
        when = plan.foretells(now, left, pace=self._pace(), sent=meters.sent(), began=meters.began)
        return f"about {left:,} left" if when is None else f"about {left:,} left; gone on with, done {when}"

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
