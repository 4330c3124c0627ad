"""``python -m tests.guards [WORD …]``: each guard of the program is taken out, and its test has to fail.

What `batchsend/manual/security.md` claims is only as true as the tests that hold it. In a copy of the checkout each
guard is taken out by itself, and the test that stands for it is run: it has to fail, and not by an error of its own.
With words only the guards whose claim has one of them.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.guards.guard import Guard, without
from tests.guards.table import GUARDS

ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = ("batchsend", "tests", "samples", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md")
_WITHIN: Final = 300.0
_FAILED: Final = 1
"""pytest's exit code where tests have failed; others say that there were none, or that they could not be run."""


class Tried(NamedTuple):
    """What became of the tests of a guard.

    Attributes:
        noticed: They failed without it, as they have to.
        said: Their last line, or what was in the way.
    """

    noticed: bool
    said: str


def copy(folder: Path) -> None:
    """Make a copy of the checkout in a folder, and of each library beside it that has a guard of ours."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for name in {guard.file.partition("/")[0] for guard in GUARDS} - {"batchsend"}:
        shutil.copytree(library(name), folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def library(name: str) -> Path:
    """Where a library is installed."""
    return Path(importlib.import_module(name).__file__ or "").parent


def original(guard: Guard) -> Path:
    """The file that a guard stands in."""
    first, _, rest = guard.file.partition("/")
    return ROOT / guard.file if first == "batchsend" else library(first) / rest


def attempt(guard: Guard, folder: Path) -> Tried:
    """Run the tests of a guard in a copy without it, and put it back."""
    source = original(guard).read_text()
    (folder / guard.file).write_text(without(guard, source))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line", guard.tests]
    if guard.chosen:
        command += ["-k", guard.chosen]
    given = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=_WITHIN
        )
    except subprocess.TimeoutExpired:
        return Tried(noticed=True, said=f"not over within {_WITHIN:g} s")
    finally:
        (folder / guard.file).write_text(source)
    # What is left of a test that has failed may be told on standard error, when pytest has had its last word.
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines() or [""]
    return Tried(noticed=done.returncode == _FAILED and " failed" in lines[-1], said=lines[-1])


def main(words: list[str]) -> int:
    """Take guards out; returns the exit code."""
    chosen = [guard for guard in GUARDS if not words or any(word in guard.claim for word in words)]
    unnoticed = 0
    print("| claim | guard in | test | without it |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="batchsend-guards-") as made:
        copy(Path(made))
        for guard in chosen:
            tried = attempt(guard, Path(made))
            unnoticed += not tried.noticed
            fate = tried.said if tried.noticed else f"NOT NOTICED: {tried.said}"
            print(f"| {guard.claim} | {guard.file} | {guard.tests} {guard.chosen} | {fate} |", flush=True)
    print(f"{len(chosen) - unnoticed} of {len(chosen)} are noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
