"""``python -m tests.fuzz SUBJECT …|all``: foreign input at random, until something is found.

Each input may end in nothing but the errors that its reader documents, and take 5 s and 500 MB. What is found is made
smaller, printed, and kept in ``tests/fuzz/findings``, whose inputs the tests try again. The same seed makes the same
inputs in the same order. Seconds are those that the processor computes: they are the same on a busy machine.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import random
import signal
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.subjects import SUBJECTS
from tests.fuzz.trying import Apart, Finding, died_of

if TYPE_CHECKING:
    from collections.abc import Sequence

FINDINGS = Path(__file__).parent / "findings"


def main(names: Sequence[str], seconds: float, seed: int, jobs: int, keep: Path) -> int:
    """Fuzz some subjects, so many at a time; returns the exit code."""
    found = 0
    waiting = list(names)
    running: dict[object, tuple[str, Apart]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            apart = Apart(SUBJECTS[name], seed, seconds)
            running[apart.receiver] = name, apart
        for receiver in wait([apart.receiver for _, apart in running.values()]):
            name, apart = running.pop(receiver)
            tried, finding = apart.result()
            said = f"{tried or 'some'} inputs, {seconds:g} s, seed {seed}"
            print(f"{name}: {said}: {'found' if finding else 'nothing found'}", flush=True)
            if finding is not None:
                found += 1
                tell(name, died_of(SUBJECTS[name], finding) if not tried else finding, keep)
    return 1 if found else 0


def tell(name: str, finding: Finding, keep: Path) -> None:
    """Print what was found, and keep it in a folder."""
    path = keep / f"{name}-{hashlib.sha256(finding.octets).hexdigest()[:8]}"
    print(f"{finding.what.rstrip()}\n{finding.octets[:200]!r}")
    print(f"base64 -d >tests/fuzz/findings/{path.name} <<<{base64.b64encode(finding.octets).decode()}", flush=True)
    path.write_bytes(finding.octets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("subjects", nargs="+", choices=["all", *SUBJECTS])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each subject")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="so many subjects at a time")
    parser.add_argument("--keep", type=Path, default=FINDINGS, help="the folder for what is found")
    given = parser.parse_args()
    chosen = list(SUBJECTS) if "all" in given.subjects else given.subjects
    first = random.randrange(2**32) if given.seed is None else given.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which ends its processes, too
    sys.exit(main(chosen, given.seconds, first, given.jobs, given.keep))
