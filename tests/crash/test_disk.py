"""A disk that is full or fails: nothing new is sent, the run ends with 3, and afterwards the account is whole again."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crash.house import House, address, house
from tests.crash.processes import STRACE

if TYPE_CHECKING:
    from pathlib import Path

_TRY = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
MOUNTS = shutil.which("unshare") is not None and not subprocess.run(_TRY, check=False, capture_output=True).returncode

ON_A_SMALL_DISK = """
mkdir small && mount -t tmpfs -o size=128k none small || exit 99
"$@" send campaign.toml --results small/results.jsonl
echo "ended with $?"
ls small
"$@" resume small/results.jsonl
echo "while full: $?"
mount -o remount,size=8m small
"$@" resume small/results.jsonl
echo "with room: $?"
cp small/* .
"""


async def run(built: House, *command: str) -> str:
    """Run a command in the house; what it says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=built.directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode()


@pytest.mark.skipif(not MOUNTS, reason="file systems cannot be mounted here")
@pytest.mark.parametrize("depth", [1, 8])
async def test_after_a_full_disk_and_then_room_everybody_got_it_once(tmp_path: Path, depth: int) -> None:
    async with house(tmp_path, records=1000, delivery=f"depth = {depth}") as built:
        said = await run(built, "unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", sys.executable, "-m", "batchsend")
        assert "ended with 3" in said
        assert "the results log cannot be written: No space left on device" in said
        assert "make room, or see what is wrong with the disk; then, to go on: batchsend resume" in said
        assert "results.jsonl.inflight" in said
        assert "while full: 3" in said
        assert "with room: 0" in said
        assert "Traceback" not in said
        assert built.taken == {address(record): 1 for record in range(1, 1001)}
        assert built.last == dict.fromkeys(range(1, 1001), "accepted")
        assert not built.journal.exists()


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("error", ["EIO", "EDQUOT"])
async def test_after_a_failing_disk_and_then_a_sound_one_everybody_got_it_once(tmp_path: Path, error: str) -> None:
    async with house(tmp_path, records=300) as built:
        built.results.touch()  # strace knows a file by the one that is there
        said = await run(
            built,
            *(str(STRACE), "-f", "-qq", "-o", "/dev/null", "-P", str(built.results)),
            *("-e", "trace=write", "-e", f"inject=write:error={error}:when=20+"),
            *(sys.executable, "-m", "batchsend", "send", "campaign.toml"),
        )
        assert "the results log cannot be written" in said
        assert "Traceback" not in said
        assert built.journal.exists()
        assert 0 < sum(built.taken.values()) < 300
        assert await built.resume() == 0
        assert built.taken == {address(record): 1 for record in range(1, 301)}
        assert built.last == dict.fromkeys(range(1, 301), "accepted")


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
async def test_with_power_a_disk_that_does_not_sync_ends_the_run_before_anything_is_committed_on_its_word(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, records=300, delivery='durability = "power"') as built:
        said = await run(
            built,
            *(str(STRACE), "-f", "-qq", "-o", "/dev/null"),
            *("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=20+"),
            *(sys.executable, "-m", "batchsend", "send", "campaign.toml"),
        )
        assert "the disk does not keep the account: Input/output error" in said
        assert "Traceback" not in said
        assert built.journal.exists()
        assert 0 < sum(built.taken.values()) < 300
        assert await built.resume("--retry", "in_doubt") == 0
        assert set(built.last.values()) == {"accepted"}
        assert set(built.taken) == {address(record) for record in range(1, 301)}
        assert sum(built.taken.values()) == 300


async def test_with_power_rotation_and_the_end_are_as_ever(tmp_path: Path) -> None:
    async with house(tmp_path, records=200, delivery='durability = "power"\nmax_messages = 10') as built:
        assert await built.send() == 0
        assert built.taken == {address(record): 1 for record in range(1, 201)}
        assert not built.journal.exists()


async def test_a_log_that_was_moved_can_be_gone_on_with(tmp_path: Path) -> None:
    async with house(tmp_path, records=50) as built:
        assert await built.send("--limit", "20") == 0
        moved = built.directory / "moved.jsonl"
        built.results.rename(moved)
        assert await built.run("resume", moved) == 0
        assert built.taken == {address(record): 1 for record in range(1, 51)}
        lines = [json.loads(line) for line in moved.read_text().splitlines()]
        assert len([line for line in lines if "record" in line]) == 50
