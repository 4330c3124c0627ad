"""Whom a feedback log keeps from being written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.campaign.model import FEEDBACK_SUFFIX
from batchsend.errors import RecordError, UsageError
from batchsend.patterns import late_pattern
from batchsend.recipients.entries import comparable
from batchsend.results.reached import Reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SOFT_BOUNCES: Final = 3
"""So many soft bounces of one address suppress it."""

KINDS: Final = ("bounced", "delayed", "complained", "unsubscribed", "auto_reply")
"""The kinds of its lines."""

_LINE: Final = late_pattern(
    rb'\s*\{"record":(?:null|\d{1,9}),"recipient":(?:null|"(?:[^"\\]|\\.){0,1000}"),"kind":"(?:%s)"'
    % "|".join(KINDS).encode()
)
_FOR_GOOD: Final = ("complained", "unsubscribed")
# A report about a failure of SPF, DKIM or DMARC (RFC 6591) comes from a machine: nobody has complained.
_NOBODYS: Final = "authentication"


def is_feedback(name: str, start: bytes) -> bool:
    """Whether a file is a feedback log, by its name or by what it begins with."""
    return name.endswith(FEEDBACK_SUFFIX) or _LINE.match(start) is not None


def feedback_lines(file: Path, begin: int = 0) -> Iterator[dict[str, Any]]:
    """The lines of a feedback log as JSON objects; a torn last line, which was never finished, is left out.

    A last line that is whole but for its line feed, as some editors leave it, is none that is torn.

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
                if not line.endswith(b"\n") and not is_whole(line):
                    return
                begin += len(line)
                if not line.isspace():  # the line feed of a line that was taken before without it
                    yield _parsed(line, file, number), begin
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{file}: the feedback log cannot be read: {error.strerror}", remedy="batchsend feedback makes it"
    )


def is_whole(line: bytes) -> bool:
    """Whether a line is all of a JSON object, which no beginning of one is."""
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _parsed(line: bytes, file: Path, number: int) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or "record" not in fields or fields.get("kind") not in KINDS:
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
        self._reached = Reached()
        self._seen: tuple[int, int, int] | None = None

    def lines(self) -> list[dict[str, Any]]:
        """The lines that were added since the last time; where nothing was, a look at its size is all it takes.

        Raises:
            UsageError: It cannot be read, or one of its lines is none of a feedback log.
        """
        try:
            status = self.path.stat()
            seen = status.st_ino, status.st_size, status.st_mtime_ns
            if seen == self._seen:
                return []
            with self.path.open("rb") as file:
                self._reached.look(file.fileno())
                found = list(_lines(self.path, self._reached.place))
                if found:
                    self._reached.reach(file.fileno(), found[-1][1])
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.path, error) from None
        self._seen = seen
        return [line for line, _ in found]
