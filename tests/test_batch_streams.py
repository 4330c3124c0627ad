"""A batch in a program: its records from any iterable, its results as they come, and what happens on the way out."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections import Counter
from contextlib import aclosing
from datetime import date
from decimal import Decimal
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from batchsend import Batch, Choice, Outcome, Resumption, RunError, Stage, UsageError, load
from tests.cli.commandline import environment
from tests.delivery.harness import GUARD, CountingServer, serve, well_behaved
from tests.test_batch import campaign, log
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from batchsend import DeliveryResult


def rows(count: int) -> Iterator[dict[str, Any]]:
    """So many records, given once."""
    for number in range(1, count + 1):
        yield {"email": f"r{number}@example.com", "name": f"N{number}"}


async def rows_of_a_database(count: int) -> AsyncIterator[dict[str, Any]]:
    for row in rows(count):
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize("kind", ["generator", "list", "asynchronous"])
async def test_records_come_from_any_iterable(tmp_path: Path, kind: str) -> None:
    given: Any = {"generator": rows, "list": lambda n: list(rows(n)), "asynchronous": rows_of_a_database}[kind](1500)
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server, max_connections=2)
        (tmp_path / "recipients.csv").unlink()
        summary = await Batch(made, recipients=given).run()
    assert +summary.counts == {Outcome.ACCEPTED: 1500}
    assert len({accepted.recipients for accepted in server.accepted}) == 1500
    assert b"Subject: For N7\r\n" in b"".join(accepted.content for accepted in server.accepted)
    _, outcomes = log(tmp_path)
    assert {line["record"]: line["recipient"] for line in outcomes}[1500] == "r1500@example.com"


async def test_values_are_what_json_has(tmp_path: Path) -> None:
    row = {"email": "a@example.com", "name": [date(2026, 3, 1), Decimal("1.50"), None, {"deep": True}]}
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        await Batch(campaign(tmp_path, server), recipients=[row]).run()
    kept = json.loads((tmp_path / "results.jsonl.recipients.jsonl").read_text())
    assert kept == {"email": "a@example.com", "name": ["2026-03-01", "1.50", None, {"deep": True}]}


async def test_a_value_that_json_has_no_room_for_is_no_matter_for_the_other_records(tmp_path: Path) -> None:
    """Integers are exact at any size; half a character is its own record's error."""
    given: list[dict[str, Any]] = [
        {"email": "a@example.com", "name": 2**70, "since": date(2026, 3, 1), "deep": [{"n": -(2**64)}, 2.5, None]},
        {"email": "b@example.com", "name": "x\ud800y"},
        {"email": "c@example.com", "name": "\U0001f600", "n": 2**65},
        {"email": "d@example.com", "name": "D"},
    ]
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        summary = await Batch(campaign(tmp_path, server), recipients=given).run()
    assert +summary.counts == {Outcome.ACCEPTED: 3, Outcome.INVALID: 1}
    assert f"Subject: For {2**70}\r\n".encode() in b"".join(accepted.content for accepted in server.accepted)
    kept = [json.loads(line) for line in (tmp_path / "results.jsonl.recipients.jsonl").read_text().splitlines()]
    assert kept == [{**given[0], "since": "2026-03-01"}, *given[1:]]
    _, outcomes = log(tmp_path)
    [invalid] = [line for line in outcomes if line["status"] == "invalid"]
    assert invalid["record"] == 2
    assert "half a character in 'name'" in invalid["reason"]


async def test_a_run_of_a_programs_records_is_gone_on_with(tmp_path: Path) -> None:
    """They were kept: `resume` needs the program no more; and deferred ones are tried again in the run itself."""
    refused = {"r5@example.com", "r6@example.com"}

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.RCPT and recipient in refused:
            refused.discard(recipient)
            return refuse(451)
        return ACCEPT

    async with serve(decide, "pipelined") as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server, max_attempts=2, retry_after="10ms")
        summary = await Batch(made, limit=8, recipients=rows(10)).run()
        assert +summary.counts == {Outcome.ACCEPTED: 8}
        with Resumption(made.results, Choice()) as past:
            kept = tmp_path / "results.jsonl.recipients.jsonl"
            assert past.account.run.recipients.path == str(kept)
            with pytest.raises(UsageError, match="recipients are those of the run"):
                Batch(made, resumption=past, recipients=rows(1))
        resumed = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batchsend", "resume", str(made.results)),
            env=environment(),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await resumed.communicate()
    assert resumed.returncode == 0, said
    assert len({accepted.recipients for accepted in server.accepted}) == len(server.accepted) == 10


