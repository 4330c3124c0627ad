"""How long things take in a cluster, and how often its database is asked: what the manual says, in virtual time."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.cluster import schema
from batchsend.cluster.collect import collect
from batchsend.cluster.database import ClusterError, DatabaseGoneError
from batchsend.cluster.page import ClusterLive
from batchsend.cluster.serving import CampaignRow, load
from batchsend.cluster.status import drop, set_state, status
from batchsend.errors import RunError
from batchsend.message.verp import VARIABLE
from batchsend.outcome import Stage
from tests.simulation.case import Reply
from tests.simulation.cluster.scene import Scene, play
from tests.simulation.cluster.workers import EPOCH
from tests.simulation.relay import address
from tests.tools.virtual import most_within

if TYPE_CHECKING:
    from batchsend.cluster.database import Database
    from tests.simulation.cluster.database import RealDatabase

# The connections are the simulation's own, and a compiled pool takes no connector but the real one.
pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.interpreted]

LATER = "451 4.3.0 Try again later"
_SHARES = "SELECT campaign, worker, rate FROM batchsend.shares WHERE until > clock_timestamp() ORDER BY worker"


def of_server(line: str) -> Any:
    """What adds a line to the campaign file's server."""
    return lambda text: text.replace('tls = "none"\n', f'tls = "none"\n{line}\n')


def of_delivery(line: str) -> Any:
    """What adds a line to what it says under ``[delivery]``."""
    return lambda text: text.replace("processes = 1\n", f"processes = 1\n{line}\n")


# --- a database that is away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [0.3, 6.5, 25.0])
def test_a_database_that_is_away_is_asked_a_few_times_a_second_and_used_as_soon_as_it_is_back(
    real: RealDatabase, away: float
) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=900, lot=100, rate="10/s")
        scene.work()
        left = await scene.until(lambda: len(scene.sent) >= 20)
        scene.database.restart(away)
        await asyncio.sleep(away)
        assert sum(moment > left for moment in scene.client(1).dialled) <= 4 + 8 * away
        await asyncio.sleep(5.0)
        assert len(scene.heard("nothing new is sent until it is back")) == 1
        [back] = scene.heard("the database is back")
        [said] = [text for _, text in scene.said if "the database is back" in text]
        assert float(said.split()[-2]) == pytest.approx(back - left, abs=1.0)
        assert back - (left + away) <= min(max(0.5, away), 2.2), "in seconds, and sooner where it was away for a moment"
        assert scene.sent[-1] > back

    play(real, script)


