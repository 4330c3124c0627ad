"""The report of a campaign as values: the figures that the terminal, the HTML page and the JSON object show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from batchsend.display import one_line
from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchsend.histogram import Histogram
    from batchsend.report.causes import Cause
    from batchsend.report.kinds import Kind
    from batchsend.report.returns import Returns
    from batchsend.report.timeline import Timeline
    from batchsend.results.format import RunLine

QUANTILES: Final = {"median": 0.5, "90 %": 0.9, "99 %": 0.99}
"""The parts of all replies within whose time is told of, by name."""


@dataclass(slots=True)
class RunSpan:
    """One run of the campaign: from its first line to its last.

    Attributes:
        first: What its first line says.
        started: When it began, in seconds since the epoch.
        ended: When it ended, by its last line, or else by the last outcome in it.
        last: What its last line says; None where the run goes on, or was killed.
        attempts: The attempts that came to their end in it.
    """

    first: RunLine
    started: float
    ended: float
    last: RunLine | None = None
    attempts: int = 0

    @property
    def elapsed(self) -> float:
        """Seconds from its beginning to its end."""
        return self.ended - self.started

    @property
    def ending(self) -> str:
        """How it ended, in a word or a sentence."""
        if self.last is None:
            return "not ended in order: it goes on, or was killed"
        return one_line(self.last.stopped) if self.last.stopped else "complete"


@dataclass(frozen=True, slots=True)
class KindCount:
    """A kind of outcome, and how often it came."""

    kind: Kind
    count: int

    @property
    def said(self) -> str:
        """What was said."""
        return self.kind.said(times=self.count)


@dataclass(slots=True)
class Domain:
    """The recipients in one domain.

    Attributes:
        name: The domain, in lower case.
        counts: Its records by outcome.
        causes: Its records that were not accepted, by why.
    """

    name: str
    counts: Counter[Outcome] = field(default_factory=Counter)
    causes: Counter[Cause] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """All records with recipients in it."""
        return self.counts.total()

    @property
    def failed(self) -> int:
        """Records that were to be sent and were not accepted."""
        return self.causes.total()


@dataclass(slots=True)
class Failure:
    """The records that were not accepted for one cause.

    Attributes:
        cause: Why.
        counts: The records by outcome.
        kinds: What was said, the most frequent first.
        domains: The records by domain.
    """

    cause: Cause
    counts: Counter[Outcome] = field(default_factory=Counter)
    kinds: list[KindCount] = field(default_factory=list)
    domains: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """How many records it concerns."""
        return self.counts.total()


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of all runs.

    Attributes:
        messages: How many sessions had how many attempts in them.
    """

    messages: Mapping[int, int]

    @property
    def count(self) -> int:
        """How many sessions were used."""
        return sum(self.messages.values())

    @property
    def median(self) -> int:
        """Half of the sessions had so many attempts in them or fewer."""
        half, seen = self.count / 2, 0
        for messages in sorted(self.messages):
            seen += self.messages[messages]
            if seen >= half:
                return messages
        return 0

    @property
    def least(self) -> int:
        """The fewest attempts in a session."""
        return min(self.messages, default=0)

    @property
    def most(self) -> int:
        """The most attempts in a session."""
        return max(self.messages, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReport:
    """What a results log comes to. A record counts by its last line.

    Attributes:
        results: The log.
        runs: Its runs, in their order.
        counts: Records by outcome.
        attempts: Lines that tell of an offer to the server.
        retries: Those among them that were not a record's first.
        needed: Records by outcome and the number of attempts that were made.
        replies: What the server said to all attempts, the most frequent first.
        failures: Why records were not accepted, the most frequent cause first; suppressed ones are none.
        domains: The recipients' domains, those with the most failures first.
        sessions: The sessions.
        latency: Seconds from handing a message to its session to the server's reply.
        timeline: Outcomes of attempts by time.
        pauses: Where on the timeline a run begins after another.
        torn: Octets of a torn last line, which count for nothing.
        servers: The outcomes of attempts by the name of the relay; empty where every run had one.
        returns: What came back; None where there is no feedback log.
        delivered: Records that were accepted and have not bounced, as far as that is known.
    """

    results: Path
    runs: list[RunSpan]
    counts: Counter[Outcome]
    attempts: int
    retries: int
    needed: Counter[tuple[Outcome, int]]
    replies: list[KindCount]
    failures: list[Failure]
    domains: list[Domain]
    sessions: Sessions
    latency: Histogram
    timeline: Timeline
    pauses: list[float]
    torn: int
    servers: dict[str, Counter[Outcome]] = field(default_factory=dict)
    returns: Returns | None = None
    delivered: int = 0

    @property
    def accepted_by_domain(self) -> dict[str, int]:
        """Accepted records by domain."""
        return {domain.name: domain.counts[Outcome.ACCEPTED] for domain in self.domains}

    @property
    def records(self) -> int:
        """Records that have an outcome."""
        return self.counts.total()

    @property
    def elapsed(self) -> float:
        """Seconds that all runs took together, without the pauses between them."""
        return sum(run.elapsed for run in self.runs)

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def is_of_a_program(self) -> bool:
        """Whether it is the log of a `Sender`, which no campaign file stands behind."""
        return not self.runs[0].first.campaign

    @property
    def stopped(self) -> str | None:
        """Why the last run ended before all records were done; None where it did not."""
        last = self.runs[-1]
        return None if last.last is not None and last.last.stopped is None else last.ending

    @property
    def learned(self) -> dict[str, float]:
        """What the server has shown it allows, by the name of the option that would set it; the last run counts."""
        learned: dict[str, float] = {}
        for run in self.runs:
            learned.update(run.last.learned if run.last is not None else {})
        return learned

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object: the fields of a run's summary, and what a log tells beyond them."""
        return {
            "records": self.records,
            **{outcome.value: self.counts[outcome] for outcome in Outcome},
            "sessions": self.sessions.count,
            "elapsed": round(self.elapsed, 3),
            "rate": round(self.rate, 1),
            "results": str(self.results),
            "stopped": self.stopped,
            "learned": self.learned,
            "runs": [_run(run) for run in self.runs],
            "attempts": self.attempts,
            "retries": self.retries,
            "attempts_needed": {
                str(attempts): self.needed[outcome, attempts]
                for outcome, attempts in sorted(self.needed, key=lambda key: key[1])
                if outcome is Outcome.ACCEPTED
            },
            "messages_per_session": {
                "least": self.sessions.least,
                "median": self.sessions.median,
                "most": self.sessions.most,
            },
            "latency": {
                "median": _seconds(self.latency.quantile(0.5)),
                "p90": _seconds(self.latency.quantile(0.9)),
                "p99": _seconds(self.latency.quantile(0.99)),
                "longest": _seconds(self.latency.longest),
            },
            "replies": [_kind(found) for found in self.replies],
            "failures": [_failure(failure) for failure in self.failures],
            "domains": [
                {"domain": domain.name, "records": domain.records, **_counts(domain.counts)} for domain in self.domains
            ],
            "torn": self.torn,
            **(
                {"servers": {name: _counts(self.servers[name]) for name in sorted(self.servers)}}
                if self.servers
                else {}
            ),
            "feedback": None if self.returns is None else self.returns.to_json(self.delivered, self.accepted_by_domain),
        }


def _run(run: RunSpan) -> dict[str, Any]:
    return {
        "id": run.first.id,
        "started": run.first.started,
        "ended": run.last.ended if run.last is not None else None,
        "stopped": run.last.stopped if run.last is not None else None,
        "campaign": run.first.campaign,
        "server": run.first.server,
        "version": run.first.version,
        "attempts": run.attempts,
        "elapsed": round(run.elapsed, 3),
    }


def _kind(found: KindCount) -> dict[str, Any]:
    kind = found.kind
    return {
        "count": found.count,
        "status": kind.outcome.value,
        "code": kind.code,
        "enhanced": kind.enhanced,
        "reason": kind.reason,
        "text": kind.text,
        "example": kind.example,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "cause": failure.cause.name,
        "advice": failure.cause.advice,
        "records": failure.records,
        **_counts(failure.counts),
        "replies": [_kind(found) for found in failure.kinds],
        "domains": dict(failure.domains.most_common()),
    }


def _counts(counts: Counter[Outcome]) -> dict[str, int]:
    return {outcome.value: counts[outcome] for outcome in Outcome if counts[outcome]}


def _seconds(seconds: float) -> float:
    """To three significant digits, which is what it is known to."""
    return float(f"{seconds:.3g}")
