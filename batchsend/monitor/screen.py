"""Draws the live view at the bottom of a terminal, again and again, and prints notices above it."""

from __future__ import annotations

import math
import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

# ECMA-48 §8.3: CUU (up), EL (erase to the end of the line), ED (erase to the end of the screen).
_UP: Final = "\x1b[{}A"
_ERASE_LINE: Final = "\x1b[K"
_ERASE_BELOW: Final = "\x1b[J"

_USUAL_SIZE: Final = os.terminal_size((80, 24))


class Screen:
    """Draws lines at the bottom of a terminal, each time in one write, over the ones before.

    Nothing is erased before what takes its place is there, so nothing flickers. A terminal that takes nothing at the
    moment (Ctrl-S) is left alone until it does: the run does not wait for it.

    Args:
        file: The terminal.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file, highlight=False)
        self._writable = select.poll()
        self._writable.register(file, select.POLLOUT)
        self._above: list[str] = []
        self._lengths: list[int] = []  # columns of the lines that stand there now
        self._columns = 0  # of the terminal when they were drawn

    @property
    def size(self) -> os.terminal_size:
        """Columns and rows that lines may have; the last column stays free, the row of the cursor too."""
        size = self._terminal_size()
        return os.terminal_size((max(1, size.columns - 1), max(1, size.lines - 1)))

    def print(self, line: str) -> None:
        """Print a line above the ones that are drawn."""
        self._above.append(line)
        if not self._lengths:
            self.draw([])

    def draw(self, lines: Sequence[Text]) -> None:
        """Draw the lines in the place of the last ones; a line that is too long for the terminal is cut."""
        if self._writable.poll(0):
            self._write(lines)

    def close(self) -> None:
        """Take the lines away; what was printed stays."""
        self._write([])

    def _write(self, lines: Sequence[Text]) -> None:
        columns, width = self._terminal_size().columns, self.size.columns
        out = [self._back_to_the_first(columns)]
        if self._above or columns != self._columns:
            # A row that the terminal has wrapped stays joined to the next one, whatever is written over it.
            out.append(_ERASE_BELOW)
        out += [f"{line}\n" for line in self._above]
        if lines:
            with self._console.capture() as captured:
                self._console.print(Text("\n").join(lines), width=width, no_wrap=True, overflow="ellipsis")
            out.append(captured.get().replace("\n", f"{_ERASE_LINE}\n"))
        out.append(_ERASE_BELOW)
        self._above.clear()
        self._columns = columns
        self._lengths = [min(line.cell_len, width) for line in lines]
        with suppress(OSError):  # nobody sees it any more; the run goes on
            self._file.write("".join(out))
            self._file.flush()

    def _back_to_the_first(self, columns: int) -> str:
        """To the beginning of the first line. Lines wider than the terminal is by now have been wrapped by it."""
        rows = sum(max(1, math.ceil(length / columns)) for length in self._lengths)
        return f"\r{_UP.format(rows)}" if rows else "\r"

    def _terminal_size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._file.fileno())
        except OSError:
            return _USUAL_SIZE
        return size if size.columns and size.lines else _USUAL_SIZE
