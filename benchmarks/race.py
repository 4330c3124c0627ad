"""Runs a scenario: everybody once a round, each round in another order, and every message counted at the server.

A round before or after which the machine was slower than it can be is repeated, a few times at most in a scenario.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.calibration import TOLERANCE, calibrate
from benchmarks.contestants import Batchsend
from benchmarks.figures import Outcome, Timing
from benchmarks.job import Job
from benchmarks.process import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.job import Place
    from benchmarks.scenarios import Entry, Scenario

_COUNTED_WITHIN = 10.0
_REPEATS = 2  # of each round
_REPEATS_IN_ALL = 4  # of a scenario: on a machine that is never quiet the run is to end all the same
_POLL = 0.02


class Race:
    """One scenario's rounds.

    Args:
        scenario: Who competes, at what.
        folder: Where the work is written; it exists.
        messages: How many, for a contestant with a share of 1; None for the scenario's own number.
        rounds: How many rounds; None for the scenario's own number.
        notice: Called with each run's result, one line each.
        keep: Called after each run, so that an interruption loses nothing.
        calibrate: Says how long a fixed piece of work takes now, in seconds.

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
        calibrate: Callable[[], float] = calibrate,
    ) -> None:
        self.outcome = Outcome(scenario.name, scenario.title, scenario.connections)
        self._scenario = scenario
        self._folder = folder
        self._messages = scenario.messages if scenario.fixed else messages or scenario.messages
        self._rounds = rounds or scenario.rounds
        self._notice = notice
        self._keep = keep
        self._calibrate = calibrate
        self._fastest = float("inf")  # calibration

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
        """Everybody once; again where the machine was disturbed, for which it is judged by its fastest calibration."""
        timings = self.outcome.timings
        had = [(len(timing.seconds), len(timing.peak_mb), len(timing.beside_mb)) for timing in timings]
        for repeats_left in range(_REPEATS, -1, -1):
            before = self._calibrate()
            for place in _turn(len(jobs), number):
                self._once(number, *jobs[place], timings[place])
            slowest = max(before, after := self._calibrate())
            self._fastest = min(self._fastest, before, after)
            if (slower := slowest / self._fastest - 1) <= TOLERANCE or not self._may_repeat(repeats_left):
                self.outcome.slower.append(round(slower, 3))
                return
            self.outcome.repeated += 1
            self._notice(
                f"{self._scenario.name}, round {number + 1}: the machine was {slower:.0%} slower, so it is repeated"
            )
            for timing, (seconds, peaks, beside) in zip(timings, had, strict=True):
                del timing.seconds[seconds:], timing.peak_mb[peaks:], timing.beside_mb[beside:]

    def _may_repeat(self, repeats_left: int) -> bool:
        return repeats_left > 0 and self.outcome.repeated < _REPEATS_IN_ALL

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

    def _once(self, number: int, entry: Entry, job: Job, timing: Timing) -> None:
        if entry.rounds is not None and number >= entry.rounds:
            timing.seconds.append(None)
            return
        before = job.place.received()
        run = entry.contestant.run(job)
        self._require_received(entry, job, before)
        timing.seconds.append(round(run.seconds, 6))
        timing.peak_mb.append(round(run.peak, 1))
        if run.beside is not None:
            timing.beside_mb.append(round(run.beside, 1))
        rate = f"{job.messages / run.seconds:>10,.0f}/s" if entry.sends else f"{run.seconds:>10.3f} s"
        self._notice(f"{self._scenario.name}, round {number + 1}: {entry.name:<46} {rate}")
        self._keep(self.outcome)
        job.place.settle()

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