@pytest.mark.parametrize("wrong", ["a text", {"email": "a@example.com"}, 7])
async def test_what_is_no_iterable_of_records_is_refused_where_it_is_given(tmp_path: Path, wrong: Any) -> None:
    async with CountingServer(well_behaved) as server:
        with pytest.raises(TypeError, match="recipients must be an iterable of mappings, not"):
            Batch(campaign(tmp_path, server), recipients=wrong)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
async def test_nothing_is_left_of_a_run_that_was_prepared_and_never_begun(tmp_path: Path) -> None:
    """Neither its recipients nor the lock on its log. A process that was forked meanwhile removes nothing."""
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        before = names(tmp_path)
        batch = Batch(made, recipients=list(rows(3)))
        await batch.prepare()
        prepared = names(tmp_path)
        assert len(prepared) == len(before) + 2
        if (child := os.fork()) == 0:
            try:
                del batch
                gc.collect()
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        assert names(tmp_path) == prepared
        del batch
        gc.collect()
        assert names(tmp_path) == before
        begun = Batch(made, recipients=list(rows(3)))
        await begun.prepare()
        assert (await begun.run()).complete
        del begun
        gc.collect()
        assert names(tmp_path) == [*before, "results.jsonl", "results.jsonl.recipients.jsonl"]


async def test_nothing_is_sent_and_nothing_left_where_the_iterable_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[Any]:
        yield from rows(2000)
        raise LookupError("the database is gone")

    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        before = names(tmp_path)
        with pytest.raises(LookupError, match="the database is gone"):
            await Batch(made, recipients=failing()).run()
        circular: dict[str, Any] = {"email": "a@example.com"}
        circular["again"] = circular
        for row, said in (
            (7, "recipient 2 must be a Mapping, not int"),
            ({0: 2}, "recipient 2 cannot be written as JSON: Dict key must be str"),
            (circular, "recipient 2 cannot be written as JSON"),
        ):
            with pytest.raises(TypeError, match=said):
                await Batch(made, recipients=[{"email": "a@example.com"}, row]).run()  # type: ignore[list-item]
        assert server.accepted == []
        assert names(tmp_path) == before
        await Batch(made, recipients=rows(2)).run()
        with pytest.raises(UsageError, match="already holds the results of a run"):
            await Batch(made, recipients=rows(2)).run()
    assert len(server.accepted) == 2


async def test_what_the_iterable_raises_is_what_its_caller_hears(tmp_path: Path) -> None:
    """Its own error, though the file that is written could have had one of its type; no cancellation that is none."""

    def lost() -> Iterator[Any]:
        yield from rows(3)
        raise ConnectionResetError("the database is gone")

    async def late() -> AsyncIterator[Any]:
        yield {"email": "a@example.com"}
        raise TimeoutError

    async def cancelled() -> AsyncIterator[Any]:
        yield {"email": "a@example.com"}
        raise asyncio.CancelledError

    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        before = names(tmp_path)
        with pytest.raises(ConnectionResetError, match="the database is gone"):
            await Batch(made, recipients=lost()).run()
        with pytest.raises(TimeoutError):
            await Batch(made, recipients=late()).run()
        with pytest.raises(RunError, match="the iterable of recipients was cancelled"):
            await Batch(made, recipients=cancelled()).run()
        assert names(tmp_path) == before
    assert server.accepted == []


async def refused(work: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        await work


async def test_a_batch_is_used_by_one_at_a_time_and_run_once(tmp_path: Path) -> None:
    """Of two runs at once, each would send to what it got of the records."""
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server), recipients=rows_of_a_database(50))
        running = asyncio.create_task(batch.run())
        other = batch.results()
        await asyncio.sleep(0)
        for more in (batch.run(), batch.rehearse(), batch.prepare(), anext(other)):
            await refused(more, "the batch is in use")
        with pytest.raises(UsageError, match="the batch is in use"):
            batch.results()
        summary = await running
        assert +summary.counts == {Outcome.ACCEPTED: 50}
        assert summary is batch.summary
        for more in (batch.run(), batch.rehearse(), batch.prepare()):
            await refused(more, "the batch was run before")
        with pytest.raises(UsageError, match="the batch was run before") as caught:
            batch.results()
        assert "resumption= to go on with this run" in str(caught.value.remedy)
    assert len({accepted.recipients for accepted in server.accepted}) == len(server.accepted) == 50


