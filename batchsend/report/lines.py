"""Reads a results log for a report: every field of its lines that a report tells of, about a megabyte at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Generic, TypeVar

import msgspec

from batchsend.errors import RunError, UsageError
from batchsend.results import reader
from batchsend.results.reader import Status  # noqa: TC001 - msgspec reads the annotations of its types
from batchsend.results.tally import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_BLOCK: Final = 1 << 20
_FIRST_LINE: Final = b'{"run":'
MAX_SESSION: Final = 1 << 24
"""The highest session number that is believed."""

_Number = Annotated[int, msgspec.Meta(ge=1)]
_Session = Annotated[int, msgspec.Meta(ge=1, le=MAX_SESSION)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class RunLine(reader.RunLine):
    """A run's beginning or end, and what its end says.

    Attributes:
        stopped: Why it ended before all records were done, or None.
        learned: What the server has shown it allows, by the name of the option that would set it.
    """

    stopped: str | None = None
    learned: dict[str, float] = msgspec.field(default_factory=dict)


class Line(msgspec.Struct, gc=False):
    """A line of a results log, as far as a report tells of it; the fields are those of the log.

    Attributes:
        record: The record's number; 0 in a run line.
        run: The run's line, where it is one; all other fields are then missing.
    """

    record: Annotated[int, msgspec.Meta(ge=0, le=MAX_RECORD)] = 0
    recipient: str | None = None
    status: Status | None = None
    code: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    enhanced: str | None = None
    reply: str | None = None
    reason: str | None = None
    attempt: Annotated[int, msgspec.Meta(ge=0)] = 0
    session: _Session | None = None
    time: str | None = None
    elapsed: _Seconds | None = None
    run: RunLine | None = None


class WholeLine(Line, gc=False):
    """A line of a results log with all its fields."""

    stage: str | None = None
    message_id: str | None = None
    line: _Number | None = None


_L = TypeVar("_L", bound=Line)


class Lines(Generic[_L]):
    """The lines of a results log, in blocks.

    Args:
        path: The log.
        kind: What is read of each line.

    Attributes:
        torn: The octets of a torn last line, once all were read.
    """

    def __init__(self, path: Path, kind: type[_L]) -> None:
        self.torn = 0
        self._path = path
        self._decoder = msgspec.json.Decoder(kind)

    def __iter__(self) -> Iterator[list[_L]]:
        """Read from the beginning.

        Raises:
            UsageError: It cannot be opened, or is not a results log.
            RunError: It cannot be read further.
        """
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise UsageError(
                f"{self._path}: the results log cannot be opened: {error.strerror}",
                remedy="name the results log that batchsend send has kept",
            ) from None
        with file:
            try:
                yield from self._read(file)
            except OSError as error:
                raise RunError(f"{self._path}: the results log cannot be read: {error.strerror}") from None

    def _read(self, file: BinaryIO) -> Iterator[list[_L]]:
        if file.read(len(_FIRST_LINE)) != _FIRST_LINE:
            raise UsageError(
                f"{self._path} does not begin with the line of a run",
                remedy="name the results log that batchsend send has kept",
            )
        file.seek(0)
        before = 0
        while block := file.readlines(_BLOCK):
            if not block[-1].endswith(b"\n"):
                self.torn = len(block.pop())
            yield self._decoded(block, before)
            before += len(block)

    def _decoded(self, block: list[bytes], before: int) -> list[_L]:
        try:
            lines = self._decoder.decode_lines(b"".join(block))
        except (msgspec.DecodeError, UnicodeDecodeError):
            lines = []
        # Two objects on a line, or none, are passed by the decoder.
        if len(lines) != len(block) or any(line.run is None and not (line.record and line.status) for line in lines):
            number = before + next(number for number, line in enumerate(block, 1) if not self._is_whole(line))
            raise UsageError(
                f"{self._path}:{number}: not a line of a results log",
                remedy="fix the line as it was, or take the log from a backup",
            )
        return lines

    def _is_whole(self, octets: bytes) -> bool:
        try:
            line = self._decoder.decode(octets)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return line.run is not None or bool(line.record and line.status)
