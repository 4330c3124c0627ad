"""Why a message was not accepted, from what the server said, and advice for each."""

from __future__ import annotations

import pytest

from batchsend.outcome import DeliveryResult, Outcome, Stage
from batchsend.report import causes
from batchsend.report.causes import Cause, cause_of
from batchsend.report.kinds import kind_of

ALL = [value for value in vars(causes).values() if isinstance(value, Cause)]


def found(
    status: Outcome, code: int | None, reply: str | None, reason: str | None = None, stage: Stage | None = None
) -> Cause:
    enhanced = reply.split()[0] if reply and reply[:1].isdigit() and reply[1:2] == "." else None
    result = DeliveryResult(
        record=1,
        recipient="a@example.com",
        status=status,
        stage=stage,
        code=code,
        enhanced=enhanced,
        reply=reply,
        reason=reason,
    )
    return cause_of(kind_of(result))


@pytest.mark.parametrize(
    ("code", "reply", "cause"),
    [
        (550, "5.1.1 <a@example.com>: User unknown", causes.UNKNOWN_MAILBOX),
        (550, "No such user here", causes.UNKNOWN_MAILBOX),
        (
            550,
            "<a@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
            causes.UNKNOWN_MAILBOX,
        ),
        (550, "5.1.1 mailbox unknown, see https://example.org/spam", causes.UNKNOWN_MAILBOX),
        (550, "5.4.1 [a@example.com]: Recipient address rejected: Access denied", causes.UNKNOWN_MAILBOX),
        (550, "5.4.5 Daily user sending limit exceeded", causes.QUOTA),
        (550, "5.7.1 Unable to relay", causes.RELAYING),
        (501, "5.1.3 Bad recipient address syntax", causes.BAD_ADDRESS),
        (550, "5.1.2 Bad destination system", causes.UNKNOWN_DOMAIN),
        (556, "5.1.10 Recipient address has null MX", causes.UNKNOWN_DOMAIN),
        (550, "5.2.1 disabled", causes.MAILBOX_DISABLED),
        (552, "5.2.2 over quota", causes.MAILBOX_FULL),
        (552, "5.3.4 Message too big for system", causes.TOO_LARGE),
        (552, "Message size exceeds fixed limit", causes.TOO_LARGE),
        (550, "5.7.26 Unauthenticated email is not accepted due to the domain's DMARC policy", causes.AUTHENTICATION),
        (550, "5.7.1 SPF check failed", causes.AUTHENTICATION),
        (554, "5.7.1 Client host [192.0.2.1] blocked using bl.example.org", causes.REPUTATION),
        (554, "5.7.1 Message rejected as spam", causes.CONTENT),
        (550, "5.7.1 Not wanted here", causes.POLICY),
        (550, "5.1.8 Sender domain not found", causes.SENDER),
        (555, "5.5.4 Unsupported parameter", causes.PROTOCOL),
        (550, "5.6.7 internationalised addresses not permitted", causes.PROTOCOL),
        (554, "no", causes.OTHER_REFUSAL),
    ],
)
def test_refusals_for_good(code: int, reply: str, cause: Cause) -> None:
    assert found(Outcome.REJECTED, code, reply) is cause


def test_the_stage_of_a_reply_is_part_of_what_it_means() -> None:
    """RFC 5321 §4.5.3.1.10: 552 to RCPT is about too many recipients, after the content about the room for it."""
    assert found(Outcome.REJECTED, 552, "exceeded", stage=Stage.CONTENT) is causes.MAILBOX_FULL
    assert found(Outcome.DEFERRED, 552, "exceeded", stage=Stage.RCPT) is causes.OTHER_DEFERRAL


@pytest.mark.parametrize(
    ("code", "reply", "reason", "cause"),
    [
        (450, "4.7.1 Greylisted, try again later", "policy", causes.GREYLISTED),
        (451, "Graylisting in action", None, causes.GREYLISTED),
        (450, "4.2.0 mailbox unavailable, try again later", None, causes.MAILBOX_UNAVAILABLE),
        (450, "Requested mail action not taken: mailbox unavailable / Mail send limit exceeded.", None, causes.QUOTA),
        (452, "4.2.2 over quota", "mailbox full", causes.MAILBOX_FULL),
        (450, "4.7.1 throttled", "throttled", causes.THROTTLED),
        (432, "too many concurrent connections", "too many connections", causes.TOO_MANY_CONNECTIONS),
        (530, "5.7.0 Must authenticate", "credentials", causes.CREDENTIALS),
        (451, "4.3.0 Local problem", "mail system", causes.TROUBLE),
        (450, "4.2.1 try again", "mailbox disabled", causes.MAILBOX_UNAVAILABLE),
        (451, "later", None, causes.OTHER_DEFERRAL),
        (452, "4.5.3 Too many recipients", None, causes.NOT_NOW),
        (None, None, "the server closed the connection", causes.CONNECTION_LOST),
    ],
)
def test_refusals_for_now(code: int | None, reply: str | None, reason: str | None, cause: Cause) -> None:
    assert found(Outcome.DEFERRED, code, reply, reason) is cause


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome.IN_DOUBT, causes.IN_DOUBT),
        (Outcome.INVALID, causes.INVALID),
        (Outcome.SUPPRESSED, causes.SUPPRESSED),
        (Outcome.REJECTED, causes.OTHER_REFUSAL),
    ],
)
def test_outcomes_without_a_reply(outcome: Outcome, cause: Cause) -> None:
    assert found(outcome, None, None, "a reason") is cause


def test_each_cause_has_its_own_name_and_advice() -> None:
    assert len({cause.name for cause in ALL}) == len({cause.advice for cause in ALL}) == len(ALL) > 15
    for cause in ALL:
        assert cause.advice.endswith(".")
        assert cause.advice.count("`") % 2 == 0
