"""A quote too many or too few in a CSV list: nobody is lost in silence, and a text of many lines stays what it is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.message import Suppression
from batchsend.recipients import BadRecord, Record, open_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = list[Record | BadRecord]

PEOPLE = 40


@pytest.fixture
def rows_of(tmp_path: Path) -> Callable[[str], Rows]:
    def read(content: str) -> Rows:
        path = tmp_path / "list.csv"
        path.write_text(content)
        rows: Rows = []
        with open_records(path) as reader:
            while some := reader.read(1000):
                rows += some
        return rows

    return read


def people(changed: dict[int, str], *, header: str = "email,name", row: str = "r{0}@example.com,Ann {0}") -> str:
    """A list with some of its rows changed, by number."""
    rows = [changed.get(number, row.format(number)) for number in range(1, PEOPLE + 1)]
    return "\n".join([header, *rows, ""])


def reason(lines: int, rows: int) -> str:
    look = "looks like a row of its own" if rows == 1 else "look like rows of their own"
    return (
        f"a quoted field takes in {lines} lines from this one on, of which {rows} {look}: "
        "a quote is missing or one too many"
    )


@pytest.mark.parametrize(
    ("content", "lines", "taken_in"),
    [
        # The quote that closes is a stray one far below, as the inches of a size.
        (people({5: 'r5@example.com,"Ann 5', 30: 'r30@example.com,TV 40"'}), 26, 25),
        (people({5: 'r5@example.com,"Ann 5', 6: 'r6@example.com,Ann 6"'}), 2, 1),
        # Ditto marks.
        (people({5: 'r5@example.com,"', 9: 'r9@example.com,"'}), 5, 4),
        # The first field.
        (people({5: '"r5@example.com,Ann 5', 9: 'r9@example.com",Ann 9'}), 5, 4),
        (
            people(
                {5: '"Smith,r5@example.com', 9: 'Jones",r9@example.com'}, header="name,email", row="A,r{}@example.com"
            ),
            5,
            3,
        ),
        # One in the middle.
        (
            people(
                {5: 'r5@example.com,"Ann,DE', 9: 'r9@example.com,Ann",DE'},
                header="email,name,c",
                row="r{}@example.com,A,",
            ),
            5,
            4,
        ),
        # One column only.
        (people({5: '"r5@example.com', 9: 'r9@example.com"'}, header="email", row="r{}@example.com"), 5, 4),
        # What separates the fields, and how the addresses are written, makes no difference.
        (people({5: 'r5@example.com;"A', 9: 'r9@example.com;A"'}, header="email;name", row="r{}@example.com;A"), 5, 4),
        (
            people({5: 'r5@example.com\t"A', 9: 'r9@example.com\tA"'}, header="email\tname", row="r{}@example.com\tA"),
            5,
            4,
        ),
        (people({5: 'r5@example.com,"A', 9: 'r9@example.com,A"'}, row="Ann <r{}@example.com>,A"), 5, 4),
        # Quotes that are doubled within what was taken in.
        (people({5: 'r5@example.com,"A', 9: 'r9@example.com,A"'}, row='r{}@example.com,""'), 5, 4),
    ],
)
def test_rows_that_a_stray_quote_takes_in_are_said_and_nobody_among_them_is_written_to(
    rows_of: Callable[[str], Rows], content: str, lines: int, taken_in: int
) -> None:
    rows = rows_of(content)
    bad = [row for row in rows if isinstance(row, BadRecord)]
    assert bad == [BadRecord(5, 6, reason(lines, taken_in), None)]
    assert len(rows) == PEOPLE - (lines - 1)
    assert [row.line for row in rows[4:6]] == [6, 6 + lines]


def test_it_is_noticed_in_fields_that_are_longer_than_the_csv_module_takes(rows_of: Callable[[str], Rows]) -> None:
    many = "".join(f"r{number}@example.com,Ann {number}\n" for number in range(9, 9000))
    rows = rows_of(f'email,name\nr1@example.com,"Ann\n{many}r2@example.com,Ann"\nr3@example.com,Ann\n')
    assert rows == [
        BadRecord(1, 2, reason(8993, 8992).replace("8993", "8,993").replace("8992", "8,992"), None),
        Record(2, 8995, {"email": "r3@example.com", "name": "Ann"}),
    ]


@pytest.mark.parametrize(
    ("header", "row", "fields"),
    [
        ("email,address", 'a@example.com,"Main Street 1\nBerlin, DE"', ["a@example.com", "Main Street 1\nBerlin, DE"]),
        # The address stands behind the text, on the line on which that ends.
        ("note,email", '"Dear\nfriend","a@example.com"', ["Dear\nfriend", "a@example.com"]),
        ("note,email", '"Dear\nfriend",a@example.com', ["Dear\nfriend", "a@example.com"]),
        ("note,email", '"ask\nbob@example.com",a@example.com', ["ask\nbob@example.com", "a@example.com"]),
        # Texts that name an address, among other words or with fewer fields than a row.
        ("email,note", 'a@example.com,"or write\nto bob@example.com, please"', ["a@example.com", ...]),
        ("email,name,note", 'a@example.com,A,"ask\nbob@example.com, or me"', ["a@example.com", "A", ...]),
        ("email,name,note", 'a@example.com,A,"--\nAnn\nann@example.com\n"', ["a@example.com", "A", ...]),
        ("email,note", 'a@example.com,"he said ""yes""\nand left, ""quickly"""', ["a@example.com", ...]),
        # Two texts of several lines.
        ("a,email,b", '"1\n2",a@example.com,"3\n4,5"', ["1\n2", "a@example.com", "3\n4,5"]),
        # Outer line ends are none of the address.
        ("email,name", '"a@example.com\n",Ann', ["a@example.com\n", "Ann"]),
    ],
)
def test_a_text_of_several_lines_stays_what_it_is(
    rows_of: Callable[[str], Rows], header: str, row: str, fields: list[object]
) -> None:
    rows = rows_of(f"{header}\n{row}\n")
    assert [type(found) for found in rows] == [Record]
    found = list((rows[0].fields or {}).values())
    assert len(found) == len(fields)
    assert all(wanted in (..., is_there) for wanted, is_there in zip(fields, found, strict=True))


