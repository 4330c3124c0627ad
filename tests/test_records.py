"""Records: what becomes of every kind of row and file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import re
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RunError, UsageError
from batchsend.recipients import BadRecord, Record, RecordReader, open_records
from batchsend.recipients import csv as csv_records

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Rows = list[Record | BadRecord]


def everything(reader: RecordReader, n: int = 100) -> Rows:
    rows: Rows = []
    with reader:
        while some := reader.read(n):
            assert len(some) <= n
            rows += some
    return rows


@pytest.fixture
def rows_of(tmp_path: Path) -> Callable[[str, bytes], Rows]:
    def read(name: str, content: bytes) -> Rows:
        path = tmp_path / name
        path.write_bytes(content)
        return everything(open_records(path))

    return read


def good(number: int, line: int, **fields: object) -> Record:
    return Record(number, line, fields)


def test_csv_and_jsonl_say_the_same(rows_of: Callable[[str, bytes], Rows]) -> None:
    expected = [good(1, 2, email="a@example.com", name="Zoë, Ltd"), good(2, 3, email="b@example.com", name="")]
    assert rows_of("r.csv", 'email,name\na@example.com,"Zoë, Ltd"\nb@example.com,\n'.encode()) == expected
    text = '\n{"email": "a@example.com", "name": "Zoë, Ltd"}\n{"email": "b@example.com", "name": ""}\n'
    assert rows_of("r.jsonl", text.encode()) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_csv_line_ends_are_one_physical_line_each(rows_of: Callable[[str, bytes], Rows], end: bytes) -> None:
    text = end.join([b"a,b", b"", b'1,"x', b'y"', b"", b"2,z"])
    assert rows_of("r.csv", text) == [good(1, 3, a="1", b=f"x{end.decode()}y"), good(2, 6, a="2", b="z")]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("a,b", "1;2,3"),
        ("a;b", "1;2"),
        ("a\tb", "1\t2"),
        ('"a;b;c",d', "1,2"),
        ("\ufeffa;b", "1;2"),
        (" a , b ", "1,2"),
    ],
)
def test_csv_delimiter_is_the_one_outside_quotes_in_the_header(
    rows_of: Callable[[str, bytes], Rows], header: str, row: str
) -> None:
    (record,) = rows_of("r.csv", f"{header}\n{row}\n".encode())
    assert isinstance(record, Record)
    assert len(record.fields) == 2
    assert all(name == name.strip() and "\ufeff" not in name for name in record.fields)


def test_csv_ragged_rows_are_bad_and_the_rest_goes_on(rows_of: Callable[[str, bytes], Rows]) -> None:
    rows = rows_of("r.csv", b"a,b,c\n1\n1,2,3,4\n   \n1,2,3\n")
    assert rows == [
        BadRecord(1, 2, "1 field where the header has 3", {"a": "1"}),
        BadRecord(2, 3, "4 fields where the header has 3", {"a": "1", "b": "2", "c": "3"}),
        good(3, 5, a="1", b="2", c="3"),
    ]


def test_csv_only_the_row_with_the_wrong_bytes_is_bad(rows_of: Callable[[str, bytes], Rows]) -> None:
    rows = rows_of("r.csv", b"a,b\n1,ok\n2,caf\xe9\n3,\0\n4,caf\xc3\xa9\n")
    assert rows == [
        good(1, 2, a="1", b="ok"),
        BadRecord(2, 3, "not UTF-8: byte 0xE9 in the field 'b'", {"a": "2", "b": "caf\ufffd"}),
        BadRecord(3, 4, "a NUL character in the field 'b'", {"a": "3", "b": "\0"}),
        good(4, 5, a="4", b="café"),
    ]


def test_csv_unterminated_quote_costs_one_row(rows_of: Callable[[str, bytes], Rows]) -> None:
    rows = rows_of("r.csv", b'a,b\n1,"x\n2,y\n3,z\n')
    assert rows[0] == BadRecord(1, 2, "a quoted field that begins on this line is not closed", None)
    assert rows[1:] == [good(2, 3, a="2", b="y"), good(3, 4, a="3", b="z")]


def test_csv_unterminated_quote_that_meets_another_quote_costs_one_row(rows_of: Callable[[str, bytes], Rows]) -> None:
    rows = rows_of("r.csv", b'a,b\n1,"x\n2,y\n3,"z"\n4,"p"q\n5,r\n')
    reason = "text after a closing quote, where ',' or the end of the line belongs"
    assert rows == [
        BadRecord(1, 2, reason, None),
        good(2, 3, a="2", b="y"),
        good(3, 4, a="3", b="z"),
        BadRecord(4, 5, reason, None),
        good(5, 6, a="5", b="r"),
    ]


def test_csv_unterminated_quote_in_a_large_file_costs_one_row(rows_of: Callable[[str, bytes], Rows]) -> None:
    count = 30_000
    rest = b"".join(b"%d,%s\n" % (number, b"some text " * 4) for number in range(1, count))
    assert len(rest) > 1_048_576
    rows = rows_of("r.csv", b'a,b\n0,"open\n' + rest)
    reason = "a quoted field that begins on this line is not closed within 1,048,576 characters"
    assert rows[0] == BadRecord(1, 2, reason, None)
    assert len(rows) == count
    assert all(isinstance(row, Record) and row.line == row.number + 1 for row in rows[1:])


def test_csv_file_full_of_stray_quotes_is_read_in_a_bounded_number_of_steps(
    monkeypatch: pytest.MonkeyPatch, rows_of: Callable[[str, bytes], Rows]
) -> None:
    """Every line opens a quote that no line closes, and that makes no line ill-formed."""
    count = 20_000
    fed = 0
    feed = csv_records.Feed.__next__

    def counting(self: csv_records.Feed) -> str:
        nonlocal fed
        fed += 1
        assert fed < 20 * count
        return feed(self)

    monkeypatch.setattr(csv_records.Feed, "__next__", counting)
    line = b'x",y,"' + b"z" * 93 + b"\n"
    rows = rows_of("r.csv", b"a,b\n" + line * count)
    assert len(rows) == count
    assert all(isinstance(row, BadRecord) for row in rows)


def test_csv_reach_recovers_after_stray_quotes(rows_of: Callable[[str, bytes], Rows]) -> None:
    stray = b'x",y,"z\n' * 50
    good_rows = b"1,2\n" * 12
    long = b'1,"' + b"line\n" * 100_000 + b'"\n'
    rows = rows_of("r.csv", b"a,b\n" + stray + b'","\n' + good_rows + long)
    assert isinstance(rows[-1], Record)
    assert rows[-1].fields["b"] == "line\n" * 100_000


def test_csv_record_over_many_lines_is_read_whole(rows_of: Callable[[str, bytes], Rows]) -> None:
    text = "a line of a long text\r\n" * 40_000
    rows = rows_of("r.csv", f'a,b\n1,"{text}"\n2,x\n'.encode())
    assert rows == [good(1, 2, a="1", b=text), good(2, 40_003, a="2", b="x")]


def test_csv_field_larger_than_the_csv_modules_own_limit_is_read(rows_of: Callable[[str, bytes], Rows]) -> None:
    assert rows_of("r.csv", b"a,b\n1," + b"x" * 1_000_000) == [good(1, 2, a="1", b="x" * 1_000_000)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_csv_line_of_17_mib_costs_one_row(rows_of: Callable[[str, bytes], Rows], end: bytes) -> None:
    rows = rows_of("r.csv", end.join([b"a,b", b"1,x", b"2," + b"x" * (17 * 2**20), b"3,y", b"4,z"]))
    assert rows == [
        good(1, 2, a="1", b="x"),
        BadRecord(2, 3, "the line is longer than 16 MiB", None),
        good(3, 4, a="3", b="y"),
        good(4, 5, a="4", b="z"),
    ]


def test_jsonl_line_of_17_mib_costs_one_row(rows_of: Callable[[str, bytes], Rows]) -> None:
    rows = rows_of("r.jsonl", b'{"a": 1}\n{"a": "' + b"x" * (17 * 2**20) + b'"}\n{"a": 3}\n')
    assert rows == [good(1, 1, a=1), BadRecord(2, 2, "the line is longer than 16 MiB", None), good(3, 3, a=3)]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "is empty"),
        (b"\n\r\n \n", "is empty"),
        (b"a,b,a\n1,2,3\n", "r.csv:1: the header names 'a' twice: fields 1 and 3"),
        (b"\na,,b\n", "r.csv:2: field 2 of the header has no name"),
        (b'a,"b\n1,2\n', "r.csv:1: the header: a quoted field that begins on this line is not closed"),
        ("é,caf\xe9\n".encode("latin-1").replace(b"\xe9", "é".encode(), 1), "r.csv:1: the header is not UTF-8"),
        (b"a,b\0\n", "r.csv:1: the header has a NUL character"),
        (b"a@example.com,Ann\n", "r.csv:1: an address where the header belongs: 'a@example.com'"),
        (b"x" * (17 * 2**20), "r.csv:1: the line is longer than 16 MiB"),
    ],
)
def test_csv_header_that_cannot_name_fields_is_refused(
    rows_of: Callable[[str, bytes], Rows], header: bytes, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        rows_of("r.csv", header)
    assert error.value.message.endswith(message)
    assert error.value.remedy == "the first row names the fields, each once, as in: email,name"


def test_csv_header_alone_and_empty_jsonl_have_no_records(rows_of: Callable[[str, bytes], Rows]) -> None:
    assert rows_of("r.csv", b"a,b\n") == []
    assert rows_of("r.csv", b"a,b") == []
    assert rows_of("r.jsonl", b"") == []
    assert rows_of("r.jsonl", b"\n \r\n") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("suffix", "content"), [("csv", "email,name\na@x,é\n"), ("jsonl", '{"email":"a@x","name":"é"}\n')]
)
def test_a_byte_order_mark_names_the_encoding(
    rows_of: Callable[[str, bytes], Rows], encoding: str, suffix: str, content: str
) -> None:
    (row,) = rows_of(f"r.{suffix}", content.encode(encoding))
    assert row.fields == {"email": "a@x", "name": "é"}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named_with_the_key_that_helps(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("email,name\na@x,é\n".encode(encoding))
    with pytest.raises(UsageError, match=r"is in UTF-16, not in UTF-8") as error:
        open_records(path)
    assert f'encoding = "{encoding}"' in str(error.value.remedy)
    assert f"iconv -f {encoding} -t utf-8" in str(error.value.remedy)
    assert everything(open_records(path, encoding=encoding))[0].fields == {"email": "a@x", "name": "é"}


def test_characters_of_several_octets_go_over_the_ends_of_blocks(tmp_path: Path) -> None:
    """A block is an even number of octets; behind an odd one, no character of UTF-16 begins with a block."""
    path = tmp_path / "r.csv.gz"
    text = "email,name\n" + "".join(f"r{n}@example.com,{'東京' * 20}{n}\n" for n in range(12_000))
    for encoding in ("utf-16-le", "shift_jis", "gb18030"):
        path.write_bytes(gzip.compress(text.encode(encoding), 1))
        rows = everything(open_records(path, encoding=encoding))
        assert len(rows) == 12_000
        assert rows[-1].fields == {"email": "r11999@example.com", "name": f"{'東京' * 20}11999"}


def test_octets_that_are_none_of_the_encoding_are_refused_before_a_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(b"email,name\n" + b"a@x,A\n" * 100_000 + b"b@x,\x81\n")
    with pytest.raises(UsageError, match=r"is not in cp1252: .*0x81.* \(on line [89]") as error:
        open_records(path, encoding="cp1252")
    assert "leave encoding out" in str(error.value.remedy)


def test_utf_8_may_be_named_and_costs_a_bad_row_no_more_than_itself(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("\ufeffemail,name\na@x,é\n".encode() + b"b@x,\xe9\n")
    for encoding in ("utf8", "UTF-8-SIG", None):
        good, bad = everything(open_records(path, encoding=encoding))
        assert (good.fields, type(bad)) == ({"email": "a@x", "name": "é"}, BadRecord)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": NaN}', "NaN is not JSON (column 7)"),
        (b'{"a": Infinity}', "Infinity is not JSON (column 7)"),
        (b'{"a": -Infinity}', "-Infinity is not JSON (column 7)"),
        (b"[1, 2]", "an array where a JSON object belongs"),
        (b'"text"', "a text where a JSON object belongs"),
        (b"5", "a number where a JSON object belongs"),
        (b"null", "true, false or null where a JSON object belongs"),
        (b"true", "true, false or null where a JSON object belongs"),
        (b'{"a": "b', """the line breaks off: a JSON object ends in }, this line in '{"a": "b'"""),
        (b'{"a": "caf\xe9", "b": "\xc3\xa9"}', "not UTF-8: byte 0xE9 at column 11"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice in one object"),
        (b'{"a" : 1,"a": 2}', "the key 'a' stands twice in one object"),
        (b'{"a"\t: 1, "b": "x", "a": 2}', "the key 'a' stands twice in one object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 309 + b"}", "a number that is too large (column 7)"),
    ],
)
def test_jsonl_bad_line_costs_one_row_and_says_why(
    rows_of: Callable[[str, bytes], Rows], line: bytes, reason: str
) -> None:
    before, bad, after = rows_of("r.jsonl", b'{"x": 1}\r\n\n' + line + b'\n{"x": 2}')
    assert (before, after) == (good(1, 1, x=1), good(3, 4, x=2))
    assert isinstance(bad, BadRecord)
    assert (bad.number, bad.line, bad.reason) == (2, 3, reason)


@pytest.mark.parametrize("line", [b'{"a": "x\0"}', b'{"a": 1}}', b"{'a': 1}", b"a,b", b"{]}"])
def test_jsonl_what_is_not_json_is_bad(rows_of: Callable[[str, bytes], Rows], line: bytes) -> None:
    (bad,) = rows_of("r.jsonl", line)
    assert isinstance(bad, BadRecord)
    assert bad.reason.startswith("not JSON: ")


def test_jsonl_half_a_character_is_bad(rows_of: Callable[[str, bytes], Rows]) -> None:
    """Half of a surrogate pair (RFC 8259 §8.2) is no text that could be sent; it is said which field holds it."""
    (bad,) = rows_of("r.jsonl", rb'{"b": "x", "a": "\ud800"}')
    assert isinstance(bad, BadRecord)
    assert bad.reason.startswith("half a character in 'a': ")


def test_jsonl_key_that_looks_twice_but_is_not_is_fine(rows_of: Callable[[str, bytes], Rows]) -> None:
    (row,) = rows_of("r.jsonl", rb'{"a": "\"b\": \"b\" :", "b": {"a": 1}, "c": [{"a": 1}, {"a": 2}]}')
    assert row == good(1, 1, a='"b": "b" :', b={"a": 1}, c=[{"a": 1}, {"a": 2}])


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**63) - 1, 10**30, 12345678901234567890123])
def test_jsonl_integers_beyond_64_bits_stay_exact(rows_of: Callable[[str, bytes], Rows], value: int) -> None:
    for spaces in range(8):
        flat, deep = rows_of(
            "r.jsonl", b" " * spaces + b'{"id":%d}\n' % value + b'{"id":%d,"deep":[{"id":%d}]}' % (value, value)
        )
        assert flat == good(1, 1, id=value)
        assert deep == good(2, 2, id=value, deep=[{"id": value}])
        assert rows_of("r.jsonl", b" " * spaces + b'{"id":%d}' % value) == [flat]
        assert type(flat.fields and flat.fields["id"]) is int


def test_jsonl_values_keep_their_types(rows_of: Callable[[str, bytes], Rows]) -> None:
    (row,) = rows_of("r.jsonl", b'\xef\xbb\xbf{"a": 1, "b": 1.5, "c": true, "d": null, "e": "1", "f": [1]}')
    assert row == good(1, 1, a=1, b=1.5, c=True, d=None, e="1", f=[1])
    assert isinstance(row.fields, dict)
    assert type(row.fields["a"]) is int
    assert type(row.fields["c"]) is bool


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("name|email\nAnn|ann@example.com\n", {"name": "Ann", "email": "ann@example.com"}),
        ("email,tags\na@example.com,x|y\n", {"email": "a@example.com", "tags": "x|y"}),
        (
            "name, title|email\nAnn|ann@example.com\nBob|bob@example.com\n",
            {"name, title": "Ann", "email": "ann@example.com"},
        ),
        ("sep=;\nemail;name\na@example.com;A, B\n", {"email": "a@example.com", "name": "A, B"}),
        ('"sep=;"\r\nemail;name\r\na@example.com;A\r\n', {"email": "a@example.com", "name": "A"}),
        ("\ufeffSEP=\t\nemail\tname,x\na@example.com\tA\n", {"email": "a@example.com", "name,x": "A"}),
        ("sep=|\nemail|a,b,c\na@example.com|A\n", {"email": "a@example.com", "a,b,c": "A"}),
        ("email,name,\na@example.com,A,\n", {"email": "a@example.com", "name": "A"}),
        ("email,name,,\na@example.com,A\n", {"email": "a@example.com", "name": "A"}),
        ("email,name,\na@example.com,A,a remark\n", {"email": "a@example.com", "name": "A"}),
        ("email,name\na@example.com,A,,\n", {"email": "a@example.com", "name": "A"}),
        ("email;name\n;\na@example.com;A\n;\n;;;;\n", {"email": "a@example.com", "name": "A"}),
    ],
)
def test_csv_as_spreadsheets_write_it(
    rows_of: Callable[[str, bytes], Rows], content: str, fields: dict[str, str]
) -> None:
    row = rows_of("r.csv", content.encode())[0]
    assert isinstance(row, Record)
    assert row.fields == fields
    assert row.number == 1


def test_csv_rows_of_delimiters_only_are_not_counted_but_their_lines_are(
    rows_of: Callable[[str, bytes], Rows],
) -> None:
    rows = rows_of("r.csv", b"sep=;\na;b\n1;2\n;\n;;\n3;4\n")
    assert rows == [good(1, 3, a="1", b="2"), good(2, 6, a="3", b="4")]


def test_csv_does_not_touch_the_limit_of_the_process(rows_of: Callable[[str, bytes], Rows]) -> None:
    """Another part of the program around us may have set it, and relies on it."""
    before = csv.field_size_limit(50)
    try:
        long = "x" * 60
        rows = rows_of("r.csv", f'a,b\n1,{long}\n2,"{long}\n""{long}"\n3,"{long}" y\n4,z\n5,"{long}\n'.encode())
        assert csv.field_size_limit() == 50
    finally:
        csv.field_size_limit(before)
    assert rows == [
        good(1, 2, a="1", b=long),
        good(2, 3, a="2", b=f'{long}\n"{long}'),
        BadRecord(3, 5, "text after a closing quote, where ',' or the end of the line belongs", None),
        good(4, 6, a="4", b="z"),
        BadRecord(5, 7, "a quoted field that begins on this line is not closed", None),
    ]


PEOPLE = [{"email": "a@example.com"}, {"email": "b@example.com"}]
FIRST = '{"email":"a@example.com"}'
COMPACT = "jq -c . "
OTHER_KINDS = [
    ('[\n{"email":"a@example.com"},\n{"email":"b@example.com"}\n]\n', "is a JSON array", "jq -c '.[]' "),
    (json.dumps(PEOPLE), "is a JSON array", "jq -c '.[]' "),
    (json.dumps(PEOPLE, indent=2), "is a JSON array", "jq -c '.[]' "),
    ("[]", "is a JSON array", "jq -c '.[]' "),
    ("\n\n".join(json.dumps(one, indent=2) for one in PEOPLE), "objects over several lines", COMPACT),
    ('{"email":"a@example.com"}\n{\n"email":"b@example.com"\n}\n', "objects over several lines", COMPACT),
    ('{"email":"a@example.com",\n"name":"A"}\n{"email":"b@example.com",\n"name":"B"}\n', "several lines", COMPACT),
    ('{"email":"a@example.com"}{"email":"b@example.com"}\n', "more than one JSON object on a line", COMPACT),
    ('{"email":"a@example.com"} {"email":"b@example.com"}', "more than one JSON object on a line", COMPACT),
    ('{"email":"a@example.com"}, {"email":"b@example.com"}', "more than one JSON object on a line", COMPACT),
    ('{"email":"a@example.com"},\n{"email":"b@example.com"}\n', "ends in a comma", "sed 's/,"),
    ('{"email":"a@example.com"}\n{"email":"b@example.com"},\n', "ends in a comma", "sed 's/,"),
    ('{"email":"a@example.com"};\n{"email":"b@example.com"};\n', "ends in a semicolon", "sed 's/;"),
    ('{"email":"a@example.com"}\n,{"email":"b@example.com"}\n', "begins with a comma", "sed 's/^"),
    ('{"email":"a@example.com"}\n{"n":"Zoë"}{"email":"b@example.com"}\n', "more than one JSON object", COMPACT),
    ('{"email":\n"a@example.com"}\n{"email":"b@example.com"}\n', "objects over several lines", COMPACT),
    ('{"email":"a@example.com"}\n{"email":\n"b@example.com"}\n', "objects over several lines", COMPACT),
]


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv"])
@pytest.mark.parametrize(("content", "what", "remedy"), OTHER_KINDS)
def test_json_of_another_form_is_refused_whole(
    rows_of: Callable[[str, bytes], Rows], name: str, content: str, what: str, remedy: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(what)) as error:
        rows_of(name, content.encode())
    assert remedy in (error.value.remedy or "")


# Of a pipe only the first line is sure to be there at opening; these say nothing by it.
UNDECIDED = tuple(f"{first}\n" for first in (FIRST, '{"email":', '{"email":"a@example.com",'))


@pytest.mark.parametrize("content", [content for content, *_ in OTHER_KINDS if not content.startswith(UNDECIDED)])
def test_json_of_another_form_on_standard_input_is_refused_whole(
    standard_input: Callable[[bytes], None], content: str
) -> None:
    standard_input(content.encode())
    with pytest.raises(UsageError, match="JSON"):
        open_records("-")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("email,name\na@example.com,A\n", r"it begins with 'email,name', where a JSON object belongs"),
        ('"a@example.com"\n"b@example.com"\n', "where a JSON object belongs"),
        ('\x1e{"email":"a@example.com"}\n\x1e{"email":"b@example.com"}\n', "is a JSON text sequence"),
    ],
)
def test_what_has_no_json_object_is_refused_whole(
    rows_of: Callable[[str, bytes], Rows], content: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        rows_of("r.jsonl", content.encode())


def test_json_lines_under_the_name_of_csv_are_told_what_they_are(rows_of: Callable[[str, bytes], Rows]) -> None:
    with pytest.raises(UsageError, match=r"r\.csv is JSON, not CSV\ngive it a name that ends in \.jsonl"):
        rows_of("r.csv", b'{"email":"a@example.com"}\n{"email":"b@example.com"}\n')


CP1252 = 'encoding = "cp1252"; or convert it: iconv -f cp1252 -t utf-8'


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else "x")
    return file.getvalue()


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv"])
@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (
            zipped("[Content_Types].xml", "xl/workbook.xml"),
            "is a workbook (.xlsx)",
            "let its name end in .xlsx; or save the sheet",
        ),
        (zipped("mimetype", "content.xml"), "is a workbook (.ods)", "let its name end in .ods; or save the sheet"),
        (zipped("list.csv"), "is a zip file", "unzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is a workbook (.xls)", "save the sheet as CSV UTF-8"),
        (b"<!DOCTYPE html>\n<html><table><tr><td>a@example.com</table>", "is HTML", "export"),
        (b"<?xml version='1.0'?><Workbook/>", "is HTML or XML", "export"),
        (b"%PDF-1.7\n", "is a PDF file", "CSV"),
        (zipped("Index/Document.iwa"), "is a Numbers document", "save the sheet as CSV UTF-8"),
        (zipped(), "is a zip file with nothing in it", "name the list"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is a picture", "name the list"),
        (gzip.compress(gzip.compress(b"email\na@example.com\n", mtime=0), mtime=0), "is compressed twice", "gunzip"),
        ("email,name\na@example.com,José\n".encode("cp1252"), "in Windows-1252, such as in 'José' on line 2", CP1252),
        ("email,name\na@example.com,José".encode("cp1252"), "in Windows-1252, such as in 'José' on line 2", CP1252),
        ("email,name\nb@example.com,1\na@example.com,caf\xe9".encode("cp1252"), "'café' on line 3", CP1252),
        ("prénom,email\nA,a@example.com\n".encode("cp1252"), "'prénom' on line 1", CP1252),
        ("Imię;E-mail\nŁucja;a@example.com\n".encode("cp1250"), "Windows-1250 (Central European)", '"cp1250"'),
        ("Электронная почта;Имя\n".encode("cp1251"), "Windows-1251 (Cyrillic), such as in 'Электронная'", '"cp1251"'),
        ("Электронная почта;Имя\n".encode("koi8-r"), "KOI8-R (Cyrillic), such as in 'Электронная'", "-f koi8-r"),
        ("メールアドレス,氏名\n".encode("cp932"), "Shift JIS (Japanese), such as in 'メールアドレス'", '"cp932"'),
        ("邮箱,姓名\na@example.com,王小明\n".encode("gb18030"), "GB 18030 (Chinese), such as in '邮箱'", '"gb18030"'),
        ("이메일,이름\na@example.com,김철수\n".encode("cp949"), "EUC-KR (Korean), such as in '이메일'", '"cp949"'),
        ("email,name\na@example.com,ΓΙΏΡΓΟΣ\n".encode("cp1253"), "Windows-1253 (Greek)", '"cp1253"'),
        ("email,氏名\na@example.com,山田\n".encode("iso2022_jp"), "ISO-2022-JP (Japanese)", '"iso2022_jp"'),
        (b"email,name\na@example.com,x\xb6y\xa4z\xa7w\n", "its bytes do not say in what it is", "such as cp1252"),
    ],
)
def test_files_that_are_no_lists_are_refused_by_what_they_are(
    rows_of: Callable[[str, bytes], Rows], name: str, content: bytes, what: str, remedy: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(what)) as error:
        rows_of(name, content)
    assert remedy in (error.value.remedy or "")


def test_windows_1252_is_found_however_late_it_begins(rows_of: Callable[[str, bytes], Rows]) -> None:
    rows = b"email,name\n" + b"a@example.com,A\n" * 60_000
    with pytest.raises(UsageError, match="'José' on line 60002"):
        rows_of("r.csv", rows + "a@example.com,José\n".encode("cp1252"))
    assert len(rows_of("r.csv", rows + "a@example.com,José\n".encode())) == 60_001


def test_a_character_across_two_blocks_is_utf8_all_the_same(rows_of: Callable[[str, bytes], Rows]) -> None:
    for shift in range(4):
        start = b"a,b\n1," + b"x" * (256 * 1024 - 9 + shift)
        (row,) = rows_of("r.csv", start + "€\n".encode())
        assert isinstance(row, Record)


# More than a megabyte, of which compression leaves half: several blocks either way.
NOISE = random.Random(1)
TEXTS = [NOISE.randbytes(50).hex() for _ in range(10_000)]
CSV = b"a,b\n" + b"".join(b"%d,%s\n" % (number, text.encode()) for number, text in enumerate(TEXTS))


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", CSV),
        (".csv.gz", gzip.compress(CSV, mtime=0)),
        (".csv.gz", gzip.compress(CSV[:500_001], mtime=0) + gzip.compress(CSV[500_001:], mtime=0)),
        (".CSV.GZ", gzip.compress(CSV, mtime=0)),
        (".csv.zst", zstd.compress(CSV)),
        (".csv.zst", zstd.compress(CSV[:500_001]) + zstd.compress(CSV[500_001:])),
        (".csv", gzip.compress(CSV, mtime=0)),
    ],
)
def test_compression_makes_no_difference(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"r{suffix}"
    path.write_bytes(content)
    reader = open_records(path)
    assert reader.name == str(path)
    assert reader.fields == ("a", "b")
    assert reader.size == len(content)
    assert not reader.blocking
    rows = everything(reader, 1000)
    assert [row.number for row in rows] == list(range(1, 10_001))
    assert rows[-1] == good(10_000, 10_001, a="9999", b=TEXTS[-1])
    assert reader.position == len(content)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("name", ["r.csv", "r.jsonl"])
def test_truncated_stream_delivers_what_was_readable_then_stops_the_run(tmp_path: Path, suffix: str, name: str) -> None:
    text = (
        CSV
        if name == "r.csv"
        else b"".join(b'{"a":"%d","b":"%s"}\n' % (number, text.encode()) for number, text in enumerate(TEXTS))
    )
    content = gzip.compress(text) if suffix == "gz" else zstd.compress(text)
    path = tmp_path / f"{name}.{suffix}"
    path.write_bytes(content[: len(content) * 3 // 4])
    rows: Rows = []
    with open_records(path) as reader:
        with pytest.raises(RunError, match="is broken or cut off after") as error:
            rows.extend(row for some in iter(lambda: reader.read(1000), []) for row in some)
        with pytest.raises(RunError, match="is broken or cut off after"):
            reader.read(1)
    assert str(path) in error.value.message
    assert error.value.remedy == "bring the file whole again, and resume"
    assert len(rows) > 5_000
    assert all(
        isinstance(row, Record) and row.fields == {"a": str(row.number - 1), "b": TEXTS[row.number - 1]} for row in rows
    )


@pytest.mark.parametrize("name", ["r.csv.gz", "r.jsonl.zst"])
def test_file_that_is_not_compressed_as_its_name_says_is_refused(
    rows_of: Callable[[str, bytes], Rows], name: str
) -> None:
    with pytest.raises(UsageError, match=r"does not hold (gzip|zstd) data"):
        rows_of(name, b"a,b\n1,2\n")


@pytest.mark.parametrize("name", ["r.txt", "r", "r.gz", "r.json", "r.export"])
def test_a_file_whose_name_says_nothing_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    def opened(content: bytes) -> RecordReader:
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return open_records(tmp_path / name)

    assert everything(opened(b"a;b\n1;2\n")) == [good(1, 2, a="1", b="2")]
    assert everything(opened(b'{"a":"1"}\n')) == [good(1, 1, a="1")]
    with pytest.raises(UsageError, match="is a JSON array") as array:
        opened(b'[{"a":"1"}]')
    assert "jq -c '.[]'" in (array.value.remedy or "")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("r.xls", b"<table><tr><td>email</td></tr></table>", "is HTML or XML, not a list"),
        ("r.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "is a workbook (.xls)"),
        ("r.numbers", b"PK\x03\x04\0\0", "is a zip file"),
        ("r.csv.bz2", b"BZh91AY", "is compressed by bzip2"),
        ("r.txt", b"", "is empty"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is_whatever_its_name(
    tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(what)):
        open_records(tmp_path / name)


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        open_records(tmp_path / "none.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        open_records(tmp_path / "d.csv")
    with pytest.raises(UsageError, match="unknown format 'xml'"):
        open_records(tmp_path / "none.csv", format="xml")
    with pytest.raises(UsageError, match="cannot be opened"):
        open_records(Path("nul\0.csv"))


@pytest.fixture
def standard_input() -> Iterator[Callable[[bytes], None]]:
    """Puts bytes on descriptor 0, a few at a time."""
    saved = os.dup(0)
    threads: list[threading.Thread] = []

    def put(content: bytes) -> None:
        ours, theirs = os.pipe()
        os.dup2(ours, 0)
        os.close(ours)

        def write() -> None:
            with open(theirs, "wb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
                pipe.writelines(content[start : start + 7] for start in range(0, len(content), 7))

        threads.append(threading.Thread(target=write))
        threads[-1].start()

    try:
        yield put
    finally:
        for thread in threads:
            thread.join()
        os.dup2(saved, 0)
        os.close(saved)


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n3,4\n",
        gzip.compress(b"a,b\n1,2\n3,4\n", mtime=0),
        zstd.compress(b"a,b\n1,2\n3,4\n"),
        b"\xef\xbb\xbfa;b\r\n1;2\r\n3;4",
    ],
    ids=["plain", "gzip", "zstd", "byte order mark"],
)
def test_standard_input_is_known_by_its_content(standard_input: Callable[[bytes], None], content: bytes) -> None:
    standard_input(content)
    reader = open_records("-")
    assert (reader.name, reader.size, reader.blocking) == ("standard input", None, True)
    assert everything(reader) == [good(1, 2, a="1", b="2"), good(2, 3, a="3", b="4")]
    assert reader.position == len(content)
    os.fstat(0)  # It stays open: it is not ours.


def test_standard_input_is_jsonl_when_it_begins_with_a_brace(standard_input: Callable[[bytes], None]) -> None:
    standard_input(b'\n\n \n\n\n\n\n  {"a": 1}\n{"a": 2}\n')
    assert everything(open_records("-")) == [good(1, 8, a=1), good(2, 9, a=2)]


def test_standard_input_can_be_told_its_format(standard_input: Callable[[bytes], None]) -> None:
    standard_input(b"{a,b\n1,2\n")
    assert everything(open_records("-", format="csv")) == [Record(1, 2, {"{a": "1", "b": "2"})]


def test_empty_standard_input_is_refused(standard_input: Callable[[bytes], None]) -> None:
    standard_input(b"")
    with pytest.raises(UsageError, match="standard input is empty"):
        open_records("-")


def test_fifo_is_blocking_and_needs_no_suffix(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"a,b\n1,2\n",))
    writer.start()
    reader = open_records(path)
    assert reader.blocking
    assert reader.size is None
    assert everything(reader) == [good(1, 2, a="1", b="2")]
    writer.join()


def test_a_blank_before_a_quote_is_none_of_the_field(rows_of: Callable[[str, bytes], Rows]) -> None:
    """Some programs write one behind each delimiter; elsewhere, a blank at the beginning of a field is its own."""
    rows = rows_of("r.csv", b'"email", "name"\n"a@example.com", "Ann, B"\n"b@example.com",  Bo\n')
    assert [row.fields for row in rows] == [
        {"email": "a@example.com", "name": "Ann, B"},
        {"email": "b@example.com", "name": "Bo"},
    ]
    long = "x" * 200_000
    (row,) = rows_of("r.csv", f'"email", "name"\n"a@example.com", "{long},{long}"\n'.encode())
    assert row.fields == {"email": "a@example.com", "name": f"{long},{long}"}
    assert rows_of("r.csv", b"email,name\na@example.com, Ann\n")[0].fields == {"email": "a@example.com", "name": " Ann"}


@pytest.mark.parametrize(
    "text", ["email^name\na@example.com^A\n", "email:name\na@example.com:A\n", "email~name\na@example.com~A\n"]
)
def test_delimiters_that_are_seldom_used(rows_of: Callable[[str, bytes], Rows], text: str) -> None:
    assert rows_of("r.csv", text.encode()) == [Record(1, 2, {"email": "a@example.com", "name": "A"})]


def test_a_sign_that_not_every_record_has_is_no_delimiter(rows_of: Callable[[str, bytes], Rows]) -> None:
    text = "email: work\na@example.com\nb@example.com\n"
    assert rows_of("r.csv", text.encode())[0] == Record(1, 2, {"email: work": "a@example.com"})


@pytest.mark.parametrize(
    ("name", "content", "said", "remedy"),
    [
        ("r.json", b'{"all": [{"email": "a@example.com"}]}', "one JSON object, with its records in 'all'", "[]' FILE"),
        ("r.json", b'{\n "all": [\n {"email": "a@example.com"}\n ]\n}\n', "with its records in 'all'", "jq -c '."),
        ("r.jsonl", b"{'email': 'a@example.com'}\n{'email': 'b@example.com'}\n", "none of its lines is JSON", "double"),
        ("r.jsonl", b'// all\n{email: "a@example.com"}\n', "none of its lines is JSON", "no comments"),
        ("r.csv", b"'email','name'\n'a@example.com','A'\n", "the fields stand in single quotes", "email,name"),
        ("r.csv", "“email”,“name”\n“a@example.com”,“A”\n".encode(), "the fields stand in curly quotes", "sed 's/[“”„]"),
        ("r.csv", "„email“\n„a@example.com“\n".encode(), "the fields stand in curly quotes", "sed 's/[“”„]"),
        ("r.csv", b'"email" , "name"\n"a@example.com" , "A"\n', "text after a closing quote", """sed 's/" *,/",/g'"""),
    ],
)
def test_more_that_is_refused_with_what_to_do(
    rows_of: Callable[[str, bytes], Rows], name: str, content: bytes, said: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        rows_of(name, content)
    assert said in caught.value.message
    assert remedy in str(caught.value.remedy)
