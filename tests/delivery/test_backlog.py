"""The backlog is a queue that is bounded by number and, for large messages, by octets."""

from __future__ import annotations

import pytest

from batchsend.delivery.backlog import Backlog
from tests.delivery.harness import submissions


def test_first_in_first_out_and_what_was_put_back_goes_first() -> None:
    one, two, three = submissions(3)
    backlog = Backlog(low=32)
    backlog.extend([one, two, three])
    taken = backlog.take()
    assert taken is one
    backlog.put_back(taken)
    assert [backlog.take() for _ in range(len(backlog))] == [one, two, three]


def test_it_wants_more_until_it_holds_enough() -> None:
    backlog = Backlog(low=4)
    assert backlog.wants_more
    wanted = []
    for submission in submissions(6):
        wanted.append(backlog.wants_more)
        backlog.extend([submission])
    assert wanted == [True, True, True, True, False, False]


def test_few_large_messages_are_enough() -> None:
    backlog = Backlog(low=1000)
    backlog.extend(submissions(3, content=b"x" * 3_000_000))
    assert not backlog.wants_more
    backlog.take()
    assert backlog.wants_more


@pytest.mark.parametrize("cleared", [False, True])
def test_it_holds_eight_megabytes(cleared: bool) -> None:
    backlog = Backlog(low=1000)
    if cleared:
        backlog.extend(submissions(1))
        backlog.clear()
    backlog.extend(submissions(1, content=b"x" * (8 * 1024 * 1024 - 1)))
    assert backlog.wants_more
    backlog.extend(submissions(1, content=b"x"))
    assert not backlog.wants_more


def test_one_message_larger_than_the_bound_does_not_stop_it_for_ever() -> None:
    backlog = Backlog(low=1000)
    backlog.extend(submissions(1, content=b"x" * 20_000_000))
    assert not backlog.wants_more
    backlog.take()
    assert backlog.wants_more


def test_cleared_it_is_as_new() -> None:
    backlog = Backlog(low=1000)
    backlog.extend(submissions(3, content=b"x" * 9_000_000))
    backlog.clear()
    assert len(backlog) == 0
    backlog.extend(submissions(1))
    assert backlog.wants_more
