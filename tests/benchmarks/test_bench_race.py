"""The rounds: everybody in turn, every message counted, what is missing named, nothing lost by an interruption."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.calibration import calibrate, sample
from benchmarks.contestants import Contestant, Program, Run
from benchmarks.job import Place
from benchmarks.race import Race
from benchmarks.scenarios import SCENARIOS, Entry, Scenario
from benchmarks.table import outcome_lines
from tests.cli.commandline import WITHIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.figures import Outcome
    from benchmarks.job import Job


@dataclass
class Track:
    """A server that knows what it was sent, and in which order by whom; and a machine of two cores with its own time.

    Attributes:
        received: Messages so far.
        order: Who ran, one after the other.
        begun: When.
        now: Seconds since the beginning.
        bursts: From when to when which core is slower, and how many times.
        usual: Seconds that the calibration takes on each core where nothing disturbs it.
        takes: Seconds that a run takes.
    """

    received: int = 0
    order: list[str] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    now: float = 0.0
    bursts: list[tuple[float, float, int, float]] = field(default_factory=list)
    usual: tuple[float, float] = (0.01, 0.01)
    takes: float = 2.0

    def calibrate(self) -> tuple[float, ...]:
        self.now += 0.05
        return tuple(seconds * self.times(core) for core, seconds in enumerate(self.usual))

    @contextmanager
    def sample(self) -> Iterator[Callable[[], tuple[float, ...]]]:
        """What each core took on average, from here on."""
        began = self.now

        def means() -> tuple[float, ...]:
            sums = [0.0, 0.0]
            for start, end, core, times in self.bursts:
                sums[core] += (times - 1) * max(0.0, min(end, self.now) - max(start, began))
            return tuple(seconds * (1 + sums[core] / (self.now - began)) for core, seconds in enumerate(self.usual))

        yield means

    def times(self, core: int) -> float:
        """How many times slower a core is now."""
        return max(
            (times for start, end, at, times in self.bursts if at == core and start <= self.now < end), default=1
        )

    @contextmanager
    def setting(self) -> Iterator[dict[str, Place]]:
        yield {"server": Place("127.0.0.1", 1, lambda: self.received)}


@dataclass
class Runner(Contestant):
    """Delivers what it is to deliver, or a part of it; it is said to take longer where a core is slower at its end."""

    track: Track
    name: str
    loses: int = 0

    def run(self, job: Job) -> Run:
        self.track.order.append(self.name)
        self.track.begun.append(self.track.now)
        self.track.received += job.messages - self.loses
        self.track.now += self.track.takes
        return Run(self.track.takes * max(self.track.times(core) for core in range(2)), 10.0, 5.0)


def scenario(track: Track, *entries: Entry, messages: int = 100, connections: int = 5, fixed: bool = False) -> Scenario:
    return Scenario("test", "a test", track.setting, messages, connections, entries, rounds=3, fixed=fixed)


def entry(track: Track, name: str, **options: float) -> Entry:
    return Entry(name, Runner(track, name, loses=int(options.pop("loses", 0))), **options)  # type: ignore[arg-type]  # numbers only


def quick(scenario: Scenario, folder: Path, track: Track, **options: Any) -> Race:
    """A race by the track's own time."""
    options = {
        "notice": lambda _: None,
        "calibrate": track.calibrate,
        "sample": lambda: nullcontext(tuple),
        "clock": lambda: track.now,
        **options,
    }
    return Race(scenario, folder, **options)


def test_everybody_runs_once_a_round_each_time_in_another_order(tmp_path: Path) -> None:
    track = Track()
    race = quick(scenario(track, *(entry(track, name) for name in "abc")), tmp_path, track)
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
        race = quick(scenario(track, entry(track, "a", loses=loses)), tmp_path, track)
        with pytest.raises(RuntimeError, match=f"{100 - loses} of 100 messages were received"):
            race.run()
        assert race.outcome.timing("a") is None, "a run that cannot be believed is no figure"


def test_slow_ones_get_fewer_and_nobody_fewer_than_connections(tmp_path: Path) -> None:
    track = Track()
    entries = [entry(track, "a"), entry(track, "b", share=0.25), entry(track, "c", share=0.001)]
    race = quick(scenario(track, *entries), tmp_path, track)
    race.run()
    assert [timing.messages for timing in race.outcome.timings] == [100, 25, 5]
    race = quick(scenario(track, *entries), tmp_path, track, messages=8, rounds=1)
    race.run()
    assert [timing.messages for timing in race.outcome.timings] == [8, 5, 5]
    assert [len(timing.taken) for timing in race.outcome.timings] == [1, 1, 1]
    race = quick(scenario(track, *entries, messages=1, fixed=True), tmp_path, track, messages=8)
    race.run()
    assert [timing.messages for timing in race.outcome.timings] == [1, 1, 1]


