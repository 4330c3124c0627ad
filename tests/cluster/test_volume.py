"""Many records: memory does not grow with them when they are published, sent and collected.

``BATCHSEND_CLUSTER_RECORDS`` and ``BATCHSEND_CLUSTER_WORKERS`` set the numbers: 1000000 with 0 workers publishes and
collects a million, whose outcomes are then entered by SQL; ``-s`` shows the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from batchsend.bench.embedded import EmbeddedSink
from benchmarks.process import Ran, execute
from tests.cluster.house import House, write_campaign

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

RECORDS = int(os.environ.get("BATCHSEND_CLUSTER_RECORDS", "12000"))
WORKERS = int(os.environ.get("BATCHSEND_CLUSTER_WORKERS", "2"))

_FEW = 1000
_MOST = 90.0  # MB: what a million records take, and ten million must not exceed; a thousand take 45

_ENTER = """
INSERT INTO batchsend.account (campaign, record, attempt, status, worker, line)
SELECT c.id, r, 1, 'accepted', 1, json_build_object('record', r, 'recipient', 'r' || r || '@example.com',
    'status', 'accepted', 'code', 250, 'enhanced', '2.0.0', 'reply', '250 2.0.0 Ok: queued as 4XyZ' || r,
    'attempt', 1, 'time', '2026-11-27T12:00:00.000Z')
FROM batchsend.campaigns AS c, generate_series(1, {records}) AS r WHERE c.name = '{name}';
UPDATE batchsend.lots SET done = true;
UPDATE batchsend.campaigns SET state = 'done', ended = now();
"""


async def ran(house: House, *arguments: str | Path) -> Ran:
    """Run a command of the cluster to its end."""
    command = [sys.executable, "-m", "batchsend", "cluster", *map(str, arguments)]
    return await asyncio.to_thread(execute, command, {"BATCHSEND_DATABASE": house.url})


async def everything(house: House, folder: Path, records: int) -> dict[str, Ran]:
    """Publish, send and collect so many records; hold the log against the server's count."""
    name, results = f"of{records}", folder / "results.jsonl"
    with EmbeddedSink() as sink:
        campaign = write_campaign(folder, sink.port, records)
        found = {"publish": await ran(house, "publish", campaign, "--name", name)}
        if WORKERS:
            sending = [ran(house, "work", "--until-done") for _ in range(WORKERS)]
            workers = await asyncio.gather(*sending)
            found["work"] = max(workers, key=lambda worker: worker.peak)
            assert sink.message_count() == records
        else:
            await house.sql(_ENTER.format(records=records, name=name))
        found["collect"] = await ran(house, "collect", name, "--results", results)
    with results.open() as log:
        lines = map(json.loads, log)
        numbers = [line["record"] for line in lines if line.get("status") == "accepted"]
    assert numbers == list(range(1, records + 1))
    return found


async def test_memory_does_not_grow_with_the_records(house: House, tmp_path: Path) -> None:
    few = await everything(house, tmp_path / "few", _FEW)
    many = await everything(house, tmp_path / "many", RECORDS)
    print()
    for step, one in many.items():
        pace = f"{RECORDS / one.seconds:,.0f} records/s"
        print(f"{step} {RECORDS:,}: {one.seconds:.1f} s, {pace}, {one.peak:.0f} MB", end="")
        print(f" ({few[step].peak:.0f} MB for {_FEW:,})")
    [(size,)] = await house.sql(
        "SELECT pg_total_relation_size('batchsend.account') + pg_total_relation_size('batchsend.lots')"
    )
    print(f"in the database: {size / RECORDS:,.0f} octets a record")
    assert [step for step, one in many.items() if one.peak > _MOST] == []
