"""What was measured at one point of a bench, visit by visit, and the figures that follow from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from batchsend.bench.interval import Interval, interval_of
from batchsend.delivery.replies.judging import judge_said
from batchsend.delivery.replies.policy import advice
from batchsend.histogram import Histogram
from batchsend.outcome import DeliveryResult, Outcome
from batchsend.verdict import Verdict

if TYPE_CHECKING:
    from batchsend.bench.grid import GridPoint
    from batchsend.delivery.replies import Judgement

PERCENTILES = (50, 95, 99)

# What a relay says of its own limits, by what the reply means.
_OWN_LIMITS = frozenset({Verdict.PACE, Verdict.CONNECTIONS, Verdict.QUOTA, Verdict.SESSION_FULL, Verdict.RELAY})


class VisitRate(NamedTuple):
    """The pace of one visit, while all sessions were at work.

    Attributes:
        accepted: Messages taken.
        seconds: In so long.
    """

    accepted: int
    seconds: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.accepted / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class OwnLimit:
    """A limit that the relay has told of in words.

    Attributes:
        verdict: What its reply means, by the table that campaigns are sent by.
        provider: Whose wording it is, or None.
        said: The reply.
    """

    verdict: Verdict
    provider: str | None
    said: str

    def __str__(self) -> str:
        whose = f" (as {self.provider} words it)" if self.provider else ""
        return f"its own limit, {self.verdict.value.replace('_', ' ')}{whose}: {self.said}"

    def to_json(self) -> dict[str, str | None]:
        """The limit as a JSON object."""
        return {"verdict": self.verdict.value, "provider": self.provider, "said": self.said}


def own_limit(result: DeliveryResult) -> OwnLimit | None:
    """The relay's own limit that a refusal tells of; None where it tells of none."""
    if (judged := _judged(result)) is None or judged[0].verdict not in _OWN_LIMITS:
        return None
    return OwnLimit(judged[0].verdict, judged[0].provider, words(result))


def words(result: DeliveryResult) -> str:
    """What was said to a message in one line, or why nothing was."""
    if result.code is None:
        return result.reason or result.status.value
    return f"{result.code} {_text(result)}".replace("\n", " ").rstrip()


def _judged(result: DeliveryResult) -> tuple[Judgement, str] | None:
    """What a refusal means, and its words; None where nothing was refused."""
    if result.code is None or result.status is Outcome.ACCEPTED:
        return None
    text = _text(result)
    return judge_said(result.stage, result.code, text), text


def _text(result: DeliveryResult) -> str:
    """A reply's text, with the enhanced code before it."""
    text = result.reply or ""
    if result.enhanced and not text.startswith(result.enhanced):
        text = f"{result.enhanced} {text}".rstrip()
    return text


