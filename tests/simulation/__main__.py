"""``python -m tests.simulation [SEED] [--runs N] [--seconds S]``: cases from a seed on, until one fails.

A case that fails is made smaller, printed, and kept in ``tests/simulation/cases``: the tests try it from then on.
``--case FILE`` runs one that was kept. Seconds are those that the processor computes: they are the same on a busy
machine.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import msgspec

from tests.simulation.case import Case
from tests.simulation.drawing import draw
from tests.simulation.running import run_case
from tests.simulation.shrinking import keep, shrink, smaller_cases

CASES = Path(__file__).parent / "cases"


def main(seed: int, runs: int | None, seconds: float, kept: Path | None, *, as_it_is: bool) -> int:
    """Run cases; returns the exit code.

    Args:
        seed: Of the first case.
        runs: How many; None for as many as there is time for.
        seconds: How long, in seconds of this process's computing, where it is not said how many.
        kept: A case that was kept, to run instead.
        as_it_is: Whether a case that fails is left as large as it is.
    """
    if kept is not None:
        return _tell(msgspec.json.decode(kept.read_bytes(), type=Case))
    began = time.process_time()
    done = 0
    while (runs is None or done < runs) and (runs is not None or time.process_time() - began < seconds):
        case = draw(seed + done)
        done += 1
        if wrong := run_case(case):
            print(f"seed {case.seed}, after {done} cases and {time.process_time() - began:.0f} s:")
            for line in wrong[:5]:
                print(f"  {line[:500]}")
            sys.stdout.flush()
            if as_it_is:
                return 1
            small = shrink(case, lambda one: bool(run_case(one)), smaller_cases, seconds=30.0)
            print(f"kept as {keep(small, small.seed, CASES)}")
            return _tell(small)
    print(f"{done} cases from seed {seed} on, in {time.process_time() - began:.0f} s: nothing wrong")
    return 0


def _tell(case: Case) -> int:
    """Run a case, and print it with what is wrong; returns the exit code."""
    wrong = run_case(case)
    print(msgspec.json.format(msgspec.json.encode(case), indent=1).decode())
    for line in wrong[:10]:
        print(f"wrong: {line[:500]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int, nargs="?", default=None)
    parser.add_argument("--runs", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--case", type=Path, default=None)
    parser.add_argument("--as-it-is", action="store_true", help="do not make a case that fails smaller")
    given = parser.parse_args()
    first = random.randrange(2**32) if given.seed is None else given.seed
    sys.exit(main(first, given.runs, given.seconds, given.case, as_it_is=given.as_it_is))
