"""What callers give a sender: messages of several kinds, one or many, and what each is called in the results log."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from email.message import Message
from types import NoneType
from typing import Any, Final, TypeAlias

from batchsend.errors import UsageError, require
from batchsend.message.submission import Envelope, Submission

_LONGEST_KEY: Final = 1000

Sendable: TypeAlias = Submission | Message
"""What a sender takes: a `Submission`, or a message of the standard library such as `email.message.EmailMessage`."""

Key: TypeAlias = Callable[[Any], str | None]
"""Says of a message what it is called in the sender's results log; None leaves that to its Message-ID."""

Messages: TypeAlias = Iterable[Sendable] | AsyncIterable[Sendable]


def key_of(message: Sendable, key: str | None, *, has_log: bool) -> str | None:
    """What a message is known by in the results log; None where there is no log, or it is known by nothing.

    Args:
        message: The message; without a key it is known by its Message-ID.
        key: What its sender calls it.
        has_log: There is a results log.

    Raises:
        UsageError: There is a key and no log, or it cannot be one.
        TypeError: It is no text.
    """
    if key is not None and (not require(key, "key", str) or len(key) > _LONGEST_KEY or not _is_unicode(key)):
        raise UsageError(f"key is {key[:80]!r}", remedy=f"expected a text of 1 to {_LONGEST_KEY} characters")
    if not has_log:
        if key is not None:
            raise UsageError("a key needs a results log", remedy="Sender(…, results=…)")
        return None
    if key is not None:
        return key
    own = message.message_id if isinstance(message, Submission) else message["Message-ID"]
    return str(own).strip()[:_LONGEST_KEY] or None if own is not None else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def sound(submission: Submission) -> Submission:
    """Refuse what a session would stumble over later, where the caller is.

    Raises:
        TypeError: One of its values is of a wrong type.
    """
    if not isinstance(submission.content, bytes):
        raise TypeError(f"record {submission.record}: content must be bytes, not {type(submission.content).__name__}")
    if not isinstance(submission.envelope, Envelope):
        raise TypeError(
            f"record {submission.record}: envelope must be a batchsend.Envelope, "
            f"not {type(submission.envelope).__name__}"
        )
    record = require(submission.record, "record", int)
    require(submission.attempt, f"record {record}: attempt", int)
    message_id = require(submission.message_id, f"record {record}: message_id", str, NoneType)
    if message_id is not None and not _is_unicode(message_id):
        raise TypeError(f"record {record}: message_id has half of a character")
    require(submission.canonical, f"record {record}: canonical", bool)
    require(submission.eight_bit, f"record {record}: eight_bit", bool, NoneType)
    if submission.seven_bit is not None and not callable(submission.seven_bit):
        raise TypeError(f"record {record}: seven_bit must be callable, not {type(submission.seven_bit).__name__}")
    return submission


def iterable(messages: Messages) -> Messages:
    """Refuse what cannot be a number of messages; a message itself could be gone through, by its headers.

    Raises:
        TypeError: It is one message, a text, or nothing to go through.
    """
    single = isinstance(messages, Message | Submission | str | bytes)
    if single or not isinstance(messages, Iterable | AsyncIterable):
        raise TypeError(f"expected an iterable of messages, not {type(messages).__name__}")
    return messages
