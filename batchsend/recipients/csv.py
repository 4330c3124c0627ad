"""CSV (RFC 4180) to records: the first row names the fields."""

from __future__ import annotations

import csv
import io
import re
from itertools import count, repeat
from typing import TYPE_CHECKING, Any, Final, Self

from batchsend.errors import UsageError
from batchsend.patterns import late_pattern
from batchsend.recipients.columns import with_all_named
from batchsend.recipients.dialect import (
    OPEN_AT_END,
    has_blanks_before_quotes,
    likely_delimiter,
    named_delimiter,
    read_long_record,
)
from batchsend.recipients.lines import TOO_LONG, Lines, TooLong
from batchsend.recipients.record import BadRecord, Record

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Iterable

    from batchsend.recipients.source import Source

# The header and the line behind it tell whether blanks stand before quotes.
_TELLING_LINES: Final = 2
REACH: Final = 1024 * 1024
"""How many characters of a record that spans lines may precede its last line."""

_DOUBLINGS: Final = 10  # Between the least reach, 1 Ki characters, and the full one.
_LIMITED: Final = "field larger than field limit"
_OUT_OF_REACH: Final = "out of reach"
_ESCAPED_BYTE: Final = late_pattern("[\udc80-\udcff]")  # What PEP 383 makes of a byte that is not UTF-8.
_ADDRESS: Final = late_pattern(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_HEADER_REMEDY: Final = "the first row names the fields, each once, as in: email,name"


class CsvParser:
    """Records of a CSV file, parsed strictly by the standard library.

    A quote that is never closed costs one row: where a record that spans lines has no end, is ill-formed or grows
    beyond :data:`REACH`, its first line is the bad row, and the next line is read as a row of its own. Each such
    failure halves the reach, down to 1 Ki characters, and each row after it doubles it again: a file full of stray
    quotes must not be read over and over. The outcome depends on the file alone, so that numbers stay the same.

    Args:
        source: The file.
        names_all: Give the last columns that have no name one, as `open_records` takes it.

    Attributes:
        fields: The names in the header.
        unnamed: The line of the first value in a column at the end that has no name; 0 for none.

    Raises:
        UsageError: There is no header, or it cannot name fields.
        RunError: The file cannot be read.
    """

    def __init__(self, source: Source, *, names_all: bool = False) -> None:
        self._name = source.name
        self._names_all = names_all
        self._lines = Lines(source, lone_cr=True)
        self._line = 0  # Physical lines that are done with.
        self._number = 0
        self._held: list[str] = []  # Lines that are read and not done with.
        self._held_size = 0
        self._parse_at = 0  # The size at which it is worth parsing them again, once a record did not end in them.
        self._is_suspect = False  # Whether they may have a NUL, or bytes that are not UTF-8.
        self._last_reach = REACH
        self._last_failure = 0
        self._delimiter = ","
        self._skips_blanks = False
        self._sep: str | None = None
        self._width = 0
        self.unnamed = 0
        self.fields = self._header()

    def next(self) -> list[Record | BadRecord] | None:
        """The next rows, perhaps none; None after the last.

        Raises:
            RunError: The file cannot be read further. A record that is cut off there is not returned.
        """
        if self._held and not self._parse_at:
            return self._parse(at_end=False)
        chunk = self._lines.next()
        if isinstance(chunk, bytes):
            self._hold(chunk)
            return self._parse(at_end=False) if self._held_size >= self._parse_at else []
        if chunk is None and not self._held:
            return None
        rows = self._parse(at_end=True)
        if chunk is not None:
            self._number += 1
            rows.append(BadRecord(self._number, self._line + 1, TOO_LONG, None))
        return rows

    def _hold(self, chunk: bytes) -> None:
        try:
            text = chunk.decode()
        except UnicodeDecodeError:
            text = chunk.decode(errors="surrogateescape")
            self._is_suspect = True
        if b"\0" in chunk:
            self._is_suspect = True
        self._held += io.StringIO(text, newline="")  # Lines end in LF, CR or CRLF, and keep it.
        self._held_size += len(text)

    def _header(self) -> tuple[str, ...]:
        is_more = True
        while is_more:
            chunk = self._lines.next()
            if isinstance(chunk, TooLong):
                raise UsageError(f"{self._name}:{self._line + 1}: {TOO_LONG}", remedy=_HEADER_REMEDY)
            is_more = chunk is not None
            self._hold(chunk or b"")
            self._skip_to_header()
            if self._held and (names := self._header_row(is_more=is_more and self._held_size <= REACH)) is not None:
                return names
        raise UsageError(f"{self._name} is empty", remedy=_HEADER_REMEDY)

    def _skip_to_header(self) -> None:
        """Leave out blank lines, and a line ``sep=;``, which says what separates the fields."""
        skipped = 0
        for line in self._held:
            if line.strip() and not (self._is_sep_line(line) and self._sep is None):
                break
            self._sep = named_delimiter(line.strip("\r\n")) or self._sep
            self._held_size -= len(line)
            skipped += 1
        del self._held[:skipped]
        self._line += skipped

    def _is_sep_line(self, line: str) -> bool:
        return named_delimiter(line.strip("\r\n")) is not None

    def _header_row(self, *, is_more: bool) -> tuple[str, ...] | None:
        """The names in the first row, or None where its end is yet to be read."""
        self._delimiter = self._sep or likely_delimiter(self._held)
        if is_more and len(self._held) < _TELLING_LINES:
            return None
        self._skips_blanks = has_blanks_before_quotes(self._held[:_TELLING_LINES], self._delimiter)
        reader = self._reader(self._held)
        place = f"{self._name}:{self._line + 1}"
        try:
            row = next(reader)
        except csv.Error as error:
            if is_more and str(error) == OPEN_AT_END:
                return None
            has_blanks = re.search(rf'" +{re.escape(self._delimiter)}', self._held[0])
            remedy = f"""take the blanks out: sed 's/" *{self._delimiter}/"{self._delimiter}/g' FILE > NEW_FILE"""
            raise UsageError(
                f"{place}: the header: {self._reason(str(error))}", remedy=remedy if has_blanks else _HEADER_REMEDY
            ) from None
        self._width = len(row)
        while len(row) > 1 and not row[-1].strip():
            row.pop()  # A delimiter at the end of the line makes a column that nothing can be asked of.
        names = tuple(name.strip() for name in row)
        if _has_curly_quotes(names):
            raise UsageError(
                f"{place}: the fields stand in curly quotes, where CSV has straight ones",
                remedy="""make them straight: sed 's/[“”„]/"/g' FILE > NEW_FILE""",
            )
        if fault := _single_quotes(names) or _header_fault(names):
            raise UsageError(f"{place}: {fault}", remedy=_HEADER_REMEDY)
        if self._names_all:
            names = tuple(with_all_named([*names, *[""] * (self._width - len(names))]))
        done = self._held[: reader.line_num]
        if any(_is_like_an_address(text) for line in done[1:] for text in line.split(self._delimiter)):
            raise UsageError(
                f"{place}: the header: a quoted field takes in {len(done):,} lines, and there are rows among them",
                remedy="close the quote in the header, or take it out",
            )
        self._held = self._held[reader.line_num :]
        self._held_size -= sum(map(len, done))
        self._line += len(done)
        return names

    def _reader(self, lines: Iterable[str]) -> Reader:
        return csv.reader(lines, delimiter=self._delimiter, skipinitialspace=self._skips_blanks, strict=True)

    def _parse(self, *, at_end: bool) -> list[Record | BadRecord]:
        """The rows in the held lines. Where the last one does not end in them, its lines stay held."""
        lines, self._held = self._held, []
        if (records := self._all_good(lines)) is not None:
            self._line += len(lines)
            self._held_size = self._parse_at = 0
            return records
        rows: list[Record | BadRecord] = []
        feed = Feed(lines, self._reach())
        reader = self._reader(feed)
        while feed.begin < len(lines):
            try:
                for row in reader:
                    self._add(row, feed, rows)
                    feed.go_on(self._reach())
            except csv.Error as error:
                reason = self._long_record(str(error), feed, rows)
                if reason is None:
                    continue
                if reason == OPEN_AT_END and feed.is_out_of_reach:
                    reason = _OUT_OF_REACH
                if reason == OPEN_AT_END and not at_end:
                    self._held = lines[feed.begin :]
                    break
                rows.append(BadRecord(self._number + 1, self._line + feed.begin + 1, self._reason(reason), None))
                if feed.is_beyond_first_line or reason in (OPEN_AT_END, _OUT_OF_REACH):
                    self._last_reach = max(REACH >> _DOUBLINGS, self._reach() // 2)
                    self._last_failure = self._number + 1
                self._number += 1
                feed.go_back(self._reach())
        self._line += len(lines) - len(self._held)
        self._held_size = sum(map(len, self._held))
        self._parse_at = min(2 * self._held_size, self._reach() + 1)
        self._is_suspect = self._is_suspect and bool(self._held)
        return rows

    def _long_record(self, error: str, feed: Feed, rows: list[Record | BadRecord]) -> str | None:
        """Read a record again that the csv module refused for the length of a field; None if it is good."""
        if not error.startswith(_LIMITED):
            return error
        record = read_long_record(
            feed.lines, feed.begin, self._delimiter, self._reach(), skips_blanks=self._skips_blanks
        )
        feed.take(record.lines)
        if record.error is None:
            self._add(record.row, feed, rows)
            feed.go_on(self._reach())
        return record.error

    def _all_good(self, lines: list[str]) -> list[Record | BadRecord] | None:
        """The rows of lines of which each is a whole record; None where one is not.

        Faster, because the interpreter runs nothing for a line but its Record.
        """
        if self._is_suspect:
            return None
        try:
            rows = list(self._reader(lines))
        except csv.Error:
            return None
        if len(rows) != len(lines) or set(map(len, rows)) != {self._width} or not all(map(any, rows)):
            return None
        if len(self.fields) < self._width and not self.unnamed:
            for line, row in enumerate(rows, self._line + 1):
                self._note_unnamed(row, line)
        fields = map(dict, map(zip, repeat(self.fields), rows))
        records: list[Record | BadRecord] = list(map(Record, count(self._number + 1), count(self._line + 1), fields))
        self._number += len(records)
        return records

    def _reach(self) -> int:
        """REACH as it is at this place of the file."""
        return min(REACH, self._last_reach << min(_DOUBLINGS, self._number - self._last_failure))

    def _add(self, row: list[str], feed: Feed, rows: list[Record | BadRecord]) -> None:
        """Add a row, unless it is a blank line or has delimiters only, as spreadsheets write below the last row."""
        if not row or (len(row) == 1 < self._width and not row[0].strip()) or (len(row) > 1 and not any(row)):
            return
        if len(row) != self._width and len(row) >= len(self.fields) and not any(row[self._width :]):
            # With a delimiter more or less at the end of the line than the header has; nothing stands behind it.
            row = row[: len(self.fields)] + [""] * (self._width - len(self.fields))
        line = self._line + feed.begin + 1
        if feed.is_beyond_first_line and (within := self._rows_within(row, feed.record)):
            self._number += 1
            rows.append(BadRecord(self._number, line, self._too_many(len(feed.record), within), None))
            return
        if len(self.fields) < self._width == len(row):
            self._note_unnamed(row, line)
        if len(row) == self._width and not self._is_suspect:
            self._number += 1
            rows.append(Record(self._number, line, dict(zip(self.fields, row, strict=False))))
            return
        self._number += 1
        texts = [text.encode(errors="surrogateescape").decode(errors="replace") for text in row]
        fields: dict[str, Any] = dict(zip(self.fields, texts, strict=False))
        fault = self._fault(row)
        rows.append(
            Record(self._number, line, fields) if fault is None else BadRecord(self._number, line, fault, fields)
        )

    def _note_unnamed(self, row: list[str], line: int) -> None:
        if not self.unnamed and any(map(str.strip, row[len(self.fields) :])):
            self.unnamed = line

    def _rows_within(self, row: list[str], lines: list[str]) -> int:
        """How many of a record's further lines look like rows of their own, which a stray quote has taken in.

        Such a line has as many fields as a row, and an address in the field where the record has its own. Where this is
        meant, as a text of several lines, the record cannot be told from one that has lost a quote: it is bad
        as a whole, since nobody may be lost in silence, and nobody be written to who is only named in a text.
        """
        first = lines[0].split(self._delimiter)
        places = [place for place, text in enumerate(row) if _is_like_an_address(text)]
        places = places or [place for place, text in enumerate(first) if _is_like_an_address(text)]
        wanted = places or range(self._width)
        return sum(self._looks_like_a_row(line, wanted) for line in lines[1:])

    def _looks_like_a_row(self, line: str, places: Iterable[int]) -> bool:
        line = line.rstrip("\r\n").replace('""', "")
        texts = line.split(self._delimiter)
        if len(texts) < len(self.fields) or any(texts[self._width :]):
            return False
        # What follows the quote that closes the field belongs to the record, as an address in its next field does.
        within = line.partition('"')[0].split(self._delimiter)
        # Of a suppression list every address counts, wherever in a row it stands; a whole domain does not.
        is_missed = _is_like_a_domain if self._names_all else _is_like_an_address
        return any(place < len(within) and is_missed(within[place]) for place in places)

    def _too_many(self, lines: int, rows: int) -> str:
        return (
            f"a quoted field takes in {lines:,} lines from this one on, of which {rows:,} look{'s' * (rows == 1)} like "
            f"{'a row of its own' if rows == 1 else 'rows of their own'}: a quote is missing or one too many"
        )

    def _fault(self, row: list[str]) -> str | None:
        if len(row) != self._width:
            return f"{len(row)} field{'s' * (len(row) != 1)} where the header has {self._width}"
        for name, text in zip(self.fields, row, strict=False):
            if match := _ESCAPED_BYTE.search(text):
                return f"not UTF-8: byte 0x{ord(match[0]) - 0xDC00:02X} in the field {name!r}"
            if "\0" in text:
                return f"a NUL character in the field {name!r}"
        return None

    def _reason(self, error: str) -> str:
        """The csv module's error in words for the one who fixes the row."""
        if error == OPEN_AT_END:
            return "a quoted field that begins on this line is not closed"
        if error == _OUT_OF_REACH:
            return f"a quoted field that begins on this line is not closed within {self._reach():,} characters"
        if error.endswith("""expected after '"'"""):
            return f"text after a closing quote, where {_name(self._delimiter)} or the end of the line belongs"
        return f"not CSV: {error}"


class Feed:
    """Lines for the csv module, of one record no more than the reach and the line that goes beyond it.

    Attributes:
        lines: All of them.
        begin: The place of the record's first line.
    """

    def __init__(self, lines: list[str], reach: int) -> None:
        self.lines = lines
        self._next = 0
        self._size = 0
        self._reach = reach
        self.begin = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._next == len(self.lines) or self._size > self._reach:
            raise StopIteration
        line = self.lines[self._next]
        self._next += 1
        self._size += len(line)
        return line

    @property
    def is_out_of_reach(self) -> bool:
        """Whether what was fed of the record is larger than the reach."""
        return self._size > self._reach

    @property
    def is_beyond_first_line(self) -> bool:
        """Whether more than one line was fed of the record."""
        return self._next - self.begin > 1

    @property
    def record(self) -> list[str]:
        """The lines that were fed of the record."""
        return self.lines[self.begin : self._next]

    def take(self, count: int) -> None:
        """The record has so many lines: they count as fed."""
        self._next = self.begin + count
        self._size = sum(map(len, self.lines[self.begin : self._next]))

    def go_on(self, reach: int) -> None:
        """The record has ended: the next one begins."""
        self.begin = self._next
        self._size, self._reach = 0, reach

    def go_back(self, reach: int) -> None:
        """The record was ill-formed: the next one begins on its second line."""
        self.begin += 1
        self._next = self.begin
        self._size, self._reach = 0, reach


def _is_like_an_address(text: str) -> bool:
    """Whether a field holds an address, or a domain as ``@example.com``, and at most a name or a quote beside it."""
    text = text.strip(" \t\r\n\"'")
    is_alone = text.endswith(">") or len(text.split(None, 1)) == 1
    return is_alone and "@" in text and not text.endswith("@")


def _is_like_a_domain(text: str) -> bool:
    """Whether a field holds ``@example.com`` or ``*@example.com``."""
    return _is_like_an_address(text) and text.strip(" \t\r\n\"'*").startswith("@")


def _name(delimiter: str) -> str:
    return "a tab" if delimiter == "\t" else f"{delimiter!r}"


def _single_quotes(names: tuple[str, ...]) -> str | None:
    is_quoted = len(names) > 1 and all(len(name) > 2 and name[0] == name[-1] == "'" for name in names)
    return "the fields stand in single quotes, where CSV has double ones" if is_quoted else None


def _has_curly_quotes(names: tuple[str, ...]) -> bool:
    """Whether a word processor has made the quotes: they would be part of addresses, and let commas end fields."""
    return all(len(name) > 2 and name[0] in "“”„" and name[-1] in "“”" for name in names)


def _header_fault(names: tuple[str, ...]) -> str | None:
    """Why the names cannot name fields, or None."""
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        if not name:
            return f"field {place + 1} of the header has no name"
        if _ESCAPED_BYTE.search(name):
            return "the header is not UTF-8"
        if "\0" in name:
            return "the header has a NUL character"
        if _ADDRESS.fullmatch(name):
            return f"an address where the header belongs: {name!r}"
        if (first := seen.setdefault(name, place)) != place:
            return f"the header names {name!r} twice: fields {first + 1} and {place + 1}"
    return None
