"""The manual's page is followed to the letter, but for the database, which is there already, and the port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import batchsend
from tests.servers.daemon import free_ports

if TYPE_CHECKING:
    from tests.cluster.house import House

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]

_PACKAGE = Path(batchsend.__file__).parent
_SAMPLES = Path(__file__).parents[2] / "samples"


def commands(heading: str, language: str = "sh") -> str:
    """The commands under a heading of the page."""
    page = (_PACKAGE / "manual" / "cluster.md").read_text()
    found = re.search(rf"^## {heading}$.*?^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


async def test_it_can_be_tried_on_one_machine_by_copy_and_paste(house: House, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    pasted = commands("Try it on one machine")
    kept = [line for line in pasted.splitlines() if not line.startswith(("sudo ", "export BATCHSEND_DATABASE="))]
    assert len(pasted.splitlines()) - len(kept) == 4, "the database is made by three commands, and named by one"
    script = "\n".join(kept).replace("2525", str(port))
    shutil.copytree(_SAMPLES / "welcome", tmp_path / "samples" / "welcome")
    program = tmp_path / "bin" / "batchsend"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batchsend "$@"\n')
    program.chmod(0o755)
    environment = dict(
        os.environ,
        BATCHSEND_DATABASE=house.url,
        PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH=str(_PACKAGE.parent),
    )
    # What is started beside, the sink and a worker, ends with the shell; a shell that is pasted to goes on after an
    # error, and this one does not.
    process = await asyncio.create_subprocess_exec(
        *("bash", "-ec", f"trap 'kill $(jobs -p); wait' EXIT\n{script}"),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120.0):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    said = output.decode()
    assert "welcome is published" in said
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    accepted = [line["record"] for line in lines if line.get("status") == "accepted"]
    assert len(accepted) == len(set(accepted)) > 0
    assert f"{len(accepted):,} accepted" in said, "status says it"
    assert "stopped" in lines[-1]["run"], "the log is complete"
    asked = [await house.sql(statement) for statement in commands("In SQL", "sql").splitlines()]
    assert len(asked) == 2
    assert asked[1] == [("accepted", len(accepted))]
