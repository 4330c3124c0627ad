"""Runs a contestant's program, and says how long it took and how much memory."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
_LONGEST_SECONDS = 600.0
_LOOK_SECONDS = 0.05
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_SHOWN = 2000


class Ran(NamedTuple):
    """A program that has run.

    Attributes:
        seconds: From its start to its end.
        peak: The most memory it held, in MB of a million octets.
        beside: The most memory that one of the processes it started held; None where it was seen to start none.
        output: What it printed.
    """

    seconds: float
    peak: float
    beside: float | None
    output: str


def execute(command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end, from the checkout.

    Args:
        command: The program and its arguments.
        variables: What is added to its environment.

    Raises:
        RuntimeError: It failed, or was not done in ten minutes; with what it had to say.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            # As it is where a program is installed: what it imports was compiled to bytecode before.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # an interrupt at the terminal is for the one who measures
        )
        watch = _Watch(process)
        watch.start()
        try:
            process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            seconds = time.monotonic() - began
            watch.over.set()
            watch.join()
        output.seek(0)
        errors.seek(0)
        said = output.read().decode(errors="replace")
        if process.returncode != 0:
            complaint = errors.read().decode(errors="replace")[-_SHOWN:]
            raise RuntimeError(
                f"{Path(command[0]).name} ended with {process.returncode}: {complaint or said[-_SHOWN:]}"
            )
    return Ran(seconds, watch.peak, max(watch.beside.values(), default=None), said)


class _Watch(threading.Thread):
    """Looks now and then at the most memory that a process and those it started have held; ends what does not end.

    What the kernel tells of it when it has ended is no less than what this process held when it made the other one.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.peak = 0.0
        self.beside: dict[Path, float] = {}  # by process
        self.over = threading.Event()
        self._process = process
        self._folder = Path(f"/proc/{process.pid}")

    def run(self) -> None:
        deadline = time.monotonic() + _LONGEST_SECONDS
        while not self.over.wait(_LOOK_SECONDS):
            if time.monotonic() > deadline:
                self._process.kill()
            self.peak = _peak(self._folder) or self.peak
            for child in self._children():
                # The last figure counts: until it runs its own program, a process shares its maker's memory.
                if (peak := _peak(child)) is not None:
                    self.beside[child] = peak

    def _children(self) -> list[Path]:
        try:
            numbers = (self._folder / "task" / str(self._process.pid) / "children").read_text().split()
        except OSError:  # it has just ended
            return []
        return [Path(f"/proc/{number}") for number in numbers]


def _peak(folder: Path) -> float | None:
    """The most memory that a process has held, in MB; None where it has ended."""
    with suppress(OSError):
        if (found := _PEAK.search((folder / "status").read_text())) is not None:
            return int(found[1]) * 1024 / 1_000_000
    return None
