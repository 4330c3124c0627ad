"""Measures one point of a bench: sends test messages through the pool that sends campaigns, and counts the results."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

import anyio
import msgspec

from batchsend.bench.measurement import Measurement
from batchsend.delivery.account import NullAccount
from batchsend.delivery.pool import Pool
from batchsend.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchsend.bench.gathering import GatheringConnector
    from batchsend.bench.grid import GridPoint
    from batchsend.bench.messages import Messages
    from batchsend.campaign import Delivery
    from batchsend.message import Submission
    from batchsend.outcome import DeliveryResult

_BATCH = 32

LONGEST_SECONDS = 60.0
"""After so long a point is over, whatever is left of its messages: a server may ask for a much slower pace."""


class PointRun(NullAccount):
    """Sends a point's messages, as many as it has sessions to open these first; then the clock starts.

    Args:
        point: How to send.
        connector: Opens the sessions.
        delivery: What else there is to say of how.
        notice: Called with what the server does that no figure tells.

    Attributes:
        measurement: What was measured, counted while it goes on.
    """

    def __init__(
        self,
        point: GridPoint,
        connector: GatheringConnector,
        delivery: Delivery,
        *,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.measurement = Measurement(point)
        self._notice = notice
        self._to_come = point.connections  # results of the messages that open the sessions
        self._open = anyio.Event()
        self._began = 0.0
        delivery = msgspec.structs.replace(delivery, max_connections=point.connections, depth=point.depth)
        connector.gather(point.connections)
        self._pool = Pool([connector], delivery, self, notice=self._take_notice)

    def stop(self) -> None:
        """Begin nothing more; what is under way is awaited."""
        self._pool.stop()

    async def run(self, messages: Messages, count: int) -> None:
        """Send ``count`` messages.

        Raises:
            RunError: The server is gone, or refuses the sender.
        """
        failure: RunError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._feed, messages, count)
                tasks.start_soon(self._end)
                try:
                    await self._pool.run()
                except RunError as error:
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            self.measurement.learned = self._pool.learned
        if failure is not None:
            raise failure

    async def _feed(self, messages: Messages, count: int) -> None:
        opening = self.measurement.point.connections
        await self._pool.put(list(messages.make(opening)))
        await self._open.wait()
        self._began = time.perf_counter()
        for batch in _batches(messages.make(count - opening)):
            if not await self._pool.put(batch):
                return
        self._pool.close()

    async def _end(self) -> None:
        await anyio.sleep(LONGEST_SECONDS)
        self.measurement.cut_short = f"ended after {LONGEST_SECONDS:g} s"
        self._pool.stop()

    # Refusals of the relay's: the pool's notices and what is learned tell of them.

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """Count a result, and time it once the clock has started."""
        del submission
        self._report(result, None)

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """Count a result that takes the place of another."""
        if earlier is not None:
            self._report(result, earlier)

    def _report(self, result: DeliveryResult, earlier: DeliveryResult | None) -> None:
        timed = self._began > 0
        self.measurement.count(result, earlier, timed=timed)
        if timed:
            self.measurement.seconds = time.perf_counter() - self._began
        elif earlier is None:
            self._to_come -= 1
            if not self._to_come:
                self._open.set()

    def _take_notice(self, text: str) -> None:
        self.measurement.notices.append(text)
        self._notice(text)


def _batches(submissions: Iterator[Submission]) -> Iterator[list[Submission]]:
    while batch := list(islice(submissions, _BATCH)):
        yield batch
