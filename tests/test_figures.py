"""Figures as people read them, and text that is safe to show."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend import figures
from batchsend.display import one_line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3599.4, "59 min 59 s"), (3600, "1 h 00 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert figures.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.00049, "0.5 ms"), (0.0123, "12 ms"), (0.9949, "995 ms"), (0.9951, "1.0 s"), (12.3, "12 s"), (90, "1 min 30 s")],
)
def test_latencies(seconds: float, said: str) -> None:
    assert figures.latency(seconds) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10_000, "< 0.1 %"),
        (9999, 10_000, "> 99.9 %"),
    ],
)
def test_all_and_none_are_said_only_where_it_is_so(part: int, whole: int, said: str) -> None:
    assert figures.share(part, whole) == said


@pytest.mark.parametrize(("rate", "said"), [(0, "0.0/s"), (0.5, "30.0/min"), (1.25, "1.2/s"), (12345.6, "12,346/s")])
def test_rates(rate: float, said: str) -> None:
    assert figures.rate(rate) == said


def test_counts() -> None:
    assert figures.count(1, "session") == "1 session"
    assert figures.count(12_000, "session") == "12,000 sessions"
    assert figures.count(0, "retry", "retries") == "0 retries"


@given(st.text())
def test_whatever_is_shown_is_printable(text: str) -> None:
    assert one_line(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", "two lines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("Zoë 李薇", "Zoë 李薇"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2 s", 2.0), ("1.5m", 90.0), ("1h", 3600.0), ("7", 7.0), ("0s", 0.0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert figures.parse_duration(text, default_unit="s") == seconds


@pytest.mark.parametrize("text", ["", "s", "1 week", "-1s", "1e3s", " 1s", "\u0661s", "7"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        figures.parse_duration(text)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-11-27 09:31:20", "about 09:32"),
        ("2026-11-27 13:51", "about 14:00"),
        ("2026-11-27 23:58", "Saturday 28 November, about 00:00"),
        ("2026-12-03 13:55", "Thursday 3 December, about 14:00"),
        ("2027-12-03 13:55", "Friday 3 December 2027, about 14:00"),
    ],
)
def test_when_something_will_be(moment: str, said: str) -> None:
    assert figures.about(datetime.fromisoformat(moment), datetime.fromisoformat("2026-11-27 09:00")) == said
