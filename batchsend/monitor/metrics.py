"""Serves a run's metrics to Prometheus; nothing is counted until somebody asks."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import current_token

from batchsend.errors import UsageError
from batchsend.monitor.sample import Sample
from batchsend.outcome import Outcome
from batchsend.version import __version__, with_extra

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from prometheus_client.core import Metric

    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.run.batch import Batch

_STATES: Final = ("opening", "open", "spare", "sending", "retiring")


@asynccontextmanager
async def serve_metrics(batch: Batch, place: tuple[str, int]) -> AsyncIterator[str]:
    """Serve a run's metrics while the context lasts; yields their URL.

    Args:
        batch: The run.
        place: The IP address and the port; 0 for any free one.

    Raises:
        UsageError: The library is not installed, or address and port cannot be had.
    """
    address, port = place
    shown = f"[{address}]" if ":" in address else address
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "metrics need the library prometheus_client, which is not installed",
            remedy=with_extra("metrics"),
        ) from None
    loop = current_token()
    registry = CollectorRegistry()
    registry.register(_Collector(batch, lambda: anyio.from_thread.run_sync(Sample.take, batch, token=loop)))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        raise UsageError(
            f"metrics on {shown}:{port}: {error.strerror}", remedy="give another port, or 0 for any free one"
        ) from None
    try:
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        # A request that is under way waits for this loop; so the loop must not wait for it.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(server.shutdown)
        thread.join()
        server.server_close()


class _Collector:
    """What `prometheus_client` asks for the metrics, in one of its server's threads.

    Args:
        batch: The run.
        sample: Takes a sample of it, from another thread than its loop's.
    """

    def __init__(self, batch: Batch, sample: Callable[[], Sample]) -> None:
        self._id = batch.id
        self._sample = sample
        self._highest = dict.fromkeys(Outcome, 0)

    def collect(self) -> Iterator[Metric]:
        """All metrics as of now."""
        from prometheus_client.core import (  # noqa: PLC0415 - an extra
            CounterMetricFamily,
            GaugeMetricFamily,
            InfoMetricFamily,
        )

        sample = self._sample()
        run = InfoMetricFamily("batchsend_run", "The run.")
        run.add_metric([], {"id": self._id, "version": __version__})
        yield run
        records = CounterMetricFamily("batchsend_records", "Records by outcome.", labels=["outcome"])
        for outcome in Outcome:
            # An outcome can be taken back. Prometheus would read a counter that falls as a new process's.
            self._highest[outcome] = max(self._highest[outcome], sample.counts[outcome])
            records.add_metric([outcome.value], self._highest[outcome])
        yield records
        yield GaugeMetricFamily("batchsend_waiting", "Deferred records waiting for another attempt.", sample.waiting)
        if sample.progress is not None:
            yield GaugeMetricFamily("batchsend_progress_ratio", "Part of the work that is done.", sample.progress)
        if sample.pool is not None:
            yield from _pool(sample.pool)


def _pool(pool: PoolStatistics) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - an extra

    replies = CounterMetricFamily("batchsend_replies", "Replies that decided a message, by code.", labels=["code"])
    for code, count in sorted(pool.replies.items()):
        replies.add_metric([str(code)], count)
    yield replies
    sessions = GaugeMetricFamily("batchsend_sessions", "Sessions by what they are doing.", labels=["state"])
    for state in _STATES:
        there = sum(session.state.value == state for session in pool.sessions)
        sessions.add_metric([state], pool.opening if state == "opening" else there)
    yield sessions
    yield CounterMetricFamily("batchsend_sessions_opened", "Sessions that were opened.", pool.opened)
    yield GaugeMetricFamily("batchsend_in_flight", "Messages that sessions hold.", pool.in_flight)
    yield GaugeMetricFamily("batchsend_backlog", "Messages that wait for a session.", pool.backlog)
    yield GaugeMetricFamily("batchsend_rate", "Messages accepted a second, over three seconds.", pool.goodput)
    accepted = CounterMetricFamily("batchsend_relay_accepted", "Messages a relay has accepted.", labels=["server"])
    open_now = GaugeMetricFamily("batchsend_relay_sessions", "Sessions open with a relay.", labels=["server"])
    states = GaugeMetricFamily("batchsend_relay_state", "1 for the state of a relay.", labels=["server", "state"])
    quota = GaugeMetricFamily("batchsend_relay_quota_used", "Messages in a quota.", labels=["server", "quota"])
    for relay in pool.relays:
        accepted.add_metric([relay.name], relay.accepted)
        open_now.add_metric([relay.name], relay.sessions)
        states.add_metric([relay.name, relay.state.value], 1)
        for written, used, _ in relay.quotas:
            quota.add_metric([relay.name, written], used)
    yield from (accepted, open_now, states, quota)
    if pool.rate is not None:
        yield GaugeMetricFamily("batchsend_rate_limit", "The most messages a second at present.", pool.rate)
