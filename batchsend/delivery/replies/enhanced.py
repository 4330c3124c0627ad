"""Enhanced status codes (RFC 3463 §3 and the IANA registry of its codes, RFC 5248): what each is a reason for."""

from __future__ import annotations

from typing import Final

from batchsend.verdict import Reason

# Subject and detail, or else the subject.
_REASONS: Final = {
    "1.1": Reason.UNKNOWN_MAILBOX,
    "1.2": Reason.UNKNOWN_DOMAIN,
    "1.3": Reason.BAD_ADDRESS,
    "1.4": Reason.BAD_ADDRESS,
    "1.6": Reason.MAILBOX_MOVED,
    "1.7": Reason.SENDER,
    "1.8": Reason.SENDER,
    "1.9": Reason.SENDER,
    "1.10": Reason.NO_MAIL_DOMAIN,
    "1": Reason.BAD_ADDRESS,
    "2.1": Reason.MAILBOX_DISABLED,
    "2.2": Reason.MAILBOX_FULL,
    "2.3": Reason.TOO_LARGE,
    "2": Reason.MAILBOX_UNAVAILABLE,
    "3.4": Reason.TOO_LARGE,
    "3": Reason.SYSTEM,
    "4": Reason.NETWORK,
    "5": Reason.PROTOCOL,
    # RFC 6531 §4.1: what the server does not take is an address, or a message, that is not in ASCII.
    **{f"6.{detail}": Reason.PROTOCOL for detail in (7, 8, 9, 10)},
    "6": Reason.CONTENT,
    "7.4": Reason.ENCRYPTION,
    "7.8": Reason.CREDENTIALS,
    "7.10": Reason.ENCRYPTION,
    "7.11": Reason.ENCRYPTION,
    "7.13": Reason.MAILBOX_DISABLED,
    "7.17": Reason.MAILBOX_MOVED,
    "7.18": Reason.MAILBOX_MOVED,
    **{f"7.{detail}": Reason.AUTHENTICATION for detail in (20, 21, 22, 23, 24, 26, 29)},
    "7.25": Reason.BLOCKED,
    "7.27": Reason.SENDER,
    "7.28": Reason.PACE,
    "7": Reason.POLICY,
}

_FOR_NOW: Final = {
    Reason.UNKNOWN_MAILBOX: Reason.MAILBOX_UNAVAILABLE,
    Reason.MAILBOX_DISABLED: Reason.MAILBOX_UNAVAILABLE,
    Reason.MAILBOX_MOVED: Reason.MAILBOX_UNAVAILABLE,
    Reason.BAD_ADDRESS: Reason.MAILBOX_UNAVAILABLE,
    Reason.UNKNOWN_DOMAIN: Reason.NETWORK,
    Reason.NO_MAIL_DOMAIN: Reason.NETWORK,
}


def reason_of(enhanced: str | None, *, for_good: bool) -> Reason | None:
    """What an enhanced code is a reason for.

    Args:
        enhanced: Class, subject and detail, or None.
        for_good: Whether the reply is 5yz. A mailbox that is unknown or closed for now is one that the server could
            not look up.
    """
    if enhanced is None:
        return None
    _, subject, detail = enhanced.split(".")
    reason = _REASONS.get(f"{subject}.{int(detail)}") or _REASONS.get(subject)
    return reason if for_good or reason is None else _FOR_NOW.get(reason, reason)
