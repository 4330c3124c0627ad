"""Keeps a run to its hours: nothing is begun outside its windows or before its start.

What was begun is finished. A wait that is longer than ``max_wait`` ends the run, which says when to go on; so does no
wait while somebody has paused it, or while nothing is left to begin.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from batchsend.delivery.consequences import RESUME, WAIT
from batchsend.errors import RunError
from batchsend.figures import local_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.campaign.windows import Schedule
    from batchsend.delivery.pool import Pool
    from batchsend.run.steering import Steering

_MARGIN: Final = 0.25
"""Seconds before the end of a window from which nothing is begun, so that a busy loop is not late for it."""

_LONGEST_LOOK: Final = 30.0
"""Seconds after which the clock is looked at again: it may have been set, and the machine may have slept."""

_SHORTEST_LOOK: Final = 0.5
"""Seconds after which it is looked again whether there is something to begin."""


class Hours:
    """Opens and closes a run as its schedule says.

    Args:
        schedule: When messages may be begun.
        longest: Seconds to wait at most; infinity for ever.
        steering: What holds the run back, and lets it go on.
        notice: Called with what the user should know.
    """

    def __init__(self, schedule: Schedule, longest: float, steering: Steering, notice: Callable[[str], None]) -> None:
        self._schedule = schedule
        self._longest = longest
        self._steering = steering
        self._notice = notice
        self._told: float | None = None

    def look(self, now: float) -> float:
        """Open or close as the clock says; the seconds until that may be otherwise."""
        schedule = self._schedule
        moment = now + _MARGIN if schedule.is_open(now) else now
        opens = schedule.opens(moment)
        if opens is None:
            self._steering.close_until(math.inf, "its windows never open")
            return _LONGEST_LOOK
        if opens <= moment:
            if self._steering.closed_until is not None:
                self._steering.close_until(None)
            closes = schedule.closes(now)
            return _LONGEST_LOOK if closes is None else closes - _MARGIN - now
        if self._steering.closed_until != opens:
            self._steering.close_until(opens, f"nothing is begun until {self.when(opens)}: {self._why(opens)}")
        return opens - now

    async def run(self, pool: Pool) -> None:
        """Keep a pool to the hours until cancelled, or until it is to wait for too long."""
        steering = self._steering
        while True:
            now = time.time()
            seconds = self.look(now)
            if steering.closed_until is not None and not steering.paused and pool.statistics().backlog:
                if steering.closed_until - now > self._longest:
                    pool.stop(self._too_long(steering.closed_until))
                    return
                if self._told != steering.closed_until:
                    self._told = steering.closed_until
                    self._notice(steering.why_held or "")
            elif steering.closed_until is not None:
                seconds = min(seconds, _SHORTEST_LOOK)
            await steering.changed.wait(min(max(seconds, 0.001), _LONGEST_LOOK))

    def when(self, moment: float) -> str:
        """A moment by the clock that the hours go by."""
        zone = self._schedule.zone
        return local_time(zone.local(moment), zone.name)

    def _why(self, opens: float) -> str:
        return "that is its start" if opens == self._schedule.starts else "it is outside its windows"

    def _too_long(self, opens: float) -> RunError:
        if opens == math.inf:
            return RunError("its windows never open", remedy="change window in [delivery]: the clock skips that hour")
        back = self.when(opens)
        return RunError(
            f"nothing may be begun until {back}: {self._why(opens)}",
            remedy=f"go on at {back} or later: {RESUME}; to let it wait by itself: {WAIT}",
        )
