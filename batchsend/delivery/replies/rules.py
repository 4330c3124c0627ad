"""The rules that judge a wording which is not in the table: which family of words decides, and in what order.

The order is by what a wording speaks of most narrowly. Words about one recipient or one message come before words
about the session, the sessions and the relay, so that "too many attachments" slows nobody down; words that say that a
limit is ours come back to the relay's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from unicodedata import normalize

from batchsend.delivery.replies import phrases as limits
from batchsend.delivery.replies import refusals as words
from batchsend.delivery.replies.policy import BEFORE_MAIL, NO_BDAT, Effects
from batchsend.outcome import Stage
from batchsend.patterns import late_pattern
from batchsend.verdict import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABOUT_MESSAGE_SUBJECTS: Final = frozenset(
    f"7.{detail}" for detail in (20, 21, 22, 23, 24, 26, 27, 29, 30, 32, 509, 515)
)


_AFTER_RCPT: Final = (Stage.DATA, Stage.CONTENT)
_BEFORE_CONTENT: Final = (Stage.MAIL, Stage.RCPT, Stage.DATA)

_BEFORE_MAIL_REASONS: Final = {
    Stage.EHLO: Reason.HELLO,
    Stage.STARTTLS: Reason.ENCRYPTION,
    Stage.AUTH: Reason.CREDENTIALS,
}


class Said(NamedTuple):
    """A reply as the rules see it.

    Attributes:
        stage: Where in the dialogue it came.
        code: The reply code, 400 to 599.
        detail: Subject and detail of the enhanced code, such as ``7.1``, or "" where there is none to be believed.
        text: The kind's text.
    """

    stage: Stage
    code: int
    detail: str
    text: str

    @property
    def for_good(self) -> bool:
        """Whether the reply is 5yz."""
        return self.code >= 500


class Ruling(NamedTuple):
    """What a rule makes of a reply.

    Attributes:
        verdict: What it means.
        reason: Why, or None where only the enhanced code can say.
        rule: The rule, in a few words.
        effects: What is done, where it is not what the verdict says: then the record has no outcome.
    """

    verdict: Verdict
    reason: Reason | None
    rule: str
    effects: Effects | None = None


def ruling(said: Said) -> Ruling:
    """What the rules make of a reply that is not in the table."""
    said = said._replace(text=_without_codes_own(said.text))
    for look in (_of_bdat, _of_one_recipients_rate, _of_limits, _of_credentials, _of_refusals):
        found = look(said)
        if found is not None:
            return found
    return _by_code(said)


def _without_codes_own(text: str) -> str:
    """The text without the words that RFC 5321 has beside its code, where the server has words of its own, too."""
    rest = " ".join(words.CODES_OWN.sub(" ", text).split())
    return rest if len(_WORD.findall(rest)) > 1 else text


def _of_bdat(said: Said) -> Ruling | None:
    """BDAT is not known, although CHUNKING was offered: a word about the command, and DATA is used."""
    if said.stage is Stage.CONTENT and said.code in _COMMAND_REFUSED and _BDAT.search(said.text):
        return Ruling(Verdict.REFUSED, Reason.PROTOCOL, f"{said.code} to BDAT: the command is refused", NO_BDAT)
    return None


def _of_one_recipients_rate(said: Said) -> Ruling | None:
    """Greylisting, and too much mail for this one recipient: "later", whatever the code."""
    text = said.text
    delayed = words.DELAYED.search(text) and not limits.LIMITING.search(text)
    if (delayed or words.GREYLISTED.search(text)) and said.stage is not Stage.AUTH:
        return Ruling(Verdict.GREYLISTED, Reason.GREYLISTED, "words of greylisting")
    if said.detail in ("2.121", "2.122") or (
        limits.ONE_RECIPIENT_RATE.search(text)
        and not _is_of_room(said)
        and (limits.RECIPIENTS_OWN.search(text) or not _ours(text))
    ):
        return Ruling(Verdict.LATER, Reason.RECIPIENT_RATE, "words about one recipient's own rate")
    # Before RCPT it is ours, and so it is where the code is one of policies, or ends the session.
    may_be_theirs = said.stage is Stage.RCPT and said.detail[:2] in ("", "1.", "2.") and said.code != 421
    if may_be_theirs and said.detail != "2.2" and limits.USERS_MESSAGES.fullmatch(text):
        return Ruling(Verdict.LATER, Reason.RECIPIENT_RATE, "words about an account, which may be this recipient's")
    return None


def _is_of_room(said: Said) -> bool:
    """Whether a recipient's limit is one of what the mailbox holds, and not of how much mail comes in a time.

    X.2.2 says the first (RFC 3463 §3.3), and some servers say it of the second.
    """
    text = limits.AGAIN.sub(" ", said.text)
    if words.MAILBOX_FULL_HARD.search(text) or limits.RECIPIENTS_ROOM.search(text):
        return True
    if limits.IN_A_TIME.search(text):
        return False
    return said.detail == "2.2" or limits.RECIPIENTS_QUOTA.search(text) is not None


def _ours(text: str) -> bool:
    return limits.OURS.search(text) is not None


def _of_limits(said: Said) -> Ruling | None:
    """Limits of a session, of sessions, of a pace, of an hour or a day."""
    if words.UNKNOWN_MAILBOX_HARD.search(said.text) and limits.ERRORS_COUNTED.search(said.text):
        return None  # this recipient is unknown, and it is told how many such there may be
    if _about_one(said):
        return _of_one_by_the_hour(said)
    if said.code == 421 and limits.ERRORS_OF_SESSION.search(said.text) and not limits.TOO_MANY_LOGINS.search(said.text):
        return None
    for look in (_of_sessions, _of_amounts):
        found = look(said)
        if found is not None:
            return found
    return None


def _of_one_by_the_hour(said: Said) -> Ruling | None:
    """What one recipient may get in an hour or a day is over then: that, too, is no rejection."""
    if _tells_of_unknown(said.text) and _counts_sent(said):
        return Ruling(Verdict.QUOTA, Reason.QUOTA, "words about too many unknown recipients in an hour or a day")
    if (
        said.stage is not Stage.RCPT
        or said.detail == "1.1"
        or words.MAILBOX_FULL_HARD.search(said.text)
        or not _counts_sent(said)
    ):
        return None
    return Ruling(Verdict.LATER, Reason.RECIPIENT_RATE, "words about what one recipient may get in an hour or a day")


def _about_one(said: Said) -> bool:
    """Whether a limit that is spoken of is this message's or this recipient's: before MAIL there is neither."""
    if said.stage in BEFORE_MAIL:
        return False
    text = said.text
    # What is said to MAIL is said before there was a recipient.
    of_recipients_quota = said.stage is not Stage.MAIL and limits.RECIPIENTS_OWN_QUOTA.search(text)
    if of_recipients_quota or said.detail in _ABOUT_MESSAGE_SUBJECTS or limits.RECIPIENTS_OWN.search(text):
        return True
    if words.AUTHENTICATION.search(text) and (said.for_good or "because" in text):
        return True
    if said.stage is Stage.RCPT and said.detail[:2] in ("", "1.", "2.") and limits.USERS_QUOTA.fullmatch(text):
        return True
    if limits.ABOUT_ONE_ONLY.search(text) or _is_of_those_before(said):
        return True
    return limits.ABOUT_ONE.search(text) is not None and not _ours(text)


def _of_sessions(said: Said) -> Ruling | None:
    text = limits.CLOSING.sub(" ", said.text)
    if limits.SESSION_FULL.search(text):
        return Ruling(Verdict.SESSION_FULL, Reason.SESSION_FULL, "words about messages of one session")
    if limits.TOO_MANY_LOGINS.search(text):
        return Ruling(Verdict.PACE, Reason.PACE, "words about too many logins")
    # RFC 4954 §4.4 has 432 for a password that must be changed, which is said to AUTH only.
    if said.code == 432 and said.stage is not Stage.AUTH:
        return Ruling(Verdict.CONNECTIONS, Reason.CONNECTIONS, "432, too many sessions at once")
    by_rate = limits.CONNECTION_RATE.search(text) is not None
    if limits.CONNECTIONS.search(text) and not by_rate and not words.RELAYED_TROUBLE.search(text):
        return Ruling(Verdict.CONNECTIONS, Reason.CONNECTIONS, "words about sessions at once")
    return None


def _of_amounts(said: Said) -> Ruling | None:
    text = said.text
    if _counts_sent(said) or limits.MUCH_SENT.search(text):
        return Ruling(Verdict.QUOTA, Reason.QUOTA, "words about a limit of an hour, a day or a month")
    if limits.PACE.search(limits.AGAIN.sub(" ", text)) and not words.PACE_OF_SPAM.search(text):
        return Ruling(Verdict.PACE, Reason.PACE, "words about a pace")
    if _is_quota(said):
        return Ruling(Verdict.QUOTA, Reason.QUOTA, "words about a limit of what may be sent")
    return None


def _counts_sent(said: Said) -> bool:
    """Whether something is limited by the hour, the day or the month."""
    text = limits.AGAIN.sub(" ", said.text)
    return (
        limits.COUNTED_IN.search(text) is not None
        and limits.LIMITING.search(text) is not None
        and limits.OF_MAIL.search(text) is not None
        and not words.TOO_LARGE.search(text)
    )


def _is_quota(said: Said) -> bool:
    """Whether a limit of what may be sent is passed, and not a mailbox that is full."""
    text = said.text
    if limits.QUOTA.search(text):
        return said.detail != "2.2" or limits.OF_SENDING.search(text) is not None
    if limits.ALLOWANCE.search(text) and said.detail != "2.2" and said.code != 552:  # 552 is of storage
        return True
    if said.stage not in (Stage.MAIL, Stage.AUTH):
        return said.detail.startswith(("4.", "7.")) and limits.BARE_QUOTA.search(text) is not None
    of_size = said.code == 552 or said.detail.startswith(("2.", "3.", "6."))  # RFC 1870 §6.1
    return limits.BARE_QUOTA.search(text) is not None if of_size else _is_bare_limit(text)


def _is_bare_limit(text: str) -> bool:
    """Whether a limit is passed that may be one of what is sent: not one of a message's score, nor of a mailbox."""
    return limits.BARE_LIMIT.search(text) is not None and limits.OF_OTHER_THINGS.search(text) is None