async def test_records_that_were_taken_in_part_are_not_sent_to(tmp_path: Path) -> None:
    """What a generator has left after an error is not whom the program means."""

    def failing() -> Iterator[dict[str, Any]]:
        yield from rows(3)
        raise LookupError("the database is gone")

    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        batch = Batch(made, recipients=failing())
        with pytest.raises(LookupError):
            await batch.run()
        for more in (batch.run(), batch.prepare()):
            await refused(more, "the recipients were taken before, and not to their end")
        assert server.accepted == []
        assert +(await Batch(made, recipients=rows(3)).run()).counts == {Outcome.ACCEPTED: 3}


async def test_a_batch_may_be_rehearsed_and_prepared_and_begun_again_where_it_was_refused(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        batch = Batch(made)
        for _ in range(2):
            assert (await batch.rehearse()).ready == 10
        await batch.prepare()
        made.results.write_text("something else\n")
        await refused(batch.run(), "already holds the results of a run")
        made.results.unlink()
        summary = await batch.run()
        assert (+summary.counts, summary.ready, summary.results) == ({Outcome.ACCEPTED: 10}, 0, made.results)

        (folder := tmp_path / "kept").mkdir()
        made = campaign(folder, server)
        batch = Batch(made, recipients=rows(10))
        made.results.write_text("something else\n")
        await refused(batch.run(), "already holds the results of a run")
        made.results.unlink()
        await batch.prepare()
        assert +(await batch.run()).counts == {Outcome.ACCEPTED: 10}
    assert len(server.accepted) == 20


async def test_a_program_is_told_what_a_program_can_do(tmp_path: Path) -> None:
    """And not only which command and option there are."""
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        (other := tmp_path / "other").mkdir()
        (other / "r.jsonl.recipients").mkdir()
        with pytest.raises(UsageError, match="the recipients cannot be kept") as no_room:
            await Batch(replace(made, results=other / "r.jsonl"), recipients=rows(2)).run()
        assert "--" not in (no_room.value.remedy or "")
        await Batch(made).run()
        with pytest.raises(UsageError, match="already holds the results") as used:
            await Batch(made).run()
        assert "in Python Batch(…, resumption=…)" in (used.value.remedy or "")
        with pytest.raises(UsageError, match="is a results log") as log_as_list:
            await Batch(replace(made, recipients=made.results, results=other / "o.jsonl")).run()
        assert "in Python only=(" in (log_as_list.value.remedy or "")


@pytest.mark.parametrize("work", ["run", "prepare", "results"])
async def test_what_was_kept_of_a_programs_records_goes_where_the_run_is_refused(tmp_path: Path, work: str) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        (text := tmp_path / "text.txt").write_text("{{ name")
        broken = replace(made, message=replace(made.message, text=None, html=None, text_file=text))
        before = names(tmp_path)

        async def use(batch: Batch) -> object:
            return await anext(batch.results()) if work == "results" else await getattr(batch, work)()

        again, once = Batch(broken, recipients=list(rows(3))), Batch(broken, recipients=rows(3))
        for batch in (again, again, once):
            await refused(use(batch), "text.txt")
            assert names(tmp_path) == before
            assert batch.campaign is broken
        await refused(use(once), "from an iterator, which gives them once")
        text.write_text("{{ name }}")
        assert +(await again.run()).counts == {Outcome.ACCEPTED: 3}
    assert len(server.accepted) == 3


@pytest.mark.parametrize("how", ["from Python", pytest.param("by the command", marks=pytest.mark.slow)])
async def test_a_program_goes_on_with_a_run_of_its_own_records_by_the_campaign_alone(tmp_path: Path, how: str) -> None:
    """Whatever the campaign file says of its own list: that is another one, and in another encoding."""
    given = [{"email": f"r{number}@example.com", "name": f"Zoë {number} 🎈"} for number in range(1, 11)]
    async with CountingServer(well_behaved) as server, asyncio.timeout(3 * GUARD):
        campaign(tmp_path, server)
        file = tmp_path / "campaign.toml"
        file.write_text('encoding = "cp1252"\n' + file.read_text())
        made = load(file)
        await Batch(made, limit=4, recipients=given).run()
        if how == "from Python":
            with Resumption(made.results, Choice()) as past:
                summary = await Batch(load(file), resumption=past).run()
            assert +summary.counts == {Outcome.ACCEPTED: 6}
        else:
            command = (sys.executable, "-m", "batchsend", "resume", str(made.results))
            resumed = await asyncio.create_subprocess_exec(*command, env=environment(), stderr=asyncio.subprocess.PIPE)
            _, said = await resumed.communicate()
            assert resumed.returncode == 0, said
    names = {
        accepted.recipients[0]: str(message_from_bytes(accepted.content, policy=default)["Subject"])
        for accepted in server.accepted
    }
    assert names == {row["email"]: f"For {row['name']}" for row in given}
    assert len(server.accepted) == 10


def whom_to_refuse(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
    return refuse(550) if asked is Stage.RCPT and recipient in {"r3@example.com", "r777@example.com"} else ACCEPT


async def test_results_are_those_of_the_log(tmp_path: Path) -> None:
    """Of records that are invalid, too; and the loop ends when the run has."""
    given = [*rows(1200), {"email": "no address", "name": "x"}, {"email": "r1@example.com", "name": "again"}]
    async with serve(whom_to_refuse, "pipelined") as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server, max_connections=3), recipients=given)
        results = [result async for result in batch.results()]
    assert batch.summary.stopped is None
    _, outcomes = log(tmp_path)
    told = [(one.record, one.recipient, one.status.value, one.reply) for one in results]
    assert sorted(told) == sorted((one["record"], one["recipient"], one["status"], one["reply"]) for one in outcomes)
    assert Counter(one.status for one in results) == batch.counts
    assert batch.counts[Outcome.REJECTED] == 2


