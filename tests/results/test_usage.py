"""When messages were accepted, and by which relay: what quotas and warm-up count of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from batchsend.outcome import Outcome
from batchsend.results.ledger import Ledger
from batchsend.results.line import change_line, outcome_line, run_line
from batchsend.results.usage import read_usage
from tests.results.account import RUN, result

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.results.run import Run

ONE_RELAY = replace(RUN, server="smtp.example.com:587")
TWO_RELAYS = replace(ONE_RELAY, servers=("first", "second"))
OF_VERSION_0_1 = (
    b'{"record":9,"recipient":"a@example.com","status":"accepted","attempt":1,"time":"2026-11-22T07:00:01Z"}\n'
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def noted(log: Path, *lines: bytes) -> list[str | None]:
    """The relays of the messages that are counted of a log with these lines."""
    log.write_bytes(b"".join(lines))
    found: list[str | None] = []
    read_usage(log, log.stat().st_size, lambda relay, _: found.append(relay))
    return found


def test_times_are_read_back_to_the_millisecond(log: Path) -> None:
    times = [1_795_330_801.987, 1_795_330_801.998, 1_795_330_802.009, 1_795_330_800.5]
    with Ledger(log, RUN, capacity=2) as account:
        for record, time in enumerate(times, 1):
            account.append(replace(result(record), time=time))
        account.end(None, {})
    found: list[float] = []
    read_usage(log, log.stat().st_size, lambda _, time: found.append(time))
    assert all(0.0 <= after - before < 0.0021 for before, after in zip(times, found, strict=True))


@pytest.mark.parametrize(
    ("run", "server", "relay"),
    [
        (ONE_RELAY, None, "smtp.example.com:587"),
        (RUN, None, None),
        (TWO_RELAYS, "second", "second"),
        (TWO_RELAYS, None, None),
    ],
)
def test_a_message_is_counted_for_the_relay_that_took_it(
    log: Path, run: Run, server: str | None, relay: str | None
) -> None:
    """A change of the run names no relays, and leaves it at those that its first line has named."""
    change = change_line(RUN.id, changed=1_795_330_800.0, change={"rate": None}, by="key")
    accepted = outcome_line(replace(result(1), server=server))
    assert noted(log, run_line(run), change, accepted) == [relay]


@pytest.mark.parametrize(
    ("statuses", "messages"),
    [
        ([(Outcome.REJECTED, 1)], 0),
        ([(Outcome.DEFERRED, 1), (Outcome.ACCEPTED, 2)], 1),
        ([(Outcome.IN_DOUBT, 1)], 1),
        ([(Outcome.ACCEPTED, 1), (Outcome.IN_DOUBT, 1)], 1),
        ([(Outcome.IN_DOUBT, 1), (Outcome.IN_DOUBT, 2)], 2),
        ([(Outcome.ACCEPTED, 1), (Outcome.IN_DOUBT, 2)], 2),
        ([(Outcome.IN_DOUBT, 1), (Outcome.ACCEPTED, 2)], 2),
    ],
)
def test_each_message_that_was_taken_or_may_have_been_counts_once(
    log: Path, statuses: list[tuple[Outcome, int]], messages: int
) -> None:
    lines = [outcome_line(result(1, status, attempt=attempt)) for status, attempt in statuses]
    assert len(noted(log, run_line(ONE_RELAY), *lines)) == messages


def test_a_line_of_another_version_counts_too(log: Path) -> None:
    """Version 0.1 wrote no more than these fields; a line without a time cannot be counted for any day."""
    without_time = OF_VERSION_0_1.replace(b',"time":"2026-11-22T07:00:01Z"', b"")
    log.write_bytes(run_line(ONE_RELAY) + OF_VERSION_0_1 + without_time)
    found: list[float] = []
    read_usage(log, log.stat().st_size, lambda _, time: found.append(time))
    assert [round(time) for time in found] == [1_795_330_801]
