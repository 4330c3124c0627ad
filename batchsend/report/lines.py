"""What a report reads of the lines of a results log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec

from batchsend.results.format import LogLine, LogReader, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SESSION: Final = 1 << 24
"""The highest session number that is believed."""

_Number = Annotated[int, msgspec.Meta(ge=1)]
_Session = Annotated[int, msgspec.Meta(ge=1, le=MAX_SESSION)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Line(LogLine, gc=False):
    """A line of a results log, as far as a report tells of it; the fields are those of the log."""

    recipient: str | None = None
    stage: str | None = None
    code: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    enhanced: str | None = None
    reply: str | None = None
    reason: str | None = None
    attempt: Annotated[int, msgspec.Meta(ge=0)] = 0
    session: _Session | None = None
    time: str | None = None
    elapsed: _Seconds | None = None
    server: str | None = None


class WholeLine(Line, gc=False):
    """A line of a results log with all its fields."""

    message_id: str | None = None
    line: _Number | None = None


_L = TypeVar("_L", bound=Line)


class LogLines:
    """The lines of a results log, in blocks of about a megabyte.

    Args:
        path: The log.

    Attributes:
        torn: The octets of a torn last line, once all were read.
    """

    def __init__(self, path: Path) -> None:
        self.torn = 0
        self._path = path

    def read(self, kind: type[_L]) -> Iterator[list[_L]]:
        """Read from the beginning to the end.

        Args:
            kind: What is read of each line.

        Raises:
            UsageError: It cannot be opened, or is not the results log of a run.
            RunError: It cannot be read further.
        """
        with opened(self._path) as file:
            reader = LogReader(self._path, file, kind)
            for block in reader:
                reader.require_whole(block)
                yield block.lines
            self.torn = reader.torn()
