"""What a run does while its list is being read: how much is left, who is offered again, and what changes meanwhile."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from batchsend import Batch, Delivery, Outcome, Rate, RunError, Stage, UsageError, load
from batchsend.run import outlook
from batchsend.run.outlook import Outlook, Rest
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.test_batch import campaign, log
from tests.tools.faulty import ACCEPT, Action, refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tools.virtual import VirtualLoop

COUNT = 200


def rows(count: int) -> str:
    """All of the same length, so that the octets that were read tell how many records are left."""
    return "".join(f"r{number:04}@example.com,N{number:04}\n" for number in range(1, count + 1))


class Watched(CountingServer):
    """Calls something back when the message of a certain record is there, and defers those that it is to defer once.

    Args:
        at: The record, and what is called.
        later: Whom it refuses at their first attempt.
    """

    def __init__(self, at: dict[int, Callable[[], None]], later: tuple[int, ...] = ()) -> None:
        super().__init__(self._decide)
        self.offered: list[str] = []
        self._at = {name(number): call for number, call in at.items()}
        self._later = {name(number) for number in later}

    def _decide(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.CONTENT and recipient in self._at:
            self._at.pop(recipient)()
        if stage is Stage.RCPT and recipient is not None:
            self.offered.append(recipient)
            if recipient in self._later:
                self._later.discard(recipient)
                return refuse(450, "4.2.0 later")
        return ACCEPT


def name(number: int) -> str:
    return f"r{number:04}@example.com"


class Run:
    """A run of a list of some hundred records at ten a second, by the loop's clock.

    Attributes:
        batch: The run.
        server: The server.
        error: What ended it early, or None.
    """

    batch: Batch
    server: Watched
    error: RunError | None = None

    def __init__(
        self,
        loop: VirtualLoop,
        folder: Path,
        at: dict[int, Callable[[Run], None]],
        later: tuple[int, ...] = (),
        *,
        count: int = COUNT,
        limit: int | None = None,
        **delivery: str | int,
    ) -> None:
        async def main() -> None:
            calls: dict[int, Callable[[], None]] = {number: lambda act=act: act(self) for number, act in at.items()}  # type: ignore[misc]
            async with Watched(calls, later) as self.server:
                how = {"max_connections": 1, "rate": "10/s", **delivery}
                sent = campaign(folder, self.server, rows(count), **how)
                self.batch = Batch(sent, limit=limit)
                try:
                    await self.batch.run()
                except RunError as error:
                    self.error = error

        loop.run(main)


def look(run: Run, told: list[tuple[int | None, float | None]]) -> None:
    told.append((run.batch.left, run.batch.progress))


def test_it_says_about_how_many_are_left(loop: VirtualLoop, tmp_path: Path) -> None:
    """Of those that were read, the batch that waits for room in the pool may count as done."""
    told: list[tuple[int | None, float | None]] = []
    run = Run(loop, tmp_path, {100: lambda run: look(run, told)})
    ((left, progress),) = told
    assert left == pytest.approx(101, abs=65)
    assert progress == pytest.approx(0.5, abs=0.33)
    assert len(run.server.accepted) == COUNT
    assert {path.name for path in tmp_path.iterdir()} == {"recipients.csv", "campaign.toml", "results.jsonl"}


def test_of_a_list_that_was_read_whole_it_says_exactly_how_many_are_left(loop: VirtualLoop, tmp_path: Path) -> None:
    told: list[tuple[int | None, float | None]] = []
    at: dict[int, Callable[[Run], None]] = dict.fromkeys((1, 31), lambda run: look(run, told))
    Run(loop, tmp_path, at, count=60)
    assert told == [(60, 0.0), (30, pytest.approx(0.5))]


@pytest.mark.slow
def test_of_a_limit_it_says_exactly_how_many_are_left(loop: VirtualLoop, tmp_path: Path) -> None:
    """Those who wait for another attempt are among them."""
    told: list[tuple[int | None, float | None]] = []
    later = (1, 2, 3, 4, 5, 6)
    run = Run(loop, tmp_path, {100: lambda run: look(run, told)}, later, limit=150, retry_after="10m")
    ((left, progress),) = told
    assert left == 150 - 93
    assert progress == pytest.approx(93 / 150, abs=0.02)
    assert len(run.server.accepted) == 150


@pytest.mark.slow
def test_who_was_deferred_is_offered_again_while_the_list_is_read(loop: VirtualLoop, tmp_path: Path) -> None:
    run = Run(loop, tmp_path, {}, later=(1,), count=600, retry_after="2s")
    assert len(run.server.accepted) == 600
    first, again = (place for place, one in enumerate(run.server.offered) if one == name(1))
    assert first == 0
    assert again < 500


def test_a_rate_that_is_set_while_it_goes_on_holds_from_then_on(loop: VirtualLoop, tmp_path: Path) -> None:
    times: list[float] = []

    def faster(run: Run) -> None:
        run.batch.steering.set_rate(None, "the test")

    Run(
        loop,
        tmp_path,
        {1: lambda run: times.append(loop.time()), 100: faster, COUNT: lambda run: times.append(loop.time())},
    )
    first, last = times
    assert 9.5 < last - first < 12
    assert [line["change"] for line in log(tmp_path)[0] if "change" in line] == [{"rate": None}], "the log says so"


async def test_what_is_changed_before_it_begins_is_in_the_log(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server, rows(10)))
        batch.steering.pause("the test")
        batch.steering.go_on("the test")
        batch.steering.set_connections(2, "the test")
        summary = await batch.run()
    assert +summary.counts == {Outcome.ACCEPTED: 10}
    changes = [line["change"] for line in log(tmp_path)[0] if "change" in line]
    assert changes == [{"paused": True}, {"paused": False}, {"max_connections": 2}]


def test_a_log_that_is_taken_away_stops_the_run(loop: VirtualLoop, tmp_path: Path) -> None:
    """A second later, in which ten are sent."""
    run = Run(loop, tmp_path, {42: lambda run: (tmp_path / "results.jsonl").unlink()})
    assert run.error is not None
    assert len(run.server.accepted) < 42 + 15
    assert run.batch.rest == Rest(COUNT - len(run.server.accepted), is_exact=True)


def with_another_line(tmp_path: Path) -> None:
    """The list is written to in its place."""
    text = (tmp_path / "recipients.csv").read_text().replace("N0200", "N02OO")
    with (tmp_path / "recipients.csv").open("r+") as file:
        file.write(text)


@pytest.mark.slow
def test_a_list_that_has_changed_is_not_read_for_those_who_were_deferred(loop: VirtualLoop, tmp_path: Path) -> None:
    """Whoever stands in a place now need not be who stood there."""
    run = Run(loop, tmp_path, {COUNT: lambda run: with_another_line(tmp_path)}, later=(COUNT - 1,), retry_after="2m")
    assert run.server.offered.count(name(COUNT - 1)) == 1
    assert run.error is not None
    assert "recipients.csv" in run.error.message


@pytest.mark.slow
def test_one_that_was_only_touched_is(loop: VirtualLoop, tmp_path: Path) -> None:
    def touch(run: Run) -> None:
        os.utime(tmp_path / "recipients.csv", (0, 0))

    run = Run(loop, tmp_path, {COUNT: touch}, later=(COUNT - 1,), retry_after="2m")
    assert run.error is None
    assert +run.batch.summary.counts == {Outcome.ACCEPTED: COUNT}


def test_a_long_list_that_is_written_to_while_it_is_read_stops_the_run(loop: VirtualLoop, tmp_path: Path) -> None:
    run = Run(loop, tmp_path, {50: lambda run: with_another_line(tmp_path)}, count=5000, rate="1000/s")
    assert run.error is not None
    assert "recipients.csv" in run.error.message
    assert len(run.server.accepted) < 5000


def with_another_list(folder: Path) -> None:
    """As an export that is made anew does it: another takes its name, and the one that is open is as it was."""
    (folder / "new.csv").write_text("email,name\nother@example.com,Other\n")
    (folder / "new.csv").replace(folder / "recipients.csv")


@pytest.mark.slow
def test_one_that_another_takes_the_place_of_is_read_to_its_end(loop: VirtualLoop, tmp_path: Path) -> None:
    run = Run(loop, tmp_path, {50: lambda run: with_another_list(tmp_path)}, count=3000, rate="1000/s")
    assert run.error is None
    assert len(run.server.accepted) == 3000


@pytest.mark.slow
def test_who_stands_in_no_list_any_more_when_he_is_due_waits_no_longer(loop: VirtualLoop, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def look(run: Run) -> None:
        told.append((run.batch.summary.waiting, run.batch.summary.counts[Outcome.DEFERRED]))

    at: dict[int, Callable[[Run], None]] = {2: lambda run: with_another_list(tmp_path), 590: look}
    run = Run(loop, tmp_path, at, later=(1,), count=600, retry_after="2s")
    assert told == [(0, 1)]
    assert run.error is not None
    assert len(run.server.accepted) == 599


@pytest.mark.slow
def test_whom_a_second_reading_does_not_come_to_waits_no_longer(loop: VirtualLoop, tmp_path: Path) -> None:
    """The list changes in the midst of it: those who are handed over by then are sent to, the others are deferred."""
    deferred: list[int] = []

    def offered_again(run: Run) -> None:
        if not deferred:  # from here on more are due than the pool has room for
            run.batch.steering.set_rate(Rate.parse("10/s"), "the test")
        if len(deferred) == 150:
            with_another_list(tmp_path)
        deferred.append(run.batch.summary.counts[Outcome.DEFERRED])

    everybody = tuple(range(1, 601))
    at: dict[int, Callable[[Run], None]] = dict.fromkeys(everybody, offered_again)
    run = Run(loop, tmp_path, at, everybody, count=600, rate="10000/s", retry_after="2s")
    assert deferred[:150] == [0] * 150
    assert deferred[-1] > 0
    assert run.error is not None
    assert len(run.server.accepted) == len(deferred) < 600


async def test_a_list_that_is_written_to_as_the_run_begins_is_refused_and_nobody_is_sent_anything(
    tmp_path: Path,
) -> None:
    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server, rows(10)))
        await batch.prepare()
        with (tmp_path / "recipients.csv").open("a") as file:
            file.write("r9999@example.com,N9999\n")
        with pytest.raises(UsageError, match=r"recipients\.csv was written to as the run began"):
            await batch.run()
        assert server.accepted == []
        assert not (tmp_path / "results.jsonl").exists()


async def test_a_list_that_is_written_to_as_the_last_of_it_is_offered_ends_the_run_in_error(tmp_path: Path) -> None:
    """Whoever was read last may have stood there in another's place."""
    listed = tmp_path / "recipients.csv"

    def notice(said: str) -> None:
        if "has no name for" in said:  # which is said when all of it is read
            listed.write_text(listed.read_text().replace("N2", "M2"))

    async with CountingServer(well_behaved) as server, asyncio.timeout(GUARD):
        batch = Batch(campaign(tmp_path, server), notice=notice)
        listed.write_text("email,name,\na@example.com,N1,moved\nb@example.com,N2,\n")
        with pytest.raises(RunError, match=r"recipients\.csv has changed"):
            await batch.run()


