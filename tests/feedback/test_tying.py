"""Which record a report is about: in the order of what can be believed, and never by a guess."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from batchsend.errors import UsageError
from batchsend.feedback.tying import Tie, tie
from batchsend.feedback.understanding import understand
from batchsend.message.verp import Verp, make_key
from tests.feedback.letters import RUN, complaint, dsn, results_log

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN = "<other@elsewhere.example>"


def tied(results: Path, *letters: bytes) -> list[Tie]:
    return tie([report for octets in letters for report in understand(octets)], results)


def signed(results: Path, record: int) -> str:
    return f"bounce+{Verp(RUN, lambda: make_key(results)).token(record)}@mail.example.com"


def test_each_way_ties(tmp_path: Path) -> None:
    results = results_log(tmp_path)
    own = f"{RUN}.2@mail.example.com"
    assert tied(
        results,
        dsn("forwarded@elsewhere.example", to=signed(results, 1)),
        dsn("forwarded@elsewhere.example", message_id=f"<{own}>"),
        dsn("forwarded@elsewhere.example", envelope_id=own),
        dsn("Carl@EXAMPLE.net"),
    ) == [
        Tie(1, "anna@example.org", "verp"),
        Tie(2, "bert@example.org", "message_id"),
        Tie(2, "bert@example.org", "envid"),
        Tie(3, "carl@example.net", "address"),
    ]


def test_what_was_signed_goes_before_what_is_said(tmp_path: Path) -> None:
    results = results_log(tmp_path)
    letter = dsn("carl@example.net", to=signed(results, 1), message_id=f"<{RUN}.2@mail.example.com>")
    assert tied(results, letter) == [Tie(1, "anna@example.org", "verp")]
    said = dsn("carl@example.net", message_id=f"<{RUN}.2@mail.example.com>", envelope_id=f"{RUN}.1@mail.example.com")
    assert tied(results, said) == [Tie(2, "bert@example.org", "message_id")]


def test_a_forged_return_path_ties_to_nothing_whatever_else_is_said(tmp_path: Path) -> None:
    results = results_log(tmp_path)
    make_key(results)
    forged = "bounce+1-aaaaaaaa-aaaaaaaaaaaaaaaa@mail.example.com"
    letter = dsn("carl@example.net", to=forged, message_id=f"<{RUN}.2@mail.example.com>")
    assert tied(results, letter) == [Tie(None, None, "forged")]


def test_nothing_is_guessed(tmp_path: Path) -> None:
    results = results_log(tmp_path)
    assert tied(results, dsn("dora@example.net"), dsn("nobody@example.net"), dsn("nobody")) == [Tie(None, None, "")] * 3


def test_only_what_was_sent_can_come_back(tmp_path: Path) -> None:
    results = results_log(tmp_path)
    results.write_bytes(results.read_bytes().replace(b'"status":"accepted"', b'"status":"rejected"', 1))
    assert tied(results, dsn("anna@example.org")) == [Tie(None, None, "")]


def test_a_complaint_that_hides_whose_it_is_is_tied_by_what_it_returns(tmp_path: Path) -> None:
    assert tied(results_log(tmp_path), complaint(recipient="")) == [Tie(3, "carl@example.net", "message_id")]


def test_what_is_no_results_log_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"email":"anna@example.org"}\n')
    with pytest.raises(UsageError):
        tied(other, dsn())


def test_ten_thousand_forged_return_paths_tie_to_none(tmp_path: Path) -> None:
    """Each in a report that has the Message-ID and the address of the record besides."""
    results = results_log(tmp_path)
    genuine = signed(results, 1).partition("@")[0]
    reports = understand(dsn("anna@example.org", message_id=f"<{RUN}.1@mail.example.com>"))
    generator = random.Random(18)
    forged = ("".join(generator.choices("abcdefghijklmnopqrstuvwxyz234567", k=16)) for _ in range(10_000))
    many = [
        structs.replace(report, addresses=(f"{genuine[:-16]}{mac}@mail.example.com",))
        for mac in forged
        for report in reports
    ]
    assert set(tie(many, results)) == {Tie(None, None, "forged")}
    assert tie([structs.replace(reports[0], addresses=(f"{genuine}@x.example",))], results)[0].record == 1
