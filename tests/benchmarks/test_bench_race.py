"""The rounds: everybody in turn, every message counted, what is missing named, nothing lost by an interruption."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.contestants import Contestant, Program, Run
from benchmarks.job import Place
from benchmarks.race import Race
from benchmarks.scenarios import SCENARIOS, Entry, Scenario
from benchmarks.table import outcome_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.figures import Outcome
    from benchmarks.job import Job


@dataclass
class Track:
    """A server that knows what it was sent, and in which order by whom.

    Attributes:
        received: Messages so far.
        order: Who ran, one after the other.
    """

    received: int = 0
    order: list[str] = field(default_factory=list)

    @contextmanager
    def setting(self) -> Iterator[dict[str, Place]]:
        yield {"server": Place("127.0.0.1", 1, lambda: self.received)}


@dataclass
class Runner(Contestant):
    """Delivers what it is to deliver, or a part of it."""

    track: Track
    name: str
    loses: int = 0
    seconds: float = 2.0

    def run(self, job: Job) -> Run:
        self.track.order.append(self.name)
        self.track.received += job.messages - self.loses
        return Run(self.seconds, 10.0)


def scenario(track: Track, *entries: Entry, messages: int = 100, connections: int = 5, fixed: bool = False) -> Scenario:
    return Scenario("test", "a test", track.setting, messages, connections, entries, rounds=3, fixed=fixed)


def entry(track: Track, name: str, **options: float) -> Entry:
    return Entry(name, Runner(track, name, loses=int(options.pop("loses", 0))), **options)  # type: ignore[arg-type]  # numbers only


def steady(scenario: Scenario, folder: Path, **options: Any) -> Race:
    """A race on a machine that is always as fast as it can be."""
    return Race(scenario, folder, **{"notice": lambda _: None, "calibrate": lambda: 0.01, **options})


def test_everybody_runs_once_a_round_each_time_in_another_order(tmp_path: Path) -> None:
    track = Track()
    race = steady(scenario(track, *(entry(track, name) for name in "abc")), tmp_path)
    race.run()
    rounds = ["".join(track.order[start : start + 3]) for start in range(0, 9, 3)]
    assert sorted(map(sorted, rounds)) == [["a", "b", "c"]] * 3
    assert len(set(rounds)) == 3
    assert [timing.seconds for timing in race.outcome.timings] == [[2.0, 2.0, 2.0]] * 3
    assert race.outcome.timings[0].rate == 50


def test_one_message_too_few_or_too_many_breaks_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.race._COUNTED_WITHIN", 0.1)
    for loses in (1, -1):
        track = Track()
        race = steady(scenario(track, entry(track, "a", loses=loses)), tmp_path)
        with pytest.raises(RuntimeError, match=f"{100 - loses} of 100 messages were received"):
            race.run()
        assert race.outcome.timing("a") is None, "a run that cannot be believed is no figure"


def test_slow_ones_get_fewer_and_nobody_fewer_than_connections(tmp_path: Path) -> None:
    track = Track()
    entries = [entry(track, "a"), entry(track, "b", share=0.25), entry(track, "c", share=0.001)]
    race = steady(scenario(track, *entries), tmp_path)
    race.run()
    assert [timing.messages for timing in race.outcome.timings] == [100, 25, 5]
    race = steady(scenario(track, *entries), tmp_path, messages=8, rounds=1)
    race.run()
    assert [timing.messages for timing in race.outcome.timings] == [8, 5, 5]
    assert [len(timing.taken) for timing in race.outcome.timings] == [1, 1, 1]
    race = steady(scenario(track, *entries, messages=1, fixed=True), tmp_path, messages=8)
    race.run()
    assert [timing.messages for timing in race.outcome.timings] == [1, 1, 1]


def test_who_is_not_installed_is_named_and_left_out(tmp_path: Path) -> None:
    track = Track()
    said: list[str] = []
    absent = Entry("nobody", Program("smtplib_kept", "no_such_module"))
    elsewhere = Entry("nowhere", Runner(track, "nowhere"), place="rest")
    race = steady(scenario(track, entry(track, "a"), absent, elsewhere), tmp_path, notice=said.append)
    race.run()
    assert set(track.order) == {"a"}
    assert race.outcome.missing == {
        "nobody": "no_such_module cannot be imported",
        "nowhere": "its server is not installed",
    }
    assert "test: nobody is left out: no_such_module cannot be imported" in said


def test_what_was_measured_is_kept_after_each_run(tmp_path: Path) -> None:
    track = Track()
    kept: list[list[int]] = []

    def keep(outcome: Outcome) -> None:
        kept.append([len(timing.taken) for timing in outcome.timings])

    entries = (entry(track, "a"), entry(track, "b", rounds=1))
    steady(scenario(track, *entries), tmp_path, keep=keep).run()
    assert kept[0] in ([1, 0], [0, 1])
    assert kept[-1] == [3, 1], "b takes part in the first round only"
    assert len(kept) == 4


def test_a_round_in_which_the_machine_was_slower_is_repeated_some_times(tmp_path: Path) -> None:
    track, said = Track(), list[str]()
    # Before and after each round: the second is disturbed twice, the third one always.
    times = iter([0.010, 0.0101, 0.012, 0.010, 0.010, 0.0116, 0.0101, 0.010, *[0.013] * 6])
    entries = (entry(track, "a"), entry(track, "b", rounds=1))
    race = steady(scenario(track, *entries), tmp_path, notice=said.append, calibrate=lambda: next(times))
    race.run()
    assert [timing.seconds for timing in race.outcome.timings] == [[2.0, 2.0, 2.0], [2.0, None, None]]
    assert [len(timing.peak_mb) for timing in race.outcome.timings] == [3, 1]
    assert race.outcome.repeated == 4
    assert race.outcome.slower == [0.01, 0.01, 0.3]
    assert said.count("test, round 2: the machine was 20% slower, so it is repeated") == 1
    assert track.order.count("a") == 7
    assert next(times, None) is None
    assert any(
        "30% slower in the worst round than at its fastest; 4 repeated" in one for one in outcome_lines(race.outcome)
    )


def test_on_a_machine_that_is_never_quiet_a_scenario_ends_all_the_same(tmp_path: Path) -> None:
    track = Track()
    times = itertools.chain([0.010], itertools.repeat(0.013))
    race = steady(scenario(track, entry(track, "a")), tmp_path, calibrate=lambda: next(times))
    race.run()
    assert race.outcome.repeated == 4
    assert track.order == ["a"] * (3 + 4)
    assert race.outcome.slower == [0.3] * 3


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_scenario_can_be_told_apart(scenario: Scenario) -> None:
    names = [entry.name for entry in scenario.entries]
    assert len(set(names)) == len(names)
    assert all(round(scenario.messages * entry.share) >= 1 for entry in scenario.entries)
