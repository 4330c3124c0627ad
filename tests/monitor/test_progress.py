"""How much is done: told by the size of the file, of which what is read and not yet decided is no part."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import batchsend
from batchsend import Batch, Stage
from batchsend.campaign import Overrides
from batchsend.recipients import open_records
from tests.cli.commandline import make_campaign
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["many.csv", "many.jsonl", "many.csv.gz"])
def test_reading_goes_on_evenly_although_blocks_are_large(tmp_path: Path, name: str) -> None:
    rows = [f"r{number}@example.com" for number in range(40_000)]
    csv = "email\n" + "".join(f"{row}\n" for row in rows)
    text = "".join(f'{{"email": "{row}"}}\n' for row in rows) if "jsonl" in name else csv
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    with open_records(tmp_path / name) as reader:
        assert reader.progress == 0.0, "the first block is read already, and no record of it was given"
        told = []
        while reader.read(500):
            assert reader.progress is not None
            told.append(reader.progress)
        assert reader.given == 40_000
    assert told == sorted(told)
    assert told[-1] == 1.0
    steps = [after - before for before, after in pairwise(told)]
    if not name.endswith(".gz"):
        assert max(steps) < 0.03, "half a percent at a time, give or take"


def batch(folder: Path, server: CountingServer, count: int, limit: int | None = None) -> Batch:
    recipients = "email,name\n" + "".join(f"r{number}@example.com,N\n" for number in range(1, count + 1))
    campaign = make_campaign(folder, recipients, delivery="max_connections = 1")
    overrides = Overrides(server=f"smtp://{server.host}:{server.port}")
    return Batch(batchsend.load(campaign, overrides=overrides), limit=limit)


def halts(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    """Defers the first, takes the next nine, and answers no more."""
    if stage is Stage.RCPT and recipient == "r1@example.com":
        return refuse(450, "4.2.0 later")
    return drop(Then.SILENCE) if transaction == 11 and stage is Stage.CONTENT else ACCEPT


@pytest.mark.parametrize(("limit", "progress"), [(None, 9 / 40), (20, 9 / 20), (1000, 9 / 40)])
async def test_what_is_under_way_or_waits_is_not_done(tmp_path: Path, limit: int | None, progress: float) -> None:
    async with CountingServer(halts) as server:
        running = batch(tmp_path, server, 40, limit)
        assert (running.statistics, running.progress) == (None, None), "nothing has been looked at"
        await running.prepare()
        assert running.progress == 0.0
        with anyio.fail_after(GUARD):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(running.run)
                while running.summary.records < 10:  # noqa: ASYNC110 - nothing tells of it
                    await anyio.sleep(0.001)
                assert running.summary.waiting == 1
                assert running.progress == pytest.approx(progress)
                tasks.cancel_scope.cancel()


async def test_of_a_pipe_it_is_not_known_and_of_a_limit_it_is(tmp_path: Path) -> None:
    for name, limit, told in (("whole", None, (None, None)), ("limited", 20, (10 / 20, None))):  # it is not read again
        (folder := tmp_path / name).mkdir()
        async with CountingServer(halts) as server:
            running = batch(folder, server, 40, limit)
            rows = (folder / "recipients.csv").read_bytes()
            (folder / "recipients.csv").unlink()
            os.mkfifo(folder / "recipients.csv")
            with anyio.fail_after(GUARD):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(anyio.to_thread.run_sync, (folder / "recipients.csv").write_bytes, rows)
                    tasks.start_soon(running.run)
                    while running.summary.records < 10:  # noqa: ASYNC110 - nothing tells of it
                        await anyio.sleep(0.001)
                    assert (running.progress, running.left) == told
                    tasks.cancel_scope.cancel()


async def test_a_rehearsal_tells_how_much_it_has_read(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server, anyio.create_task_group() as tasks:
        running = batch(tmp_path, server, 300)
        tasks.start_soon(running.rehearse)
        told = []
        while running.summary.ready < 300:
            told.append((running.progress, running.left))
            await anyio.lowlevel.checkpoint()
    read = [progress for progress, _ in told if progress is not None]
    assert read == sorted(read)
    assert 0 < read[-1] < 1
    assert {left for _, left in told} == {None}


async def test_at_the_end_all_is_done(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        running = batch(tmp_path, server, 30)
        with anyio.fail_after(GUARD):
            await running.run()
    assert running.progress == 1.0
    assert running.statistics is not None
    assert running.statistics.in_flight == running.statistics.backlog == 0
