"""A whole bench of one server: asks what it offers, then measures point after point until it has had enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from batchsend import figures
from batchsend.bench.grid import GridPoint, allot, fewest
from batchsend.bench.measure import PointRun
from batchsend.bench.probe import Probe, probe
from batchsend.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.bench.gathering import GatheringConnector
    from batchsend.bench.measurement import Measurement
    from batchsend.bench.messages import Messages
    from batchsend.campaign import Delivery
    from batchsend.smtp.extensions import Extensions


class Bench:
    """One bench of one server.

    Args:
        connector: Opens its sessions.
        delivery: What holds at every point: rotation, rate, time-outs.
        grid: The points to measure, in this order; where the server offers no CHUNKING, those of depth 1 only.
        messages: Makes the messages.
        total: How many there may be in all.
        notice: Called with what the server does that no figure tells, one line each.
        on_probe: Called with what one session tells of the server, before the first point.
        on_measurement: Called with each point's measurement once it is complete.

    Attributes:
        probe: What one session told of the server, or None before it was asked.
        measurements: What was measured, point by point.
        stopped: Why not every point was measured, or None.

    Raises:
        UsageError: There are not enough messages for all points.
    """

    def __init__(
        self,
        connector: GatheringConnector,
        delivery: Delivery,
        grid: Sequence[GridPoint],
        messages: Messages,
        total: int,
        *,
        notice: Callable[[str], None] = lambda _: None,
        on_probe: Callable[[Probe], None] = lambda _: None,
        on_measurement: Callable[[Measurement], None] = lambda _: None,
    ) -> None:
        if total < fewest(grid):
            raise UsageError(
                f"{total:,} messages are too few for {figures.count(len(grid), 'point')} with up to "
                f"{max(point.connections for point in grid)} connections",
                remedy=f"give --messages {fewest(grid)} or more, or fewer --max-connections and --depth",
            )
        self.probe: Probe | None = None
        self.measurements: list[Measurement] = []
        self.stopped: str | None = None
        self._connector = connector
        self._delivery = delivery
        self._grid = grid
        self._messages = messages
        self._total = total
        self._notice = notice
        self._on_probe = on_probe
        self._on_measurement = on_measurement
        self._asking = anyio.CancelScope()
        self._running: PointRun | None = None

    @property
    def complete(self) -> bool:
        """Something was measured, and every message was accepted."""
        return bool(self.measurements) and all(one.accepted == one.messages for one in self.measurements)

    def stop(self, reason: str) -> None:
        """Send nothing more; what is under way is awaited, and `run` then returns."""
        self.stopped = self.stopped or reason
        self._asking.cancel()
        if self._running is not None:
            self._running.stop()

    async def run(self) -> None:
        """Ask the server what it offers, then measure every point, or as many as it takes.

        Raises:
            RunError: The server cannot be reached, or refuses the sender. What was measured until then is kept.
        """
        with self._asking:
            self.probe = await probe(self._connector, self._delivery.timeouts)
        if self.probe is None:
            return
        self._on_probe(self.probe)
        await self._measure_points(self.probe.extensions)

    async def _measure_points(self, offered: Extensions) -> None:
        grid = self._grid
        if not (offered.chunking and offered.pipelining):
            grid = list(dict.fromkeys(GridPoint(point.connections, 1) for point in grid))
        for point, count in zip(grid, allot(self._total, grid), strict=True):
            if self.stopped is not None:
                return
            self._running = running = PointRun(point, self._connector, self._delivery, notice=self._notice)
            self.measurements.append(measurement := running.measurement)
            try:
                await running.run(self._messages, count)
            finally:
                self._running = None
                self._on_measurement(measurement)
            if not measurement.accepted:
                self.stop(f"at {point} nothing was accepted")
            elif measurement.throttled:
                self.stop(f"at {point} the server asked for less")
