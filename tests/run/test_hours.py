"""A campaign that keeps to its hours, over nights, weekends and a change of the clock; the relay's own account counts.

The loop's clock is the relay's, the run's and the machine's: a weekend takes no longer than what happens in it.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import struct
import time
import zoneinfo
from contextlib import asynccontextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from batchsend import Batch, Delivery, RunError, Stage
from batchsend.campaign.windows import Schedule, Start, Window, Zone
from batchsend.run.hours import Hours
from batchsend.run.steering import Steering
from tests.cli.commandline import statuses
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.run.limited import Commands, LimitedRelay, recipients
from tests.test_batch import campaign
from tests.tools.faulty import ACCEPT, Action

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.tools.virtual import VirtualLoop

BERLIN = ZoneInfo("Europe/Berlin")
WORKDAYS = 'timezone = "Europe/Berlin"\nwindow = ["Mon-Fri 08:00-18:00"]\nmax_connections = 2'


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


class TimedRelay(LimitedRelay):
    """Takes everything.

    Attributes:
        times: When each message was begun: the moment at which its MAIL came.
        latest: The number of the newest connection.
    """

    def __init__(self) -> None:
        super().__init__(lambda *_: False, "")
        self.times: list[float] = []
        self.latest = 0

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        del transaction, recipient
        self.latest = max(self.latest, connection)
        if stage is Stage.MAIL:
            self.times.append(time.time())
        return ACCEPT


@pytest.fixture
def commands(
    loop: VirtualLoop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    # Each look is a step of the loop, and there would be a hundred thousand in a weekend.
    monkeypatch.setattr("batchsend.run.handing_over._LOOK_EVERY", 3600.0)
    monkeypatch.setattr("batchsend.run.hours._LONGEST_LOOK", 3600.0)
    return Commands(loop, tmp_path, capsys, monkeypatch)


@pytest.fixture
def set_clock(loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the machine's clock, which goes on with the loop's."""

    def set_to(text: str) -> None:
        ahead = at(text) - loop.time()
        monkeypatch.setattr(time, "time", lambda: loop.time() + ahead)

    return set_to


def test_nothing_is_begun_outside_the_windows_and_all_of_it_arrives(
    commands: Commands, set_clock: Callable[[str], None]
) -> None:
    set_clock("2026-11-27 17:58")  # a Friday
    with commands.serving(TimedRelay()) as relay:
        ended = commands.send(commands.campaign(relay, 40, f'{WORKDAYS}\nrate = "600/h"'), "--wait")
        assert ended.code == 0, ended
        assert relay.taken == dict.fromkeys(recipients(40), 1)
        schedule = Schedule([Window.parse("Mon-Fri 08:00-18:00")], Zone("Europe/Berlin"))
        assert [moment for moment in relay.times if not schedule.is_open(moment)] == []
        before = [moment for moment in relay.times if moment < at("2026-11-27 18:00")]
        assert 18 <= len(before) <= 22, "two minutes' worth"
        assert min(set(relay.times) - set(before)) == pytest.approx(at("2026-11-30 08:00"), abs=5)
        assert "nothing is begun until Mon 30 Nov 08:00 (Europe/Berlin): it is outside its windows" in ended.errors
        assert relay.latest >= 2, "the sessions of Friday have ended"


@pytest.mark.parametrize(
    ("clock", "window", "opens"),
    [
        ("2026-03-28 12:00", "Sun 02:30-05:00", "2026-03-29 03:00"),  # that morning goes from two to three at once
        ("2026-10-24 12:00", "Sun 03:00-05:00", "2026-10-25 03:00"),
        ("2026-11-27 12:00", "Fri 22:00-02:00", "2026-11-27 22:00"),
        ("2026-11-28 02:00", "Fri 22:00-02:00", "2026-12-04 22:00"),
    ],
)
def test_it_goes_on_when_the_window_opens(
    clock: str, window: str, opens: str, commands: Commands, set_clock: Callable[[str], None]
) -> None:
    set_clock(clock)
    delivery = f'timezone = "Europe/Berlin"\nwindow = ["{window}"]\nmax_wait = "forever"'
    with commands.serving(TimedRelay()) as relay:
        ended = commands.send(commands.campaign(relay, 5, delivery))
        assert ended.code == 0, ended
        assert relay.taken == dict.fromkeys(recipients(5), 1)
        assert min(relay.times) == pytest.approx(at(opens), abs=5)
        assert min(relay.times) >= at(opens)