def _of_credentials(said: Said) -> Ruling | None:
    """530, 534, 535 and 538 (RFC 4954 §4, §6): about us, but for a group that takes mail of its own people only."""
    if said.code == 530 and said.stage is Stage.RCPT and words.NOT_AUTHENTICATED.fullmatch(said.text):
        return Ruling(Verdict.REFUSED, Reason.POLICY, "530 to one recipient, who takes mail of known senders only")
    if said.code in (530, 534, 535, 538) and not words.TOO_LARGE.search(said.text):
        if words.ENCRYPTION.search(said.text) or said.detail in ("7.10", "7.11"):
            return Ruling(Verdict.RELAY, Reason.ENCRYPTION, "530 that asks for encryption")
        if _is_of_our_account(said):
            return Ruling(Verdict.RELAY, Reason.ACCOUNT, "words about our account")
        return Ruling(Verdict.RELAY, Reason.CREDENTIALS, f"{said.code}, credentials")
    return None


def _of_refusals(said: Said) -> Ruling | None:
    """Who or what is refused, where no limit is spoken of."""
    for found in _candidates(said):
        if found is not None:
            return found
    return None


def _candidates(said: Said) -> Iterator[Ruling | None]:
    yield _of_sender_surely(said)
    yield _of_form(said)
    if said.stage not in BEFORE_MAIL:
        yield _of_content(said)
        yield _of_mailbox(said)
    # What is said to MAIL is said of us, and only where no more is said than that, of those before.
    is_to_mail = said.stage is Stage.MAIL
    yield _of_relay(said) if is_to_mail else _of_those_before(said)
    yield _of_those_before(said) if is_to_mail else _of_relay(said)
    yield _of_sender(said)
    yield _of_the_rest(said)


