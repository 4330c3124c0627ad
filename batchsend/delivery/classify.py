"""What a reply means, for whom: the failure policy, by blast radius (record, session, run). Decides; does nothing."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from batchsend.outcome import Outcome, Stage

if TYPE_CHECKING:
    from batchsend.smtp.replies import Reply


class Effect(Enum):
    """What a reply means beyond its own record."""

    NONE = "none"
    SLOW_DOWN = "slow down"
    """The server asks the whole run to send more slowly."""

    FEWER_SESSIONS = "fewer sessions"
    """The server counts the connections, and there are too many."""

    SENDER_REFUSED = "sender refused"
    """5yz to MAIL: one may be about one record; many in a row are about the sender."""

    CREDENTIALS_REFUSED = "credentials refused"
    """530, 534, 535: no record can be sent like this."""


class Verdict(NamedTuple):
    """What a deciding reply makes of its record, and what it means beyond it."""

    status: Outcome
    reason: str | None
    effect: Effect


_ACCEPTED = Verdict(Outcome.ACCEPTED, None, Effect.NONE)

# RFC 3463 §3: what subject and detail say; a detail that is not listed counts by its subject.
_REASONS = {
    "1.1": "unknown mailbox",
    "1.2": "unknown domain",
    "1.6": "mailbox moved",
    "1.7": "sender address",
    "1.8": "sender address",
    "1.10": "domain takes no mail",
    "1": "address",
    "2.1": "mailbox disabled",
    "2.2": "mailbox full",
    "2.3": "too large",
    "2": "mailbox",
    "3.4": "too large",
    "3": "mail system",
    "4": "network or routing",
    "5": "protocol",
    "6": "content",
    "7.26": "authentication of the message",
    "7": "policy",
}

# Words by which servers say "too fast", whatever the code: 454 Throttling failure, 450/451 too many, 4.7.x rate
# limited, and 550 5.7.0 too many emails per second, which is a throttle in the clothes of a rejection.
_TOO_FAST = re.compile(
    rb"throttl|too many (?:\w+ ){0,3}(?:messages|emails|mails|requests|recipients)? ?(?:per|in|from|too|at|this)"
    rb"|\brate.?limit|(?:sending|message|mail) rate\b|slow down|too fast",
    re.IGNORECASE,
)

# RFC 3463 §3.3: "too many messages in this mailbox" is about nobody else.
_MAILBOX_FULL = re.compile(r"[45]\.2\.2$")

_TOO_MANY_CONNECTIONS = re.compile(
    rb"concurrent (?:smtp )?(?:connection|session)s?|too many (?:\w+ ){0,2}(?:connection|session)s|"
    rb"(?:connection|session)s? limit",
    re.IGNORECASE,
)


def classify(stage: Stage, reply: Reply) -> Verdict:
    """What the reply that decided a transaction makes of it.

    Args:
        stage: Where the reply belongs.
        reply: The server's reply; never 421, which ends a session and decides nothing.
    """
    code = reply.code
    if code < 300:
        return _ACCEPTED
    if code in (530, 534, 535):
        return Verdict(Outcome.DEFERRED, "credentials", Effect.CREDENTIALS_REFUSED)
    if code == 432 or _TOO_MANY_CONNECTIONS.search(reply.raw):
        return Verdict(Outcome.DEFERRED, "too many connections", Effect.FEWER_SESSIONS)
    if _TOO_FAST.search(reply.raw) and not _MAILBOX_FULL.match(reply.enhanced or ""):
        return Verdict(Outcome.DEFERRED, "throttled", Effect.SLOW_DOWN)
    # RFC 5321 §4.5.3.1.10: 552 to RCPT is what older servers say for "too many recipients", and is to be read as 452.
    if code < 500 or (code == 552 and stage is Stage.RCPT):
        return Verdict(Outcome.DEFERRED, _reason(reply), Effect.NONE)
    effect = Effect.SENDER_REFUSED if stage is Stage.MAIL else Effect.NONE
    return Verdict(Outcome.REJECTED, _reason(reply), effect)


def _reason(reply: Reply) -> str | None:
    """The kind of refusal by the enhanced code, where there is one."""
    enhanced = reply.enhanced
    if enhanced is None:
        return None
    _, subject, detail = enhanced.split(".")
    return _REASONS.get(f"{subject}.{detail}") or _REASONS.get(subject)
