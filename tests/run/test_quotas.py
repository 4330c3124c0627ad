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
"""Refused offers a day, at most, the first day's too, of quotas that are round numbers."""


class RationedRelay(LimitedRelay):
    """Takes so many messages in any hour and in any day.

    Args:
        loop: Its clock.
        per_hour: How many in an hour.
        per_day: How many in a day.

    Attributes:
        refused_at: When it has refused an offer.
    """

    def __init__(self, loop: VirtualLoop, per_hour: int = PER_HOUR, per_day: int = PER_DAY) -> None:
        super().__init__(lambda *_: False, "")
        self.refused_at: list[float] = []
        self._loop = loop
        self._began = loop.time()
        self._per_hour, self._per_day = per_hour, per_day
        self._taken: deque[float] = deque(maxlen=per_day)

    def forget(self) -> None:
        """Its hour and its day are over."""
        self._taken.clear()

    def day(self, moment: float) -> int:
        """The number of the day in which a moment is."""
        return int((moment - self._began) // DAY)

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del connection, transaction, recipient
        if stage is not Stage.CONTENT:
            return ACCEPT
        now = self._loop.time()
        if self._full(self._per_day, DAY, now):
            return self._refuse(now, "550 5.4.5 Daily user sending limit exceeded")
        if self._full(self._per_hour, HOUR, now):
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


def check_everybody_has_it_once(relay: RationedRelay, count: int, commands: Commands) -> Counter[int]:
    """Check the server's own account.

    Returns:
        How many offers it refused, by the day's number.
    """
    assert relay.taken == dict.fromkeys(recipients(count), 1)
    assert set(statuses(commands.log).values()) == {"accepted"}
    assert {line["attempt"] for line in outcomes(commands.log)} == {1}
    return Counter(relay.day(moment) for moment in relay.refused_at)


def check_few_were_refused(refused: Counter[int]) -> None:
    assert max(refused.values()) <= REFUSED_A_DAY, refused


@pytest.mark.parametrize(
    ("count", "connections"),
    [pytest.param(1_000, 1, marks=pytest.mark.slow), (1_000, 5), pytest.param(10_000, 5, marks=pytest.mark.slow)],
)
def test_a_list_arrives_whole_over_days_of_resumes(
    count: int, connections: int, commands: Commands, loop: VirtualLoop
) -> None:
    with commands.serving(RationedRelay(loop)) as relay:
        refused = send_over_days(relay, count, connections, commands, loop)
    check_few_were_refused(refused)


def send_over_days(
    relay: RationedRelay, count: int, connections: int, commands: Commands, loop: VirtualLoop
) -> Counter[int]:
    """Send, and resume each time when the run has said, until everybody has it; how many were refused, by the day."""
    ended = commands.send(commands.campaign(relay, count, f"max_connections = {connections}"))
    runs = 1
    while ended.code == 3 and runs <= count // PER_HOUR + count // PER_DAY + 20:
        come_back(loop, ended)
        ended = commands.resume()
        runs += 1
    assert ended.code == 0, ended
    return check_everybody_has_it_once(relay, count, commands)


@pytest.mark.slow
@pytest.mark.parametrize(("per_hour", "per_day"), [(37, 211), (113, 700), (97, 480), (73, 342)])
def test_quotas_that_are_not_round_cost_each_session_one_offer_once_and_then_one_each(
    per_hour: int, per_day: int, commands: Commands, loop: VirtualLoop
) -> None:
    """Nobody can know an odd number beforehand. What is found then spares the day's quota, which nobody knew either."""
    with commands.serving(RationedRelay(loop, per_hour, per_day)) as relay:
        refused = send_over_days(relay, 2 * per_day + 50, 5, commands, loop)
    assert refused.pop(0) <= 5 + 2, "of each session one, one to be sure, and the day's"
    assert max(refused.values()) <= 2, refused


@pytest.mark.slow
def test_it_arrives_whole_where_one_run_waits_for_hours(commands: Commands, loop: VirtualLoop) -> None:
    with commands.serving(RationedRelay(loop)) as relay:
        ended = commands.send(commands.campaign(relay, 350, 'max_wait = "forever"'))
        assert ended.code == 0, ended
        assert "the quota is 100/h, as its refusals have shown" in ended.errors
        assert len(relay.refused_at) == 2, "to find it, and to be sure of it"
        check_few_were_refused(check_everybody_has_it_once(relay, 350, commands))


def test_who_comes_back_at_once_is_let_in_as_soon_as_the_relay_takes_mail_again(
    commands: Commands, loop: VirtualLoop
) -> None:
    """The relay's hour is over before ours is: the log says that its quota is used up, and one message asks."""
    with commands.serving(RationedRelay(loop)) as relay:
        ended = commands.send(commands.campaign(relay, 350, ""))
        for _ in range(4):
            if ended.code == 3:
                relay.forget()
                ended = commands.resume()
        assert ended.code == 0, ended
        check_few_were_refused(check_everybody_has_it_once(relay, 350, commands))


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