def test_who_is_not_installed_is_named_and_left_out(tmp_path: Path) -> None:
    track = Track()
    said: list[str] = []
    absent = Entry("nobody", Program("smtplib_kept", "no_such_module"))
    elsewhere = Entry("nowhere", Runner(track, "nowhere"), place="rest")
    race = quick(scenario(track, entry(track, "a"), absent, elsewhere), tmp_path, track, notice=said.append)
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
    quick(scenario(track, *entries), tmp_path, track, keep=keep).run()
    assert kept[0] in ([1, 0], [0, 1])
    assert kept[-1] == [3, 1], "b takes part in the first round only"
    assert len(kept) == 4


def test_only_the_run_is_repeated_beside_which_a_core_was_disturbed(tmp_path: Path) -> None:
    """Whichever core it is, before the run or after it."""
    for core in range(2):
        # "a" runs from 0.05 to 2.05, "b" from 2.15 to 4.15: what begins within it is seen at its end.
        track, said = Track(bursts=[(3.0, 4.22, core, 1.7)]), list[str]()
        race = quick(scenario(track, *(entry(track, name) for name in "abc")), tmp_path, track, notice=said.append)
        race.run()
        assert track.order[:4] == ["a", "b", "c", "b"]
        assert len(track.order) == 3 * 3 + 1
        assert [timing.seconds for timing in race.outcome.timings] == [[2.0] * 3] * 3, (
            "the disturbed one does not count"
        )
        assert [len(timing.peak_mb) for timing in race.outcome.timings] == [3] * 3
        assert [len(timing.beside_mb) for timing in race.outcome.timings] == [3] * 3
        assert (race.outcome.slower, race.outcome.repeated) == ([0.0] * 3, 1)
        assert said.count("test, round 1: b: the machine was 70% slower, so it runs again") == 1
        assert "beside 0 of 9 runs, 0% at most; 1 repeated" in list(outcome_lines(race.outcome))[-1]


def test_what_is_within_the_tolerance_is_no_disturbance(tmp_path: Path) -> None:
    track = Track(bursts=[(3.0, 1000.0, 1, 1.14)])
    race = quick(scenario(track, entry(track, "a"), entry(track, "b")), tmp_path, track)
    race.run()
    assert race.outcome.repeated == 0
    assert race.outcome.slower == [0.14] * 3


def test_a_core_that_is_always_slower_is_no_disturbance(tmp_path: Path) -> None:
    track = Track(usual=(0.01, 0.02))
    race = quick(scenario(track, entry(track, "a")), tmp_path, track)
    race.run()
    assert track.order == ["a"] * 3
    assert race.outcome.slower == [0.0] * 3


def test_a_run_waits_for_a_quiet_moment(tmp_path: Path) -> None:
    # It begins after the calibration that follows the first run.
    track = Track(bursts=[(2.12, 6.0, 1, 1.7)])
    race = quick(scenario(track, entry(track, "a")), tmp_path, track)
    race.run()
    assert track.order == ["a"] * 3
    assert race.outcome.slower == [0.0] * 3
    assert track.now == pytest.approx(6.0 + 2 * 2.0, abs=0.5)


def test_a_run_waits_some_seconds_at_most(tmp_path: Path) -> None:
    track = Track(bursts=[(2.12, 1e9, 1, 1.7)])
    race = quick(scenario(track, *(entry(track, name) for name in "abcd")), tmp_path, track, rounds=1)
    race.run()
    first, second, *_ = track.begun
    assert second - (first + 2.0) == pytest.approx(5.0, abs=0.5)


def test_a_disturbance_that_was_there_from_the_beginning_is_seen_when_it_ends(tmp_path: Path) -> None:
    track = Track(bursts=[(0.0, 3.0, 0, 1.7)])
    race = quick(scenario(track, entry(track, "a"), entry(track, "b")), tmp_path, track)
    race.run()
    assert track.order[:4] == ["a", "b", "a", "b"], "the first was as fast as anything that was known then"
    assert [timing.seconds for timing in race.outcome.timings] == [[2.0] * 3] * 2
    assert race.outcome.slower == [0.0] * 3


