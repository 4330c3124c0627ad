"""JSON Lines to records: one JSON object (RFC 8259) a line."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.recipients.lines import TOO_LONG, Lines, TooLong
from batchsend.recipients.record import BadRecord, Record

if TYPE_CHECKING:
    from batchsend.recipients.source import Source

_WHITE_SPACE: Final = b" \t\r"
# orjson makes a float of an integer that 64 bits cannot hold. None of those has fewer digits than this.
_LONG_DIGITS: Final = 19
_LONG_NUMBER: Final = re.compile(rb"[0-9]{%d}" % _LONG_DIGITS)
_STRIDE: Final = 2
_DIGITS_TO_ZERO: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_SAMPLE: Final = b"0" * (_LONG_DIGITS // _STRIDE)
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_CONSTANTS: Final = ("NaN", "Infinity", "-Infinity")


class JsonlParser:
    """Records of a JSON Lines file.

    Two things that orjson lets pass are caught: a key that stands twice in an object, and integers beyond 64 bits,
    which are kept exact. Looking for them costs nothing a record: a chunk of lines that cannot hold either is told by
    two counts.

    Args:
        source: The file.

    Attributes:
        fields: None: every line names its own.
        unnamed: 0: every value has a name.
    """

    fields: tuple[str, ...] | None = None
    unnamed = 0

    def __init__(self, source: Source) -> None:
        self._lines = Lines(source, lone_cr=False)
        self._line = 0
        self._number = 0

    def next(self) -> list[Record | BadRecord] | None:
        """The next rows, perhaps none; None after the last.

        Raises:
            RunError: The file cannot be read further.
        """
        chunk = self._lines.next()
        if chunk is None:
            return None
        if isinstance(chunk, TooLong):
            self._number += 1
            return [BadRecord(self._number, self._line + 1, TOO_LONG, None)]
        return self._parse(chunk)

    def _parse(self, chunk: bytes) -> list[Record | BadRecord]:
        lines = chunk.split(b"\n")
        if not lines[-1]:
            lines.pop()
        rows, keys = self._all_good(lines) or self._each(lines)
        first = self._line + 1
        self._line += len(lines)
        # Every key is followed by a colon, so there are at least as many places that look like a key's end as keys,
        # and at least as many keys as were kept: where the outer two are equal, no key was there twice.
        if _colons(chunk) != keys or _may_hold_long_number(chunk):
            return [_verified(row, lines[row.line - first]) for row in rows]
        return rows

    def _all_good(self, lines: list[bytes]) -> tuple[list[Record | BadRecord], int] | None:
        """The rows of lines of which each is an object, and their keys counted; None where one is not.

        Twice as fast as :meth:`_each`, because the interpreter runs nothing for a line but its Record.
        """
        try:
            objects: list[dict[str, Any]] = list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:
            return None
        if set(map(type, objects)) != {dict}:
            return None
        rows: list[Record | BadRecord] = list(map(Record, count(self._number + 1), count(self._line + 1), objects))
        self._number += len(rows)
        return rows, sum(map(len, objects))

    def _each(self, lines: list[bytes]) -> tuple[list[Record | BadRecord], int]:
        """The rows of any lines, and the keys of the good ones counted."""
        rows: list[Record | BadRecord] = []
        keys = 0
        for line, text in enumerate(lines, self._line + 1):
            if not text or text.isspace():
                continue
            self._number += 1
            try:
                fields = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                rows.append(BadRecord(self._number, line, _reason(text, error), None))
                continue
            if isinstance(fields, dict):
                keys += len(fields)
                rows.append(Record(self._number, line, fields))
            else:
                rows.append(BadRecord(self._number, line, f"{_kind(fields)} where a JSON object belongs", None))
        return rows, keys


def _colons(text: bytes) -> int:
    return text.translate(None, _WHITE_SPACE).count(b'":')


def _may_hold_long_number(chunk: bytes) -> bool:
    # A run of 19 digits shows as at least nine in a sample of every other byte; one of 16, as in a token, does not.
    return _SAMPLE in chunk[::_STRIDE].translate(_DIGITS_TO_ZERO)


def _verified(row: Record | BadRecord, text: bytes) -> Record | BadRecord:
    """The row with what orjson let pass put right."""
    if isinstance(row, BadRecord) or (_colons(text) == _key_count(row.fields) and not _LONG_NUMBER.search(text)):
        return row
    try:
        fields = json.loads(text.decode(), object_pairs_hook=_object_with_unique_keys)
    except _DuplicateKeyError as error:
        return BadRecord(row.number, row.line, f"the key {error.args[0]!r} stands twice in one object", row.fields)
    except RecursionError:
        return BadRecord(row.number, row.line, "nested too deeply", None)
    return Record(row.number, row.line, fields)


class _DuplicateKeyError(Exception):
    """An object has a key twice; which of the values counts is left open by RFC 8259 §4."""


def _object_with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _DuplicateKeyError(name)
            seen.add(name)
    return fields


def _key_count(fields: dict[str, Any]) -> int:
    """The keys of an object and of all objects in it."""
    total = 0
    rest: list[Any] = [fields]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            total += len(value)
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return total


def _half_in(text: str) -> str:
    """Where half of a surrogate pair stands in a line, if all else is well with it."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for name, value in fields.items() if isinstance(fields, dict) else ():
        if _HALF.search(json.dumps({name: value}, ensure_ascii=False)):
            return f" in {name!r}"
    return ""


def _kind(value: object) -> str:
    match value:
        case list():
            return "an array"
        case str():
            return "a text"
        case bool() | None:
            return "true, false or null"
        case _:
            return "a number"


def _reason(text: bytes, error: orjson.JSONDecodeError) -> str:
    """Why a line is not JSON, for the one who fixes it."""
    try:
        characters = text.decode()
    except UnicodeDecodeError as failure:
        return f"not UTF-8: byte 0x{text[failure.start]:02X} at column {failure.start + 1}"
    if characters.rstrip()[-1:] != "}" and characters.lstrip()[:1] == "{":
        return f"the line breaks off: a JSON object ends in }}, this line in {characters.rstrip()[-20:]!r}"
    for place in (error.pos - 1, error.pos):  # The sign before Infinity is not where the parser stops.
        for constant in _CONSTANTS:
            if place >= 0 and characters.startswith(constant, place):
                return f"{constant} is not JSON (column {place + 1})"
    if "infinity" in error.msg:
        return f"a number that is too large (column {error.pos + 1})"
    if "depth" in error.msg or "recursion" in error.msg.lower():
        return "nested too deeply"
    what = f"half a character{_half_in(characters)}" if "surrogate" in error.msg else "not JSON"
    return f"{what}: {error.msg} (column {error.pos + 1})"
