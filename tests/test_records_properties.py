"""Records: what holds for any content, however its bytes arrive."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.errors import UsageError
from batchsend.recipients import BadRecord, Record
from batchsend.recipients import csv as csv_records
from batchsend.recipients.csv import CsvParser
from batchsend.recipients.dialect import LongRecord, read_long_record
from batchsend.recipients.jsonl import JsonlParser

if TYPE_CHECKING:
    from batchsend.recipients.source import Source

Rows = list[Record | BadRecord]


class Pieces:
    """A source whose bytes arrive in given pieces."""

    name = "pieces"

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._pieces = []
        for size in sizes:
            self._pieces.append(content[:size])
            content = content[size:]
        self._pieces.append(content)

    def read(self) -> bytes:
        while self._pieces:
            if piece := self._pieces.pop(0):
                return piece
        return b""


def source(content: bytes, sizes: list[int]) -> Source:
    return Pieces(content, sizes)  # type: ignore[return-value] # has all that a parser uses


def everything(parser: CsvParser | JsonlParser) -> Rows:
    rows: Rows = []
    while (some := parser.next()) is not None:
        rows += some
    return rows


sizes = st.lists(st.integers(1, 12), max_size=40)
# Without @: a text of several lines, one of which looks like a row with an address, is refused (test_quotes.py).
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0@"), max_size=12)
# Made of what CSV is made of, so that every state of its grammar is met.
csv_bytes = st.lists(
    st.sampled_from([b'"', b",", b"\n", b"\r", b"\r\n", b"a", b" ", b"\0", b"\xe9", "é".encode(), b'""']), max_size=60
).map(b"".join)


@given(st.lists(st.tuples(text, text, text), max_size=20), st.sampled_from(["\n", "\r\n"]), sizes)
def test_what_the_csv_module_writes_is_read_back(table: list[tuple[str, ...]], end: str, sizes: list[int]) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(("x", "y", "z"))
    writer.writerows(table)
    rows = everything(CsvParser(source(file.getvalue().encode(), sizes)))
    assert [row.fields for row in rows] == [dict(zip("xyz", row, strict=True)) for row in table if any(row)]
    assert all(isinstance(row, Record) for row in rows)


@given(st.text(st.sampled_from('a",\n\r é'), max_size=40))
def test_a_record_that_is_long_is_read_as_the_csv_module_reads_a_short_one(content: str) -> None:
    lines = list(io.StringIO(content, newline=""))
    if not lines:
        return
    reader = csv.reader(lines, strict=True)
    try:
        expected = LongRecord(next(reader), reader.line_num, None)
    except csv.Error as error:
        expected = LongRecord([], 0, str(error))
    found = read_long_record(lines, 0, ",", 1000)
    assert found.error == expected.error
    if found.error is None:
        assert found.lines == expected.lines
        assert found.row == (expected.row or [""])  # what the csv module makes of a blank line


@given(csv_bytes, sizes)
def test_csv_rows_do_not_depend_on_how_the_bytes_arrive(content: bytes, sizes: list[int]) -> None:
    content = b"x,y\n" + content
    assert everything(CsvParser(source(content, sizes))) == everything(CsvParser(source(content, [])))


@given(csv_bytes, sizes)
def test_csv_rows_do_not_depend_on_how_the_bytes_arrive_where_records_are_out_of_reach(
    content: bytes, sizes: list[int]
) -> None:
    content = b"x,y\n" + content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "REACH", 10)
        patch.setattr(csv_records, "_DOUBLINGS", 2)
        assert everything(CsvParser(source(content, sizes))) == everything(CsvParser(source(content, [])))


@given(csv_bytes, sizes)
def test_csv_rows_after_any_content_are_found_again(content: bytes, sizes: list[int]) -> None:
    """A row without quotes after any garbage is either read as itself, or is within a quoted field that is closed."""
    rows = everything(CsvParser(source(b"x,y\n" + content + b"\n1,2\n", sizes)))
    assert rows[-1].fields == {"x": "1", "y": "2"}
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines))


@given(st.binary(max_size=80), sizes)
def test_any_bytes_are_rows_or_refused_as_a_whole(content: bytes, sizes: list[int]) -> None:
    everything(JsonlParser(source(content, sizes)))
    with suppress(UsageError):
        everything(CsvParser(source(content, sizes)))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(text, values, max_size=4), max_size=10),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]),
    sizes,
)
def test_any_objects_are_read_back(
    objects: list[dict[str, object]], escape: bool, separators: tuple[str, str], sizes: list[int]
) -> None:
    lines = [json.dumps(fields, ensure_ascii=escape, separators=separators) for fields in objects]
    rows = everything(JsonlParser(source("\n".join(lines).encode(), sizes)))
    assert rows == [Record(number, number, fields) for number, fields in enumerate(objects, 1)]


@given(st.lists(st.tuples(text, values), min_size=1, max_size=4), st.sampled_from([":", " :", "\t: ", ": "]), st.data())
def test_a_key_that_stands_twice_is_always_found(
    pairs: list[tuple[str, object]], colon: str, data: st.DataObject
) -> None:
    pairs = [*pairs, (data.draw(st.sampled_from(pairs))[0], data.draw(values))]
    line = "{" + ",".join(json.dumps(name) + colon + json.dumps(value) for name, value in pairs) + "}"
    (row,) = everything(JsonlParser(source(line.encode(), [])))
    assert isinstance(row, BadRecord)
    assert row.reason.endswith("stands twice in one object")
