"""What replies mean, as the table of the failure policy has it."""

from __future__ import annotations

import pytest

from batchsend.delivery.classify import Effect, classify
from batchsend.outcome import Outcome, Stage
from batchsend.smtp.replies import Reply

STAGES = [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT]


def verdict(stage: Stage, reply: str) -> tuple[Outcome, str | None, Effect]:
    code, _, text = reply.partition(" ")
    return classify(stage, Reply(int(code), text.encode()))


@pytest.mark.parametrize(
    "reply", ["250", "250 2.0.0 Ok: queued as 4F2", "251 will forward", "250 too many messages per day"]
)
def test_only_2yz_is_accepted(reply: str) -> None:
    assert verdict(Stage.CONTENT, reply) == (Outcome.ACCEPTED, None, Effect.NONE)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", [400, 421, 450, 451, 452, 455, 499])
def test_4yz_is_deferred(stage: Stage, code: int) -> None:
    assert verdict(stage, f"{code} no")[0] is Outcome.DEFERRED


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.CONTENT])
@pytest.mark.parametrize("code", [500, 501, 521, 550, 551, 553, 554, 555, 571, 599])
def test_5yz_is_rejected(stage: Stage, code: int) -> None:
    assert verdict(stage, f"{code} no") == (Outcome.REJECTED, None, Effect.NONE)


def test_552_says_too_many_recipients_at_rcpt_and_too_large_elsewhere() -> None:
    """RFC 5321 §4.5.3.1.10."""
    assert verdict(Stage.RCPT, "552 5.2.2 no")[0] is Outcome.DEFERRED
    assert verdict(Stage.CONTENT, "552 5.3.4 no")[:2] == (Outcome.REJECTED, "too large")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", [530, 534, 535])
def test_authentication_is_about_the_run(stage: Stage, code: int) -> None:
    status, _, effect = verdict(stage, f"{code} 5.7.0 Authentication required")
    assert (status, effect) == (Outcome.DEFERRED, Effect.CREDENTIALS_REFUSED)


def test_5yz_to_mail_may_be_about_the_sender() -> None:
    assert verdict(Stage.MAIL, "550 5.7.1 no")[::2] == (Outcome.REJECTED, Effect.SENDER_REFUSED)
    assert verdict(Stage.MAIL, "450 4.7.1 no")[::2] == (Outcome.DEFERRED, Effect.NONE)


@pytest.mark.parametrize(
    "reply",
    [
        "454 Throttling failure: Maximum sending rate exceeded.",
        "454 4.7.0 throttled",
        "450 4.7.1 Error: too much mail from 192.0.2.1, too many messages from you",
        "451 4.7.1 Too many messages in this hour",
        "450 4.2.1 too many messages per second",
        "421 4.7.28 Our system has detected an unusual rate limit",
        "451 4.7.650 The mail server has been temporarily rate limited",
        "452 4.3.1 slow down, please",
        "550 5.7.0 Requested action not taken: too many emails per second",
        "451 You are sending too fast",
    ],
)
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.CONTENT])
def test_too_fast_is_no_rejection_whatever_the_code(stage: Stage, reply: str) -> None:
    assert verdict(stage, reply) == (Outcome.DEFERRED, "throttled", Effect.SLOW_DOWN)


@pytest.mark.parametrize(
    "reply",
    [
        "554 5.7.1 This message rated as spam",
        "554 5.7.1 mail rated 12.3 by the content filter",
        "550 5.7.1 moderate limits apply to this corporate limited list",
        "550 5.2.2 The mailbox is full",
        "552 5.2.2 too many messages in this mailbox",
        "550 5.1.1 throughput.example has no such user",
    ],
)
def test_a_rejection_that_sounds_a_little_like_it_is_one_all_the_same(reply: str) -> None:
    assert verdict(Stage.CONTENT, reply)[::2] == (Outcome.REJECTED, Effect.NONE)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("550 5.1.1 x", "unknown mailbox"),
        ("550 5.1.2 x", "unknown domain"),
        ("556 5.1.10 x", "domain takes no mail"),
        ("550 5.1.99 x", "address"),
        ("550 5.2.1 x", "mailbox disabled"),
        ("554 5.2.2 x", "mailbox full"),
        ("450 4.2.2 x", "mailbox full"),
        ("554 5.7.1 x", "policy"),
        ("550 5.7.26 x", "authentication of the message"),
        ("554 5.6.0 x", "content"),
        ("554 5.9.9 x", None),
        ("554 4.1.1 x", None),
        ("450 5.1.1 x", None),
        ("554 5.1.1x", None),
        ("554 no code at all", None),
    ],
)
def test_the_reason_comes_from_an_enhanced_code_that_fits_the_reply(reply: str, reason: str | None) -> None:
    assert verdict(Stage.RCPT, reply)[1] == reason
