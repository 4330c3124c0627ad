"""The main job against a real relay: names, subjects and texts in many scripts arrive as rendered, each once.

One of them with 10,000 records, another one where the hot path is compiled, and all where ``BATCHSEND_LONG`` is set.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from batchsend.version import compiled
from tests.servers import readers
from tests.servers.command import CampaignFolder
from tests.servers.delivered import delivered
from tests.servers.postfix import Postfix
from tests.servers.relay_tables import credentials, implicit_tls, starttls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FEWER = 10_000 if "BATCHSEND_LONG" in os.environ else 1_000
OF_CSV, OF_JSONL = (FEWER, 10_000) if compiled() else (10_000, FEWER)


@pytest.fixture
def fast_postfix() -> Iterator[Postfix]:
    """Return a Postfix that delivers over a few connections kept open, and so leaves the machine to what is tested."""
    settings = {
        "default_destination_concurrency_limit": "3",
        "lmtp_connection_cache_destinations": "inet:127.0.0.1",
        "lmtp_connection_reuse_time_limit": "300s",
    }
    with Postfix(settings=settings) as server:
        yield server


@pytest.mark.parametrize(
    ("file", "tls", "count"),
    [
        ("recipients.csv", "starttls", OF_CSV),
        ("recipients.jsonl", "implicit", OF_JSONL),
        ("recipients.jsonl", "starttls", FEWER),
        ("recipients.csv", "implicit", FEWER),
    ],
)
def test_every_record_arrives_once_as_it_was_rendered(
    tmp_path: Path, fast_postfix: Postfix, file: str, tls: str, count: int
) -> None:
    folder = CampaignFolder(tmp_path, credentials(fast_postfix))
    write = readers.write_csv if file.endswith(".csv") else readers.write_jsonl
    write(tmp_path / file, readers.readers(count))
    readers.write_templates(tmp_path)
    folder.write(
        top={"recipients": file, "results": "results.jsonl"},
        server=starttls(fast_postfix) if tls == "starttls" else implicit_tls(fast_postfix),
        message=readers.message_table(),
        delivery={"max_connections": 10, "max_messages": 100},
    )

    ended = folder.send()

    assert (ended.code, ended.output) == (0, ""), ended.errors
    account = folder.account()
    assert len({run["id"] for run in account.runs}) == 1
    assert account.records("accepted") == set(range(1, count + 1))
    assert max(account.message_counts()) <= 100
    messages = delivered(account, fast_postfix.received())
    outcomes = account.by_record()
    for number, reader in enumerate(readers.readers(count), 1):
        outcome, message = outcomes[number], messages[number]
        assert outcome["recipient"] == reader.email
        said = readers.Said.by(message.sender, message.submitted)
        assert said == readers.expected(reader, outcome["message_id"])
    assert len({outcome["message_id"] for outcome in outcomes.values()}) == count
    assert len({message.submitted for message in messages.values()}) == count
