"""Whom a feedback log keeps from being written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.campaign.model import FEEDBACK_SUFFIX
from batchsend.errors import RecordError, UsageError
from batchsend.patterns import late_pattern
from batchsend.recipients.entries import comparable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SOFT_BOUNCES: Final = 3
"""So many soft bounces of one address suppress it."""

_LINE: Final = late_pattern(rb'\s*\{"record":(?:null|\d{1,9}),"recipient":(?:null|"(?:[^"\\]|\\.){0,1000}"),"kind":"')
_FOR_GOOD: Final = ("complained", "unsubscribed")
# A report about a failure of SPF, DKIM or DMARC (RFC 6591) comes from a machine: nobody has complained.
_NOBODYS: Final = "authentication"


def is_feedback(name: str, start: bytes) -> bool:
    """Whether a file is a feedback log, by its name or by what it begins with."""
    return name.endswith(FEEDBACK_SUFFIX) or _LINE.match(start) is not None


def feedback_lines(file: Path, begin: int = 0) -> Iterator[dict[str, Any]]:
    """The lines of a feedback log as JSON objects; a torn last line, which was never finished, is left out.

    Args:
        file: The log.
        begin: Where a line begins that the first one wanted is, in octets from the beginning of the file.

    Raises:
        UsageError: It cannot be read, or one of its lines is none of a feedback log: who stands in it would be missed.
    """
    return (line for line, _ in _lines(file, begin))


def _lines(file: Path, begin: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Each line, and where it ends."""
    try:
        with file.open("rb") as opened:
            opened.seek(begin)
            for number, line in enumerate(opened, 1):
                if not line.endswith(b"\n"):
                    return
                begin += len(line)
                yield _parsed(line, file, number), begin
    except OSError as error:
        raise UsageError(
            f"{file}: the feedback log cannot be read: {error.strerror}", remedy="batchsend feedback makes it"
        ) from None


def _parsed(line: bytes, file: Path, number: int) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or "record" not in fields or not isinstance(fields.get("kind"), str):
        raise UsageError(f"{file}:{number}: no line of a feedback log", remedy="take the log from a backup")
    return fields


def suppressed(lines: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Addresses that lines of a feedback log suppress, each once and as soon as they do, and why."""
    return FedBack().take(lines)


class FedBack:
    """Whom the lines of feedback logs suppress, however many logs there are and whenever their lines come.

    A complaint and an unsubscribe suppress for good, a hard bounce at once, soft ones when there are three, be they of
    one campaign or of several. Only what is tied to a record counts: anybody can write a report about anybody.
    """

    def __init__(self) -> None:
        self._done: set[int] = set()  # hashes: a list may be long
        self._soft: dict[str, int] = {}

    def take(self, lines: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
        """Take further lines; yield each address that is suppressed by now and was not before, and why.

        Args:
            lines: The lines as JSON objects.
        """
        for line in lines:
            if not isinstance(line.get("record"), int) or not isinstance(line.get("recipient"), str):
                continue
            try:
                address = comparable(line["recipient"])
            except RecordError:
                continue  # nobody can be written to there
            if hash(address) in self._done:
                continue
            why = self._why(line, address)
            if why is not None:
                self._done.add(hash(address))
                self._soft.pop(address, None)
                yield address, why

    def _why(self, line: dict[str, Any], address: str) -> str | None:
        kind = line.get("kind")
        if kind in _FOR_GOOD:
            return None if line.get("reason") == _NOBODYS else str(kind)
        if kind != "bounced":
            return None
        if line.get("hard") is True:
            return "hard bounce"
        self._soft[address] = self._soft.get(address, 0) + 1
        return f"{SOFT_BOUNCES} soft bounces" if self._soft[address] >= SOFT_BOUNCES else None


class FollowedLog:
    """A feedback log that is read as it grows, and that need not be there yet.

    Args:
        path: The log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._inode = -1

    def lines(self) -> list[dict[str, Any]]:
        """The lines that were added since the last time; where nothing was, a look at its size is all it takes.

        Raises:
            UsageError: It cannot be read, or one of its lines is none of a feedback log.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return []
        except OSError:
            found = None
        if found is not None and found.st_ino == self._inode and found.st_size == self._read:
            return []
        if found is None or found.st_ino != self._inode or found.st_size < self._read:
            self._read, self._inode = 0, -1 if found is None else found.st_ino
        lines = []
        for line, end in _lines(self.path, self._read):
            lines.append(line)
            self._read = end
        return lines
