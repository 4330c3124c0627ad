"""Workers killed, stopped and cut off, PostgreSQL killed and restarted: no record lost, none delivered twice.

``python -m tests.cluster 60`` is the long version; ``BATCHSEND_CLUSTER_FAULTS`` sets the number here.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.cluster.table import rows
from tests.cluster.trial import run_trials

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

FAULTS = int(os.environ.get("BATCHSEND_CLUSTER_FAULTS", "7"))


async def test_no_fault_loses_a_record_or_delivers_one_twice(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    trials = await run_trials(FAULTS, 600, seed, tmp_path)
    print(f"\nseed {seed}")
    for row in rows(trials):
        print(row)
    wrong = [f"{setting}: {line}" for setting, found in trials for line in found.wrong]
    assert not wrong, "\n".join(wrong)
