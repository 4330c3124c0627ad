"""A campaign sent by workers over a real PostgreSQL: everybody once, whoever sends; and what commands do with it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import batchsend as batchsend_package
from batchsend.cluster.work import Worker
from batchsend.message import Composer
from batchsend.results.line import end_line
from tests.cluster.house import GUARD, House, address, check, last_lines, until, write_campaign
from tests.feedback.letters import RUN, results_log
from tests.servers.daemon import free_ports
from tests.tools.faulty import ACCEPT, FaultyServer, refuse, say

if TYPE_CHECKING:
    from batchsend import Stage
    from batchsend.message.submission import Submission
    from batchsend.recipients import Record
    from tests.tools.faulty import Action

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]


def accept(*_: object) -> Action:
    """Decide: every command is taken."""
    return ACCEPT


def batchsend(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command that needs no database."""
    command = [sys.executable, "-m", "batchsend", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


RECORDS = int(os.environ.get("BATCHSEND_CLUSTER_RECORDS", "2000"))
"""How many everybody is: 100000 for the long version."""


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_everybody_gets_the_message_once_whoever_sends(house: House, tmp_path: Path, workers: int) -> None:
    records, results = RECORDS, tmp_path / "results.jsonl"
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records)
        await house.command("publish", campaign, "--lot", str(max(50, records // 200)))
        began = time.monotonic()
        for worker in [await house.work("--until-done") for _ in range(workers)]:
            assert await worker.wait() == 0, worker.output.read_text()
        print(f"{records:,} records by {workers}: {time.monotonic() - began:.0f} s")
        assert await house.sql("SELECT count(*) FROM batchsend.shares") == [(0,)], "who has ended leaves all to others"
        said = await house.command("collect", "campaign", "--results", results)
        assert said.startswith(f"{records:,} outcomes in ")
        counts, wrong = check(results, server, records)
    assert wrong == []
    assert counts == {"accepted": records}
    assert json.loads(results.read_text().splitlines()[-1])["run"]["stopped"] is None
    assert f"{records:,} records" in batchsend("report", results).stdout


async def test_who_is_not_written_to_is_decided_when_it_is_published(house: House, tmp_path: Path) -> None:
    async with FaultyServer(accept) as server:
        campaign = write_campaign(
            tmp_path / "campaign", server.port, 5, 'suppress = ["stop.csv"]\nexclude = ["before/results.jsonl"]'
        )
        (campaign.parent / "stop.csv").write_text(f"email\n{address(3)}\n")
        (campaign.parent / "before").mkdir()
        with results_log(campaign.parent / "before", ()).open("ab") as log:
            log.write(end_line(RUN, ended=0.0, stopped=None, learned={}))
        with (campaign.parent / "recipients.csv").open("a") as file:
            file.write(f"no address\n{address(1)}\n")
        said = await house.command("publish", campaign, "--lot", "2")
        assert "4 records to send, 3 invalid or suppressed" in said
        assert "nobody in it was accepted or is in doubt, so it excludes nobody else" in said
        assert "stop.csv: 1 entry, not written to" in said
        assert await (await house.work("--until-done")).wait() == 0
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        taken = Counter(recipient for message in server.accepted for recipient in message.recipients)
    lines = last_lines(tmp_path / "results.jsonl")
    assert {number: (line["status"], line["reason"]) for number, line in lines.items() if number in (3, 7)} == {
        3: ("suppressed", "on a suppression list"),
        7: ("suppressed", "duplicate"),
    }
    assert lines[6]["status"] == "invalid"
    assert taken == {address(number): 1 for number in (1, 2, 4, 5)}


async def test_a_lot_is_kept_for_longer_than_a_lease_and_of_a_stopped_campaign_nothing_more_is_begun(
    house: House, tmp_path: Path
) -> None:
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 400, 'rate = "5/s"')
        await house.command("publish", campaign, "--lot", "400")
        worker = await house.work("--until-done", "--lease", "1s")
        await until(lambda: len(server.accepted) >= 10, lambda: worker.running)
        assert await house.sql("SELECT epoch, lease_until > now() FROM batchsend.lots") == [(1, True)]
        await house.command("stop", "campaign")
        assert await worker.wait() == 0, worker.output.read_text()
    assert len(server.accepted) < 200


_SLOWLY = """
CREATE FUNCTION batchsend.slowly() RETURNS trigger LANGUAGE plpgsql
AS $$BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END$$;
CREATE TRIGGER slowly BEFORE INSERT ON batchsend.lots FOR EACH ROW EXECUTE FUNCTION batchsend.slowly();
"""


async def test_publishing_that_was_killed_is_gone_on_with_and_adds_nothing_twice(house: House, tmp_path: Path) -> None:
    """It is killed twice, then goes on beside itself, and is repeated when all is there."""
    records = 3000
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records)
        publishing = ("publish", campaign, "--lot", "2")
        await house.sql(_SLOWLY)  # so that it does not end before it is killed
        for lots in (100, 400):
            process = await house.begin(*publishing)
            while (await house.sql("SELECT count(*) FROM batchsend.lots"))[0][0] < lots:
                assert process.returncode is None
            process.kill()
            assert await process.wait() == -signal.SIGKILL
            assert "publishing" in await house.command("list")
        await house.sql("DROP FUNCTION batchsend.slowly CASCADE")
        said = await asyncio.gather(*(house.command(*publishing) for _ in range(2)))
        assert all(f"{records:,} records to send" in one or "published already" in one for one in said)
        assert "published already" in await house.command(*publishing)
        assert await house.sql("SELECT count(*), sum(count)::int FROM batchsend.lots") == [(records // 2, records)]
        for worker in [await house.work("--until-done") for _ in range(2)]:
            assert await worker.wait() == 0
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert wrong == []
    assert counts == {"accepted": records}


async def test_a_campaign_that_was_stopped_while_it_was_published_is_published_again(
    house: House, tmp_path: Path
) -> None:
    """It is not taken for a whole one, neither by who lets it go on nor by who publishes it."""
    records = 400
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records)
        await house.sql(_SLOWLY)
        process = await house.begin("publish", campaign, "--lot", "2")
        while (await house.sql("SELECT count(*) FROM batchsend.lots"))[0][0] < 50:
            assert process.returncode is None
        process.kill()
        await process.wait()
        await house.sql("DROP FUNCTION batchsend.slowly CASCADE")
        await house.command("stop", "campaign")
        assert "not published completely" in await house.command("continue", "campaign", code=2)
        assert f"{records} records to send" in await house.command("publish", campaign)
        assert await (await house.work("--until-done")).wait() == 0
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert (counts, wrong) == ({"accepted": records}, [])


async def test_a_campaign_that_is_dropped_while_it_is_published_leaves_nothing(house: House, tmp_path: Path) -> None:
    campaign = write_campaign(tmp_path / "campaign", 25, 600)
    await house.sql(_SLOWLY)
    process = await house.begin("publish", campaign, "--lot", "2")
    while (await house.sql("SELECT count(*) FROM batchsend.lots"))[0][0] < 50:
        assert process.returncode is None
    await house.command("drop", "campaign")
    said, _ = await process.communicate()
    assert process.returncode == 2
    assert b"was dropped while it was published" in said
    assert await house.sql("SELECT * FROM batchsend.lots") == []
    await house.sql("DROP FUNCTION batchsend.slowly CASCADE")


async def test_status_is_watched_live_and_told_as_json(house: House, tmp_path: Path) -> None:
    async with FaultyServer(accept) as server:
        await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 400, 'rate = "100/s"'))
        watching = await house.begin("status", "campaign", "--watch", "--json")
        assert watching.stdout is not None
        accepted = [await told(watching.stdout)]
        worker = await house.work("--until-done")
        while accepted[-1] < 400:
            accepted.append(await told(watching.stdout))
        assert await worker.wait() == 0
        watching.send_signal(signal.SIGINT)
        assert await watching.wait() == 130
    assert accepted == sorted(accepted)
    assert len(set(accepted)) > 2, "it was shown while it went on"
    for_people = await house.command("status")
    assert "campaign  done" in for_people
    assert "400 accepted" in for_people


