"""The Python API of a whole campaign: `send`, `Batch`, and what its summary and its log say."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import batchsend
from batchsend import Batch, Outcome, RunError, Stage, UsageError
from tests.delivery.harness import GUARD, CountingServer, serve, well_behaved
from tests.tools.faulty import ACCEPT, Action, Then, drop, refuse, say

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend import Campaign
    from tests.tools.wire import Wire

ROWS = "".join(f"r{number}@example.com,N{number}\n" for number in range(1, 11))


def campaign(folder: Path, server: CountingServer, rows: str = ROWS, **delivery: str | int) -> Campaign:
    """A campaign in a folder, through a test's server."""
    (folder / "recipients.csv").write_text("email,name\n" + rows)
    options = "\n".join(f"{name} = {json.dumps(value)}" for name, value in delivery.items())
    (folder / "campaign.toml").write_text(
        f'recipients = "recipients.csv"\n[server]\nhost = "{server.host}"\nport = {server.port}\ntls = "none"\n'
        f'[message]\nfrom = "from@example.com"\nsubject = "For {{{{ name }}}}"\ntext = "Hello"\n[delivery]\n{options}\n'
    )
    return batchsend.load(folder / "campaign.toml")


def log(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The run lines and the outcome lines."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return [line["run"] for line in lines if "run" in line], [line for line in lines if "record" in line]


async def test_a_batch_sends_counts_and_writes(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        batch = Batch(campaign(tmp_path, server))
        so_far = batch.summary
        assert not (tmp_path / "results.jsonl").exists(), "making a batch makes no log"
        with anyio.fail_after(GUARD):
            summary = await batch.run()
    assert summary is so_far, "it can be looked at from the beginning"
    assert +summary.counts == {Outcome.ACCEPTED: 10}
    assert (summary.records, summary.complete, summary.stopped) == (10, True, None)
    assert (batch.progress, batch.rest) == (1.0, None)
    runs, outcomes = log(tmp_path)
    assert "servers" not in runs[0], "there is one relay"
    recipients = (tmp_path / "recipients.csv").read_bytes()
    assert runs[0]["id"] == batch.id
    assert runs[0]["campaign"] == str(tmp_path / "campaign.toml")
    assert runs[0]["server"] == f"{server.host}:{server.port}"
    assert runs[0]["version"] == batchsend.__version__
    assert runs[0]["recipients"] == {
        "path": str(tmp_path / "recipients.csv"),
        "size": len(recipients),
        "sha256": hashlib.sha256(recipients).hexdigest(),
    }
    by_content = {message.recipients[0]: message.content for message in server.accepted}
    for outcome in outcomes:
        assert outcome["message_id"].encode() in by_content[outcome["recipient"]]


async def test_message_ids_are_all_different(tmp_path: Path) -> None:
    identities: set[str] = set()
    async with CountingServer(well_behaved) as server:
        for name in ("one", "two"):
            (folder := tmp_path / name).mkdir()
            await Batch(campaign(folder, server)).run()
            identities |= {outcome["message_id"] for outcome in log(folder)[1]}
    assert len(identities) == 20


async def test_a_rehearsal_asks_no_server_and_makes_no_log(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        summary = await Batch(campaign(tmp_path, server, ROWS + "bad,row,here\nnobody,X\n")).rehearse()
    assert (summary.ready, summary.counts[Outcome.INVALID], summary.records, summary.complete) == (10, 2, 12, False)
    assert 0 < summary.elapsed < GUARD
    assert server.connections == []
    assert not (tmp_path / "results.jsonl").exists()


async def test_limit_is_a_number_of_records(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        summary = await Batch(campaign(tmp_path, server, "nobody,X\n" + ROWS), limit=4).run()
    assert +summary.counts == {Outcome.ACCEPTED: 3, Outcome.INVALID: 1}


async def test_deferred_records_come_back_and_each_attempt_is_a_line(tmp_path: Path) -> None:
    """Greylisting: every recipient is refused at its first attempt, and one at each."""
    attempts: dict[str | None, int] = {}

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is not Stage.RCPT:
            return ACCEPT
        attempts[recipient] = attempts.get(recipient, 0) + 1
        return refuse(450, "4.7.1 greylisted") if attempts[recipient] < 2 or recipient == "r7@example.com" else ACCEPT

    async with CountingServer(decide) as server:
        waiting = campaign(tmp_path, server, max_attempts=2, retry_after="20ms")
        with anyio.fail_after(GUARD):
            summary = await Batch(waiting).run()
    assert +summary.counts == {Outcome.ACCEPTED: 9, Outcome.DEFERRED: 1}
    assert (summary.records, summary.waiting, summary.complete) == (10, 0, False)
    _, outcomes = log(tmp_path)
    for record in range(1, 11):
        lines = [outcome for outcome in outcomes if outcome["record"] == record]
        last = "deferred" if record == 7 else "accepted"
        assert [(line["attempt"], line["status"]) for line in lines] == [(1, "deferred"), (2, last)]
        assert len({line["message_id"] for line in lines}) == 1


async def test_lost_sessions_use_up_no_attempt(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return drop() if asked is Stage.DATA and transaction == 3 and connection < 4 else ACCEPT

    async with serve(decide, "pipelined") as server:
        with anyio.fail_after(GUARD):
            summary = await Batch(campaign(tmp_path, server, max_attempts=1, max_connections=1)).run()
    assert +summary.counts == {Outcome.ACCEPTED: 10}
    assert {outcome["attempt"] for outcome in log(tmp_path)[1]} == {1}


class SaysTwice(CountingServer):
    """Answers each message by a bare 250, and by a second line after so many seconds; None: in the same segment."""

    def __init__(self, later: float | None, *, pipelining: bool) -> None:
        super().__init__(self._decide, pipelining=pipelining)
        self._later = later
        self._wires: dict[int, Wire] = {}
        self.timers: list[asyncio.Task[None]] = []

    async def play(self, wire: Wire) -> None:
        self._wires[wire.connection.number] = wire
        await super().play(wire)

    def _decide(self, connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if asked is not Stage.CONTENT:
            return ACCEPT
        if self._later is None:
            return say(b"250\r\n250 Ok queued\r\n", succeeds=True)
        self.timers.append(asyncio.create_task(self._say_again(self._wires[connection], self._later)))
        return say(b"250\r\n", succeeds=True)

    async def _say_again(self, wire: Wire, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await wire.send(b"250 Ok queued\r\n")


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "lockstep"])
@pytest.mark.parametrize("later", [None, 0.0, 0.03])
async def test_a_server_that_answers_each_message_twice_is_believed(
    later: float | None, pipelining: bool, tmp_path: Path
) -> None:
    async with SaysTwice(later, pipelining=pipelining) as server:
        with anyio.fail_after(GUARD):
            summary = await Batch(campaign(tmp_path, server, max_connections=1)).run()
        await asyncio.gather(*server.timers, return_exceptions=True)
    assert +summary.counts == {Outcome.ACCEPTED: 10}
    assert summary.learned == {}
    assert len(server.connections) == 1
    assert len(server.accepted) == 10


async def test_sessions_that_broke_teach_no_limit(tmp_path: Path) -> None:
    """We end them, not the server: that each breaks after one message says nothing of how many it may carry."""

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return say(b"250 ok\r\n550 no\r\n", succeeds=True) if asked is Stage.CONTENT else ACCEPT

    async with CountingServer(decide, pipelining=False) as server:
        with anyio.fail_after(GUARD):
            summary = await Batch(campaign(tmp_path, server, max_connections=1)).run()
    assert +summary.counts == {Outcome.IN_DOUBT: 10}
    assert summary.learned == {}


async def test_stop_finishes_what_is_under_way(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if transaction == 3 and asked is Stage.CONTENT:
            batch.stop("enough")
            batch.stop("too late to say so")
        return ACCEPT

    rows = "".join(f"r{number}@example.com,N\n" for number in range(1, 3001))
    async with CountingServer(decide) as server:
        batch = Batch(campaign(tmp_path, server, rows, max_connections=1))
        with anyio.fail_after(GUARD):
            summary = await batch.run()
    assert summary.stopped == "enough"
    assert not summary.complete
    assert set(+summary.counts) == {Outcome.ACCEPTED}
    assert len(log(tmp_path)[1]) == len(server.accepted) < 3000


async def test_stop_before_the_run_has_begun_counts_too(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        batch = Batch(campaign(tmp_path, server))
        batch.stop("changed my mind")
        with anyio.fail_after(GUARD):
            summary = await batch.run()
    assert summary.stopped == "changed my mind"
    assert server.accepted == []
    assert log(tmp_path)[1] == []


async def test_cancelling_leaves_a_log_that_names_what_is_in_doubt(tmp_path: Path) -> None:
    scope = anyio.CancelScope()

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        if transaction == 4 and asked is Stage.CONTENT:
            scope.cancel()
            return drop(Then.SILENCE, succeeds=True)
        return ACCEPT

    async with CountingServer(decide) as server:
        batch = Batch(campaign(tmp_path, server, max_connections=1))
        with anyio.fail_after(GUARD), scope:
            await batch.run()
    statuses = {outcome["record"]: outcome["status"] for outcome in log(tmp_path)[1]}
    assert statuses == {1: "accepted", 2: "accepted", 3: "accepted", 4: "in_doubt"}
    assert batch.summary.counts[Outcome.IN_DOUBT] == 1


async def test_a_run_that_stops_early_raises_and_its_summary_says_why(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(535, "5.7.8 no") if asked is Stage.MAIL and transaction > 4 else ACCEPT

    async with CountingServer(decide) as server:
        batch = Batch(campaign(tmp_path, server, max_connections=1, max_attempts=3))
        with anyio.fail_after(GUARD), pytest.raises(RunError, match="535"):
            await batch.run()
    assert batch.summary.stopped is not None
    assert +batch.summary.counts == {Outcome.ACCEPTED: 4}
    assert not batch.summary.complete


async def test_a_message_that_no_server_can_take_is_invalid_and_the_run_goes_on(tmp_path: Path) -> None:
    async with CountingServer(well_behaved, extensions=("SIZE 5000",)) as server:
        small = campaign(
            tmp_path, server, f"a@example.com,{'x' * 9000}\nb@example.com,B\nç@example.com,C\n", max_connections=1
        )
        with anyio.fail_after(GUARD):
            summary = await Batch(small).run()
    assert +summary.counts == {Outcome.ACCEPTED: 1, Outcome.INVALID: 2}
    by_record = {outcome["record"]: outcome for outcome in log(tmp_path)[1]}
    assert "at most 5000" in by_record[1]["reason"]
    assert "SMTPUTF8" in by_record[3]["reason"]
    assert len(server.connections) == 1


async def test_an_invalid_record_names_what_stood_in_the_recipients_place(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        made = campaign(tmp_path, server)
        (tmp_path / "recipients.csv").write_text("name,address\nA,not one\nB,b@example.com\n")
        await Batch(made).run()
    outcomes = {outcome["record"]: outcome for outcome in log(tmp_path)[1]}
    assert (outcomes[1]["status"], outcomes[1]["recipient"], outcomes[1]["line"]) == ("invalid", "not one", 2)


async def test_send_needs_no_loop_and_refuses_one(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        made = campaign(tmp_path, server)
        with pytest.raises(RuntimeError):
            batchsend.send(made)
        summary = await anyio.to_thread.run_sync(batchsend.send, tmp_path / "campaign.toml")
    assert +summary.counts == {Outcome.ACCEPTED: 10}


async def test_a_choice_that_means_nothing_is_refused_at_once_by_its_name_in_a_program(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        made = campaign(tmp_path, server)
        with pytest.raises(UsageError, match=r"^only delivered: there is no such outcome or code"):
            Batch(made, only=("rejected", "delivered"))


async def test_a_used_log_and_a_missing_file_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        made = campaign(tmp_path, server)
        (tmp_path / "results.jsonl").write_text("something\n")
        for begun in (Batch(made).run(), Batch(made).prepare(), Batch(made).rehearse()):
            with pytest.raises(UsageError, match="already holds"):
                await begun
        (tmp_path / "results.jsonl").unlink()
        (tmp_path / "recipients.csv").unlink()
        with pytest.raises(UsageError, match="no such file"):
            await Batch(made).run()
    assert server.connections == []


async def test_what_a_run_reads_is_read_when_it_begins_and_off_the_event_loop(tmp_path: Path) -> None:
    """Here the list is a pipe that says nothing until somebody on the same loop writes into it."""
    async with CountingServer(well_behaved) as server:
        made = campaign(tmp_path, server)
        (tmp_path / "recipients.csv").unlink()
        os.mkfifo(tmp_path / "recipients.csv")
        batch = Batch(made)
        assert batch.progress is None
        with anyio.fail_after(GUARD):
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(batch.run())
                # It opens the other end only when that is being opened for reading.
                file = await asyncio.to_thread((tmp_path / "recipients.csv").open, "w")
                await asyncio.to_thread(file.write, "email,name\n" + ROWS)
                await asyncio.to_thread(file.close)
    assert +running.result().counts == {Outcome.ACCEPTED: 10}
