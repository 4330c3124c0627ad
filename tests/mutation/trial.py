"""The mutants of a copy of the program, tried one after another; started by ``python -m tests.mutation`` in that copy.

Tests are collected once. For each mutant this process makes a copy of itself in which functions have the changed code;
where something is changed that is computed when a file is imported, the copy imports everything anew.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import math
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.patching import functions, put_in, replaced
from tests.mutation.record import ROOMS, Record, record
from tests.mutation.running import SEED, Runner, Timed, adopt, collect, fork

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FunctionType

HERE: Final = Path.cwd()
KNOWN: Final = Path(__file__).parent / "survivors.tsv"
LEAST: Final = 0.9
"""How many of the mutants have to be caught."""

TIERS: Final = {
    "smtp": ("tests/smtp", "tests/delivery", "tests/simulation"),
    "delivery": ("tests/delivery", "tests/sender/test_telemetry.py", "tests/simulation"),
    "results": (
        *("tests/results", "tests/sender/test_kept.py", "tests/sender/test_kept_callers.py"),
        *("tests/sender/test_full_disk.py", "tests/simulation"),
    ),
    "run": (
        *("tests/run", "tests/test_batch.py", "tests/test_batch_streams.py", "tests/delivery/test_retry.py"),
        *("tests/report/test_summary_kinds.py", "tests/cli/test_cli_control.py", "tests/cli/test_cli_proof.py"),
        *(
            "tests/crash/test_log_under_way.py",
            "tests/crash/test_results_as_recipients.py",
            "tests/cli/test_cli_events.py",
        ),
        *("tests/cli/test_cli_send.py", "tests/cli/test_waiting_for_quota.py", "tests/cli/test_sending_options.py"),
        *("tests/cli/test_lists.py", "tests/test_wrong_types.py", "tests/test_public_names.py"),
        *("tests/control", "tests/monitor", "tests/simulation"),
    ),
    "cluster": (
        *("tests/cluster/test_campaigns.py", "tests/cluster/test_database.py", "tests/cluster/test_fencing.py"),
        *("tests/cluster/test_quotas.py", "tests/cluster/test_stored_form.py", "tests/cluster/test_url.py"),
        *("tests/cluster/test_failover.py", "tests/cluster/test_shared_meter.py", "tests/cluster/test_shown.py"),
        *("tests/cluster/test_account.py", "tests/cluster/test_shares.py"),
        "tests/simulation/cluster",
    ),
}
"""Where the tests are that mutants of a room are shown to."""


NOT_COLLECTED: Final = "the tests cannot be collected"
"""What is said of a mutant with which they cannot even be imported."""


class Tried(NamedTuple):
    """A mutant that is tried.

    Attributes:
        file: The file's name.
        mutant: The mutant.
    """

    file: str
    mutant: Mutant

    @property
    def key(self) -> tuple[str, str, str]:
        """How `survivors.tsv` has it."""
        return self.file, self.mutant.before, self.mutant.after

    @property
    def room(self) -> str:
        """The room that it is of."""
        return Path(self.file).parts[1]


class Trial:
    """Shows mutants to tests.

    Args:
        runner: The tests.
        known: Which test executes which line.
        within: Seconds that the tests of one mutant may take together: those of its room and the quickest are taken.
    """

    def __init__(self, runner: Runner, known: Record, within: float) -> None:
        self._runner = runner
        self._known = known
        self._within = within
        self._functions: dict[str, list[FunctionType]] = {}
        self._written = 0

    def caught(self, tried: Tried) -> str | None:
        """What notices a mutant: a test or a case of the simulation, its time, or the end of its process; or None.

        What fails without the mutant, too, is passed over.
        """
        file, mutant = HERE / tried.file, tried.mutant
        before = file.read_text()
        change = replaced(str(file), before, mutant.source)
        tests = self._known.executing(tried.file, mutant.statement)
        imported = self._known.imports(tried.file, mutant.statement)
        anew = change.outside or (imported and not tests)
        if anew:
            tests = self._known.touching(tried.file)
        elif not tests:  # perhaps in a process that a test starts
            tests, anew = self._known.starting(), True
        own = (f"tests/{tried.room}/", f"tests/simulation/{tried.room}/")
        # What a process has executed that a signal ended was not seen: those of the room that start any are asked, too.
        unseen = [test for test in self._known.starting() if test.name.startswith(own) and test not in tests]
        tests = asked(tests, unseen, own, self._within)
        if not self._functions:
            self._functions = functions(str(one) for room in ROOMS for one in (HERE / "batchsend" / room).rglob("*.py"))
        there = self._functions[str(file)]

        while True:
            said = self._shown(tried, tests, change.codes, there, anew=anew)
            names = [test.name for test in tests]
            if said == NOT_COLLECTED and fork(lambda: _anew([])) != (b"", 0):
                raise RuntimeError("the tests cannot be collected although nothing is changed")
            if said not in names or self._is_sound(tests[: names.index(said) + 1]):
                return said
            print(f"{said} fails here although nothing is changed: it is not asked", flush=True)
            del tests[names.index(said)]

    def _is_sound(self, tests: list[Timed]) -> bool:
        def work() -> bytes:
            return (self._runner.first_failure(tests) or "").encode()

        return fork(work) == (b"", 0)

    def _shown(
        self,
        tried: Tried,
        tests: list[Timed],
        codes: dict[CodeType, CodeType],
        there: list[FunctionType],
        *,
        anew: bool,
    ) -> str | None:
        """What notices a mutant, be it by chance."""

        def work() -> bytes:
            if anew:
                return _anew(tests)
            put_in(codes, there)
            return (self._runner.first_failure(tests) or "").encode()

        file = HERE / tried.file
        before = file.read_text()
        self._write(file, tried.mutant.source)
        try:
            said, ended = fork(work)
        finally:
            self._write(file, before)
        if ended:
            return "time" if -ended in (signal.SIGALRM, signal.SIGPROF) else f"the process ended: {ended}"
        return said.decode() or None

    def _write(self, file: Path, source: str) -> None:
        """Write a file so that what was compiled of another state of it is not taken for this one's."""
        file.write_text(source)
        self._written += 1
        os.utime(file, (self._written, self._written))