def test_a_worker_waits_for_half_a_minute_for_a_database_that_is_not_there_when_it_begins(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        scene.database.restart(1000.0)
        began = scene.now
        with pytest.raises(RunError, match="cannot be reached"):
            await scene.work()
        assert 30.0 <= scene.now - began <= 32.0
        assert len(scene.heard("asked again for 30 s")) == 1
        assert 25 <= len(scene.client(1).dialled) <= 35, "once a second"

    play(real, script)


def test_a_worker_does_nothing_with_tables_of_a_later_version(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        scene.rows("UPDATE batchsend.version SET version = version + 1")
        try:
            with pytest.raises(ClusterError, match="this batchsend knows version"):
                await scene.work()
        finally:
            scene.rows("UPDATE batchsend.version SET version = version - 1")

    play(real, script)


def test_a_worker_that_is_told_to_end_waits_for_half_a_minute_for_a_database_that_is_away(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=100, lot=50, rate="5/s")
        working = scene.work()
        left = await scene.until(lambda: len(scene.sent) >= 10)
        scene.database.restart(1000.0)
        await asyncio.sleep(1.0)
        scene.stop()
        with pytest.raises(RunError, match="has not answered for 30 s"):
            await working
        assert 30.0 <= scene.now - left <= 32.0
        assert len(scene.heard("this worker is listed there until it is heard of no more")) == 1

    play(real, script)


@pytest.mark.parametrize("away", [0.3, 13.0])
def test_publishing_goes_on_when_the_database_is_back(real: RealDatabase, away: float) -> None:
    async def script(scene: Scene) -> None:
        publishing = asyncio.ensure_future(scene.publish(records=120, lot=2))
        left = await scene.until(lambda: len(scene.asked(0, "INTO batchsend.lots")) >= 5)
        scene.database.restart(away)
        await publishing
        assert sum(moment > left for moment in scene.client(0).dialled) <= 12
        assert min(scene.asked(0, "", left + away)) - (left + away) <= min(max(0.5, away), 5.2)
        assert scene.rows("SELECT count(*), sum(count)::int FROM batchsend.lots") == [(60, 120)]

    play(real, script)


def test_publishing_waits_for_five_minutes_for_a_database_that_is_away(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        publishing = asyncio.ensure_future(scene.publish(records=120, lot=2))
        left = await scene.until(lambda: len(scene.asked(0, "INTO batchsend.lots")) >= 5)
        scene.database.restart(10_000.0)
        with pytest.raises(DatabaseGoneError):
            await publishing
        assert 300.0 <= scene.now - left <= 306.0

    play(real, script)


async def _loaded(database: Database) -> None:
    row = CampaignRow(1, "one", "run", 2, ("127.0.0.1:2500",))
    with closing(await load(database, row, keys=None, environ={})):
        pass


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (lambda database, _: set_state(database, "one", "paused", only_from=("active",)), (5.0,)),
        (lambda database, _: status(database, "one"), (60.0,)),
        (lambda database, folder: collect(database, "one", folder / "results.jsonl"), (60.0,)),
        (lambda database, _: _loaded(database), (60.0,)),
        (lambda database, _: schema.init(database), (60.0,)),
        (lambda database, _: drop(database, "stopped"), (5.0, 60.0)),
    ],
    ids=["pause", "status", "collect", "load", "init", "drop"],
)
def test_no_answer_is_waited_for_without_end_whichever_it_is(
    real: RealDatabase, command: Any, seconds: tuple[float, ...]
) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=4, lot=2)
        await scene.publish("stopped", records=4, lot=2)
        await scene.set_state("stopped", "active", "stopped")
        scene.rows("INSERT INTO batchsend.account (campaign, record, attempt, status) VALUES (2, 1, 1, 'accepted')")
        waited = []
        for nth in range(1, 40):
            scene.client(0).silence(nth)
            began = scene.now
            try:
                await scene.ask(lambda database: command(database, scene.folder))
            except DatabaseGoneError:
                waited.append(scene.now - began)
                assert list(scene.folder.glob("*.new")) == [], "nothing half is left of a log"
            except ClusterError:
                break  # it was dropped, and the answer was lost that says so
            else:
                break
        assert waited
        assert [one for one in waited if not any(each <= one < each + 0.9 for each in seconds)] == []

    play(real, script)


# --- how often it is asked --------------------------------------------------------------------------------------------


def test_where_no_lot_is_free_the_database_is_asked_four_times_a_second(real: RealDatabase) -> None:
    """What is due soon is taken soon, and the database is not kept busy by those who wait."""

    async def script(scene: Scene) -> None:
        await scene.publish(records=60, lot=60, rate="1/s")
        scene.work()
        began = await scene.until(lambda: len(scene.sent) >= 2)
        await asyncio.sleep(30.0)
        assert 60 <= len(scene.asked(1, "SKIP LOCKED", began)) <= 122
        assert 20 <= len(scene.asked(1, "SET seen = now()", began)) <= 31, "once a second it says that it is there"
        assert 5 <= len(scene.asked(1, "l.worker = $4", began)) <= 9, "a lease is renewed four times in its 15 seconds"
        assert scene.asked(1, "pg_logical_emit_message") == [], "one server need not be told from others"

    play(real, script)


def test_a_file_is_stored_once_however_many_lots_need_it(real: RealDatabase) -> None:
    records = 6
    files = {"body.txt": "Hello"} | {f"{number}.txt": "x" for number in range(1, records + 1)}
    body = 'text_file = "body.txt"\nattachments = ["{{ number }}.txt"]'

    async def script(scene: Scene) -> None:
        edit = re.compile("^text = .*$", re.MULTILINE)
        await scene.publish(records=records, lot=2, files=files, edit=lambda text: edit.sub(lambda _: body, text))
        assert len(scene.asked(0, "INTO batchsend.files")) == len(files)
        assert scene.rows("SELECT path FROM batchsend.files ORDER BY path") == [(name,) for name in sorted(files)]

    play(real, script)


def test_what_is_known_of_records_that_are_withheld_is_stored_as_the_list_is_read(real: RealDatabase) -> None:
    """A list of which nobody is written to takes no more memory than another."""
    records = 300
    files = {"stop.csv": "email\n" + "".join(f"{address(number)}\n" for number in range(1, records + 1))}

    async def script(scene: Scene) -> None:
        await scene.publish(records=records, lot=20, files=files, edit=of_delivery('suppress = ["stop.csv"]'))
        assert len(scene.asked(0, "INTO batchsend.account")) >= 4
        assert scene.rows("SELECT status, count(*) FROM batchsend.account GROUP BY status") == [("suppressed", records)]

    play(real, script)


