"""Whom a feedback log keeps from being written to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.errors import RecordError, UsageError
from batchsend.recipients.entries import comparable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SUFFIX: Final = ".feedback.jsonl"
"""What the name of a feedback log ends with."""

SOFT_BOUNCES: Final = 3
"""So many soft bounces of one address suppress it."""

_LINE: Final = re.compile(rb'\s*\{"record":(?:null|\d{1,9}),"recipient":(?:null|"(?:[^"\\]|\\.){0,1000}"),"kind":"')
_FOR_GOOD: Final = ("complained", "unsubscribed")
# A report about a failure of SPF, DKIM or DMARC (RFC 6591) comes from a machine: nobody has complained.
_NOBODYS: Final = "authentication"


def is_feedback(name: str, start: bytes) -> bool:
    """Whether a file is a feedback log, by its name or by what it begins with."""
    return name.endswith(SUFFIX) or _LINE.match(start) is not None


def feedback_lines(file: Path, begin: int = 0) -> Iterator[dict[str, Any]]:
    """The lines of a feedback log as JSON objects; a torn last line, which was never finished, is left out.

    Args:
        file: The log.
        begin: Where a line begins that the first one wanted is, in octets from the beginning of the file.

    Raises:
        UsageError: It cannot be read, or one of its lines is none of a feedback log: who stands in it would be missed.
    """
    try:
        with file.open("rb") as opened:
            opened.seek(begin)
            for number, line in enumerate(opened, 1):
                if not line.endswith(b"\n"):
                    return
                yield _parsed(line, file, number)
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
    """Addresses that lines of a feedback log suppress, each once and as soon as they do, and why.

    A complaint and an unsubscribe suppress for good, a hard bounce at once, soft ones when there are three. Only what
    is tied to a record counts: anybody can write a report about anybody.

    Args:
        lines: The lines as JSON objects.
    """
    done: set[str] = set()
    soft: dict[str, int] = {}
    for line in lines:
        if not isinstance(line.get("record"), int) or not isinstance(line.get("recipient"), str):
            continue
        try:
            address = comparable(line["recipient"])
        except RecordError:
            continue  # nobody can be written to there
        if address in done:
            continue
        why = _why(line, address, soft)
        if why is not None:
            done.add(address)
            soft.pop(address, None)
            yield address, why


def _why(line: dict[str, Any], address: str, soft: dict[str, int]) -> str | None:
    kind = line.get("kind")
    if kind in _FOR_GOOD:
        return None if line.get("reason") == _NOBODYS else str(kind)
    if kind != "bounced":
        return None
    if line.get("hard") is True:
        return "hard bounce"
    soft[address] = soft.get(address, 0) + 1
    return f"{SOFT_BOUNCES} soft bounces" if soft[address] >= SOFT_BOUNCES else None
