"""``python -m tests.simulation.cluster [SEED] [--runs N] [--seconds S]``: cases of the cluster, until one fails.

A case that fails is made smaller, printed, and kept in ``tests/simulation/cluster/cases``: the tests try it from then
on. ``--case FILE`` runs one that was kept, ``--tell`` says what happens in it. Seconds are those that this process
computes: they are the same on a busy machine.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import msgspec

from tests.cluster.postgres import Postgres
from tests.simulation.cluster.case import ClusterCase, draw
from tests.simulation.cluster.database import RealDatabase
from tests.simulation.cluster.running import run_case
from tests.simulation.cluster.shrinking import smaller_cases
from tests.simulation.shrinking import keep, shrink

CASES = Path(__file__).parent / "cases"


def main(real: RealDatabase, given: argparse.Namespace) -> int:
    """Run cases; returns the exit code."""
    if given.case is not None:
        return _tell(msgspec.json.decode(given.case.read_bytes(), type=ClusterCase), real, tell=given.tell)
    seed = random.randrange(2**32) if given.seed is None else given.seed
    began = time.process_time()
    done = 0
    while done < given.runs if given.runs is not None else time.process_time() - began < given.seconds:
        case = draw(seed + done)
        done += 1
        wrong = run_case(case, real, print if given.tell else lambda _: None)
        if wrong:
            print(f"seed {case.seed}, after {done} cases and {time.process_time() - began:.0f} s:")
            for line in wrong[:5]:
                print(f"  {line[:500]}")
            sys.stdout.flush()
            if given.as_it_is:
                return 1
            small = shrink(case, lambda one: bool(run_case(one, real)), smaller_cases, seconds=20.0)
            print(f"kept as {keep(small, small.seed, CASES)}")
            return _tell(small, real, tell=False)
    print(f"{done} cases from seed {seed} on, in {time.process_time() - began:.0f} s: nothing wrong")
    return 0


def _tell(case: ClusterCase, real: RealDatabase, *, tell: bool) -> int:
    wrong = run_case(case, real, print if tell else lambda _: None)
    print(msgspec.json.format(msgspec.json.encode(case), indent=1).decode())
    for line in wrong[:10]:
        print(f"wrong: {line[:1000]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.cluster")
    parser.add_argument("seed", type=int, nargs="?", default=None)
    parser.add_argument("--runs", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--case", type=Path, default=None)
    parser.add_argument("--tell", action="store_true", help="say what happens")
    parser.add_argument("--as-it-is", action="store_true", help="do not make a case that fails smaller")
    with Postgres("fsync=off", "autovacuum=off") as postgres, RealDatabase(postgres.url) as real:
        code = main(real, parser.parse_args())
    sys.exit(code)
