"""``batchsend resume`` as the one who comes back after a failure meets it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest

from batchsend import Stage
from tests.crash.house import address, house, well_behaved
from tests.tools.faulty import ACCEPT, Action, FaultyServer, drop, refuse

if TYPE_CHECKING:
    from pathlib import Path


async def test_deferred_records_are_sent_again_with_the_same_message_id_and_their_attempts_counted_on(
    tmp_path: Path,
) -> None:
    offered = dict.fromkeys(range(1, 31), 0)

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient is not None:
            record = int(recipient[1 : recipient.index("@")])
            offered[record] += 1
            if record in (3, 7) and offered[record] < 4:
                return refuse(451)
            if record == 9:
                return refuse(554, "5.7.1 no")
        return ACCEPT

    delivery = 'max_attempts = 2\nretry_after = "10ms"'
    async with house(tmp_path, records=30, decide=decide, delivery=delivery) as built:
        assert await built.send() == 1
        assert await built.resume() == 1
        assert built.last == {record: "accepted" if record != 9 else "rejected" for record in range(1, 31)}
        assert offered == {record: 4 if record in (3, 7) else 1 for record in range(1, 31)}
        of_seven = [line for line in built.lines if line["record"] == 7]
        assert [line["attempt"] for line in of_seven] == [1, 2, 3, 4]
        assert len({line["message_id"] for line in of_seven}) == 1
        message = next(message for message in built.server.accepted if message.recipients == (address(7),))
        assert message_from_bytes(message.content)["Message-ID"] == of_seven[0]["message_id"]
        assert await built.resume("--retry", "5.7", "--no-retry") == 1
        assert offered[9] == 2
        assert "all runs together: accepted 29 · rejected 1" in built.output


async def test_nothing_left_to_send_is_said_by_the_exit_code(tmp_path: Path) -> None:
    async with house(tmp_path, records=5) as built:
        assert await built.send() == 0
        before = built.lines
        assert await built.resume() == 0
        assert built.lines == before


async def test_what_was_in_flight_is_named_with_how_to_send_it_again(tmp_path: Path) -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(4) and connection == 1:
            built.launched.kill()
            return drop(succeeds=True)
        return ACCEPT

    async with house(tmp_path, records=10, decide=decide, delivery="max_connections = 1") as built:
        assert await built.send() == -9
        assert built.journal.exists()
        assert await built.resume() == 1
        assert "in flight when the run was killed, so now in doubt: 1 (record 4)" in built.output
        assert f"batchsend resume {built.results} --retry in_doubt" in built.output
        line = next(line for line in built.lines if line["record"] == 4)
        assert (line["status"], line["stage"], line["recipient"]) == ("in_doubt", "content", address(4))
        assert re.fullmatch(r"<.+\.4@example\.com>", line["message_id"])
        assert built.taken == {address(record): 1 for record in range(1, 11)}
        assert await built.resume("--retry", "in_doubt") == 0
        assert built.taken[address(4)] == 2
        assert built.last == dict.fromkeys(range(1, 11), "accepted")
        twice = [message for message in built.server.accepted if message.recipients == (address(4),)]
        assert len({message_from_bytes(message.content)["Message-ID"] for message in twice}) == 1


async def test_dry_run_says_what_would_be_sent_and_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, records=10) as built:
        assert await built.send("--limit", "4") == 0
        before = built.results.read_bytes()
        assert await built.resume("--dry-run", "--json") == 0
        summary = json.loads(built.output.splitlines()[-1])
        assert summary["records"] == 6
        assert summary["campaign"]["accepted"] == 4
        assert built.results.read_bytes() == before
        assert not built.journal.exists()
        assert sum(built.taken.values()) == 4


async def test_limit_counts_what_is_sent(tmp_path: Path) -> None:
    async with house(tmp_path, records=100) as built:
        assert await built.send("--limit", "40", "--json") == 0
        assert json.loads(built.output.splitlines()[-1])["left"] == 60
        said = len(built.output)
        assert await built.resume("--limit", "35") == 0
        assert set(built.last) == set(range(1, 76))
        assert "left by --limit: 25 records\n" in built.output[said:]
        assert f"to send to those who are left: batchsend resume {built.results}\n" in built.output[said:]
        said = len(built.output)
        assert await built.resume("--limit", "25") == 0
        assert "left" not in built.output[said:], "there is nobody left"
        assert built.taken == {address(record): 1 for record in range(1, 101)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("longer before its end", "has changed: it had 126 octets, and has 141, which do not begin with the records"),
        ("shorter", "has changed: it had 126 octets, and has 111"),
        ("same length", "has changed: it is as long as it was, and its content another"),
        ("gone", "the recipients file cannot be read: No such file"),
    ],
)
async def test_a_recipients_file_that_is_not_the_same_is_refused_with_what_changed(
    tmp_path: Path, change: str, said: str
) -> None:
    async with house(tmp_path, records=8) as built:
        assert await built.send("--limit", "2") == 0
        text = built.recipients.read_text()
        if change == "longer before its end":
            built.recipients.write_text(text.replace("r5@", "new@example.com\nr5@")[:-1])
        elif change == "shorter":
            built.recipients.write_text(text.replace("r1@example.com\n", ""))
        elif change == "same length":
            built.recipients.write_text(text.replace("r5@", "r0@"))
        else:
            built.recipients.unlink()
        before = built.results.read_bytes()
        assert await built.resume() == 2
        assert said in built.output
        if change != "gone":
            assert f'as a new run that has exclude = ["{built.results}"] in [delivery]' in built.output
        assert built.results.read_bytes() == before
        assert sum(built.taken.values()) == 2


async def test_two_runs_on_one_log_refuse_each_other(tmp_path: Path) -> None:
    refused: list[tuple[int, str]] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.MAIL and connection == 1 and transaction == 2:
            second.append(asyncio.get_running_loop().create_task(try_again()))
        return ACCEPT

    async def try_again() -> None:
        at_work.append(built.launched.running)  # it may have come to its end when the other one has said so
        (tmp_path / "link.jsonl").symlink_to(built.results)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batchsend", "resume", str(tmp_path / "link.jsonl")), stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        refused.append((await process.wait(), said.decode()))

    second: list[asyncio.Task[None]] = []
    at_work: list[int | None] = []
    async with house(tmp_path, records=300, decide=decide, delivery='rate = "60/s"') as built:
        assert await built.send() == 0
        await second[0]
        assert [code for code, _ in refused] == [2]
        assert f"process {at_work[0]} is at work on it" in refused[0][1]
        assert built.taken == {address(record): 1 for record in range(1, 301)}


async def test_a_run_in_the_sandbox_is_gone_on_with_in_the_sandbox(tmp_path: Path) -> None:
    async with house(tmp_path, records=10) as built:
        assert await built.send("--sandbox", "--limit", "4") == 0
        assert await built.resume("--server", f"smtp://127.0.0.1:{built.server.port}") == 2
        assert "is the account of a run in the sandbox" in built.output
        assert await built.resume() == 0
        assert set(built.last) == set(range(1, 11))
        assert not built.taken


async def test_a_real_run_is_not_gone_on_with_in_the_sandbox(tmp_path: Path) -> None:
    async with house(tmp_path, records=10) as built:
        assert await built.send("--limit", "4") == 0
        assert await built.resume("--sandbox") == 2
        assert "really sent" in built.output
        assert len(built.last) == 4


async def test_what_is_no_log_or_not_there_is_said(tmp_path: Path) -> None:
    async with house(tmp_path, records=1) as built:
        assert await built.resume() == 2
        assert "results.jsonl: there is no such results log" in built.output
        assert await built.run("resume", built.recipients) == 2
        assert "recipients.csv does not begin with the line of a run" in built.output
        built.results.touch()
        assert await built.resume() == 2
        assert "does not begin with the line of a run" in built.output
        assert await built.resume("--retry", "everything") == 2
        assert "--retry everything: there is no such outcome or code" in built.output
        assert "Traceback" not in built.output


async def test_send_on_a_used_log_names_both_ways_on(tmp_path: Path) -> None:
    async with house(tmp_path, records=3) as built:
        assert await built.send() == 0
        assert await built.send() == 2
        assert f"batchsend resume {built.results}" in built.output
        assert "--results FILE" in built.output
        assert sum(built.taken.values()) == 3


async def test_a_server_that_is_gone_ends_with_how_to_go_on(tmp_path: Path) -> None:
    async with house(tmp_path, records=3) as built:
        assert await built.send("--server", "smtp://127.0.0.1:1", "--max-connections", "3") == 3
        assert f"to go on: batchsend resume {built.results}\n" in built.output
        assert await built.resume("--server", f"smtp://127.0.0.1:{built.server.port}") == 0
        assert sum(built.taken.values()) == 3


async def test_where_a_run_was_sent_by_the_command_line_it_is_gone_on_with_and_that_is_said_first(
    tmp_path: Path,
) -> None:
    """After a kill the rest of a run to another relay must not go to the campaign's own one."""

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient == address(4) and connection == 1:
            built.launched.kill()
        return ACCEPT

    async with house(tmp_path, records=30) as built, FaultyServer(decide) as staging:
        there = f"smtp://127.0.0.1:{staging.port}"
        assert await built.send("--server", there, "--max-connections", "1", "--rate", "2000/s") == -9
        said = len(built.output)
        assert await built.resume("--limit", "5", "--rate", "3000/s") == 1, "one is in doubt"
        first = built.output[said:].splitlines()[0]
        assert first.startswith("batchsend: going on with run ")
        assert first.endswith(
            f", through 127.0.0.1:{staging.port}, with --server {there} --max-connections 1 --rate 3000/s"
        )
        assert await built.resume() == 1
        assert built.server.accepted == [], "the campaign's own relay got nothing"
        run_lines = [json.loads(line)["run"] for line in built.results.read_text().splitlines() if '"started"' in line]
        assert [line["overrides"]["rate"] for line in run_lines] == ["2000/s", "3000/s", "3000/s"]
        assert set(built.last) == set(range(1, 31))


