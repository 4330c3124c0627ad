"""``python -m tests.mutation FILE … [--most N] [--seed S]``: is each change of these files noticed by a test?

A mutant is made in a copy of the program. It is caught where one of the quick tests of its package fails, or a case of
the simulation. Those that survive are marked, unless `survivors.tsv` names them with a reason; the exit code is 1
where fewer than nine in ten are caught. Tools such as mutmut run the tests on functions that they have taken apart,
which the tests of the architecture and of the compiled modules read, and they cannot ask the simulation.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Mutant, mutants

ROOT: Final = Path(__file__).parents[2]
KNOWN: Final = Path(__file__).parent / "survivors.tsv"
LEAST: Final = 0.9
"""How many of the mutants have to be caught."""

_COPIED: Final = ("batchsend", "tests", "samples", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md")
_SIMULATED: Final = ("-m", "tests.simulation", "50000", "--runs", "80", "--as-it-is")
_WITHIN: Final = 120.0

TESTS: Final = {
    "results": ("tests/results",),
    "delivery": ("tests/delivery",),
    "smtp": ("tests/smtp",),
    "run": ("tests/run", "tests/test_batch.py", "tests/test_batch_streams.py"),
    "cluster": ("tests/cluster", "tests/simulation/cluster"),
}
"""The tests of each package that are tried first."""


def caught(folder: Path, tests: tuple[str, ...]) -> str | None:
    """What notices the mutant in a copy: ``tests``, ``simulation`` or ``time``; None for nothing."""
    paths = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONSAFEPATH": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder),
    }
    pytest = ("-m", "pytest", "-q", "-x", "--quick", "-p", "no:cacheprovider", *tests)
    for name, command in (("tests", pytest), ("simulation", _SIMULATED)):
        try:
            done = subprocess.run(
                [sys.executable, *command], cwd=folder, env=paths, capture_output=True, timeout=_WITHIN, check=False
            )
        except subprocess.TimeoutExpired:
            return "time"
        if done.returncode:
            return name
    return None


def known() -> set[tuple[str, str, str]]:
    """The survivors that there is a reason for: file, line as it is, line as it becomes."""
    rows = [line.split("\t") for line in KNOWN.read_text().splitlines()[1:]]
    return {(row[0], row[1], row[2]) for row in rows}


def main(files: list[Path], most: int, seed: int) -> int:
    """Try mutants of some files; returns the exit code."""
    everything = [(file, one) for file in files for one in mutants(file.read_text())]
    chosen: list[tuple[Path, Mutant]] = random.Random(seed).sample(everything, min(most, len(everything)))
    print(f"{len(everything)} mutants, {len(chosen)} are tried, seed {seed}", flush=True)
    reasons = known()
    noticed = 0
    with tempfile.TemporaryDirectory(prefix="batchsend-mutation-") as made:
        folder = Path(made)
        for name in _COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        for file, one in sorted(chosen, key=lambda pair: (pair[0], pair[1].line)):
            name = str(file.resolve().relative_to(ROOT))
            (folder / name).write_text(one.source)
            by = caught(folder, TESTS[file.resolve().parent.relative_to(ROOT / "batchsend").parts[0]])
            (folder / name).write_text(file.read_text())
            noticed += by is not None
            fate = by or ("known" if (name, one.before, one.after) in reasons else "SURVIVES")
            print(f"{fate}\t{name}:{one.line}\t{one.before}\t{one.after}", flush=True)
    print(f"{noticed} of {len(chosen)} are caught")
    return 0 if noticed >= LEAST * len(chosen) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--most", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(main(given.files, given.most, given.seed))
