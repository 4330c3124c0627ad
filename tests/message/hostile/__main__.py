"""The long form: ``python -m tests.message.hostile [--server smtp-sink|batchsend] N SEED`` from the checkout."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.message.hostile.rows import rows
from tests.message.hostile.run import send
from tests.message.hostile.servers import batchsend_sink, smtp_sink

_SHOWN = 20


def main() -> int:
    """Send so many hostile records and print what came of them; 1 if anything was not asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, metavar="N", help="how many records")
    parser.add_argument("seed", type=int, metavar="SEED", help="what they are made from")
    parser.add_argument("--server", choices=("smtp-sink", "batchsend"), default="smtp-sink")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        (path := Path(directory) / "campaign").mkdir()
        made = list(rows(options.count, options.seed))
        if options.server == "smtp-sink":
            result = send(path, smtp_sink(), made, "--max-connections", "20")
        else:
            result = send(path, batchsend_sink(Path(directory)), made, "--depth", "8")
    for complaint in result.complaints[:_SHOWN]:
        print(complaint)
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(result.counts.items()))
    print(f"{options.count:,} hostile records of seed {options.seed} to {options.server}: {counts}")
    print(
        f"{result.received:,} messages received, {len(result.complaints)} complaints, {time.monotonic() - began:.0f} s"
    )
    return 1 if result.complaints else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(str(missing))
