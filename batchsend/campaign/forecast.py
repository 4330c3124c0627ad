"""When a campaign will be done: from what is left, the rate, the quotas and the windows, in steps of virtual time.

Sending is taken to be as fast as the rate, the quotas and the windows let it, one message after the other. A quota is a
rolling one, as relays count them: what was sent leaves it a period later. It is counted in portions, a fiftieth of the
smallest quota at most, so an end that a quota decides is right to about a fiftieth of its period.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batchsend.campaign.windows import Schedule

_PORTIONS: Final = 50
_MOST_STEPS: Final = 100_000
"""Steps after which it is not known: some seconds' work, and years of a campaign."""


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


def finished_at(
    now: float,
    left: int,
    *,
    rate: float | None,
    quotas: Sequence[Allowance] = (),
    schedule: Schedule | None = None,
    sent: Iterable[tuple[float, int]] = (),
) -> float | None:
    """When the last message will have been sent, in seconds since the epoch; None where that cannot be told.

    Args:
        now: From when on messages are sent, if they may be.
        left: How many there are; 0 are done now.
        rate: Messages a second at most, above 0; None for as many as there are at once.
        quotas: What may be sent in any hour, day or other period.
        schedule: When messages may be begun; None for at any time.
        sent: What counts towards the quotas already: when, and how many at once, in the order of time.
    """
    sent = list(sent)
    rolling = [_Rolling(quota, sent) for quota in quotas]
    portion = max(1, min((quota.messages for quota in quotas), default=left) // _PORTIONS) if quotas else left
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
        count = min(room, portion, left)
        if rate is not None and closes is not None:
            count = min(count, max(1, math.ceil((closes - now) * rate)))
        now += count / rate if rate is not None else 0.0
        left -= count
        for quota in rolling:
            quota.add(now, count)
    return None