def _of_sender_surely(said: Said) -> Ruling | None:
    # 5.7.27 is a sender's domain that takes no mail (RFC 7505 §4.2); Google says it of SPF.
    no_mail = said.detail == "7.27" and not words.AUTHENTICATION.search(said.text)
    if no_mail or words.SENDER_HARD.search(said.text):
        return Ruling(Verdict.SENDER, Reason.SENDER, "words about who may send as whom")
    return None


def _of_form(said: Said) -> Ruling | None:
    text = said.text
    if words.LOOP.search(text) or (said.detail == "4.6" and "hop" in text):
        return Ruling(Verdict.REFUSED if said.for_good else Verdict.LATER, Reason.NETWORK, "words about a mail loop")
    if words.EXPIRED.search(text):
        return Ruling(Verdict.REFUSED if said.for_good else Verdict.LATER, Reason.NETWORK, "words about an expired try")
    if said.detail == "4.1" and "recipient address rejected" in text and "access denied" in text:
        return Ruling(Verdict.REFUSED, Reason.UNKNOWN_MAILBOX, "5.4.1 Access denied, Microsoft's unknown recipient")
    if words.CREDENTIALS_OF_GROUP.search(text):
        return Ruling(Verdict.REFUSED, Reason.POLICY, "words about a group that takes mail of its own people only")
    if words.BY_RECIPIENT.search(text) and not (words.UNKNOWN_MAILBOX_HARD.search(text) or _is_full(said)):
        return Ruling(
            Verdict.REFUSED if said.for_good else Verdict.LATER, Reason.POLICY, "words about the recipient's choice"
        )
    return None


