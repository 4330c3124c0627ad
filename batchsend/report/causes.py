"""Why messages were not accepted, in the terms of who sends them, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batchsend.delivery.replies import advice, judge_said
from batchsend.outcome import Outcome, Stage
from batchsend.verdict import Reason, Verdict

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
MAILBOX_MOVED: Final = Cause(
    "Mailbox moved",
    "The recipient has another address now, which the replies below may name. Correct the address, or take it off the "
    "list.",
)
MAILBOX_UNAVAILABLE: Final = Cause(
    "Mailbox not reached",
    "These mailboxes could not be reached or looked up for now; nothing says that the addresses are wrong. Go on later "
    "with `batchsend resume`.",
)
BAD_ADDRESS: Final = Cause(
    "Not taken as an address",
    "The server does not take these as addresses. Look for typing errors.",
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
RECIPIENT_RATE: Final = Cause(
    "Too much mail for one recipient",
    "These recipients get too much mail at present, whoever sends it. Go on later with `batchsend resume`.",
)
QUOTA: Final = Cause(
    "Sending limit reached",
    "The relay takes so many messages in an hour, a day or a month, and no more. Go on with `batchsend resume` when "
    "that is over, or ask for a larger limit.",
)
SESSION_FULL: Final = Cause(
    "Too many messages in a session",
    "Nothing is wrong with these messages: go on with `batchsend resume`, and set `max_messages` to what the server "
    "allows.",
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
ACCOUNT: Final = Cause("Account at the relay", advice(Verdict.RELAY, Reason.ACCOUNT))
RELAYING: Final = Cause("Relaying refused", advice(Verdict.RELAY, Reason.RELAYING))
ENCRYPTION: Final = Cause("TLS wanted", advice(Verdict.RELAY, Reason.ENCRYPTION))
HELLO: Final = Cause("Host name refused", advice(Verdict.RELAY, Reason.HELLO))
PROTOCOL: Final = Cause(
    "Not supported by the server",
    "The server cannot take this message or this address as it is, such as one that is not in ASCII. The replies "
    "below say which.",
)
NOT_NOW: Final = Cause(
    "Not taken for now",
    "The server did not take these messages as they came, and may take them later. Go on with `batchsend resume`; if "
    "it stays, its words below say more.",
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

_INVALID_IN_A_PROGRAM: Final = (
    "These could not be written as messages, or have an address that is none, and were never offered to a server. "
    "Correct them where the program makes them, and send them anew."
)
# A program has no recipients file and no command that goes on: its sender does, when it is given the messages again.
_IN_A_PROGRAM: Final = (
    ("`batchsend resume --retry in_doubt` sends them", '`Sender(…, results=…, retry=Choice(["in_doubt"]))` sends them'),
    ("`batchsend resume`", "`Sender(…, results=…)`, given these messages again"),
    ("`[delivery]`", "`Delivery`"),
    ("`[server]`", "`Server`"),
)

_NOT_BY_REPLY: Final = frozenset({Outcome.IN_DOUBT, Outcome.INVALID, Outcome.SUPPRESSED})
_STAGES: Final = frozenset(Stage)

_BY_REASON: Final = {
    Reason.UNKNOWN_MAILBOX: UNKNOWN_MAILBOX,
    Reason.MAILBOX_DISABLED: MAILBOX_DISABLED,
    Reason.MAILBOX_FULL: MAILBOX_FULL,
    Reason.MAILBOX_MOVED: MAILBOX_MOVED,
    Reason.MAILBOX_UNAVAILABLE: MAILBOX_UNAVAILABLE,
    Reason.UNKNOWN_DOMAIN: UNKNOWN_DOMAIN,
    Reason.NO_MAIL_DOMAIN: UNKNOWN_DOMAIN,
    Reason.BAD_ADDRESS: BAD_ADDRESS,
    Reason.GREYLISTED: GREYLISTED,
    Reason.RECIPIENT_RATE: RECIPIENT_RATE,
    Reason.QUOTA: QUOTA,
    Reason.PACE: THROTTLED,
    Reason.CONNECTIONS: TOO_MANY_CONNECTIONS,
    Reason.SESSION_FULL: SESSION_FULL,
    Reason.TOO_LARGE: TOO_LARGE,
    Reason.CONTENT: CONTENT,
    Reason.AUTHENTICATION: AUTHENTICATION,
    Reason.POLICY: POLICY,
    Reason.BLOCKED: REPUTATION,
    Reason.ACCOUNT: ACCOUNT,
    Reason.RELAYING: RELAYING,
    Reason.CREDENTIALS: CREDENTIALS,
    Reason.ENCRYPTION: ENCRYPTION,
    Reason.HELLO: HELLO,
    Reason.SENDER: SENDER,
    Reason.NETWORK: TROUBLE,
    Reason.SYSTEM: TROUBLE,
    Reason.PROTOCOL: PROTOCOL,
}
"""What replies are understood to mean is said in `Reason`; a report only says it to people."""

_WITHOUT_CODE: Final = {
    Outcome.IN_DOUBT: IN_DOUBT,
    Outcome.INVALID: INVALID,
    Outcome.SUPPRESSED: SUPPRESSED,
    Outcome.DEFERRED: CONNECTION_LOST,
}


def in_a_program(cause: Cause) -> Cause:
    """A cause with advice for whoever has sent by a `Sender`, in whose log it is found.

    Args:
        cause: The cause, with advice for who sends by the command line.
    """
    if cause is INVALID:
        return Cause(cause.name, _INVALID_IN_A_PROGRAM)
    told = cause.advice
    for command, call in _IN_A_PROGRAM:
        told = told.replace(command, call)
    return Cause(cause.name, told)


def cause_of(kind: Kind) -> Cause:
    """Why outcomes of this kind were not accepted: what delivery makes of the reply, or what our reason says."""
    if kind.code is None or kind.outcome in _NOT_BY_REPLY:
        return _WITHOUT_CODE.get(kind.outcome, OTHER_REFUSAL)
    said = " ".join(part for part in (kind.enhanced, kind.example or kind.text) if part)
    found = judge_said(Stage(kind.stage) if kind.stage in _STAGES else None, kind.code, said)
    if found.verdict is Verdict.LATER and found.reason is Reason.PROTOCOL:
        return NOT_NOW
    if found.reason is not None:
        return _BY_REASON[found.reason]
    return OTHER_DEFERRAL if kind.outcome is Outcome.DEFERRED else OTHER_REFUSAL