@dataclass(slots=True)
class Measurement:
    """One point, counted as its results come.

    Attributes:
        point: How was sent.
        messages: Messages with a result, those that opened the sessions and warmed them up included.
        outcomes: The same by outcome.
        replies: The same by what was said: the reply's code and enhanced code, or why there was none.
        visits: The pace of each visit, its warm-up left out.
        latencies: Seconds from hand-over to reply, of each message answered after the warm-up.
        learned: What the server has shown it allows, by the name of the option that would set it.
        pace_found: Its pace was looked for: ``rate`` of ``learned`` is the fastest that it takes, and a bit less.
        limits: What it has said of its own limits, the first reply of each kind.
        notices: What it did that no result tells, one line each.
        refused: What was said to the last message that was not accepted, or None.
        sender_refused: What it said if it does not take messages from this sender, and what to do about it.
    """

    point: GridPoint
    messages: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    visits: list[VisitRate] = field(default_factory=list)
    latencies: Histogram = field(default_factory=Histogram)
    learned: dict[str, float] = field(default_factory=dict)
    pace_found: bool = False
    limits: dict[Verdict, OwnLimit] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    refused: str | None = None
    sender_refused: tuple[str, str] | None = None

    def count(self, result: DeliveryResult, earlier: DeliveryResult | None) -> None:
        """Count a result.

        Args:
            result: What became of a message.
            earlier: The result whose place it takes, or None.
        """
        if earlier is not None:
            self.outcomes[earlier.status] -= 1
            self.replies[reply_kind(earlier)] -= 1
        else:
            self.messages += 1
        self.outcomes[result.status] += 1
        self.replies[reply_kind(result)] += 1

    def add_count(self, other: Measurement) -> None:
        """Count what another measurement at this point has counted, but not its pace and its latencies."""
        self.messages += other.messages
        self.outcomes.update(other.outcomes)
        self.replies.update(other.replies)
        self.notices += other.notices
        self.limits = other.limits | self.limits

    def hear(self, result: DeliveryResult) -> None:
        """Keep what a refusal says, of the relay's own limits or of the sender too."""
        if result.status is not Outcome.ACCEPTED:
            self.refused = words(result)
        if (judged := _judged(result)) is None:
            return
        judgement, text = judged
        if judgement.verdict is Verdict.SENDER:
            self.sender_refused = f"{result.code} {text}", advice(judgement.verdict, judgement.reason)
        elif judgement.verdict not in self.limits and (limit := own_limit(result)) is not None:
            self.limits[limit.verdict] = limit

    @property
    def accepted(self) -> int:
        """Messages that the server has taken."""
        return self.outcomes[Outcome.ACCEPTED]

    @property
    def timed(self) -> int:
        """Messages that it has taken after the warm-up."""
        return sum(visit.accepted for visit in self.visits)

    @property
    def seconds(self) -> float:
        """How long was measured, all visits together."""
        return sum(visit.seconds for visit in self.visits)

    @property
    def rate(self) -> float:
        """Messages accepted a second, the warm-up left out."""
        return self.timed / self.seconds if self.seconds > 0 else 0.0

    @property
    def interval(self) -> Interval | None:
        """Where the rate lies, by how its visits differ; None where there were too few to tell."""
        return interval_of([visit.rate for visit in self.visits])

    @property
    def throttled(self) -> bool:
        """Whether the server asked for less: a slower pace, or fewer sessions."""
        return "rate" in self.learned or "max_connections" in self.learned

    def percentile(self, percent: int) -> float | None:
        """The latency, in seconds, that so many of a hundred stay within; None where nothing was timed.

        Args:
            percent: From 1 to 100.
        """
        return self.latencies.quantile(percent / 100) if self.latencies.count else None

    def to_json(self) -> dict[str, Any]:
        """The measurement as a JSON object; times in seconds."""
        sure = self.interval
        return {
            "connections": self.point.connections,
            "depth": self.point.depth,
            "messages": self.messages,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome if self.outcomes[outcome]},
            "timed": self.timed,
            "seconds": round(self.seconds, 9),  # of a few messages it may be some microseconds
            "rate": significant(self.rate),
            "low": significant(sure.low) if sure else None,
            "high": significant(sure.high) if sure else None,
            "visits": [significant(visit.rate) for visit in self.visits],
            **{f"p{percent}": self.percentile(percent) for percent in PERCENTILES},
            "replies": {said: count for said, count in self.replies.most_common() if count > 0},
            "learned": self.learned,
            "limits": [limit.to_json() for limit in self.limits.values()],
            "notices": self.notices,
        }


def significant(figure: float) -> float:
    """A figure to five digits: of a server that takes few messages a second, too, there is something to compare."""
    return float(f"{figure:.5g}")


def reply_kind(result: DeliveryResult) -> str:
    """What replies are counted by: the code and the enhanced code, or why there was no reply."""
    if result.code is None:
        return result.reason or result.status.value
    return f"{result.code} {result.enhanced}" if result.enhanced else str(result.code)
