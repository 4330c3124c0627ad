"""``python -m tests.cluster [FAULTS [SEED [RECORDS]]]``: the long version of the fault test, with its table."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.cluster.table import rows
from tests.cluster.trial import run_trials


async def main(faults: int, seed: int, records: int) -> int:
    """Let so many things fail; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="batchsend-cluster-") as scratch:
        trials = await run_trials(faults, records, seed, Path(scratch))
    for setting, found in trials:
        for line in found.wrong:
            print(f"{setting}: {line}")
    print(f"seed {seed}")
    for row in rows(trials):
        print(row)
    return 1 if any(found.wrong for _, found in trials) else 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    defaults = [60, random.randrange(2**32), 5000]
    sys.exit(asyncio.run(main(*[*given, *defaults[len(given) :]])))
