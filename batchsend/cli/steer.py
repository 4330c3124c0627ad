"""What a run does when it is told something: by the control socket, and by the keys of the live view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batchsend.campaign import Rate
from batchsend.control.protocol import MAX_CONNECTIONS, ControlAnswer, ControlCommand, rate_of
from batchsend.delivery.statistics import SessionState
from batchsend.monitor.sample import Sample
from batchsend.outcome import Outcome
from batchsend.results.line import timestamp

if TYPE_CHECKING:
    from batchsend.control.protocol import ControlRequest
    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.run.batch import Batch

_STOPS: Final = {"control": "batchsend control", "page": "the page"}
"""Who has stopped a run, in words, by who asked."""

_STEP: Final = 1.25
"""What one press of + or - makes of the rate, or takes of it."""


def obey(batch: Batch, request: ControlRequest, *, by: str = "control") -> ControlAnswer:
    """Do what a request asks for, and say where the run stands then. Only in the thread of its loop.

    Args:
        batch: The run.
        request: What is asked for.
        by: Who asks, for the log.

    Raises:
        RunError: The log cannot be written; the run stops.
    """
    steering = batch.steering
    match request.command:
        case ControlCommand.PAUSE:
            message = steering.pause(by)
        case ControlCommand.CONTINUE:
            message = steering.go_on(by)
        case ControlCommand.RATE:
            message = steering.set_rate(rate_of(str(request.value)), by)
        case ControlCommand.CONNECTIONS:
            message = steering.set_connections(int(request.value or 1), by)
        case ControlCommand.STOP:
            message = steering.stop(_STOPS.get(by, by))
        case _:
            message = "the run is under way"
    return ControlAnswer(ok=True, message=message, status=standing(batch))


def press(batch: Batch, key: str) -> str | None:
    """Do what a key asks for; what it has come to, or None where it asks for nothing.

    ``p`` pauses and goes on, ``+`` and ``-`` change the rate by a quarter or, where there is none, the sessions by one;
    ``q`` ends the run in order.
    """
    steering, by = batch.steering, "key"
    if key == "p":
        return steering.go_on(by) if steering.paused else steering.pause(by)
    if key == "q":
        return steering.stop("the key q")
    if key not in ("+", "-"):
        return None
    if steering.rate is not None:
        per_second = steering.rate.per_second * (_STEP if key == "+" else 1 / _STEP)
        return steering.set_rate(_rounded(per_second), by)
    connections = steering.connections + (1 if key == "+" else -1)
    if not 1 <= connections <= MAX_CONNECTIONS:
        return f"{steering.connections} is as far as it goes"
    return steering.set_connections(connections, by)


def standing(batch: Batch) -> dict[str, Any]:
    """Where a run stands, for programs."""
    sample, steering = Sample.take(batch), batch.steering
    pool = sample.pool
    return {
        "run": batch.id,
        "state": _state(batch),
        "records": sample.records,
        **{outcome.value: sample.counts[outcome] for outcome in Outcome},
        "waiting": sample.waiting,
        "progress": None if sample.progress is None else round(sample.progress, 4),
        "closed_until": None if steering.closed_until is None else timestamp(steering.closed_until),
        "rate": None if steering.rate is None else str(steering.rate),
        "max_connections": steering.connections,
        "sessions": 0 if pool is None else len(pool.sessions),
        "sessions_allowed": sample.max_connections,
        "spare": _in_state(pool, SessionState.SPARE),
        "retiring": _in_state(pool, SessionState.RETIRING),
        "accepted_per_second": 0.0 if pool is None else round(pool.goodput, 1),
        "results": str(batch.campaign.results),
    }


def _in_state(pool: PoolStatistics | None, state: SessionState) -> int:
    return 0 if pool is None else sum(session.state is state for session in pool.sessions)


def _state(batch: Batch) -> str:
    if batch.summary.stopped is not None:
        return "stopping"
    if batch.steering.paused:
        return "paused"
    pool = batch.statistics
    asleep = pool is not None and pool.asleep is not None
    return "waiting" if asleep or batch.steering.closed_until is not None else "sending"


def _rounded(per_second: float) -> Rate:
    """A rate of three digits, by the minute where it is a slow one."""
    if per_second >= 1:
        return Rate(float(f"{per_second:.3g}"), 1)
    return Rate(max(float(f"{per_second * 60:.3g}"), 0.1), 60)
