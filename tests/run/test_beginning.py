"""How a run begins: with whose addresses, with which key, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend import Batch, UsageError, load
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.test_batch import campaign

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
