"""Reads a results log back: what run it is the account of, and where each record stands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from batchsend.errors import RunError, UsageError
from batchsend.results.run import RecipientsFile, Run, SuppressionFile
from batchsend.results.tally import MAX_RECORD, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BLOCK: Final = 1024 * 1024


Status = Literal["accepted", "rejected", "deferred", "in_doubt", "invalid", "suppressed"]
"""The outcomes as texts: an enumeration's members take several times as long to look up."""


class OutcomeLine(msgspec.Struct, gc=False):
    """What is read of a line: what a resumed run needs of an outcome, or a run's beginning or end.

    Its JSON is checked whole; of what is not read, the types are not.

    Attributes:
        record: The record's number; 0 in a run line.
        status: The outcome; None in a run line.
        attempt: The number of the attempt; 0 where it was not offered.
        code: The server's reply code, or None.
        enhanced: The enhanced status code, or None.
        run: The run's line, where it is one.
    """

    record: Annotated[int, msgspec.Meta(ge=0, le=MAX_RECORD)] = 0
    status: Status | None = None
    attempt: Annotated[int, msgspec.Meta(ge=0)] = 0
    code: int | None = None
    enhanced: str | None = None
    run: RunLine | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it says what a line of a log must."""
        return self.run is not None or (self.record > 0 and self.status is not None)


class RunLine(msgspec.Struct):
    """A run's beginning (``started`` is there) or end (``ended`` is).

    Attributes:
        id: The run's identity.
        started: When it began.
        ended: When it ended.
        campaign: The campaign file.
        recipients: The recipients file as it was.
        version: The version of batchsend.
        server: Where the messages went.
        suppress: The files of addresses that were not written to.
    """

    id: str
    started: str | None = None
    ended: str | None = None
    campaign: str = ""
    recipients: RecipientsFile = RecipientsFile(path="-")
    version: str = ""
    server: str | None = None
    suppress: tuple[SuppressionFile, ...] = ()


@dataclass(slots=True)
class Account:
    """What a results log says.

    Attributes:
        run: The run line of the last run in it.
        ended: The last run came to its end and said so.
        tally: Where each record stands.
        size: The octets of the whole lines: what comes after is a torn line.
        torn: The octets of a torn last line.
    """

    run: Run
    ended: bool
    tally: Tally
    size: int
    torn: int


def read_account(
    path: Path, file: int, *, visit: Callable[[OutcomeLine, int], None] | None = None, sound: int | None = None
) -> Account:
    """Read a log from its beginning to its end.

    Args:
        path: What to call it.
        file: Its descriptor.
        visit: Called with every outcome line in its order, and its number in the file, from 1.
        sound: So many octets are as they were written; behind them may be holes, and the first line that is none ends
            the log: what follows counts as torn. None where nothing has holes.

    Raises:
        UsageError: It cannot be read, or is not the results log of a run.
    """
    tally = Tally()
    run: RunLine | None = None
    size = before = 0
    for block, lines in _decoded(path, file, sound):
        runs = [line.run for line in lines if line.run is not None]
        outcomes = [line for line in lines if line.run is None] if runs else lines
        for found in runs:
            if run is not None and found.id != run.id:
                raise UsageError(
                    f"{path} holds the accounts of two runs, {run.id} and {found.id}",
                    remedy="a record is known by its number within its run: keep them in a log each",
                )
            run, ended = (found, False) if found.ended is None else (run, True)
        try:
            tally.note_lines(outcomes)
        except KeyError:
            number = next(number for number, line in enumerate(lines, 1) if not line.is_whole)
            raise _not_a_log(path, before + number) from None
        if visit is not None:
            for number, line in enumerate(lines, before + 1):
                if line.run is None:
                    visit(line, number)
        size += len(block)
        before += len(lines)
    if run is None:
        raise UsageError(
            f"{path} does not begin with the line of a run",
            remedy="name the results log that batchsend send has kept; "
            "or, if the machine went down as the run began, remove it: nothing was sent",
        )
    return Account(_run(run), ended, tally, size, os.fstat(file).st_size - size)


def _decoded(path: Path, file: int, sound: int | None) -> Iterator[tuple[bytes, list[OutcomeLine]]]:
    """Blocks of whole lines, and what they say."""
    decoder = msgspec.json.Decoder(OutcomeLine)
    before = octets = 0
    for block in _blocks(path, file):
        try:
            lines = decoder.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError):
            lines = []
        # Two objects on a line, or none, are passed by the decoder.
        if len(lines) != block.count(b"\n"):
            first = _first_undecodable(decoder, block)
            good = b"".join(line + b"\n" for line in block.split(b"\n")[: first - 1])
            if sound is None or octets + len(good) < sound:
                raise _not_a_log(path, before + first)
            yield good, decoder.decode_lines(good)
            return
        yield block, lines
        before += len(lines)
        octets += len(block)


def _first_undecodable(decoder: msgspec.json.Decoder[OutcomeLine], block: bytes) -> int:
    lines = block.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return number
    return len(lines)


def _blocks(path: Path, file: int) -> Iterator[bytes]:
    """Whole lines, about a megabyte at a time; a torn last line is left out."""
    begun = b""
    offset = 0
    while True:
        try:
            block = os.pread(file, _BLOCK, offset)
        except OSError as error:
            raise RunError(f"{path}: the results log cannot be read: {error.strerror}") from None
        if not block:
            return
        offset += len(block)
        end = block.rfind(b"\n") + 1
        if end:
            yield begun + block[:end]
            begun = block[end:]
        else:
            begun += block


def _not_a_log(path: Path, line: int) -> UsageError:
    return UsageError(
        f"{path}:{line}: not a line of a results log", remedy="fix the line as it was, or take the log from a backup"
    )


def _run(line: RunLine) -> Run:
    return Run(
        id=line.id,
        started=0.0,
        campaign=line.campaign,
        recipients=line.recipients,
        version=line.version,
        server=line.server,
        suppress=line.suppress,
    )
