"""Runs a scenario: everybody once a round, each round in another order, and every message counted at the server.

Each run waits for a quiet moment of the machine. Where a core was slower than it can be, before or after the run or on
average during it, the run is repeated after the others of its round, a few times at most, and the least disturbed one
counts. What waiting and repeating take is bounded, so that a scenario ends on a machine that is never quiet.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.calibration import TOLERANCE, TOLERANCE_DURING, Calm, calibrate, excess, least, sample
from benchmarks.contestants import Batchsend
from benchmarks.figures import Outcome, Timing
from benchmarks.job import Job
from benchmarks.process import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.calibration import Calibration
    from benchmarks.contestants import Run
    from benchmarks.job import Place
    from benchmarks.scenarios import Entry, Scenario

_COUNTED_WITHIN = 10.0
_REPEATS = 5  # of each run
_ALLOWED = 6.0  # seconds a run, for waiting and for repeating; what one does not need is left for the others
_POLL = 0.02


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A run.

    Attributes:
        place: The contestant's, in its scenario.
        run: What it took by the contestant's clock.
        calibration: Of each core, the slower one of the calibrations before and after it.
        during: Of each core, the mean of what was seen of it during the run; empty for a run that was too short.
        took: How long the round was busy with it.
    """

    place: int
    run: Run
    calibration: Calibration
    during: Calibration
    took: float


