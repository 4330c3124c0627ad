"""Who a new campaign is for: a file that is there, looked into for its columns, or a sample."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from batchsend.errors import UsageError
from batchsend.recipients import Record, open_records
from batchsend.recipients.record import RECIPIENT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SAMPLE: Final = """\
email,name,city
ada@example.com,Ada,London
zoe@example.net,Zoë,Uppsala
olga@example.org,Ольга,Тверь
"""
_SAMPLE_NAME: Final = "recipients.csv"
_LOOKED_AT: Final = 100  # records of a JSON Lines file; in CSV the header says it all

_NAME_FIELDS: Final = ("name", "full_name", "fullname", "first_name", "firstname", "given_name")
_VARIABLE: Final = re.compile(r"[^\W\d]\w*")
_TAKEN: Final = frozenset({"batch", "true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipients:
    """A recipients file and what templates can use of it.

    Attributes:
        path: The file, as the campaign file names it.
        sample: Its content where it is to be written, or None for one that is there.
        columns: Its columns that a template can name, the address among them.
        others: Its other columns: a space or a hyphen in a name is none of a variable's.
        address: The column of addresses.
        is_found: Whether the composer finds the address by itself.
    """

    path: str
    sample: str | None = None
    columns: tuple[str, ...]
    others: tuple[str, ...] = ()
    address: str
    is_found: bool = True

    @property
    def name(self) -> str | None:
        """The column that holds a recipient's name, or None."""
        lower = {column.lower(): column for column in reversed(self.columns)}
        return next((lower[name] for name in _NAME_FIELDS if name in lower), None)

    @property
    def variable(self) -> str | None:
        """The column of addresses where a template can name it, or None."""
        return self.address if self.address in self.columns else None

    @classmethod
    def example(cls) -> Self:
        """A sample of three."""
        return cls(path=_SAMPLE_NAME, sample=SAMPLE, columns=("email", "name", "city"), address="email")

    @classmethod
    def read(cls, path: Path, directory: Path, *, address: str | None = None) -> Self:
        """Look into a file.

        Args:
            path: The file.
            directory: The campaign's folder, to which the campaign file's paths are relative.
            address: The column of addresses; None to find it.

        Raises:
            UsageError: It cannot be read, has no records, or none of its columns holds addresses.
        """
        with open_records(path) as reader:
            rows = [row for row in reader.read(_LOOKED_AT) if isinstance(row, Record)]
            names = reader.fields or _common(rows)
        lower = {name.lower(): name for name in reversed(names)}
        found = next((lower[name] for name in RECIPIENT_FIELDS if name in lower), None)
        address = address or found or _looks_like_addresses(names, rows)
        if address is None:
            raise UsageError(
                f"{path} has no column of addresses: it has {', '.join(names) or 'none'}",
                remedy=f"call one {', '.join(RECIPIENT_FIELDS[:-1])} or {RECIPIENT_FIELDS[-1]}",
            )
        columns = tuple(name for name in names if _VARIABLE.fullmatch(name) and name not in _TAKEN)
        return cls(
            path=relative(path, directory),
            columns=columns,
            others=tuple(name for name in names if name not in columns),
            address=address,
            is_found=found == address,
        )


def relative(path: Path, directory: Path) -> str:
    """A path as a file in a directory names it: relative to it."""
    return os.path.relpath(path.resolve(), directory.resolve())


def _common(rows: Sequence[Record]) -> tuple[str, ...]:
    """The fields that all records have, in the order of the first one."""
    return tuple(name for name in rows[0].fields if all(name in row.fields for row in rows)) if rows else ()


def _looks_like_addresses(names: Sequence[str], rows: Sequence[Record]) -> str | None:
    """The first column with an ``@`` in every value."""
    for name in names:
        if rows and all("@" in str(row.fields.get(name, "")) for row in rows):
            return name
    return None