def test_who_waits_when_a_run_is_stopped_is_left_and_stays_deferred(loop: VirtualLoop, tmp_path: Path) -> None:
    run = Run(loop, tmp_path, {20: lambda run: run.batch.stop("enough")}, later=(1, 2), retry_after="1h")
    summary, sent = run.batch.summary, len(run.server.accepted)
    assert (+summary.counts, summary.waiting) == ({Outcome.ACCEPTED: sent, Outcome.DEFERRED: 2}, 0)
    assert run.batch.rest == Rest(COUNT - sent, is_exact=True)


def reckoning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SimpleNamespace, Any]:
    """A clock, and what is asked of a run that has 1,000 records left and sends 1,000,000 a day at most."""
    clock = SimpleNamespace(monotonic=0.0, time=1_800_000_000.0)
    monkeypatch.setattr(outlook, "time", SimpleNamespace(monotonic=lambda: clock.monotonic, time=lambda: clock.time))
    (tmp_path / "recipients.csv").write_text("email\n")
    toml = 'recipients = "recipients.csv"\n[server]\nhost = "smtp.example.com"\n[message]\nfrom = "a@example.com"\n'
    (tmp_path / "campaign.toml").write_text(f'{toml}subject = "s"\ntext = "t"\n[delivery]\nquota = "1000000/day"\n')
    batch = SimpleNamespace(
        campaign=load(tmp_path / "campaign.toml"),
        summary=SimpleNamespace(records=0),
        steering=SimpleNamespace(held=False, paused=False, rate=None),
        meters=SimpleNamespace(sent=list, began=None),
        statistics=SimpleNamespace(asleep=None),
        left=1000,
        rest=None,
    )
    return clock, batch


