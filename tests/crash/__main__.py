"""``python -m tests.crash [KILLS [SEED]]``: the long version of the crash test, with its table."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.crash.table import rows
from tests.crash.trial import run_trials


async def main(kills: int, seed: int) -> int:
    """Kill so many runs; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="batchsend-crash-") as scratch:
        trials = await run_trials(kills, seed, Path(scratch))
    for setting, found in trials:
        for line in found.wrong:
            print(f"{setting}: {line}")
    print(f"seed {seed}")
    for row in rows(trials):
        print(row)
    return 1 if any(found.wrong for _, found in trials) else 0


if __name__ == "__main__":
    wanted = [int(argument) for argument in sys.argv[1:]]
    sys.exit(asyncio.run(main(wanted[0] if wanted else 300, wanted[1] if len(wanted) > 1 else random.randrange(2**32))))
