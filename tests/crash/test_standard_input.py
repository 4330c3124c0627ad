"""Recipients by standard input: kept beside the log, so that their run can be gone on with, or refused there."""

from __future__ import annotations

import asyncio
import gzip
import sys
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.crash.house import House, address, house
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from pathlib import Path


async def send(built: House, recipients: bytes, *options: str) -> tuple[int | None, str]:
    """``batchsend send --recipients -`` with these; its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "batchsend", "send", str(built.campaign), "--recipients", "-", *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(recipients)
    return process.returncode, said.decode()


def csv(count: int) -> bytes:
    return "\n".join(["email", *map(address, range(1, count + 1)), ""]).encode()


def jsonl(count: int) -> bytes:
    return "".join(f'{{"email": "{address(record)}"}}\n' for record in range(1, count + 1)).encode()


@pytest.mark.parametrize(
    ("recipients", "kind"), [(csv(30), "csv"), (jsonl(30), "jsonl"), (gzip.compress(csv(30), mtime=0), "csv")]
)
async def test_what_came_by_standard_input_can_be_gone_on_with(tmp_path: Path, recipients: bytes, kind: str) -> None:
    async with house(tmp_path, records=1) as built:
        assert (await send(built, recipients, "--limit", "10"))[0] == 0
        kept = built.directory / f"results.jsonl.recipients.{kind}"
        assert kept.read_bytes() == recipients
        assert kept.stat().st_mode & 0o777 == 0o600
        assert await built.resume() == 0
        assert built.taken == {address(record): 1 for record in range(1, 31)}


async def test_deferred_records_of_standard_input_are_tried_again_in_the_run(tmp_path: Path) -> None:
    refused: list[str | None] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(3) and not refused:
            refused.append(recipient)
            return refuse(451)
        return ACCEPT

    async with house(tmp_path, records=1, decide=decide, delivery='retry_after = "10ms"') as built:
        assert (await send(built, csv(10)))[0] == 0
        assert built.taken == {address(record): 1 for record in range(1, 11)}


async def test_what_is_not_kept_cannot_be_gone_on_with_and_that_is_said(tmp_path: Path) -> None:
    async with house(tmp_path, records=1) as built:
        assert (await send(built, csv(30), "--no-spool", "--limit", "10"))[0] == 0
        assert built.files == ["campaign.toml", "recipients.csv", "results.jsonl"]
        assert await built.resume() == 2
        assert "the recipients came by standard input and were not kept" in built.output
        assert sum(built.taken.values()) == 10


async def test_nothing_is_kept_where_nothing_can_be_sent(tmp_path: Path) -> None:
    async with house(tmp_path, records=1) as built:
        assert await built.send() == 0
        code, said = await send(built, csv(3))
        assert code == 2
        assert "already holds the results of a run" in said
        assert not [name for name in built.files if ".recipients" in name]
        for content, reason in (
            ("email\n".encode("utf-16-le"), "standard input is in UTF-16"),
            (b'[{"email": "a@example.com"}]', "standard input is a JSON array"),
            (b"PK\x03\x04 xl/", "standard input is a workbook (.xlsx)"),
            (b"", "standard input is empty"),
        ):
            code, said = await send(built, content, "--results", str(tmp_path / "other.jsonl"))
            assert code == 2
            assert reason in said
            assert not [name for name in built.files if ".recipients" in name]
