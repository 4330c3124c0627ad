"""Who a new campaign is for: a file that is there, looked into for its columns, or a sample."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from batchsend.campaign.list_names import FORMATS, WORKBOOKS
from batchsend.errors import RecordError, UsageError
from batchsend.recipients import Record, open_records
from batchsend.recipients.addresses import cleaned, forward_path
from batchsend.recipients.columns import (
    RECIPIENT_FIELDS,
    AmbiguousColumnsError,
    find_address_column,
    listed,
    means_address,
    split_words,
    variable,
)
from batchsend.recipients.consent import Unwanted, unwanted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SAMPLE: Final = """\
email,name,city
ada@example.com,Ada,London
zoe@example.net,Zoë,Uppsala
olga@example.org,Ольга,Тверь
"""
_SAMPLE_COLUMNS: Final = ("email", "name", "city")
_SAMPLE_NAME: Final = "recipients.csv"
_TITLE_LINES: Final = 20  # lines in which a header below a title is looked for
_DELIMITER: Final = re.compile(r"[,;\t|]")
_LOOKED_AT: Final = 100  # records of a JSON Lines file; in CSV the header says it all

# What a recipient's name is called, by the words of a column; the first that there is.
_NAME_WORDS: Final = (
    *("name", "full name", "fullname", "display name", "first name", "firstname", "given name", "vorname", "prenom"),
    *("customer name", "contact name", "nombre", "f name"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipients:
    """A recipients file and what templates can use of it.

    Attributes:
        path: The file, as the campaign file names it.
        sample: Its content where it is to be written, or None for one that is there.
        columns: Its columns, the address among them.
        address: The column of addresses.
        is_found: Whether the composer finds the address by itself.
        encoding: The encoding of the file, or None for UTF-8.
        sheet: The sheet of a workbook, or None for the first.
        filled: The columns that say something of the first records, those first that do so of all.
        unwanted: By what the list says that somebody wants no mail, or None.
    """

    path: str
    sample: str | None = None
    columns: tuple[str, ...]
    address: str
    is_found: bool = True
    encoding: str | None = None
    sheet: str | None = None
    filled: tuple[str, ...] = ()
    unwanted: Unwanted | None = None

    @property
    def name(self) -> str | None:
        """The column that holds a recipient's name, or None."""
        by_words = {" ".join(split_words(column)): column for column in reversed(self.columns)}
        return next((by_words[words] for words in _NAME_WORDS if words in by_words), None)

    def variable(self, column: str) -> str:
        """How a template writes a column."""
        return variable(column, self.columns)

    @classmethod
    def example(cls) -> Self:
        """A sample of three."""
        return cls(path=_SAMPLE_NAME, sample=SAMPLE, columns=_SAMPLE_COLUMNS, filled=_SAMPLE_COLUMNS, address="email")

    @classmethod
    def read(
        cls,
        path: Path,
        directory: Path,
        *,
        address: str | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
    ) -> Self:
        """Look into a file.

        Args:
            path: The file.
            directory: The campaign's folder, to which the campaign file's paths are relative.
            address: The column of addresses; None to find it.
            encoding: Its encoding, as `open_records` takes it.
            sheet: The sheet of a workbook; None for the first.

        Raises:
            UsageError: It cannot be read, has no records, or none of its columns holds addresses.
        """
        with open_records(path, encoding=encoding, sheet=sheet) as reader:
            rows = [row for row in reader.read(_LOOKED_AT) if isinstance(row, Record)]
            names = reader.fields or _common(rows)
        found: str | None = None
        try:
            found = find_address_column(names)
        except AmbiguousColumnsError as error:
            if address is None:
                raise UsageError(f"{path}: {error.message}", remedy="say which: --recipient-field NAME") from None
        except RecordError:
            pass  # Its content may say it.
        address = address or found or _looks_like_addresses(names, rows)
        if address is None:
            line, called = _header_below(path, encoding), "line"
            if line is None and path.suffix.lower() in WORKBOOKS:
                below = (row.line for row in rows if means_address(map(str, row.fields.values())))
                line, called = next(below, None), "row"
            above = "" if line is None else f"{called} {line} looks like its header: take out what stands above it; or "
            raise UsageError(
                f"{path} has no column of addresses: it has {listed(names)}",
                remedy=f"{above}say which: --recipient-field NAME",
            )
        # What only its meaning tells is written down, so that it is seen.
        is_found = found == address and address.lower() in RECIPIENT_FIELDS
        return cls(
            path=relative(path, directory),
            columns=names,
            address=address,
            is_found=is_found,
            encoding=encoding,
            sheet=sheet,
            filled=_filled(names, rows),
            unwanted=next((said for row in rows if (said := unwanted(row.fields)) is not None), None),
        )


def _header_below(path: Path, encoding: str | None) -> int | None:
    """The line, counted from 1, that looks like a header below a title or a remark; None where there is none."""
    suffix = path.suffix.lower()
    if suffix != ".txt" and FORMATS.get(suffix) != "csv":
        return None
    with path.open(encoding=encoding or "utf-8", errors="replace") as file:
        for number, line in enumerate(islice(file, _TITLE_LINES), 1):
            names = [name.strip(" \"'\n") for name in _DELIMITER.split(line)]
            if number > 1 and len(names) > 1 and means_address(names):
                return number
    return None


def relative(path: Path, directory: Path) -> str:
    """A path as a file in a directory names it: relative to it."""
    return os.path.relpath(path.resolve(), directory.resolve())


def _common(rows: Sequence[Record]) -> tuple[str, ...]:
    """The fields that all records have, in the order of the first one."""
    return tuple(name for name in rows[0].fields if all(name in row.fields for row in rows)) if rows else ()


def _filled(names: Sequence[str], rows: Sequence[Record]) -> tuple[str, ...]:
    """The columns with a value in one of the records, those first that have one in all."""
    counts = {name: sum(row.fields.get(name) not in (None, "") for row in rows) for name in names}
    some = [name for name in names if counts[name]]
    return tuple(sorted(some, key=lambda name: counts[name] < len(rows)))


def _is_address(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(forward_path(cleaned(value)))
    except RecordError:
        return False


def _looks_like_addresses(names: Sequence[str], rows: Sequence[Record]) -> str | None:
    """The first column with an address in every value."""
    for name in names:
        values = [row.fields.get(name) for row in rows]
        if values and all(map(_is_address, values)):
            return name
    return None
