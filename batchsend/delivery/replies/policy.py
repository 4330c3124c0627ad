"""What is done about each verdict, in words: for the record, its session, its relay and the run, and by the user."""

from __future__ import annotations

from typing import Final, NamedTuple

from batchsend.outcome import Stage
from batchsend.verdict import Reason, Scope, Verdict


class Effects(NamedTuple):
    """What follows from a verdict.

    Attributes:
        scope: How far it reaches.
        record: What the record gets.
        session: What becomes of the session.
        relay: What becomes of the relay.
        run: What becomes of the run.
        advice: What the sender should do, where the reason does not say it.
    """

    scope: Scope
    record: str
    session: str
    relay: str
    run: str
    advice: str | None = None


_ON: Final = "goes on"

POLICIES: Final = {
    Verdict.ACCEPTED: Effects(Scope.RECIPIENT, "accepted", _ON, _ON, _ON),
    Verdict.MAILBOX: Effects(Scope.RECIPIENT, "rejected; deferred if the code is 4yz", _ON, _ON, _ON),
    Verdict.GREYLISTED: Effects(Scope.RECIPIENT, "deferred until the time that the reply names", _ON, _ON, _ON),
    Verdict.LATER: Effects(Scope.RECIPIENT, "deferred: tried again later", _ON, _ON, _ON),
    Verdict.SESSION_FULL: Effects(
        Scope.SESSION,
        "goes back: not an attempt, sent by another session",
        "ends; the number of messages that it carried is learned",
        _ON,
        _ON,
    ),
    Verdict.CONNECTIONS: Effects(Scope.RELAY, "goes back: not an attempt", "ends", "is used with fewer sessions", _ON),
    Verdict.PACE: Effects(Scope.RELAY, "goes back: not an attempt", _ON, "is sent to more slowly, and recovers", _ON),
    Verdict.QUOTA: Effects(
        Scope.RELAY,
        "goes back: not an attempt",
        "ends",
        "sleeps until the hour or day is over, or as the reply says; other relays go on",
        "waits up to max_wait where no other relay can send; then stops with exit code 3 and says when to resume",
    ),
    Verdict.RELAY: Effects(
        Scope.RELAY,
        "goes back: not an attempt",
        "ends",
        "is out of service for this run; other relays go on",
        "stops with exit code 3 where no other relay is left",
    ),
    Verdict.SENDER: Effects(
        Scope.RUN, "rejected; deferred if the code is 4yz", _ON, _ON, "stops at the tenth in a row"
    ),
    Verdict.CONTENT: Effects(
        Scope.MESSAGE,
        "rejected; deferred if the code is 4yz",
        _ON,
        _ON,
        "stops after the same for stop_after records in a row, of 3 domains or more: it is the message",
    ),
    Verdict.REFUSED: Effects(
        Scope.RECIPIENT,
        "rejected",
        _ON,
        _ON,
        "stops after the same for stop_after records in a row, of 3 domains or more",
    ),
}
"""What follows from each verdict: design and manual print this, and the engine does it."""

_SESSION_ENDS: Final = Effects(
    Scope.SESSION,
    "goes back: not an attempt; the fifth such loss of one record: deferred",
    "is over: 421 ends it (RFC 5321 §3.8)",
    "is backed off from if that happens again and again",
    _ON,
)


def ends_session_only(verdict: Verdict, code: int, reason: Reason | None) -> bool:
    """Whether a reply is a 421 without words that say more: it ends the session and says nothing of the record."""
    return code == 421 and verdict is Verdict.LATER and reason is Reason.SYSTEM


GOES_BACK: Final = frozenset({Verdict.SESSION_FULL, Verdict.CONNECTIONS, Verdict.PACE, Verdict.QUOTA, Verdict.RELAY})
"""Verdicts that are about us or our pace: the record gets no outcome from them."""

BEFORE_MAIL: Final = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
"""Where a session is still being opened, and no record is under way."""

GOES_ON: Final = frozenset({Verdict.PACE, Verdict.CONNECTIONS, Verdict.QUOTA, Verdict.GREYLISTED, Verdict.LATER})
"""Verdicts that a session which cannot be opened is tried again after, even if the reply is 5yz."""

IDLE: Final = Effects(
    Scope.SESSION,
    "goes back: not an attempt; sent by another session",
    "is over: it was said before MAIL had arrived",
    _ON,
    _ON,
    "Nothing is to be done: the server ended a session that it took for idle, and another one goes on.",
)
"""A closing reply to a session that was idle for too long, read where the reply to MAIL was awaited."""

NO_BDAT: Final = Effects(
    Scope.SESSION,
    "goes back: not an attempt; sent with DATA by another session",
    "ends",
    "gets DATA from now on, as if it did not offer CHUNKING",
    _ON,
    "Nothing is to be done. `depth = 1` in [delivery] uses DATA from the beginning.",
)
"""The server offers CHUNKING, and does not know BDAT."""

_NO_RECORD: Final = "none is under way; what waits is not an attempt"
_NOT_OPENED: Final = "is not opened"
_IN_TIME: Final = "stops with exit code 3 where no session can be opened for give_up_after"
_LOST: Final = "stops with exit code 3 where no other relay is left"