def test_a_wait_that_is_not_too_long_is_waited_for(commands: Commands, set_clock: Callable[[str], None]) -> None:
    set_clock("2026-11-27 18:00")
    delivery = 'timezone = "Europe/Berlin"\nwindow = ["Fri 22:00-02:00"]\nmax_wait = "5h"'
    with commands.serving(TimedRelay()) as relay:
        assert commands.send(commands.campaign(relay, 5, delivery)).code == 0
        assert min(relay.times) >= at("2026-11-27 22:00")


def test_a_wait_that_is_too_long_ends_the_run_and_says_when_to_go_on(
    commands: Commands, set_clock: Callable[[str], None]
) -> None:
    set_clock("2026-11-27 17:59")
    with commands.serving(TimedRelay()) as relay:
        ended = commands.send(commands.campaign(relay, 40, f'{WORKDAYS}\nrate = "600/h"'))
        assert ended.code == 3, ended
        assert "nothing may be begun until Mon 30 Nov 08:00 (Europe/Berlin)" in ended.errors
        assert "go on at Mon 30 Nov 08:00 (Europe/Berlin) or later: batchsend resume" in ended.errors
        assert "to let it wait by itself: --wait" in ended.errors
        assert 8 <= len(relay.times) <= 12
        assert re.search(
            rf"\b{40 - len(relay.times)} left; gone on with, done at 600/h, Mon-Fri 08:00-18:00 \(Europe/Berlin\): "
            r"Monday 30 November, about 08:10",
            ended.errors,
        ), ended.errors
        assert set(statuses(commands.log).values()) == {"accepted"}
        set_clock("2026-11-30 08:00")
        assert commands.resume().code == 0
        assert relay.taken == dict.fromkeys(recipients(40), 1)


@pytest.fixture
def skipping_zone(tmp_path: Path) -> Iterator[str]:
    """The name of a zone whose clock goes from two to three every Sunday of a winter, and back at one in the day.

    It is a file of RFC 9636 with two kinds of local time, first of all those that the machine knows.
    """
    first = int(datetime.fromisoformat("2026-11-22T02:00:00+00:00").timestamp())
    changes = [first + week * 7 * 86400 + hours * 3600 for week in range(12) for hours in (0, 10)]
    kinds = struct.pack(">lBBlBB", 0, 0, 0, 3600, 1, 0) + b"A\0"  # each: seconds ahead of UTC, whether DST, its name
    counts = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, len(changes), 2, 2)
    body = struct.pack(f">{len(changes)}q", *changes) + bytes([1, 0] * (len(changes) // 2)) + kinds
    nothing = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 2) + kinds[:6] + b"A\0"
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "Skipping").write_bytes(nothing + counts + body + b"\nA0\n")
    known = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(tmp_path / "zones"), *known])
    try:
        yield "Skipping"
    finally:
        zoneinfo.reset_tzpath(known)


def test_windows_that_the_clock_always_skips_end_the_run_at_once(
    commands: Commands, set_clock: Callable[[str], None], skipping_zone: str
) -> None:
    set_clock("2026-11-27 12:00")
    with commands.serving(TimedRelay()) as relay:
        delivery = f'timezone = "{skipping_zone}"\nwindow = ["Sun 02:00-03:00"]\nmax_wait = "1h"'
        ended = commands.send(commands.campaign(relay, 5, delivery))
        assert ended.code == 3, ended
        assert "its windows never open" in ended.errors
        assert "change window in [delivery]: the clock skips that hour" in ended.errors
        assert relay.times == []


