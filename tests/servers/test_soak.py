"""A campaign of some length: nothing grows on the way, and each record is sent once.

``python -m tests.servers.soak`` is the long version, of a million records.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.servers.soak import Soaked, counting, grown, miscounted, soak

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RECORDS = 30_000


def test_nothing_grows_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In so short a time caches are still being filled; a record that stayed in memory would take some kilobytes.
    monkeypatch.setattr("tests.servers.soak.MORE_MEMORY", 16.0)
    with counting(RECORDS) as (port, end):
        looks, accepted = asyncio.run(soak(tmp_path, RECORDS, port))
        soaked = Soaked(looks, accepted, end())
    assert miscounted(soaked) == []
    assert grown(soaked.looks) == []