async def test_another_relay_than_before_is_named_with_the_one_before(tmp_path: Path) -> None:
    """A log of version 0.1 does not say what was overridden: what can be seen of it is said."""
    async with house(tmp_path, records=6) as built, FaultyServer(well_behaved) as other:
        assert await built.send("--limit", "2") == 0
        port = built.server.port
        built.campaign.write_text(built.campaign.read_text().replace(str(port), str(other.port)))
        assert await built.resume() == 0
        assert f"through 127.0.0.1:{other.port}; until now it was through 127.0.0.1:{port}\n" in built.output
        assert len(other.accepted) == 4


async def test_an_address_that_comes_again_is_written_to_once_over_all_runs(tmp_path: Path) -> None:
    async with house(tmp_path, records=10, delivery='max_connections = 2\nduplicates = "suppress"') as built:
        rows = [f"r{number}@example.com" for number in (1, 2, 1, 3, 2, 4, 5, 1, 4)] + ["R5@Example.COM"]
        built.recipients.write_text("\n".join(["email", *rows, ""]))
        assert await built.send("--limit", "4") == 0
        assert await built.resume() == 0
        suppressed = {line["record"]: line["reason"] for line in built.lines if line["status"] == "suppressed"}
        assert suppressed == dict.fromkeys((3, 5, 8, 9, 10), "duplicate")
        assert built.taken == {address(number): 1 for number in range(1, 6)}
