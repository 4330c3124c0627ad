"""batchsend in a process of its own, killed by SIGKILL at a moment of the test's choosing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STRACE = shutil.which("strace")
"""Kills at the entry of a system call, where it is installed."""


_LONGEST: Final = 240.0
"""Seconds after which a run that has not ended is one that never will."""


class Launcher:
    """Runs batchsend in forks of a process that has imported it. One at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.running: int | None = None

    async def run(
        self,
        arguments: list[str],
        output: Path,
        *,
        kill_after: float | None = None,
        disk: Path | None = None,
        boot: str = "",
    ) -> int:
        """Run a command to its end, or until it is killed; return its exit code, or minus the signal's number.

        Args:
            arguments: The command line.
            output: Where its output is appended.
            kill_after: Kill it after so many seconds; None leaves that to `kill`.
            disk: The directory whose `Disk` is to know of its syncs, or None.
            boot: With ``disk``: what tells this start of the machine from the one before.
        """
        disk_path = None if disk is None else str(disk)
        request = json.dumps({"arguments": arguments, "output": str(output), "disk": disk_path, "boot": boot})
        if self._process.stdin is None:
            raise AssertionError("the launcher has no standard input")
        self._process.stdin.write(f"{request}\n".encode())
        self.running = int(await self._answer())
        timer = None
        if kill_after is not None:
            timer = asyncio.get_running_loop().call_later(kill_after, self.kill)
        try:
            async with asyncio.timeout(_LONGEST):
                code = int(await self._answer())
        except TimeoutError:
            self.kill()
            raise AssertionError(f"it did not end within {_LONGEST:g} s; see {output}") from None
        self.running = None
        if timer is not None:
            timer.cancel()
        return code

    def kill(self) -> None:
        """Kill the command that runs, if one does."""
        if self.running is not None:
            os.kill(self.running, signal.SIGKILL)

    async def _answer(self) -> bytes:
        if self._process.stdout is None:
            raise AssertionError("the launcher has no standard output")
        answer = await self._process.stdout.readline()
        if not answer:
            raise AssertionError("the launcher has ended")
        return answer


@asynccontextmanager
async def launcher() -> AsyncIterator[Launcher]:
    """A launcher that lives as long as the context."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.launcher"),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    started = Launcher(process)
    try:
        yield started
    finally:
        started.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def run_traced(arguments: list[str], output: Path, *, call: str, occurrence: int) -> int:
    """Run a command that the kernel kills when it enters a system call for the n-th time.

    Returns:
        Its exit code, or minus the signal's number; it ends by itself where it does not come that far.
    """
    injected = f"inject={call}:signal=SIGKILL:when={occurrence}"
    with output.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(str(STRACE), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", injected),
            *(sys.executable, "-m", "batchsend", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        return await process.wait()