@pytest.mark.parametrize("held_by", ["its hours", "a quota"])
def test_the_pace_is_that_of_the_time_in_which_it_could_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_by: str
) -> None:
    """A night between two windows does not make the rest of the list take longer."""
    clock, batch = reckoning(tmp_path, monkeypatch)
    reckoned = Outlook(batch)
    for second in range(21):
        clock.monotonic = batch.summary.records = second
        done = reckoned.done()
    assert done == pytest.approx(clock.time + 1000, abs=1)
    for second in range(21, 1201):
        is_held = 50 <= second % 600 < 550
        batch.steering.held = is_held and held_by == "its hours"
        batch.statistics.asleep = SimpleNamespace(until=clock.time) if is_held and held_by == "a quota" else None
        clock.monotonic = second
        batch.summary.records += 0 if is_held else 1
        done = reckoned.done()
    assert done == pytest.approx(clock.time + 1000, abs=20)


def test_when_it_will_be_done_is_not_told_while_it_is_paused_or_nobody_knows_how_much_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, batch = reckoning(tmp_path, monkeypatch)
    reckoned = Outlook(batch)
    for left, paused, is_told in ((1000, False, True), (1000, True, False), (None, False, False), (10, False, True)):
        batch.left, batch.steering.paused = left, paused
        clock.monotonic += 10
        assert (reckoned.done() is not None) is is_told


