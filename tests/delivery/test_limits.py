"""What the ends of sessions say of how many messages each may have: a number that repeats, unless they waited."""

from __future__ import annotations

import pytest

from batchsend.delivery.limits import Limits
from batchsend.smtp import commands
from batchsend.smtp.client import Client
from batchsend.smtp.replies import Reply
from batchsend.smtp.transaction import Transaction

TAKEN = b"250 Ok\r\n250 Ok\r\n354 Go on\r\n"


def after(*sessions: tuple[str | None, int]) -> Limits:
    """The limits after sessions, one after the other, that the server ended: its words, and how many were answered."""
    limits = Limits(5, 100)
    for number, (said, answered) in enumerate(sessions):
        reply = None if said is None else Reply(int(said[:3]), said[4:].encode())
        limits.session_closed(reply, answered, opened_at=10.0 * number, now=10.0 * number + 5)
    return limits


@pytest.mark.parametrize("said", ["421 Service closing transmission channel", "421 4.7.0 bye", None])
def test_the_same_number_again_and_again_is_a_limit(said: str | None) -> None:
    assert after((said, 7), (said, 7)).learned == {}
    assert after((said, 7), (said, 7), (said, 7)).learned == {"max_messages": 7}


@pytest.mark.parametrize(
    "said",
    [
        "421 4.4.2 mx.example.com Error: timeout exceeded",
        "421 4.4.2 Connection timed out",
        "421 Idle too long, closing",
        "421 mx.example.com: SMTP command timeout - closing connection",
        "421 Timeout waiting for client input.",
        "421 session closed: inactivity",
    ],
)
def test_a_server_that_has_waited_in_vain_says_nothing_of_a_limit(said: str) -> None:
    assert after(*[(said, 1)] * 5).learned == {}


def test_words_about_a_limit_are_enough() -> None:
    assert after(("421 4.7.0 Too many messages in this session", 7)).learned == {"max_messages": 7}


@pytest.mark.parametrize("how", ["LIMITS", "in words", "not at all"])
def test_what_the_server_has_said_holds_also_once_what_was_concluded_is_tried_again(how: str) -> None:
    limits = after((None, 7), (None, 7), (None, 7))
    if how == "LIMITS":
        limits.announced(20)
    elif how == "in words":
        limits.session_full(20, now=40.0)
    assert limits.max_messages_now(50.0) == 7
    assert limits.max_messages_now(5000.0) == (100 if how == "not at all" else 20)
    assert limits.learned == ({} if how == "not at all" else {"max_messages": 20})


@pytest.mark.parametrize("way", ["421", "451", "dropped"])
@pytest.mark.parametrize(("quiet", "idle"), [(0.2, False), (1.5, True)])
def test_a_session_that_ends_after_a_second_of_rest_was_idle(way: str, quiet: float, *, idle: bool) -> None:
    client: Client[int] = Client(pipelining=True)
    client.begin(_transaction(1))
    client.data_to_send()
    client.receive(TAKEN)
    client.data_to_send()
    client.receive(b"250 Ok\r\n")
    if way == "dropped":
        client.ended_by_server("the connection is lost", quiet)
    else:
        client.receive(f"{way} bye\r\n".encode(), quiet=quiet)
    assert client.was_idle is idle


def test_a_session_that_owes_a_reply_was_not_idle() -> None:
    client: Client[int] = Client(pipelining=True)
    client.begin(_transaction(1))
    client.data_to_send()
    client.receive(b"421 bye\r\n", quiet=5.0)
    assert not client.was_idle


def _transaction(key: int) -> Transaction[int]:
    return Transaction(key, mail=commands.mail("a@example.org"), rcpt=commands.rcpt("b@example.com"), content=b"Hi\r\n")
