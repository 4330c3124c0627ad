"""What a program gives to be sent as a message of the standard library: looked into, and made submissions of."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from typing import TYPE_CHECKING, Any

from batchsend.message.submitting import submissions

if TYPE_CHECKING:
    from batchsend.message.dkim import Signer
    from batchsend.message.submission import Submission


def outgoing(
    message: Message[Any, Any],
    *,
    record: int = 1,
    sender: str | None = None,
    recipients: str | Iterable[str] | None = None,
    signer: Signer | None = None,
) -> list[Submission]:
    """One submission for each recipient of a message, which itself stays as it is.

    The content is the message without Bcc and Resent-Bcc (RFC 5322 §3.6.3), and with a Date and a Message-ID where it
    has none and no DKIM signature that this could break.

    Args:
        message: An `email.message.EmailMessage`, or an older `Message`.
        record: The number of the message, by which the results are told.
        sender: The reverse-path; None for the address in Sender, or else the first one in From. Where the message was
            resent (RFC 5322 §3.6.6), for that in Resent-Sender or Resent-From. ``""``, or ``"<>"``, is the null
            reverse-path.
        recipients: The forward-paths: addresses without names; one, or several; None for those in To, Cc and Bcc, or in
            Resent-To, Resent-Cc and Resent-Bcc. Who is there twice gets it once; a domain is the same in either
            case.
        signer: What signs it by DKIM, where it may speak for the first address in From and the message has no
            signature yet; None for nothing.

    Raises:
        RecordError: It has no sender or no recipient; one of them is not an address; it was resent more than once, so
            that its headers do not say which recipients are meant; or it cannot be written out.
        TypeError: An argument is of a wrong type.
    """
    if not isinstance(message, Message):
        raise TypeError(f"expected an email.message.EmailMessage, not {type(message).__name__}")
    if sender is not None:
        _text(sender, "sender")
    forward = None if recipients is None else _listed(recipients)
    return submissions(message, record, sender, forward, signer)


def _listed(recipients: Any) -> list[str]:
    if isinstance(recipients, str):
        return [recipients]
    if isinstance(recipients, bytes) or not isinstance(recipients, Iterable):
        raise TypeError(f"recipients must be a str, or several in an iterable, not {type(recipients).__name__}")
    return [_text(one, "recipient") for one in recipients]


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {what} must be a str, not {type(value).__name__}")
    return value
