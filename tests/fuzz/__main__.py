"""``python -m tests.fuzz SUBJECT|all [--seconds N] [--seed S]``: foreign input at random, until something is found.

Each input may end in nothing but the errors that its reader documents, and take 5 s and 500 MB. What is found is made
smaller and kept in ``tests/fuzz/findings``, whose inputs the tests try again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from pathlib import Path

from tests.fuzz.subjects import SUBJECTS
from tests.fuzz.trying import fuzz

FINDINGS = Path(__file__).parent / "findings"


def main(names: list[str], seconds: float, seed: int) -> int:
    """Fuzz some subjects; returns the exit code."""
    found = 0
    for name in names:
        tried, finding = fuzz(SUBJECTS[name], seconds, seed)
        print(f"{name}: {tried} inputs in {seconds:g} s, seed {seed}: {'found' if finding else 'nothing found'}")
        sys.stdout.flush()
        if finding is not None:
            found += 1
            path = FINDINGS / f"{name}-{hashlib.sha256(finding.octets).hexdigest()[:8]}"
            path.write_bytes(finding.octets)
            print(f"{path.name}: {finding.octets[:200]!r}\n{finding.what}")
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("subject", choices=["all", *SUBJECTS])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    chosen = list(SUBJECTS) if given.subject == "all" else [given.subject]
    sys.exit(main(chosen, given.seconds, random.randrange(2**32) if given.seed is None else given.seed))
