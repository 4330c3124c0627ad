"""One visit of a bench to one of its points: messages go through the pool that sends campaigns, and are counted."""

from __future__ import annotations

import math
import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from batchsend.bench.measurement import VisitRate
from batchsend.campaign import Rate
from batchsend.delivery.account import NullAccount
from batchsend.delivery.pool import Pool
from batchsend.errors import RunError
from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchsend.bench.gathering import GatheringConnector
    from batchsend.bench.measurement import Measurement
    from batchsend.bench.messages import MessageSource
    from batchsend.campaign import Delivery
    from batchsend.delivery.quota import Meters
    from batchsend.message import Submission
    from batchsend.outcome import DeliveryResult

_BATCH: Final = 32

WARM_UP: Final = 0.5
"""Seconds after the sessions' first replies that are not timed: they all began together, which they never do again."""

WARMING: Final = 0.25
"""The part of a visit's messages that warm it up at most, where there are few."""

STEADY: Final = 10
"""Where the messages end before the time, so many times what may be under way must be timed after the warm-up."""

SETTLING: Final = 5.0
"""Seconds that are timed, where there are so many messages, after the server asked for a slower pace."""

LONGEST_OPENING: Final = 60.0
"""Seconds after which a visit is over whose sessions have not all had a reply: a server may ask for a slow pace."""

_LOOK: Final = 0.05


