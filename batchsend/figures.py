"""Numbers as people read and write them: how many, how long, what part, how fast.

Everything that batchsend prints of this kind is made here, so that the same number looks the same everywhere.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION: Final = late_pattern(r"(?P<count>\d+(?:\.\d+)?) ?(?P<unit>ms|s|m|h)?", re.ASCII)
DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
"""The units of a duration as it is written, in seconds."""

# The names of the C locale, whichever one is set: everything else is in English, too.
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def count(number: int, noun: str = "", plural: str | None = None) -> str:
    """A number of things: ``1 session``, ``12,000 sessions``."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def learned(found: Mapping[str, float]) -> dict[str, str]:
    """What a server has shown it allows, as a campaign file has it: ``max_messages = 20``, ``quota = "100/h"``.

    >>> learned({"rate": 40.5, "quota": 100, "quota_hours": 1, "quota_sure": 5})
    {'rate': '40.5', 'quota': '100/h'}

    Args:
        found: As the results log has it; of several relays the keys begin with a relay's name and a full stop.
    """
    written = {}
    for name, value in found.items():
        if name.rpartition(".")[2] in ("quota_hours", "quota_sure"):
            continue
        hours = found.get(f"{name}_hours") if name.rpartition(".")[2] == "quota" else None
        written[name] = f"{value:g}" if hours is None else f"{value:.0f}/{'day' if hours >= 24 else 'h'}"
    return written


def duration(seconds: float, *, whole: bool = False) -> str:
    """How long something took, to the precision that matters: ``3.2 s``, ``3 min 20 s``, ``2 h 05 min``.

    Args:
        seconds: How long.
        whole: Without tenths below a minute, as a running clock is shown.
    """
    if seconds < 60 and not whole:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def utc(seconds: float) -> str:
    """A time since the epoch as date and time of day in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def local_time(moment: datetime, zone: str | None = None) -> str:
    """A local time with its day and, where it has a name, its zone: ``Mon 30 Nov 08:00 (Europe/Berlin)``."""
    named = f"{_DAYS[moment.weekday()][:3]} {moment.day:02d} {_MONTHS[moment.month - 1][:3]} {moment:%H:%M}"
    return named if zone is None else f"{named} ({zone})"


def about(moment: datetime, now: datetime) -> str:
    """When something will be, as well as that can be known: ``about 14:00``, ``Thursday 3 December, about 14:00``.

    Args:
        moment: The local time.
        now: The local time now; on its day, the day is not named.
    """
    step = 60 if moment - now < timedelta(hours=1) else 600
    past = moment.minute * 60 + moment.second
    rounded = moment.replace(microsecond=0) + timedelta(seconds=-past % step)
    if moment.date() == now.date() == rounded.date():
        return f"about {rounded:%H:%M}"
    year = "" if rounded - now < timedelta(days=180) else f" {rounded.year}"
    day = f"{_DAYS[rounded.weekday()]} {rounded.day} {_MONTHS[rounded.month - 1]}{year}"
    return f"{day}, about {rounded:%H:%M}"


def parse_duration(text: str, *, default_unit: str = "") -> float:
    """The seconds of ``500ms``, ``30s``, ``5m`` or ``1h``; a space may stand before the unit.

    Args:
        text: The text, nothing around it.
        default_unit: What a number without a unit is meant in; ``""`` if it needs one.

    Raises:
        ValueError: The text is not of that form.
    """
    match = _DURATION.fullmatch(text)
    unit = match["unit"] or default_unit if match is not None else ""
    if match is None or not unit:
        raise ValueError(text)
    return float(match["count"]) * DURATION_UNITS[unit]


def latency(seconds: float) -> str:
    """How long a reply took: two significant digits below a minute."""
    if seconds >= 60:
        return duration(seconds)
    if seconds >= 9.95:
        return f"{seconds:.0f} s"
    if seconds >= 0.995:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 9.95 else f"{milliseconds:.1f} ms"


def milliseconds(seconds: float) -> str:
    """How far away a server is, or how long it takes: ``120 ms``, ``0.05 ms``."""
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.2f} ms"


def share(part: int, whole: int) -> str:
    """A percentage that is 0 % and 100 % only where it is."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def rate(per_second: float) -> str:
    """Messages in a time: a second, or a minute where that is less than one a second."""
    if 0 < per_second < 0.95:
        return f"{per_second * 60:.1f}/min"
    return f"{per_second:,.0f}/s" if per_second >= 9.95 else f"{per_second:.1f}/s"
