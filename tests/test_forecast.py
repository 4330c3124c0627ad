"""When a campaign will be done, against a simulation that sends one message after the other."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.campaign import load
from batchsend.campaign.forecast import Allowance, Plan, finished_at
from batchsend.campaign.windows import DAY, HOUR, Schedule, Start, Window, Zone
from tests.cli.commandline import make_campaign
from tests.tools.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")
WORKDAYS = Schedule([Window.parse("Mon-Fri 08:00-18:00")], Zone("Europe/Berlin"))


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def simulated(now: float, left: int, rate: float, quotas: list[Allowance], schedule: Schedule | None) -> float:
    """Send each message as soon as everything lets it, and say when the last one is through."""
    taken = [deque[float](maxlen=quota.messages) for quota in quotas]
    for _ in range(left):
        while True:
            before = now
            if schedule is not None:
                opens = schedule.opens(now)
                assert opens is not None
                now = opens
            for quota, times in zip(quotas, taken, strict=True):
                if len(times) == quota.messages and times[0] + quota.seconds > now:
                    now = times[0] + quota.seconds
            if now == before:
                break
        now += 1 / rate
        for times in taken:
            times.append(now)
    return now


@given(
    left=st.integers(0, 3000),
    per_minute=st.integers(1, 600),
    hourly=st.none() | st.integers(1, 300),
    daily=st.none() | st.integers(100, 1000),
    is_bounded=st.booleans(),
    hours=st.integers(0, 200),
)
@settings(max_examples=examples(100))
def test_it_is_when_the_last_message_is_through(
    left: int, per_minute: int, hourly: int | None, daily: int | None, is_bounded: bool, hours: int
) -> None:
    quotas = [
        *([] if hourly is None else [Allowance(hourly, HOUR)]),
        *([] if daily is None else [Allowance(daily, DAY)]),
    ]
    schedule = WORKDAYS if is_bounded else None
    now, rate = at("2026-10-22 07:00") + hours * HOUR, per_minute / 60
    found = finished_at(now, left, rate=rate, quotas=quotas, schedule=schedule)
    meant = simulated(now, left, rate, quotas, schedule)
    assert found is not None
    if left == 0:
        assert found == now
    elif found != pytest.approx(meant, abs=1 + sum(quota.seconds / 20 for quota in quotas)):
        # A few seconds before a window closes may decide whether it is this day or the next one that it opens on.
        assert schedule is not None
        assert found == pytest.approx(meant, abs=3 * DAY + HOUR)
        shorter = simulated(now, max(1, left - left // 20 - 1), rate, quotas, schedule)
        longer = simulated(now, left + left // 20 + 1, rate, quotas, schedule)
        assert shorter <= found <= longer + HOUR


def test_two_thousand_a_day_on_workdays() -> None:
    done = finished_at(
        at("2026-11-27 09:00"),  # a Friday
        8000,
        rate=500 / HOUR,
        quotas=[Allowance(2000, DAY)],
        schedule=WORKDAYS,
    )
    assert done is not None
    # Four hours each: from nine on Friday, from eight on Monday, and as long after the day before on the others.
    assert done == pytest.approx(at("2026-12-02 12:00"), abs=HOUR / 2)


def test_what_was_sent_already_counts_towards_the_quota() -> None:
    now = at("2026-11-27 09:00")
    sent = [(now - HOUR, 90), (now - 100, 10)]
    done = finished_at(now, 10, rate=None, quotas=[Allowance(100, DAY)], sent=sent)
    assert done == now - HOUR + DAY
    assert finished_at(now, 10, rate=None, quotas=[Allowance(110, DAY)], sent=sent) == now


def test_it_waits_for_the_start_and_does_not_know_the_end_of_what_never_opens() -> None:
    now = at("2026-11-27 09:00")
    late = Schedule([], Zone("Europe/Berlin"), Start.parse("2026-12-01 09:00"))
    assert finished_at(now, 10, rate=1, schedule=late) == at("2026-12-01 09:00") + 10
    assert finished_at(now, 10**9, rate=None, quotas=[Allowance(1, HOUR)]) is None


def test_a_rate_alone_takes_its_time() -> None:
    assert finished_at(1000.0, 600, rate=10) == 1060.0
    assert finished_at(1000.0, 0, rate=10) == 1000.0


def test_a_warm_up_holds_day_by_day_and_then_only_the_quota() -> None:
    done = finished_at(0.0, 450, rate=None, quotas=[Allowance(200, DAY)], first_days=(50, 100))
    # 50 and 100 at the beginning of the first two days, 200 on the third, and the rest on the fourth.
    assert done == pytest.approx(3 * DAY, abs=HOUR)
    sent = [(0.0, 50), (DAY + 10, 90)]
    later = finished_at(DAY + 20, 20, rate=None, first_days=(50, 100), sent=sent, began=0.0)
    assert later == 2 * DAY


def test_a_plan_says_what_limits_a_campaign_and_relays_add_up(tmp_path: Path) -> None:
    relay = 'host = "{}.example.com"\npriority = 1\nquota = ["500/h", "2000/day"]\nrate = "10/s"\n'
    servers = "".join(f"[[server]]\n{relay.format(name)}" for name in ("one", "two"))
    path = make_campaign(tmp_path, delivery='window = ["Mon-Fri 08:00-18:00"]\ntimezone = "Europe/Berlin"')
    toml = path.read_text()
    start, end = toml.index("[server]"), toml.index("[message]")
    path.write_text(f"{toml[:start]}{servers}{toml[end:]}")
    plan = Plan.of(load(path))
    assert plan.rate == 20
    assert plan.quotas == (Allowance(1000, HOUR), Allowance(4000, DAY))
    assert plan.foretells(at("2026-11-27 09:00"), 8000) == (
        "at 10/s, 500/h, 2000/day by one.example.com, 10/s, 500/h, 2000/day by two.example.com, "
        "Mon-Fri 08:00-18:00 (Europe/Berlin): Monday 30 November, about 11:10"
    )