def test_a_machine_that_is_never_quiet_again_is_measured_all_the_same_in_bounded_time(tmp_path: Path) -> None:
    track, said = Track(bursts=[(1.0, 1e9, 1, 1.7)]), list[str]()
    race = quick(scenario(track, entry(track, "a"), entry(track, "b")), tmp_path, track, notice=said.append)
    race.run()
    assert [len(timing.taken) for timing in race.outcome.timings] == [3, 3]
    assert track.now < 6 * 2.2 + 6 * 6.0, "the runs, and six seconds more for each"
    assert race.outcome.slower == [0.7] * 3
    assert said[-1] == (
        "test, round 3: the machine did not become quiet in time: 2 of 2 runs count though it was up to 70% slower"
    )
    assert "15% slower than at its fastest beside 6 of 6 runs, 70% at most" in list(outcome_lines(race.outcome))[-1]


def test_a_run_is_repeated_a_few_times_at_most_and_the_least_disturbed_one_counts(tmp_path: Path) -> None:
    # "a" runs first, and again from 6.35 on: each calibration after it finds a burst, one of them a weaker one.
    after = {2.1: 1.7, 8.4: 1.7, 10.5: 1.3, **dict.fromkeys([12.6, 14.7, 16.8, 18.9], 1.7)}
    track = Track(bursts=[(now - 1.0, now + 0.02, 0, times) for now, times in after.items()])
    race = quick(scenario(track, *(entry(track, name) for name in "abc")), tmp_path, track, rounds=1)
    race.run()
    assert "".join(track.order) == "abcaaaaa"
    assert race.outcome.timings[0].seconds == [pytest.approx(2.6)]
    assert race.outcome.slower == [pytest.approx(0.3)]
    assert race.outcome.repeated == 5


def test_a_run_that_takes_longer_than_there_is_time_for_is_not_repeated(tmp_path: Path) -> None:
    track = Track(bursts=[(3.0, 1e9, 1, 1.7)], takes=20.0)
    race = quick(scenario(track, entry(track, "a")), tmp_path, track)
    race.run()
    assert track.order == ["a"] * 3
    assert race.outcome.slower == [0.7] * 3


def test_a_disturbance_that_begins_and_ends_within_a_run_is_seen_too(tmp_path: Path) -> None:
    # "b" runs from 2.15 to 4.15: 0.3 seconds at 1.7 times are 10.5 % on average, 0.2 seconds are 7 %.
    for seconds, order, slower in ((0.3, "abcb", 0.0), (0.2, "abc", 0.07)):
        track = Track(bursts=[(3.0, 3.0 + seconds, 1, 1.7)])
        race = quick(scenario(track, *(entry(track, name) for name in "abc")), tmp_path, track, sample=track.sample)
        race.run()
        assert "".join(track.order)[: len(order)] == order
        assert race.outcome.repeated == len(order) - 3
        assert race.outcome.slower == [slower, 0.0, 0.0]


def test_what_a_contestant_does_to_the_cores_itself_is_no_disturbance(tmp_path: Path) -> None:
    """It is so in each of its runs: the second one shows it."""
    track = Track()
    shares = {"a": 0.01, "b": 0.017}

    @contextmanager
    def sample() -> Iterator[Callable[[], tuple[float, ...]]]:
        yield lambda: (0.01, shares[track.order[-1]])

    race = quick(scenario(track, *(entry(track, name) for name in "ab")), tmp_path, track, sample=sample)
    race.run()
    assert "".join(track.order[:3]) == "abb"
    assert race.outcome.repeated == 1
    assert race.outcome.slower == [0.0] * 3


def test_every_core_is_looked_at_now_and_then_and_the_process_keeps_its_cores() -> None:
    allowed = os.sched_getaffinity(0)
    deadline = time.monotonic() + WITHIN
    with sample() as means:
        assert means() == (), "none was looked at yet"
        while not (found := means()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.sched_getaffinity(0) == allowed
    assert len(found) == len(allowed)
    assert all(seconds > 0 for seconds in found)


def test_the_calibration_looks_at_every_core_and_leaves_the_process_its_cores() -> None:
    allowed = os.sched_getaffinity(0)
    assert len(calibrate()) == len(allowed)
    assert all(seconds > 0 for seconds in calibrate([min(allowed)]))
    assert len(calibrate([min(allowed)])) == 1
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_scenario_can_be_told_apart(scenario: Scenario) -> None:
    names = [entry.name for entry in scenario.entries]
    assert len(set(names)) == len(names)
    assert all(round(scenario.messages * entry.share) >= 1 for entry in scenario.entries)