def _of_content(said: Said) -> Ruling | None:
    """The message: who vouches for it, its size, its content."""
    text, listed = said.text, words.BLOCKED_BY_LIST.search(said.text)
    if said.detail in _ABOUT_MESSAGE_SUBJECTS or (words.AUTHENTICATION.search(text) and not listed):
        if not said.for_good and words.CHECKS_FAILED.search(text) and not said.detail.startswith("7."):
            return Ruling(Verdict.LATER, Reason.NETWORK, "words about a check of the sender that could not be made")
        return Ruling(Verdict.CONTENT, Reason.AUTHENTICATION, "words about SPF, DKIM or DMARC")
    if (listed and not words.MESSAGE_ON_LIST.search(text)) or _tells_of_unknown(text):
        return None
    if words.TOO_LARGE.search(text) or (said.detail in ("3.4", "2.3") and not _is_server_full(said)):
        full = words.MAILBOX_FULL_HARD.search(text)
        return None if full else Ruling(Verdict.CONTENT, Reason.TOO_LARGE, "words about the message's size")
    about_form = said.detail.startswith("6.") and said.for_good and said.stage in (Stage.DATA, Stage.CONTENT)
    # What is said to MAIL is said before anything of the message was seen.
    about_content = words.CONTENT.search(text) and not (
        said.stage is Stage.MAIL or said.detail in ("1.1", "2.1", "2.2") or _is_of_our_account(said)
    )
    if about_form or about_content or words.FORM_HARD.search(text):
        return Ruling(Verdict.CONTENT, Reason.CONTENT, "words about the message's content")
    return None


def _is_full(said: Said) -> bool:
    """Whether a mailbox is full, whoever else is spoken of."""
    text = said.text
    if said.detail == "2.2" or words.MAILBOX_FULL_HARD.search(text):
        return True
    return limits.RECIPIENTS_ROOM.search(text) is not None and words.MAILBOX_FULL.search(text) is not None


def _is_server_full(said: Said) -> bool:
    """Whether the server has no room. X.3.z is of the mail system, X.2.z of a mailbox (RFC 3463 §3.3, §3.4)."""
    text = said.text
    if words.SERVER_FULL.search(text) is None or said.detail.startswith("2."):
        return False
    return said.detail.startswith("3.") or (
        words.SERVERS.search(text) is not None and words.OF_SOMEBODY.search(text) is None
    )


