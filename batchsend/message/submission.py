"""A submission: one record's envelope and content, ready to be sent."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - public: its hints are resolved at run time

from msgspec import Struct
from msgspec.structs import force_setattr

from batchsend.recipients.addresses import forward_path, reverse_path


class Envelope(Struct, frozen=True):
    """Reverse-path and forward-path (RFC 5321 §2.3.1), valid by construction.

    >>> Envelope("shop@example.com", "ada@bücher.example").forward_path
    'ada@xn--bcher-kva.example'

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
        if (path := reverse_path(self.reverse_path)) is not self.reverse_path:
            force_setattr(self, "reverse_path", path)
        if (path := forward_path(self.forward_path)) is not self.forward_path:
            force_setattr(self, "forward_path", path)


class Submission(Struct, kw_only=True):
    r"""What a session needs to send one message, and what its outcome is told by.

    >>> envelope = Envelope("shop@example.com", "ada@example.com")
    >>> Submission(record=1, envelope=envelope, content=b"Subject: x\r\n\r\nText\r\n").attempt
    1

    Attributes:
        record: The record's number, from 1: its identity in the results log.
        envelope: Where it goes, and where failures are reported.
        content: The message (RFC 5322) as it will be sent: every line ends in CRLF, before dot-stuffing.
        message_id: Its Message-ID with angle brackets, the same on every attempt of the record, or None.
        canonical: The content is known to be lines of at most 998 octets without NUL, each ended by CRLF; otherwise
            that is looked into.
        eight_bit: Whether it has octets above 127; None where that is not known, and has to be looked into.
        seven_bit: Composes the same message again as pure ASCII, with the same Date and Message-ID, for a session
            without 8BITMIME (RFC 6152); None where there is no such form, or no need of one.
        attempt: How many times it has been offered, this time included; from 1.
    """

    record: int
    envelope: Envelope
    content: bytes
    message_id: str | None = None
    canonical: bool = False
    eight_bit: bool | None = None
    seven_bit: Callable[[], bytes] | None = None
    attempt: int = 1
