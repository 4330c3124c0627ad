"""The lines of a results log as they are read back, and the one reader of them: for resuming, reports and lists.

`batchsend.results.line` writes the lines. Who reads them names the fields that are wanted, as a type derived from
`LogLine`; blocks, torn ends, errors and what makes a file a results log are the same for everybody.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec

from batchsend.errors import RunError, UsageError
from batchsend.results.run import Change, RecipientsFile, Run, SuppressionFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK: Final = 1024 * 1024
"""Octets of a file that are read at once."""

_COMMON: Final = 2 * 1024
"""Octets that most lines have room in."""
_MORE: Final = 64 * 1024
"""Octets of the others that are read at once: what a server says may take 160 KiB as it stands in a line."""

_FIRST: Final = b'{"run":{"id":"'
"""How the first line of a log begins."""

MAX_RECORD: Final = 1_000_000_000
"""The highest record number that is believed: a gigabyte is kept for it."""

Status = Literal["accepted", "rejected", "deferred", "in_doubt", "invalid", "suppressed"]
"""The outcomes as texts: an enumeration's members take several times as long to look up."""


class RunLine(msgspec.Struct):
    """A run's beginning (``started`` is there), its end (``ended`` is), or what was changed meanwhile (``changed`` is).

    Attributes:
        id: The run's identity.
        started: When it began.
        ended: When it ended.
        campaign: The campaign file.
        recipients: The recipients file as it was.
        version: The version of batchsend.
        server: Where the messages went.
        overrides: What the command line said in place of the campaign file; a log of version 0.1 has none.
        suppress: The files of addresses that were not written to.
        stopped: Why it ended before all records were done, or None.
        learned: What the server has shown it allows, by the name of the option that would set it.
        changed: When something was changed while it went on.
        change: What: an option by its name, or ``paused``.
        by: By which way it was changed.
        servers: The names of the relays, where there are several.
        where: Which of the records the run was for; None where it does not say.
        recipient_field: The field of the addresses; None where it does not say.
    """

    id: str
    started: str | None = None
    ended: str | None = None
    campaign: str = ""
    recipients: RecipientsFile = RecipientsFile(path="-")
    version: str = ""
    server: str | None = None
    overrides: dict[str, str | int] = msgspec.field(default_factory=dict)
    suppress: tuple[SuppressionFile, ...] = ()
    stopped: str | None = None
    learned: dict[str, float] = msgspec.field(default_factory=dict)
    changed: str | None = None
    change: dict[str, Change] = msgspec.field(default_factory=dict)
    by: str = ""
    servers: tuple[str, ...] = ()
    where: str | None = None
    recipient_field: str | None = None

    def as_run(self) -> Run:
        """The run that a first line describes; when it began is not taken over, and is 0."""
        return Run(
            id=self.id,
            started=0.0,
            campaign=self.campaign,
            recipients=self.recipients,
            version=self.version,
            server=self.server,
            suppress=self.suppress,
            overrides=self.overrides,
            servers=self.servers,
            where=self.where,
            recipient_field=self.recipient_field,
        )


