"""When sending may begin: the windows of a week by the clock on the wall, a zone's changes of that clock, and a start.

A window says when by local time, so whether it is open is asked of the local time at that moment, and nothing else:
where the clock is put forward, what it skips never comes; where it is put back, the hour that comes twice is open
twice. A window that ends before it begins, such as ``Fri 22:00-02:00``, goes on after midnight and belongs to the day
on which it begins. Times are seconds since the epoch; nothing here asks what time it is.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from batchsend.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PLACES: Final = {name.lower(): place for place, name in enumerate(_DAYS)}
_WINDOW: Final = late_pattern(
    r"(?:(?P<days>[A-Za-z]{3}(?:-[A-Za-z]{3})?(?:, ?[A-Za-z]{3}(?:-[A-Za-z]{3})?)*) +)?"
    r"(?P<from>\d{1,2}:\d{2}) ?- ?(?P<to>\d{1,2}:\d{2})",
    re.ASCII,
)
_START: Final = late_pattern(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?)?", re.ASCII)
# The epoch was a Thursday; a week is counted from Monday.
_EPOCH_IN_WEEK: Final = 3 * DAY
# Two changes of a zone's clock within an hour have never happened anywhere.
_STEP: Final = HOUR
# What opens in no three weeks, because the clock always skips it, is taken to open never.
_HORIZON: Final = 3 * WEEK


class Window:
    """Some days of the week, and from when to when on each of them.

    An ordinary class, because msgspec would read a dataclass from a table instead of from a text.

    >>> Window.parse("Mon-Fri 08:00-18:00")
    Window('Mon-Fri 08:00-18:00')

    Attributes:
        text: How it is written.
        days: The days on which it begins, from 0 for Monday.
        begins: Minutes after midnight, at most 1439.
        ends: Minutes after midnight; not more than ``begins`` where it ends on the next day, at most 1440.
    """

    __slots__ = ("begins", "days", "ends", "text")

    def __init__(self, text: str) -> None:
        match = _WINDOW.fullmatch(text.strip())
        if match is None:
            raise ValueError(text)
        self.text = text.strip()
        self.days = _days(match["days"])
        self.begins = _minutes(match["from"])
        self.ends = _minutes(match["to"])
        if self.begins in (24 * 60, self.ends):
            raise ValueError(text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"Mon-Fri 08:00-18:00"``, ``"Sat,Sun 09:00-12:00"`` or, for every day, ``"22:00-02:00"``.

        Raises:
            ValueError: The text is not a window, or one of no length.
        """
        return cls(text)

    def checked(self) -> Self:
        """This window, which was checked when it was made."""
        return self

    def seconds(self) -> Iterable[tuple[int, int]]:
        """From when to when it is open, in seconds of the week from Monday; the end may be in the next week."""
        for day in self.days:
            ends = self.ends if self.ends > self.begins else self.ends + 24 * 60
            yield day * DAY + self.begins * MINUTE, day * DAY + ends * MINUTE

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Window({self.text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Window):
            return NotImplemented
        return (self.days, self.begins, self.ends) == (other.days, other.begins, other.ends)

    def __hash__(self) -> int:
        return hash((self.days, self.begins, self.ends))


class Start:
    """The local time before which nothing begins.

    Attributes:
        moment: It, without a zone: the zone is said elsewhere.
    """

    __slots__ = ("moment",)

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"2026-12-01 09:00"``, or ``"2026-12-01"`` for the beginning of that day.

        Raises:
            ValueError: The text is not a date and a time.
        """
        if _START.fullmatch(text.strip()) is None:
            raise ValueError(text)
        try:
            return cls(datetime.fromisoformat(text.strip()))
        except ValueError:
            raise ValueError(text) from None

    def checked(self) -> Self:
        """This start, which may have been made in code.

        Raises:
            ValueError: Its moment has a zone of its own.
        """
        if self.moment.tzinfo is not None:
            raise ValueError(repr(self))
        return self

    def __str__(self) -> str:
        return self.moment.isoformat(sep=" ", timespec="seconds" if self.moment.second else "minutes")

    def __repr__(self) -> str:
        return f"Start({self.moment!r})"

    def __eq__(self, other: object) -> bool:
        return self.moment == other.moment if isinstance(other, Start) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.moment)


class Zone:
    """How far the clock on the wall is from UTC, at any moment.

    Args:
        name: The IANA name; None for the machine's own zone.

    Raises:
        ValueError: There is no such zone, or this machine does not know it.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self._zone = None if name is None else _zone(name)

    def offset(self, moment: float) -> int:
        """Seconds that local time is ahead of UTC."""
        if self._zone is None:
            return time.localtime(moment).tm_gmtoff
        found = datetime.fromtimestamp(moment // 1, UTC).astimezone(self._zone).utcoffset()
        return 0 if found is None else found // timedelta(seconds=1)

    def moment(self, local: datetime) -> float:
        """When it is this local time: the first time where it comes twice, later by the jump where it never comes."""
        if self._zone is None:
            return local.replace(fold=0).astimezone().timestamp()
        return local.replace(tzinfo=self._zone, fold=0).timestamp()

    def local(self, moment: float) -> datetime:
        """The local time at a moment."""
        return datetime.fromtimestamp(moment, self._zone).replace(tzinfo=None)

    def next_change(self, after: float, until: float) -> float | None:
        """The first moment in ``after`` < moment ≤ ``until`` at which the local clock is put forward or back."""
        before = self.offset(after)
        low = after
        while low < until:
            high = min(low + _STEP, until)
            if self.offset(high) != before:
                return self._between(low, high, before)
            low = high
        return None

    def _between(self, low: float, high: float, before: int) -> float:
        """The whole second at which the offset ceases to be ``before``."""
        first, last = int(low // 1), int(-(-high // 1))
        while last - first > 1:
            middle = (first + last) // 2
            if self.offset(middle) == before:
                first = middle
            else:
                last = middle
        return float(last)


class Schedule:
    """When a run may begin messages.

    Args:
        windows: The windows; none of them for at any time.
        zone: Whose local time they and the start are in.
        start: Not before this; None for at once.
    """

    def __init__(self, windows: Sequence[Window], zone: Zone, start: Start | None = None) -> None:
        self.zone = zone
        self.windows = tuple(windows)
        self.starts = None if start is None else zone.moment(start.moment)
        self._open = _merged(windows)

    def is_open(self, moment: float) -> bool:
        """Whether a message may be begun at this moment."""
        if self.starts is not None and moment < self.starts:
            return False
        return not self._open or self._in_window(self._second(moment))

    def opens(self, moment: float) -> float | None:
        """From when a message may be begun: the moment itself where it may now; None where it never may."""
        if self.starts is not None:
            moment = max(moment, self.starts)
        if not self._open or self._in_window(self._second(moment)):
            return moment
        return self._turn(moment)

    def closes(self, moment: float) -> float | None:
        """Until when messages may be begun, where they may at this moment; None for without an end."""
        return self._turn(moment) if self._open else None

    def _turn(self, moment: float) -> float | None:
        """When the windows' state changes next."""
        now, state = moment, self._in_window(self._second(moment))
        while now < moment + _HORIZON:
            second = self._second(now)
            then = now + min(_ahead(second, bounds[state]) for bounds in self._open)
            change = self.zone.next_change(now, then)
            if change is None:
                return then
            if self._in_window(self._second(change)) != state:
                return change
            now = change
        return None

    def _second(self, moment: float) -> float:
        """The second of the local week."""
        return (moment + self.zone.offset(moment) + _EPOCH_IN_WEEK) % WEEK

    def _in_window(self, second: float) -> bool:
        return any(begin <= second < end or second < end - WEEK for begin, end in self._open)

    def __repr__(self) -> str:
        return f"<Schedule {', '.join(map(str, self.windows))}, zone {self.zone.name}, from {self.starts}>"


def _ahead(second: float, bound: int) -> float:
    """Seconds from one second of the week to the next time that another one comes; above 0."""
    return (bound - second) % WEEK or WEEK


def _merged(windows: Sequence[Window]) -> tuple[tuple[int, int], ...]:
    """The windows as parts of a week that neither overlap nor touch; none at all for the whole of it."""
    if not windows:
        return ()
    open_minutes = bytearray(WEEK // MINUTE)
    for window in windows:
        for begin, end in window.seconds():
            for minute in range(begin // MINUTE, end // MINUTE):
                open_minutes[minute % len(open_minutes)] = 1
    if all(open_minutes):
        return ()
    parts: list[tuple[int, int]] = []
    week = len(open_minutes)
    first = open_minutes.index(0)  # from a minute that is closed on, no part goes around the week's end
    opened: int | None = None
    for minute in range(first, first + week + 1):
        is_open = bool(open_minutes[minute % week])
        if is_open and opened is None:
            opened = minute
        elif not is_open and opened is not None:
            earlier = week if opened >= week else 0
            parts.append(((opened - earlier) * MINUTE, (minute - earlier) * MINUTE))
            opened = None
    return tuple(parts)


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in _PLACES or (last and last not in _PLACES):
            raise ValueError(text)
        begin = _PLACES[first]
        days |= {(begin + step) % 7 for step in range((_PLACES[last or first] - begin) % 7 + 1)}
    return frozenset(days)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > 24 * 60:
        raise ValueError(text)
    return total


@lru_cache(maxsize=16)
def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - it looks for the zones' files, and most campaigns name no zone

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # no such file, or a name that is a folder's or leads out of the folder
        raise ValueError(name) from None
