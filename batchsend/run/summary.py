"""The summary of a run: counted as the outcomes come, shown when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping  # noqa: TC003 - public: its hints are resolved at run time
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - public: its hints are resolved at run time
from types import NoneType
from typing import Any, Final

from batchsend import figures
from batchsend.errors import require
from batchsend.outcome import DeliveryResult, Outcome

MOST_LEFT = 100_000
"""Records beyond a limit that are counted: it takes a fraction of a second."""

_KINDS_SHOWN = 8
_KINDS_KEPT = 1000
_SHOWN = 100
_ACCEPTED: Final = Outcome.ACCEPTED  # looked up once: `batchsend.outcome` says why


@dataclass(slots=True)
class Summary:
    """What became of a run's records.

    A record counts by its last outcome: one that was deferred and then accepted is accepted.

    >>> summary = send("campaign.toml")
    >>> summary.records, summary.complete, summary.stopped
    (2, True, None)

    Attributes:
        results: The results log, or None where none is kept.
        counts: Records by outcome; an outcome that no record has is not there.
        kinds: Refusals by what was said: code, enhanced code and reason, or the reason alone; where there is no reason,
            the server's text without ids and addresses.
        passed_over: Records that ``where`` did not hold for; None where there is none.
        ready: Records that a rehearsal would have sent.
        waiting: Deferred records that wait for their next attempt.
        sessions: Sessions that were used.
        elapsed: Seconds the run has taken.
        stopped: Why the run ended before all records were done, or None.
        learned: What the server has shown it allows, by the name of the option that would set it.
        servers: Records by outcome, by the name of the relay that decided them; empty where there is one relay.
        left: Records that the run was not to take, because it was given a limit; of more than `MOST_LEFT` so many; None
            where that cannot be known.
    """

    results: Path | None = None
    counts: Counter[Outcome] = field(default_factory=Counter)
    kinds: Counter[tuple[Outcome, str]] = field(default_factory=Counter)
    passed_over: int | None = None
    ready: int = 0
    waiting: int = 0
    sessions: int = 0
    elapsed: float = 0.0
    stopped: str | None = None
    learned: dict[str, float] = field(default_factory=dict)
    left: int | None = 0
    servers: dict[str, Counter[Outcome]] = field(default_factory=dict)
    _examples: dict[tuple[Outcome, str], str] = field(default_factory=dict, repr=False)

    def count(self, result: DeliveryResult, earlier: DeliveryResult | None = None) -> None:
        """Count an outcome.

        Args:
            result: The outcome.
            earlier: The record's earlier outcome, whose place this one takes.

        Raises:
            TypeError: One of them is no outcome.
        """
        try:
            server, status = result.server, result.status
            if earlier is not None:
                self._uncount(earlier)
        except AttributeError:  # looked into only then: this is called for each record
            require(result, "result", DeliveryResult)
            require(earlier, "earlier", DeliveryResult, NoneType)
            raise
        if server is not None:
            self.servers.setdefault(server, Counter())[status] += 1
        self.counts[status] += 1
        if result.session is not None and result.session > self.sessions:
            self.sessions = result.session
        if status is not _ACCEPTED:
            self._count_kind(result)

    def _uncount(self, earlier: DeliveryResult) -> None:
        """Count an outcome no more, whose place a later one takes."""
        server = earlier.server
        if server is not None and (decided := self.servers.get(server)) is not None:
            take_one(decided, earlier.status)
            if not decided:
                del self.servers[server]
        take_one(self.counts, earlier.status)
        self._take_back(earlier)

    def _take_back(self, earlier: DeliveryResult) -> None:
        """Count a refusal no more; one that was accepted or waited for another attempt was never counted as one."""
        kind = earlier.status, _said(earlier)[0]
        count = self.kinds.get(kind, 0)
        if count > 1:
            self.kinds[kind] = count - 1
        elif count:
            del self.kinds[kind]
            self._examples.pop(kind, None)

    def _count_kind(self, result: DeliveryResult) -> None:
        """Count a refusal; the first of a kind is kept as it was said, for as long as it is the only one."""
        said, example = _said(result)
        kind = result.status, said
        if kind not in self.kinds:
            if len(self.kinds) >= _KINDS_KEPT:
                return
            self._examples[kind] = example
        else:
            self._examples.pop(kind, None)
        self.kinds[kind] += 1

    def give_up_waiting(self) -> None:
        """The run is over: what waited stays deferred."""
        if self.waiting:
            self.counts[Outcome.DEFERRED] += self.waiting
            self.waiting = 0

    @property
    def records(self) -> int:
        """Records that were dealt with."""
        return self.counts.total() + self.ready + self.waiting

    @property
    def complete(self) -> bool:
        """Every record that was read was accepted or suppressed, and all were read."""
        good = sum(count for outcome, count in self.counts.items() if not outcome.is_failure) + self.ready
        return self.stopped is None and self.records == good

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.elapsed if self.elapsed > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The summary as one JSON object."""
        return {
            "records": self.records,
            **{outcome.value: self.counts[outcome] for outcome in Outcome},
            "sessions": self.sessions,
            "elapsed": round(self.elapsed, 3),
            "rate": round(self.rate, 1),
            "results": str(self.results) if self.results else None,
            "stopped": self.stopped,
            "learned": self.learned,
            "left": self.left,
            **({} if not self.servers else {"servers": by_server(self.servers)}),
            **({} if self.passed_over is None else {"passed_over": self.passed_over}),
        }

    def lines(self) -> Iterator[str]:
        """The summary as plain lines."""
        sessions = f" over {figures.count(self.sessions, 'session')}" if self.sessions else ""
        records, elapsed = figures.count(self.records, "record"), figures.duration(self.elapsed)
        yield f"{records} in {elapsed} ({self.rate:,.0f}/s){sessions}"
        yield "  " + " · ".join(f"{name} {count:,}" for name, count in self._named_counts())
        for name, counts in sorted(self.servers.items()):
            told = " · ".join(f"{outcome.label} {counts[outcome]:,}" for outcome in Outcome if counts[outcome])
            yield f"  through {name}: {told}"
        if self.passed_over is not None:
            yield f"  {self.passed_over:>7,} passed over: where does not hold for them"
        order = list(Outcome)
        kinds = [(kind[0], self._examples.get(kind, kind[1]), count) for kind, count in self.kinds.items()]
        kinds.sort(key=lambda kind: (-kind[2], order.index(kind[0]), kind[1]))
        for outcome, said, count in sorted(kinds[:_KINDS_SHOWN], key=lambda kind: order.index(kind[0])):
            yield f"  {count:>7,} {outcome.value.replace('_', ' ')}: {said}"
        if len(kinds) > _KINDS_SHOWN:
            others = len(kinds) - _KINDS_SHOWN
            yield f"        … and {figures.count(others, 'other kind')}"
        if self.left:
            more = "more than " if self.left >= MOST_LEFT else ""
            yield f"left by --limit: {more}{figures.count(min(self.left, MOST_LEFT), 'record')}"
        if self.learned:
            found = ", ".join(f"{name} = {value}" for name, value in figures.learned(self.learned).items())
            yield f"learned from the server: {found}"
        if self.results is not None:
            yield f"results: {self.results}"

    def _named_counts(self) -> Iterator[tuple[str, int]]:
        if self.ready:
            yield "ready to send", self.ready
        for outcome in Outcome:
            if self.counts[outcome] or (outcome is Outcome.ACCEPTED and not self.ready):
                yield outcome.value.replace("_", " "), self.counts[outcome]


def by_server(servers: Mapping[str, Counter[Outcome]]) -> dict[str, dict[str, int]]:
    """Counts by relay and outcome, as JSON has them."""
    return {
        name: {outcome.value: counts[outcome] for outcome in Outcome if counts[outcome]}
        for name, counts in sorted(servers.items())
    }


def take_one(counts: Counter[Outcome], outcome: Outcome) -> None:
    """Count one record less; a number that comes to 0 is not there."""
    counts[outcome] -= 1
    if not counts[outcome]:
        del counts[outcome]


def _said(result: DeliveryResult) -> tuple[str, str]:
    """What was said, without ids and addresses and with them."""
    if result.code is not None and result.reason:
        said = _shortened(str(result.code), result.enhanced, result.reason)
        return said, said
    from batchsend.report.kinds import kind_of  # noqa: PLC0415 - where something was refused without a known reason

    kind = kind_of(result)
    codes = (str(kind.code), kind.enhanced) if kind.code is not None else ()
    return _shortened(*codes, kind.text), _shortened(*codes, kind.example)


def _shortened(*parts: str | None) -> str:
    said = " ".join(part for part in parts if part).replace("\n", " ")
    return said if len(said) <= _SHOWN else f"{said[: _SHOWN - 1]}…"
