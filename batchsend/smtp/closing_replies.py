"""How servers say that they end a session, and what that, or no word at all, says of the replies that are due."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from batchsend.smtp.replies import Reply

IDLE_SECONDS: Final = 1.0
"""Seconds after the last reply from which a session counts as idle."""

SILENCE_SECONDS: Final = 30.0
"""Seconds from which a server that still owes a reply may be one that has lost it; most time-outs are longer."""

ABOUT_IDLENESS: Final = late_pattern(
    rb"idle|inactiv|time[ -]?out|timed out|waiting for|clos(?:ing|ed?) ", re.IGNORECASE
)
"""How servers say that a session has been idle for too long, or that they are closing it."""

_ABOUT_WAITING: Final = late_pattern(
    rb"[45]\.4\.2\b|\bidle\b|inactiv|(?:connection|session|command|input|data|read)\W+time[d -]*out"
    rb"|time[d -]*out\W+(?:exceeded|waiting|reading)|waiting for (?:data|input|(?:your |a )?(?:next )?command|client)",
    re.IGNORECASE,
)
"""How servers say that they have waited for us, and not for something of their own such as a scanner for viruses."""

_WITHOUT_REASON: Final = late_pattern(
    rb"\b(?:bye|clos(?:e|ed|ing)\b|shut|terminat|not available|unavailable|restart)|\A(?:4\.\d+\.\d+)? ?\Z",
    re.IGNORECASE,
)
"""A closing reply that says of no message why it was not taken."""


def is_about_waiting(reply: Reply) -> bool:
    """Whether a server says that it has waited for us in vain: of how many messages it takes, that says nothing."""
    return _ABOUT_WAITING.search(reply.raw) is not None


def waits_from(reply: Reply) -> float | None:
    """Seconds of silence from which a refusal, where a content's reply is due, shows that the server waited (rule 7).

    Args:
        reply: 4yz or 5yz.

    Returns:
        None where it answers the content, however long that took.
    """
    if is_about_waiting(reply):
        return IDLE_SECONDS
    return SILENCE_SECONDS if reply.code == 421 and _WITHOUT_REASON.search(reply.raw) else None


def has_waited(reply: Reply, quiet: float) -> bool:
    """Whether a refusal, where a content's reply is due, comes from a server that has waited for us (rule 7).

    Args:
        reply: 4yz or 5yz.
        quiet: Seconds since the server's last reply.
    """
    # Most refusals come at once, and need no look at their words.
    return quiet >= IDLE_SECONDS and (seconds := waits_from(reply)) is not None and quiet >= seconds
