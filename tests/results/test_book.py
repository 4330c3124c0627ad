"""What an account does where something cannot be written down: whoever sends is told, and nothing more leaves."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RunError
from batchsend.outcome import Outcome
from batchsend.results.book import Book
from batchsend.results.journal import Entry, journal_path, read_journal
from tests.results.account import ledger, result, room_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchsend.results.ledger import Ledger

pytestmark = pytest.mark.asyncio


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Ledger]:
    """Return a log and its journal."""
    with ledger(tmp_path / "results.jsonl") as account:
        yield account


@pytest.fixture
def cut_short(kept: Ledger, tmp_path: Path) -> Ledger:
    """Return a log whose journal is cut short by somebody, so that nothing can be marked there any more."""
    kept.commit(1, 1)
    os.truncate(journal_path(tmp_path / "results.jsonl"), 0)
    return kept


async def test_a_message_that_cannot_be_marked_does_not_leave_and_whoever_sends_is_told(cut_short: Ledger) -> None:
    book = Book(cut_short)
    told: list[RunError] = []
    released: list[bool] = []
    book.on_failure = told.append
    assert not book.commit(2, 1, released.append)
    assert ["cut short" in error.message for error in told] == [True]
    await asyncio.sleep(0)
    assert released == [False]


async def test_who_sends_is_told_where_an_outcome_that_is_taken_back_cannot_be_marked(cut_short: Ledger) -> None:
    book = Book(cut_short)
    told: list[RunError] = []
    book.on_failure = told.append
    book.write(result(2, Outcome.IN_DOUBT))
    assert len(told) == 1


async def test_who_sends_is_told_where_what_the_lines_speak_of_cannot_be_written(kept: Ledger, tmp_path: Path) -> None:
    """Such as the list of a program's messages: no line of a message goes to the log before it is there."""
    no_room = RunError("there is no room")

    def first() -> None:
        raise no_room

    book = Book(kept, None, first)
    told: list[RunError] = []
    book.on_failure = told.append
    before = (tmp_path / "results.jsonl").read_bytes()
    book.write(result(1))
    assert told == []
    await asyncio.sleep(0)
    assert told == [no_room]
    assert (tmp_path / "results.jsonl").read_bytes() == before


async def test_what_the_lines_speak_of_is_tried_again_where_all_is_to_be_written(kept: Ledger) -> None:
    Book(kept).require()
    no_room = RunError("there is no room")

    def first() -> None:
        raise no_room

    with pytest.raises(RunError) as caught:
        Book(kept, None, first).require()
    assert caught.value is no_room


def in_flight(log: Path) -> list[Entry]:
    """What the journal of a log holds."""
    left = read_journal(log)
    assert left is not None
    return left.entries


async def test_a_message_may_leave_as_soon_as_it_is_marked_and_one_that_was_not_taken_is_not_in_flight(
    kept: Ledger, tmp_path: Path
) -> None:
    book = Book(kept)
    released: list[bool] = []
    assert book.commit(1, 1, released.append)
    assert in_flight(tmp_path / "results.jsonl") == [Entry(1, 1)]
    book.withdraw(1, 1)
    assert in_flight(tmp_path / "results.jsonl") == []
    await asyncio.sleep(0)
    assert released == []


async def test_no_message_leaves_before_what_its_line_speaks_of_is_written(kept: Ledger, tmp_path: Path) -> None:
    no_room = RunError("there is no room")

    def first() -> None:
        raise no_room

    book = Book(kept, None, first)
    told: list[RunError] = []
    released: list[bool] = []
    book.on_failure = told.append
    assert not book.commit(1, 1, released.append)
    await asyncio.sleep(0)
    assert (told, released) == ([no_room], [False])
    assert in_flight(tmp_path / "results.jsonl") == []


async def test_the_outcomes_of_each_turn_are_in_the_log_when_it_is_over(kept: Ledger, tmp_path: Path) -> None:
    """Whoever follows the log learns of them while the run goes on, and what the journal has to hold stays little."""
    book = Book(kept)
    log = tmp_path / "results.jsonl"
    written = log.read_bytes().count(b"\n")
    for outcomes in (1, 3, 1):
        for record in range(outcomes):
            book.write(result(record + 1))
            assert log.read_bytes().count(b"\n") == written, "they are one write"
        await asyncio.sleep(0)
        written += outcomes
        assert log.read_bytes().count(b"\n") == written


async def test_what_found_no_room_is_written_when_all_is_to_be(kept: Ledger, tmp_path: Path) -> None:
    book = Book(kept)
    told: list[RunError] = []
    book.on_failure = told.append
    log = tmp_path / "results.jsonl"
    before = log.read_bytes()
    with room_for(len(before)):
        book.write(result(1))
        await asyncio.sleep(0)
        assert ["cannot be written" in error.message for error in told] == [True]
        with pytest.raises(RunError, match="cannot be written"):
            book.require()
    assert log.read_bytes() == before
    book.require()
    assert log.read_bytes().removeprefix(before).count(b"\n") == 1


async def test_a_log_that_is_not_where_it_was_is_noticed_where_all_is_to_be_written(
    kept: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "results.jsonl").rename(tmp_path / "results.jsonl.1")
    with pytest.raises(RunError, match="was moved"):
        Book(kept).require()
