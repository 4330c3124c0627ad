"""A whole bench of one server: asks what it offers, then visits the points in turns until it has had enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from batchsend import figures
from batchsend.bench.grid import GridPoint, fewest, plan
from batchsend.bench.measurement import Measurement
from batchsend.bench.probe import Probe, probe
from batchsend.bench.visit import Visit
from batchsend.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.bench.gathering import GatheringConnector
    from batchsend.bench.messages import MessageSource
    from batchsend.campaign import Delivery
    from batchsend.smtp.extensions import Extensions


class Bench:
    """One bench of one server.

    Args:
        connector: Opens its sessions.
        delivery: What holds at every point: rotation, rate, time-outs.
        grid: The points to measure, the gentlest first; where the server offers no CHUNKING, those of depth 1 only.
        messages: Makes the messages.
        total: How many there may be in all; None: as many as there is time for.
        seconds: How long each point is timed, all its visits together.
        notice: Called with what the server does that no figure tells, one line each.
        on_probe: Called with what one session tells of the server, before the first point.
        on_round: Called before each round, with its number from 1, and how many there are.

    Attributes:
        probe: What one session told of the server, or None before it was asked.
        measurements: What was measured, point by point.
        stopped: Why it ended before its time, or None.
        limited: Why the points that ask more of the server were not measured, or None.

    Raises:
        UsageError: There are not enough messages for all points.
    """

    def __init__(
        self,
        connector: GatheringConnector,
        delivery: Delivery,
        grid: Sequence[GridPoint],
        messages: MessageSource,
        total: int | None,
        *,
        seconds: float,
        notice: Callable[[str], None] = lambda _: None,
        on_probe: Callable[[Probe], None] = lambda _: None,
        on_round: Callable[[int, int], None] = lambda _number, _rounds: None,
    ) -> None:
        if total is not None and total < fewest(grid):
            raise UsageError(
                f"{total:,} messages are too few for {figures.count(len(grid), 'point')} with up to "
                f"{max(point.connections for point in grid)} connections",
                remedy=f"give --messages {fewest(grid)} or more, or fewer --max-connections and --depth",
            )
        self.probe: Probe | None = None
        self.measurements: list[Measurement] = []
        self.stopped: str | None = None
        self.limited: str | None = None
        self._connector = connector
        self._delivery = delivery
        self._grid = list(grid)
        self._messages = messages
        self._total = total
        self._seconds = seconds
        self._notice = notice
        self._on_probe = on_probe
        self._on_round = on_round
        self._asking = anyio.CancelScope()
        self._running: Visit | None = None

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
        rounds, messages = plan(self._total, grid)
        counts: list[int | None] = [None] * len(grid) if messages is None else [*messages]
        places = list(range(len(grid)))
        for number in range(1, rounds + 1):
            self._on_round(number, rounds)
            # The first round goes from the gentlest to where the server has had enough; the later ones to and fro.
            for place in places if number % 2 else places[::-1]:
                if place not in places:
                    continue
                if number == 1:
                    self.measurements.append(Measurement(grid[place]))
                measurement = self.measurements[place]
                await self._visit(measurement, counts[place], self._seconds / rounds)
                if self.stopped is not None:
                    return
                if not measurement.accepted and measurement.sender_refused is not None:
                    said, remedy = measurement.sender_refused
                    raise RunError(f"the sender is refused: {said}", remedy=remedy)
                if not measurement.accepted:
                    self.stop(f"at {measurement.point} nothing was accepted")
                    return
                if measurement.throttled and self.limited is None:
                    self.limited = f"at {measurement.point} the server asked for less: nothing beyond that was tried"
                    # With fewer sessions than the point has, it is not measured: another point has as many.
                    beyond = place if "max_connections" in measurement.learned and place else place + 1
                    places = [other for other in places if other < beyond]

    async def _visit(self, measurement: Measurement, count: int | None, seconds: float) -> None:
        self._running = visit = Visit(measurement, self._connector, self._delivery, notice=self._notice)
        try:
            await visit.run(self._messages, count, seconds)
        finally:
            self._running = None
