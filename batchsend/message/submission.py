"""A submission: one record's envelope and content, ready to be sent."""

from __future__ import annotations

from dataclasses import dataclass

from batchsend.message.addresses import forward_path, reverse_path


@dataclass(frozen=True, slots=True)
class Envelope:
    """Reverse-path and forward-path (RFC 5321 §2.3.1), valid by construction.

    Args:
        reverse_path: Where failures are reported: a Mailbox without angle brackets, or ``""`` (the null reverse-path).
        forward_path: The recipient: a Mailbox without angle brackets. A domain in another script is kept as A-labels
            (RFC 5890).

    Raises:
        RecordError: One of them is not a Mailbox (RFC 5321 §4.1.2); the message names which, and why.
    """

    reverse_path: str
    forward_path: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reverse_path", reverse_path(self.reverse_path))
        object.__setattr__(self, "forward_path", forward_path(self.forward_path))


@dataclass(slots=True, kw_only=True)
class Submission:
    """What a session needs to send one message, and what its outcome is told by.

    Attributes:
        record: The record's number, from 1: its identity in the results log.
        envelope: Where it goes, and where failures are reported.
        content: The message (RFC 5322) as it will be sent: every line ends in CRLF, before dot-stuffing.
        message_id: Its Message-ID with angle brackets, the same on every attempt of the record, or None.
        canonical: The content is known to be ASCII with every line ended by CRLF; otherwise that is looked into.
        attempt: How many times it has been offered, this time included; from 1.
    """

    record: int
    envelope: Envelope
    content: bytes
    message_id: str | None = None
    canonical: bool = False
    attempt: int = 1
