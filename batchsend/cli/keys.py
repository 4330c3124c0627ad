"""Single keys that are pressed while a run is shown on a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def pressed_keys(press: Callable[[str], None]) -> Iterator[bool]:
    """Call back for each key while the context lasts; yields whether there is a terminal that keys come from.

    The terminal shows nothing by itself meanwhile; Ctrl-C interrupts as ever. A process in the background leaves the
    terminal alone: who reads from it there, or changes it, is stopped (termios(3), SIGTTIN and SIGTTOU).

    Args:
        press: Called with each character, in the loop's thread.
    """
    terminal = _terminal()
    if terminal is None:
        yield False
        return
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        try:
            octets = os.read(terminal, 64)
        except OSError:
            octets = b""
        if not octets:  # the terminal is gone
            loop.remove_reader(terminal)
        for key in octets.decode(errors="ignore"):
            press(key)

    tty.setcbreak(terminal, termios.TCSADRAIN)
    try:
        loop.add_reader(terminal, read)
        yield True
    finally:
        loop.remove_reader(terminal)
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _terminal() -> int | None:
    """The descriptor of standard input, where that is a terminal and this process not in its background."""
    try:
        number = sys.stdin.fileno()
        if not os.isatty(number):
            return None
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return None
    try:
        return number if os.tcgetpgrp(number) == os.getpgrp() else None
    except OSError:
        return number  # it controls no job of this process, and so stops none