def asked(tests: list[Timed], unseen: list[Timed], own: tuple[str, ...], seconds: float) -> list[Timed]:
    """The tests that a mutant is shown to, in their order: as many as there is time for.

    Those of its room are the most likely ones to notice, and the only ones of much that is done there. They have half
    of the time before others are asked, and what those leave of the rest.

    Args:
        tests: Those that execute it, the quickest first.
        unseen: Further ones that may.
        own: How the names of its room's tests begin.
        seconds: How long they may take together.
    """
    of_the_room = [test for test in tests if test.name.startswith(own)]
    others = [test for test in tests if not test.name.startswith(own)]
    chosen = _within([], of_the_room, seconds / 2)
    chosen = _within(chosen, others, seconds)
    return _within(chosen, [test for test in (*of_the_room, *unseen) if test not in chosen], seconds)


def _within(chosen: list[Timed], more: list[Timed], seconds: float) -> list[Timed]:
    """Some tests, and those of others that there is time for."""
    taken, together = sum(test.seconds for test in chosen), [*chosen]
    for test in more:
        if taken + test.seconds < seconds:
            together.append(test)
            taken += test.seconds
    return together


def _anew(tests: list[Timed]) -> bytes:
    """Import program and tests anew, and run tests until one fails; returns its name."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("batchsend", "tests")]:
        del sys.modules[name]
    said: str = importlib.import_module(__spec__.name).first_failure(tests)
    return said.encode()


def first_failure(tests: list[Timed]) -> str:
    """Collect tests, and run them until one fails; returns its name."""
    files = sorted({test.name.partition("::")[0] for test in tests if not test.name.startswith(SEED)})
    said = [NOT_COLLECTED]

    def work(runner: Runner) -> None:
        said.append(runner.first_failure(tests) or "")

    collect(files or ["tests/mutation"], work, *_quick(files))
    return said[-1]


def _quick(tests: list[str]) -> tuple[str, ...]:
    """What leaves out the tests that take long; the cluster's need a server, and none of them is quick."""
    return () if any("cluster" in test for test in tests) else ("--quick",)


