"""What a sink has seen so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Totals over all connections of one sink.

    Attributes:
        connections: Connections accepted; over implicit TLS, those whose handshake succeeded.
        sessions: Connections that introduced themselves with EHLO or HELO.
        messages: Messages answered 250 at the end of their content.
        recipients: Recipients of those messages.
        rejected: Recipients refused for good by a rule, one by one or with their message.
        deferred: Recipients refused for now by a rule, one by one or with their message.
        dropped: Connections dropped by a rule.
        delayed: Replies held back by a rule.
        octets: Content octets of the accepted messages as they came, stuffed dots included.
        commands: Commands read, valid or not; answers to AUTH challenges not included.
        errors: Commands and messages refused for another reason than a rule.
    """

    connections: int = 0
    sessions: int = 0
    messages: int = 0
    recipients: int = 0
    rejected: int = 0
    deferred: int = 0
    dropped: int = 0
    delayed: int = 0
    octets: int = 0
    commands: int = 0
    errors: int = 0
