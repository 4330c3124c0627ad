"""The lines at the bottom of a terminal: drawn over each other in one write, whatever the terminal's size becomes."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from typing import TYPE_CHECKING

import pyte
import pytest
from rich.text import Text

from batchsend.monitor.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

END = b"\x05"
"""What no screen writes: behind it, all that was written has come."""


class Terminal:
    """A terminal whose program is the test."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.emulated = pyte.Screen(80, 24)
        self.file = os.fdopen(os.dup(self.theirs), "w", encoding="utf-8")
        self.resize(80, 24)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def octets(self) -> bytes:
        """What was written since the last call: the kernel hands it over in its own time, and in pieces."""
        os.write(self.theirs, END)
        octets = b""
        while not octets.endswith(END):
            octets += os.read(self.ours, 65536)
        return octets.removesuffix(END)

    def shown(self) -> list[str]:
        """The rows of the terminal that are not empty."""
        pyte.ByteStream(self.emulated).feed(self.octets())
        return [row.rstrip() for row in self.emulated.display if row.strip()]

    def close(self) -> None:
        self.file.close()
        os.close(self.theirs)
        os.close(self.ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm-256color")
    there = Terminal()
    yield there
    there.close()


def texts(*lines: str) -> list[Text]:
    return [Text(line) for line in lines]


def test_a_picture_takes_the_place_of_the_one_before(terminal: Terminal) -> None:
    screen = Screen(terminal.file)
    screen.draw(texts("first", "a longer line", "third"))
    assert terminal.shown() == ["first", "a longer line", "third"]
    screen.draw(texts("1", "2"))
    assert terminal.shown() == ["1", "2"]
    screen.close()
    assert terminal.shown() == []


def test_what_is_printed_stays_above(terminal: Terminal) -> None:
    screen = Screen(terminal.file)
    screen.draw(texts("one", "two"))
    screen.print("notice: a")
    screen.print("notice: b, which is " + "long " * 20)
    screen.draw(texts("one", "two"))
    screen.print("notice: c")
    screen.close()
    shown = terminal.shown()
    assert shown[:2] == ["notice: a", ("notice: b, which is " + "long " * 20)[:80].rstrip()]
    assert shown[-1] == "notice: c"
    assert not {"one", "two"} & set(shown)


def test_a_picture_is_one_write_and_erases_nothing_first(terminal: Terminal) -> None:
    """What flickers is a line that is empty for a moment."""
    screen = Screen(terminal.file)
    screen.draw(texts("one", "two"))
    terminal.octets()
    screen.draw(texts("eins", "zwei"))
    assert terminal.octets() == b"\r\x1b[2Aeins\x1b[K\r\nzwei\x1b[K\r\n\x1b[J"


def test_a_narrower_terminal_has_wrapped_the_lines(terminal: Terminal) -> None:
    screen = Screen(terminal.file)
    screen.draw(texts("x" * 70, "y" * 30, "z"))
    terminal.resize(40, 24)
    terminal.octets()
    screen.draw(texts("x" * 70, "y"))
    written = terminal.octets().decode()
    assert written.startswith("\r\x1b[4A\x1b[J"), "2 + 1 + 1 rows up, and none of them joined to its neighbour"
    assert max(len(line) for line in written.split("\x1b[J")[1].replace("\x1b[K", "").split()) <= 39


def test_a_line_as_wide_as_the_terminal_leaves_the_last_column_free(terminal: Terminal) -> None:
    """To erase to the end of a full line takes its last character in many terminals."""
    screen = Screen(terminal.file)
    screen.draw(texts("x" * 200, "next"))
    assert terminal.shown() == ["x" * 78 + "…", "next"]


def test_a_terminal_that_takes_nothing_is_not_waited_for(terminal: Terminal) -> None:
    screen = Screen(terminal.file)
    screen.draw(texts("before"))
    terminal.octets()
    termios.tcflow(terminal.theirs, termios.TCOOFF)
    for _ in range(100):
        screen.draw(texts("x" * 79))
    screen.print("kept")
    termios.tcflow(terminal.theirs, termios.TCOON)
    screen.draw(texts("after"))
    assert terminal.shown()[-2:] == ["kept", "after"]


def test_a_terminal_that_is_gone_ends_nothing(terminal: Terminal) -> None:
    screen = Screen(terminal.file)
    screen.draw(texts("one"))
    os.dup2(os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC), terminal.file.fileno())
    screen.draw(texts("two"))
    screen.close()
    os.dup2(terminal.theirs, terminal.file.fileno())