def _of_mailbox(said: Said) -> Ruling | None:
    """This recipient's mailbox. A mailbox that is said to be unknown for now (4yz) is one that may well exist."""
    text = said.text
    if said.stage is Stage.MAIL and not said.detail.startswith(("1.1", "2.2")):
        return None
    if any(family.search(text) for family in _NOT_OF_MAILBOX):
        return None
    # X.7.z is of security (RFC 3463 §3.8), and the recipient has been accepted by then: the account is the sender's.
    if said.for_good and said.detail.startswith("7.") and said.stage in _AFTER_RCPT and words.BARE_ACCOUNT.search(text):
        return Ruling(Verdict.RELAY, Reason.ACCOUNT, "words about an account, after the recipient was accepted")
    reason = _mailbox_reason(said)
    if reason is None:
        return None
    of_server = reason is Reason.UNKNOWN_MAILBOX and words.OUT_OF_SERVICE.search(text)
    for_now = of_server or (reason in _MAY_PASS and words.FOR_NOW.search(text))
    passes = for_now and not words.UNKNOWN_MAILBOX_HARD.search(text)
    if (said.for_good and not passes) or reason is Reason.MAILBOX_FULL:
        return Ruling(Verdict.MAILBOX, reason, "words about this mailbox")
    return Ruling(Verdict.LATER, Reason.MAILBOX_UNAVAILABLE, "words about a mailbox, for now")


def _mailbox_reason(said: Said) -> Reason | None:
    text, detail = said.text, said.detail
    if words.SENDER_SAID.search(text) or _tells_of_unknown(text) or _is_server_full(said):
        return None
    surely = words.MAILBOX_FULL_HARD.search(text)
    perhaps = detail != "1.1" and words.MAILBOX_FULL.search(text) and not words.SYSTEM_FULL.search(text)
    if detail == "2.2" or ((surely or perhaps) and detail[:2] not in ("3.", "4.")):
        return Reason.MAILBOX_FULL
    for pattern, reason in (
        (words.NO_MAIL_DOMAIN, Reason.NO_MAIL_DOMAIN),
        (words.BAD_ADDRESS, Reason.BAD_ADDRESS),
        (words.MAILBOX_MOVED, Reason.MAILBOX_MOVED),
        (words.MAILBOX_DISABLED, Reason.MAILBOX_DISABLED),
        (words.UNKNOWN_MAILBOX, Reason.UNKNOWN_MAILBOX),
        (words.DOMAIN, Reason.UNKNOWN_DOMAIN),
    ):
        if pattern.search(text) and not words.RELAYING.search(text):
            return reason
    out_of_service = detail != "2.1" and words.OUT_OF_SERVICE.search(text)  # X.2.1 says whose service it is
    if out_of_service or _is_bare_limit(text) or _is_of_those_before(said):
        return None
    return _MAILBOX_CODES.get(detail) or (
        Reason.MAILBOX_MOVED
        if said.code == 551 and said.detail[:2] in ("", "1.") and not words.RELAYING.search(text)
        else None
    )


_NOT_OF_MAILBOX: Final = (words.HELLO, words.OURS_NOT_THEIRS, words.BLOCKED_BY_LIST, words.OUR_HOST)
# "Mailbox unavailable, try again later" takes nobody off a list, whatever the code.
_MAY_PASS: Final = (Reason.UNKNOWN_MAILBOX, Reason.MAILBOX_DISABLED)
_MAILBOX_CODES: Final = {
    "1.1": Reason.UNKNOWN_MAILBOX,
    "1.2": Reason.UNKNOWN_DOMAIN,
    "1.3": Reason.BAD_ADDRESS,
    "1.6": Reason.MAILBOX_MOVED,
    "1.10": Reason.UNKNOWN_MAILBOX,
    "2.1": Reason.MAILBOX_DISABLED,
}


def _of_relay(said: Said) -> Ruling | None:
    """Refusals of us: for good the relay takes nothing from us; for now (4yz) it is somebody's bad hour."""
    text = said.text
    if _is_of_our_account(said):
        return Ruling(Verdict.RELAY, Reason.ACCOUNT, "words about our account")
    for pattern, reason, rule in _OF_US:
        if pattern.search(text):
            if reason is Reason.HELLO and not said.for_good and "rejected" not in text:
                continue
            if reason is Reason.RELAYING and words.RELAYING_AS.search(text):
                continue
            if reason is Reason.BLOCKED and _names_the_sender(text):
                continue
            if reason is Reason.CREDENTIALS and not said.for_good and words.NOT_WORKING.search(text):
                return Ruling(Verdict.LATER, Reason.SYSTEM, "words about trouble with logins, for now")
            return Ruling(Verdict.RELAY, reason, rule)
    return None


