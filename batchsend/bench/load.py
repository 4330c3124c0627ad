"""Sends for a given time, as fast as the server takes it or at a constant rate of arrival, and watches for drift.

At a given rate a message's latency counts from the moment at which it was due, not from when there was room for it: a
server that stops for a second then shows in all the messages that came due in that second, as it would to people. (To
count from hand-over leaves them out, which is called coordinated omission.) Those that came due and were not sent by
the end count with the time that they had waited until then. Latencies go into HdrHistograms, whose encoded form is in
the JSON, for the tools that read it.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from batchsend.bench.measurement import own_limit, reply_kind, significant, words
from batchsend.bench.visit import LONGEST_OPENING
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

_STEPS: Final = 1000
"""Of the messages that were not sent, how many lengths of time are told apart at most."""


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
        behind: How many messages had come due by its end and were not yet answered; at a given rate only.
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
            "rate": significant(self.rate),
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
        slices: The parts of the time, all as long as each other but for the last; and of what was awaited after it.
        latency: Of all messages, in microseconds.
        limits: What the server has said of its own limits, the first reply of each kind.
        refused: What was said to the first message that was not accepted, or None.
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
        self.latency = new_histogram()
        self.limits: dict[Verdict, OwnLimit] = {}
        self.refused: str | None = None
        self.stopped: str | None = None
        self._notice = notice
        self._on_slice = on_slice
        self._slice = Slice(0.0)
        self._slice_latency = new_histogram()
        self._length = max(_LEAST_SLICE, seconds / _SLICES)
        self._end = seconds  # after which nothing more comes due
        self._handed_over = 0
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
    def due(self) -> int:
        """Messages that have come due; where there is no rate, those that were handed over."""
        return self._handed_over if self.rate is None else self._due_by(self._passed())

    @property
    def waiting(self) -> int:
        """Messages that have come due and have no answer; at the end, those that were not sent any more."""
        return max(0, self.due - self._answered) if self.rate is not None else 0

    @property
    def kept_up(self) -> bool:
        """Whether the server took what came due: no more than two per cent were not sent at the end."""
        return self.waiting <= max(1, _MOST_BEHIND * self.due)

    @property
    def silent_since(self) -> float | None:
        """Seconds after the first message from which on nothing was accepted; None where something was at the end.

        At a given rate nothing may have been due then: there `kept_up` says it.
        """
        since = None
        for one in reversed(self.slices):
            if self.rate is not None or one.accepted:
                break
            since = one.start if one.start < self._end else None
        return since

    @property
    def complete(self) -> bool:
        """Every message was accepted, and none is missing."""
        return 0 < self.accepted == self.outcomes.total() and self.kept_up and self.silent_since is None

    def stop(self, reason: str) -> None:
        """Begin nothing more; what is under way is awaited."""
        self.stopped = self.stopped or reason
        self._end = min(self._end, self._passed())
        self._pool.stop()

    def percentile(self, percent: float) -> float | None:
        """The latency in seconds that so many of a hundred stay within; None where there were none."""
        return _seconds_at(self.latency, percent) or None

    async def run(self, messages: MessageSource) -> None:
        """Send until the time is over.

        Args:
            messages: Where they come from.

        Raises:
            RunError: The server is gone, or refuses the sender.
        """
        failure: RunError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._feed, messages)
                tasks.start_soon(self._watch_time)
                try:
                    await self._pool.run()
                except RunError as error:
                    failure = error
                    self.stop(error.message)
                tasks.cancel_scope.cancel()
        finally:
            self._end_slice()
            self._count_unsent()
        if failure is not None:
            raise failure

    async def _feed(self, messages: MessageSource) -> None:
        """Hand messages over when they are due; one for each session has opened these before the time begins."""
        opening = list(messages.make(self.point.connections))
        self._first = messages.made + 1
        await self._pool.put(opening)
        await self._open.wait()
        source = messages.make(None)
        while not self._pool.stopping:
            wanted = _BATCH
            if self.rate is not None:
                passed = self._passed()
                wanted = min(wanted, self._due_by(passed) - self._handed_over)
                if wanted <= 0:
                    await anyio.sleep(max(_TICK, self._handed_over / self.rate - passed))
                    continue
            batch = [next(source) for _ in range(wanted)]
            self._handed_over += len(batch)
            await self._pool.put(batch)

    async def _watch_time(self) -> None:
        """End the slices, each at its time, and the sending; whoever hands messages over may be waiting for room."""
        with anyio.move_on_after(LONGEST_OPENING):
            await self._open.wait()
        if not self._open.is_set():
            self.stop(f"the sessions were not open after {LONGEST_OPENING:g} s")
            return
        for number in count(1):
            if (passed := self._passed()) >= self._end:
                break
            await anyio.sleep(min(number * self._length, self._end) - passed)
            self._end_slice()
        self._pool.stop()
        await anyio.sleep(self._length)
        self._notice("the time is over, and replies to what is under way are awaited")

    def _passed(self) -> float:
        """Seconds since all sessions were open; 0 before that."""
        return time.perf_counter() - self._began if self._began else 0.0

    def _due_by(self, seconds: float) -> int:
        """How many messages had come due by then: the first one at the beginning."""
        return math.ceil(min(seconds, self._end) * (self.rate or 0.0) - 1e-9)

    def _end_slice(self) -> None:
        """End the slice under way, unless it has only begun, and begin the next."""
        now = self._passed()
        ended = self._slice
        ended.seconds = now - ended.start
        if ended.seconds < self._length / 4:
            return
        ended.percentiles = {percent: _seconds_at(self._slice_latency, percent) for percent in LATENCIES}
        self._slice_latency.reset()
        ended.memory = _memory()
        ended.behind = self.waiting
        self.slices.append(ended)
        self._on_slice(ended)
        self._slice = Slice(now)

    def _count_unsent(self) -> None:
        """Count how long those have waited that were not sent: without them, the longest would be left out.

        Messages are sent in the order in which they come due, so these are the last ones.
        """
        if self.rate is None or not (unsent := self.waiting):
            return
        first, steps = self.due - unsent, min(unsent, _STEPS)
        for step in range(steps):
            begin, end = (first + unsent * number // steps for number in (step, step + 1))
            self._record(self.latency, self._end - (begin + end - 1) / 2 / self.rate, end - begin)

    def _record(self, histogram: HdrHistogram, seconds: float, many: int = 1) -> None:
        histogram.record_value(min(max(1, round(seconds * _MICROSECONDS)), _LONGEST), many)

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
        if result.status is Outcome.ACCEPTED:
            return
        if self.refused is None:
            self.refused = words(result)
        if (limit := own_limit(result)) is not None:
            self.limits.setdefault(limit.verdict, limit)

    def _count(self, record: int, result: DeliveryResult, earlier: DeliveryResult | None) -> None:
        if earlier is not None:
            self.outcomes[earlier.status] -= 1
            self.replies[reply_kind(earlier)] -= 1
        self.outcomes[result.status] += 1
        self.replies[reply_kind(result)] += 1
        if not self._began:
            if earlier is None:
                self._count_opening()
            return
        if earlier is not None or record < self._first:
            return
        self._answered += 1
        latency = result.elapsed if self.rate is None else self._passed() - (record - self._first) / self.rate
        if latency is not None:
            self._record(self._slice_latency, latency)
            self._record(self.latency, latency)
        self._slice.accepted += result.status is Outcome.ACCEPTED

    def _count_opening(self) -> None:
        """One of the messages that open the sessions has its result: with the last one the time begins."""
        self._to_come -= 1
        if self._to_come:
            return
        if self.accepted:
            self._began = time.perf_counter()
            self._open.set()
        else:
            self.stop(f"nothing was accepted: {self.refused}")

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
            "waiting": self.waiting,
            "kept_up": self.kept_up,
            **{name_of(percent): self.percentile(percent) for percent in LATENCIES},
            "limits": [limit.to_json() for limit in self.limits.values()],
            "stopped": self.stopped,
            "slices": [one.to_json() for one in self.slices],
            "drift": self.drift(),
            "histogram": self.latency.encode().decode("ascii"),
        }

    def drift(self) -> dict[str, float | None] | None:
        """How the last quarter of the time differs from the first one after the warm-up; None where it was too short.

        ``latency`` (the median) and ``rate`` (messages a second) are ratios, None where there was nothing in one of the
        quarters. ``grown`` is by how many octets memory has grown in ``seconds``, ``memory`` what that is in an hour;
        these are None where the system does not say.
        """
        # What was awaited after the time is no part of it.
        slices = [one for one in self.slices[1:] if one.start + self._length / 2 <= self._end]
        quarter = len(slices) // 4
        if not quarter:
            return None
        first, last = slices[:quarter], slices[-quarter:]
        seconds = last[-1].start - first[-1].start
        grown = None
        if all(one.memory for one in slices):
            grown = (sum(one.memory for one in last) - sum(one.memory for one in first)) / quarter
        return {
            "latency": _ratio(
                *([one.percentiles[50.0] for one in part if one.percentiles[50.0]] for part in (first, last))
            ),
            "rate": _ratio([one.rate for one in first], [one.rate for one in last]),
            "grown": None if grown is None else round(grown),
            "seconds": round(seconds, 3),
            "memory": None if grown is None else round(grown / seconds * 3600),
        }


def _ratio(before: list[float], after: list[float]) -> float | None:
    """The mean after by that before; None where there was nothing to have one of."""
    return round(fmean(after) / fmean(before), 3) if any(before) and after else None


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