@pytest.mark.slow
async def test_records_are_taken_no_faster_than_results(tmp_path: Path) -> None:
    """Also where none of them is sent: a list of invalid records fills no memory."""
    for number, given in enumerate((rows(4000), ({"email": "no address", "name": "x"} for _ in range(4000)))):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
            batch = Batch(campaign(folder, server), recipients=[{"email": "a@example.com", "name": "A"}, *given])
            async with aclosing(batch.results()) as results:
                await anext(results)
                quiet = 0
                while quiet < 200:  # until nothing goes on any more
                    before = batch.summary.records
                    await asyncio.sleep(0.001)
                    quiet = quiet + 1 if batch.summary.records == before and before >= 1000 else 0
                assert batch.summary.records < 2000
                rest = [result async for result in results]
        assert len(rest) == 4000


async def test_a_loop_that_is_left_ends_the_run_in_order(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        batch = Batch(made, recipients=rows(3000))
        seen: list[DeliveryResult] = []
        async with aclosing(batch.results()) as results:
            async for result in results:
                seen.append(result)
                if len(seen) == 10:
                    break
        sent = len(server.accepted)
        assert 10 <= sent < 3000
        assert batch.summary.stopped == "its results were not taken to the end"
        _, outcomes = log(tmp_path)
        assert len(outcomes) == sent, "what was under way is in the log"
        with Resumption(made.results, Choice()) as past:
            more = [result async for result in Batch(made_from(past, made), resumption=past).results()]
    assert len(more) == 3000 - sent
    assert len({accepted.recipients for accepted in server.accepted}) == len(server.accepted) == 3000


def made_from(past: Resumption, made: Any) -> Any:
    from msgspec.structs import replace  # noqa: PLC0415

    return replace(made, recipients=made.results.with_name("results.jsonl.recipients.jsonl"))


@pytest.mark.slow
async def test_a_cancelled_loop_leaves_a_log_that_is_gone_on_with(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        began = asyncio.Event()

        async def take() -> None:
            async for _ in Batch(made, recipients=rows(3000)).results():
                began.set()

        task = asyncio.create_task(take())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gc.collect()
        with Resumption(made.results, Choice(["in_doubt"])) as past:
            summary = await Batch(made_from(past, made), resumption=past).run()
    assert summary.stopped is None
    assert len({accepted.recipients for accepted in server.accepted}) == 3000


async def test_what_stops_the_run_ends_the_loop_after_its_results(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is Stage.GREETING and connection > 1:
            return refuse(554, "5.7.1 you are blocked")
        return ACCEPT

    async with serve(decide, "pipelined") as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server, max_messages=5, max_connections=1, give_up_after="10ms")
        batch = Batch(made, recipients=rows(20))
        results: list[DeliveryResult] = []

        async def take() -> None:
            async for result in batch.results():
                results.append(result)  # noqa: PERF401 - what came before the error is looked at

        with pytest.raises(RunError, match="blocked"):
            await take()
    assert len(results) == len(server.accepted) == 5
