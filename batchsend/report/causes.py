"""Why messages were not accepted, in the terms of who sends them, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batchsend.outcome import Outcome

if TYPE_CHECKING:
    from batchsend.report.kinds import Kind


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a message was not accepted.

    Attributes:
        name: In a few words.
        advice: What the sender should do.
    """

    name: str
    advice: str


UNKNOWN_MAILBOX: Final = Cause(
    "Unknown mailbox",
    "These addresses do not exist. Take them off the list and do not write to them again: repeated mail to unknown "
    "mailboxes is what costs a sender its reputation. The log itself can be named under `suppress` in `[delivery]` "
    "of the next campaign.",
)
UNKNOWN_DOMAIN: Final = Cause(
    "Domain takes no mail",
    "The part after the @ has no mail server, or refuses all mail. Look for typing errors; take the others off the "
    "list.",
)
MAILBOX_DISABLED: Final = Cause(
    "Mailbox disabled",
    "The mailbox exists and is closed, mostly because nobody uses it any more. Take these addresses off the list.",
)
MAILBOX_FULL: Final = Cause(
    "Mailbox full",
    "The recipient has no room at present. Try again in a few days, and take off the list who is still full after "
    "some campaigns: nobody reads there.",
)
TOO_LARGE: Final = Cause(
    "Message too large",
    "This server does not take messages of this size. Link to attachments instead of sending them, and make images "
    "smaller.",
)
AUTHENTICATION: Final = Cause(
    "Message not authenticated",
    "The receiving server could not tie the message to the domain in From. Publish SPF, sign with DKIM, and have "
    "DMARC pass with one of the two in the same domain as From; most large mailbox providers insist on it.",
)
REPUTATION: Final = Cause(
    "Sender on a blocklist",
    "The receiving server distrusts the sending address or domain. Look both up at the list that the reply names, "
    "fix what put them there, and ask for removal. On a shared relay its operator has to do that.",
)
CONTENT: Final = Cause(
    "Content refused",
    "A filter took the message for spam or malware. Look at its links, attachments and wording, add a text part, "
    "and make unsubscribing easy.",
)
POLICY: Final = Cause(
    "Refused by policy",
    "The receiving side does not want this message for reasons of its own. The replies below say more, and mostly "
    "name a page or an address to turn to.",
)
GREYLISTED: Final = Cause(
    "Greylisted",
    "The server turns away whom it does not know yet, and takes the message some minutes later. Nothing is wrong: "
    "go on with `batchsend resume`, or raise `retry_after` and `max_attempts` in `[delivery]`.",
)
THROTTLED: Final = Cause(
    "Sent too fast",
    "The server asked for a slower pace. Set `rate` in `[delivery]` to what it allows, and go on with `batchsend "
    "resume`.",
)
TOO_MANY_CONNECTIONS: Final = Cause(
    "Too many connections",
    "The server allows fewer sessions at once. Lower `max_connections` in `[delivery]`, and go on with `batchsend "
    "resume`.",
)
SENDER: Final = Cause(
    "Sender refused",
    "The server does not take mail from this sender address. Use a From and `return_path` in a domain that exists, "
    "and that this account may send for.",
)
CREDENTIALS: Final = Cause(
    "Credentials refused",
    "The server wants another user name or password, or any at all. Check `username` and `password` in `[server]`, "
    "and that the account may send.",
)
PROTOCOL: Final = Cause(
    "Not supported by the server",
    "The server cannot take this message or this address as it is, such as one that is not in ASCII. The replies "
    "below say which.",
)
TROUBLE: Final = Cause(
    "Trouble at the server",
    "Something at the server or behind it does not work at present. Go on later with `batchsend resume`.",
)
CONNECTION_LOST: Final = Cause(
    "Connection lost",
    "The connection ended before the message was committed, so it was not delivered. Go on with `batchsend resume`.",
)
IN_DOUBT: Final = Cause(
    "In doubt",
    "The connection was lost between the end of the message and the reply to it: it may have been delivered or not, "
    "and SMTP cannot tell. Look for the Message-IDs in the relay's own log; where a second copy does less harm than "
    "none, `batchsend resume --retry in_doubt` sends them again.",
)
INVALID: Final = Cause(
    "Invalid record",
    "These rows could not be made into a message and were never offered to a server. Fix them in the recipients "
    "file (the log and the spreadsheet name their lines), and send them as a campaign of their own.",
)
SUPPRESSED: Final = Cause(
    "Suppressed",
    "The campaign says not to write to these addresses: nothing is to be done about them.",
)
OTHER_REFUSAL: Final = Cause(
    "Refused for good",
    "The server gave no code that says why; its words below do, as far as anything does.",
)
OTHER_DEFERRAL: Final = Cause(
    "Refused for now",
    "The server gave no code that says why. Go on later with `batchsend resume`; if it stays, its words below say "
    "more.",
)

