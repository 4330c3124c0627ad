"""What a reply says of time: until when to wait, and the period that a quota counts in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.delivery.replies import Period, entries, period_named, wait_named
from batchsend.delivery.replies.waiting import LONGEST, SHORTEST

NOW = datetime(2026, 11, 30, 21, 0, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Relay quota will reset in 21.99 hours.", 21.99 * HOUR),
        ("try again in 300 seconds", 300.0),
        ("Greylisted, please try again in 300 seconds", 300.0),
        ("Greylisted for 5 minutes", 5 * MINUTE),
        ("Greylisted for 60 seconds: Please try later", 60.0),
        ("please retry after 90s", 90.0),
        ("wait 15 min", 15 * MINUTE),
        ("Please wait 1 hour before sending", HOUR),
        ("try again in one hour", HOUR),
        ("try again in an hour", HOUR),
        ("Try again after 2 days", 2 * DAY),
        ("Daily limit reached, retry in 3h", 3 * HOUR),
        ("resets in 1 hour 30 minutes", 1.5 * HOUR),
        ("try again in 4 minutes and 12 seconds", 252.0),
        ("Greylisting in action, please come back in 00:04:32", 272.0),
        ("retry in 1:00:00", HOUR),
        ("5 minutes remaining", 5 * MINUTE),
        ("retry after 2026-12-01 09:00 UTC", 12 * HOUR),
        ("retry after 2026-12-01T09:00:00Z", 12 * HOUR),
        ("retry after 2026-12-01T09:00:00.250+01:00", 11 * HOUR),
        ("greylisted until 2026-12-01 09:00:00", 12 * HOUR),
        ("blocked until Tue, 01 Dec 2026 00:00:00 GMT", 3 * HOUR),
        ("try again after: Tue, 01 Dec 2026 00:00:00 UTC", 3 * HOUR),
        ("not before: wait until 1 Dec 2026 01:00 +0100", 3 * HOUR),
        ("500 per day allowed; you can send again in 2 hours", 2 * HOUR),
        ("you have sent 100 messages in the last 1 hour, try again in 10 minutes", 10 * MINUTE),
        ("Your limit resets in\n45 minutes", 45 * MINUTE),
        ("Limit exceeded, in 21.99 hours", 21.99 * HOUR),
        ("Daily limit reached; resets at 00:00 GMT", 3 * HOUR),
        ("resets at midnight UTC", 3 * HOUR),
        ("blocked until 21:30 UTC", HOUR / 2),
        ("wait until 20:59 (UTC)", DAY - MINUTE),
        ("try again after 22:00:00Z", HOUR),
        ("please retry after 300", 300.0),
        ("Greylisted (retry-after: 600)", 600.0),
        ("try again in 120.", 120.0),
        ("bitte versuchen Sie es in 30 Minuten erneut", 30 * MINUTE),
        ("bitte warten Sie 2 Stunden", 2 * HOUR),
        ("veuillez réessayer dans 3 heures", 3 * HOUR),
        ("riprovare tra 1 giorno", DAY),
        ("limited to 100 messages / hour. Account will be enabled in 341 seconds", 341.0),
    ],
)
def test_a_time_to_wait_is_read_in_whatever_form(said: str, seconds: float) -> None:
    assert wait_named(said, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "said",
    [
        "Daily user sending quota exceeded",
        "has exceeded its 24-hour sending limit",
        "500 messages per hour",
        "limit of 400 rcpts per 24 hours for client app reached",
        "only 5 recipients per 5 minutes allowed",
        "100 messages in the last 24 hours",
        "max emails per hour (100/100 (100%)) allowed",
        "Please try again later",
        "User unknown",
        "id 00:04:32:11:22:33",
        "2026-12-01 09:00:00 host.example.net",
        "retry after 2026-13-41 09:00",
        "blocked until 2031-01-01 00:00",
        "try again in 999999999 days",
        "blocked until 17:45",
        "User unknown (08:00 GMT)",
        "try again after 5 attempts",
        "try again in 9999999",
        "",
    ],
)
def test_a_period_or_what_cannot_be_is_no_time_to_wait(said: str) -> None:
    assert wait_named(said, NOW) is None


def test_a_time_that_is_just_over_can_be_tried_at_once() -> None:
    assert wait_named("retry after 2026-11-30 20:59 UTC", NOW) == SHORTEST
    assert wait_named("try again in 0 seconds", NOW) == SHORTEST
    assert wait_named("versuchen Sie es in 0 Tagen", NOW) == SHORTEST


@given(st.text(max_size=300), st.floats(1e9, 4e9))
def test_whatever_is_said_the_wait_is_bounded(said: str, now: float) -> None:
    wait = wait_named("try again in " + said, now)
    assert wait is None or SHORTEST <= wait <= LONGEST


@given(st.integers(1, 2_000_000))
def test_seconds_are_read_as_they_are(seconds: int) -> None:
    assert wait_named(f"Greylisted, retry in {seconds} seconds", NOW) == float(seconds)


@pytest.mark.parametrize(
    ("said", "period"),
    [
        ("Daily user sending quota exceeded", Period.DAY),
        ("24-hour sending limit", Period.DAY),
        ("only 10 messages per day", Period.DAY),
        ("limit of 400 rcpts per 24 hours", Period.DAY),
        ("too many messages today", Period.DAY),
        ("500/day", Period.DAY),
        ("max emails per hour", Period.HOUR),
        ("hourly limit", Period.HOUR),
        ("too many messages this hour", Period.HOUR),
        ("rate overlimit = 200.0 / 1h", Period.HOUR),
        ("100 messages/hour", Period.HOUR),
        ("exceeded hour limit", Period.HOUR),
        ("over the day quota", Period.DAY),
        ("2000 messages/24h", Period.DAY),
        ("10000 recipients in 24h", Period.DAY),
        ("500 E-Mails pro Tag", Period.DAY),
        ("limite diário", Period.DAY),
        ("200 E-Mails pro Stunde", Period.HOUR),
        ("monthly quota", Period.MONTH),
        ("10000 per month", Period.MONTH),
        ("sending limit exceeded", None),
        ("User unknown", None),
    ],
)
def test_the_period_of_a_quota(said: str, period: Period | None) -> None:
    assert period_named(said) is period


def test_what_the_table_says_of_time_is_read() -> None:
    """An entry that names a time or a period is one whose time or period is found."""
    for entry in entries():
        if entry.time is not None and entry.time not in ("second", "5 minutes"):
            assert wait_named(entry.reply, NOW) or period_named(entry.reply), entry
