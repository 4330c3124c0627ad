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
from tests.tools.virtual import virtual_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    yield from virtual_loop()


@pytest.fixture
def commands(
    loop: VirtualLoop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    return Commands(loop, tmp_path, capsys, monkeypatch)


def come_back(loop: VirtualLoop, ended: Ended) -> None:
    """Let the time go by that the run has said."""
    loop.advance(DAY if "Daily" in ended.errors else HOUR)


@pytest.mark.parametrize("connections", [1, 5])
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
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
