"""Many callers of a sender that keeps a log, who cancel, raise and are closed upon: the log has what each was told."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest
from msgspec.structs import replace

from batchsend import Outcome, Sender, Stage
from tests.delivery.callers import Callers
from tests.delivery.harness import GUARD, CountingServer, message, options, server
from tests.tools.faulty import ACCEPT, Action, drop, refuse

if TYPE_CHECKING:
    from pathlib import Path

SESSIONS = 4
"""Senders at least, one after the other. How many messages each has until it is closed depends on the time that things
take: there are more, up to `MOST_SESSIONS`, until there were enough messages, with all outcomes among them."""

MOST_SESSIONS = 40
OUTCOMES = {"accepted", "rejected", "deferred", "in_doubt"}


def outcomes(log: Path) -> dict[str, list[str]]:
    """The outcomes of each recipient, in the log's order."""
    found: dict[str, list[str]] = {}
    for line in log.read_bytes().splitlines():
        if "record" in (said := json.loads(line)):
            assert said["key"] == said["recipient"], "an outcome stands with the message that it is of"
            found.setdefault(said["recipient"], []).append(said["status"])
    return found


def kinds(written: dict[str, list[str]]) -> set[str]:
    """The outcomes that there were."""
    return {status for statuses in written.values() for status in statuses}


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "durability"), [(0, "process"), (1, "process"), (5, "power")])
async def test_what_each_caller_was_told_is_in_the_log_and_is_gone_on_with(
    tmp_path: Path, seed: int, durability: str
) -> None:
    """One sender after the other opens the log; the last one is asked for all messages that there were."""
    choose = random.Random(f"server {seed}")

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        drawn = choose.random()
        if stage is Stage.RCPT and drawn < 0.05:
            return refuse(550)
        if stage is Stage.CONTENT and drawn < 0.06:
            return refuse(451) if drawn < 0.03 else drop(succeeds=drawn < 0.045)
        return ACCEPT

    log, callers = tmp_path / "mail.jsonl", Callers(seed, keyed=True)
    delivery = replace(options(max_connections=3, max_messages=15), durability=durability)
    async with CountingServer(decide) as peer:
        with anyio.fail_after(4 * GUARD):
            written: dict[str, list[str]] = {}
            for number in range(MOST_SESSIONS):
                sender = Sender(server(peer), delivery=delivery, unclaimed=callers.unclaimed, results=log)
                await callers.session(number, sender)
                written = outcomes(log)
                if number + 1 >= SESSIONS and len(written) > 100 and kinds(written) >= OUTCOMES:
                    break
            assert callers.told == written, "each outcome is written down once, and told once"
            async with Sender(server(peer), delivery=delivery, results=log) as sender:
                given = [message(recipient) for recipient in sorted(callers.asked)]
                last = await sender.send_all(given, key=lambda one: str(one["To"]))
    assert [one.recipient for one in last] == sorted(callers.asked), "none is lost"
    taken = Counter(one.recipients[0] for one in peer.accepted)
    possible = {
        Outcome.ACCEPTED: {1},
        Outcome.REJECTED: {0},
        Outcome.DEFERRED: {0},
        Outcome.IN_DOUBT: {0, 1},
    }
    for result in last:
        assert result.recipient is not None
        assert taken[result.recipient] in possible[result.status], "and none is sent twice"
        if written.get(result.recipient, ["deferred"]) != ["deferred"]:
            assert [result.status] == written[result.recipient], "what was decided stands"
    assert kinds(written) >= OUTCOMES
    assert len(written) > 100
