"""Sends for a given time, as fast as the server takes it or at a constant rate of arrival, and watches for drift.

At a given rate a message's latency counts from the moment at which it was due, not from when there was room for it: a
server that stops for a second then shows in all the messages that came due in that second, as it would to people. (To
count from hand-over leaves them out, which is called coordinated omission.) Latencies go into HdrHistograms, whose
encoded form is in the JSON, for the tools that read it.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from batchsend.bench.measurement import own_limit
from batchsend.delivery.account import NullAccount
from batchsend.delivery.pool import Pool
from batchsend.errors import RunError, UsageError
from batchsend.outcome import Outcome
from batchsend.version import with_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from hdrh.histogram import HdrHistogram

    from batchsend.bench.gathering import GatheringConnector
    from batchsend.bench.grid import GridPoint
    from batchsend.bench.measurement import OwnLimit
    from batchsend.bench.messages import MessageSource
    from batchsend.campaign import Delivery
    from batchsend.message import Submission
    from batchsend.outcome import DeliveryResult
    from batchsend.verdict import Verdict

LATENCIES: Final = (50.0, 90.0, 99.0, 99.9)

_BATCH: Final = 64
_TICK: Final = 0.002
"""At a given rate: how often is looked which messages have come due, in seconds."""

_MICROSECONDS: Final = 1_000_000
_LONGEST: Final = 3_600 * _MICROSECONDS
_DIGITS: Final = 3

_SLICES: Final = 20
_LEAST_SLICE: Final = 1.0

_MOST_BEHIND: Final = 0.02
"""The part of the messages due that may not have been sent at the end for the server to have kept up."""


def new_histogram() -> HdrHistogram:
    """For latencies in microseconds from 1 to an hour, to three digits.

    Raises:
        UsageError: The library is not installed.
    """
    try:
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError("--rate and --duration need the package hdrhistogram", remedy=with_extra("load")) from None
    return HdrHistogram(1, _LONGEST, _DIGITS)


@dataclass(slots=True)
class Slice:
    """What happened in a part of the time.

    Attributes:
        start: When it began, in seconds after the first message.
        seconds: How long it was.
        accepted: Messages taken in it.
        percentiles: Latencies in seconds of the messages answered in it, by per cent; 0 where there were none.
        behind: How many messages were due at its end and not yet answered; at a given rate only.
        memory: What this process had in memory at its end, in octets; 0 where the system does not say.
    """

    start: float
    seconds: float = 0.0
    accepted: int = 0
    percentiles: dict[float, float] = field(default_factory=lambda: dict.fromkeys(LATENCIES, 0.0))
    behind: int = 0
    memory: int = 0

    @property
    def rate(self) -> float:
        """Messages accepted a second."""
        return self.accepted / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The slice as a JSON object; times in seconds, memory in octets."""
        return {
            "start": round(self.start, 3),
            "seconds": round(self.seconds, 3),
            "accepted": self.accepted,
            "rate": round(self.rate, 1),
            **{name_of(percent): latency for percent, latency in self.percentiles.items()},
            "behind": self.behind,
            "memory": self.memory,
        }