class LogLine(msgspec.Struct, gc=False):
    """What is read of every line; the JSON of a line is checked whole, the types of fields that are not read are not.

    Attributes:
        record: The record's number; 0 in a run line.
        status: The outcome; None in a run line.
        run: The run's line, where it is one; all other fields are then missing.
    """

    record: Annotated[int, msgspec.Meta(ge=0, le=MAX_RECORD)] = 0
    status: Status | None = None
    run: RunLine | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it says what a line of a log must."""
        return self.run is not None or (self.record > 0 and self.status is not None)


class OutcomeLine(LogLine, gc=False):
    """What a resumed run needs of a line.

    Attributes:
        attempt: The number of the attempt; 0 where it was not offered.
        code: The server's reply code, or None.
        enhanced: The enhanced status code, or None.
        reason: Why it was not accepted, or None.
    """

    attempt: Annotated[int, msgspec.Meta(ge=0)] = 0
    code: int | None = None
    enhanced: str | None = None
    reason: str | None = None


class AddressedLine(LogLine, gc=False):
    """What tells whom a record was for.

    Attributes:
        recipient: The address as it was offered; None where there was none.
    """

    recipient: str | None = None


_L = TypeVar("_L", bound=LogLine)


class Block(NamedTuple, Generic[_L]):
    """Whole lines of a log, about a megabyte of them.

    Attributes:
        octets: The lines as they stand in the file, each with its line feed.
        lines: What they say.
        offset: Where in the file they begin.
        before: How many lines of the file come before them.
    """

    octets: bytes
    lines: list[_L]
    offset: int
    before: int

    def offset_of(self, place: int) -> int:
        """Where in the file the line at this place of `lines` begins."""
        return self.offset + sum(len(line) + 1 for line in self.octets.split(b"\n", place)[:place])


class LogReader(Generic[_L]):
    """Reads a results log from its beginning to its end.

    Args:
        path: What to call it.
        file: Its descriptor.
        kind: What is read of each line.
        sound: So many octets are as they were written; behind them may be holes, and the first line that is none ends
            the log: what follows counts as torn. None where nothing has holes.
        begin: Where the first line begins that is wanted: what was read of it before stays as it was.

    Attributes:
        size: The octets of the whole lines that were read so far, with those before ``begin``.
    """

    def __init__(self, path: Path, file: int, kind: type[_L], *, sound: int | None = None, begin: int = 0) -> None:
        self.size = begin
        self._path = path
        self._file = file
        self._sound = sound
        self._begin = begin
        self._decoder = msgspec.json.Decoder(kind)

    def __iter__(self) -> Iterator[Block[_L]]:
        """Read from the beginning.

        Raises:
            UsageError: It is not the results log of a run.
            RunError: It cannot be read further.
        """
        self.size = self._begin
        before = 0
        for octets in self._blocks():
            block = self._decoded(octets, before)
            if self.size == 0 and block.lines and not self._begins_run(block.lines[0]):
                break
            self.size += len(block.octets)
            before += len(block.lines)
            if block.lines:
                yield block
            if len(block.octets) < len(octets):
                break
        if self.size == 0:
            raise self._begins_with_no_run()

    def torn(self) -> int:
        """The octets of the file behind its last whole line, once all were read."""
        return os.fstat(self._file).st_size - self.size

    def require_whole(self, block: Block[_L]) -> None:
        """Check that each line of a block is a run's or has a record and a status.

        Raises:
            UsageError: One is not; the message names it by its number.
        """
        for number, line in enumerate(block.lines, block.before + 1):
            if not line.is_whole:
                raise self.not_a_log(number)

    def not_a_log(self, line: int) -> UsageError:
        """The error for a line that no results log has, by its number from 1."""
        return UsageError(
            f"{self._path}:{line}: not a line of a results log",
            remedy="fix the line as it was, or take the log from a backup",
        )

    @staticmethod
    def _begins_run(line: LogLine) -> bool:
        return line.run is not None and line.run.started is not None

    def _begins_with_no_run(self) -> UsageError:
        remedy = "name a results log"
        with suppress(OSError), self._path.open("rb") as file:
            start = file.read(BLOCK)
            said, line_feed, _ = start.strip(b"\0\r\n ").partition(b"\n")
            is_all = not (line_feed or file.read(1))
            # So is a log whose first line never reached the disk, or not all of it; nobody's campaign or list is.
            if is_all and (not said or (_FIRST.startswith(said[: len(_FIRST)]) and not self._is_of_log(said))):
                remedy += "; or, if the machine went down as the run began, remove it: nothing was sent"
            elif self._is_of_log(said):
                remedy = "its beginning is missing, and what was sent is not known without it: take it from a backup"
        return UsageError(f"{self._path} does not begin with the line of a run", remedy=remedy)

    def _is_of_log(self, line: bytes) -> bool:
        """Whether a line is one of a log, other than the one that it begins with."""
        try:
            said = self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return said.is_whole and not self._begins_run(said)

    def _decoded(self, octets: bytes, before: int) -> Block[_L]:
        """What a block says; where its lines may be holes, as far as they are none."""
        try:
            lines = self._decoder.decode_lines(octets)
        except (msgspec.DecodeError, UnicodeDecodeError):
            lines = []
        # Two objects on a line, or none, are passed by the decoder.
        if len(lines) != octets.count(b"\n"):
            first = self._first_undecodable(octets)
            if self.size == 0 and first == 1:
                raise self._begins_with_no_run()
            octets = b"".join(line + b"\n" for line in octets.split(b"\n")[: first - 1])
            if self._sound is None or self.size + len(octets) < self._sound:
                raise self.not_a_log(before + first)
            lines = self._decoder.decode_lines(octets)
        return Block(octets, lines, self.size, before)

    def _first_undecodable(self, octets: bytes) -> int:
        lines = octets.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                self._decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return number
        return len(lines)

    def _blocks(self) -> Iterator[bytes]:
        """The lines of the file, as `whole_lines` gives them."""
        try:
            yield from whole_lines(self._file, self._begin)
        except OSError as error:
            raise RunError(f"{self._path}: the results log cannot be read: {error.strerror}") from None


def whole_lines(file: int, offset: int = 0) -> Iterator[bytes]:
    """The lines of a file from a place on, about a megabyte at a time; a torn last line is left out.

    Raises:
        OSError: It cannot be read.
    """
    begun = b""
    while block := os.pread(file, BLOCK, offset):
        offset += len(block)
        end = block.rfind(b"\n") + 1
        if end:
            yield begun + block[:end]
            begun = block[end:]
        else:
            begun += block


def line_at(file: int, place: int) -> bytes:
    """The line of a file that begins at a place, however long it is, without its line feed.

    Raises:
        OSError: It cannot be read.
    """
    line = b""
    while octets := os.pread(file, _MORE if line else _COMMON, place + len(line)):
        line += octets
        if b"\n" in octets:
            break
    return line.partition(b"\n")[0]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of a results log that is only read, while the context lasts.

    Raises:
        UsageError: It cannot be opened.
    """
    try:
        # Not blocking: opening a pipe would wait for its other end.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _not_opened(path, str(error.strerror)) from None
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            raise _not_opened(path, os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else "it is not a regular file")
        yield file
    finally:
        os.close(file)


def _not_opened(path: Path, why: str) -> UsageError:
    return UsageError(f"{path}: the results log cannot be opened: {why}", remedy="name a results log")
