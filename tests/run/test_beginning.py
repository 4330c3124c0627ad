"""How a run begins: with whose addresses, with which key, and what is said of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from batchsend import Batch, Choice, Outcome, Resumption, Stage, UsageError, load
from batchsend.results.claim import Claim
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.test_batch import campaign, log
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from pathlib import Path


async def test_addresses_are_taken_from_the_field_that_the_campaign_names(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        campaign(tmp_path, server)
        (tmp_path / "recipients.csv").write_text("email,name,work\nhome@example.com,A,work@example.com\n")
        toml = (tmp_path / "campaign.toml").read_text()
        (tmp_path / "campaign.toml").write_text(f'recipient_field = "work"\n{toml}')
        await Batch(load(tmp_path / "campaign.toml")).run()
    assert [message.recipients for message in server.accepted] == [("work@example.com",)]


async def test_where_the_key_of_signed_return_paths_cannot_be_had_no_run_begins(tmp_path: Path) -> None:
    """Nor is a log begun: once the key is there, the same command sends."""
    async with CountingServer(well_behaved) as server:
        campaign(tmp_path, server)
        toml = (tmp_path / "campaign.toml").read_text()
        signed = toml.replace("[message]\n", '[message]\nreturn_path = "bounce+{{ batch.verp }}@example.com"\n')
        (tmp_path / "campaign.toml").write_text(signed)
        (tmp_path / "results.jsonl.key").write_text("no key\n")
        with pytest.raises(UsageError, match=r"results\.jsonl\.key is not a key"):
            await Batch(load(tmp_path / "campaign.toml")).run()
    assert server.connections == []
    assert not (tmp_path / "results.jsonl").exists()


async def test_whoever_listens_to_the_logger_hears_when_a_run_begins_and_when_it_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="batchsend")
    async with CountingServer(well_behaved) as server:
        batch = Batch(campaign(tmp_path, server))
        summary = await batch.run()
    assert 0 < summary.elapsed < GUARD
    said = [message for message in caplog.messages if message.startswith(f"run {batch.id} ")]
    assert said == [
        f"run {batch.id} of {tmp_path / 'campaign.toml'} begins: results in {tmp_path / 'results.jsonl'}",
        f"run {batch.id} has ended: all its records were attempted",
    ]
    runs, _ = log(tmp_path)
    assert "servers" not in runs[0], "there is one relay"


async def test_what_cannot_be_called_is_refused_where_it_is_given(tmp_path: Path) -> None:
    wrong: Any = 3
    async with CountingServer(well_behaved) as server:
        with pytest.raises(TypeError, match="notice"):
            Batch(campaign(tmp_path, server), notice=wrong)


async def test_a_run_to_some_records_of_a_log_is_gone_on_with_to_the_others_of_them_and_to_nobody_else(
    tmp_path: Path,
) -> None:
    unknown = {"r2@example.com", "r4@example.com", "r5@example.com"}

    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return refuse(550, "5.1.1 unknown") if asked is Stage.RCPT and recipient in unknown else ACCEPT

    async with CountingServer(decide) as server:
        first = campaign(tmp_path, server, max_connections=1)
        await Batch(first).run()
        assert len(server.accepted) == 7
        everybody = unknown.copy()
        unknown.clear()
        second = replace(first, recipients=first.results, results=tmp_path / "second.jsonl")
        await Batch(second, only=("rejected",), limit=1).run()
        with Resumption(second.results, Choice()) as past:
            summary = await Batch(second, resumption=past).run()
    assert [message.recipients[0] for message in server.accepted[7:]] == sorted(everybody)
    assert +summary.counts == {Outcome.ACCEPTED: 2}, "of the others nothing is said"


async def test_who_comes_again_in_a_list_that_has_grown_is_not_written_to_again(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        sent = campaign(tmp_path, server, "a@example.com,A\n")
        await Batch(sent).run()
        with (tmp_path / "recipients.csv").open("a") as listed:
            listed.write("A@example.com,A\nb@example.com,B\n")
        with Resumption(sent.results, Choice()) as past:
            await Batch(sent, resumption=past).run()
    assert [one.recipients for one in server.accepted] == [("a@example.com",), ("b@example.com",)]
    assert [(line["record"], line["status"]) for line in log(tmp_path)[1]] == [
        *((1, "accepted"), (2, "suppressed"), (3, "accepted"))
    ]


async def test_no_run_is_gone_on_with_by_the_addresses_of_another_field(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        campaign(tmp_path, server)
        (tmp_path / "recipients.csv").write_text("email,name,work\na@example.com,A,b@example.com\n")
        toml = (tmp_path / "campaign.toml").read_text()
        await Batch(load(tmp_path / "campaign.toml")).run()
        (tmp_path / "campaign.toml").write_text(f'recipient_field = "work"\n{toml}')
        said = "addresses are taken from 'work', and were taken from 'email'"
        with Resumption(tmp_path / "results.jsonl", Choice()) as past, pytest.raises(UsageError, match=said):
            await Batch(load(tmp_path / "campaign.toml"), resumption=past).run()
    assert [one.recipients for one in server.accepted] == [("a@example.com",)]


async def test_a_run_that_is_cancelled_says_so_in_its_log(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT:
            running.cancel()
        return ACCEPT

    async with CountingServer(decide) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server))
        running = asyncio.create_task(batch.run())
        with pytest.raises(asyncio.CancelledError):
            await running
    assert batch.summary.stopped == "cancelled"
    assert log(tmp_path)[0][-1]["stopped"] == "cancelled"


@pytest.mark.parametrize("place", ["text", "return_path"])
async def test_a_run_whose_key_is_lost_is_gone_on_with_only_where_it_signs_nothing_but_texts(
    tmp_path: Path, place: str
) -> None:
    """What comes back to a return path, or by a link, of a message that was sent could not be known any more."""
    said: list[str] = []
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        campaign(tmp_path, server)
        toml = (tmp_path / "campaign.toml").read_text()
        if place == "text":
            toml = toml.replace('text = "Hello"', 'text = "Yours: {{ batch.verp }}"')
        else:
            signed = '[message]\nreturn_path = "bounce+{{ batch.verp }}@example.com"\n'
            toml = toml.replace("[message]\n", signed)
        (tmp_path / "campaign.toml").write_text(toml)
        made = load(tmp_path / "campaign.toml")
        await Batch(made, limit=4).run()
        (tmp_path / "results.jsonl.key").unlink()
        with Resumption(made.results, Choice()) as past:
            batch = Batch(made, resumption=past, notice=said.append)
            if place == "text":
                await batch.run()
            else:
                with pytest.raises(UsageError, match=r"results\.jsonl\.key is lost"):
                    await batch.run()
    if place == "text":
        (one,) = said
        assert "results.jsonl.key is lost" in one
        assert one.endswith("; what is sent from now on is signed with a new one")
    assert len(server.accepted) == (10 if place == "text" else 4)
    assert (tmp_path / "results.jsonl.key").exists() is (place == "text")


async def test_the_lock_on_a_log_is_given_back_where_the_run_is_refused(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        made = campaign(tmp_path, server)
        missing = replace(made, recipients=tmp_path / "none.csv")
        claim = Claim(made.results).__enter__()
        with pytest.raises(UsageError, match=r"none\.csv"):
            await Batch(missing, claim=claim).run()
        assert not claim.is_held
        assert (await Batch(made).run()).complete
