"""A sample of a run in words: one line for a log, and the phrases that the live view shares with it."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

from batchsend import figures
from batchsend.delivery.statistics import RelayState
from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchsend.delivery.statistics import PoolStatistics, RelayStatistics
    from batchsend.monitor.pace import Speed
    from batchsend.monitor.sample import Sample

_HALF_A_DAY: Final = 43_200
_RELAY_STATES: Final = {
    RelayState.OUT: "out of service",
    RelayState.UNREACHED: "not reached, and tried again",
    RelayState.SLOW: "slow",
}
_STATES: Final = ("sending", "open", "opening", "spare", "retiring")


def time_left(speed: Speed) -> str | None:
    """How long it still takes, or None where that cannot be told."""
    return None if speed.left is None else f"{figures.duration(speed.left, whole=True)} left"


def percentage(progress: float) -> str:
    """How much is done; 100 % only where nothing is left."""
    return f"{int(progress * 100)} %"


def pressure(pool: PoolStatistics) -> str | None:
    """Why it does not go faster, where the server or the campaign limits the rate; None where nothing does."""
    if pool.rate is None:
        return None
    rate = figures.rate(pool.rate)
    if pool.slowdown is None:
        return f"limited to {rate} by the campaign"
    when = time.strftime("%H:%M:%S", time.localtime(pool.slowdown.time))
    return f"slowed to {rate} since {when}: the server said {pool.slowdown.said}"


def waiting(sample: Sample) -> str | None:
    """Why nothing is sent, until when if that is known, and how much is left; None where something is sent.

    How much is left is told by the octets of the list that were read.
    """
    if sample.held is not None:
        return sample.held if sample.left is None else f"{sample.held}, about {sample.left:,} left"
    if sample.pool is None or (asleep := sample.pool.asleep) is None:
        return None
    end = time.localtime(asleep.until + 60)  # rounded up, as a minute to come back at has to be
    when = "%H:%M" if asleep.until - time.time() < _HALF_A_DAY else "%a %H:%M"
    left = ""
    if sample.progress and sample.records:
        left = f", about {round(sample.records * (1 - sample.progress) / sample.progress):,} left"
    why = f"it is {asleep.said}" if asleep.is_ours else f"the server said {asleep.said}"
    return f"quota until {time.strftime(when, end)}{left}: {why}"


def relays(pool: PoolStatistics) -> list[str]:
    """A line about each relay, where there are several or one has a quota of ours; and one about the campaign's."""
    said = []
    if len(pool.relays) > 1 or any(relay.quotas for relay in pool.relays):
        said = [f"  {relay.name}: {_relay(relay)}" for relay in pool.relays]
    if pool.quotas:
        said.append(f"  campaign: {_quotas(pool.quotas)}")
    return said


def _relay(relay: RelayStatistics) -> str:
    parts = [f"accepted {relay.accepted:,}", f"{relay.goodput:,.0f}/s", figures.count(relay.sessions, "session")]
    if relay.quotas:
        parts.append(_quotas(relay.quotas))
    if why := standing(relay):
        parts.append(why)
    return " · ".join(parts)


def standing(relay: RelayStatistics) -> str:
    """Why a relay is not sent to, or less than it could be; ``""`` where it is ready."""
    if relay.until is not None:
        end = time.localtime(relay.until + 60)
        when = "%H:%M" if relay.until - time.time() < _HALF_A_DAY else "%a %H:%M"
        return f"asleep until {time.strftime(when, end)}: {relay.why}"
    return f"{_RELAY_STATES[relay.state]}: {relay.why}" if relay.why else ""


def _quotas(quotas: Iterable[tuple[str, int, int]]) -> str:
    return ", ".join(f"{used:,} of {written}" for written, used, _ in quotas)


def done(sample: Sample) -> str | None:
    """When the campaign will be done, as well as that can be known; None where it cannot."""
    if sample.done is None:
        return None
    moment, now = datetime.fromtimestamp(sample.done), datetime.fromtimestamp(time.time())  # noqa: DTZ006 - as clocks show it here
    return f"done {figures.about(moment, now)}"


def sessions(sample: Sample) -> str:
    """How many sessions there are, and what they are doing."""
    pool = sample.pool
    if pool is None:
        return "no session yet"
    states = Counter(session.state.value for session in pool.sessions)
    states["opening"] = pool.opening
    # More than max_connections where one takes over from another (rotation).
    doing = ", ".join(f"{states[state]:,} {state}" for state in _STATES if states[state])
    said = figures.count(states.total(), "session")
    if pool.connections < sample.max_connections:
        said += f" (the server takes {pool.connections:,} at once)"
    return f"{said}: {doing}" if doing else said


def line(sample: Sample, speed: Speed) -> str:
    """All that matters on one line."""
    parts = [figures.count(sample.records, "record")]
    if sample.progress is not None:
        parts.insert(0, percentage(sample.progress))
    parts += [f"{speed.now:,.0f}/s", *_counted(sample)]
    if (end := done(sample)) is not None:
        parts.append(end)
    if (wait := waiting(sample)) is not None:
        return " · ".join([*parts, wait])
    if end is None and (left := time_left(speed)) is not None:
        parts.append(left)
    if sample.pool is not None and sample.pool.slowdown is not None and (why := pressure(sample.pool)) is not None:
        parts.append(why)
    return " · ".join(parts)


def _counted(sample: Sample) -> list[str]:
    counted = [
        f"{outcome.label} {sample.counts[outcome]:,}"
        for outcome in Outcome
        if sample.counts[outcome] or outcome is Outcome.ACCEPTED
    ]
    return [*counted, f"waiting {sample.waiting:,}"] if sample.waiting else counted
