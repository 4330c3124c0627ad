"""What callers give a sender: messages of two kinds, any number of them, and what they are called in its log."""

from __future__ import annotations

import asyncio  # noqa: TC003 - the type of a value
from collections.abc import AsyncIterable, Callable, Iterable
from contextvars import ContextVar
from email.message import Message
from hashlib import sha256
from types import NoneType
from typing import Any, Final, TypeAlias

from batchsend.errors import UsageError, require, require_callable
from batchsend.message.submission import Envelope, Submission
from batchsend.message.submitting import given_message_id

_LONGEST_KEY: Final = 1000

_FEEDS: Final[ContextVar[tuple[asyncio.Task[None], ...]]] = ContextVar("batchsend_feeds", default=())

Sendable: TypeAlias = Submission | Message
"""What a sender takes: a `Submission`, or a message of the standard library such as `email.message.EmailMessage`."""

Key: TypeAlias = Callable[[Any], str | None]
"""Says of a message what it is called in the sender's results log; None leaves that to its Message-ID."""

Messages: TypeAlias = Iterable[Sendable] | AsyncIterable[Sendable]
"""What `send` takes."""


def iterable(messages: Messages) -> Messages:
    """Refuse what cannot be a number of messages; a message itself could be gone through, by its headers.

    Raises:
        TypeError: It is one message, a text, or nothing to go through.
    """
    single = isinstance(messages, Message | Submission | str | bytes)
    if single or not isinstance(messages, Iterable | AsyncIterable):
        raise TypeError(f"expected an iterable of messages, not {type(messages).__name__}")
    return messages


def sound(submission: Submission) -> Submission:
    """Refuse what a session would stumble over later, where the caller is.

    Raises:
        TypeError: One of its values is of a wrong type.
        UsageError: One of its numbers is below 1; its Message-ID has a line end; or its content is not what it says.
    """
    given: Any = submission  # what a program puts there may be of any type
    message_id, marked = given.message_id, given.eight_bit
    if (
        type(given.content) is bytes
        and isinstance(given.envelope, Envelope)
        and type(given.record) is type(given.attempt) is int
        and given.record >= 1 <= given.attempt
        and (message_id is None or (type(message_id) is str and message_id.isascii()))
        and (message_id is None or not ("\n" in message_id or "\r" in message_id))
        and type(given.canonical) is bool
        and (not given.canonical or given.content.endswith(b"\r\n"))
        and (marked is None or type(marked) is bool)
        and (given.seven_bit is None or callable(given.seven_bit))
    ):
        return submission
    return _looked_into(submission)  # it is wrong or no ordinary one


def _looked_into(submission: Submission) -> Submission:
    """As `sound`, saying which of its values is wrong."""
    if not isinstance(submission.content, bytes):
        raise TypeError(f"record {submission.record}: content must be bytes, not {type(submission.content).__name__}")
    if not isinstance(submission.envelope, Envelope):
        raise TypeError(
            f"record {submission.record}: envelope must be a batchsend.Envelope, "
            f"not {type(submission.envelope).__name__}"
        )
    record = require(submission.record, "record", int)
    attempt = require(submission.attempt, f"record {record}: attempt", int)
    for name, number in (("record", record), (f"record {record}: attempt", attempt)):
        if number < 1:
            raise UsageError(f"{name} is {number}", remedy="expected a whole number from 1 on")
    message_id = require(submission.message_id, f"record {record}: message_id", str, NoneType)
    if message_id is not None and not _is_unicode(message_id):
        raise TypeError(f"record {record}: message_id has half of a character")
    if message_id is not None and ("\n" in message_id or "\r" in message_id):
        raise UsageError(f"record {record}: message_id is {message_id[:80]!r}", remedy="expected a text of one line")
    if require(submission.canonical, f"record {record}: canonical", bool) and not submission.content.endswith(b"\r\n"):
        raise UsageError(
            f"record {record}: content is said to be canonical, and does not end with CRLF",
            remedy="leave canonical out: the content is then made so",
        )
    require(submission.eight_bit, f"record {record}: eight_bit", bool, NoneType)
    if submission.seven_bit is not None:
        require_callable(submission.seven_bit, f"record {record}: seven_bit")
    return submission


def require_key(key: object) -> None:
    """Refuse what cannot be a key; None is none.

    Raises:
        UsageError: It is empty, too long, or cannot be written as UTF-8.
        TypeError: It is no text.
    """
    if key is not None and (not require(key, "key", str) or len(str(key)) > _LONGEST_KEY or not _is_unicode(str(key))):
        raise UsageError(f"key is {str(key)[:80]!r}", remedy=f"expected a text of 1 to {_LONGEST_KEY} characters")


def named_by(key: Key | None, *, kept: bool) -> Key | None:
    """What says of each message how it is called in the results log, looked into.

    Args:
        key: The caller's function, or None.
        kept: Whether there is a log.

    Raises:
        UsageError: There is none.
        TypeError: It cannot be called.
    """
    if key is None:
        return None
    require_callable(key, "key")
    if not kept:
        raise no_log_for_keys()
    return key


def no_log_for_keys() -> UsageError:
    """The error for a key that nothing could be called by."""
    return UsageError("a key needs a results log", remedy="Sender(…, results=…)")


def own_key(message: Sendable) -> str | None:
    """What a message is known by that was given no key: the Message-ID that it came with, or nothing."""
    own = message.message_id if isinstance(message, Submission) else given_message_id(message)
    if own is None or not (own := own.strip()):
        return None
    if len(own) <= _LONGEST_KEY:
        return own
    # Longer than any that RFC 5322 §2.1.1 allows. What it differs from others in may be at its end.
    return f"{own[: _LONGEST_KEY - 64]}{sha256(own.encode(errors='surrogatepass')).hexdigest()}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def begin_feed(task: asyncio.Task[None]) -> None:
    """Note that the current task, which is this one, goes through an iterable from here on."""
    _FEEDS.set((*_FEEDS.get(), task))


def feeds_here() -> tuple[asyncio.Task[None], ...]:
    """The tasks that go, or went, through an iterable by which the code that calls this was begun.

    A task that an iterable begins has its context, so it is among what it has begun.
    """
    return _FEEDS.get()
