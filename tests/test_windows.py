"""When sending may begin, against an oracle that looks at each minute: over changes of the clock, and over midnight."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.campaign.windows import Schedule, Start, Window, Zone
from tests.tools.examples import examples

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# By half an hour at Lord Howe, by a day without one at Apia in 2011, at midnight in Beirut, and never in UTC.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia", "UTC")
CHANGES = ("2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2011-12-30")
AHEAD = 9 * 24 * 60
"""Minutes that the oracle looks ahead."""


def at(text: str, zone: str = "Europe/Berlin") -> float:
    """A local time as seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def schedule(*windows: str, zone: str = "Europe/Berlin", start: str | None = None) -> Schedule:
    return Schedule([*map(Window.parse, windows)], Zone(zone), None if start is None else Start.parse(start))


class Oracle:
    """Says what a window says, minute by minute, from nothing but the local clock and calendar."""

    def __init__(self, windows: list[tuple[set[int], int, int]], zone: str) -> None:
        self._windows = windows
        self._zone = ZoneInfo(zone)

    def is_open(self, moment: float) -> bool:
        local = datetime.fromtimestamp(moment, UTC).astimezone(self._zone)
        minute, today, yesterday = local.hour * 60 + local.minute, local.weekday(), (local.weekday() - 1) % 7
        for days, begins, ends in self._windows:
            if begins < ends:
                if today in days and begins <= minute < ends:
                    return True
            elif (today in days and minute >= begins) or (yesterday in days and minute < ends):
                return True
        return False

    def turn(self, moment: float) -> float | None:
        """The first minute at which it is otherwise."""
        now = self.is_open(moment)
        first = moment - moment % 60
        for minute in range(1, AHEAD):
            if self.is_open(first + 60 * minute) != now:
                return first + 60 * minute
        return None


def minutes(count: int) -> str:
    return f"{count // 60:02d}:{count % 60:02d}"


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, tuple[set[int], int, int]]:
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    begins = draw(st.integers(0, 1439))
    ends = draw(st.integers(0, 1440).filter(lambda end: end != begins))
    return f"{','.join(DAYS[day] for day in sorted(days))} {minutes(begins)}-{minutes(ends)}", (days, begins, ends)


moments = st.builds(
    lambda day, seconds: datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + seconds,
    st.sampled_from(CHANGES),
    st.integers(-3 * 86400, 3 * 86400),
)


@given(written=st.lists(windows(), min_size=1, max_size=3), zone=st.sampled_from(ZONES), moment=moments)
@settings(max_examples=examples(60))
def test_a_schedule_opens_and_closes_at_the_minutes_of_the_oracle(
    written: list[tuple[str, tuple[set[int], int, int]]], zone: str, moment: float
) -> None:
    tried = schedule(*(text for text, _ in written), zone=zone)
    oracle = Oracle([meant for _, meant in written], zone)
    turn = oracle.turn(moment)
    if oracle.is_open(moment):
        assert tried.is_open(moment)
        assert tried.opens(moment) == moment
        assert turn is None or tried.closes(moment) == turn
    else:
        assert not tried.is_open(moment)
        assert turn is None or tried.opens(moment) == turn


@given(written=st.lists(windows(), min_size=1, max_size=3), zone=st.sampled_from(ZONES), moment=moments)
@settings(max_examples=examples(60))
def test_what_opens_is_open_then_and_not_a_second_before(
    written: list[tuple[str, tuple[set[int], int, int]]], zone: str, moment: float
) -> None:
    tried = schedule(*(text for text, _ in written), zone=zone)
    opens = tried.opens(moment)
    assert opens is not None
    assert tried.is_open(opens)
    assert opens == moment or not tried.is_open(opens - 1)
    if (closes := tried.closes(opens)) is not None:
        assert not tried.is_open(closes)
        assert tried.is_open(closes - 1)


