"""When a campaign will be done: from what is left, the rate, the quotas and the windows, in steps of virtual time.

Sending is taken to be as fast as the rate, the quotas and the windows let it, one message after the other. A quota is a
rolling one, as relays count them: what was sent leaves it a period later. It is counted in portions, a fiftieth of the
smallest quota at most, so an end that a quota decides is right to about a fiftieth of its period.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from batchsend.campaign.order import places
from batchsend.campaign.windows import DAY, Schedule, Zone
from batchsend.figures import about

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from batchsend.campaign.model import Campaign, Server
    from batchsend.campaign.values import Quota

_PORTIONS: Final = 50
_MOST_STEPS: Final = 20_000
"""Steps after which it is not known: a tenth of a second's work, and years of a campaign."""


class Allowance(NamedTuple):
    """What may be sent in any period of a length: a quota as the forecast knows it.

    Attributes:
        messages: So many, at least 1.
        seconds: In so many seconds.
    """

    messages: int
    seconds: float


class _Rolling:
    """One quota, and what counts towards it.

    Args:
        allowance: The quota.
        sent: What was sent already: when, and how many at once, in this order.
    """

    def __init__(self, allowance: Allowance, sent: Iterable[tuple[float, int]]) -> None:
        self._most, self._seconds = allowance
        self._sent = deque(sent)
        self._used = sum(count for _, count in self._sent)

    def room(self, now: float) -> int:
        """How many more may be sent now."""
        while self._sent and self._sent[0][0] + self._seconds <= now:
            self._used -= self._sent.popleft()[1]
        return self._most - self._used

    def frees(self) -> float:
        """When what counts longest leaves it; only where there is something."""
        return self._sent[0][0] + self._seconds

    def add(self, moment: float, count: int) -> None:
        """So many were sent, the last of them at this moment."""
        self._sent.append((moment, count))
        self._used += count