def _is_of_our_account(said: Said) -> bool:
    """Whether our account may not send: not where a mailbox, or a look at the message, is what is on trial.

    What is said to MAIL and before is said of us.
    """
    text = said.text
    if words.ACCOUNT.search(text):
        return True
    if not words.TRIAL.search(text):
        return False
    if said.stage in BEFORE_MAIL or said.stage is Stage.MAIL:
        return True
    if words.OTHERS_TRIAL.search(text):
        return False
    return words.OF_ONE.search(text) is None or words.OF_OUR_SENDING.search(text) is not None


def _names_the_sender(text: str) -> bool:
    """Whether it is the sender's address that is blocked, and not our host."""
    return (
        words.SENDER_SAID.search(text) is not None
        and words.BLOCKED_BY_LIST.search(text) is None
        and words.OUR_HOST.search(text) is None
    )


_OF_US: Final = (
    (words.BLOCKED_BY_LIST, Reason.BLOCKED, "words about a list that our address is on"),
    (words.RELAYING, Reason.RELAYING, "words about relaying"),
    (words.CREDENTIALS, Reason.CREDENTIALS, "words about logging in"),
    (words.ENCRYPTION, Reason.ENCRYPTION, "words about encryption"),
    (words.HELLO, Reason.HELLO, "words about the name in EHLO"),
    (words.BLOCKED, Reason.BLOCKED, "words about our address or host"),
)


def _of_those_before(said: Said) -> Ruling | None:
    """Too many unknown recipients before this one, of whom nothing is said, whatever the enhanced code is."""
    if said.stage not in BEFORE_MAIL and _is_of_those_before(said) and not words.SHUT_OUT.search(said.text):
        return Ruling(Verdict.LATER, Reason.PROTOCOL, "words about too many unknown recipients before this one")
    return None


def _is_of_those_before(said: Said) -> bool:
    """Whether too many recipients were unknown, of one sender, or by a code that could be taken for this one's."""
    text = said.text
    if _tells_of_unknown(text):
        return said.detail.startswith("1.") or words.SAID_OF_US.search(text) is not None
    if said.detail != "1.1" or words.UNKNOWN_MAILBOX_HARD.search(text):
        return False
    return words.TOO_MANY_ERRORS.search(text) is not None and words.SAID_OF_US.search(text) is not None


def _tells_of_unknown(text: str) -> bool:
    """Whether too many recipients were unknown, and it is not said that this one is unknown itself."""
    if words.TOO_MANY_UNKNOWN.search(text) is None:
        return False
    return words.UNKNOWN_MAILBOX_HARD.search(words.TOO_MANY_UNKNOWN.sub(" ", text)) is None


def _of_sender(said: Said) -> Ruling | None:
    if words.SENDER.search(said.text) or said.detail in ("1.7", "1.8", "1.9"):
        if said.stage in BEFORE_MAIL:
            return Ruling(Verdict.RELAY, Reason.ACCOUNT, "a refusal before any message")
        return Ruling(Verdict.SENDER, Reason.SENDER, "words about the sender's address")
    return None


def _of_the_rest(said: Said) -> Ruling | None:
    if _is_server_full(said):
        return Ruling(Verdict.LATER, Reason.SYSTEM, "words about a server that has no room")
    if said.for_good and (
        words.FOR_NOW.search(said.text)
        or (words.OUT_OF_SERVICE.search(said.text) and not said.detail.startswith("7.") and said.code != 521)
    ):
        return Ruling(Verdict.LATER, Reason.SYSTEM, "words of a refusal that will pass")
    if said.for_good and _is_bare_limit(said.text) and not _about_one(said):
        return Ruling(Verdict.LATER, Reason.QUOTA, "words about a limit, and not whose it is")
    # RFC 5321 §4.5.3.1.10 has 452 for it, and the recipient before whom there were too many is sent to later.
    if said.stage in _BEFORE_CONTENT and words.TOO_MANY_RECIPIENTS.search(said.text):
        return Ruling(Verdict.LATER, Reason.PROTOCOL, "words about too many recipients")
    if said.stage is Stage.CONTENT and said.for_good and words.MESSAGE_REFUSED.search(said.text):
        return Ruling(Verdict.CONTENT, Reason.CONTENT, "a refusal of this message after its end")
    return None


