"""What a bench measures: points, each a number of connections and a depth, and how many messages each point gets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from batchsend import figures
from batchsend.bench.interval import FEWEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROUNDS: Final = 5
"""How often a point is visited, where there are messages enough."""

_A_FEW: Final = 5


class GridPoint(NamedTuple):
    """One way of sending.

    Attributes:
        connections: Sessions open at once.
        depth: Transactions of one session that may be unanswered at once.
    """

    connections: int
    depth: int

    @property
    def in_flight(self) -> int:
        """How many messages may be unanswered at once, all sessions together."""
        return self.connections * self.depth

    def __str__(self) -> str:
        return f"{figures.count(self.connections, 'connection')} at depth {self.depth}"


def all_points(connections: Iterable[int], depths: Iterable[int]) -> list[GridPoint]:
    """Every combination once, from the gentlest to the one that asks most of the server."""
    grid = {GridPoint(number, depth) for number in connections for depth in depths}
    return sorted(grid, key=lambda point: (point.connections, point.depth))


def fewest(grid: Sequence[GridPoint]) -> int:
    """The fewest messages that all points can be measured with: at each, one to open each session, and one to time."""
    return sum(point.connections + 1 for point in grid)


class VisitPlan(NamedTuple):
    """How a bench goes about its grid.

    Attributes:
        rounds: How many times each point is visited.
        messages: How many each of its visits may send, by point; None where there is no bound.
    """

    rounds: int
    messages: list[int] | None


def plan(messages: int | None, grid: Sequence[GridPoint]) -> VisitPlan:
    """Divide the messages among visits of the points.

    Each point is visited several times, and between two visits are those of the others: what the machine or the server
    is busy with meanwhile then meets all of them alike, and how the visits differ says how sure the figure is. Where
    there are few messages, fewer visits: in each, every session sends one to open and one to be timed, and a few more.

    Args:
        messages: How many there may be in all, at least `fewest`; None: as many as there is time for.
        grid: The points.
    """
    if messages is None:
        return VisitPlan(ROUNDS, None)
    useful = sum(2 * point.connections + _A_FEW for point in grid)
    rounds = next((rounds for rounds in range(ROUNDS, FEWEST - 1, -1) if messages >= rounds * useful), 1)
    return VisitPlan(rounds, allot(messages // rounds, grid))


def allot(messages: int, grid: Sequence[GridPoint]) -> list[int]:
    """Divide a round's messages among the points: what opens their sessions first, the rest by what each can take.

    A point's part of the rest grows with the square root of what it has in flight: in proportion to that, the first
    point would have nothing to measure; in equal parts, the last one would be over before all its sessions are at work.

    Args:
        messages: How many there are in the round; at least `fewest`.
        grid: The points.

    Returns:
        How many each point gets, what opens its sessions included; in all at most ``messages``.
    """
    rest = messages - fewest(grid)
    weights = [math.sqrt(point.in_flight) for point in grid]
    return [
        point.connections + 1 + math.floor(rest * (weight / sum(weights)))
        for point, weight in zip(grid, weights, strict=True)
    ]