_LOGIN_LATER: Final = Effects(
    Scope.RELAY,
    _NO_RECORD,
    _NOT_OPENED,
    "pauses for about two minutes, longer each time, and then one login is tried; open sessions go on",
    _IN_TIME,
)
_LOGIN_REFUSED: Final = Effects(
    Scope.RELAY,
    _NO_RECORD,
    _NOT_OPENED,
    "is out of service for this run; where logins have worked in it, after the third refusal in a row",
    _LOST,
)
_OPENED_LATER: Final = Effects(
    Scope.RELAY,
    _NO_RECORD,
    _NOT_OPENED,
    "is tried again after a pause, up to a minute; where other sessions are open, they may be all that it allows",
    _IN_TIME,
)
_OPENING_REFUSED: Final = Effects(
    Scope.RELAY,
    _NO_RECORD,
    _NOT_OPENED,
    "is out of service for this run; where it has opened sessions in it, is tried again after a pause",
    _LOST,
)
_NO_TLS: Final = Effects(Scope.RELAY, _NO_RECORD, _NOT_OPENED, "is out of service for this run", _LOST)


def effects_of(stage: Stage, verdict: Verdict, code: int, reason: Reason | None) -> Effects:
    """What follows from a verdict with its stage, code and reason."""
    if verdict is not Verdict.ACCEPTED and stage in BEFORE_MAIL:
        found = _while_opening(stage, verdict, code)
        # What is about nobody in particular is about the session that could not be opened.
        return found if verdict in GOES_BACK else found._replace(scope=Scope.SESSION)
    return _SESSION_ENDS if ends_session_only(verdict, code, reason) else POLICIES[verdict]


def _while_opening(stage: Stage, verdict: Verdict, code: int) -> Effects:
    """As the slots decide it, which go by the code before they go by the words."""
    if stage is Stage.AUTH:
        return _LOGIN_REFUSED if code >= 500 else _LOGIN_LATER
    if code < 500 or (verdict in GOES_ON and stage is not Stage.STARTTLS):
        return _OPENED_LATER
    return _NO_TLS if stage is Stage.STARTTLS else _OPENING_REFUSED


_ADVICE: Final = {
    Reason.UNKNOWN_MAILBOX: "This address does not exist. Take it off the list.",
    Reason.MAILBOX_DISABLED: "This mailbox is closed. Take the address off the list.",
    Reason.MAILBOX_FULL: "The recipient has no room at present. Try again in some days.",
    Reason.MAILBOX_MOVED: "The recipient has another address now. Correct it, if the reply names it, or take it off.",
    Reason.MAILBOX_UNAVAILABLE: "The mailbox cannot be reached for now. Try again later; nothing says that the "
    "address is wrong.",
    Reason.UNKNOWN_DOMAIN: "The part after the @ is not a domain that takes mail. Look for a typing error.",
    Reason.NO_MAIL_DOMAIN: "This domain takes no mail. Look for a typing error, or take the address off the list.",
    Reason.BAD_ADDRESS: "The server does not take this as an address. Look for a typing error.",
    Reason.GREYLISTED: "Nothing is wrong: the message is taken some minutes later.",
    Reason.RECIPIENT_RATE: "This recipient gets too much mail at present. Try again later.",
    Reason.QUOTA: "Wait until the hour or day is over and resume, set `quota` of this relay, or ask for a larger one.",
    Reason.PACE: "Send more slowly: set `rate` of this relay to what it allows.",
    Reason.CONNECTIONS: "Lower `max_connections` of this relay.",
    Reason.SESSION_FULL: "Nothing is wrong: a new session goes on. `max_messages` of this relay can be set to what it "
    "allows.",
    Reason.TOO_LARGE: "Make the message smaller: link to attachments, shrink images.",
    Reason.CONTENT: "Look at the text, its links and attachments, and at what the reply says about them.",
    Reason.AUTHENTICATION: "Have SPF, DKIM and DMARC pass for the domain in From: `batchsend check` looks at them.",
    Reason.POLICY: "The receiving side has a rule against this message. The reply may name whom to ask.",
    Reason.BLOCKED: "Look up the relay's address at the list that the reply names. On a shared relay its operator has "
    "to have it removed.",
    Reason.ACCOUNT: "Look at the account at the relay: it is suspended, not active yet, or not paid for.",
    Reason.RELAYING: "The relay takes no mail for others from us. Check `host`, `port`, `username` and `password`.",
    Reason.CREDENTIALS: "Check `username` and `password` of this relay, and that the account may send by SMTP.",
    Reason.ENCRYPTION: "The server asks for TLS. Check `tls` and `port` of this relay.",
    Reason.HELLO: "Set `ehlo_name` of this relay to a host name that exists in the DNS.",
    Reason.SENDER: "Use a From and `return_path` that exist, and that this account may send for.",
    Reason.NETWORK: "The server cannot reach the recipient's domain for now. Try again later.",
    Reason.SYSTEM: "Something at the server does not work at present. Try again later.",
    Reason.PROTOCOL: "The server cannot take this message or this address as it is. The reply says why.",
}
_OTHERWISE: Final = {
    Verdict.ACCEPTED: "Nothing is to be done.",
    Verdict.LATER: "Try again later: who goes on with the run does.",
    Verdict.REFUSED: "The server says no more than that. Ask its postmaster, or take the address off the list.",
}


def advice(verdict: Verdict, reason: Reason | None) -> str:
    """What the sender should do."""
    if verdict is Verdict.REFUSED and reason is Reason.UNKNOWN_MAILBOX:
        return "The receiving system does not know this recipient, or does not take mail for it. Look at the address."
    if verdict is Verdict.LATER and reason is Reason.PROTOCOL:
        return _OTHERWISE[verdict]
    if reason is not None:
        return _ADVICE[reason]
    return _OTHERWISE.get(verdict, _OTHERWISE[Verdict.REFUSED])