class Visit(NullAccount):
    """Sends messages at one point: one for each session to open these, some to warm up, and then the clock runs.

    What is timed is the pace while there is always more to send: from the end of the warm-up until the time is over, or
    until the messages are. Of few messages, most were under way when the warm-up ended, and their replies would count
    without the time that they took: there everything is timed, from the hand-over of the first one after those that
    opened the sessions. Where the server asks for a slower pace meanwhile, the clock begins anew: what it took
    before that is not what it takes.

    Args:
        measurement: Of the point; what the visit finds is added to it.
        connector: Opens the sessions.
        delivery: What else there is to say of how.
        pace: Messages a second that are not to be exceeded, beside what ``delivery`` says; None for no such bound.
        meters: What counts the messages of all visits for the quotas; None to count those of this one only.
        notice: Called with what the server does that no figure tells.

    Attributes:
        timed: The pace, once the visit is over; None where nothing was taken while the clock ran.
    """

    def __init__(
        self,
        measurement: Measurement,
        connector: GatheringConnector,
        delivery: Delivery,
        *,
        pace: float | None = None,
        meters: Meters | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.timed: VisitRate | None = None
        self._measurement = measurement
        self._is_free = pace is None  # only where nothing holds it back does it show what the server asks for
        self._notice = notice
        point = measurement.point
        self._to_come = point.connections  # results of the messages that open the sessions
        self._warming: int | None = None  # results that may warm it up yet; None: as many as there is time for
        self._open = anyio.Event()
        self._warm = anyio.Event()
        self._began = 0.0  # of the time that counts; 0 before the sessions are open
        self._last = 0.0
        self._over = False
        self._accepted = 0
        self._latencies: list[float] = []
        self._opened = 0.0
        self._warming_accepted = 0
        self._warming_latencies: list[float] = []
        self._slowed = False
        self._seconds: Counter[int] = Counter()  # messages taken, second by second
        delivery = msgspec.structs.replace(delivery, max_connections=point.connections, depth=point.depth)
        if pace is not None and (delivery.rate is None or delivery.rate.per_second > pace):
            delivery = msgspec.structs.replace(delivery, rate=Rate(pace, 1))
        connector.gather(point.connections)
        self._pool = Pool([connector], delivery, self, notice=self._take_notice, meters=meters)

    @property
    def best_second(self) -> int:
        """The most messages that were taken in a second."""
        return max(self._seconds.values(), default=0)

    @property
    def learned(self) -> dict[str, float]:
        """What the server has shown in this visit, by the name of the option that would set it."""
        return self._pool.learned

    def stop(self) -> None:
        """Begin nothing more; what is under way is awaited."""
        self._pool.stop()

    async def run(self, messages: MessageSource, count: int | None, seconds: float) -> None:
        """Send for some time, or so many messages, whatever is over first.

        Args:
            messages: Where they come from.
            count: How many there may be; None: as many as there is time for.
            seconds: How long is timed.

        Raises:
            RunError: The server is gone, or refuses the sender.
        """
        failure: RunError | None = None
        measurement = self._measurement
        if count is not None:
            self._warming = math.floor(WARMING * (count - measurement.point.connections))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._feed, messages, count)
                tasks.start_soon(self._watch_time, seconds)
                try:
                    await self._pool.run()
                except RunError as error:
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            if self._is_free:
                measurement.learned |= self._pool.learned
            if self._began and self._are_few():
                self._began = self._opened
                self._accepted += self._warming_accepted
                self._latencies += self._warming_latencies
            if self._accepted:
                self.timed = VisitRate(self._accepted, self._last - self._began)
                measurement.visits.append(self.timed)
            measurement.latencies.update(self._latencies)
        if failure is not None:
            raise failure

    def _are_few(self) -> bool:
        """Whether the messages were over so soon that those under way at the end of the warm-up count for much."""
        steady = self._accepted >= STEADY * self._measurement.point.in_flight
        return not (self._over or self._slowed or steady)

    async def _feed(self, messages: MessageSource, count: int | None) -> None:
        opening = self._measurement.point.connections
        await self._pool.put(list(messages.make(opening)))
        await self._open.wait()
        for batch in _batches(messages.make(None if count is None else count - opening)):
            if not await self._pool.put(batch):
                return
        self._pool.close()

    async def _watch_time(self, seconds: float) -> None:
        """Begin the time that counts when the sessions are open and warm, and end it."""
        with anyio.move_on_after(LONGEST_OPENING):
            await self._open.wait()
        if not self._open.is_set():
            self._take_notice(f"the sessions were not open after {LONGEST_OPENING:g} s")
            self._pool.stop()
            return
        with anyio.move_on_after(WARM_UP):
            await self._warm.wait()
        if not self._warm.is_set():
            self._warm.set()
            self._begin()
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            if not self._slowed and "rate" in self._pool.learned:
                self._slowed = True
                end = now + max(seconds, SETTLING)
                self._begin()
            await anyio.sleep(min(_LOOK, end - now))
        self._last = now
        self._over = True
        self._pool.stop()

    def _begin(self) -> None:
        self._began = self._last = time.perf_counter()
        self._accepted = 0
        self._latencies.clear()

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """Count a result, and time it once the clock has started."""
        del submission
        self._report(result, None)

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """Keep what the server said of itself; the pool offers the message again."""
        del submission
        self._measurement.hear(result)

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """Count a result that takes the place of another."""
        if earlier is not None:
            self._report(result, earlier)

    def _report(self, result: DeliveryResult, earlier: DeliveryResult | None) -> None:
        self._measurement.count(result, earlier)
        self._measurement.hear(result)
        if result.status is Outcome.ACCEPTED:
            self._seconds[int(time.perf_counter())] += 1
        if self._began and not self._over:
            self._last = time.perf_counter()
            self._accepted += result.status is Outcome.ACCEPTED
            if earlier is not None:
                self._accepted -= earlier.status is Outcome.ACCEPTED
            elif result.elapsed is not None and result.code is not None:
                self._latencies.append(result.elapsed)
        elif earlier is None and not self._began:
            self._count_before(result)

    def _count_before(self, result: DeliveryResult) -> None:
        """Count a result from before the time that counts: of a message that opens a session, or warms it up."""
        if self._to_come:
            self._to_come -= 1
            if self._to_come:
                return
            self._opened = time.perf_counter()
            self._open.set()
        else:
            self._warming_accepted += result.status is Outcome.ACCEPTED
            if result.elapsed is not None and result.code is not None:
                self._warming_latencies.append(result.elapsed)
            if self._warming is not None:
                self._warming -= 1
        if self._warming is not None and self._warming <= 0:
            self._warm.set()
            self._begin()

    def _take_notice(self, text: str) -> None:
        self._measurement.notices.append(text)
        self._notice(text)


def _batches(submissions: Iterator[Submission]) -> Iterator[list[Submission]]:
    while batch := list(islice(submissions, _BATCH)):
        yield batch
