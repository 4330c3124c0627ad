"""``python -m tests.random_server [--single] [TRANSACTIONS [SEED]]``: the long version, with its table."""

from __future__ import annotations

import argparse
import random
import sys

from tests.random_server.table import rows
from tests.random_server.trial import run_trials


def main(transactions: int, seed: int, *, single: bool) -> int:
    """Begin so many transactions; returns the exit code."""
    found = run_trials(transactions, seed, single=single)
    print(f"seed {seed}{', one recipient a message' if single else ''}")
    for row in rows(found):
        print(row)
    wrong = [line for findings in found.values() for line in findings.wrongly_accepted]
    for line in wrong[:20]:
        print(f"wrongly accepted: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.random_server")
    parser.add_argument("transactions", type=int, nargs="?", default=200_000)
    parser.add_argument("seed", type=int, nargs="?", default=None)
    parser.add_argument("--single", action="store_true", help="every message has one recipient")
    given = parser.parse_args()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    sys.exit(main(given.transactions, seed, single=given.single))