class _FirstDays:
    """What may be sent on each of the first days, and what was sent on the one that it is.

    Args:
        most: How many on each.
        began: When the first of them began; None for with the first message.
        sent: What was sent already.
    """

    def __init__(self, most: Sequence[int], began: float | None, sent: Sequence[tuple[float, int]]) -> None:
        self._most = most
        self._began = began
        self._day = 0
        self._used = 0
        self._sent = sent

    def room(self, now: float) -> int:
        """How many more may be sent on this day."""
        if not self._most:
            return sys.maxsize
        if self._began is None:
            self._began = now
        day = int((now - self._began) // DAY)
        if day >= len(self._most):
            return sys.maxsize
        if day != self._day or self._sent:
            since = self._began + day * DAY
            self._used = sum(count for moment, count in self._sent if moment >= since)
            self._day, self._sent = day, ()
        return self._most[day] - self._used

    def next_day(self, now: float) -> float:
        """When the next day begins."""
        began = now if self._began is None else self._began
        return began + (int((now - began) // DAY) + 1) * DAY

    def add(self, count: int) -> None:
        """So many were sent on this day."""
        self._used += count


def finished_at(
    now: float,
    left: int,
    *,
    rate: float | None,
    quotas: Sequence[Allowance] = (),
    schedule: Schedule | None = None,
    sent: Iterable[tuple[float, int]] = (),
    first_days: Sequence[int] = (),
    began: float | None = None,
) -> float | None:
    """When the last message will have been sent, in seconds since the epoch; None where that cannot be told.

    Args:
        now: From when on messages are sent, if they may be.
        left: How many there are; 0 are done now.
        rate: Messages a second at most, above 0; None for as many as there are at once.
        quotas: What may be sent in any hour, day or other period.
        schedule: When messages may be begun; None for at any time.
        sent: What counts towards the quotas already: when, and how many at once, in the order of time.
        first_days: How many may be sent on each of the first days, beside the quotas: a warm-up.
        began: When the first of those days began; None for with the first message.
    """
    sent = list(sent)
    warm_up = _FirstDays(first_days, began, sent)
    rolling = [_Rolling(quota, sent) for quota in quotas]
    smallest = min((*(quota.messages for quota in quotas), *first_days), default=None)
    portion = left if smallest is None else max(1, smallest // _PORTIONS)
    for _ in range(_MOST_STEPS):
        if left <= 0:
            return now
        closes: float | None = None
        if schedule is not None:
            opens = schedule.opens(now)
            if opens is None:
                return None
            now, closes = opens, schedule.closes(opens)
        room = min((quota.room(now) for quota in rolling), default=left)
        if room <= 0:
            now = max(quota.frees() for quota in rolling if quota.room(now) <= 0)
            continue
        if (more := warm_up.room(now)) <= 0:
            now = warm_up.next_day(now)
            continue
        count = min(room, more, portion, left)
        if rate is not None and closes is not None:
            count = min(count, max(1, math.ceil((closes - now) * rate)))
        now += count / rate if rate is not None else 0.0
        left -= count
        warm_up.add(count)
        for quota in rolling:
            quota.add(now, count)
    return None


class Plan(NamedTuple):
    """What a campaign itself says about how fast it is sent.

    Attributes:
        rate: Messages a second at most; None for as many as the relays take.
        quotas: What may be sent in any hour or day, through all relays together.
        first_days: What may be sent on each of the first days: the warm-ups of all relays together.
        schedule: When messages may be begun; None for at any time.
        said: All of it in words, such as ``500/h, Mon-Fri 08:00-18:00 (Europe/Berlin)``; ``""`` for no limit at all.
    """

    rate: float | None
    quotas: tuple[Allowance, ...]
    first_days: tuple[int, ...]
    schedule: Schedule | None
    said: str

    @classmethod
    def of(cls, campaign: Campaign) -> Self:
        """What a campaign says; of several relays as if each had work at any time, so that it is rather too early."""
        delivery, servers = campaign.delivery, campaign.servers
        schedule = delivery.schedule
        rates = [server.rate.per_second for server in servers if server.rate is not None]
        most = [] if delivery.rate is None else [delivery.rate.per_second]
        if len(rates) == len(servers):
            most.append(sum(rates))
        by_relay = [tuple(server.quota) for server in servers]
        quotas = (*(Allowance(quota.messages, quota.seconds) for quota in delivery.quota), *_together(by_relay))
        return cls(min(most, default=None), quotas, _first_days(servers), schedule, _said(campaign, schedule))

    @property
    def is_bounded(self) -> bool:
        """Whether it says more than how fast."""
        return self.schedule is not None or bool(self.quotas or self.first_days)

    def foretells(
        self,
        now: float,
        left: int,
        *,
        pace: float | None = None,
        sent: Iterable[tuple[float, int]] = (),
        began: float | None = None,
    ) -> str | None:
        """When so many messages will have been sent, in words; None where nothing tells how fast that goes.

        Args:
            now: Seconds since the epoch.
            left: How many there are.
            pace: Messages a second as it has gone so far, or None.
            sent: What counts towards the quotas already, as for `finished_at`.
            began: When the warm-up began, in seconds since the epoch; None: it has not.
        """
        end = self.ends(now, left, rates=(self.rate, pace), sent=sent, began=began)
        if end is None:
            return None
        zone = Zone(None) if self.schedule is None else self.schedule.zone
        return f"{f'at {self.said}: ' if self.said else ''}{about(zone.local(end), zone.local(now))}"

    def ends(
        self,
        now: float,
        left: int,
        *,
        rates: Iterable[float | None],
        sent: Iterable[tuple[float, int]] = (),
        began: float | None = None,
    ) -> float | None:
        """When so many messages will have been sent, in seconds since the epoch; None where that cannot be told.

        Args:
            now: Seconds since the epoch.
            left: How many there are.
            rates: Messages a second, the least of which counts.
            sent: What counts towards the quotas already, as for `finished_at`.
            began: When the first day of the warm-up began, or None.
        """
        rate = min((rate for rate in rates if rate), default=None)
        if rate is None and not (self.quotas or self.first_days):
            return None
        return finished_at(
            now,
            left,
            rate=rate,
            quotas=self.quotas,
            schedule=self.schedule,
            sent=sent,
            first_days=self.first_days,
            began=began,
        )


def _said(campaign: Campaign, schedule: Schedule | None) -> str:
    """What limits a campaign, in words."""
    delivery = campaign.delivery
    parts = [] if delivery.rate is None else [str(delivery.rate)]
    parts += map(str, delivery.quota)
    for server, place in zip(campaign.servers, places(campaign.servers), strict=True):
        limits = [str(limit) for limit in (server.rate, *server.quota) if limit is not None]
        if server.warm_up:
            limits.append(f"warm-up {', '.join(map(str, server.warm_up))}")
        if limits:
            by = f" by {place.name}" if len(campaign.servers) > 1 else ""
            parts.append(f"{', '.join(limits)}{by}")
    if schedule is not None:
        zone = "" if schedule.zone.name is None else f" ({schedule.zone.name})"
        if delivery.window:
            parts.append(f"{', '.join(map(str, delivery.window))}{zone}")
        if delivery.start is not None:
            parts.append(f"from {delivery.start}{zone}")
    return ", ".join(parts)


def _together(by_relay: Sequence[Sequence[Quota]]) -> Iterator[Allowance]:
    """What relays with quotas take together in each period that one of them counts; nothing where one has no quota."""
    if not all(by_relay):
        return
    for seconds in sorted({quota.seconds for quotas in by_relay for quota in quotas}):
        yield Allowance(sum(_most(quotas, seconds) for quotas in by_relay), seconds)


def _most(quotas: Sequence[Quota], seconds: float) -> int:
    """What a relay takes at most in a period."""
    return min(quota.messages * math.ceil(seconds / quota.seconds) for quota in quotas)


def _first_days(servers: Sequence[Server]) -> tuple[int, ...]:
    """What relays that are all warmed up take together on each of the first days."""
    if not all(server.warm_up for server in servers):
        return ()
    days: list[int] = []
    for day in range(max(len(server.warm_up) for server in servers)):
        total = 0
        for server in servers:
            quotas = list(server.quota)
            if day < len(server.warm_up):
                quotas.append(list(server.warm_up)[day])
            if not quotas:
                return tuple(days)  # one of them is warm, and takes any number
            total += _most(quotas, DAY)
        days.append(total)
    return tuple(days)
