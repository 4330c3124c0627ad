"""What a report says of one recipient: the vocabulary of feedback."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from batchsend.verdict import Reason  # noqa: TC001 - public: its hints are resolved at run time

_YEAR_10000: Final = 253_402_300_800.0


class FeedbackKind(StrEnum):
    """What a message that came back is."""

    BOUNCED = "bounced"
    """The message was not delivered, and nobody tries any more."""

    DELAYED = "delayed"
    """It has not been delivered yet, and is still being tried."""

    COMPLAINED = "complained"
    """The recipient, or his provider, calls it spam (RFC 5965)."""

    UNSUBSCRIBED = "unsubscribed"
    """The recipient does not want any more of it (RFC 2369 §3.2)."""

    AUTO_REPLY = "auto_reply"
    """A program answered for the recipient, who has the message (RFC 3834)."""

    DELIVERED = "delivered"
    """It was delivered, relayed or expanded, which somebody asked to be told (RFC 3461 §5.2)."""

    CHALLENGE = "challenge"
    """The recipient's mailbox wants to be convinced first that a person has written."""

    OTHER = "other"
    """Not understood, or no report at all: somebody has to read it."""


LOGGED = frozenset(
    {
        FeedbackKind.BOUNCED,
        FeedbackKind.DELAYED,
        FeedbackKind.COMPLAINED,
        FeedbackKind.UNSUBSCRIBED,
        FeedbackKind.AUTO_REPLY,
    }
)
"""What the feedback log holds."""


class FeedbackReport(Struct, kw_only=True):
    """One report about one recipient.

    Attributes:
        recipient: Whom the message was for, as the report has it, or None where it does not say.
        kind: What it is.
        hard: Whether a bounce is a verdict about the mailbox that holds for the next campaign too.
        enhanced: The enhanced status code (RFC 3463), or None where none was given.
        code: The reply code (RFC 5321 §4.2), or None where none was given.
        reason: Why, or None where nothing says so.
        said: The server's words, or those of the report, on one line; None where there are none.
        reported_by: Who reports: the Reporting-MTA, or whoever the report is from; None where neither is given.
        message_id: The Message-ID of the message that came back, with its angle brackets, or None.
        envelope_id: The ENVID that the message was sent with (RFC 3461 §4.4), or None.
        relay_id: What the relay calls the message that came back, as it may have said when it took it, or None.
        addresses: The addresses that the report was sent to: one of them may be a signed return path.
        time: When the report was written, in seconds since the epoch, or None.
    """

    recipient: str | None
    kind: FeedbackKind
    hard: bool = False
    enhanced: str | None = None
    code: int | None = None
    reason: Reason | None = None
    said: str | None = None
    reported_by: str | None = None
    message_id: str | None = None
    envelope_id: str | None = None
    relay_id: str | None = None
    addresses: tuple[str, ...] = ()
    time: float | None = None


def moment(seconds: float) -> float | None:
    """A time that somebody else has named; None where it is none, or none that can be written (RFC 3339).

    Args:
        seconds: Since the epoch; any float there is.
    """
    return seconds if 0.0 <= seconds < _YEAR_10000 else None
