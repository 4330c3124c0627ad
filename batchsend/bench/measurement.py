"""What was measured at one point of a bench, and the figures that follow from it."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchsend.outcome import DeliveryResult, Outcome

if TYPE_CHECKING:
    from batchsend.bench.grid import GridPoint

PERCENTILES = (50, 95, 99)


@dataclass(slots=True)
class Measurement:
    """One point, counted as its results come.

    Attributes:
        point: How was sent.
        messages: Messages with a result, those that opened the sessions included.
        outcomes: The same by outcome.
        replies: The same by what was said: the reply's code and enhanced code, or why there was none.
        timed: Messages accepted once the sessions were open.
        seconds: From the first message handed over then to the last result.
        latencies: Seconds from hand-over to reply, of each message answered then.
        learned: What the server has shown it allows, by the name of the option that would set it.
        notices: What it did that no result tells, one line each.
        cut_short: Why not all messages were sent, or None.
    """

    point: GridPoint
    messages: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    timed: int = 0
    seconds: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    learned: dict[str, float] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    cut_short: str | None = None

    def count(self, result: DeliveryResult, earlier: DeliveryResult | None, *, timed: bool) -> None:
        """Count a result.

        Args:
            result: What became of a message.
            earlier: The result whose place it takes, or None.
            timed: Whether the sessions are open: the opening's messages say nothing about the pace.
        """
        if earlier is not None:
            self.outcomes[earlier.status] -= 1
            self.replies[_reply_kind(earlier)] -= 1
            self.timed -= timed and earlier.status is Outcome.ACCEPTED
        else:
            self.messages += 1
            if timed and result.elapsed is not None and result.code is not None:
                self.latencies.append(result.elapsed)
        self.timed += timed and result.status is Outcome.ACCEPTED
        self.outcomes[result.status] += 1
        self.replies[_reply_kind(result)] += 1

    @property
    def accepted(self) -> int:
        """Messages that the server has taken."""
        return self.outcomes[Outcome.ACCEPTED]

    @property
    def rate(self) -> float:
        """Messages accepted a second, once the sessions were open."""
        return self.timed / self.seconds if self.seconds > 0 else 0.0

    @property
    def throttled(self) -> bool:
        """Whether the server asked for less: a slower pace, or fewer sessions."""
        return "rate" in self.learned or "max_connections" in self.learned

    def percentile(self, percent: int) -> float | None:
        """The latency, in seconds, that so many of a hundred stay within (nearest rank); None where nothing was timed.

        Args:
            percent: From 1 to 100.
        """
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        return ordered[-(-len(ordered) * percent // 100) - 1]

    def to_json(self) -> dict[str, Any]:
        """The measurement as a JSON object; times in seconds."""
        return {
            "connections": self.point.connections,
            "depth": self.point.depth,
            "messages": self.messages,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome if self.outcomes[outcome]},
            "timed": self.timed,
            "seconds": round(self.seconds, 6),
            "rate": round(self.rate, 1),
            **{f"p{percent}": self.percentile(percent) for percent in PERCENTILES},
            "replies": {said: count for said, count in self.replies.most_common() if count > 0},
            "learned": self.learned,
            "notices": self.notices,
            "cut_short": self.cut_short,
        }


def _reply_kind(result: DeliveryResult) -> str:
    if result.code is None:
        return result.reason or result.status.value
    return f"{result.code} {result.enhanced}" if result.enhanced else str(result.code)