class Load(NullAccount):
    """Sends at one point for some time.

    Args:
        point: How to send.
        connector: Opens the sessions.
        delivery: What else there is to say of how.
        rate: Messages that come due a second; None: the next one as soon as there is room.
        seconds: For so long.
        notice: Called with what the server does that no figure tells.
        on_slice: Called with each part of the time that is over.

    Attributes:
        outcomes: What became of the messages.
        replies: The same by what was said.
        slices: The parts of the time, all as long as each other but for the last.
        due: Messages that have come due.
        latency: Of all messages, in microseconds.
        limits: What the server has said of its own limits, the first reply of each kind.
        stopped: Why it ended before its time, or None.

    Raises:
        UsageError: The package hdrhistogram is not installed.
    """

    def __init__(
        self,
        point: GridPoint,
        connector: GatheringConnector,
        delivery: Delivery,
        *,
        rate: float | None,
        seconds: float,
        notice: Callable[[str], None] = lambda _: None,
        on_slice: Callable[[Slice], None] = lambda _: None,
    ) -> None:
        self.point = point
        self.rate = rate
        self.seconds = seconds
        self.outcomes: Counter[Outcome] = Counter()
        self.replies: Counter[str] = Counter()
        self.slices: list[Slice] = []
        self.due = 0
        self.latency = new_histogram()
        self.limits: dict[Verdict, OwnLimit] = {}
        self.stopped: str | None = None
        self._on_slice = on_slice
        self._slice = Slice(0.0)
        self._slice_latency = new_histogram()
        self._length = max(_LEAST_SLICE, seconds / _SLICES)
        self._answered = 0
        self._began = 0.0
        self._first = 0
        delivery = msgspec.structs.replace(
            delivery, max_connections=point.connections, depth=point.depth, rate=None if rate else delivery.rate
        )
        connector.gather(point.connections)
        self._to_come = point.connections
        self._open = anyio.Event()
        self._pool = Pool([connector], delivery, self, notice=notice)

    @property
    def accepted(self) -> int:
        """Messages that the server has taken."""
        return self.outcomes[Outcome.ACCEPTED]

    @property
    def kept_up(self) -> bool:
        """Whether the server took what came due: no more than two per cent waited at the end."""
        return self.rate is None or not self.slices or self.slices[-1].behind <= max(1, _MOST_BEHIND * self.due)

    def stop(self, reason: str) -> None:
        """Begin nothing more; what is under way is awaited."""
        self.stopped = self.stopped or reason
        self._pool.stop()

    def percentile(self, percent: float) -> float:
        """The latency in seconds that so many of a hundred stay within; 0 where there were none."""
        return _seconds_at(self.latency, percent)

    async def run(self, messages: MessageSource) -> None:
        """Send until the time is over.

        Args:
            messages: Where they come from.

        Raises:
            RunError: The server is gone, or refuses the sender.
        """
        failure: RunError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed, messages)
            tasks.start_soon(self._cut_slices)
            try:
                await self._pool.run()
            except RunError as error:
                failure = error
            tasks.cancel_scope.cancel()
        self._end_slice()
        if failure is not None:
            raise failure

    async def _feed(self, messages: MessageSource) -> None:
        """Hand messages over when they are due; one for each session has opened these before the time begins."""
        await self._pool.put(list(messages.make(self.point.connections)))
        await self._open.wait()
        self._began = time.perf_counter()
        self._first = messages.made + 1
        source = messages.make(None)
        while (passed := time.perf_counter() - self._began) < self.seconds:
            if self.rate is None:
                wanted = _BATCH
            else:
                wanted = math.floor(passed * self.rate) + 1 - self.due
                if wanted <= 0:
                    await anyio.sleep(max(_TICK, self.due / self.rate - passed))
                    continue
            batch = [next(source) for _ in range(min(wanted, _BATCH))]
            self.due += len(batch)
            if not await self._pool.put(batch):
                return
        if self.rate is not None:
            # What came due while there was no room is due all the same.
            self.due = max(self.due, math.floor(self.seconds * self.rate))
        self._end_slice()
        self._pool.stop()

    async def _cut_slices(self) -> None:
        await self._open.wait()
        while True:
            await anyio.sleep(self._length)
            self._end_slice()

    def _end_slice(self) -> None:
        """End the slice under way, if anything has happened in it, and begin the next."""
        now = time.perf_counter() - self._began if self._began else 0.0
        ended = self._slice
        ended.seconds = now - ended.start
        if now <= 0 or ended.seconds < self._length / 4:
            return
        ended.percentiles = {percent: _seconds_at(self._slice_latency, percent) for percent in LATENCIES}
        self._slice_latency.reset()
        ended.memory = _memory()
        ended.behind = max(0, self._due_by(now) - self._answered)
        self.slices.append(ended)
        self._on_slice(ended)
        self._slice = Slice(now)

    def _due_by(self, seconds: float) -> int:
        """How many messages had come due by then."""
        return math.floor(min(seconds, self.seconds) * (self.rate or 0.0))

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """Count a result, and how long the message had been due."""
        self._hear(result)
        self._count(submission.record, result, None)

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """Keep what the server said of itself; the pool offers the message again."""
        del submission
        self._hear(result)

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """Count a result that takes the place of another."""
        if earlier is not None:
            self._count(result.record, result, earlier)

    def _hear(self, result: DeliveryResult) -> None:
        if result.status is not Outcome.ACCEPTED and (limit := own_limit(result)) is not None:
            self.limits.setdefault(limit.verdict, limit)

    def _count(self, record: int, result: DeliveryResult, earlier: DeliveryResult | None) -> None:
        if earlier is not None:
            self.outcomes[earlier.status] -= 1
        self.outcomes[result.status] += 1
        said = str(result.code) if result.code is not None else result.reason or result.status.value
        self.replies[said] += 1
        if not self._began:
            if earlier is None and self._to_come:
                self._to_come -= 1
                if not self._to_come:
                    self._open.set()
            return
        if earlier is not None or record < self._first:
            return
        self._answered += 1
        now = time.perf_counter() - self._began
        latency = result.elapsed if self.rate is None else now - (record - self._first) / self.rate
        if latency is not None:
            microseconds = max(1, round(latency * _MICROSECONDS))
            self._slice_latency.record_value(microseconds)
            self.latency.record_value(microseconds)
        self._slice.accepted += result.status is Outcome.ACCEPTED

    def to_json(self) -> dict[str, Any]:
        """Everything as a JSON object; times in seconds, memory in octets."""
        return {
            "connections": self.point.connections,
            "depth": self.point.depth,
            "wanted_rate": self.rate,
            "duration": self.seconds,
            "messages": self.outcomes.total(),
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome if self.outcomes[outcome]},
            "replies": {said: count for said, count in self.replies.most_common() if count > 0},
            "due": self.due if self.rate is not None else None,
            "kept_up": self.kept_up,
            **{name_of(percent): self.percentile(percent) for percent in LATENCIES},
            "limits": [limit.to_json() for limit in self.limits.values()],
            "stopped": self.stopped,
            "slices": [one.to_json() for one in self.slices],
            "drift": self.drift(),
            "histogram": self.latency.encode().decode("ascii"),
        }

    def drift(self) -> dict[str, float] | None:
        """How the last quarter of the time differs from the first one after the warm-up; None where it was too short.

        ``latency`` (the median) and ``rate`` (messages a second) are ratios, ``memory`` how many octets more an hour.
        """
        slices = self.slices[1:]
        quarter = len(slices) // 4
        if not quarter:
            return None
        first, last = slices[:quarter], slices[-quarter:]
        hours = (last[-1].start - first[-1].start) / 3600

        def mean(part: list[Slice], figure: Callable[[Slice], float]) -> float:
            return sum(figure(one) for one in part) / len(part)

        def ratio(figure: Callable[[Slice], float]) -> float:
            before = mean(first, figure)
            return round(mean(last, figure) / before, 3) if before else 1.0

        more = mean(last, lambda one: one.memory) - mean(first, lambda one: one.memory)
        return {
            "latency": ratio(lambda one: one.percentiles[50.0]),
            "rate": ratio(lambda one: one.rate),
            "memory": round(more / hours),
        }


def name_of(percent: float) -> str:
    """What a percentile is called: p50, p99_9."""
    return f"p{percent:g}".replace(".", "_")


def _seconds_at(histogram: HdrHistogram, percent: float) -> float:
    return float(histogram.get_value_at_percentile(percent)) / _MICROSECONDS if histogram.get_total_count() else 0.0


def _memory() -> int:
    """What this process has in memory, in octets: from Linux's proc(5); 0 where there is none."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - not a file of the user's
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
