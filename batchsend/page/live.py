"""What the page of a run shows: looked at once a second, put into words here, and handed to browsers as JSON.

The run is looked at from outside, by the same sample that the live view of a terminal takes; nothing is counted for the
page on the way of a message. All texts are made here: the page's script only puts them in their places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from batchsend import figures
from batchsend.display import one_line
from batchsend.monitor import words
from batchsend.monitor.pace import Pace
from batchsend.monitor.sample import Sample
from batchsend.outcome import Outcome
from batchsend.report import charts
from batchsend.report.timeline import Timeline

if TYPE_CHECKING:
    from batchsend.delivery.statistics import PoolStatistics, RelayStatistics
    from batchsend.run.batch import Batch

EVERY: Final = 1.0
"""Seconds between two looks; who asks in between is told of the last one."""

_MOST_SESSIONS: Final = 60
_MOST_REPLIES: Final = 12


class Live:
    """A run as its page shows it. Only in the thread of its loop.

    Args:
        batch: The run.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._sample = Sample.take(batch)
        self._pace = Pace(self._sample)
        self._speed = self._pace.add(self._sample)
        self._began = self._sample.time
        self._counts = self._sample.counts
        self._timeline = Timeline(EVERY)
        self._encoded: bytes | None = None

    async def run(self) -> None:
        """Look at the run once a second, until cancelled."""
        looks = 0
        while True:
            looks += 1
            # By the clock, not by what the last look has left: each look is to fall into a second of its own.
            await anyio.sleep(max(0.0, self._began + looks * EVERY - Sample.take(self._batch).time))
            self.look()

    def look(self) -> None:
        """Look at the run as it is now."""
        sample = Sample.take(self._batch)
        moment = max(0.0, sample.time - self._began - EVERY / 2)
        for outcome in Outcome:
            # An outcome can be taken back: then another one is counted in its place.
            if (more := sample.counts[outcome] - self._counts[outcome]) > 0:
                self._timeline.add(moment, outcome, more)
        self._counts, self._sample = sample.counts, sample
        self._speed = self._pace.add(sample)
        self._encoded = None

    @property
    def encoded(self) -> bytes:
        """What there is to show, as JSON."""
        if self._encoded is None:
            self._encoded = msgspec.json.encode(self.state())
        return self._encoded

    def state(self) -> dict[str, Any]:
        """What there is to show: every text is safe to show, on one line, and no markup."""
        sample, steering = self._sample, self._batch.steering
        pool = sample.pool
        return {
            "state": _state(sample),
            "notes": [one_line(note) for note in _notes(sample)],
            "share": None if sample.progress is None else words.percentage(sample.progress),
            "said": f"{figures.count(sample.records, 'record')}, {sample.counts[Outcome.ACCEPTED]:,} accepted",
            "outcomes": _outcomes(sample),
            "figures": self._figures(),
            "chart": self._chart(),
            "relays": [] if pool is None else [_relay(relay) for relay in pool.relays],
            "quotas": [] if pool is None else _quotas(pool.quotas),
            "replies": [] if pool is None else _replies(pool),
            "sessions": [] if pool is None else _sessions(pool),
            "sessions_said": words.sessions(sample),
            "paused": sample.is_paused,
            "stopping": sample.stopped is not None,
            "rate": None if steering.rate is None else str(steering.rate),
            "connections": steering.connections,
        }

    def _figures(self) -> list[tuple[str, str, str]]:
        """Name, value, and what is to be said of it in small letters."""
        sample, speed = self._sample, self._speed
        left = words.time_left(speed) if sample.done is None else None
        shown = [
            ("Pace", f"{speed.now:,.0f}/s", f"{speed.overall:,.0f}/s overall"),
            ("Elapsed", figures.duration(speed.elapsed, whole=True), ""),
        ]
        if sample.left is not None:
            shown.append(("Left", f"about {sample.left:,}", left or ""))
        if (done := words.done(sample)) is not None:
            shown.append(("Done", done.removeprefix("done "), "as quotas, windows and pace are"))
        if sample.waiting:
            shown.append(("Deferred", f"{sample.waiting:,}", "wait for another attempt"))
        return shown

    def _chart(self) -> charts.Chart | None:
        attempts = sum(self._counts.values())
        if not attempts:
            return None
        elapsed = self._speed.elapsed
        return charts.throughput(self._timeline, attempts=attempts, elapsed=elapsed)


def _state(sample: Sample) -> str:
    if sample.stopped is not None:
        return "stopping"
    if sample.is_paused:
        return "paused"
    return "sending" if words.waiting(sample) is None else "waiting"


def _notes(sample: Sample) -> list[str]:
    """What keeps the run from going on, or from going faster."""
    if sample.stopped is not None:
        return [f"{sample.stopped}: nothing new is sent, replies are awaited"]
    if (wait := words.waiting(sample)) is not None:
        return [wait]
    why = None if sample.pool is None else words.pressure(sample.pool)
    return [] if why is None else [why]


def _outcomes(sample: Sample) -> list[dict[str, Any]]:
    """Each outcome that there is: its kind, name and count, and its part of all that there is to do, in per cent."""
    whole = max(sample.records, 1)
    if sample.left is not None:
        whole = max(whole, sample.records - sample.waiting + sample.left)
    shown = [outcome for outcome in Outcome if sample.counts[outcome] or outcome is Outcome.ACCEPTED]
    return [
        {
            "kind": outcome.value,
            "name": outcome.label,
            "count": f"{sample.counts[outcome]:,}",
            "part": round(100 * sample.counts[outcome] / whole, 3),
        }
        for outcome in shown
    ]


def _relay(relay: RelayStatistics) -> dict[str, Any]:
    return {
        "name": one_line(relay.name),
        "state": relay.state.value,
        "said": one_line(words.standing(relay)),
        "accepted": f"{relay.accepted:,}",
        "pace": f"{relay.goodput:,.0f}/s",
        "sessions": f"{relay.sessions:,} of {relay.connections:,}",
        "quotas": _quotas(relay.quotas),
    }


def _quotas(quotas: tuple[tuple[str, int, int], ...]) -> list[dict[str, Any]]:
    return [
        {"said": f"{used:,} of {written}", "part": round(min(100.0, 100 * used / allowed), 2) if allowed else 100.0}
        for written, used, allowed in quotas
    ]


def _replies(pool: PoolStatistics) -> list[tuple[str, str]]:
    """The reply codes that decided most messages."""
    found = sorted(((count, code) for code, count in pool.replies.items() if count), reverse=True)
    return [(str(code), f"{count:,}") for count, code in found[:_MOST_REPLIES]]


def _sessions(pool: PoolStatistics) -> list[dict[str, Any]]:
    return [
        {
            "number": session.number,
            "state": session.state.value,
            "said": f"{session.messages:,} of {session.max_messages:,}",
            "part": round(100 * min(1.0, session.messages / max(session.max_messages, 1)), 2),
        }
        for session in pool.sessions[:_MOST_SESSIONS]
    ]
