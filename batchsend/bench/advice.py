"""What a bench's measurements mean for a campaign: which `max_connections`, `depth` and `rate` to set, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batchsend import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batchsend.bench.grid import GridPoint
    from batchsend.bench.measurement import Measurement
    from batchsend.bench.probe import Probe

_GOOD_ENOUGH: Final = 0.95
"""What a point must reach of the fastest one's rate to be preferred for having less in flight."""

_SURE_ENOUGH: Final = 0.1
"""How far an interval may reach to each side, as a part of the rate, for the rate to be called known."""

_LONG_ENOUGH: Final = 2.0
"""Seconds that a point must have been timed, all its visits together, for its figure to be one of campaigns, too."""

_CAMPAIGN: Final = 10_000

_NO_DISTANCE = 0.001
"""A round trip, in seconds, below which a server is no distance away."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation.

    Attributes:
        point: What to set ``max_connections`` and ``depth`` to, which is what is set now where the measurements tell
            nothing that is surely better; None where there is too little to say even that.
        times: How many times as fast that is as what is set now; None where that was not measured.
        rate: The rate to stay within, in messages a second, where the server asked for less; otherwise None.
        expected: The rate to expect of a campaign that is sent as advised, or as it is where nothing is advised.
        sentences: Why, and what it costs; for people.
    """

    point: GridPoint | None
    times: float | None
    rate: float | None
    expected: float | None
    sentences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The advice as a JSON object."""
        return {
            "max_connections": self.point.connections if self.point else None,
            "depth": self.point.depth if self.point else None,
            "times": round(self.times, 2) if self.times is not None else None,
            "rate": self.rate,
            "expected": round(self.expected, 1) if self.expected is not None else None,
            "sentences": list(self.sentences),
        }


def advise(measurements: Sequence[Measurement], probe: Probe, now: GridPoint, records: int = _CAMPAIGN) -> Advice:
    """Choose the point that asks least of the server among those that are as fast as the fastest.

    A change is only advised where the confidence intervals of what is set now and of what is advised do not overlap:
    otherwise the next measurement might say the opposite.

    Args:
        measurements: What was measured.
        probe: What one session told of the server.
        now: How a campaign is sent if nothing is changed.
        records: How many messages the campaign has whose time is told.
    """
    useful = [one for one in measurements if one.rate > 0]
    if not useful:
        return Advice(None, None, None, None, (f"{_distance(probe)}: nothing was accepted, so nothing is advised",))
    # What the server did not allow was measured with fewer sessions than it says.
    useful = [one for one in useful if "max_connections" not in one.learned] or useful
    present = next((one for one in useful if one.point == now), None)
    chosen = _choose(useful, present)
    different = present is None or (chosen is not present and _differ(chosen, present))
    slowed = _slowed(measurements)
    rate = slowed.learned["rate"] if slowed is not None else None
    shown = chosen if different or present is None else present
    expected = shown.rate if rate is None else min(shown.rate, rate)
    times = shown.rate / present.rate if present is not None else None
    sentences = (
        *_comparison(chosen, present, now, probe, different=different),
        *_expectation(shown, expected, records),
        *_price(shown.point, probe),
        *_limits(measurements),
    )
    return Advice(None if _is_unknown(chosen, present) else shown.point, times, rate, expected, sentences)


def undecided(measurements: Sequence[Measurement], now: GridPoint) -> Sequence[Measurement]:
    """The points that are to be measured more often, because what was measured does not say what to advise.

    These are the fastest one, those that may be as fast and the one that would be advised, where they are not well
    known; and that with what is set now, where the two are not told apart. None where the server asked for less: then
    it is the pace that is looked for.

    Args:
        measurements: What was measured.
        now: How a campaign is sent if nothing is changed.
    """
    useful = [one for one in measurements if one.interval is not None and one.rate > 0]
    if not useful or any(one.throttled for one in measurements):
        return ()
    present = next((one for one in useful if one.point == now), None)
    best, chosen = max(useful, key=lambda one: one.rate), _choose(useful, present)
    unsure = [one for one in useful if one is chosen or not _differ(one, best)]
    wanted = [one for one in unsure if one.interval is not None and one.interval.within > _SURE_ENOUGH]
    if present is not None and present.rate < _GOOD_ENOUGH * best.rate and not _differ(chosen, present):
        wanted += [one for one in (chosen, present) if one not in wanted]
    return wanted


def _choose(useful: Sequence[Measurement], present: Measurement | None) -> Measurement:
    """The gentlest of those that are about as fast as the fastest.

    Where what is set now is not among these, it is one that is surely faster than that, if there is one.
    """
    good = _about_as_fast_as_the_fastest(useful)
    if present is not None and present not in good:
        surely = [one for one in useful if one.rate > present.rate and _differ(one, present)]
        good = _about_as_fast_as_the_fastest(surely) or good
    return min(good, key=lambda one: (one.point.in_flight, one.point))


def _about_as_fast_as_the_fastest(measurements: Sequence[Measurement]) -> list[Measurement]:
    best = max((one.rate for one in measurements), default=0.0)
    return [one for one in measurements if one.rate >= _GOOD_ENOUGH * best]


def _differ(one: Measurement, other: Measurement) -> bool:
    """Whether two rates are surely not the same."""
    first, second = one.interval, other.interval
    return first is not None and second is not None and not first.overlaps(second)


def _is_unknown(chosen: Measurement, present: Measurement | None) -> bool:
    """Whether there is neither a figure for what is set now, nor one that is known well enough to advise it."""
    return present is None and chosen.interval is None


def _comparison(
    chosen: Measurement, present: Measurement | None, now: GridPoint, probe: Probe, *, different: bool
) -> Iterator[str]:
    away, sent = _distance(probe), f"{chosen.point} sent {figures.rate(chosen.rate)}"
    if _is_unknown(chosen, present):
        yield f"{away}; {sent}: too little was measured to advise anything"
        return
    if present is None:
        yield f"{away}; {sent}, about as fast as the fastest; there is no figure for what is set now, {now}"
    elif not different:
        yield (
            f"{away}; {now}, as it is now, sent {figures.rate(present.rate)}, and nothing measured was surely more "
            f"than {1 / _GOOD_ENOUGH - 1:.0%} faster"
        )
        return
    elif chosen.rate < present.rate:
        yield f"{away}; {sent}: nearly as fast as now, {now}, with less in flight"
    else:
        times = chosen.rate / present.rate
        shown = f"{times:.0f}" if times >= 10 else f"{times:.1f}"
        yield f"{away}; {chosen.point} would send {shown} times as fast as now, {now}: {figures.rate(chosen.rate)}"
    yield f"in [delivery]: max_connections = {chosen.point.connections}, depth = {chosen.point.depth}"


def _expectation(one: Measurement, expected: float, records: int) -> Iterator[str]:
    """How long a campaign would take, and how sure that is."""
    sure = one.interval
    told = f"so {records:,} messages would take about {figures.duration(records / expected)}"
    if sure is None:
        yield f"{told}, but it was measured too few times to say how sure that is: give more --messages"
    elif one.seconds < _LONG_ENOUGH:
        yield (
            f"{told}, but only {figures.duration(one.seconds)} of sending were timed, and a campaign lasts longer: "
            "give more --messages for a figure that holds for one"
        )
    elif sure.within > _SURE_ENOUGH:
        yield (
            f"{told}, but that is only sure to {sure.within:.0%}: for a better figure give more --messages or --time, "
            f"or measure where less else is going on"
        )
    else:
        most = math.inf if expected == one.rate else expected
        fast, slow = (figures.duration(records / min(rate, most)) for rate in (sure.high, sure.low))
        yield f"{told} ({fast} to {slow}, 95 times of a hundred)" if fast != slow else told


def _price(point: GridPoint, probe: Probe) -> Iterator[str]:
    if point.depth > 1:
        yield f"the price: a connection that is lost leaves up to {point.depth} messages in doubt instead of 1"
    if not probe.extensions.pipelining:
        yield "the server offers no PIPELINING: each message costs four round trips, and only more connections help"
    elif not probe.extensions.chunking:
        yield "the server offers no CHUNKING: a depth above 1 changes nothing here"


def _limits(measurements: Sequence[Measurement]) -> Iterator[str]:
    said = {limit.verdict: (one, limit) for one in reversed(measurements) for limit in one.limits.values()}
    for one, limit in said.values():
        yield f"at {one.point} the server told of {limit}"
    if (slowed := _slowed(measurements)) is not None:
        # What was not looked for is the slowest pace that a session was held to.
        more = ", but it may take far more: give more --messages for the fastest pace to be looked for"
        setting = f'rate = "{slowed.learned["rate"]:g}/s" stays within it{"" if slowed.pace_found else more}'
        yield f"at {slowed.point} the server asked for a slower pace: {setting}"
    for name, sentence in _LEARNED.items():
        found = next((one for one in measurements if name in one.learned), None)
        if found is not None:
            yield sentence.format(point=found.point, value=found.learned[name])


def _slowed(measurements: Sequence[Measurement]) -> Measurement | None:
    """Where the server asked for the slowest pace, of those for which one was looked for; None where it never did."""
    slowed = [one for one in measurements if "rate" in one.learned]
    known = [one for one in slowed if one.pace_found] or slowed
    return min(known, key=lambda one: one.learned["rate"], default=None)


_LEARNED: Final = {
    "max_connections": "at {point} the server allowed {value:g} connections",
    "max_messages": "the server ends a session after {value:g} messages: set max_messages to that",
}


def _distance(probe: Probe) -> str:
    if probe.round_trip < _NO_DISTANCE:
        return "less than 1 ms away"
    return f"{figures.latency(probe.round_trip)} away"
