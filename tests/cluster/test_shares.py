"""What the workers of a campaign share: rate, connections, quotas, and what each learns of a relay; and its page.

Each worker renews its share here when the test says so, and nothing is sent.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from batchsend.campaign.loader import load
from batchsend.cluster import lots
from batchsend.cluster.page import ClusterLive
from batchsend.cluster.quotas import SharedMeter, SharedQuotas
from batchsend.cluster.sharing import SharedLimits
from batchsend.cluster.status import drop
from batchsend.errors import RefusalError, RunError
from tests.cluster.fencing import LONG, METER, NEW, OLD, RELAY, SIZE, THIRD, WAITS, Scene, outcome, submission
from tests.cluster.house import GUARD, write_campaign

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.cluster.serving import Serving
    from batchsend.delivery.quota import Meter
    from tests.cluster.postgres import Postgres

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_factories=["asyncio"])]


async def test_who_stops_leaves_its_share_and_its_quota_to_the_others(scene: Scene) -> None:
    shares = "SELECT count(*) FROM batchsend.shares WHERE campaign = $1"
    held = "SELECT sum(held)::int FROM batchsend.quota_held WHERE campaign = $1"
    async with scene.serving(NEW) as serving:
        await serving.share()
        assert await scene.sql(shares, scene.number) == [(1,)]
        assert await scene.sql(held, scene.number) == [(15,)]
    assert await scene.sql(shares, scene.number) == [(0,)]
    assert await scene.sql(held, scene.number) == [(0,)]


async def shares(scene: Scene) -> list[tuple[Any, ...]]:
    """The part of the rate and the connections of each worker."""
    found = "SELECT round(part::numeric, 3)::float8, connections FROM batchsend.shares WHERE campaign = $1"
    return await scene.sql(f"{found} ORDER BY worker", scene.number)


def connections(*servings: Serving) -> list[int]:
    """How many sessions each may have."""
    return [relay.limits.most for serving in servings for relay in serving.pool.relays]


async def test_each_worker_has_the_same_part_and_the_connections_that_are_left_over_go_to_the_first(
    scene: Scene,
) -> None:
    held = "SELECT worker, held::int FROM batchsend.quota_held WHERE campaign = $1 ORDER BY worker"
    async with scene.serving(OLD) as one, scene.serving(NEW) as two:
        await one.share()
        assert await shares(scene) == [(1.0, 5)]
        await two.share()
        assert await shares(scene) == [(1.0, 5), (0.0, 0)], "it waits until the other has given something up"
        await one.share()
        assert await shares(scene) == [(0.5, 3), (0.0, 0)]
        await two.share()
        assert await shares(scene) == [(0.5, 3), (0.5, 2)]
        assert await scene.sql(held, scene.number) == [(OLD, 0), (NEW, 8)], "half of the 15 that nobody needs"
        async with scene.serving(THIRD) as three:
            for serving in 2 * (one, two, three):
                await serving.share()
            assert await shares(scene) == [(0.333, 2), (0.333, 2), (0.333, 1)]
            assert connections(one, two, three) == [2, 2, 1]
        for serving in (one, two):
            await serving.share()
        assert await shares(scene) == [(0.5, 3), (0.5, 2)]
        assert connections(one, two) == [3, 2]


async def test_who_has_only_a_claim_may_not_send_yet(scene: Scene) -> None:
    async with scene.serving(OLD) as one, scene.serving(NEW) as two:
        both = [
            SharedLimits(
                scene.number,
                [RELAY],
                worker,
                serving.pool,
                campaign=scene.campaign,
                quotas=SharedQuotas(scene.number, scene.campaign, [RELAY], worker),
            )
            for worker, serving in ((OLD, one), (NEW, two))
        ]
        may = [await scene.database.call(limits.update) for limits in (*both, *both)]
    assert may == [True, False, True, True]


async def test_who_comes_to_a_relay_that_takes_fewer_sessions_than_there_are_workers_ends(scene: Scene) -> None:
    most = "INSERT INTO batchsend.relays (relay, most_connections, most_until) VALUES ($1, 2, now() + interval '1 min')"
    await scene.sql(most, RELAY)
    async with scene.serving(OLD) as one, scene.serving(NEW) as two, scene.serving(THIRD) as three:
        for serving in 2 * (one, two, three):
            await serving.share()
        assert await shares(scene) == [(0.5, 1), (0.5, 1)]
        assert (one.stopped, two.stopped, three.stopped) == (False, False, True)
        await scene.sql("UPDATE batchsend.relays SET most_connections = 1 WHERE relay = $1", RELAY)
        for serving in (one, two):
            await serving.share()
        assert await shares(scene) == [(0.5, 1)], "who has no share any more counts for nobody"
        assert (one.stopped, two.stopped) == (False, True)


async def test_nobody_takes_more_of_the_rate_than_the_others_have_left(scene: Scene) -> None:
    async with scene.serving(OLD) as one, scene.serving(NEW) as two, scene.serving(THIRD) as three:
        for serving in (one, two, one, two, three, one, three):
            await serving.share()
        assert await shares(scene) == [(0.333, 2), (0.5, 2), (0.167, 1)]


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "not reached"])
async def test_that_a_relay_refuses_us_is_told_once(scene: Scene, refused: bool) -> None:
    """That it cannot be reached from here says nothing of elsewhere."""
    refuses = "SELECT refuses FROM batchsend.relays WHERE relay = $1"
    async with scene.serving(NEW) as serving:
        await serving.share()
        [relay] = serving.pool.relays
        relay.retire(RefusalError("554 not you") if refused else RunError("nobody is there"))
        await serving.share()
        assert await scene.sql(refuses, RELAY) == ([("554 not you",)] if refused else [])
        if refused:
            await scene.sql("UPDATE batchsend.relays SET refuses = '554 nor you' WHERE relay = $1", RELAY)
            await serving.share()
            assert await scene.sql(refuses, RELAY) == [("554 nor you",)]


async def test_what_is_found_of_a_relay_is_told_once_and_a_quota_of_ours_is_known(scene: Scene) -> None:
    """Whoever lets a campaign go on has seen to what its relays said: they do not hear it again."""
    told = "SELECT because, asleep_until IS NULL, most_connections FROM batchsend.relays WHERE relay = $1"
    async with scene.serving(NEW) as serving:
        await serving.share()
        [relay] = serving.pool.relays
        now = asyncio.get_running_loop().time()
        relay.rest(now, 1800.0, "15/day")
        await serving.share()
        assert await scene.sql(told, RELAY) == []
        found = "9/h, as its refusals have shown"
        relay.rest(now, 3600.0, found)
        relay.limits.too_many_connections(2, now)
        await serving.share()
        assert await scene.sql(told, RELAY) == [(found, False, 1)]
        forget = "UPDATE batchsend.relays SET asleep_until = NULL, most_connections = NULL WHERE relay = $1"
        await scene.sql(forget, RELAY)
        await serving.share()
        assert await scene.sql(told, RELAY) == [(found, True, None)]


async def test_of_a_campaign_that_is_gone_nothing_is_left(scene: Scene) -> None:
    async with scene.serving(NEW) as serving:
        await serving.share()
    await scene.sql("UPDATE batchsend.campaigns SET state = 'stopped' WHERE id = $1", scene.number)
    await drop(scene.database, "fencing")
    for table in ("lots", "files", "account", "shares", "quota_held"):
        assert await scene.sql(f"SELECT count(*) FROM batchsend.{table} WHERE campaign = $1", scene.number) == [(0,)]
    for table in ("quotas", "quota_used"):
        found = f"SELECT count(*) FROM batchsend.{table} WHERE meter = $1"
        assert await scene.sql(found, f"campaign {scene.number}") == [(0,)]


async def test_what_one_worker_meets_at_a_relay_holds_for_the_others(scene: Scene) -> None:
    async with scene.serving(OLD) as one, scene.serving(NEW) as other:
        for serving in (one, other, one, other):
            await serving.share()
        [met], [told] = one.pool.relays, other.pool.relays
        now = asyncio.get_running_loop().time()
        before = told.limits.most
        met.sleep(now, 3600.0, "5.4.5 Daily sending quota exceeded")
        met.limits.too_many_connections(2, now)
        await one.share()
        await other.share()
        assert told.asleep_until == pytest.approx(now + 3600.0, abs=5.0)
        assert told.sleeps_because == "5.4.5 Daily sending quota exceeded"
        assert (before, told.limits.most) == (2, 1), "of the 3 that one found to be allowed while the other had 2"
        [(remembered,)] = await scene.sql(
            "SELECT extract(epoch FROM most_until - clock_timestamp())::float8 FROM batchsend.relays WHERE relay = $1",
            RELAY,
        )
        assert remembered == pytest.approx(600.0, abs=10.0)
        until = met.asleep_until, told.asleep_until
        await one.share()
        await other.share()
        assert (met.asleep_until, told.asleep_until) == until, "they are put to sleep once"


async def test_a_pace_that_one_worker_is_told_is_too_fast_is_cut_by_each_and_told_once(scene: Scene) -> None:
    slower = "SELECT slower, slowed_by FROM batchsend.relays WHERE relay = $1"
    async with scene.serving(OLD) as one, scene.serving(NEW) as other:
        for serving in (one, other, one, other):
            await serving.share()
        assert await scene.sql(slower, RELAY) == []
        [met], [told] = one.pool.relays, other.pool.relays
        assert met.throttle.slow_down(asyncio.get_running_loop().time(), 100.0)
        await one.share()
        assert await scene.sql(slower, RELAY) == [(1, OLD)]
        assert told.throttle.cuts == 0
        for serving in (other, one, other):
            await serving.share()
        assert (met.throttle.cuts, told.throttle.cuts) == (1, 1)
        assert await scene.sql(slower, RELAY) == [(1, OLD)]


async def test_a_relay_that_has_refused_another_worker_is_not_tried(scene: Scene) -> None:
    await scene.sql("INSERT INTO batchsend.relays (relay, refuses) VALUES ($1, $2)", RELAY, "554 5.7.1 not you")
    ending = scene.serving(NEW)
    serving = await ending.__aenter__()
    await serving.share()
    [relay] = serving.pool.relays
    assert isinstance(relay.out_of_service, RefusalError)
    with pytest.raises(RefusalError, match="not you"):
        await ending.__aexit__(None, None, None)


async def test_the_page_shows_a_campaign_from_the_database(scene: Scene) -> None:
    lot = await scene.take(NEW, LONG)
    assert lot is not None
    await scene.store(NEW, outcome(lot, 1, "accepted"), outcome(lot, 2, "accepted"), outcome(lot, 3, "rejected"))
    assert await scene.commit(NEW, lot, 4)
    await scene.sql(
        "INSERT INTO batchsend.shares (campaign, worker, part, connections, pace, until) "
        "VALUES ($1, $2, 1, 5, 2, now() + interval '1 min')",
        *(scene.number, NEW),
    )
    await scene.sql("DELETE FROM batchsend.workers WHERE id <> ALL($1::bigint[])", [OLD])
    lacks = "UPDATE batchsend.workers SET lacks = $2, accepted = 1200, pace = 2 WHERE id = $1"
    await scene.sql(lacks, OLD, json.dumps({"1": "needs a key"}))
    live = ClusterLive(scene.database, "fencing")
    assert live.encoded == b""
    await live.refresh()
    shown = json.loads(live.encoded)
    names = "name", "state", "said", "accepted", "pace", "sessions", "quotas"
    worker = dict(zip(names, ("one", "ready", "needs a key", "1,200", "2/s", "", []), strict=True))
    assert [row for row in shown["relays"] if row["state"] == "ready"] == [worker]
    assert {name: value for name, value in shown.items() if name not in ("relays", "outcomes")} == {
        "state": "sending",
        "notes": ["needs a key"],
        "share": "15 %",
        "said": "20 records, 2 accepted",
        "figures": [["Pace", "2/s", "1 worker"], ["Lots", "0 of 2", "1 leased"], ["Left", "17", "8.5 s left"]],
        "chart": None,
        "quotas": [],
        "replies": [],
        "sessions": [],
        "sessions_said": "1 message stored as under way",
        "paused": False,
        "stopping": False,
        "rate": None,
        "connections": 0,
    }
    assert [(row["kind"], row["count"], row["part"]) for row in shown["outcomes"]] == [
        ("accepted", "2", 10.0),
        ("rejected", "1", 5.0),
    ]
    await scene.store(OLD, outcome(lot, 5, "accepted"))
    await scene.sql("UPDATE batchsend.shares SET pace = 0.5 WHERE campaign = $1", scene.number)
    await live.refresh()
    shown = json.loads(live.encoded)
    assert len(shown["chart"]["columns"]) == 1, "of the first second"
    assert shown["figures"][2] == ["Left", "16", ""], "less than one a second tells nothing of the end"


async def test_the_page_follows_what_becomes_of_a_campaign(scene: Scene) -> None:
    live = ClusterLive(scene.database, "fencing")

    async def shown() -> dict[str, Any]:
        await live.refresh()
        found: dict[str, Any] = json.loads(live.encoded)
        return found | {"outcomes": [(row["kind"], row["count"], row["part"]) for row in found["outcomes"]]}

    lot = await scene.take(NEW, LONG)
    assert lot is not None
    await scene.sql("DELETE FROM batchsend.lots WHERE campaign = $1 AND lot > 0", scene.number)
    await scene.sql("UPDATE batchsend.lots SET count = 1 WHERE campaign = $1", scene.number)
    await scene.sql(
        "INSERT INTO batchsend.shares (campaign, worker, part, connections, pace, until) "
        "VALUES ($1, $2, 1, 5, 1, now() + interval '1 min')",
        *(scene.number, NEW),
    )
    one = await shown()
    assert (one["share"], one["said"]) == ("0 %", "1 record, 0 accepted")
    assert one["outcomes"] == [("accepted", "0", 0.0)]
    assert one["sessions_said"] == "0 messages stored as under way"
    assert one["chart"] is None

    await scene.store(NEW, outcome(lot, 1, "accepted"))
    one = await shown()
    assert (one["share"], one["said"]) == ("100 %", "1 record, 1 accepted")
    assert one["outcomes"] == [("accepted", "1", 100.0)]
    assert one["figures"][2] == ["Left", "0", ""]

    await scene.sql("UPDATE batchsend.lots SET count = 3 WHERE campaign = $1", scene.number)
    await scene.store(NEW, outcome(lot, 2, "rejected"))
    one = await shown()
    assert one["outcomes"] == [("accepted", "1", 33.333), ("rejected", "1", 33.333)]
    assert one["figures"][2] == ["Left", "1", "1.0 s left"]
    said = " ".join(column["title"] for column in one["chart"]["columns"])
    assert sorted(re.findall(r"\d+ [a-z]{2,}", said)) == ["1 accepted", "1 rejected"]

    await scene.sql("UPDATE batchsend.campaigns SET state = 'paused' WHERE id = $1", scene.number)
    one = await shown()
    assert (one["state"], one["paused"]) == ("paused", True)
    assert one["figures"][2] == ["Left", "1", ""], "nobody knows when it goes on"


# --- quotas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lease", "grant"),
    [(0.0, -1.0), (LONG, -1.0), (0.0, LONG)],
    ids=["both are over", "its lease holds", "its grant holds"],
)
async def test_what_a_silent_worker_was_granted_is_free_once_it_can_send_no_more(
    scene: Scene, lease: float, grant: float
) -> None:
    """It is reckoned by its account then, to which nothing may come any more; before, all that was granted counts."""
    over = lease <= 0 and grant <= 0
    old = await scene.take(OLD, lease)
    assert old is not None
    assert await scene.commit(OLD, old, 1)
    meter = f"campaign {scene.number}"
    await scene.sql("INSERT INTO batchsend.quotas (meter, campaign) VALUES ($1, $2)", meter, scene.number)
    await scene.sql(
        "INSERT INTO batchsend.quota_held (meter, campaign, worker, held, reported, until) "
        "VALUES ($1, $2, $3, 5, 0, clock_timestamp() + $4 * interval '1 second')",
        *(meter, scene.number, OLD, grant),
    )
    quotas = SharedQuotas(scene.number, scene.campaign, [RELAY], NEW)
    await scene.database.call(quotas.settle)
    [(held, reported)] = await scene.sql(
        "SELECT held, reported FROM batchsend.quota_held WHERE meter = $1 AND worker = $2", meter, OLD
    )
    assert (held, reported) == ((0, 1) if over else (5, 0))
    assert await scene.commit(OLD, old, 2) is not over


async def by_the_minute(scene: Scene, folder: Path, *counted: tuple[str, int]) -> tuple[list[int], Meter]:
    """What a worker asks for of a quota of a relay's, which is 10 a minute.

    Args:
        scene: Where.
        folder: Where the campaign file is.
        counted: How long ago messages were sent through the relay, and how many.

    Returns:
        What the database still counts, and what the worker knows.
    """
    path = write_campaign(folder / "minute", 25, 1)
    path.write_text(path.read_text().replace('tls = "none" }', 'tls = "none", quota = "10/min" }'))
    await scene.sql("INSERT INTO batchsend.quotas (meter) VALUES ($1)", METER)
    used = "INSERT INTO batchsend.quota_used VALUES ($1, clock_timestamp() - $2::text::interval, $3)"
    for ago, count in counted:
        await scene.sql(used, METER, ago, count)
    quotas = SharedQuotas(scene.number, load(path), [RELAY], NEW)
    await scene.database.call(quotas.settle)
    [meter] = quotas.meters.relays.values()
    left = "SELECT count::int FROM batchsend.quota_used WHERE meter = $1 ORDER BY moment"
    return [count for (count,) in await scene.sql(left, METER)], meter


async def test_a_quota_by_the_minute_forgets_nothing_that_another_campaign_counts_by_the_day(
    scene: Scene, tmp_path: Path
) -> None:
    """Of the same relay; what is older than a day counts for nobody."""
    left, meter = await by_the_minute(scene, tmp_path, ("25 hours", 1), ("23 hours", 7), ("30 seconds", 3))
    assert left == [7, 3]
    assert meter.figures(0.0) == [("10/min", 3, 10)]
    assert meter.used_up(0.0) is None


async def test_a_quota_is_used_up_until_enough_of_what_counts_is_out_of_its_window(
    scene: Scene, tmp_path: Path
) -> None:
    before = ("2 minutes", 9), ("40 seconds", 1), ("30 seconds", 8), ("10 seconds", 5)
    _, meter = await by_the_minute(scene, tmp_path, *before)
    assert meter.figures(0.0) == [("10/min", 14, 10)]
    assert str(meter.used_up(0.0)) == "10/min"
    assert meter.wait(0.0) == pytest.approx(30.0, abs=5.0), "then 5 are left"
    told = "SELECT figures, extract(epoch FROM used_up_until - clock_timestamp())::float8 FROM batchsend.quotas"
    [(figures, seconds)] = await scene.sql(f"{told} WHERE meter = $1", METER)
    assert figures == "14 of 10/min"
    assert seconds == pytest.approx(30.0, abs=5.0)


async def test_of_a_lost_worker_whose_campaign_was_dropped_all_that_it_was_granted_counts(
    scene: Scene, tmp_path: Path
) -> None:
    """Nobody knows what it has sent; of a campaign that there is, the account does, and it says nothing here."""
    held = "INSERT INTO batchsend.quota_held VALUES ($1, $2, $3, 4, 0, clock_timestamp() - interval '1 second')"
    for campaign in (scene.number, -1):
        await scene.sql(held, METER, campaign, OLD)
    left, _ = await by_the_minute(scene, tmp_path)
    assert left == [4]
    still = "SELECT campaign, held::int FROM batchsend.quota_held WHERE meter = $1 AND worker = $2 ORDER BY campaign"
    assert await scene.sql(still, METER, OLD) == [(-1, 0), (scene.number, 0)]


async def test_who_has_something_to_send_keeps_what_it_was_granted(scene: Scene) -> None:
    held = "SELECT worker, held::int, reported::int FROM batchsend.quota_held WHERE campaign = $1"
    async with scene.serving(OLD) as one, scene.serving(NEW) as two:
        await one.share()
        taken = await scene.database.call(lambda connection: lots.take(connection, scene.number, OLD, LONG, SIZE))
        assert taken is not None
        one.account.give(one.account.take_over(taken), [submission(1)], one.pool)
        for serving in (two, one):
            await serving.share()
        assert await scene.sql(held, scene.number) == [(OLD, 15, 0)]


async def test_a_grant_holds_for_five_seconds(scene: Scene, tmp_path: Path) -> None:
    """From before it was asked for here, and from after that in the database."""
    clock = asyncio.get_running_loop().time
    began = clock()
    _, meter = await by_the_minute(scene, tmp_path)
    ended = clock()
    assert isinstance(meter, SharedMeter)
    assert meter.granted is not None
    assert began + 5.0 <= meter.granted.until <= ended + 5.0
    holds = "SELECT extract(epoch FROM until - clock_timestamp())::float8 FROM batchsend.quota_held WHERE meter = $1"
    [(seconds,)] = await scene.sql(holds, METER)
    assert began + 4.9 <= clock() + seconds
    assert seconds <= 5.0


@pytest.mark.parametrize(("held", "reported", "untold"), [(5, 0, 2), (5, 1, 1), (5, 2, 0), (1, 0, 1)])
async def test_of_what_a_lost_worker_was_granted_that_counts_which_it_has_stored_and_not_told_of(
    scene: Scene, tmp_path: Path, held: int, reported: int, untold: int
) -> None:
    old = await scene.take(OLD, 0.0)
    assert old is not None
    for record in (1, 2):
        assert await scene.commit(OLD, old, record)
    was_held = "INSERT INTO batchsend.quota_held VALUES ($1, $2, $3, $4, $5, clock_timestamp() - interval '1 second')"
    await scene.sql(was_held, METER, scene.number, OLD, held, reported)
    left, _ = await by_the_minute(scene, tmp_path)
    assert sum(left) == untold
    still = "SELECT held::int, reported::int FROM batchsend.quota_held WHERE meter = $1 AND worker = $2"
    assert await scene.sql(still, METER, OLD) == [(0, reported + untold)]


async def test_rows_of_quotas_are_locked_in_the_order_of_their_names(
    scene: Scene, shared_postgres: Postgres, tmp_path: Path
) -> None:
    """Two campaigns may name the same relays in another order, and would wait for each other."""
    path = write_campaign(tmp_path / "two", 25, 1)
    one = 'host = "127.0.0.1", port = %d, tls = "none", quota = "9/day"'
    two = f"server = [{{ {one % 26} }}, {{ {one % 25} }}]"
    path.write_text(re.sub(r"^server = .*$", two, path.read_text(), flags=re.MULTILINE))
    relays = ["127.0.0.1:26", RELAY]
    meters = [f"relay {relay}" for relay in relays]
    await scene.sql("INSERT INTO batchsend.quotas (meter) SELECT unnest($1::text[])", meters)
    quotas = SharedQuotas(scene.number, load(path), relays, NEW)
    locking = await asyncpg.connect(shared_postgres.url)
    try:
        async with asyncio.timeout(GUARD):
            async with locking.transaction():
                await locking.execute("SELECT FROM batchsend.quotas WHERE meter = $1 FOR UPDATE", METER)
                settling = asyncio.create_task(scene.database.call(quotas.settle, seconds=GUARD))
                while not await locking.fetchval(WAITS):  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
                await locking.execute("SELECT FROM batchsend.quotas WHERE meter = $1 FOR UPDATE NOWAIT", meters[0])
            await settling
    finally:
        await locking.close()
        for table in ("quotas", "quota_held"):
            await scene.sql(f"DELETE FROM batchsend.{table} WHERE meter = $1", meters[0])
