"""Addresses that a campaign must not write to, from lists of any kind."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchsend.campaign.list_names import FORMATS, WORKBOOKS
from batchsend.campaign.model import SuppressionList
from batchsend.errors import RecordError, RunError, UsageError
from batchsend.patterns import late_pattern
from batchsend.recipients.addresses import without_invisible_ends
from batchsend.recipients.bounces import is_hard_bounce
from batchsend.recipients.columns import (
    AmbiguousColumnsError,
    find_address_column,
    is_of_somebody_else,
    listed,
    may_hold_address,
    means_address,
)
from batchsend.recipients.encodings import misread
from batchsend.recipients.entries import DOMAIN, addresses_among, comparable, entries, without_marks, without_number
from batchsend.recipients.feedback import FedBack, FollowedLog, is_feedback
from batchsend.recipients.kinds import is_results_log, refuse_other_kinds
from batchsend.recipients.lines import Lines, TooLong
from batchsend.recipients.reader import open_records
from batchsend.recipients.record import BadRecord
from batchsend.recipients.source import COMPRESSIONS, Source, is_of_one_octet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchsend.recipients.record import Record

_DELIMITERS: Final = late_pattern(r"[,;\t|]")
_SEP: Final = late_pattern(r'"?sep=', re.IGNORECASE)
_LINE_ENDS: Final = late_pattern(r"\r\n?|\n")
_BESIDE_ADDRESSES: Final = late_pattern(r"[\s<>(),;\"']+")
_BLOCK: Final = 1000
_START: Final = 4096
_LOG_REMEDY: Final = "take the log from a backup; one whose run was killed is repaired by who goes on with that run"
_REMEDY: Final = "fix the line, or take it out: whoever is missed in it would be written to"


class Suppression:
    """A set of addresses and whole domains, compared without regard to case.

    Of each address only a 64-bit hash is kept: about 60 octets an address, whatever its length.

    Args:
        addresses: Addresses, and domains as ``@example.org``.

    Attributes:
        files: The files that were read and how many entries each of them has.

    Raises:
        RecordError: One of them is neither.
    """

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self.files: tuple[tuple[Path, int], ...] = ()
        self._hashes: set[int] = set()
        self._domains: set[str] = set()
        self._fed_back = FedBack()
        self._followed: list[FollowedLog] = []
        for address in addresses:
            for entry in entries(address):
                self._add(entry)

    @classmethod
    def read(
        cls,
        files: Iterable[str | Path | SuppressionList],
        *,
        recipient_field: str | None = None,
        own: Path | None = None,
    ) -> Suppression:
        """Read CSV, JSONL (a results log too: its hard bounces), feedback logs and plain lists.

        Args:
            files: The files; of a table also the column.
            recipient_field: The column that is taken where a table has it and no other was named.
            own: The feedback log of the run itself, which counts whether or not it is among the files, and need not be
                there yet.

        Raises:
            UsageError: One cannot be read whole, or something in it is no address: who was missed would be written to.
        """
        suppression = cls()
        counts: list[tuple[Path, int]] = []
        for one in files:
            given = one if isinstance(one, SuppressionList) else SuppressionList(file=Path(one))
            count = 0
            _require_regular(given.file)
            try:
                for entry in suppression._entries(given, recipient_field, own):
                    count += 1
                    suppression._add(entry)
            except RunError as error:
                raise UsageError(error.message, remedy="bring the suppression list whole again") from error
            counts.append((given.file, count))
        suppression.files = tuple(counts)
        if own is not None and all(log.path != own for log in suppression._followed):
            suppression._followed.append(FollowedLog(own))
            suppression._take_followed()
        return suppression

    def follow(self) -> None:
        """Take in what was added to the feedback logs since; a look at the size of each, where nothing was.

        Raises:
            RunError: One of them cannot be read any more: who stands in it would be written to.
        """
        try:
            self._take_followed()
        except UsageError as error:
            raise RunError(error.message, remedy=error.remedy) from None

    def _take_followed(self) -> None:
        for log in self._followed:
            for address, _ in self._fed_back.take(log.lines()):
                self._add(address)

    def _entries(self, given: SuppressionList, recipient_field: str | None, own: Path | None) -> Iterable[str]:
        """The entries of a file; a feedback log is followed from then on."""
        file = given.file
        if file == own or _is_feedback_log(file):
            log = FollowedLog(file)
            self._followed.append(log)
            return (address for address, _ in self._fed_back.take(log.lines()))
        return self._with_unmarked(_entries(given, recipient_field))

    def _with_unmarked(self, found: Iterable[str]) -> Iterator[str]:
        """The entries; of those that somebody may have written by hand, what stands behind marks is added as well."""
        for place, entry in enumerate(found, 1):
            if not isinstance(entry, _Recorded):
                self._add(without_marks(entry))
                self._add(without_number(entry, place))
            yield entry

    def notes(self) -> list[tuple[Path, int, str]]:
        """Of each file its path, how many entries it has, and a sentence that says so.

        A file without entries is worth a warning: somebody meant it to keep people from being written to.
        """
        return [
            (path, count, f"{path}: {count:,} {'entry' if count == 1 else 'entries'}, not written to")
            if count
            else (path, count, f"{path} has no entries: nobody is kept from being written to by it")
            for path, count in self.files
        ]

    def __bool__(self) -> bool:
        return bool(self._hashes or self._domains)

    def __contains__(self, address: str) -> bool:
        try:
            known = comparable(address)
        except RecordError:
            return False  # nobody can be written to there
        return hash(known) in self._hashes or (bool(self._domains) and known.rpartition("@")[2] in self._domains)

    def _add(self, entry: str) -> None:
        if entry.startswith(DOMAIN):
            self._domains.add(entry.removeprefix(DOMAIN))
        else:
            self._hashes.add(hash(entry))


class _Recorded(str):
    """An address as a program wrote it down: there is nothing before it that is none of it."""

    __slots__ = ()


def _require_regular(file: Path) -> None:
    """Refuse what can be read only once: what a list is must be seen before its first entry is taken.

    Raises:
        UsageError: It is a pipe, or the like.
    """
    try:
        is_read_once = not (stat.S_ISREG(mode := file.stat().st_mode) or stat.S_ISDIR(mode))
    except OSError:
        return  # what reads it says what is wrong with it
    if is_read_once:
        raise UsageError(
            f"{file} is not a regular file; a suppression list must be one, as it is read more than once",
            remedy="put what the pipe gives into a file, and name that",
        )


def _is_feedback_log(file: Path) -> bool:
    """Whether a file is a feedback log; one that is compressed was put away, and is none that grows."""
    try:
        with file.open("rb") as opened:
            start = opened.read(_START)
    except OSError:
        return False  # what reads it says what is wrong with it
    return is_feedback(file.name, start)


def _entries(given: SuppressionList, recipient_field: str | None) -> Iterator[str]:
    """The entries of a file of any kind. The kind is told by the content; by the name only what is a table."""
    file = given.file
    suffixes = [suffix.lower() for suffix in file.suffixes]
    compression = COMPRESSIONS.get(suffixes.pop()) if suffixes and suffixes[-1] in COMPRESSIONS else None
    suffix = suffixes[-1] if suffixes else ""
    if suffix in WORKBOOKS:
        if given.sheet is None:
            from batchsend.recipients.workbook import require_one_sheet  # noqa: PLC0415 - an extra, as in the reader

            require_one_sheet(file)
        return _table(given, None, recipient_field)
    source = Source(file, expect=compression, encoding=given.encoding)
    start = source.start
    if is_results_log(start):
        source.close()
        return _hard_bounces(file)
    if FORMATS.get(suffix) == "jsonl" or start.lstrip()[:1] in (b"{", b"["):
        source.close()
        return _table(given, "jsonl", recipient_field)
    try:
        refuse_other_kinds(source.name, start, "csv")
        source.require_one_encoding()
    except UsageError:
        source.close()
        raise
    if start and _is_table(start.decode(errors="replace"), suffix, given.field or recipient_field):
        source.close()
        return _table(given, "csv", recipient_field)
    if given.field is not None:
        source.close()
        raise UsageError(
            f"{file} is a plain list without columns, and the field {given.field!r} was asked for",
            remedy="put a line with the names of the columns at its beginning, or leave the field out",
        )
    return _plain_list(source, given.encoding)


def _is_table(text: str, suffix: str, named: str | None) -> bool:
    """Whether the first line names columns. A line with an address in it names none."""
    first = next((line for line in _LINE_ENDS.split(text) if line.strip() and not line.startswith("#")), "")
    if _SEP.match(first):
        return True
    if "@" in first or not first:
        return False
    names = [name.strip().strip('"').strip() for name in _DELIMITERS.split(first)]
    return FORMATS.get(suffix) == "csv" or means_address(names) or (named is not None and named in names)


def _plain_list(source: Source, encoding: str | None) -> Iterator[str]:
    number = 1
    try:
        lines = Lines(source, lone_cr=True)
        while (chunk := lines.next()) is not None:
            if isinstance(chunk, TooLong):
                raise UsageError(f"{source.name}:{number}: the line is too long to be an address", remedy=_REMEDY)
            try:
                text = chunk.decode()
            except UnicodeDecodeError as error:
                number += len(_LINE_ENDS.findall(chunk[: error.start].decode(errors="replace")))
                raise UsageError(f"{source.name}:{number}: not UTF-8", remedy=_REMEDY) from None
            *whole, rest = _LINE_ENDS.split(text)
            for line in (*whole, rest) if rest else whole:
                _require_read_rightly(line, encoding, f"{source.name}:{number}")
                yield from _parsed(line, f"{source.name}:{number}")
                number += 1
    finally:
        source.close()


def _table(given: SuppressionList, kind: str | None, recipient_field: str | None) -> Iterator[str]:
    with open_records(given.file, format=kind, encoding=given.encoding, sheet=given.sheet, names_all=True) as reader:
        columns: _Columns | None = None
        names: tuple[str, ...] = ()
        while rows := reader.read(_BLOCK):
            for row in rows:
                place = f"{given.file}:{row.line}"
                if isinstance(row, BadRecord):
                    raise UsageError(f"{place}: {row.reason}", remedy=_REMEDY)
                if columns is None or (reader.fields is None and tuple(row.fields) != names):
                    names = tuple(row.fields)
                    columns = _columns(names, wanted=given.field, preferred=recipient_field, place=place)
                for value in row.fields.values():
                    if isinstance(value, str):
                        _require_read_rightly(value, given.encoding, place)
                yield from _in_row(row, columns, place)


class _Columns(NamedTuple):
    """Where in a table addresses are.

    Attributes:
        first: The column that must have one in each row, unless another has.
        others: Those that may have further ones: somebody's second address is to be spared like the first.
        rest: All others but those that name somebody else: an address that stands alone in one of their cells counts.
    """

    first: str
    others: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def _columns(names: tuple[str, ...], *, wanted: str | None, preferred: str | None, place: str) -> _Columns:
    """The columns of a table that hold addresses: the one that is named, or all."""
    first = _column(names, wanted=wanted, preferred=preferred, place=place)
    if wanted is not None:
        return _Columns(first)
    others = tuple(name for name in names if name != first and may_hold_address(name))
    rest = tuple(name for name in names if name != first and name not in others and not is_of_somebody_else(name))
    return _Columns(first, others, rest)


def _column(names: tuple[str, ...], *, wanted: str | None, preferred: str | None, place: str) -> str:
    """The column that holds the addresses.

    Args:
        names: The columns.
        wanted: The one that was asked for, or None.
        preferred: The one that is taken if it is there: the campaign's ``recipient_field``; or None.
        place: File and line, for errors.

    Raises:
        UsageError: It is not there; or none fits, or several do.
    """
    if wanted is not None:
        if (found := _called(wanted, names)) is None:
            raise UsageError(f"{place}: there is no column {wanted!r}", remedy=f"the columns are {listed(names)}")
        return found
    if preferred is not None and (found := _called(preferred, names)) is not None:
        return found
    try:
        return find_address_column(names)
    except RecordError as error:
        several = isinstance(error, AmbiguousColumnsError)
        what = "more than one column for addresses" if several else "no column for addresses"
        raise UsageError(
            f"{place}: there is {what}",
            remedy=f'name it: {{ file = "…", field = "…" }}; the columns are {listed(names)}',
        ) from None


def _called(wanted: str, names: tuple[str, ...]) -> str | None:
    """The name that is wanted, by its exact spelling or else without regard to case; None if there is none."""
    same = [name for name in names if name.casefold() == wanted.casefold()]
    return wanted if wanted in names else next(iter(same), None)


def _in_row(row: Record, columns: _Columns, place: str) -> list[str]:
    """The entries of a row. Who has none in the first column must have one in another."""
    others: list[str] = []
    for name in columns.others:
        value: Any = row.fields.get(name)
        if "@" in (value if isinstance(value, str) else str(value)):
            others += _cell(value, name, place)
    first = row.fields.get(columns.first)
    has_first = not others or not (first is None or (isinstance(first, str) and not without_invisible_ends(first)))
    found = _cell(first, columns.first, place) if has_first else []
    among = [entry for name in columns.rest for text in _texts(row.fields.get(name)) for entry in addresses_among(text)]
    return found + others + among


def _cell(value: object, column: str, place: str) -> list[str]:
    if not isinstance(value, str):
        raise UsageError(f"{place}: no address in the field {column!r}", remedy=_REMEDY)
    found = _parsed(value, place)
    # A row may be commented out by a "#" before words; an address behind it, or the signs of a column that was too
    # narrow to be printed, may as well be an entry.
    if not found and ("@" in value or not re.match(r"\s*#[^#]", value)):
        raise UsageError(f"{place}: no address in the field {column!r}", remedy=_REMEDY)
    return found


def _require_read_rightly(text: str, encoding: str | None, place: str) -> None:
    """Refuse an address that was read in an encoding which the list is not in: it would keep nobody out.

    Raises:
        UsageError: It has what no address has.
    """
    if text.isascii() or encoding is None or "@" not in text or not is_of_one_octet(encoding):
        return
    for word in _BESIDE_ADDRESSES.split(text):
        if "." in word.partition("@")[2] and (sign := misread(word)) is not None:
            raise UsageError(
                f"{place}: {word} is no address in {encoding}, because of its {sign!r}",
                remedy="name the encoding that the list has, such as cp1252, or fix the line",
            )


def _texts(value: object) -> Iterator[str]:
    """The texts in a value that may hold an address: of an object or array of JSON, those at any depth."""
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text:
                if "@" in text:
                    yield text
            case dict() as fields:
                rest += [item for name, item in fields.items() if not is_of_somebody_else(str(name))]
            case list() as items:
                rest += items


def _parsed(text: str, place: str) -> list[str]:
    try:
        return entries(text)
    except RecordError as error:
        raise UsageError(f"{place}: {error.message}", remedy=_REMEDY) from None


def _hard_bounces(file: Path) -> Iterator[str]:
    """Who hard-bounced in a results log: of each record the last outcome counts."""
    bounced: dict[int, str] = {}
    run: str | None = None
    with open_records(file, format="jsonl") as reader:
        while rows := reader.read(_BLOCK):
            for row in rows:
                place = f"{file}:{row.line}"
                if isinstance(row, BadRecord):
                    raise UsageError(f"{place}: {row.reason}", remedy=_LOG_REMEDY)
                if "run" in row.fields and len(row.fields) == 1:
                    run = _same_run(row.fields["run"], run, place)
                    continue
                record, recipient = row.fields.get("record"), row.fields.get("recipient")
                if not isinstance(record, int) or not isinstance(row.fields.get("status"), str):
                    raise UsageError(f"{place}: not a line of a results log", remedy=_LOG_REMEDY)
                if isinstance(recipient, str) and is_hard_bounce(row.fields):
                    bounced[record] = recipient
                else:
                    bounced.pop(record, None)
    for recipient in bounced.values():
        try:
            yield _Recorded(comparable(recipient))
        except RecordError:
            # An older version wrote to addresses that this one does not: there is nobody to be kept from.
            continue


def _same_run(line: object, run: str | None, place: str) -> str:
    """The identity of the run whose line it is. A record is known by its number within its run.

    Raises:
        UsageError: It is another run than the one before.
    """
    found = line.get("id") if isinstance(line, dict) else None
    if not isinstance(found, str):
        raise UsageError(f"{place}: not a line of a results log", remedy=_LOG_REMEDY)
    if run not in (None, found):
        raise UsageError(
            f"{place}: the account of another run begins here", remedy="keep each run in a file of its own"
        )
    return found