def test_a_window_by_night_belongs_to_the_day_on_which_it_begins() -> None:
    night = schedule("Fri 22:00-02:00")
    assert not night.is_open(at("2026-11-27 01:00"))  # a Friday
    assert night.opens(at("2026-11-27 01:00")) == at("2026-11-27 22:00")
    assert night.is_open(at("2026-11-28 01:59"))
    assert night.closes(at("2026-11-27 22:00")) == at("2026-11-28 02:00")
    assert night.opens(at("2026-11-28 02:00")) == at("2026-12-04 22:00")


def test_an_hour_that_is_skipped_never_opens_and_one_that_comes_twice_is_open_twice() -> None:
    small_hours = schedule("Sun 02:00-03:00")
    assert small_hours.opens(at("2026-03-28 12:00")) == at("2026-04-05 02:00"), "the 29th of March has no such hour"
    opens = small_hours.opens(at("2026-10-24 12:00"))
    assert opens == at("2026-10-25 02:00")
    assert small_hours.closes(opens) == opens + 2 * 3600
    assert schedule("Sun 02:30-05:00").opens(at("2026-03-28 12:00")) == at("2026-03-29 03:00")
    assert schedule("Sun 01:00-02:30").closes(at("2026-03-29 01:00")) == at("2026-03-29 03:00")


def test_windows_that_touch_are_one_and_those_that_fill_the_week_never_close() -> None:
    assert schedule("Mon 08:00-12:00", "Mon 12:00-18:00").closes(at("2026-11-30 09:00")) == at("2026-11-30 18:00")
    assert schedule("Sun 20:00-24:00", "Mon 00:00-02:00").closes(at("2026-11-29 21:00")) == at("2026-11-30 02:00")
    assert schedule("00:00-24:00").closes(at("2026-11-30 09:00")) is None
    assert schedule().closes(at("2026-11-30 09:00")) is None


def test_nothing_opens_before_the_start() -> None:
    late = schedule("Mon-Fri 08:00-18:00", start="2026-12-05 09:00")  # a Saturday
    assert not late.is_open(at("2026-12-01 09:00"))
    assert late.opens(at("2026-12-01 09:00")) == at("2026-12-07 08:00")
    alone = schedule(start="2026-12-01 09:00")
    assert alone.opens(0) == at("2026-12-01 09:00")
    assert alone.is_open(at("2026-12-01 09:00"))


def test_a_start_that_the_clock_skips_is_later_by_the_jump_and_the_first_of_two_counts() -> None:
    assert schedule(start="2026-03-29 02:30").starts == at("2026-03-29 03:30")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    assert schedule(start="2026-10-25 02:30").starts == first


def test_days_may_be_some_or_a_range_that_goes_around_the_week() -> None:
    assert Window.parse("Sat-Mon 09:00-10:00").days == {5, 6, 0}
    assert Window.parse("mon, WED-thu 9:00-10:00").days == {0, 2, 3}
    assert Window.parse("09:00-10:00").days == set(range(7))
    assert Window.parse("Mon 08:00-18:00") == Window.parse("mon 8:00 - 18:00")


@pytest.mark.parametrize(
    "text",
    [
        *("", "Mon", "Mon 8-18", "Mon 08:00", "Mon 08:00-08:00", "Mon 08:00-25:00", "Mon 08:60-09:00", "24:00-02:00"),
        *("Moon 08:00-09:00", "Mon-Fry 08:00-09:00", "08:00-18:00 Mon", "Mon - Fri 08:00-18:00", "00:00-00:00"),
    ],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        Window.parse(text)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01 09:00", "2026-12-01T09:00+01:00", "09:00", "1.12.2026"])
def test_what_is_no_start_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Start.parse(text)


@pytest.mark.parametrize("name", ["", "Berlin", "Europe", "../etc/passwd", "/etc/localtime", "Europe/Berlin\0"])
def test_a_zone_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(name)}$"):
        Zone(name)


def test_the_machines_own_zone_is_that_of_its_clock() -> None:
    moment = at("2026-11-27 12:00")
    local = datetime.fromtimestamp(moment)  # noqa: DTZ006 - the machine's own zone is what is asked for
    here = Zone(None)
    assert here.local(moment) == local
    assert timedelta(seconds=here.offset(moment)) == local.astimezone().utcoffset()
    assert here.moment(local) == moment