def test_an_account_is_collected_and_dropped_in_parts(real: RealDatabase) -> None:
    """However large it is, no statement takes long, and little of it is in memory."""
    records = 25_000
    account = (
        "INSERT INTO batchsend.account (campaign, record, attempt, status, line) "
        "SELECT 1, n, 1, 'accepted', json_build_object('record', n) FROM generate_series(1, $1::int) AS n"
    )

    async def script(scene: Scene) -> None:
        results = scene.folder / "results.jsonl"
        await scene.publish(records=1)
        scene.rows(account, records)
        await scene.set_state("stopped", "active")
        collected = await scene.ask(lambda database: collect(database, "one", results))
        assert (collected.records, collected.over) == (records, True)
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        assert [line["record"] for line in lines[1:-1]] == [*range(1, records + 1)]
        assert len(scene.asked(0, "ORDER BY record LIMIT")) == 6, "the last of which is empty"
        assert await scene.ask(lambda database: drop(database, "one")) == records
        assert len(scene.asked(0, "DELETE FROM batchsend.account")) == 2
        assert scene.rows("SELECT FROM batchsend.account") == []

    play(real, script)


def test_a_page_asks_once_a_second(real: RealDatabase) -> None:
    async def watch(database: Database) -> None:
        live = ClusterLive(database, "one")
        await live.refresh()
        with suppress(TimeoutError):
            await asyncio.wait_for(live.run(), 10.5)

    async def script(scene: Scene) -> None:
        await scene.publish(records=1)
        await scene.ask(watch)
        assert 9 <= len(scene.asked(0, "LEFT JOIN LATERAL")) <= 11

    play(real, script)


# --- campaigns and workers --------------------------------------------------------------------------------------------


def test_a_word_about_a_campaign_holds_within_two_seconds(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=2000, lot=100, rate="5/s")
        scene.work()
        await scene.until(lambda: len(scene.sent) >= 5)
        late = []
        for nth in range(12):
            said = scene.now
            await scene.set_state("paused", "active")
            await asyncio.sleep(3.0 + 0.1 * nth)
            late.append(scene.sent[-1] - said)
            before, said = len(scene.sent), scene.now
            await scene.set_state("active", "paused")
            late.append(await scene.until(lambda: len(scene.sent) > before) - said)  # noqa: B023 - it is waited for
        assert max(late) < 2.0
        assert scene.rows("SELECT max(epoch) > 1 FROM batchsend.lots") == [(True,)], "its lots were given back"

    play(real, script)


