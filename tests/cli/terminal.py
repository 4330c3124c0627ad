"""A command on a terminal of its own: what it shows there, at which size, and the keys that are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from typing import TYPE_CHECKING

import pyte

from tests.cli.commandline import WITHIN, environment, process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self


_NOTHING = bytes(8)
"""A terminal shows nothing for it, and no command writes it."""


def shown_on(terminal: int) -> bytes:
    """All that is written to a terminal until no process has its other side open; closes it."""
    shown = bytearray()
    try:
        while octets := os.read(terminal, 65536):
            shown += octets
    except OSError:
        pass  # Linux says EIO where the other side has closed.
    finally:
        os.close(terminal)
    return bytes(shown)


class Terminal:
    """Starts a command on a pseudo-terminal and shows what an emulator makes of its output.

    Args:
        arguments: The command line.
        columns: The width of the terminal.
        rows: Its height.
        variables: What is set in the environment.

    Attributes:
        running: The command's process.
        theirs: The command's side of the terminal.
        octets: All that was written so far.
    """

    def __init__(self, *arguments: str | Path, columns: int = 80, rows: int = 40, **variables: str) -> None:
        self._ours, self.theirs = pty.openpty()
        self._emulated = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._emulated)
        self.octets = bytearray()
        self.resize(columns, rows)
        given = environment(**{"TERM": "xterm-256color", **variables})
        self.running = process(*arguments, stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, env=given)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._emulated.resize(rows, columns)

    @property
    def echoes(self) -> bool:
        """Whether it shows by itself what is typed, as it does for a shell."""
        return bool(termios.tcgetattr(self.theirs)[3] & termios.ECHO)

    def press(self, keys: str) -> None:
        """Type on it."""
        os.write(self._ours, keys.encode())

    @property
    def rows(self) -> list[str]:
        """What it shows now, without the empty rows."""
        return [row.rstrip() for row in self._emulated.display if row.strip()]

    def until(self, condition: Callable[[str], bool]) -> list[str]:
        """Read until what it shows fulfils a condition."""
        deadline = time.monotonic() + WITHIN
        while not condition("\n".join(self.rows)):
            left = deadline - time.monotonic()
            assert left > 0, f"it is not shown: {self.rows}"
            assert self._read(left) or self.running.poll() is None, f"it ended: {self.rows}"
        return self.rows

    def end(self) -> int:
        """Read until the command ends; its exit code."""
        while self.running.poll() is None:
            self._read(0.05)
        # The system passes on what was written a moment later, in the order in which it was.
        os.write(self.theirs, _NOTHING)
        deadline = time.monotonic() + WITHIN
        while not self.octets.endswith(_NOTHING):
            assert time.monotonic() < deadline, "what was written last is not shown"
            self._read(0.05)
        del self.octets[-len(_NOTHING) :]
        return self.running.returncode

    def _read(self, seconds: float) -> bool:
        """Take in what is written within a time."""
        if not select.select([self._ours], [], [], min(seconds, 0.05))[0]:
            return False
        octets = os.read(self._ours, 65536)
        self.octets += octets
        self._stream.feed(octets)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.running.kill()
        self.running.wait()
        os.close(self.theirs)
        os.close(self._ours)
