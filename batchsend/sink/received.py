"""A message as the sink received it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Received:
    """One accepted message with its envelope.

    Attributes:
        session: The number of the connection it came by, from 1.
        reverse_path: The mailbox of MAIL without angle brackets; ``""`` for the null reverse-path.
        recipients: The mailboxes of the accepted RCPT commands, in their order, without angle brackets and source
            routes.
        content: The message, dots unstuffed (RFC 5321 §4.5.2).
        parameters: The parameters of MAIL by upper-case keyword; None for one that has no value.
        tls: Whether it came over TLS.
        user: The authenticated user, or None.
    """

    session: int
    reverse_path: str
    recipients: list[str]
    content: bytes
    parameters: dict[str, str | None]
    tls: bool
    user: str | None