def test_a_run_that_has_begun_everything_is_not_ended_by_its_window(
    commands: Commands, set_clock: Callable[[str], None]
) -> None:
    set_clock("2026-11-27 17:59:30")
    with commands.serving(TimedRelay()) as relay:
        ended = commands.send(commands.campaign(relay, 5, f'{WORKDAYS}\nrate = "10/min"'))
        assert ended.code == 0, ended


def test_nothing_is_sent_before_the_start(commands: Commands, set_clock: Callable[[str], None]) -> None:
    set_clock("2026-12-01 08:50")
    start = 'timezone = "Europe/Berlin"\nstart = "2026-12-01 09:00"'
    with commands.serving(TimedRelay()) as relay:
        ended = commands.send(commands.campaign(relay, 5, f'{start}\nmax_wait = "5m"'))
        assert ended.code == 3, ended
        assert relay.times == []
        assert "nothing may be begun until Tue 01 Dec 09:00 (Europe/Berlin): that is its start" in ended.errors
        assert commands.resume("--wait").code == 0
        assert min(relay.times) >= at("2026-12-01 09:00")
        assert min(relay.times) == pytest.approx(at("2026-12-01 09:00"), abs=5)
        assert relay.taken == dict.fromkeys(recipients(5), 1)


def hours(*windows: str, start: str | None = None) -> tuple[Hours, Steering]:
    """What keeps a run to some windows in Berlin and to a start, and what it holds the run back by."""
    steering = Steering(Delivery(), lambda _: None)
    starts = None if start is None else Start.parse(start)
    schedule = Schedule([Window.parse(window) for window in windows], Zone("Europe/Berlin"), starts)
    return Hours(schedule, math.inf, steering, lambda _: None), steering


def test_it_closes_a_moment_before_a_window_ends_and_opens_when_one_begins() -> None:
    """A busy loop is not late for the end by that moment."""
    looking, steering = hours("Mon-Fri 08:00-18:00")
    found = []
    for now in ("07:59:59.875", "08:00", "17:59:59.625", "17:59:59.750", "17:59:59.875", "18:00"):
        seconds = looking.look(at(f"2026-11-27 {now}"))  # a Friday
        found.append((seconds, steering.closed_until))
    weekend, monday = 62 * 3600, at("2026-11-30 08:00")
    assert found == [
        (0.125, at("2026-11-27 08:00")),
        (35999.75, None),
        (0.125, None),
        (weekend + 0.25, monday),
        (weekend + 0.125, monday),
        (weekend, monday),
    ]


@pytest.mark.parametrize(
    ("start", "why"), [("2026-11-27 15:00", "that is its start"), ("2026-11-27 13:00", "it is outside its windows")]
)
def test_what_is_waited_for_is_its_start_only_where_it_begins_with_that(start: str, why: str) -> None:
    looking, steering = hours("Fri 14:00-18:00", start=start)
    looking.look(at("2026-11-27 12:00"))
    opens = "15:00" if why == "that is its start" else "14:00"
    assert steering.why_held == f"nothing is begun until Fri 27 Nov {opens} (Europe/Berlin): {why}"


def test_whoever_looks_on_is_told_from_the_first_moment_that_nothing_is_begun(
    loop: VirtualLoop, tmp_path: Path
) -> None:
    seen: list[str | None] = []
    batch: Batch

    @asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        seen.append(batch.steering.why_held)
        yield

    async def main() -> None:
        nonlocal batch
        async with CountingServer(well_behaved) as server:
            batch = Batch(campaign(tmp_path, server, start="2100-01-01 09:00", max_wait="1s"), beside=beside)
            with pytest.raises(RunError, match="that is its start"):
                await batch.run()
        assert server.connections == []

    loop.run(main)
    assert [said is not None and "that is its start" in said for said in seen] == [True]


