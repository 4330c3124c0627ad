"""``python -m tests.simulation.broken_builds [SEED [NAME …]]``: builds broken on purpose, and how soon each is found.

Each patch in ``tests/simulation/broken`` takes one thing away that a promise rests on. It is applied to a copy, and the
simulation runs in the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PATCHES: Final = sorted((Path(__file__).parent / "broken").glob("*.patch"))
CLUSTER_PATCHES: Final = sorted((Path(__file__).parent / "broken" / "cluster").glob("*.patch"))
"""Those that are for the simulated cluster to find, which needs PostgreSQL."""
SECONDS: Final = 60
APPLY: Final = ("git", "apply", "-C1")
"""One line around a change is enough to know its place: the others may change with the program."""
_COPIED: Final = ("batchsend", "tests")


class Found(NamedTuple):
    """What the simulation has said of a build.

    Attributes:
        code: Its exit code: 1 where something was found.
        said: What it said.
    """

    code: int
    said: str


def build(patch: Path, folder: Path) -> None:
    """Make a broken copy of the program in a folder.

    Raises:
        subprocess.CalledProcessError: The patch does not fit.
    """
    for name in _COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Where the folder is within a repository, git would take the paths as that one's.
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    subprocess.run([*APPLY, str(patch)], cwd=folder, env=outside, check=True)


def simulate(folder: Path, simulation: str, seed: int, seconds: float) -> Found:
    """Run cases of a simulation in a copy until one fails, for so many seconds at most."""
    command = [sys.executable, "-m", simulation, str(seed), "--seconds", str(seconds), "--as-it-is"]
    # What is in the copy, whatever the environment has installed.
    paths = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=folder, env=paths, capture_output=True, text=True, check=False)
    return Found(done.returncode, done.stdout + done.stderr)


def find(patch: Path, seed: int, seconds: float = SECONDS) -> Found:
    """Make a broken build, and run cases in it until one fails."""
    with tempfile.TemporaryDirectory(prefix="batchsend-broken-") as folder:
        build(patch, Path(folder))
        simulation = "tests.simulation.cluster" if patch in CLUSTER_PATCHES else "tests.simulation"
        return simulate(Path(folder), simulation, seed, seconds)


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    wanted = sys.argv[2:]
    missed = 0
    for patch in (one for one in (*PATCHES, *CLUSTER_PATCHES) if not wanted or one.stem in wanted):
        found = find(patch, seed)
        missed += found.code != 1
        print(f"{patch.stem}: {' '.join(found.said.split(chr(10))[:2])[:200]}", flush=True)
    sys.exit(1 if missed else 0)
