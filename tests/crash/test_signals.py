"""Signals: the first one lets what is under way come to its end, the second one names what it leaves."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from batchsend import Batch, Stage, load
from tests.crash.house import House, address, house
from tests.tools.faulty import ACCEPT, Action, Then, drop

if TYPE_CHECKING:
    from pathlib import Path


def send_to(built: House, *numbers: signal.Signals) -> None:
    """Send signals to the run."""
    assert built.launched.running is not None
    for number in numbers:
        os.kill(built.launched.running, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_after_one_signal_nothing_is_in_doubt_and_the_rest_can_be_resumed(
    tmp_path: Path, number: signal.Signals
) -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(50):
            send_to(built, number)
        return ACCEPT

    async with house(tmp_path, records=500, decide=decide) as built:
        assert await built.send() == 128 + number
        assert f"to go on: batchsend resume {built.results}" in built.output
        assert set(built.last.values()) == {"accepted"}
        assert sum(built.taken.values()) == len(built.last) < 500
        assert not built.journal.exists()
        assert await built.resume() == 0
        assert built.taken == {address(record): 1 for record in range(1, 501)}
        assert len(built.last) == 500


async def test_two_signals_end_it_at_once_and_what_was_in_flight_is_named(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is not Stage.CONTENT or recipient != address(50):
            return ACCEPT
        send_to(built, signal.SIGINT, signal.SIGTERM)
        return drop(Then.SILENCE, succeeds=True)

    async with house(tmp_path, records=500, decide=decide, delivery="max_connections = 1") as built:
        assert await built.send() in (130, 143)  # which of the two is taken first is the system's choice
        assert built.last[50] == "in_doubt"
        assert set(built.last) == set(range(1, 51))
        assert not built.journal.exists()
        assert await built.resume() == 1
        assert built.taken == {address(record): 1 for record in range(1, 501)}
        assert [record for record, status in built.last.items() if status != "accepted"] == [50]


async def test_a_batch_that_is_stopped_before_it_begins_sends_nothing_and_can_be_resumed(tmp_path: Path) -> None:
    async with house(tmp_path, records=5) as built:
        batch = Batch(load(built.campaign))
        batch.stop("not today")
        summary = await batch.run()
        assert (summary.stopped, summary.records) == ("not today", 0)
        assert not built.taken
        assert not built.journal.exists()
        assert await built.resume() == 0
        assert built.taken == {address(record): 1 for record in range(1, 6)}
