"""What a bench's measurements mean for a campaign: which `max_connections`, `depth` and `rate` to set, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchsend import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batchsend.bench.grid import GridPoint
    from batchsend.bench.measurement import Measurement
    from batchsend.bench.probe import Probe

_GOOD_ENOUGH = 0.9
"""What a point must reach of the fastest one's rate to be preferred for having less in flight."""

_NO_DISTANCE = 0.001
"""A round trip, in seconds, below which a server is no distance away."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation.

    Attributes:
        point: What to set ``max_connections`` and ``depth`` to, or None where nothing was accepted.
        times: How many times as fast that is as what is set now; None where that was not measured.
        rate: The rate to stay within, in messages a second, where the server asked for less; otherwise None.
        sentences: Why, and what it costs; for people.
    """

    point: GridPoint | None
    times: float | None
    rate: float | None
    sentences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The advice as a JSON object."""
        return {
            "max_connections": self.point.connections if self.point else None,
            "depth": self.point.depth if self.point else None,
            "times": round(self.times, 2) if self.times is not None else None,
            "rate": self.rate,
            "sentences": list(self.sentences),
        }


def advise(measurements: Sequence[Measurement], probe: Probe, now: GridPoint) -> Advice:
    """Choose the point that asks least of the server among those that are about as fast as the fastest.

    Args:
        measurements: What was measured.
        probe: What one session told of the server.
        now: How a campaign is sent if nothing is changed.
    """
    useful = [one for one in measurements if one.rate > 0]
    if not useful:
        return Advice(None, None, None, (f"{_distance(probe)}: nothing was accepted, so there is nothing to advise",))
    best = max(one.rate for one in useful)
    chosen = min(
        (one for one in useful if one.rate >= _GOOD_ENOUGH * best), key=lambda one: (one.point.in_flight, one.point)
    )
    present = next((one for one in useful if one.point == now), None)
    times = chosen.rate / present.rate if present is not None else None
    slowed = [one.learned["rate"] for one in measurements if "rate" in one.learned]
    rate = min(slowed) if slowed else None
    sentences = (*_comparison(chosen, present, now, times, probe), *_price(chosen.point, probe), *_limits(measurements))
    return Advice(chosen.point, times, rate, sentences)


def _comparison(
    chosen: Measurement, present: Measurement | None, now: GridPoint, times: float | None, probe: Probe
) -> Iterator[str]:
    away = _distance(probe)
    if present is None or times is None:
        yield f"{away}; {chosen.point} sent {chosen.rate:,.0f}/s, and nothing measured was clearly faster"
    elif chosen is present:
        yield f"{away}; {now}, as it is now, sent {chosen.rate:,.0f}/s, and nothing measured was clearly faster"
    elif times < 1:
        yield f"{away}; {chosen.point} sent {chosen.rate:,.0f}/s: nearly as fast as now, {now}, with less in flight"
    else:
        shown = f"{times:.0f}" if times >= 10 else f"{times:.1f}"
        yield f"{away}; {chosen.point} would send {shown} times as fast as now, {now}: {chosen.rate:,.0f}/s"
    if chosen is not present:
        yield f"in [delivery]: max_connections = {chosen.point.connections}, depth = {chosen.point.depth}"


def _price(point: GridPoint, probe: Probe) -> Iterator[str]:
    if point.depth > 1:
        yield f"the price: a connection that is lost leaves up to {point.depth} messages in doubt instead of 1"
    if not probe.extensions.pipelining:
        yield "the server offers no PIPELINING: each message costs four round trips, and only more connections help"
    elif not probe.extensions.chunking:
        yield "the server offers no CHUNKING: a depth above 1 changes nothing here"


def _limits(measurements: Sequence[Measurement]) -> Iterator[str]:
    for one in measurements:
        learned = one.learned
        if "rate" in learned:
            yield f'at {one.point} the server asked for a slower pace: rate = "{learned["rate"]:g}/s" stays within it'
        if "max_connections" in learned:
            yield f"at {one.point} the server allowed {learned['max_connections']:g} connections"
        if "max_messages" in learned:
            yield f"the server ends a session after {learned['max_messages']:g} messages: set max_messages to that"
            return


def _distance(probe: Probe) -> str:
    if probe.round_trip < _NO_DISTANCE:
        return "less than 1 ms away"
    return f"{figures.latency(probe.round_trip)} away"
