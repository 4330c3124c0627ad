"""Spans and metrics for OpenTelemetry, where the program has imported it; nothing at all where it has not.

Spans, each a client's, with what the semantic conventions for messaging name, and never an address:

- ``send``: one call of `Sender.send_message`, `send_all` or `send`, with its outcomes; an error where one is none.
- ``batchsend run``: one run of a campaign.

Metrics are observed when somebody collects them, from `PoolStatistics`, on the loop that the pool belongs to, so that
nothing is done for them while messages are sent. See ``_INSTRUMENTS``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from concurrent.futures import Future, TimeoutError  # noqa: A004 - of 3.10 and before; the same since
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import Span

    from batchsend.campaign import Server
    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.outcome import Outcome

_PATIENCE: Final = 1.0
"""Seconds that whoever collects waits for a loop that is busy; it then hears nothing of that pool this time."""


class Watched(Protocol):
    """What has figures: a sender or a run."""

    @property
    def statistics(self) -> PoolStatistics | None:
        """Its pool as it is now."""


class _Figure(NamedTuple):
    """What is observed: further attributes, and the value."""

    attributes: dict[str, str | int]
    value: float


def _states(now: PoolStatistics) -> Iterator[_Figure]:
    for state, count in Counter(session.state.value for session in now.sessions).items():
        yield _Figure({"batchsend.session.state": state}, count)
    yield _Figure({"batchsend.session.state": "opening"}, now.opening)


def _replies(now: PoolStatistics) -> Iterator[_Figure]:
    for code, count in now.replies.items():
        yield _Figure({"batchsend.reply_code": code}, count)


_INSTRUMENTS: Final[tuple[tuple[str, str, str, str, Callable[[PoolStatistics], Iterable[_Figure]]], ...]] = (
    ("gauge", "batchsend.sessions", "{session}", "Sessions, by what they do", _states),
    ("gauge", "batchsend.in_flight", "{message}", "Messages that sessions hold", lambda n: [_Figure({}, n.in_flight)]),
    ("gauge", "batchsend.backlog", "{message}", "Messages that wait", lambda n: [_Figure({}, n.backlog)]),
    ("gauge", "batchsend.goodput", "{message}/s", "Messages accepted a second", lambda n: [_Figure({}, n.goodput)]),
    ("counter", "batchsend.replies", "{message}", "Messages decided, by reply code", _replies),
    ("counter", "batchsend.opened", "{session}", "Sessions opened", lambda n: [_Figure({}, n.opened)]),
)


class Telemetry:
    """The process's tracer and its instruments."""

    def __init__(self) -> None:
        # Imported here, so that who has it not can do without.
        from opentelemetry import metrics, trace  # noqa: PLC0415

        self._trace, self._metrics = trace, metrics
        self._tracer = trace.get_tracer("batchsend", __version__)
        self._watched: WeakKeyDictionary[Watched, tuple[asyncio.AbstractEventLoop, dict[str, str | int]]]
        self._watched = WeakKeyDictionary()
        self._ended: Counter[tuple[str, frozenset[tuple[str, str | int]]]] = Counter()
        meter = metrics.get_meter("batchsend", __version__)
        for kind, name, unit, description, figures in _INSTRUMENTS:
            make = meter.create_observable_gauge if kind == "gauge" else meter.create_observable_counter
            make(name, callbacks=[self._observer(kind, name, figures)], unit=unit, description=description)

    # --- metrics ------------------------------------------------------------------------------------------------------

    def watch(self, source: Watched, server: Server) -> None:
        """Observe the figures of something that belongs to the running loop, until `ended`."""
        self._watched[source] = asyncio.get_running_loop(), place(server)

    def pool_ended(self, source: Watched, last: PoolStatistics) -> None:
        """A pool of a source is over: what it has counted is added to that of its next one."""
        if source not in self._watched:
            return
        _, where = self._watched[source]
        for kind, name, _, _, figures in _INSTRUMENTS:
            if kind == "counter":
                for attributes, value in figures(last):
                    self._ended[name, frozenset({**where, **attributes}.items())] += int(value)

    def ended(self, source: Watched) -> None:
        """There is nothing to observe any more."""
        self._watched.pop(source, None)

    def forget(self) -> None:
        """In a child process, after a fork: what there is to observe is the parent's, and so is what it has counted."""
        self._watched = WeakKeyDictionary()
        self._ended = Counter()

    def _observer(
        self, kind: str, name: str, figures: Callable[[PoolStatistics], Iterable[_Figure]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            found: Counter[frozenset[tuple[str, str | int]]] = Counter()
            if kind == "counter":
                found.update({key: count for (of, key), count in self._ended.items() if of == name})
            for source, (loop, where) in list(self._watched.items()):
                if (now := _statistics(source, loop)) is not None:
                    for attributes, value in figures(now):
                        found[frozenset({**where, **attributes}.items())] += value  # type: ignore[assignment]
            return [self._metrics.Observation(value, dict(key)) for key, value in found.items()]

        return observe

    # --- spans --------------------------------------------------------------------------------------------------------

    def sending(self, server: Server, message_id: str | None = None, *, is_batch: bool) -> CallSpan:
        """Begin the span of a call that sends; ``is_batch`` says whether it takes any number of messages."""
        about = {"messaging.system": "smtp", "messaging.operation.name": "send", "messaging.operation.type": "send"}
        attributes = {**about, **place(server)}
        if message_id is not None:
            attributes["messaging.message.id"] = message_id
        return CallSpan(self._begin("send", attributes), self._trace, is_batch=is_batch)

    def running(self, server: Server, run: str) -> CallSpan:
        """Begin the span of a run."""
        return CallSpan(
            self._begin("batchsend run", {"batchsend.run": run, **place(server)}), self._trace, is_batch=True
        )

    def _begin(self, name: str, attributes: Mapping[str, str | int]) -> Span:
        return self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT, attributes=dict(attributes))


class CallSpan:
    """A span that is under way, and what has come of its messages so far.

    Args:
        span: The span.
        api: ``opentelemetry.trace``.
        is_batch: Whether its messages are counted, which OpenTelemetry's conventions want of calls for several alone.

    Attributes:
        counts: The outcomes.
        codes: The last reply code of each outcome.
    """

    def __init__(self, span: Span, api: Any, *, is_batch: bool) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.codes: dict[Outcome, int] = {}
        self._span = span
        self._api = api
        self._is_batch = is_batch

    def note(self, status: Outcome, code: int | None) -> None:
        """A message has an outcome."""
        self.counts[status] += 1
        if code is not None:
            self.codes[status] = code

    def end(self, error: BaseException | None = None) -> None:
        """It is over; with ``error`` if that has ended it."""
        span, status = self._span, self._api.Status
        if self._is_batch:
            span.set_attribute("messaging.batch.message_count", self.counts.total())
        for outcome, count in self.counts.items():
            span.set_attribute(f"batchsend.{outcome.value}", count)
        failed = [outcome for outcome in self.counts if outcome.is_failure]
        if error is not None:
            span.record_exception(error)
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(status(self._api.StatusCode.ERROR, type(error).__qualname__))
        elif failed:
            first = failed[0]
            span.set_attribute("error.type", first.value)
            if first in self.codes:
                span.set_attribute("batchsend.reply_code", self.codes[first])
            span.set_status(status(self._api.StatusCode.ERROR, ", ".join(outcome.label for outcome in failed)))
        span.end()


def telemetry() -> Telemetry | None:
    """What spans and metrics go to; None where the program has not imported ``opentelemetry``."""
    return _of_the_process() if sys.modules.get("opentelemetry") is not None else None


@cache
def _of_the_process() -> Telemetry | None:
    try:
        return Telemetry()
    except ImportError:  # another package of that name space is there, and the API is not
        return None


def _after_fork() -> None:
    if _of_the_process.cache_info().currsize and (made := _of_the_process()) is not None:
        made.forget()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def observed(source: Watched, server: Server, run: str, counts: Mapping[Outcome, int]) -> Iterator[None]:
    """Tell OpenTelemetry of a run while the context lasts.

    Args:
        source: What has its figures.
        server: The first relay.
        run: The run's identity.
        counts: What its records have come to, when it is over.
    """
    told = telemetry()
    if told is None:
        yield
        return
    span = told.running(server, run)
    told.watch(source, server)
    error: BaseException | None = None
    try:
        yield
    except BaseException as failure:
        error = failure
        raise
    finally:
        if (last := source.statistics) is not None:
            told.pool_ended(source, last)
        told.ended(source)
        span.counts.update({outcome: count for outcome, count in counts.items() if count > 0})
        span.end(error)


def place(server: Server) -> dict[str, str | int]:
    """A server as the semantic conventions name it."""
    named: dict[str, str | int] = {"server.address": server.host}
    if server.port is not None:
        named["server.port"] = server.port
    return named


def _statistics(source: Watched, loop: asyncio.AbstractEventLoop) -> PoolStatistics | None:
    """The figures of a source, asked on its own loop, which may be another thread's."""
    try:
        if asyncio.get_running_loop() is loop:
            return source.statistics
    except RuntimeError:
        pass  # no loop runs here
    answer: Future[PoolStatistics | None] = Future()

    def ask() -> None:
        try:
            answer.set_result(source.statistics)
        except Exception as error:
            answer.set_exception(error)

    try:
        loop.call_soon_threadsafe(ask)
        return answer.result(_PATIENCE)
    except (RuntimeError, TimeoutError):  # the loop is closed, or has no time
        return None
