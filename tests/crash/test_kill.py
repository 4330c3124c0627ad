"""kill -9 at any moment: no record lost, none delivered twice, and what is in doubt is named.

``python -m tests.crash 300`` tries that many kills; ``BATCHSEND_KILLS`` sets the number here.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from tests.crash.table import rows
from tests.crash.trial import run_trials

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("BATCHSEND_KILLS", "24"))


async def test_no_kill_loses_a_record_or_delivers_one_twice(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    trials = await run_trials(KILLS, seed, tmp_path)
    print(f"\nseed {seed}")
    for row in rows(trials):
        print(row)
    wrong = [f"{setting}: {line}" for setting, found in trials for line in found.wrong]
    assert not wrong, "\n".join(wrong)