def test_when_it_will_be_done_holds_for_some_seconds_and_is_asked_again_sooner_where_it_was_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, batch = reckoning(tmp_path, monkeypatch)
    batch.summary.records = 7  # in no time: that says nothing of the pace
    assert Outlook(batch).done() == clock.time, "a million a day are allowed at once"
    reckoned, batch.left, batch.summary.records = Outlook(batch), None, 0
    assert reckoned.done() is None
    batch.left, clock.monotonic = 1000, 3.0
    first = reckoned.done()
    assert first is not None
    batch.left, clock.monotonic = 2_000_000, 5.0
    assert reckoned.done() == first
    clock.monotonic = 20.0
    assert (reckoned.done() or 0) > first + 80_000, "a day later"


def test_where_only_the_pace_decides_it_is_not_told_when_it_will_be_done_unless_it_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, batch = reckoning(tmp_path, monkeypatch)
    batch.campaign = replace(batch.campaign, delivery=Delivery())
    reckoned = Outlook(batch)
    for second in range(21):
        clock.monotonic = batch.summary.records = second
        assert reckoned.done() is None
    batch.statistics.asleep = SimpleNamespace(until=clock.time + 3600)
    clock.monotonic = 30.0
    assert reckoned.done() == pytest.approx(clock.time + 3600 + 1000, abs=1)
