"""What became of a record: the vocabulary that delivery writes and the results log keeps.

Python 3.11 takes 0.1 µs to look a member up in its enumeration, and a message needs some thirty of them: where every
message passes through, a module looks its members up once, when it is imported.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Outcome(StrEnum):
    """What became of one record. Every record of a campaign ends as exactly one of these.

    >>> Outcome("in_doubt").label
    'in doubt'
    """

    ACCEPTED = "accepted"
    """The server answered 2yz to the end of the content: it has taken responsibility (RFC 5321 §4.2.5)."""

    REJECTED = "rejected"
    """The server refused it for good (5yz)."""

    DEFERRED = "deferred"
    """The server refused it for now (4yz), or never saw it: safe to send again."""

    IN_DOUBT = "in_doubt"
    """The connection was lost between the end of the content and its reply: SMTP cannot tell (RFC 1047)."""

    INVALID = "invalid"
    """Never offered to a server: the record itself cannot be sent."""

    SUPPRESSED = "suppressed"
    """Never offered to a server: the campaign says not to write to this address."""

    @property
    def label(self) -> str:
        """The outcome as people read it: ``in doubt``."""
        return self.value.replace("_", " ")

    @property
    def is_failure(self) -> bool:
        """Its message has not arrived as far as is known, and should have: figures and causes of failures count it.

        >>> [outcome.value for outcome in Outcome if not outcome.is_failure]
        ['accepted', 'suppressed']
        """
        return self not in _AS_IT_SHOULD_BE

    @property
    def was_offered(self) -> bool:
        """A server was asked to take it, or was about to be, so that its address counts as written to.

        >>> [outcome.value for outcome in Outcome if not outcome.was_offered]
        ['invalid', 'suppressed']
        """
        return self not in _NEVER_OFFERED


_NEVER_OFFERED: Final = (Outcome.INVALID, Outcome.SUPPRESSED)
_AS_IT_SHOULD_BE: Final = (Outcome.ACCEPTED, Outcome.SUPPRESSED)


class Stage(StrEnum):
    """Where in the dialogue a reply belongs, or was missed.

    >>> Stage("content") is Stage.CONTENT
    True
    """

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"


class DeliveryResult(Struct, kw_only=True):
    """One attempt's outcome: one line of the results log, its fields in the order of the line.

    >>> result = DeliveryResult(record=1, recipient="ada@example.com", status=Outcome.ACCEPTED, code=250)
    >>> result.recipient, result.status.label, result.code
    ('ada@example.com', 'accepted', 250)

    Attributes:
        record: The record's number, from 1.
        recipient: The forward-path as it was offered; for an invalid record whatever stood in its place.
        status: What became of it.
        stage: The stage of the deciding reply, or at which the connection was lost; None where no server was asked.
        code: The server's reply code (RFC 5321 §4.2), or None.
        enhanced: The server's enhanced status code (RFC 3463), believed only where its class fits ``code``, or None.
        reply: The reply's text with the code and control characters taken out, its lines joined by newlines, or None.
        reason: Why, in a word or a sentence of ours; None where the reply says all.
        attempt: How many times the record has been offered, from 1; 0 for a record never offered.
        session: The number of the session within the run, from 1, or None.
        message_id: The Message-ID with its angle brackets, the same on every attempt, or None.
        time: When the outcome was known, in seconds since the epoch.
        elapsed: Seconds from handing the transaction to the session until the outcome, or None.
        line: The line of the recipients file on which an invalid record starts, from 1; otherwise None.
        server: The name of the relay that it was offered to, where the campaign has several; otherwise None.
        key: What a program calls the message in the log of its `Sender`; None in a campaign.
    """

    record: int
    recipient: str | None
    status: Outcome
    stage: Stage | None = None
    code: int | None = None
    enhanced: str | None = None
    reply: str | None = None
    reason: str | None = None
    attempt: int = 0
    session: int | None = None
    message_id: str | None = None
    time: float = 0.0
    elapsed: float | None = None
    line: int | None = None
    server: str | None = None
    key: str | None = None
