"""The figures: what every run took, as it is kept in ``results.json``, and what follows from it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Timing:
    """One contestant's runs in one scenario.

    Attributes:
        name: The contestant.
        messages: How many each run sent; 0 for a contestant that sends nothing.
        seconds: How long each run took, by round; None for a round that it took no part in.
        slower: How much slower the machine was beside each run than at its fastest, by round: 0.1 is a tenth.
        peak_mb: The most memory each run's process held, in MB of a million octets.
        beside_mb: The most memory that one of the processes it started held, of the runs that started some.
    """

    name: str
    messages: int
    seconds: list[float | None] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    beside_mb: list[float] = field(default_factory=list)
    slower: list[float | None] = field(default_factory=list)

    @property
    def taken(self) -> list[float]:
        """The seconds of the runs that there were."""
        return [seconds for seconds in self.seconds if seconds is not None]

    @property
    def rates(self) -> list[float]:
        """Messages a second, of the runs that there were."""
        return [self.messages / seconds for seconds in self.taken]

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return statistics.median(self.rates)

    def ratios(self, other: Timing) -> list[float]:
        """This contestant's rate by the other's, round by round: what lasts longer than a round hits both."""
        return [
            (self.messages / ours) / (other.messages / theirs)
            for ours, theirs in zip(self.seconds, other.seconds, strict=False)
            if ours is not None and theirs is not None
        ]


@dataclass(slots=True)
class Outcome:
    """What a scenario came to.

    Attributes:
        name: The scenario.
        title: What was compared.
        connections: Over how many sessions at once, where a contestant's name does not say otherwise.
        octets: The size of the first message as batchsend sends it; 0 where that was not asked.
        timings: The contestants that ran.
        missing: Why others did not, by name.
        repeated: How many runs were repeated because the machine was slower than it can be.
    """

    name: str
    title: str
    connections: int
    octets: int = 0
    timings: list[Timing] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    repeated: int = 0

    @property
    def slower(self) -> list[float]:
        """Of each round, how much slower the machine was than at its fastest, beside the worst run that counts."""
        rounds = zip_longest(*(timing.slower for timing in self.timings))
        return [max((one for one in slower if one is not None), default=0.0) for slower in rounds]

    def timing(self, name: str) -> Timing | None:
        """A contestant's runs; None where there are none."""
        return next((timing for timing in self.timings if timing.name == name and timing.taken), None)


@dataclass(slots=True)
class Figures:
    """Everything that was measured.

    Attributes:
        measured: The day.
        machine: What it was measured on, without what would identify it.
        versions: The versions of everything that took part.
        outcomes: The scenarios, by name.
    """

    measured: str = ""
    machine: dict[str, str | int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Figures:
        """Read what `save` wrote; nothing measured where there is no such file."""
        if not path.exists():
            return cls()
        told = json.loads(path.read_text())
        outcomes = {}
        for outcome in told["scenarios"]:
            timings = [
                Timing(
                    timing["name"],
                    timing["messages"],
                    timing["seconds"],
                    timing["peak_mb"],
                    timing.get("beside_mb", []),
                    timing.get("slower", []),
                )
                for timing in outcome.pop("timings")
            ]
            outcome.pop("slower", None)  # it follows from the timings
            outcomes[outcome["name"]] = Outcome(**outcome, timings=timings)
        return cls(told["measured"], told["machine"], told["versions"], outcomes)

    def save(self, path: Path, targets: list[dict[str, object]]) -> None:
        """Write everything, with what became of the targets; the file is whole at every moment."""
        told = {
            "measured": self.measured,
            "machine": self.machine,
            "versions": self.versions,
            "targets": targets,
            "scenarios": [_with_medians(outcome) for outcome in self.outcomes.values()],
        }
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        draft.replace(path)

    def timing(self, scenario: str, contestant: str) -> Timing | None:
        """A contestant's runs in a scenario; None where there are none."""
        outcome = self.outcomes.get(scenario)
        return None if outcome is None else outcome.timing(contestant)


def _with_medians(outcome: Outcome) -> dict[str, object]:
    told = {**asdict(outcome), "slower": outcome.slower}
    for timing, shown in zip(outcome.timings, told["timings"], strict=True):
        if timing.taken:
            shown["median_per_second"] = round(timing.rate, 1)
            shown["median_seconds"] = round(statistics.median(timing.taken), 4)
    return told
