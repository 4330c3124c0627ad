"""Quotas and warm-up: how many messages may be sent in any hour or day, counted exactly and in bounded memory.

The rules:

1.  In no window of a quota's length are more messages taken than it allows. What counts is what was accepted, and what
    may have been: a message that is in doubt, and, until its answer is there, one that is under way.
2.  A message counts from the moment its answer was there, which is later than the server's own moment: a server that
    counts in the same way never has more than we have.
3.  Up to ``EXACT`` messages of a quota are remembered one by one. Of a greater quota, those that were accepted within
    1/4096 of its length are remembered together and forgotten together, when the last of them is due: the bound is as
    exact, and a message may go 21 s of a day later than it could.
4.  Warm-up is a quota by the day that changes: on the n-th day after the first message the n-th of the list, and after
    the last one none. The quotas hold beside it.

Time is given, not asked for, in seconds since the epoch: the log has the same times, and a run that goes on with
another one counts what that one has sent.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from typing import TYPE_CHECKING, Final

from batchsend.campaign import Quota, places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batchsend.campaign import Server

EXACT: Final = 4096
"""Messages of a quota that are remembered one by one, and stretches of a window where there are more."""

DAY: Final = 86400.0

# A clock of seconds since the epoch is exact to a quarter of a microsecond, and the log has milliseconds.
_MARGIN: Final = 0.002


class RollingWindow:
    """Counts the messages of the last so many seconds.

    Args:
        seconds: The length of the window.
        messages: The most messages that it will be asked about: up to `EXACT` they are told apart.
    """

    def __init__(self, seconds: float, messages: int) -> None:
        self.seconds = seconds
        self.count = 0
        self._together = 0.0 if messages <= EXACT else seconds / EXACT
        self._first: deque[float] = deque()  # of each stretch: its first and last message, and how many there were
        self._last: deque[float] = deque()
        self._many: deque[int] = deque()

    def note(self, when: float) -> None:
        """A message was accepted; no earlier than the one before it."""
        if self._last and when <= max(self._first[-1] + self._together, self._last[-1]):
            self._last[-1] = max(when, self._last[-1])
            self._many[-1] += 1
        else:
            self._forget(when)
            self._first.append(when)
            self._last.append(when)
            self._many.append(1)
        self.count += 1

    def stretches(self) -> list[tuple[float, int]]:
        """When, and how many at once, in the order of time."""
        return list(zip(self._last, self._many, strict=True))

    def used(self, now: float) -> int:
        """How many messages there were in the window that ends now."""
        self._forget(now)
        return self.count

    def wait(self, now: float, most: int) -> float:
        """Seconds until there are at most so many messages in the window; for ever where ``most`` is below 0."""
        left = self.used(now)
        if left <= most:
            return 0.0
        for last, many in zip(self._last, self._many, strict=True):
            left -= many
            if left <= most:
                return last + self.seconds + _MARGIN - now
        return math.inf

    def _forget(self, now: float) -> None:
        gone = now - self.seconds - _MARGIN
        while self._last and self._last[0] <= gone:
            self._first.popleft()
            self._last.popleft()
            self.count -= self._many.popleft()

    def __len__(self) -> int:
        """How many stretches are remembered."""
        return len(self._last)

    def __repr__(self) -> str:
        return f"<RollingWindow {self.count} in {self.seconds:g} s>"


class Meter:
    """Says how many messages quotas and warm-up leave, and counts those that were sent.

    Args:
        quotas: Each holds.
        warm_up: The quotas of the first days, counted from the first message.

    Attributes:
        under_way: Messages that were taken and have no answer yet.
    """

    def __init__(self, quotas: Sequence[Quota], warm_up: Sequence[Quota] = ()) -> None:
        self.under_way = 0
        self._quotas = [(quota, RollingWindow(quota.seconds, quota.messages)) for quota in quotas]
        self._warm_up = list(warm_up)
        self._warming = RollingWindow(DAY, max((quota.messages for quota in warm_up), default=0))
        self._first: float | None = None

    @classmethod
    def of(cls, quotas: Sequence[Quota], warm_up: Sequence[Quota] = ()) -> Meter | None:
        """A meter, or None where nothing is to be counted."""
        return cls(quotas, warm_up) if quotas or warm_up else None

    def note(self, when: float, *, begins: bool = True) -> None:
        """A message was accepted, or may have been.

        Args:
            when: When, in seconds since the epoch; no earlier than the one before it.
            begins: The warm-up's first day begins with it, if it is the first.
        """
        if self._first is None and begins:
            self._first = when
        for _, window in self._quotas:
            window.note(when)
        if self._warm_up:
            self._warming.note(when)

    @property
    def first(self) -> float | None:
        """When its first message was sent; None where none was."""
        return self._first

    def sent(self) -> list[tuple[float, int]]:
        """What counts: when, and how many at once, in the order of time."""
        windows = [*(window for _, window in self._quotas), self._warming]
        return max(windows, key=lambda window: (window.seconds, len(window))).stretches()

    def take(self) -> None:
        """A message is on its way: until it is answered it counts as if it were accepted."""
        self.under_way += 1

    def answered(self, now: float, *, counts: bool) -> None:
        """The message was decided, or goes back; ``counts`` where it was accepted or may have been."""
        self.under_way -= 1
        if counts:
            self.note(now)

    def room(self, now: float) -> int:
        """How many messages may be taken now."""
        room = sys.maxsize
        for quota, window in self._limits(now):
            room = min(room, quota.messages - window.used(now) - self.under_way)
        return max(0, room)

    def wait(self, now: float) -> float:
        """Seconds until there may be room for one; for ever where only an answer can make some."""
        wait = 0.0
        for quota, window in self._limits(now):
            until = window.wait(now, quota.messages - self.under_way - 1)
            if window is self._warming:
                until = min(until, self._next_day(now))
            wait = max(wait, until)
        return wait

    def used_up(self, now: float) -> Quota | None:
        """The quota that leaves nothing for the longest time, with nothing under way; None where there is room."""
        longest, found = 0.0, None
        for quota, window in self._limits(now):
            wait = window.wait(now, quota.messages - 1)
            if wait > longest:
                longest, found = wait, quota
        return found

    def figures(self, now: float) -> list[tuple[str, int, int]]:
        """Of each quota that holds now: how it is written, how many messages it counts, and how many it allows."""
        return [(str(quota), window.used(now), quota.messages) for quota, window in self._limits(now)]

    def _limits(self, now: float) -> list[tuple[Quota, RollingWindow]]:
        day = self._day(now)
        if day >= len(self._warm_up):
            return self._quotas
        return [*self._quotas, (self._warm_up[day], self._warming)]

    def _day(self, now: float) -> int:
        return 0 if self._first is None else max(0, int((now - self._first) // DAY))

    def _next_day(self, now: float) -> float:
        if self._first is None:
            return math.inf
        return self._first + (self._day(now) + 1) * DAY - now

    def __repr__(self) -> str:
        return f"<Meter {self._quotas!r}, {self.under_way} under way>"


class Meters:
    """The meters of a run: one of the whole campaign, and one of each relay, where there is something to count.

    Args:
        servers: The relays.
        quotas: The quotas of the whole campaign.

    Attributes:
        campaign: That of the whole campaign, or None.
        relays: Those of the relays, by their names.
    """

    def __init__(self, servers: Sequence[Server], quotas: Sequence[Quota]) -> None:
        self.campaign = Meter.of(quotas)
        self.relays: dict[str, Meter] = {}
        self._names: dict[str, str] = {}
        self._watched: dict[str, RollingWindow] = {}
        for server, place in zip(servers, places(servers), strict=True):
            self._names[f"{server.host}:{server.port}"] = place.name
            meter = Meter.of(tuple(server.quota), tuple(server.warm_up))
            if meter is not None:
                self.relays[place.name] = meter

    def __bool__(self) -> bool:
        """Whether anything is to be counted."""
        return self.campaign is not None or bool(self.relays)

    def watch(self, learned: Mapping[str, float]) -> bool:
        """Keep what `note` says of the relays that were found to have a quota that no campaign file names.

        Args:
            learned: What an earlier run has learned of them.

        Returns:
            Whether there is anything that `note` is needed for.
        """
        names = set(self._names.values())
        for name in names:
            if (found := found_before(learned, name if len(names) > 1 else None)) is not None:
                self._watched[name] = RollingWindow(found[0].seconds, found[0].messages)
        return bool(self) or bool(self._watched)

    def watched(self, name: str) -> list[tuple[float, int]]:
        """When messages were sent through a relay that is watched, and how many at once, in the order of time."""
        window = self._watched.get(name)
        return [] if window is None else window.stretches()

    def sent(self) -> list[tuple[float, int]]:
        """What counts for the whole campaign or, where it has no quota, for all relays: when, and how many at once."""
        if self.campaign is not None:
            return self.campaign.sent()
        return sorted(stretch for meter in self.relays.values() for stretch in meter.sent())

    @property
    def began(self) -> float | None:
        """When the first message was sent through a relay that counts; None where none was."""
        moments = [meter.first for meter in self.relays.values() if meter.first is not None]
        return min(moments, default=None)

    def note(self, relay: str | None, when: float, now: float) -> None:
        """An earlier run has sent a message.

        Args:
            relay: Through which relay, by its name, or its host and port; None where it is not known: then it counts
                for each of them, because it may have been any. No warm-up begins with it: were it another relay's,
                each day's quota would hold before its day.
            when: When; what is dated later than now counts as of now.
            now: The time.
        """
        when = min(when, now)
        if self.campaign is not None:
            self.campaign.note(when)
        if relay is None:
            for meter in self.relays.values():
                meter.note(when, begins=False)
            for window in self._watched.values():
                window.note(when)
            return
        for counts in (self.relays, self._watched):
            if (found := counts.get(relay) or counts.get(self._names.get(relay, ""))) is not None:
                found.note(when)


def found_before(learned: Mapping[str, float], name: str | None) -> tuple[Quota, int] | None:
    """The quota that an earlier run has found a relay to have, and how often its end is believed; None for none.

    Args:
        learned: What that run has learned.
        name: The relay's name; None where it is the only one.
    """
    prefix = "" if name is None else f"{name}."
    messages = int(learned.get(f"{prefix}quota", 0))
    if messages < 1:
        return None
    hours = learned.get(f"{prefix}quota_hours", 1.0)
    return Quota(messages, hours * 3600), int(learned.get(f"{prefix}quota_sure", 0))