def test_a_run_that_is_paused_is_not_ended_by_its_hours(loop: VirtualLoop, tmp_path: Path) -> None:
    batch: Batch
    ended = False
    seen: list[bool] = []

    async def go_on_later() -> None:
        await asyncio.sleep(60)
        seen.append(ended)
        batch.steering.go_on("the test")

    @asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        nonlocal ended
        later = asyncio.create_task(go_on_later())
        try:
            yield
        finally:
            ended = True
            await later

    async def main() -> None:
        nonlocal batch
        async with CountingServer(well_behaved) as server:
            batch = Batch(campaign(tmp_path, server, start="2100-01-01 09:00", max_wait="1s"), beside=beside)
            batch.steering.pause("the test")
            with pytest.raises(RunError, match="that is its start"):
                await batch.run()

    loop.run(main)
    assert seen == [False]


def test_where_it_looks_shortly_before_a_window_ends_it_is_not_late_for_that(
    loop: VirtualLoop, set_clock: Callable[[str], None]
) -> None:
    looking, steering = hours("Mon-Fri 08:00-18:00")
    pool: Any = SimpleNamespace(statistics=lambda: SimpleNamespace(backlog=1))

    async def main() -> float:
        running = asyncio.create_task(looking.run(pool))
        async with asyncio.timeout(GUARD):
            while steering.closed_until is None:
                await steering.changed.wait()
        running.cancel()
        return time.time()

    set_clock("2026-11-27 17:59:59.700")  # a Friday
    assert loop.run(main) == pytest.approx(at("2026-11-27 17:59:59.750"), abs=0.1)


def test_what_is_changed_holds_for_whoever_goes_on(commands: Commands, set_clock: Callable[[str], None]) -> None:
    set_clock("2026-11-27 17:59")
    with commands.serving(TimedRelay()) as relay:
        assert commands.send(commands.campaign(relay, 40, f'{WORKDAYS}\nrate = "20/min"')).code == 3
        run = json.loads(commands.log.read_text().splitlines()[0])["run"]["id"]
        change = {
            "run": {"id": run, "changed": "2026-11-27T17:59:30.000Z", "change": {"rate": "6/min"}, "by": "control"}
        }
        first, _, rest = commands.log.read_text().partition("\n")
        commands.log.write_text(f"{first}\n{json.dumps(change)}\n{rest}")
        set_clock("2026-11-30 08:00")
        relay.times.clear()
        ended = commands.resume()
        assert ended.code == 0, ended
        assert "with --rate 6/min" in ended.errors
        pauses = [later - earlier for earlier, later in zip(relay.times, relay.times[1:], strict=False)]
        assert min(pauses[1:]) > 9.9


@pytest.mark.parametrize(("count", "max_wait"), [(60, "forever"), pytest.param(2_000, "1h", marks=pytest.mark.slow)])
def test_days_of_quotas_warm_up_and_windows_with_not_one_message_too_many(
    count: int, max_wait: str, commands: Commands, loop: VirtualLoop, set_clock: Callable[[str], None]
) -> None:
    hourly, daily = count // 30, count // 6
    limits = f'{WORKDAYS}\nquota = ["{hourly}/h", "{daily}/day"]\nmax_wait = "{max_wait}"'
    schedule = Schedule([Window.parse("Mon-Fri 08:00-18:00")], Zone("Europe/Berlin"))
    set_clock("2026-11-26 15:30")  # a Thursday
    with commands.serving(TimedRelay()) as relay:
        campaign = commands.campaign(relay, count, limits)
        toml = campaign.read_text().replace("[message]", f'warm_up = ["{daily // 2}/day"]\n[message]')
        campaign.write_text(toml)
        ended = commands.send(campaign)
        for _ in range(200):
            if ended.code != 3:
                break
            loop.advance(3600)
            ended = commands.resume()
        assert ended.code == 0, ended
        assert relay.taken == dict.fromkeys(recipients(count), 1)
        assert [moment for moment in relay.times if not schedule.is_open(moment)] == []
        for most, seconds in ((hourly, 3600), (daily, 86400)):
            spans = [later - earlier for earlier, later in zip(relay.times, relay.times[most:], strict=False)]
            assert min(spans) >= seconds - 1, f"more than {most} messages in {seconds} s"
        first_day = [moment for moment in relay.times if moment < relay.times[0] + 86400]
        assert len(first_day) <= daily // 2
        assert relay.times[-1] > at("2026-12-02 08:00"), "it has taken days"