async def test_the_page_shows_a_cluster(house: House, tmp_path: Path) -> None:
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 300, 'rate = "100/s"\nquota = "900/day"')
        await house.command("publish", campaign, "--lot", "50")
        serving = await house.begin("status", "campaign", "--page", "0")
        assert serving.stdout is not None
        where = urlsplit((await serving.stdout.readline()).decode().split()[-1])
        assert where.port is not None
        worker = await house.work("--until-done")
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["outcomes"][0]["count"] != "300":
            seen.append(json.loads(await asked(where.port, f"{where.path}state")))
            await asyncio.sleep(0.2)
        page = await asked(where.port, where.path)
        assert await worker.wait() == 0
        serving.send_signal(signal.SIGINT)
        assert await serving.wait() == 130
    assert "Workers and relays" in page
    assert "Pause" in page
    assert "<section hidden>" in page, "nothing is to be changed from it"
    assert len({one["outcomes"][0]["count"] for one in seen}) > 2, "it was shown while it went on"
    shown = [row for one in seen for row in one["relays"]]
    assert any(row["accepted"] not in ("", "0") for row in shown), "the worker"
    assert any("of 900/day" in row["said"] for row in shown), "the quota"
    assert seen[-1]["chart"] is not None
    assert (seen[0]["share"], seen[-1]["share"]) == ("0 %", "100 %")