class Race:
    """One scenario's rounds.

    Args:
        scenario: Who competes, at what.
        folder: Where the work is written; it exists.
        messages: How many, for a contestant with a share of 1; None for the scenario's own number.
        rounds: How many rounds; None for the scenario's own number.
        notice: Called with each run's result, one line each.
        keep: Called after each run, so that an interruption loses nothing.
        calibrate: Says how long a fixed piece of work takes now on each core, in seconds.
        sample: Looks at each core while its context lasts, and then says how long a piece of work took on average.
        clock: The time by which waiting and repeating are bounded, in seconds.

    Attributes:
        outcome: What was measured so far.
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        *,
        messages: int | None = None,
        rounds: int | None = None,
        notice: Callable[[str], None] = print,
        keep: Callable[[Outcome], None] = lambda _: None,
        calibrate: Callable[[], Calibration] = calibrate,
        sample: Callable[[], AbstractContextManager[Callable[[], Calibration]]] = sample,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcome = Outcome(scenario.name, scenario.title, scenario.connections)
        self._scenario = scenario
        self._folder = folder
        self._messages = scenario.messages if scenario.fixed else messages or scenario.messages
        self._rounds = rounds or scenario.rounds
        self._notice = notice
        self._keep = keep
        self._sample = sample
        self._clock = clock
        self._calm = Calm(calibrate, clock)
        self._runs: list[dict[int, _Attempt]] = []  # those that count, by round, by contestant
        self._during: dict[int, list[Calibration]] = {}  # what was seen during runs, by contestant

    def run(self) -> None:
        """Run all rounds.

        Raises:
            RuntimeError: A contestant failed, or the server has not received what was sent.
            UnavailableError: The machine lacks the scenario's servers.
        """
        with self._scenario.setting() as places:
            jobs = self._jobs(places)
            self.outcome.timings = [Timing(entry.name, job.messages if entry.sends else 0) for entry, job in jobs]
            self._size(jobs)
            for number in range(self._rounds):
                self._round(number, jobs)

    def _round(self, number: int, jobs: Sequence[tuple[Entry, Job]]) -> None:
        """Everybody once, and then those again whose runs were disturbed, by what is known of the machine by then."""
        places = [place for place in _turn(len(jobs), number) if (jobs[place][0].rounds or self._rounds) > number]
        runs: dict[int, _Attempt] = {}
        self._runs.append(runs)
        self._calm.allowed += _ALLOWED * len(places)
        for place in places:
            with self._calm.spending():
                before = self._calm.wait()
            runs[place] = self._attempt(number, place, *jobs[place], before)
            self._tell()
        for _ in range(_REPEATS):
            for place in places:
                took = runs[place].took
                if self._is_disturbed(runs[place]) and took < self._calm.allowed:
                    slower = f"the machine was {self._slower(runs[place]):.0%} slower, so it runs again"
                    self._say(number, f"{jobs[place][0].name}: {slower}")
                    self.outcome.repeated += 1
                    with self._calm.spending():
                        again = self._attempt(number, place, *jobs[place], self._calm.wait(took))
                    runs[place] = min(runs[place], again, key=self._slower)
                    self._tell()
        if disturbed := [self._slower(run) for run in runs.values() if self._is_disturbed(run)]:
            self._say(
                number,
                f"the machine did not become quiet in time: {len(disturbed)} of {len(runs)} runs count though it was "
                f"up to {max(disturbed):.0%} slower",
            )

    def _slower(self, attempt: _Attempt) -> float:
        """How much slower the machine was beside a run, by what is known of it now."""
        return max(self._calm.slower(attempt.calibration), self._slower_during(attempt))

    def _slower_during(self, attempt: _Attempt) -> float:
        """How much slower it was on average than in another run.

        Where two cores are threads of one, the contestant's own work makes both of them slower: its runs are held
        against each other, and its first one against everybody's.
        """
        own = self._during[attempt.place]
        others = own if len(own) > 1 else [one for runs in self._during.values() for one in runs]
        return excess(attempt.during, least(others)) if attempt.during else 0.0

    def _is_disturbed(self, attempt: _Attempt) -> bool:
        return self._calm.slower(attempt.calibration) > TOLERANCE or self._slower_during(attempt) > TOLERANCE_DURING

    def _tell(self) -> None:
        """Write the runs that count into the outcome."""
        for place, timing in enumerate(self.outcome.timings):
            kept = [runs.get(place) for runs in self._runs]
            attempts = [one for one in kept if one is not None]
            timing.seconds = [None if one is None else round(one.run.seconds, 6) for one in kept]
            timing.slower = [None if one is None else round(self._slower(one), 3) for one in kept]
            timing.peak_mb = [round(one.run.peak, 1) for one in attempts]
            timing.beside_mb = [round(one.run.beside, 1) for one in attempts if one.run.beside is not None]
        self._keep(self.outcome)

    def _jobs(self, places: Mapping[str, Place]) -> list[tuple[Entry, Job]]:
        scenario = self._scenario
        jobs = []
        for entry in scenario.entries:
            lacking = entry.contestant.missing() or (None if entry.place in places else "its server is not installed")
            if lacking is not None:
                self.outcome.missing[entry.name] = lacking
                self._notice(f"{scenario.name}: {entry.name} is left out: {lacking}")
                continue
            connections = entry.connections or scenario.connections
            messages = max(round(self._messages * entry.share), min(self._messages, connections))
            home = scenario.work.write(self._folder, messages)
            place = places[entry.place]
            job = Job(
                scenario.work, place, home, messages, connections, entry.depth, entry.max_messages, entry.processes
            )
            jobs.append((entry, job))
        return jobs

    def _size(self, jobs: Sequence[tuple[Entry, Job]]) -> None:
        """How large the first message is, header and all, as batchsend makes it."""
        for entry, job in jobs:
            if isinstance(entry.contestant, Batchsend):
                self.outcome.octets = octets(job)
                return

    def _attempt(self, number: int, place: int, entry: Entry, job: Job, before: Calibration) -> _Attempt:
        began = self._clock()
        received = job.place.received()
        with self._sample() as means:
            run = entry.contestant.run(job)
        self._during.setdefault(place, []).extend([during] if (during := means()) else [])
        self._require_received(entry, job, received)
        rate = f"{job.messages / run.seconds:>10,.0f}/s" if entry.sends else f"{run.seconds:>10.3f} s"
        self._say(number, f"{entry.name:<46} {rate}")
        job.place.settle()  # what the server has still to do is not what disturbs the machine
        after = self._calm.look()
        return _Attempt(place, run, tuple(map(max, before, after)), during, self._clock() - began)

    def _say(self, number: int, line: str) -> None:
        self._notice(f"{self._scenario.name}, round {number + 1}: {line}")

    def _require_received(self, entry: Entry, job: Job, before: int) -> None:
        """Wait until the server has counted what was sent: its log may be a moment late."""
        expected = before + (job.messages if entry.sends else 0)
        deadline = time.monotonic() + _COUNTED_WITHIN
        while (counted := job.place.received()) < expected and time.monotonic() < deadline:
            time.sleep(_POLL)
        if counted != expected:
            raise RuntimeError(f"{entry.name}: {counted - before:,} of {job.messages:,} messages were received")


def octets(job: Job) -> int:
    """The size of a job's first message."""
    message = job.home / "message.eml"
    execute([sys.executable, "-m", "batchsend", "preview", str(job.write_campaign()), "--eml", str(message)])
    return message.stat().st_size


def _turn(contestants: int, number: int) -> Iterator[int]:
    """The order of a round: one place further each time, and every second round the other way round."""
    order = [(place + number) % contestants for place in range(contestants)]
    yield from reversed(order) if number % 2 else order
