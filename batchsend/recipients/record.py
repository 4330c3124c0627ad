"""A row of the recipients file: a record, or what is wrong with it."""

from __future__ import annotations

from typing import Any, final

from msgspec import Struct


class Record(Struct):
    """One row of the recipients file.

    Attributes:
        number: Its place among the rows, from 1, the header not counted and bad rows counted: its identity.
        line: The physical line on which it starts, from 1.
        fields: Its values by name. CSV has texts only, ``""`` where there is nothing; JSONL keeps JSON's types.
    """

    number: int
    line: int
    fields: dict[str, Any]


@final
class BadRecord(Struct):
    """A row that cannot be read: a value, not an exception, so that the rows after it go on.

    Attributes:
        number: Its place among the rows, as of a good one.
        line: The physical line on which it starts, from 1.
        reason: What was found, and what was expected.
        fields: As much of it as could be read, or None.
    """

    number: int
    line: int
    reason: str
    fields: dict[str, Any] | None
