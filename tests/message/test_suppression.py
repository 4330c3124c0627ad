"""Who must not be written to: lists of any kind, compared by the address and not by how it is written."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.message import Suppression

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: str | bytes) -> Suppression:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Suppression.read([path])


def test_a_plain_list_is_one_address_a_line(tmp_path: Path) -> None:
    listed = read(tmp_path / "gone.txt", "\ufeff# a comment\n\n a@example.com \r\nB@Example.COM\n")
    assert "a@example.com" in listed
    assert "b@example.com" in listed
    assert "c@example.com" not in listed
    assert "# a comment" not in listed


@pytest.mark.parametrize("written", ["ADA@example.com", "ada@EXAMPLE.com", "Ada@Example.Com", " ada@example.com "])
def test_case_and_blanks_do_not_count(tmp_path: Path, written: str) -> None:
    assert "ada@example.com" in read(tmp_path / "gone.txt", written)
    assert written in read(tmp_path / "gone.txt", "ada@example.com")


def test_a_domain_in_another_script_is_the_one_in_a_labels(tmp_path: Path) -> None:
    listed = read(tmp_path / "gone.txt", "ada@bücher.example.com\n")
    assert "ada@xn--bcher-kva.example.com" in listed
    assert "ada@bücher.example.com" in listed


@pytest.mark.parametrize("field", ["email", "to", "recipient", "address", "E-Mail".replace("-", ""), "Address"])
def test_tables_have_the_address_in_a_field_of_a_usual_name(tmp_path: Path, field: str) -> None:
    assert "x@example.com" in read(tmp_path / "gone.csv", f"name,{field}\nX,x@example.com\n")
    assert "x@example.com" in read(tmp_path / "gone.jsonl", f'{{"{field}": "x@example.com", "why": 1}}\n')
    compressed = gzip.compress(f"{field}\nx@example.com\n".encode())
    assert "x@example.com" in read(tmp_path / "gone.csv.gz", compressed)


def test_of_a_results_log_the_hard_bounces_count(tmp_path: Path) -> None:
    line = '{{"record": {0}, "recipient": "r{0}@example.com", "status": "{1}", "code": {2}, "reason": {3}}}\n'
    log = '{"run": {"id": "x", "campaign": "c", "recipients": {"path": "-"}}}\n' + "".join(
        line.format(number, status, code, reason)
        for number, (status, code, reason) in enumerate(
            [
                ("rejected", 550, '"unknown mailbox"'),
                ("rejected", 550, '"mailbox disabled"'),
                ("rejected", 550, '"policy"'),
                ("rejected", 552, '"mailbox full"'),
                ("rejected", 550, "null"),
                ("deferred", 450, '"unknown mailbox"'),
                ("accepted", 250, "null"),
                ("in_doubt", "null", '"the connection was lost"'),
            ],
            start=1,
        )
    )
    listed = read(tmp_path / "results.jsonl", log)
    assert [number for number in range(1, 9) if f"r{number}@example.com" in listed] == [1, 2]


def test_several_files_are_one_list(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("a@example.com\n")
    (tmp_path / "2.csv").write_text("email\nb@example.com\n")
    listed = Suppression.read([tmp_path / "1.txt", tmp_path / "2.csv"])
    assert "a@example.com" in listed
    assert "b@example.com" in listed


def test_no_list_suppresses_nobody() -> None:
    assert not Suppression.read([])
    assert "a@example.com" not in Suppression()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gone.txt", b"a@example.com\n\xff\xfe\n"),
        ("gone.csv", b"email\na@example.com\nb@example.com,too,many\n"),
        ("gone.csv", b"name,phone\nA,1\n"),
        ("gone.jsonl", b'{"email": "a@example.com"}\n{"email": \n'),
        ("gone.jsonl", b'{"name": "A"}\n'),
        ("gone.csv.gz", b"email\na@example.com\n"),
    ],
)
def test_a_list_that_cannot_be_read_whole_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """An address that was missed would be written to."""
    with pytest.raises(UsageError, match=name) as caught:
        read(tmp_path / name, content)
    assert caught.value.remedy


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("none.txt", "none.csv"):
        with pytest.raises(UsageError, match=name):
            Suppression.read([tmp_path / name])


def test_a_row_without_an_address_is_told_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"gone\.csv:2: no address in it\nthe address belongs in one of the fields email"
    ):
        read(tmp_path / "gone.csv", "name\nA\n")
