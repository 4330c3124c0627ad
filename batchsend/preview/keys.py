"""The keys of the preview on a terminal: what is wanted next."""

from __future__ import annotations

import os
import re
import termios
import tty
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

HELP: Final = "n next · p previous · number and Enter · o browser · q quit"

_ENTER: Final = ("\r", "\n")
_BACK: Final = ("\x08", "\x7f")
_LONGEST: Final = 18

# xterm's sequences for the arrow and page keys, which nearly every terminal has taken over.
_WANTED: Final = {
    **dict.fromkeys(("n", "N", " ", *_ENTER, "\x1b[B", "\x1b[C", "\x1b[6~"), "next"),
    **dict.fromkeys(("p", "P", "\x1b[A", "\x1b[D", "\x1b[5~"), "previous"),
    **dict.fromkeys(("o", "O"), "open"),
    **dict.fromkeys(("q", "Q", "\x1b", "\x04"), "quit"),
}


# One of those sequences, or a character: whoever types fast has several read at once.
_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|.", re.DOTALL)


class Keys:
    """What is typed, one key after the other, without waiting for the end of a line; nothing typed ahead is lost.

    While the context lasts, the terminal shows nothing by itself; Ctrl-C interrupts as ever.

    Args:
        terminal: The descriptor of the terminal.
        write: Shows what has been typed of a number.
    """

    def __init__(self, terminal: int, write: Callable[[str], None]) -> None:
        self._terminal = terminal
        self._write = write
        self._keys = self._typed()

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal, termios.TCSADRAIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def ask(self, record: int) -> int | str | None:
        """Wait for a key, or for a number and Enter.

        Args:
            record: The record that is shown.

        Returns:
            The number of the record that is wanted next, ``"open"``, or None for the end.
        """
        for key in self._keys:
            if _is_digit(key):
                return self._number(key)
            wanted = _WANTED.get(key)
            if wanted == "open":
                return wanted
            if wanted is not None:
                return {"next": record + 1, "previous": max(1, record - 1), "quit": None}[wanted]
        return None

    def _number(self, first: str) -> int | None:
        """The number that begins with a digit; to take all of it back is to want the first record."""
        typed = first
        self._write(first)
        for key in self._keys:
            if key in _ENTER:
                return max(1, int(typed or "1"))
            if _is_digit(key) and len(typed) < _LONGEST:
                typed += key
                self._write(key)
            elif key in _BACK and typed:
                typed = typed[:-1]
                self._write("\b \b")
        return None

    def _typed(self) -> Iterator[str]:
        while octets := os.read(self._terminal, 1024):
            yield from _KEY.findall(octets.decode(errors="ignore"))


def _is_digit(key: str) -> bool:
    return key.isascii() and key.isdecimal()