_BY_REASON: Final = {
    "throttled": THROTTLED,
    "too many connections": TOO_MANY_CONNECTIONS,
    "credentials": CREDENTIALS,
}

# What servers say tells more than the enhanced code, which many set to x.7.1 or x.0.0 whatever it is. The order counts.
_BY_WORDS: Final = (
    (re.compile(r"gr[ea]y.?list", re.IGNORECASE), GREYLISTED),
    (re.compile(r"\b(?:dkim|dmarc|spf)\b|sender (?:id|authentication)|unauthenticated", re.IGNORECASE), AUTHENTICATION),
    (
        re.compile(r"block(?:ed|.?list)|black.?list|deny.?list|\b(?:dn|r)bl\b|reputation|spamhaus", re.IGNORECASE),
        REPUTATION,
    ),
    (re.compile(r"\b(?:spam|virus|malware|phish\w*|junk|infected|unsolicited)\b", re.IGNORECASE), CONTENT),
    (
        re.compile(
            r"(?:user|mailbox|recipient|account|address)\S* (?:is |was )?(?:unknown|not (?:found|exist|known)|"
            r"unavailable|does not exist|doesn't exist|invalid)|"
            r"(?:unknown|no such|invalid) (?:local )?(?:user|mailbox|recipient|account|address|person)",
            re.IGNORECASE,
        ),
        UNKNOWN_MAILBOX,
    ),
    (
        re.compile(r"quota|mailbox (?:is )?full|insufficient (?:system )?storage|out of space", re.IGNORECASE),
        MAILBOX_FULL,
    ),
    (re.compile(r"too (?:large|big)|size (?:limit|exceed)|exceeds? .{0,40}size", re.IGNORECASE), TOO_LARGE),
)

# RFC 3463 §3 and the IANA registry of its codes: subject and detail, or else the subject.
_BY_ENHANCED: Final = {
    "1.1": UNKNOWN_MAILBOX,
    "1.2": UNKNOWN_DOMAIN,
    "1.3": UNKNOWN_MAILBOX,
    "1.6": UNKNOWN_MAILBOX,
    "1.7": SENDER,
    "1.8": SENDER,
    "1.9": SENDER,
    "1.10": UNKNOWN_DOMAIN,
    "1": UNKNOWN_MAILBOX,
    "2.1": MAILBOX_DISABLED,
    "2.2": MAILBOX_FULL,
    "2.3": TOO_LARGE,
    "2": MAILBOX_DISABLED,
    "3.4": TOO_LARGE,
    "3": TROUBLE,
    "4": TROUBLE,
    "5": PROTOCOL,
    "6": PROTOCOL,
    "7.8": CREDENTIALS,
    **{f"7.{detail}": AUTHENTICATION for detail in (20, 21, 22, 23, 24, 26, 29)},
    "7.27": SENDER,
    "7.28": THROTTLED,
    "7": POLICY,
}

_WITHOUT_CODE: Final = {
    Outcome.IN_DOUBT: IN_DOUBT,
    Outcome.INVALID: INVALID,
    Outcome.SUPPRESSED: SUPPRESSED,
    Outcome.DEFERRED: CONNECTION_LOST,
}


def cause_of(kind: Kind) -> Cause:
    """Why outcomes of this kind were not accepted: by our reason, the server's words, its codes, in this order."""
    if kind.code is None or kind.outcome in (Outcome.IN_DOUBT, Outcome.INVALID, Outcome.SUPPRESSED):
        return _WITHOUT_CODE.get(kind.outcome, OTHER_REFUSAL)
    if kind.reason in _BY_REASON:
        return _BY_REASON[kind.reason]
    # A mailbox that is known to be unknown stays so, whatever page or list the reply mentions.
    enhanced = (kind.enhanced or "").partition(".")[2]
    if enhanced not in ("1.1", "1.2", "1.10", "2.2"):
        for words, cause in _BY_WORDS:
            if words.search(kind.text):
                return cause
    found = _BY_ENHANCED.get(enhanced) or _BY_ENHANCED.get(enhanced.partition(".")[0])
    # A mailbox that is unknown or closed for now is one that the server could not look up.
    if found is not None and not (kind.outcome is Outcome.DEFERRED and found in (UNKNOWN_MAILBOX, MAILBOX_DISABLED)):
        return found
    if kind.code == 552:
        return MAILBOX_FULL
    return OTHER_DEFERRAL if kind.outcome is Outcome.DEFERRED else OTHER_REFUSAL
