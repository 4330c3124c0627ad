"""What a reply means: the closed sets that delivery decides by, and that logs, reports and feedback speak in."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What a reply means. The narrowest that its wording supports is taken."""

    ACCEPTED = "accepted"
    """2yz: the server has taken responsibility (RFC 5321 §4.2.5)."""

    MAILBOX = "mailbox"
    """This recipient's mailbox: it does not exist, is closed, full or has moved, or its domain takes no mail."""

    GREYLISTED = "greylisted"
    """The server turns away whom it does not know yet, and takes the message some minutes later (RFC 6647)."""

    LATER = "later"
    """This recipient cannot be reached for now; nothing is said of anybody else."""

    SESSION_FULL = "session_full"
    """This session has carried as many messages as the server lets one carry."""

    CONNECTIONS = "connections"
    """There are too many sessions at once."""

    PACE = "pace"
    """Too much mail in too short a time."""

    QUOTA = "quota"
    """As much has been sent as may be sent in an hour, a day or a month."""

    RELAY = "relay"
    """The relay takes nothing from us: the account, our address, the credentials, or it does not relay for us."""

    SENDER = "sender"
    """The sender address is refused."""

    CONTENT = "content"
    """The message itself is refused: spam, virus, attachment, size, DMARC, form."""

    REFUSED = "refused"
    """Any other refusal for good."""


class Scope(StrEnum):
    """How far a verdict reaches."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    SESSION = "session"
    RELAY = "relay"
    RUN = "run"


class Reason(StrEnum):
    """Why a message was not accepted, in a word: what ``reason`` can be where a server replied."""

    UNKNOWN_MAILBOX = "unknown_mailbox"
    MAILBOX_DISABLED = "mailbox_disabled"
    MAILBOX_FULL = "mailbox_full"
    MAILBOX_MOVED = "mailbox_moved"
    MAILBOX_UNAVAILABLE = "mailbox_unavailable"
    """The mailbox could not be reached or looked up for now: it may well exist."""

    UNKNOWN_DOMAIN = "unknown_domain"
    NO_MAIL_DOMAIN = "no_mail_domain"
    """The domain exists and says that it takes no mail (RFC 7505)."""

    BAD_ADDRESS = "bad_address"
    GREYLISTED = "greylisted"
    RECIPIENT_RATE = "recipient_rate"
    """Too much mail for this one recipient, whoever sends it."""

    QUOTA = "quota"
    PACE = "pace"
    CONNECTIONS = "connections"
    SESSION_FULL = "session_full"
    TOO_LARGE = "too_large"
    CONTENT = "content"
    AUTHENTICATION = "authentication"
    """The message could not be tied to its sender's domain: SPF, DKIM, DMARC."""

    POLICY = "policy"
    BLOCKED = "blocked"
    """Our address or host is on a list, has no reverse DNS, or has a bad reputation."""

    ACCOUNT = "account"
    """The account at the relay is suspended, not active yet, or not paid for."""

    RELAYING = "relaying"
    CREDENTIALS = "credentials"
    ENCRYPTION = "encryption"
    HELLO = "hello"
    """The server does not take the name that we say hello by (``ehlo_name``)."""

    SENDER = "sender"
    NETWORK = "network"
    """The server could not reach the next one, or mail goes round in circles."""

    SYSTEM = "system"
    """Something at the server does not work, or it has no room."""

    PROTOCOL = "protocol"
