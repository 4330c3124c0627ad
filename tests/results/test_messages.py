"""The list of a program's messages: it tells them apart, and has each of them before it can be sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from batchsend.errors import RunError, UsageError
from batchsend.results.messages import MessageLine, MessageList, messages_path
from tests.results.account import open_files, room_for

if TYPE_CHECKING:
    from pathlib import Path

THREE = (
    MessageLine(1, "order-17", "a@example.com", "<1@example.com>"),
    MessageLine(2, None, "b@example.com", None),
    MessageLine(3, "order-17", None, None),
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "mail.jsonl"


def fill(messages: MessageList) -> None:
    """Take three messages in."""
    for place, line in enumerate(THREE, len(messages) + 1):
        assert messages.add(line.key, line.recipient, line.message_id) == place


def kept(log: Path) -> bytes:
    """The octets of a list of three messages."""
    with MessageList(log, new=True) as messages:
        fill(messages)
        messages.flush()
    return messages_path(log).read_bytes()


def test_a_line_is_with_the_kernel_when_it_was_flushed_and_says_what_it_is_of(log: Path) -> None:
    with MessageList(log, new=True) as messages:
        for count in (3, 6):
            fill(messages)
            assert messages_path(log).read_bytes().count(b"\n") == count - 3
            messages.flush()
            assert messages_path(log).read_bytes().count(b"\n") == count
            messages.flush()
        assert len(messages) == 6
    assert messages_path(log).read_bytes().splitlines()[0] == (
        b'{"record":1,"key":"order-17","recipient":"a@example.com","message_id":"<1@example.com>"}'
    )


@pytest.mark.parametrize("again", [False, True])
def test_a_message_is_known_by_its_key_and_its_recipient_whatever_the_letters_case(log: Path, again: bool) -> None:
    if again:
        kept(log)
    with MessageList(log, new=not again) as messages:
        if not again:
            fill(messages)
        assert messages.find("order-17", "A@Example.com") == 1
        assert messages.find("order-17", None) == 3
        assert messages.find("Order-17", "a@example.com") is None
        assert messages.find("order-17", "b@example.com") is None
        assert [messages.line(record) for record in (1, 2, 3)] == list(THREE)
        assert messages.add("order-18", "a@example.com", None) == 4
        assert messages.line(3) == THREE[2]
        assert messages.line(4) == MessageLine(4, "order-18", "a@example.com", None)


def test_what_found_no_room_is_written_with_what_comes_next_and_once(log: Path) -> None:
    with MessageList(log, new=True) as messages:
        fill(messages)
        for octets in (10, 120):
            with (
                room_for(octets),
                pytest.raises(RunError, match="the list of messages cannot be written: File too large"),
            ):
                messages.flush()
            assert messages_path(log).stat().st_size == octets
        messages.add("order-19", "c@example.com", None)
        messages.flush()
    with MessageList(log, new=False) as messages:
        assert [messages.line(record) for record in (1, 2, 3)] == list(THREE)
        assert messages.find("order-19", "c@example.com") == len(messages) == 4


def test_a_torn_line_is_of_a_message_that_was_not_sent(log: Path) -> None:
    whole = kept(log)
    last = whole.rindex(b"\n", 0, -1) + 1
    for length in range(last, len(whole)):
        messages_path(log).write_bytes(whole[:length])
        with MessageList(log, new=False) as messages:
            assert len(messages) == 2
            assert messages_path(log).read_bytes() == whole[:last]
            assert messages.find("order-17", None) is None
            assert messages.add("order-17", None, None) == 3
            messages.flush()
        assert messages_path(log).read_bytes() == whole


@pytest.mark.parametrize(
    "hole", [b"\0\0\0\n", b'{"record":7,"key":null,"recipient":null,"message_id":null}\n', b"\xff\n"]
)
def test_a_line_that_is_none_is_named_unless_the_machine_went_down(log: Path, hole: bytes) -> None:
    whole = kept(log)
    first = whole.index(b"\n") + 1
    messages_path(log).write_bytes(whole[:first] + hole + whole[first:])
    before = open_files()
    with pytest.raises(UsageError, match=r"mail\.messages\.jsonl:2: not a line of a list"):
        MessageList(log, new=False)
    assert open_files() == before, "it is let go"
    assert hole in messages_path(log).read_bytes(), "and left as it is"
    with MessageList(log, new=False, holes=True) as messages:
        assert len(messages) == 1
    assert messages_path(log).read_bytes() == whole[:first]
    assert open_files() == before


def test_a_new_log_needs_a_new_list_and_an_old_one_may_have_an_empty_one(log: Path) -> None:
    whole = kept(log)
    with pytest.raises(UsageError, match="names messages, and their results log is not there"):
        MessageList(log, new=True)
    assert messages_path(log).read_bytes() == whole
    messages_path(log).write_bytes(b"")
    with MessageList(log, new=True) as messages:
        assert len(messages) == 0
    with MessageList(log, new=False) as messages:
        assert len(messages) == 0


def test_what_is_to_be_brought_to_the_disk_is_the_list_itself(log: Path) -> None:
    with MessageList(log, new=True) as messages:
        file = messages.duplicate()
        assert os.path.samestat(os.fstat(file), messages_path(log).stat())
        os.close(file)
        messages.flush()
