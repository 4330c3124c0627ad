"""``python -m tests.mutation ROOM|FILE|FILE:LINE … [--most N] [--seed S]``: is each change noticed by a test?

A mutant is a file with one thing changed. Of a room (``results``, ``smtp``, ``delivery``, ``run``, ``cluster``) so many
are tried as `--most` says, drawn by the seed. A mutant is shown to the quick tests that execute its statement and to
the cases of the simulation that do, those of its room and the quickest first, until one fails. Which do so is recorded
in ``.pytest_cache/mutation.json``, and again where something has changed. It survives where none fails. The code is 1
where fewer than nine in ten are caught, where one survives that ``survivors.tsv`` does not give a reason for, or, with
`--again`, where one is caught that stands there.

Tools such as mutmut run the tests on functions that they have taken apart, which the tests of the architecture and of
the compiled modules read, and they change no constants and cannot ask the simulation.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_WATCHED: Final = """
import os
if "COVERAGE_PROCESS_START" in os.environ:
    import coverage
    coverage.process_startup()
"""
"""What every process of the tests does first: where it is to be watched, it is."""

_COPIED: Final = ("batchsend", "tests", "samples", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md")


def main(options: list[str]) -> int:
    """Try mutants in a copy of the program; returns the exit code."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="bm-") as made,  # short: tests make Unix sockets below it, of 107 octets
        tempfile.TemporaryDirectory(prefix="batchsend-mutation-", dir=memory) as servers,
    ):
        folder = Path(made).resolve()
        Path(servers).chmod(0o755)  # they run as nobody
        for name in _COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        (folder / "t").mkdir()
        (folder / "sitecustomize.py").write_text(_WATCHED)
        paths = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "PYTHONSAFEPATH": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
            "TMPDIR": str(folder / "t"),
            "BATCHSEND_TEST_MEMORY": servers,
        }
        command = [sys.executable, "-m", "tests.mutation.trial", *options]
        command += ["--kept", str(ROOT / ".pytest_cache" / "mutation.json")]
        return subprocess.run(command, cwd=folder, env=paths, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("what", nargs="+", help="a room, a file of one, or a line: FILE:LINE")
    parser.add_argument("--most", type=int, default=80, help="how many mutants of each are tried")
    parser.add_argument("--seed", type=int, default=1, help="which of them")
    parser.add_argument("--within", type=float, default=60.0, help="seconds for the tests of a mutant")
    parser.add_argument("--again", action="store_true", help="try those, too, that survivors.tsv gives a reason for")
    given = parser.parse_args()
    limits = ["--most", str(given.most), "--seed", str(given.seed), "--within", str(given.within)]
    sys.exit(main([*given.what, *limits, *(["--again"] if given.again else [])]))
