"""Where a relay's quota ends that nobody has told us of: found by its refusals, and not run into again.

Most relays count how many messages they take in an hour or a day, and say so only by refusing one too many. The rules:

1.  A quota that is not known ends at a round number more often than not. At each of `ROUND_NUMBERS` what is under way
    is awaited, and the next message goes alone: where the quota ends there, one offer is refused and not one of each
    session. It costs about two round trips each.
2.  A relay that speaks of a quota has one of as many messages as it has taken since the last time, in the hour or the
    day that its reply names. What was under way then and is accepted counts, too.
3.  From then on the messages of any such time are counted. When there have been as many, the next one goes alone, to
    see whether more are taken: somebody else may have used a part of the quota the first time. If more are, it was not
    the quota, and is forgotten.
4.  A number that the relay has refused twice is believed: when it is reached, the relay rests until its quota has room
    again, and nothing is refused. After `BELIEVED` times one message alone tries it again: quotas grow.
5.  What a relay says to the first message after a sleep is about that sleep, and not about the number of messages.
6.  A relay that has a quota may have a second one that nobody has told us of: a day's beside an hour's. Where the one
    that was found lets a message go every `UNHURRIED` seconds or more, on the average, there is no hurry: each message
    goes alone, and of any further quota one offer is refused and not one of each session.
7.  Of an hour's and a day's quota the hour's is kept: the day's costs one refused offer a day.

Time is given, not asked for.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Final

from batchsend.campaign import Quota
from batchsend.delivery.quota import RollingWindow

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUND_NUMBERS: Final = (100, 500, 1_000, 2_000, 10_000)
"""The numbers of messages at which a quota that is not known is looked for."""

BELIEVED: Final = 5
"""How often the end of a quota that was refused twice is believed before it is tried again."""

UNHURRIED: Final = 3.0
"""Seconds for each message of a quota, from which on messages go alone: they all have gone long before it is over."""

_MORE: Final = 50
"""A fiftieth more than the quota has to be taken before it is given up: the server counts a moment earlier than we."""


class Foresight:
    """Says when a relay's quota will be used up.

    Args:
        under_way: The most messages that may be on their way to the relay at once.
        now: The time.

    Attributes:
        quota: The quota that was found, or None.
        believed: How many more times its end is believed without being tried.
        careful_from: So many accepted messages, from which on `wait` is to be asked for each message.
        settling: A refusal has just spoken of the quota, and what was under way may still be accepted.
    """

    def __init__(self, under_way: int, now: float) -> None:
        self.quota: Quota | None = None
        self.believed = 0
        self.settling = False
        self._margin = under_way
        self._began = 0  # how many were accepted when the quota began to be counted, and when that was
        self._since = now
        self._window: RollingWindow | None = None
        self._noted = 0  # accepted messages that the window has
        self._passed = 0  # a round number at which nobody stops any more
        self.careful_from = sys.maxsize
        self._look_ahead(0, now)

    def set_margin(self, under_way: int) -> None:
        """From now on so many messages may be on their way at once."""
        self.careful_from += self._margin - under_way
        self._margin = under_way

    def sample(self, accepted: int, now: float) -> None:
        """Count what was accepted up to now; to be called every half a second or so.

        Args:
            accepted: How many messages the relay has accepted in this run.
            now: The time.
        """
        if self._window is not None and not self.settling:
            for _ in range(accepted - self._noted):
                self._window.note(now)
            self._noted = accepted
            self._look_ahead(accepted, now)

    def wait(self, accepted: int, under_way: int, now: float) -> float:
        """Seconds until one more message may be sent; 0.0 for now.

        Args:
            accepted: How many messages the relay has accepted in this run.
            under_way: How many are on their way to it.
            now: The time.

        Returns:
            For ever (``inf``) where that depends on the answers to what is under way.
        """
        self.sample(accepted, now)
        quota, window = self.quota, self._window
        if quota is None or window is None:
            self._look_ahead(accepted, now)
            left = self.careful_from + self._margin - accepted
            return math.inf if under_way >= max(left, 1) else 0.0
        used = window.used(now)
        if under_way and self._alone:
            return math.inf
        if used + under_way < quota.messages:
            return 0.0
        if used > quota.messages + quota.messages // _MORE:
            self._forget(accepted, now)
            return 0.0
        if under_way:
            return math.inf
        return window.wait(now, quota.messages - 1) if self.believed else 0.0

    def room(self, accepted: int, under_way: int, now: float) -> int:
        """How many messages may be sent now, one at least: for who has asked `wait`, and sends several at once."""
        if self.quota is None or self._window is None:
            return max(1, self.careful_from + self._margin - accepted - under_way)
        return 1 if self._alone else max(1, self.quota.messages - self._window.used(now) - under_way)

    def lost(self, accepted: int, now: float) -> None:
        """A session was lost, perhaps with the message that went alone: the others need not lose it one by one."""
        if self.quota is None and accepted >= self.careful_from:
            self._passed = self.careful_from + self._margin - self._began
            self._look_ahead(accepted, now)

    def rests(self) -> None:
        """The end of the quota was believed once more."""
        self.believed -= 1

    def refused(self, accepted: int, now: float, seconds: float, *, first: bool) -> None:
        """The relay has said that a quota is used up; the next one begins to be counted when it is tried again.

        Args:
            accepted: How many messages it has accepted in this run.
            now: The time.
            seconds: How long the quota counts: an hour or a day.
            first: It said so to the first message after a sleep.
        """
        self.sample(accepted, now)
        shorter = self.quota is None or seconds <= self.quota.seconds
        if not first and shorter:
            count = accepted - self._began if self._window is None else self._window.used(now)
            again = self.quota is not None and (count, seconds) == (self.quota.messages, self.quota.seconds)
            if self._window is None and now - self._since > seconds:
                count = 0  # more than one hour or day: how many of them were in the last one is not known
            self.quota = Quota(count, seconds) if count else None
            self.believed = BELIEVED if again else 0
            self.settling = True
        self._begin(accepted, now)

    def woken(self, accepted: int, now: float) -> None:
        """The relay's sleep is over, and nothing is under way any more."""
        if self.settling:
            self.settling = False
            late = accepted - self._began
            if late and self.quota is not None:
                self.quota = Quota(self.quota.messages + late, self.quota.seconds)
                self.believed = 0
        self._begin(accepted, now)

    def remember(self, quota: Quota, believed: int, sent: Iterable[tuple[float, int]], now: float) -> None:
        """An earlier run has found a quota.

        Args:
            quota: It.
            believed: As `believed` was at its end.
            sent: When that run and those before it had messages accepted, and how many at once. Where these use the
                quota up and the user goes on all the same, the relay is asked, and they count no more.
            now: The time.
        """
        self.quota, self.believed = quota, believed
        self._begin(0, now)
        window = RollingWindow(quota.seconds, quota.messages)
        for when, many in sent:
            for _ in range(many):
                window.note(min(when, now))
        if window.used(now) < quota.messages:
            self._window = window
        self._look_ahead(0, now)

    @property
    def learned(self) -> dict[str, float]:
        """What was found, as numbers for the log: `found_before` makes it a quota again."""
        if self.quota is None:
            return {}
        return {"quota": self.quota.messages, "quota_hours": self.quota.seconds / 3600, "quota_sure": self.believed}

    @property
    def _alone(self) -> bool:
        """Whether each message goes alone, as there is no hurry."""
        return self.quota is not None and self.quota.seconds >= UNHURRIED * self.quota.messages

    def _begin(self, accepted: int, now: float) -> None:
        self._began = self._noted = accepted
        self._since = now
        self._passed = 0
        quota = self.quota
        self._window = None if quota is None else RollingWindow(quota.seconds, quota.messages)
        self._look_ahead(accepted, now)

    def _forget(self, accepted: int, now: float) -> None:
        self.quota = self._window = None
        self.believed = 0
        self._look_ahead(accepted, now)

    def _look_ahead(self, accepted: int, now: float) -> None:
        """See from how many accepted messages on each of them counts."""
        if self.quota is not None and self._window is not None:
            left = self.quota.messages - self._window.used(now) - self._margin
            self.careful_from = accepted if self._alone else accepted + left
            return
        count = accepted - self._began
        following = next((number for number in ROUND_NUMBERS if number >= count and number > self._passed), None)
        self.careful_from = sys.maxsize if following is None else self._began + following - self._margin

    def __repr__(self) -> str:
        return f"<Foresight {self.quota or 'of nothing'}, careful from {self.careful_from}>"