@pytest.mark.parametrize(
    "content",
    [
        'email,"name\nr1@example.com,Ann"\nr2@example.com,Bob\n',
        '"email,name\nr1@example.com,Ann\nr2@example.com",Bob\nr3@example.com,Cid\n',
        '"email,name\nr1@example.com,Ann"\nr2@example.com,Bob\n',
    ],
)
def test_a_header_that_takes_rows_in_is_refused(rows_of: Callable[[str], Rows], content: str) -> None:
    with pytest.raises(
        UsageError, match=r"the header: a quoted field takes in [23] lines, and there are rows among them"
    ):
        rows_of(content)


def test_of_a_suppression_list_every_address_within_counts_and_a_domain_within_is_an_error(tmp_path: Path) -> None:
    rows = 'email,why\nr1@example.com,"left\n{},x\nr3@example.com,y"\nr4@example.com,z\n'
    path = tmp_path / "gone.csv"
    path.write_text(rows.format("r2@example.com"))
    given = Suppression.read([path])
    assert all(f"r{number}@example.com" in given for number in (1, 2, 3, 4))
    path.write_text(rows.format("@example.org"))
    with pytest.raises(UsageError, match=r"gone\.csv:2: a quoted field takes in 3 lines from this one on, of which 1"):
        Suppression.read([path])


def test_a_name_in_the_header_may_have_several_lines(rows_of: Callable[[str], Rows]) -> None:
    assert rows_of('"E-mail\naddress",name\nr1@example.com,Ann\n') == [
        Record(1, 3, {"E-mail\naddress": "r1@example.com", "name": "Ann"})
    ]


def test_wherever_quotes_stray_everybody_is_a_record_or_on_a_line_that_is_said(
    rows_of: Callable[[str], Rows],
) -> None:
    """Each person's line is a record's of its own, or within the lines that a bad row has."""
    chance = random.Random(12)
    for _ in range(300):
        lines = [f"r{number}@example.com,Ann {number},DE" for number in range(1, PEOPLE + 1)]
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(PEOPLE)
            at = chance.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:at] + '"' + lines[place][at:]
        rows = rows_of("\n".join(["email,name,country", *lines, ""]))
        ends = [row.line for row in rows[1:]] + [PEOPLE + 2]
        for row, end in zip(rows, ends, strict=True):
            if end - row.line > 1:
                assert isinstance(row, BadRecord), lines
