"""A server with limits of every kind gets the whole campaign, and a rate that was asked for is kept.

At full size, 2,000 messages and ten seconds, where ``BATCHSEND_LONG`` is set.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import pytest

from batchsend import Delivery, Outcome, Stage
from batchsend.campaign.values import Rate
from tests.delivery.harness import GUARD, CountingServer, address, deliver, submissions
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from tests.tools.wire import Wire

pytestmark = pytest.mark.slow

LONG = "BATCHSEND_LONG" in os.environ
MESSAGES = 2000 if LONG else 300
SECONDS = 10 if LONG else 2

SESSIONS, PER_SESSION, PER_SECOND = 3, 10, 50


class LimitedServer(CountingServer):
    """Serves three sessions at once, ten messages in each, and fifty a second; it says so when it is asked for more.

    Attributes:
        refused: How often it has said what.
    """

    def __init__(self) -> None:
        super().__init__(self._decide)
        self.refused: Counter[str] = Counter()
        self._served = 0
        self._taken: deque[float] = deque(maxlen=PER_SECOND)

    async def play(self, wire: Wire) -> None:
        self._served += 1
        try:
            await super().play(wire)
        finally:
            self._served -= 1

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.GREETING and self._served > SESSIONS:
            return self._refuse("sessions", 421, "4.3.2 Concurrent connections limit exceeded")
        if stage is Stage.MAIL and transaction > PER_SESSION:
            return self._refuse("messages", 421, "4.7.0 Maximum message count per session reached")
        if stage is Stage.CONTENT:
            now = time.monotonic()
            if len(self._taken) == PER_SECOND and now - self._taken[0] < 1.0:
                return self._refuse("rate", 454, "Throttling failure: Maximum sending rate exceeded.")
            self._taken.append(now)
        return ACCEPT

    def _refuse(self, limit: str, code: int, text: str) -> Action:
        self.refused[limit] += 1
        return refuse(code, text)


async def test_a_server_with_limits_of_every_kind_gets_everything_once_without_help() -> None:
    async with LimitedServer() as server:
        account = await deliver(server, submissions(MESSAGES), Delivery(), guard=10 * MESSAGES / PER_SECOND)
    account.check(server, MESSAGES)
    assert Counter(account.outcomes.values()) == {Outcome.ACCEPTED: MESSAGES}
    assert Counter(message.recipients[0] for message in server.accepted) == {
        address(record): 1 for record in range(1, MESSAGES + 1)
    }
    # It was learned, not hit again and again: a few sessions too many, a few refusals for the pace in each second.
    assert server.refused["sessions"] < 20
    assert server.refused["messages"] <= 2 * SESSIONS
    assert server.refused["rate"] < MESSAGES / 4


@pytest.mark.parametrize(("rate", "connections"), [(200, 1), (200, 20)])
async def test_a_rate_is_kept_by_all_sessions_together(rate: int, connections: int) -> None:
    """Within 2 % over ten seconds, by the server's clock, in every window of that length; over two, never much more."""
    taken: list[float] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT:
            taken.append(time.monotonic())
        return ACCEPT

    count = rate * SECONDS + rate // 2
    async with CountingServer(decide) as server:
        delivery = Delivery(max_connections=connections, rate=Rate(rate, 1))
        account = await deliver(server, submissions(count), delivery, guard=GUARD + SECONDS)
    account.check(server, count)
    # 2 % of ten seconds; of two, also what may have waited for a tenth of one, because the server is in this process.
    allowed = rate * 10 // 50 + (0 if LONG else rate // 10)
    for first, begin in enumerate(taken[: count - rate * SECONDS]):
        in_window = sum(begin <= moment < begin + SECONDS for moment in taken[first:])
        assert in_window <= rate * SECONDS + allowed
        assert not LONG or in_window >= rate * SECONDS - allowed