async def asked(port: int, path: str) -> str:
    """What is served on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        await asyncio.to_thread(connection.request, "GET", path)
        return (await asyncio.to_thread(connection.getresponse)).read().decode()
    finally:
        connection.close()


async def test_the_page_shows_one_campaign_that_there_is(house: House) -> None:
    assert "--page shows one campaign" in await house.command("status", "--page", "0", code=2)
    assert "there is no campaign called none" in await house.command("status", "none", "--page", "0", code=2)


async def told(lines: asyncio.StreamReader) -> int:
    """How many messages are accepted, according to the next line."""
    found: dict[str, Any] = json.loads(await lines.readline())
    return int(found["campaigns"][0]["outcomes"].get("accepted", 0))


async def test_another_campaign_of_the_same_name_is_refused(house: House, tmp_path: Path) -> None:
    campaign = write_campaign(tmp_path / "campaign", 25, 3)
    await house.command("publish", campaign)
    (campaign.parent / "recipients.csv").write_text(f"email\n{address(9)}\n")
    assert "another campaign called campaign" in await house.command("publish", campaign, code=2)


async def test_deferred_records_come_back_after_their_pause_with_the_same_message_id(
    house: House, tmp_path: Path
) -> None:
    offered: Counter[str] = Counter()

    def defer_once(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if recipient is None or stage != "content":
            return ACCEPT
        offered[recipient] += 1
        return refuse(451, "4.3.0 later") if offered[recipient] == 1 else ACCEPT

    async with FaultyServer(defer_once) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 60)
        await house.command("publish", campaign, "--lot", "10")
        for worker in [await house.work("--until-done") for _ in range(2)]:
            assert await worker.wait() == 0
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, 60)
    assert (counts, wrong) == ({"accepted": 60}, [])
    lines = last_lines(tmp_path / "results.jsonl")
    assert {line["attempt"] for line in lines.values()} == {2}
    assert set(offered.values()) == {2}
    assert len({line["message_id"] for line in lines.values()}) == 60
    assert all(
        lines[1]["message_id"].startswith("<") and f".{number}@" in line["message_id"] for number, line in lines.items()
    )


@pytest.mark.parametrize("setting", ["max_attempts = 1", 'retry_after = "1h"'])
async def test_who_takes_a_lot_over_offers_no_deferred_record_that_is_not_due(
    house: House, tmp_path: Path, setting: str
) -> None:
    """Neither one that has had all its attempts nor one whose pause is not over."""
    records, offered = 60, Counter[str]()

    def defer_first(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage != "content" or recipient is None:
            return ACCEPT
        offered[recipient] += 1
        return refuse(451, "4.3.0 later") if recipient == address(1) else ACCEPT

    async with FaultyServer(defer_first) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "20/s"')
        given = re.compile(rf"^{setting.split(maxsplit=1)[0]} = .*$", re.MULTILINE)
        campaign.write_text(given.sub(setting, campaign.read_text()))
        await house.command("publish", campaign, "--lot", str(records))
        for enough in (records // 3, records - 1):
            worker = await house.work()
            await until(lambda: len(server.accepted) >= enough, lambda: worker.running)  # noqa: B023 - it is waited for here
            worker.send(signal.SIGTERM)
            assert await worker.wait() == 0, worker.output.read_text()
            assert enough <= len(server.accepted) < records
    assert offered == {address(record): 1 for record in range(1, records + 1)}


async def test_a_worker_leaves_what_waits_of_a_lot_that_was_taken_over_to_the_other(
    house: House, tmp_path: Path
) -> None:
    """It was stopped for longer than its lease: the relay hears no more of these records from it, and it ends."""
    records, offered = 500, Counter[str]()

    def note(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "rcpt" and recipient is not None:
            offered[recipient] += 1
        return ACCEPT

    async with FaultyServer(note) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "50/s"\nmax_connections = 2')
        await house.command("publish", campaign, "--lot", str(records))
        options = ("--until-done", "--lease", "2s")
        first = await house.work(*options)
        await until(lambda: len(server.accepted) >= 50, lambda: first.running)
        first.send(signal.SIGSTOP)
        second = await house.work(*options)
        await until(lambda: len(server.accepted) >= 100, lambda: second.running)
        first.send(signal.SIGCONT)
        for worker in (first, second):
            assert await worker.wait() == 0, worker.output.read_text()
        assert "was taken over by another worker" in first.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert wrong == []
    assert counts["in_doubt"] <= 2 + 1
    assert offered.total() - records <= 2 + 1, "what the first one had begun, and no more"


async def test_a_worker_that_has_lost_all_that_it_had_at_once_takes_it_again(house: House, tmp_path: Path) -> None:
    """It was stopped for longer than its lease, and who has taken its lot over meanwhile is killed."""
    records = 200
    async with FaultyServer(lambda *_: ACCEPT) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "50/s"\nmax_connections = 2')
        await house.command("publish", campaign, "--lot", str(records))
        options = ("--until-done", "--lease", "2s")
        first = await house.work(*options)
        await until(lambda: len(server.accepted) >= 10, lambda: first.running)
        first.send(signal.SIGSTOP)
        sent = len(server.accepted)
        second = await house.work(*options)
        await until(lambda: len(server.accepted) >= sent + 10, lambda: second.running)
        second.send(signal.SIGKILL)
        first.send(signal.SIGCONT)
        assert await first.wait() == 0, first.output.read_text()
        assert "was taken over by another worker" in first.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert wrong == []
    assert counts["accepted"] + counts["in_doubt"] == records


async def test_a_message_that_was_accepted_is_in_doubt_where_its_reply_may_have_been_anothers(
    house: House, tmp_path: Path
) -> None:
    """A lot has one record: it is done and given back before the reply comes that cannot be right."""
    records, shifted = 20, 7

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if (stage, recipient) == ("content", address(shifted)):
            return say(b"250 taken\r\n550 not taken\r\n", succeeds=True)
        return ACCEPT

    async with FaultyServer(decide, pipelining=True) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, "max_connections = 1")
        await house.command("publish", campaign, "--lot", "1")
        worker = await house.work("--until-done")
        assert await worker.wait() == 0, worker.output.read_text()
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert (counts, wrong) == ({"accepted": records - 1, "in_doubt": 1}, [])
    line = last_lines(tmp_path / "results.jsonl")[shifted]
    assert line["status"] == "in_doubt"
    assert "may have been another's" in line["reason"]


async def test_clocks_of_machines_may_differ_by_minutes(house: House, tmp_path: Path) -> None:
    """Leases, pauses and times are the database's: a worker ahead takes nothing early, one behind nothing late."""
    records, minutes, results = 400, 600.0, tmp_path / "results.jsonl"
    deferred: set[str | None] = set()

    def defer_some(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "content" and recipient not in deferred and len(deferred) < 40:
            deferred.add(recipient)
            return refuse(451, "4.3.0 later")
        return ACCEPT

    began = time.time()
    async with FaultyServer(defer_some) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "100/s"\nmax_connections = 3')
        await house.command("publish", campaign, "--lot", "20")
        workers = [await house.work("--until-done", "--lease", "2s", clock=clock) for clock in (-minutes, 0.0, minutes)]
        await until(lambda: len(server.accepted) > records // 3)
        workers[1].send(signal.SIGKILL)
        for worker in (workers[0], workers[2]):
            assert await worker.wait() == 0, worker.output.read_text()
            assert "taken over" not in worker.output.read_text()
        await house.command("collect", "campaign", "--results", results)
        counts, wrong = check(results, server, records)
    assert wrong == []
    assert counts["accepted"] + counts["in_doubt"] == records
    assert counts["in_doubt"] <= 2 * (1 + 1)
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in last_lines(results).values()]
    assert began - 5.0 < min(times) <= max(times) < time.time() + 5.0


async def test_sigterm_ends_a_worker_in_order_and_another_one_goes_on_at_once(house: House, tmp_path: Path) -> None:
    records = 1500
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "200/s"')
        await house.command("publish", campaign, "--lot", "100")
        first = await house.work("--lease", "1h")
        await until(lambda: len(server.accepted) >= 300)
        first.send(signal.SIGTERM)
        assert await first.wait() == 0
        # Its lots are free although their leases would hold for an hour.
        assert await (await house.work("--until-done")).wait() == 0
        await house.command("collect", "campaign", "--results", tmp_path / "results.jsonl")
        counts, wrong = check(tmp_path / "results.jsonl", server, records)
    assert (counts, wrong) == ({"accepted": records}, [])


async def test_what_a_stopped_campaign_has_left_is_sent_from_one_machine(house: House, tmp_path: Path) -> None:
    records, results = 1500, tmp_path / "results.jsonl"
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records, 'rate = "200/s"')
        await house.command("publish", campaign, "--lot", "100")
        worker = await house.work()
        await until(lambda: len(server.accepted) >= 300)
        assert "not over" in await house.command("collect", "campaign", "--results", results)
        refused = batchsend("resume", results)
        assert refused.returncode == 2, "the cluster is still sending it"
        await house.command("pause", "campaign")
        await house.command("stop", "campaign")
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0
        before = len(server.accepted)
        assert before < records
        assert await house.command("continue", "campaign") == "campaign is active\n"
        await house.command("stop", "campaign")
        await house.command("collect", "campaign", "--results", results)
        assert "people would get the message twice" in await house.command("continue", "campaign", code=2)
        collected = results.read_bytes()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "batchsend", "resume", str(results), "--no-progress"
        )
        assert await process.wait() == 0
        counts, wrong = check(results, server, records)
    assert (counts, wrong) == ({"accepted": records}, [])
    gone_on_with = results.read_bytes()
    assert gone_on_with.startswith(collected)
    killed = gone_on_with[: gone_on_with.rindex(b"\n", 0, -1) + 1]  # without the line that says how the run has ended
    for text in (gone_on_with, killed):
        results.write_bytes(text)
        said = await house.command("collect", "campaign", "--results", results, code=2)
        assert "was gone on with on one machine: collecting would lose that" in said
        assert results.read_bytes() == text
    word = ("continue", "campaign", "--although-collected")
    assert await house.command(*word) == "campaign is active\n"


