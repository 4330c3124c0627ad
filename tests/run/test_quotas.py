"""A long list through a relay that takes so many an hour and so many a day, resumed for days; the relay's own clock.

The loop's clock is the relay's and the run's: a day takes no longer than what happens in it.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.cli.commandline import outcomes, statuses
from tests.run.limited import Commands, LimitedRelay, recipients
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from tests.cli.commandline import Ended
    from tests.tools.virtual import VirtualLoop

HOUR, DAY = 3600.0, 86400.0
PER_HOUR, PER_DAY = 100, 500
REFUSED_A_DAY = 5
"""Refused offers a day, at most: one at the end of each hour's and of the day's quota."""


class RationedRelay(LimitedRelay):
    """Takes 100 messages in any hour and 500 in any day.

    Attributes:
        refused_at: When it has refused an offer.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(lambda *_: False, "")
        self.refused_at: list[float] = []
        self._loop = loop
        self._began = loop.time()
        self._taken: deque[float] = deque(maxlen=PER_DAY)

    def day(self, moment: float) -> int:
        """The number of the day in which a moment is."""
        return int((moment - self._began) // DAY)

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if stage is not Stage.CONTENT:
            return ACCEPT
        now = self._loop.time()
        if self._full(PER_DAY, DAY, now):
            return self._refuse(now, "550 5.4.5 Daily user sending limit exceeded")
        if self._full(PER_HOUR, HOUR, now):
            return self._refuse(now, "450 4.7.1 Max emails per hour exceeded for this account")
        self._taken.append(now)
        return ACCEPT

    def _full(self, most: int, seconds: float, now: float) -> bool:
        return len(self._taken) >= most and now - self._taken[-most] < seconds

    def _refuse(self, now: float, says: str) -> Action:
        self.refused_at.append(now)
        code, _, text = says.partition(" ")
        return refuse(int(code), text)


def come_back(loop: VirtualLoop, ended: Ended) -> None:
    """Let the time go by that the run has said."""
    loop.advance(DAY if "Daily" in ended.errors else HOUR)


@pytest.mark.parametrize("connections", [pytest.param(1, marks=pytest.mark.slow), 5])
@pytest.mark.parametrize("count", [1_000, pytest.param(4_000, marks=pytest.mark.slow)])
def test_a_list_arrives_whole_over_days_of_resumes(
    count: int, connections: int, commands: Commands, loop: VirtualLoop
) -> None:
    with commands.serving(RationedRelay(loop)) as relay:
        ended = commands.send(commands.campaign(relay, count, f"max_connections = {connections}"))
        runs = 1
        while ended.code == 3 and runs <= count // PER_HOUR + 5:
            come_back(loop, ended)
            ended = commands.resume()
            runs += 1
        assert ended.code == 0, ended
        assert relay.taken == dict.fromkeys(recipients(count), 1)
        assert set(statuses(commands.log).values()) == {"accepted"}
        assert {line["attempt"] for line in outcomes(commands.log)} == {1}
        refused = Counter(relay.day(moment) for moment in relay.refused_at)
        refused[0] -= connections - 1  # when the quota is not known yet, each session has a message under way
        assert max(refused.values()) <= REFUSED_A_DAY


SLEEPS = "450 4.7.1 Message limit exceeded, try again in 2 minutes"


def limited_for(loop: VirtualLoop, seconds: float) -> LimitedRelay:
    """A relay that takes ten messages, and the others so many seconds later."""
    until = loop.time() + seconds

    def refuses(connection: int, transaction: int, asked: Stage) -> bool:
        return asked is Stage.CONTENT and len(relay.accepted) >= 10 and loop.time() < until

    relay = LimitedRelay(refuses, SLEEPS)
    return relay


def test_a_quota_longer_than_max_wait_is_waited_for_where_that_is_asked_for(
    commands: Commands, loop: VirtualLoop
) -> None:
    with commands.serving(limited_for(loop, 120)) as relay:
        began = loop.jumped
        ended = commands.send(commands.campaign(relay, 40, 'max_wait = "1m"'), "--wait")
        assert ended.code == 0, ended
        assert "sending limit until" in ended.errors
        assert relay.taken == dict.fromkeys(recipients(40), 1)
        assert 110 < loop.jumped - began < 150


def test_without_a_word_it_is_not_and_the_way_on_says_so(commands: Commands, loop: VirtualLoop) -> None:
    with commands.serving(limited_for(loop, 120)) as relay:
        ended = commands.send(commands.campaign(relay, 40, 'max_wait = "1m"'))
        assert ended.code == 3, ended
        assert "to let it wait by itself: --wait" in ended.errors
        assert commands.resume("--wait").code == 0
        assert relay.taken == dict.fromkeys(recipients(40), 1)
