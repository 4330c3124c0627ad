"""What an account does where something cannot be written down: whoever sends is told, and nothing more leaves."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RunError
from batchsend.outcome import Outcome
from batchsend.results.book import Book
from batchsend.results.journal import journal_path
from tests.results.account import ledger, result

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