async def test_the_log_of_another_run_is_not_replaced_by_what_is_collected(house: House, tmp_path: Path) -> None:
    """Whether that run has ended or goes on."""
    results = tmp_path / "results.jsonl"
    for name in ("first", "second"):
        await house.command("publish", write_campaign(tmp_path / name, 25, 3))
    for over in (False, True):
        if over:
            await house.command("stop", "first")
        assert ("not over" in await house.command("collect", "first", "--results", results)) is not over
        before = results.read_bytes()
        refused = await house.command("collect", "second", "--results", results, code=2)
        assert "is the log of another run" in refused
        assert results.read_bytes() == before


async def test_a_campaign_has_the_name_of_its_folder_or_that_which_it_is_given(house: House, tmp_path: Path) -> None:
    campaign = write_campaign(tmp_path / "october", 25, 3)
    await house.command("publish", campaign)
    await house.command("publish", campaign, "--name", "november")
    names = [line.split()[0] for line in (await house.command("list")).splitlines()]
    assert sorted(names) == ["november", "october"]


async def test_several_campaigns_are_sent_side_by_side(house: House, tmp_path: Path) -> None:
    order: list[str] = []

    def note(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "content":
            order.append(str(recipient))
        return ACCEPT

    async with FaultyServer(note) as server:
        for name in ("first", "second"):
            campaign = write_campaign(tmp_path / name, server.port, 800)
            rows = "".join(f"{name}{number}@example.com\n" for number in range(800))
            (campaign.parent / "recipients.csv").write_text(f"email\n{rows}")
            await house.command("publish", campaign, "--lot", "50")
        assert await (await house.work("--until-done")).wait() == 0
    assert Counter(order).total() == len(set(order)) == 1600
    half = Counter(address.startswith("first") for address in order[:800])
    assert min(half.values()) > 100, "one campaign waits for the other"


@pytest.mark.interpreted
@pytest.mark.parametrize("text", ["Hello", 300 * f"{60 * 'x'}\\n"], ids=["small", "large"])
async def test_other_things_have_their_turn_while_a_lot_is_composed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """After 64 messages or half a megabyte: replies are read meanwhile, and leases are renewed."""
    records, turns = 300, list[list[int]]()
    under_way = False
    real = Composer.compose

    def end_turn() -> None:
        nonlocal under_way
        under_way = False

    def compose(composer: Composer, record: Record) -> Submission:
        nonlocal under_way
        made = real(composer, record)
        if not under_way:
            under_way = True
            turns.append([])
            asyncio.get_running_loop().call_soon(end_turn)
        turns[-1].append(len(made.content))
        return made

    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, records)
        campaign.write_text(campaign.read_text().replace("Hello {{ email }}", text))
        await house.command("publish", campaign)
        monkeypatch.setattr(Composer, "compose", compose)
        (tmp_path / "files").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "files"))
        async with asyncio.timeout(GUARD):
            await Worker(house.url, until_done=True).run()
    assert len(server.accepted) == sum(map(len, turns)) == records
    assert (32 if text == "Hello" else 1) < max(map(len, turns)) <= 64
    assert max(sum(turn[:-1]) for turn in turns) <= 512 * 1024
    assert list((tmp_path / "files").iterdir()) == [], "it leaves nothing of the campaign"


