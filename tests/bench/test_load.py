"""Sending for some time: what is due, what latency counts, when it ends, and what changes over the time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend import Delivery, RunError, Server
from batchsend.bench.curves import of_load
from batchsend.bench.findings import load_sentences, load_to_json
from batchsend.bench.gathering import GatheringConnector
from batchsend.bench.grid import GridPoint
from batchsend.bench.load import LATENCIES, Load, Slice
from batchsend.bench.messages import BenchRecipients, Messages
from batchsend.sink import Sink, SinkOptions, parse_rule
from tests.delivery.harness import GUARD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TO = "b@example.com"


@asynccontextmanager
async def sending(
    rule: str = "", *, connections: int = 1, rate: float | None = None, seconds: float = 0.3
) -> AsyncIterator[tuple[Load, Sink]]:
    """What sends to a sink, which does with the recipient what the rule says."""
    rules = (parse_rule(*rule.split(" ", 1)),) if rule else ()
    async with Sink(SinkOptions(rules=rules)) as sink:
        delivery = Delivery()
        connector = GatheringConnector(Server(host=sink.hosts[0], port=sink.port, tls="none"), delivery.timeouts)
        yield Load(GridPoint(connections, 1), connector, delivery, rate=rate, seconds=seconds), sink


async def run(load: Load) -> None:
    with anyio.fail_after(GUARD):
        await load.run(Messages(sender="a@example.com", recipients=BenchRecipients(TO), size=700))


def a_slice(start: float, p50: float, accepted: int, memory: int) -> Slice:
    return Slice(float(start), 1.0, accepted, dict.fromkeys(LATENCIES, p50), 0, memory)


async def test_the_time_ends_it_before_the_next_message_is_due() -> None:
    """At one message an hour, the second one would be an hour later."""
    async with sending(rate=1 / 3600) as (load, sink):
        await run(load)
        assert sink.counts.messages == 2, "one has opened the session"
    assert (load.due, load.waiting, load.kept_up) == (1, 0, True)


async def test_the_time_ends_it_while_there_is_no_room_for_more() -> None:
    async with sending(f"delay {TO}=100ms") as (load, sink):
        await run(load)
        assert sink.counts.messages == load.accepted < 20, "there was room for more than sixty"


async def test_what_is_under_way_at_the_end_is_not_behind() -> None:
    """A server that takes 0.2 s for a message has a fifth of a second's messages under way, whatever the pace."""
    async with sending(f"delay {TO}=200ms", connections=20, rate=20, seconds=1.0) as (load, _):
        await run(load)
    assert (load.due, load.waiting, load.kept_up) == (20, 0, True)


async def test_those_that_were_not_sent_count_with_the_time_that_they_had_waited() -> None:
    """They have waited the longest: without them, latency would be that of those who were first."""
    async with sending(f"delay {TO}=400ms", rate=500, seconds=1.0) as (load, _):
        await run(load)
    assert load.due == load.latency.get_total_count() == 500
    assert 490 < load.waiting < 500
    # Those due at the beginning had waited for a second, those due at the end for nothing.
    median = load.percentile(50)
    assert median is not None
    assert 0.4 < median < 0.6
    said = "500 messages a second were more than it took with 1 connection at depth 1"
    assert any(f"{said}: {load.waiting} of 500 were not sent" in sentence for sentence in load_sentences(load))


async def test_where_nothing_is_accepted_it_ends_and_says_why() -> None:
    async with sending(f"defer {TO}=450 4.7.1 Greylisted", connections=3, rate=100, seconds=GUARD) as (load, sink):
        await run(load)
        assert sink.counts.messages == 0
    assert load.stopped is not None
    assert load.stopped.startswith("nothing was accepted: 450 4.7.1 Greylisted")
    assert load.outcomes.total() == 3
    assert any(
        "replies: 450 4.7.1: 3; the first one that was not accepted: 450 4.7.1" in one for one in load_sentences(load)
    )


async def test_a_limit_that_is_met_by_the_first_message_is_told_as_well() -> None:
    said = "550 5.4.5 Daily user sending limit exceeded"
    async with sending(f"reject {TO}={said}") as (load, _):
        with pytest.raises(RunError):
            await run(load)
    nothing, limit = load_sentences(load)
    assert nothing == "no message was answered"
    assert said in limit


async def test_a_server_that_is_gone_is_why_it_ended() -> None:
    async with sending() as (load, _):
        pass
    with pytest.raises(RunError) as error:
        await run(load)
    assert load.stopped == error.value.message
    assert [*load_sentences(load)] == ["no message was answered"]


async def test_a_server_that_takes_nothing_any_more_at_the_end_is_said() -> None:
    async with sending(seconds=0.3) as (load, _):
        await run(load)
        said = [*load_sentences(load)]
        load.slices = [a_slice(0, 0.1, 10, 5), a_slice(0.3, 0.0, 0, 5)]
        assert load.silent_since is None, "what is awaited after the time is no silence"
        load.slices = [a_slice(start, 0.1 * (start < 0.1), int(start < 0.1), 5) for start in (0.0, 0.1, 0.2)]
    assert not load.complete
    assert not any("any more" in sentence for sentence in said)
    assert "nothing was accepted any more after 0.1 s" in [*load_sentences(load)]


async def test_drift_is_of_what_was_answered_within_the_time() -> None:
    """A time without an answer has no latency, and what was awaited after the end is no pace."""
    async with sending(seconds=9.0) as (load, _):
        load.slices = [a_slice(0, 9.0, 1, 9), *(a_slice(start, 0.1, 10, 100) for start in (1, 2))]
        load.slices += [a_slice(start, 0.1, 10, 100) for start in (3, 4, 5, 6)]
        load.slices += [a_slice(7, 0.0, 0, 300), a_slice(8, 0.2, 5, 300), a_slice(9, 5.0, 0, 999)]
        told = load.drift()
        assert told == {"latency": 2.0, "rate": 0.25, "grown": 200, "seconds": 6.0, "memory": 120_000}
        load.slices[8] = a_slice(8, 0.0, 0, 0)
        told = load.drift()
    assert told is not None
    assert (told["latency"], told["rate"], told["memory"]) == (None, 0.0, None)


async def test_a_time_without_an_answer_is_nothing_in_the_curve_of_the_pace_and_a_gap_in_that_of_latency() -> None:
    async with sending(seconds=4.0) as (load, sink):
        load.slices = [a_slice(start, 0.1 if start != 2 else 0.0, 10 if start != 2 else 0, 5) for start in range(5)]
        server = Server(host=sink.hosts[0], port=sink.port, tls="none")
        pace, latency, _ = of_load(load_to_json(load, server, 700))
    assert len(pace.curves[0].dots) == 5
    assert len(pace.curves[0].stretches) == 4
    assert pace.curves[0].dots[2].y == 100, "at the bottom"
    assert len(latency.curves[0].dots) == 4
    assert len(latency.curves[0].stretches) == 2
