"""Whom the records of a run were for, looked up while its results log may still grow."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import msgspec

from batchsend.feedback.tying import SENT
from batchsend.results.format import AddressedLine, LogReader, line_at, opened
from batchsend.results.reached import Reached

if TYPE_CHECKING:
    from pathlib import Path


class SentRecords:
    """Finds the line of a record that was sent; of each only the place in the log is kept: 8 octets a record.

    Args:
        path: The results log. It is read when `follow` is called.

    Attributes:
        path: As given.
        runs: The identities of its runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: tuple[str, ...] = ()
        self._places = array("Q")
        self._reached = Reached()
        self._decoder = msgspec.json.Decoder(AddressedLine)

    def follow(self) -> None:
        """Read what has been added to the log since the last time.

        Raises:
            UsageError: It cannot be opened, or is not the results log of a run.
            RunError: It cannot be read.
        """
        with opened(self.path) as file:
            if not self._reached.look(file):
                self.runs, self._places = (), array("Q")
            reader = LogReader(self.path, file, AddressedLine, begin=self._reached.place)
            for block in reader:
                place = block.offset
                for octets, line in zip(block.octets.split(b"\n"), block.lines, strict=False):
                    if line.run is not None:
                        self.runs = tuple(dict.fromkeys((*self.runs, line.run.id)))
                    elif line.status in SENT:
                        self._note(line.record, place)
                    place += len(octets) + 1
            self._reached.reach(file, reader.size)

    def recipient(self, record: int) -> str | None:
        """Whom a record was for; None where the log does not say yet that it was sent.

        Raises:
            UsageError: The log cannot be opened.
        """
        if record >= len(self._places) or not self._places[record]:
            return None
        with opened(self.path) as file:
            return self._decoder.decode(line_at(file, self._places[record])).recipient

    def _note(self, record: int, place: int) -> None:
        missing = record + 1 - len(self._places)
        if missing > 0:
            self._places.frombytes(bytes(missing * self._places.itemsize))
        self._places[record] = place