async def test_a_worker_sends_no_more_campaigns_at_once_than_it_was_told(house: House, tmp_path: Path) -> None:
    order: list[str] = []

    def note(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage == "content":
            order.append(str(recipient).partition("-")[0])
        return ACCEPT

    async with FaultyServer(note) as server:
        for name in ("first", "second"):
            campaign = write_campaign(tmp_path / name, server.port, 80, 'rate = "40/s"')
            rows = "".join(f"{name}-{number}@example.com\n" for number in range(80))
            (campaign.parent / "recipients.csv").write_text(f"email\n{rows}")
            await house.command("publish", campaign, "--lot", "10")
        worker = await house.work("--until-done", "--campaigns", "1")
        assert await worker.wait() == 0, worker.output.read_text()
    assert Counter(order) == {"first": 80, "second": 80}
    assert sum(one != other for one, other in pairwise(order)) <= 2, (
        "they take turns, and none is sent beside the other"
    )


async def test_a_campaign_does_not_wait_until_those_are_done_that_take_all_places_of_a_worker(
    house: House, tmp_path: Path
) -> None:
    """The first one takes an hour, and has the only place that there is; the second takes it in its turn."""
    async with FaultyServer(accept) as server:
        for name, records in (("long", 72_000), ("short", 30)):
            campaign = write_campaign(tmp_path / name, server.port, records, 'rate = "20/s"')
            await house.command("publish", campaign, "--lot", "50")
        worker = await house.work("--campaigns", "1")
        async with asyncio.timeout(GUARD):
            while "short  done" not in await house.command("list"):
                assert worker.running
            before = len(server.accepted)
            assert before > 30, "the first one had its turn"
            await until(lambda: len(server.accepted) > before + 20)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0, worker.output.read_text()
        assert "taken over" not in worker.output.read_text()


async def test_status_tells_the_pace_and_the_end_of_each_campaign(house: House, tmp_path: Path) -> None:
    async with FaultyServer(accept) as server:
        for name, rate in (("slow", 40), ("fast", 120)):
            campaign = write_campaign(tmp_path / name, server.port, 20 * rate, f'rate = "{rate}/s"')
            await house.command("publish", campaign, "--lot", "50")
        worker = await house.work("--until-done")
        pace = {"slow": 0.0, "fast": 0.0}
        while pace["slow"] < 20 or pace["fast"] < 70:
            assert worker.running, pace
            found = json.loads(await house.command("status", "--json"))["campaigns"]
            pace = {one["name"]: one["pace"] for one in found}
        assert pace["slow"] < 60
        said = await house.command("status")
        assert len(re.findall(r"/s, .* left; run", said)) == 2, said
        assert re.search(r"^worker \d+ .* accepted, .*/s, for ", said, re.MULTILINE), said
        assert "no worker was heard of" not in said
        assert await worker.wait() == 0


async def test_a_worker_that_lacks_a_credential_says_so_and_leaves_the_lots_to_others(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = write_campaign(tmp_path / "campaign", 25, 3)
    text = campaign.read_text().replace(
        'tls = "none" }', 'tls = "none", username = "me", password = "${CLUSTER_TEST_PASSWORD}" }'
    )
    campaign.write_text(text)
    await house.command("publish", campaign)
    worker = await house.work()
    while "CLUSTER_TEST_PASSWORD" not in await house.command("status"):
        assert worker.running, worker.output.read_text()
    status = await house.status("campaign")
    assert status["campaigns"][0]["leased"] == 0
    assert "needs the environment variable CLUSTER_TEST_PASSWORD" in next(iter(status["workers"][0]["lacks"].values()))


async def test_of_a_relay_that_is_not_there_it_is_said_why_nothing_is_sent(house: House, tmp_path: Path) -> None:
    [port] = free_ports(1)
    await house.command("publish", write_campaign(tmp_path / "campaign", port, 3))
    worker = await house.work()
    async with asyncio.timeout(GUARD):
        while "cannot connect" not in await house.command("status"):
            assert worker.running, worker.output.read_text()
    worker.send(signal.SIGTERM)
    assert await worker.wait() == 0, worker.output.read_text()
    assert worker.output.read_text().count("campaign cannot be sent from here: ") == 1


async def test_a_password_in_the_file_is_not_published(house: House, tmp_path: Path) -> None:
    campaign = write_campaign(tmp_path / "campaign", 25, 3)
    campaign.write_text(
        campaign.read_text().replace('tls = "none" }', 'tls = "none", username = "me", password = "x1" }')
    )
    said = await house.command("publish", campaign, code=2)
    assert "would stand in the database" in said
    assert "x1" not in said


async def test_templates_and_attachments_go_along(house: House, tmp_path: Path) -> None:
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 2)
        folder = campaign.parent
        text = campaign.read_text().replace(
            'text = "Hello {{ email }}"', 'html_file = "mail/body.html"\nattachments = ["{{ email }}.txt"]'
        )
        campaign.write_text(text)
        (folder / "mail").mkdir()
        (folder / "mail" / "body.html").write_text("<p>{% include 'mail/greeting.html' %}</p>")
        (folder / "mail" / "greeting.html").write_text("Good day {{ email }}")
        for number in (1, 2):
            (folder / f"{address(number)}.txt").write_text(f"contract {number}")
        await house.command("publish", campaign)
        folder.rename(tmp_path / "gone")
        assert await (await house.work("--until-done")).wait() == 0
    assert len(server.accepted) == 2
    assert all(b"Good day r" in message.content and b".txt" in message.content for message in server.accepted)


async def test_a_content_that_everybody_refuses_stops_the_campaign_for_all_workers(
    house: House, tmp_path: Path
) -> None:
    def refuse_all(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(554, "5.7.1 this looks like spam") if stage == "content" else ACCEPT

    async with FaultyServer(refuse_all) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 600, "stop_after = 20")
        rows = "".join(f"a{number}@d{number % 7}.example\n" for number in range(600))
        (campaign.parent / "recipients.csv").write_text(f"email\n{rows}")
        await house.command("publish", campaign, "--lot", "50")
        for worker in [await house.work("--until-done") for _ in range(2)]:
            assert await worker.wait() == 0
    status = await house.status("campaign")
    assert status["campaigns"][0]["state"] == "stopped"
    assert "refused alike" in status["campaigns"][0]["why"]
    assert status["campaigns"][0]["outcomes"]["rejected"] < 300
    assert await house.command("continue", "campaign") == "campaign is active\n"


async def test_a_worker_needs_no_right_to_make_tables(house: House, tmp_path: Path) -> None:
    """With the rights that the manual's page gives it."""
    page = (Path(batchsend_package.__file__).parent / "manual" / "cluster.md").read_text()
    grants = re.findall(r"^GRANT .* TO worker;$", page, re.MULTILINE)
    assert grants
    await house.sql("CREATE ROLE worker LOGIN;" + "".join(grants))
    try:
        async with FaultyServer(accept) as server:
            await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 10))
            assert await (await house.work("--until-done", user="worker")).wait() == 0
        assert len(server.accepted) == 10
        refused = await house.command("init", url=house.postgres.url.replace("postgres@", "worker@"), code=2)
        assert "the database refuses us" in refused
    finally:
        await house.sql("DROP OWNED BY worker; DROP ROLE worker")