def _by_code(said: Said) -> Ruling:
    """What stage and code say where the words say nothing."""
    if said.code == 421:
        return Ruling(Verdict.LATER, Reason.SYSTEM, "421 without words that say more: the session ends")
    if not said.for_good:
        system = not said.detail and words.NOT_WORKING.search(said.text)
        return Ruling(Verdict.LATER, Reason.SYSTEM if system else None, "4yz: for now")
    if said.stage in BEFORE_MAIL:
        return Ruling(
            Verdict.RELAY,
            _BEFORE_MAIL_REASONS.get(said.stage, Reason.BLOCKED),
            f"5yz to {said.stage.value}: nothing can be sent",
        )
    if said.stage is Stage.MAIL:
        return _of_mail(said)
    return _by_552(said) or Ruling(Verdict.REFUSED, None, "5yz: for good")


def _of_mail(said: Said) -> Ruling:
    if said.code == 521:
        return Ruling(Verdict.RELAY, Reason.BLOCKED, "521, which takes no mail from us (RFC 7504)")
    if words.OUR_ACCOUNT.search(said.text):
        return Ruling(Verdict.RELAY, Reason.ACCOUNT, "5yz to MAIL about an account, which is ours")
    if said.detail.startswith("5."):
        return Ruling(Verdict.REFUSED, Reason.PROTOCOL, "5yz to MAIL about the protocol")
    return Ruling(Verdict.SENDER, Reason.SENDER, "5yz to MAIL")


def _by_552(said: Said) -> Ruling | None:
    if said.code != 552:
        return None
    if said.stage is Stage.RCPT:
        return Ruling(Verdict.LATER, None, "552 to RCPT is 452 (RFC 5321 §4.5.3.1.10)")
    if not said.detail and len(_WORD.findall(said.text)) <= 1:
        return Ruling(Verdict.MAILBOX, Reason.MAILBOX_FULL, "552, storage exceeded (RFC 5321 §4.2.2)")
    return None


# Words, and not what stands for addresses, hosts and numbers.
_WORD: Final = late_pattern(r"(?:^| )(?!host\b|ip\b|http:)[^\W\d_][\w'/-]*(?=$| )")
_COMMAND_REFUSED: Final = (500, 502, 503, 504)
_BDAT: Final = late_pattern(r"\bbdat\b|\bchunking\b", re.ASCII)
_PUNCTUATION: Final = late_pattern(r"[^\w\s@'/%#:.+-]+", re.ASCII)
_PUNCTUATION_BESIDE_OTHERS: Final = late_pattern(r"[^\w\s@'/%#:.+\u0080-\U0010ffff-]+", re.ASCII)  # slow to compile
_ACCENTS: Final = late_pattern(r"(?<=[a-z])[\u0300-\u036f]+")


def plain(words_: tuple[str, ...]) -> str:
    """A kind's text as the expressions read it: a sentence's end is a word of its own, other punctuation is gone.

    Latin letters lose their accents. Other letters, as RFC 6531 §3.7.4.2 lets servers use, stay.
    """
    text = " ".join(words_)
    punctuation = _PUNCTUATION
    if not text.isascii():
        text = normalize("NFC", _ACCENTS.sub("", normalize("NFKD", text)))
        punctuation = _PUNCTUATION_BESIDE_OTHERS
    text = text.replace("; ", " . ").replace("!", " . ").replace("?", " . ")
    text = punctuation.sub(" ", text)
    text = text.replace("... ", " ").replace(". ", " . ").replace(": ", " ").removesuffix(":")
    if text.endswith("."):
        text = text.rstrip(".") + " ."
    return " ".join(text.split())
