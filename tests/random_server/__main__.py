"""``python -m tests.random_server [TRANSACTIONS [SEED]]``: the long version, with its table."""

from __future__ import annotations

import random
import sys

from tests.random_server.table import rows
from tests.random_server.trial import run_trials


def main(transactions: int, seed: int) -> int:
    """Begin so many transactions; returns the exit code."""
    found = run_trials(transactions, seed)
    print(f"seed {seed}")
    for row in rows(found):
        print(row)
    wrong = [line for findings in found.values() for line in findings.wrongly_accepted]
    for line in wrong[:20]:
        print(f"wrongly accepted: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    wanted = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(wanted[0] if wanted else 200_000, wanted[1] if len(wanted) > 1 else random.randrange(2**32)))