async def test_outcomes_can_be_asked_for_in_sql(house: House, tmp_path: Path) -> None:
    async with FaultyServer(accept) as server:
        await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 3))
        assert await (await house.work("--until-done")).wait() == 0
    found = await house.sql(
        "SELECT campaign, record, status, code FROM batchsend.outcomes WHERE recipient = 'r2@example.com'"
    )
    assert found == [("campaign", 2, "accepted", 250)]


async def test_a_campaign_that_is_dropped_leaves_nothing(house: House, tmp_path: Path) -> None:
    async with FaultyServer(accept) as server:
        campaign = write_campaign(tmp_path / "campaign", server.port, 30, 'quota = "900/day"\nsuppress = ["stop.csv"]')
        (campaign.parent / "stop.csv").write_text(f"email\n{address(3)}\n")
        (campaign.parent / "before").mkdir()
        with results_log(campaign.parent / "before", ()).open("ab") as log:
            log.write(end_line(RUN, ended=0.0, stopped=None, learned={}))
        await house.command("publish", campaign, "--lot", "10")
        assert "is being sent" in await house.command("drop", "campaign", code=2)
        assert await (await house.work("--until-done")).wait() == 0
    assert await house.command("drop", "campaign") == "campaign is gone, and the account of 30 records\n"
    for table in ("campaigns", "files", "lots", "account", "shares", "quotas", "quota_used", "quota_held"):
        assert await house.sql(f"SELECT * FROM batchsend.{table}") == [], table
    assert "there is no campaign called campaign" in await house.command("drop", "campaign", code=2)


