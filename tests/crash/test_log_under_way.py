"""What others do to a results log while a run keeps it: rotate it, remove it, begin another run beside it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.crash.house import address, house
from tests.crash.processes import STRACE
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.crash.house import House


RECORDS = 2000
SLOWLY = 'max_connections = 2\nrate = "500/s"'
"""Four seconds: log and journal are looked at each second."""


def move(log: Path) -> None:
    log.rename(log.with_name("moved.jsonl"))


def rotate(log: Path) -> None:
    log.rename(log.with_name("moved.jsonl"))
    log.touch()


def copytruncate(log: Path) -> None:
    shutil.copy(log, log.with_name("copy.jsonl"))
    os.truncate(log, 0)


def remove(log: Path) -> None:
    log.unlink()


def move_all(log: Path) -> None:
    """As a pattern like ``results.jsonl*`` does."""
    journal = log.with_name("results.jsonl.inflight")
    journal.rename(log.with_name("moved.jsonl.inflight"))
    move(log)


def journal_of(log: Path) -> Path:
    return log.with_name("results.jsonl.inflight")


def empty_journal(log: Path) -> None:
    os.truncate(journal_of(log), 0)


def cut_journal(log: Path) -> None:
    os.truncate(journal_of(log), 200)


def empty_both(log: Path) -> None:
    """As a pattern like ``results.jsonl*`` does."""
    empty_journal(log)
    copytruncate(log)


def lengthen_journal(log: Path) -> None:
    """Emptied, and as long as before again, with nothing in it."""
    size = journal_of(log).stat().st_size
    empty_journal(log)
    os.truncate(journal_of(log), size)


def put_over_journal(log: Path) -> None:
    """The same file, with what another one holds."""
    journal_of(log).write_bytes(b"\0" * journal_of(log).stat().st_size)


def remove_journal(log: Path) -> None:
    journal_of(log).unlink()


def replace_journal(log: Path) -> None:
    copy = log.with_name("copy.inflight")
    shutil.copy(journal_of(log), copy)
    copy.replace(journal_of(log))


def restore(log: Path) -> None:
    """What the message says."""
    moved, copy = log.with_name("moved.jsonl"), log.with_name("copy.jsonl")
    if moved.exists():
        moved.replace(log)
    if copy.exists():
        log.write_bytes(copy.read_bytes() + log.read_bytes())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (move, "the results log was moved or replaced while the run went on"),
        (rotate, "the results log was moved or replaced while the run went on"),
        (copytruncate, "the results log was cut short while the run went on"),
        (remove, "the results log was removed while the run went on, and is written anew"),
        (move_all, "the results log was moved or replaced while the run went on"),
        (empty_journal, "the journal of what is in flight was cut short or overwritten while the run went on"),
        (cut_journal, "the journal of what is in flight was cut short or overwritten while the run went on"),
        (lengthen_journal, "the journal of what is in flight was cut short or overwritten while the run went on"),
        (put_over_journal, "the journal of what is in flight was cut short or overwritten while the run went on"),
        (remove_journal, "the journal of what is in flight was moved, replaced or removed while the run went on"),
        (replace_journal, "the journal of what is in flight was moved, replaced or removed while the run went on"),
        (empty_both, "while the run went on"),
    ],
)
async def test_it_is_noticed_ends_the_run_in_order_and_nobody_gets_it_twice(
    tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.MAIL and recipient is None and (connection, transaction) == (1, 30):
            change(built.results)
        return ACCEPT

    built: House
    async with house(tmp_path, records=RECORDS, decide=decide, delivery=SLOWLY) as built:
        assert await built.send() == 3
        assert said in built.output
        assert "to go on: batchsend resume" in built.output
        assert "Traceback" not in built.output
        assert 0 < sum(built.taken.values()) < RECORDS
        restore(built.results)
        (tmp_path / "moved.jsonl.inflight").unlink(missing_ok=True)
        assert await built.resume() == 0
        assert built.taken == {address(record): 1 for record in range(1, RECORDS + 1)}
        assert built.last == dict.fromkeys(range(1, RECORDS + 1), "accepted")
        assert not built.journal.exists()


def wait_for(file: Path) -> None:
    """Poll for a file that another process makes."""
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, "it was not made"
        time.sleep(0.005)


async def test_two_runs_of_standard_input_on_one_log_do_not_mix_their_recipients(tmp_path: Path) -> None:
    """The second is refused before it reads anything, although the first has sent nothing yet."""
    async with house(tmp_path, records=1) as built:
        command = (sys.executable, "-m", "batchsend", "send", str(built.campaign), "--recipients", "-")
        pipe = asyncio.subprocess.PIPE
        first = await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe)
        assert first.stdin is not None
        first.stdin.write(b"email\nr1@example.com\n")
        await first.stdin.drain()
        kept = tmp_path / "results.jsonl.recipients"
        await asyncio.to_thread(wait_for, kept)
        second = await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe)
        _, said = await second.communicate(b"email\nr7@example.com\n")
        assert second.returncode == 2
        assert f"process {first.pid} is at work on it" in said.decode()
        await first.communicate(b"r2@example.com\n")
        assert first.returncode == 0
        assert built.taken == {address(1): 1, address(2): 1}


async def test_what_a_killed_run_has_left_of_its_recipients_is_taken_away_and_no_link_is_followed(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, records=1) as built:
        precious = tmp_path / "precious"
        precious.write_text("precious")
        (tmp_path / "results.jsonl.recipients").symlink_to(precious)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batchsend", "send", str(built.campaign), "--recipients", "-"),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.communicate(b"email\nr1@example.com\n")
        assert process.returncode == 0
        assert precious.read_text() == "precious"
        assert not (tmp_path / "results.jsonl.recipients.csv").is_symlink()


async def test_a_new_run_does_not_throw_away_what_another_one_had_in_flight(tmp_path: Path) -> None:
    """Its log was removed after a kill; only the journal still knows who may have got the message."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(3) and connection == 1:
            built.launched.kill()
        return ACCEPT

    built: House
    async with house(tmp_path, records=5, decide=decide, delivery="max_connections = 1") as built:
        assert await built.send() == -9
        log, journal = built.results.read_bytes(), built.journal.read_bytes()
        built.results.unlink()
        taken = sum(built.taken.values())
        assert await built.send() == 2
        assert "in flight, and that run's results log is not there" in built.output
        assert sum(built.taken.values()) == taken
        assert built.journal.read_bytes() == journal
        assert not built.results.exists()
        built.results.write_bytes(log)
        assert await built.resume() in (0, 1)
        assert set(built.last) == {1, 2, 3, 4, 5}


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
@pytest.mark.parametrize("way", ["resume", "send"])
async def test_with_power_where_the_first_sync_fails_nothing_was_sent_and_both_ways_go_on(
    tmp_path: Path, call: str, way: str
) -> None:
    async with house(tmp_path, records=20, delivery='durability = "power"') as built:
        process = await asyncio.create_subprocess_exec(
            *(str(STRACE), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO"),
            *(sys.executable, "-m", "batchsend", "send", str(built.campaign)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert process.returncode == 3
        assert "Input/output error" in said.decode()
        assert "Traceback" not in said.decode()
        assert not built.taken
        assert await (built.resume() if way == "resume" else built.send()) == 0
        assert built.taken == {address(record): 1 for record in range(1, 21)}


@pytest.mark.parametrize("files", range(13, 24, 2))
async def test_with_power_and_too_few_open_files_there_is_an_error_and_then_a_way_on(
    tmp_path: Path, files: int
) -> None:
    delivery = 'durability = "power"\nmax_connections = 10\nmax_messages = 5'
    async with house(tmp_path, records=60, delivery=delivery) as built:
        code, _ = await built.send_with_open_files(files)
        if code != 0:
            begun = built.results.exists() and built.results.stat().st_size > 0
            assert await (built.resume("--retry", "in_doubt") if begun else built.send()) == 0
        assert built.taken == {address(record): 1 for record in range(1, 61)}
