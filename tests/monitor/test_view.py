"""What the live view and the plain lines say, at every size of a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from batchsend import figures
from batchsend.delivery.statistics import Asleep, SessionState, SessionStatistics
from batchsend.monitor import words
from batchsend.monitor.pace import Speed
from batchsend.monitor.view import view
from tests.monitor.samples import POOL, busy, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.monitor.sample import Sample

SPEED = Speed(61.4, 412.3, 407.2, 95.0)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as context:
        context.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def lines(of: Sample, *, width: int = 79, height: int = 23, speed: Speed = SPEED) -> list[str]:
    return [line.plain for line in view(of, speed, width=width, height=height)]


@pytest.mark.parametrize("width", [79, 139])
def test_everything_is_said(width: int) -> None:
    shown = "\n".join(lines(busy(), width=width))
    assert "62 % · 1 min 35 s left" in shown
    assert "24,842 records · 412/s now · 407/s overall · 1 min 01 s" in shown
    counted = " ".join(shown.split())
    for said in ("accepted 24,100", "rejected 312", "deferred 12", "in doubt 2", "invalid 31", "suppressed 5"):
        assert said in counted
    assert "380 deferred wait for another attempt" in shown
    assert "slowed to 40/s since 22:13:20: the server said 454 4.7.0 Throttling failure" in shown
    assert "7 sessions: 4 sending, 1 opening, 1 spare, 1 retiring" in shown
    for said in ("#241 retiring 100/100", "#242 sending 87/100", "#246 spare 0/100"):
        assert said in counted


def test_a_quota_that_is_waited_for_is_said_with_its_end_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)  # 22:13:20
    asleep = replace(POOL, asleep=Asleep(1_700_003_600.0, "450 4.7.1 Max emails per hour exceeded"))
    waiting = sample(61.0, 500, 0.05, pool=asleep)
    said = "quota until 23:14, about 9,500 left: the server said 450 4.7.1 Max emails per hour exceeded"
    assert said in lines(waiting, width=139)
    assert words.line(waiting, SPEED).endswith(said)
    for_days = replace(POOL, asleep=Asleep(1_700_086_400.0, "550 5.4.5 Daily limit"))
    assert "quota until Wed 22:14, about" in words.line(sample(61.0, 500, 0.05, pool=for_days), SPEED)


@pytest.mark.parametrize("width", [10, 20, 40, 59, 79, 99, 139, 300])
@pytest.mark.parametrize("height", [1, 3, 8, 23])
def test_it_never_is_larger_than_the_terminal(width: int, height: int) -> None:
    shown = view(busy(), SPEED, width=width, height=height)
    assert len(shown) <= height
    assert all(line.cell_len <= width for line in shown)


def test_many_sessions_are_shown_in_part_and_counted_in_full() -> None:
    many = tuple(SessionStatistics(number, SessionState.SENDING, 5, 100, 1) for number in range(1, 101))
    shown = lines(sample(pool=replace(POOL, sessions=many, opening=0)))
    assert "100 sessions: 100 sending" in shown
    assert shown[-1] == "  … and 91 more"
    assert sum(line.count("#") for line in shown) == 9


def test_a_server_that_takes_fewer_sessions_is_named_as_the_reason() -> None:
    assert "the server takes 2 at once" in "\n".join(lines(sample(pool=replace(POOL, connections=2))))


def test_a_limit_of_the_campaigns_own_is_not_blamed_on_the_server() -> None:
    assert "limited to 2.5/s by the campaign" in lines(sample(pool=replace(POOL, rate=2.5)))


def test_the_end_after_a_signal_is_explained() -> None:
    shown = lines(busy(stopped="stopped by SIGINT"))
    assert "stopped by SIGINT: nothing new is sent, replies are awaited" in shown


def test_before_anything_is_sent_and_without_a_known_end() -> None:
    shown = lines(sample(progress=None, pool=None), speed=Speed(0.2, 0.0, 0.0, None))
    assert "it is not known how many records there are" in shown
    assert "no session yet" in shown


def test_a_hundred_percent_is_said_only_at_the_end() -> None:
    assert words.percentage(0.9999) == "99 %"
    assert words.percentage(1.0) == "100 %"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, said: str) -> None:
    assert figures.duration(seconds, whole=True) == said


def test_the_line_says_it_all_in_one() -> None:
    assert words.line(busy(), SPEED) == (
        "62 % · 24,842 records · 412/s · accepted 24,100 · rejected 312 · deferred 12 · in doubt 2 · invalid 31 · "
        "suppressed 5 · waiting 380 · 1 min 35 s left · slowed to 40/s since 22:13:20: "
        "the server said 454 4.7.0 Throttling failure: Maximum sending rate exceeded"
    )
    quiet = sample(10.0, 5, None, pool=replace(POOL, rate=100.0))
    assert words.line(quiet, Speed(10.0, 0.5, 0.5, None)) == "5 records · 0/s · accepted 5"
