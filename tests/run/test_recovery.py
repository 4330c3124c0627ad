"""What a run takes over from one that was killed: what that has sent counts, and what was in flight is named."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from msgspec.structs import replace

from batchsend import Batch, Choice, Outcome, Resumption, RunError, Stage, load
from batchsend.outcome import DeliveryResult
from batchsend.results.journal import journal_path
from batchsend.results.ledger import Ledger
from batchsend.results.run import RecipientsFile, Run, new_id
from batchsend.run.recovery import describe_in_doubt
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.results.account import result
from tests.test_batch import campaign, log
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend import Campaign


def killed_run(sent: Campaign) -> None:
    """Leave what a killed run leaves: the first record is in the log, the second was answered, the third was not."""
    listed = sent.directory / "recipients.csv"
    octets = listed.read_bytes()
    recipients = RecipientsFile(path=str(listed), size=len(octets), sha256=hashlib.sha256(octets).hexdigest())
    run = Run(id=new_id(), started=time.time(), campaign=str(sent.path), recipients=recipients, version="1")
    files = (sent.results, journal_path(sent.results))
    with Ledger(sent.results, run, capacity=4) as account:
        for record in (1, 2, 3):
            account.commit(record, 1)
        for record in (1, 2):
            account.append(replace(result(record), time=time.time()))
            if record == 1:
                account.flush()
        left = [file.read_bytes() for file in files]
    for file, octets in zip(files, left, strict=True):
        file.write_bytes(octets)


@pytest.mark.parametrize("more", [0, 2])
async def test_what_was_sent_and_what_may_have_been_count_towards_the_quota(tmp_path: Path, more: int) -> None:
    notices: list[str] = []
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server, quota=f"{3 + more}/day", max_wait="1s")
        killed_run(sent)
        with Resumption(sent.results, Choice()) as past, anyio.fail_after(GUARD):
            batch = Batch(sent, resumption=past, notice=notices.append)
            assert (batch.counts, Batch(sent).counts) == ({Outcome.ACCEPTED: 2, Outcome.IN_DOUBT: 1}, {})
            with pytest.raises(RunError, match="quota"):
                await batch.run()
    assert len(server.accepted) == more
    outcomes = [(line["record"], line["status"]) for line in log(tmp_path)[1]]
    assert outcomes[:3] == [(1, "accepted"), (2, "accepted"), (3, "in_doubt")]
    assert notices[0] == "in flight when the run was killed, so now in doubt: 1 (record 3)"
    assert notices[1].startswith("they may have been delivered; to send them again all the same: batchsend resume ")
    assert "--retry in_doubt" in notices[1]


async def test_who_is_sent_to_again_by_the_users_word_is_not_told_how(tmp_path: Path) -> None:
    notices: list[str] = []
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server)
        killed_run(sent)
        with Resumption(sent.results, Choice(["in_doubt"])) as past, anyio.fail_after(GUARD):
            batch = Batch(sent, resumption=past, notice=notices.append)
            summary = await batch.run()
    assert +summary.counts == {Outcome.ACCEPTED: 8}
    assert batch.counts == {Outcome.ACCEPTED: 10}, "two of them were accepted before"
    assert notices == ["in flight when the run was killed, so now in doubt: 1 (record 3)"]


@pytest.mark.parametrize(("count", "named"), [(1, "1"), (20, "1, 2, 3"), (21, "1, 2, 3")])
def test_those_in_doubt_are_named_as_far_as_anybody_reads(count: int, named: str) -> None:
    """Of 21 and more the first twenty, and that there are others."""
    results = [DeliveryResult(record=one, recipient=None, status=Outcome.IN_DOUBT) for one in range(1, count + 1)]
    said = describe_in_doubt([*results, DeliveryResult(record=99, recipient=None, status=Outcome.ACCEPTED)])
    assert said is not None
    assert said.startswith(f"in flight when the run was killed, so now in doubt: {count} (record {named}")
    assert said.endswith({1: "(record 1)", 20: ", 19, 20)", 21: ", 19, 20, …)"}[count])
    assert describe_in_doubt([result(1)]) is None


async def test_what_was_in_flight_is_in_the_log_before_anything_is_sent_and_among_the_results(tmp_path: Path) -> None:
    in_the_log: list[int] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if not in_the_log:
            in_the_log.extend(line["record"] for line in log(tmp_path)[1])
        return ACCEPT

    async with CountingServer(decide) as server:
        sent = campaign(tmp_path, server)
        killed_run(sent)
        with Resumption(sent.results, Choice()) as past, anyio.fail_after(GUARD):
            results = [one async for one in Batch(sent, resumption=past).results()]
    assert in_the_log == [1, 2, 3]
    assert [(one.record, one.status, one.stage, one.reason) for one in results[:2]] == [
        (2, Outcome.ACCEPTED, Stage.CONTENT, "the run was killed before it could write the server's reply down"),
        (3, Outcome.IN_DOUBT, Stage.CONTENT, "the run was killed before the server answered"),
    ]
    assert sorted(one.record for one in results) == list(range(2, 11))


async def test_a_record_counts_by_its_last_outcome_whichever_run_had_it(tmp_path: Path) -> None:
    unknown = {"r2@example.com", "r4@example.com"}

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(550, "5.1.1 unknown") if stage is Stage.RCPT and recipient in unknown else ACCEPT

    async with CountingServer(decide) as server, asyncio.timeout(GUARD):
        first = Batch(campaign(tmp_path, server))
        await first.run()
        assert (first.counts, first.complete) == ({Outcome.ACCEPTED: 8, Outcome.REJECTED: 2}, False)
        (tmp_path / "gone.txt").write_text("r2@example.com\n")
        toml = (tmp_path / "campaign.toml").read_text()
        (tmp_path / "campaign.toml").write_text(f'{toml}suppress = ["gone.txt"]\n')
        sent = load(tmp_path / "campaign.toml")
        with Resumption(sent.results, Choice(["rejected"])) as past:
            second = Batch(sent, resumption=past, limit=1)
            assert +(await second.run()).counts == {Outcome.SUPPRESSED: 1}
        assert (second.summary.complete, second.complete) == (True, False), "the other one is still rejected"
        assert second.counts == {Outcome.ACCEPTED: 8, Outcome.REJECTED: 1, Outcome.SUPPRESSED: 1}
        unknown.clear()
        with Resumption(sent.results, Choice(["rejected"])) as past:
            third = Batch(sent, resumption=past)
            await third.run()
        assert (third.counts, third.complete) == ({Outcome.ACCEPTED: 9, Outcome.SUPPRESSED: 1}, True)