def test_campaigns_take_turns_of_ten_seconds_where_there_are_more_than_a_worker_sends(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        for name in ("first", "second"):
            await scene.publish(name, records=500, lot=20, rate="2/s")
        scene.work(campaigns=1)
        seen = []
        for _ in range(140):
            await asyncio.sleep(0.5)
            seen += [(campaign, scene.now) for campaign, _, _ in scene.rows(_SHARES)]
        turns = [[moment for _, moment in turn] for _, turn in groupby(seen, key=lambda one: one[0])]
        assert len(turns) >= 5
        assert [turn for turn in turns[1:-1] if not 9.0 <= turn[-1] - turn[0] <= 13.0] == []

    play(real, script)


def test_a_worker_sends_eight_campaigns_at_once(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        for number in range(9):
            await scene.publish(f"number{number}", records=50, lot=10, rate="1/s")
        scene.work()
        await asyncio.sleep(6.0)
        assert len(scene.rows(_SHARES)) == 8

    play(real, script)


def test_a_lot_has_500_records(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=501)
        assert scene.rows("SELECT lot, count FROM batchsend.lots ORDER BY lot") == [(0, 500), (1, 1)]

    play(real, script)


def test_a_worker_tells_how_many_were_accepted_by_it(real: RealDatabase) -> None:
    """Of the campaigns that it has done with, too; who was refused does not count."""
    replies = (Reply(relay=0, stage=Stage.RCPT, nth=3, says="550 5.1.1 No such user"),)

    async def script(scene: Scene) -> None:
        for name, records in (("first", 7), ("second", 5)):
            await scene.publish(name, records=records, lot=4)
        scene.work()
        await scene.until(lambda: scene.rows("SELECT state FROM batchsend.campaigns") == [("done",), ("done",)])
        await asyncio.sleep(8.0)
        assert scene.rows(_SHARES) == []
        [worker] = (await scene.ask(status)).workers
        assert (worker.accepted, worker.pace, worker.lacks) == (11, 0.0, {})

    play(real, script, replies=replies)


def test_a_session_stays_for_two_seconds_without_a_lot_and_a_worker_that_has_nothing_more_to_do_ends(
    real: RealDatabase,
) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=1, retry_after="20s", max_attempts=2)
        working = scene.work(until_done=True)
        last = await scene.until(lambda: len(scene.sent) == 1)
        assert scene.relays[0].open
        closed = await scene.until(lambda: not scene.relays[0].open)
        assert 1.9 <= closed - last <= 3.2
        await scene.until(lambda: len(scene.sent) == 2)
        await working
        assert scene.now - scene.sent[1] <= 3.0
        assert scene.rows("SELECT FROM batchsend.workers") == []

    play(real, script, replies=(Reply(relay=0, stage=Stage.CONTENT, nth=1, says=LATER),))


def test_a_campaign_that_cannot_be_sent_from_here_is_tried_again_after_a_minute(real: RealDatabase) -> None:
    looked: list[float] = []

    class Noting(dict[str, str]):
        """Variables of an environment, none of which there is."""

        def get(self, name: str, default: Any = None) -> Any:
            looked.append(asyncio.get_running_loop().time())
            return default

    async def script(scene: Scene) -> None:
        await scene.publish(records=5, edit=of_server('username = "me"\npassword = "${NOT_THERE}"'))
        scene.work(environ=Noting())
        await asyncio.sleep(130.0)
        tries = [looked[0], *(later for earlier, later in pairwise(looked) if later - earlier > 1.0)]
        assert len(tries) == 3
        assert [pause for pause in (b - a for a, b in pairwise(tries)) if not 60.0 <= pause <= 62.0] == []
        assert len(scene.heard("one cannot be sent from here: ")) == 1, scene.said

    play(real, script)


def test_what_a_worker_lacked_is_not_told_any_more_when_it_has_it(
    real: RealDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(scene: Scene) -> None:
        async def lacks() -> dict[str, str]:
            [worker] = (await scene.ask(status)).workers
            return worker.lacks

        signed = "bounces+{{ batch.verp }}@"
        await scene.publish(records=5, edit=lambda text: text.replace("from+{{ number }}@", signed))
        scene.work()
        await asyncio.sleep(5.0)
        [why] = (await lacks()).values()
        assert f"needs {VARIABLE}" in why
        monkeypatch.setenv(VARIABLE, "ab" * 32)
        await scene.until(lambda: len(scene.sent) == 5)
        await asyncio.sleep(3.0)
        assert await lacks() == {}

    monkeypatch.delenv(VARIABLE, raising=False)
    play(real, script)


def test_what_a_killed_worker_had_is_taken_over_when_its_lease_is_over(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=60, lot=60, rate="2/s")
        scene.work()
        killed = await scene.until(lambda: len(scene.sent) >= 15)
        scene.client(1).kill()
        scene.work(2)
        over = await scene.until(lambda: scene.rows("SELECT epoch FROM batchsend.lots") == [(2,)])
        assert 9.0 <= over - killed <= 17.0

    play(real, script)


# --- what is shared ---------------------------------------------------------------------------------------------------


def test_what_a_lost_worker_had_of_the_rate_is_the_others_within_seconds(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        def rates() -> list[float]:
            found = [rate for _, _, rate in scene.rows(_SHARES)]
            assert sum(found) <= 10.0
            return found

        await scene.publish(records=1000, lot=20, rate="10/s")
        scene.work(1)
        scene.work(2)
        await scene.until(lambda: rates() == [5.0, 5.0])
        await asyncio.sleep(5.0)
        killed = scene.now
        scene.client(2).kill()
        assert await scene.until(lambda: rates() == [10.0]) - killed <= 6.0
        await asyncio.sleep(6.0)
        assert most_within(scene.sent, 5.0) <= 55
        assert sum(moment > scene.now - 5.0 for moment in scene.sent) >= 45

    play(real, script)


@pytest.mark.parametrize("sent", [0, 12], ids=["while they are opened", "while they send"])
def test_sessions_that_are_too_many_since_a_worker_has_come_end_and_count_until_then(
    real: RealDatabase, sent: int
) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=800, lot=20, max_connections=4)
        scene.work(1)
        await scene.until(lambda: scene.relays[0].open == 4 and len(scene.sent) >= sent)
        scene.work(2)
        most = 0
        for _ in range(400):
            await asyncio.sleep(0.05)
            most = max(most, scene.relays[0].open)
        assert most <= 4 + 1, "one of them has just ended"
        assert scene.rows("SELECT connections FROM batchsend.shares") == [(2,), (2,)]

    play(real, script, far=1.0)


def test_a_worker_for_whom_no_lot_is_free_takes_nothing_of_the_rate(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=60, lot=60, rate="2/s")
        scene.work(1)
        await scene.until(lambda: len(scene.sent) >= 4)
        scene.work(2)
        await asyncio.sleep(5.0)
        assert [rate for _, _, rate in scene.rows(_SHARES)] == [2.0]

    play(real, script)


def test_sessions_end_with_a_relay_that_another_worker_was_told_to_leave_alone(real: RealDatabase) -> None:
    told = (
        "INSERT INTO batchsend.relays (relay, asleep_until, because) "
        "SELECT relays[1], clock_timestamp() + interval '1 hour', '5.4.5 enough' FROM batchsend.campaigns"
    )

    async def script(scene: Scene) -> None:
        await scene.publish(records=100, lot=50, rate="2/s")
        scene.work()
        await scene.until(lambda: len(scene.sent) >= 4 and scene.relays[0].open > 0)
        scene.rows(told)
        since = scene.now
        assert await scene.until(lambda: not scene.relays[0].open) - since <= 3.0

    play(real, script)


@pytest.mark.parametrize("whose", ["campaign", "relay"])
def test_a_slow_rate_is_the_clusters_too(real: RealDatabase, whose: str) -> None:
    async def script(scene: Scene) -> None:
        if whose == "campaign":
            await scene.publish(records=300, lot=5, rate="1/s")
        else:
            await scene.publish(records=300, lot=5, edit=of_server('rate = "1/s"'))
        for number in (1, 2, 3):
            scene.work(number)
        await asyncio.sleep(60.0)
        assert most_within(scene.sent, 30.0) <= 34
        assert len(scene.sent) >= 45

    play(real, script)


def test_of_a_quota_small_parts_are_granted(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=50, lot=10, rate="1/s", quota="100000/day")
        scene.work()
        await scene.until(lambda: scene.rows("SELECT FROM batchsend.quota_held") != [])
        [(held,)] = scene.rows("SELECT held FROM batchsend.quota_held")
        assert 0 < held <= 100
        await scene.until(lambda: len(scene.sent) >= 40)
        [(held,)] = scene.rows("SELECT held FROM batchsend.quota_held")
        assert held <= 100, "however long it sends"

    play(real, script)


def test_what_is_answered_is_stored_at_once(real: RealDatabase) -> None:
    """And not with the next message, which is a while away."""

    async def script(scene: Scene) -> None:
        await scene.publish(records=3, rate="6/min")
        scene.work()
        sent = await scene.until(lambda: len(scene.sent) == 1)
        accepted = "SELECT FROM batchsend.account WHERE status = 'accepted'"
        assert await scene.until(lambda: bool(scene.rows(accepted))) - sent <= 0.4

    play(real, script)


def test_a_quota_is_used_up_exactly_by_all_workers_together(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=100, lot=5, rate="20/s", quota="41/day")
        for number in (1, 2):
            scene.work(number)
        await asyncio.sleep(20.0)
        assert len(scene.sent) == 41
        [quota] = (await scene.ask(status)).quotas
        assert quota.figures == "41 of 41/day"
        assert quota.used_up == pytest.approx(86_400.0, abs=60.0)

    play(real, script)


def test_one_message_counts(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        await scene.publish(records=1, quota="5/day")
        scene.work()
        await scene.until(lambda: scene.rows("SELECT state FROM batchsend.campaigns") == [("done",)])
        await asyncio.sleep(3.0)
        assert scene.rows("SELECT figures FROM batchsend.quotas") == [("1 of 5/day",)]

    play(real, script)


def test_a_quota_that_is_not_used_up_slows_nobody_down(real: RealDatabase) -> None:
    """What is granted follows the pace: here twice as much in a second as is granted at first."""
    seconds = []

    async def script(scene: Scene) -> None:
        quota = of_delivery('quota = "100000/day"')
        for name, edit in (("free", of_delivery("")), ("counted", quota)):
            before = len(scene.sent)
            await scene.publish(name, records=900, lot=100, max_connections=20, edit=edit)
            began = scene.now
            if not before:
                scene.work()
            await scene.until(lambda: len(scene.sent) == before + 900)  # noqa: B023 - it is waited for
            seconds.append(scene.now - began)

    play(real, script)
    free, counted = seconds
    assert counted <= free + 3.0


# --- when something is due --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [0.0, -3600.0, 20.0])
def test_nothing_is_sent_before_the_start_and_then_it_begins(real: RealDatabase, clock: float) -> None:
    """On the database's clock, whatever the machine's says; and the relay's warm-up begins with the first message."""
    begins = (int(EPOCH) // 60 + 2) * 60
    first = "SELECT first FROM batchsend.quotas"

    async def script(scene: Scene) -> None:
        start = f"{datetime.fromtimestamp(begins, UTC):%Y-%m-%d %H:%M}"
        warm_up = of_server('warm_up = ["100/day"]')
        await scene.publish(records=20, lot=10, edit=warm_up, start=start, timezone="UTC")
        scene.work()
        await asyncio.sleep(begins - EPOCH - 2.0)
        assert scene.rows(_SHARES), "it is heard of"
        assert scene.rows(first) == [(None,)]
        await asyncio.sleep(10.0)
        assert 0.0 <= scene.sent[0] + EPOCH - begins <= 2.5
        assert len(scene.sent) == 20
        assert scene.rows(first) != [(None,)]

    play(real, script, clocks=(clock,))


def test_nothing_more_is_begun_when_the_window_is_over(real: RealDatabase) -> None:
    """What waits in the worker, neither; and it stays there for the next day."""
    closes = (int(EPOCH) // 60 + 2) * 60

    async def script(scene: Scene) -> None:
        window = f'window = ["Mon-Sun 08:00-{datetime.fromtimestamp(closes, UTC):%H:%M}"]\ntimezone = "UTC"'
        await scene.publish(records=500, lot=100, rate="2/s", edit=of_delivery(window))
        scene.work()
        await asyncio.sleep(closes - EPOCH + 10.0)
        assert len(scene.sent) >= 100
        assert scene.sent[-1] + EPOCH - closes <= 1.0
        assert scene.rows(_SHARES)

    play(real, script)


def test_pauses_before_further_attempts_double_up_to_an_hour(real: RealDatabase) -> None:
    async def script(scene: Scene) -> None:
        def deferred(attempt: int) -> list[tuple[Any, ...]]:
            return scene.rows(
                "SELECT extract(epoch FROM due - clock_timestamp())::float8 FROM batchsend.account "
                "WHERE status = 'deferred' AND attempt = $1",
                attempt,
            )

        await scene.publish(records=4, lot=4, retry_after="30m", max_attempts=6)
        scene.work()
        pauses = []
        for attempt in (1, 2, 3, 4):
            await scene.until(lambda: len(deferred(attempt)) == 4)  # noqa: B023 - it is waited for
            pauses += [(attempt, seconds) for (seconds,) in deferred(attempt)]
            await asyncio.sleep(1.0)
            for table in ("account", "lots"):  # its time comes
                scene.rows(f"UPDATE batchsend.{table} SET due = clock_timestamp()")
        expected = {1: 1800.0, 2: 3600.0, 3: 3600.0, 4: 3600.0}
        assert [
            (attempt, pause)
            for attempt, pause in pauses
            if not 0.74 * expected[attempt] <= pause <= 1.25 * expected[attempt]
        ] == []

    play(real, script, replies=(Reply(relay=0, stage=Stage.CONTENT, nth=1, says=LATER, again=100),))


def test_a_deferred_record_is_offered_when_its_pause_is_over(real: RealDatabase) -> None:
    """Not with another one of its lot whose pause is over sooner; and not much later."""
    records = 12

    async def script(scene: Scene) -> None:
        await scene.publish(records=records, lot=records, rate="20/s", retry_after="20s", max_attempts=3)
        scene.work()
        await scene.until(lambda: len(scene.sent) == records)
        await asyncio.sleep(2.0)
        found = scene.rows("SELECT record, extract(epoch FROM due)::float8 FROM batchsend.account")
        due = {record: moment - EPOCH for record, moment in found}
        assert len(due) == records
        await scene.until(lambda: len(scene.sent) == 2 * records)
        late = [moment - due[record] for moment, record in scene.offered[records:]]
        assert min(late) >= -0.5
        assert max(late) <= 2.5

    play(real, script, replies=(Reply(relay=0, stage=Stage.CONTENT, nth=1, says=LATER, again=records - 1),))