async def test_a_window_needs_a_time_zone_that_all_workers_agree_on(house: House, tmp_path: Path) -> None:
    campaign = write_campaign(tmp_path / "campaign", 25, 3, 'window = ["Mon-Sun 08:00-18:00"]')
    assert "without a time zone" in await house.command("publish", campaign, code=2)


async def test_a_worker_sends_nothing_before_the_start_and_ends_when_it_is_told_to(
    house: House, tmp_path: Path
) -> None:
    """It goes on living meanwhile: it is heard of, and holds nothing."""
    start = 'start = "2090-01-01 09:00"\ntimezone = "UTC"'
    async with FaultyServer(accept) as server:
        await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 20, start))
        worker = await house.work("--lease", "2s")
        async with asyncio.timeout(60.0):
            while not await house.sql("SELECT FROM batchsend.shares WHERE until > now()"):
                assert worker.running, worker.output.read_text()
        await asyncio.sleep(5.0)  # a promise about time: longer than a share holds that is not renewed
        assert await house.sql("SELECT FROM batchsend.shares WHERE until > now()"), "it is not heard of any more"
        status = await house.status("campaign")
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0, worker.output.read_text()
    assert server.accepted == []
    assert (status["campaigns"][0]["state"], status["campaigns"][0]["leased"]) == ("active", 0)


@pytest.mark.parametrize("clock", [-600.0, 600.0])
async def test_a_start_holds_on_the_databases_clock(house: House, tmp_path: Path, clock: float) -> None:
    """It was five minutes ago, also for a machine whose own clock is ten minutes slow."""
    begun = datetime.fromtimestamp(time.time() - 300.0, UTC)
    async with FaultyServer(accept) as server:
        start = f'start = "{begun:%Y-%m-%d %H:%M}"\ntimezone = "UTC"'
        await house.command("publish", write_campaign(tmp_path / "campaign", server.port, 20, start))
        worker = await house.work(clock=clock)
        async with asyncio.timeout(60.0):
            await until(lambda: len(server.accepted) == 20, lambda: worker.running)
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0, worker.output.read_text()
    assert len(server.accepted) == 20


async def test_two_databases_versions_are_told_apart(house: House, tmp_path: Path) -> None:
    await house.sql("INSERT INTO batchsend.version VALUES (9999)")
    try:
        said = await house.command("list", code=2)
    finally:
        await house.sql("DELETE FROM batchsend.version WHERE version = 9999")
    assert "version 9999, and this batchsend knows version" in said
