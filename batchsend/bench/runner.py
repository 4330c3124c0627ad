"""A whole bench of one server: asks what it offers, then visits the points in turns until it has had enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import anyio

from batchsend import figures
from batchsend.bench.grid import ROUNDS, GridPoint, fewest, plan
from batchsend.bench.interval import FEWEST
from batchsend.bench.measurement import Measurement
from batchsend.bench.pace import PaceSearch
from batchsend.bench.probe import Probe, probe
from batchsend.bench.visit import WARM_UP, Visit
from batchsend.delivery.quota import Meters
from batchsend.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchsend.bench.gathering import GatheringConnector
    from batchsend.bench.messages import MessageSource
    from batchsend.campaign import Delivery
    from batchsend.smtp.extensions import Extensions

_MORE_VISITS: Final = 8
"""How often points that are not told apart are visited once more, at most."""

_PACE_SECONDS: Final = 4.0
"""How long a pace is tried, after the warm-up.

Servers count messages in periods of a second, which may be two: Postfix's anvil begins anew when more than a second is
over in whole ones. A period that began before may let a visit's first messages pass, and the next must fit in whole.
"""

_SEARCHED_SECONDS: Final = 55.0
"""Seconds of sending that are enough to find the pace of a server that asks for less."""

_CLEARING: Final = 1.5
"""Seconds between two paces, for the server's own count to run out."""


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
        undecided: Says which points are to be visited again, because what was measured does not tell them apart.

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
        undecided: Callable[[Sequence[Measurement]], Sequence[Measurement]] = lambda _: (),
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
        self._meters = Meters([connector.server], tuple(delivery.quota))
        self._grid = list(grid)
        self._messages = messages
        self._total = total
        self._seconds = seconds
        self._notice = notice
        self._on_probe = on_probe
        self._on_round = on_round
        self._undecided = undecided
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
        guesses = await self._measure_grid(grid)
        await self._measure_undecided()
        for place, guess in guesses.items():
            if self.stopped is None:
                await self._find_pace(self.measurements[place], guess)

    async def _measure_grid(self, grid: Sequence[GridPoint]) -> dict[int, float]:
        """Visit the points in turns, as many as the server takes.

        Returns:
            Those whose pace is to be looked for, by their places in the grid: messages a second to begin with.
        """
        rounds, messages = plan(self._total, grid)
        counts: list[int | None] = [None] * len(grid) if messages is None else [*messages]
        places = list(range(len(grid)))
        guesses: dict[int, float] = {}
        for number in range(1, rounds + 1):
            self._on_round(number, rounds)
            # The first round goes from the gentlest to where the server has had enough; the later ones to and fro.
            for place in places if number % 2 else places[::-1]:
                if place not in places:
                    continue
                if number == 1:
                    self.measurements.append(Measurement(grid[place]))
                measurement = self.measurements[place]
                before = measurement.accepted
                visit = await self._visit(measurement, counts[place], self._seconds / rounds)
                if not self._may_go_on(measurement, took=measurement.accepted - before):
                    return {}
                if measurement.throttled and self.limited is None:
                    self.limited = f"at {measurement.point} the server asked for less: nothing beyond that was tried"
                    # With fewer sessions than the point has, it is not measured: another point has as many.
                    beyond = place if "max_connections" in measurement.learned and place else place + 1
                    places = [other for other in places if other < beyond]
                if "rate" in measurement.learned and self._have(_SEARCHED_SECONDS * visit.best_second):
                    # How fast it is while it is told to slow down says little: its pace is looked for in the end.
                    guesses[place] = float(visit.best_second)
                    places = [other for other in places if other != place]
        return guesses

    def _may_go_on(self, measurement: Measurement, took: int) -> bool:
        """Whether there is to be another visit after one of this point, in which the server took so many messages.

        Raises:
            RunError: The server refuses the sender.
        """
        if self.stopped is not None:
            return False
        if not measurement.accepted and measurement.sender_refused is not None:
            said, remedy = measurement.sender_refused
            raise RunError(f"the sender is refused: {said}", remedy=remedy)
        if not took:
            why = f": {measurement.refused}" if measurement.refused else ""
            self.stop(f"at {measurement.point} nothing was accepted{why}")
            return False
        return True

    async def _measure_undecided(self) -> None:
        """Visit again, up to eight times, the points that what was measured does not tell apart."""
        for _ in range(_MORE_VISITS):
            undecided = self._undecided(self.measurements)
            for measurement in undecided:
                wanted = measurement.rate * self._seconds / ROUNDS
                if self.stopped is not None or not self._have(wanted):
                    return
                await self._visit(measurement, self._left, self._seconds / ROUNDS)
            if not undecided:
                return

    async def _find_pace(self, measurement: Measurement, guess: float) -> None:
        """Find the fastest pace at which the server asks for nothing, and measure that in place of what there is."""
        trial, sure = Measurement(measurement.point), Measurement(measurement.point)
        try:
            search = await self._search(trial, guess)
            while search is not None and len(sure.visits) < FEWEST:
                visit = await self._paced(sure, search.advised)
                if visit is None or visit.timed is None:
                    return
                if "rate" in visit.learned:
                    search.lower()
                    trial.add_count(sure)
                    sure = Measurement(measurement.point)
                    if not search.advised:
                        return
        finally:
            measurement.add_count(trial)
            measurement.add_count(sure)
        if search is not None:
            measurement.visits, measurement.latencies = sure.visits, sure.latencies
            measurement.learned["rate"] = round(search.advised, 1)
            measurement.pace_found = True

    async def _search(self, trial: Measurement, first: float) -> PaceSearch | None:
        """Try paces, beginning with this one; None where none is found, or no more is to be sent."""
        search = PaceSearch(first)
        while not search.is_over:
            if (visit := await self._paced(trial, search.wanted)) is None:
                return None
            if "rate" in visit.learned:
                search.refuse(learned=visit.learned["rate"])
            else:
                search.take(reached=visit.timed.rate if visit.timed else 0.0)
        return search if search.advised else None

    async def _paced(self, measurement: Measurement, pace: float) -> Visit | None:
        """Visit a point at a pace; None where there are not enough messages left for it, or no more are to be sent."""
        seconds = max(_PACE_SECONDS, self._seconds / ROUNDS)
        wanted = pace * (seconds + WARM_UP) + measurement.point.in_flight
        await anyio.sleep(_CLEARING)
        if self.stopped is not None or not self._have(wanted):
            return None
        visit = await self._visit(measurement, None if self._left is None else math.ceil(wanted), seconds, pace)
        return None if self._is_stopped else visit

    @property
    def _is_stopped(self) -> bool:
        return self.stopped is not None

    @property
    def _left(self) -> int | None:
        """How many messages may be sent yet; None for as many as there is time for."""
        return None if self._total is None else self._total - self._messages.made

    def _have(self, messages: float) -> bool:
        left = self._left
        return left is None or left >= messages

    async def _visit(
        self, measurement: Measurement, count: int | None, seconds: float, pace: float | None = None
    ) -> Visit:
        self._running = visit = Visit(
            measurement, self._connector, self._delivery, pace=pace, meters=self._meters, notice=self._notice
        )
        try:
            await visit.run(self._messages, count, seconds)
        finally:
            self._running = None
        return visit
