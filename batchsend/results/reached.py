"""How far a file that grows was read, and whether it is still that file when it is read further."""

from __future__ import annotations

import os
from typing import Final

_REMEMBERED: Final = 256
"""Octets before the place that was reached, which a file must still have there."""


class Reached:
    """The place up to which a file was read.

    A file that was rotated, cut off, written anew in its place or exchanged has other octets there; a new file may have
    the same inode number, and be longer by the time somebody looks.

    Attributes:
        place: Octets of the file that were read.
    """

    def __init__(self) -> None:
        self.place = 0
        self._inode: int | None = None
        self._before = b""

    def look(self, file: int) -> bool:
        """Begin anew where an open file is not the one that was read, or does not have what was read any more.

        Returns:
            Whether it is the same: what was learned from it holds.

        Raises:
            OSError: It cannot be read.
        """
        found = os.fstat(file)
        same = found.st_ino == self._inode and self._octets_before(file) == self._before
        if not same:
            self.forget()
            self._inode = found.st_ino
        return same

    def reach(self, file: int, place: int) -> None:
        """The open file was read up to this place.

        Raises:
            OSError: It cannot be read.
        """
        self.place = place
        self._before = self._octets_before(file)

    def forget(self) -> None:
        """Nothing was read, of no file."""
        self.place, self._inode, self._before = 0, None, b""

    def _octets_before(self, file: int) -> bytes:
        begin = max(self.place - _REMEMBERED, 0)
        return os.pread(file, self.place - begin, begin)

    def __repr__(self) -> str:
        return f"<Reached {self.place}>"