def chosen(what: str, most: int, seed: int) -> list[Tried]:
    """Mutants of a room, of a file, or of a line of a file (``FILE:LINE``): all, or so many of them by a seed.

    One that is drawn stays so while its line does, whatever else is changed.
    """
    name, _, line = what.partition(":")
    files = sorted((HERE / "batchsend" / name).rglob("*.py")) if name in ROOMS else [HERE / name]
    everything = [
        Tried(str(file.relative_to(HERE)), one)
        for file in files
        for one in mutants(file.read_text())
        if not line or one.line == int(line)
    ]
    some = sorted(everything, key=lambda one: hashlib.sha256(f"{seed} {one.key}".encode()).digest())[:most]
    print(f"{what}: {len(everything)} mutants, {len(some)} are tried, seed {seed}", flush=True)
    return sorted(some, key=lambda one: (one.file, one.mutant.line))


def known() -> dict[tuple[str, str, str], str]:
    """The survivors that there is a reason for: file, line as it is, line as it becomes; and the reason."""
    rows = [line.split("\t") for line in KNOWN.read_text().splitlines()[1:]]
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def interval(caught: int, tried: int) -> tuple[float, float]:
    """Between which fractions of all mutants are caught, by 95 in 100 (Wilson's interval)."""
    z = 1.96
    middle, spread = caught / tried + z * z / (2 * tried), z * z / tried
    half = z * math.sqrt(caught / tried * (1 - caught / tried) / tried + spread / (4 * tried))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def _said(tried: list[Tried], fates: list[str | None]) -> Iterator[str]:
    """One line for each room."""
    of_room = Counter(one.room for one in tried)
    caught = Counter(one.room for one, fate in zip(tried, fates, strict=True) if fate is not None)
    for room, count in of_room.items():
        low, high = interval(caught[room], count)
        yield f"{room}: {caught[room]} of {count} are caught: {caught[room] / count:.0%} ({low:.0%} to {high:.0%})"


def main(given: argparse.Namespace) -> int:
    """Try mutants; returns the exit code."""
    adopt()
    # A shell has what it starts in the background ignore these, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    tried = [one for name in given.what for one in chosen(name, given.most, given.seed)]
    reasons = known()
    fates: list[str | None] = []
    wrong = 0

    def work(runner: Runner) -> None:
        nonlocal wrong
        trial = Trial(runner, record(given.kept, HERE, runner, simulation="--quick" in more), given.within)
        for one in tried:
            began = time.monotonic()
            reason = reasons.get(one.key)
            fate = trial.caught(one) if given.again or reason is None else None
            fates.append(fate)
            if fate is None:
                wrong += reason is None
                said = f"SURVIVES\t{reason or 'and nobody says why'}"
            else:
                wrong += reason is not None
                said = f"caught\t{fate}" if reason is None else f"CAUGHT\t{fate}: strike it from {KNOWN.name}"
            change = f"{one.file}:{one.mutant.line}\t{one.mutant.before}\t{one.mutant.after}"
            print(f"{time.monotonic() - began:.1f} s\t{change}\t{said}", flush=True)

    tests = sorted({test for one in tried for test in TIERS[one.room]})
    more = _quick(tests)
    collect(tests, work, *more)
    print(*_said(tried, fates), sep="\n")
    enough = sum(fate is not None for fate in fates) >= LEAST * len(fates)
    return 0 if enough and not wrong else 1


if __name__ == "__main__":  # started as a module, which has a name that it can be imported by again
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="+")
    parser.add_argument("--most", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--within", type=float)
    parser.add_argument("--again", action="store_true")
    sys.exit(main(parser.parse_args()))
