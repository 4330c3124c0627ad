"""The runs of a case, one after the other, as people begin them: by the same way as the command line."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchsend.campaign import Overrides, load
from batchsend.errors import RunError, UsageError
from batchsend.results.choice import Choice
from batchsend.results.journal import JournalError, read_journal
from batchsend.results.resumption import Resumption
from batchsend.run.batch import Batch
from tests.simulation.relay import address
from tests.simulation.world import PORT, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.case import Case, Life, Relay

SECOND_SIGNAL: Final = 2.0
"""Seconds from the first signal to the second one."""

_CAMPAIGN: Final = """\
recipients = "{recipients}"
{servers}
[message]
from = "from@example.com"
return_path = "from+{{{{ number }}}}@example.com"
subject = "Record {{{{ number }}}}"
text = "Record {{{{ number }}}} begins here.\\n.\\n..dots\\n{{{{ filling }}}}\\nRecord {{{{ number }}}} ends here."
[delivery]
processes = 1
{delivery}
"""

_SERVER: Final = """\
[[server]]
name = "relay {number}"
host = "{host}"
port = {port}
tls = "none"
"""


def write_list(path: Path, count: int, changed: int = 0) -> None:
    """Write a list of so many records, of which one may be another than it was."""
    rows = "".join(
        f"{address(number)},{number},{'x' * (number * 7919 % 4000 if number % 5 == 0 else 3)}\n"
        for number in range(1, count + 1)
    )
    if changed:
        rows = rows.replace(f"{address(changed)},", f"else{changed}@example.com,")
    path.write_text(f"email,number,filling\n{rows}")


def campaign_text(relays: tuple[Relay, ...], delivery: dict[str, int | str], recipients: str) -> str:
    """A campaign to these relays, whose messages say which record they are of."""
    servers = []
    for number, relay in enumerate(relays):
        host = "localhost" if relay.addresses > 1 else "127.0.0.1"
        lines = _SERVER.format(number=number, host=host, port=PORT + number)
        if relay.login:
            lines += 'username = "someone"\npassword = "secret"\n'
        if len(relays) > 1:
            lines += "priority = 1\nweight = 1\n"
        servers.append(lines)
    said = "".join(
        f"{name} = {value}\n" if isinstance(value, int) else f'{name} = "{value}"\n' for name, value in delivery.items()
    )
    return _CAMPAIGN.format(recipients=recipients, servers="".join(servers), delivery=said)


class Ended(NamedTuple):
    """What a run came to.

    Attributes:
        how: ``done``, ``stopped``, ``refused``, ``cancelled`` or ``killed``.
        said: Why, where it was stopped or refused.
        unanswered: What a killed run left in its journal without an answer.
        taken: How many messages relays had taken when it began and when it had ended.
        resumed: It went on with a run.
    """

    how: str
    said: str
    unanswered: int | None
    taken: tuple[int, int]
    resumed: bool


class People:
    """Whoever begins the runs of a case.

    Args:
        case: What they do.
        world: Where.

    Attributes:
        records: How many records the list has by now.
        ended: What each run came to.
        wrong: What must not be.
    """

    def __init__(self, case: Case, world: World) -> None:
        self.case = case
        self.world = world
        self.records = case.records
        self.ended: list[Ended] = []
        self.wrong: list[str] = []
        self._second: asyncio.Task[tuple[str, str]] | None = None
        self._list = world.folder / "recipients.csv"
        write_list(self._list, case.records)
        self._campaign = world.folder / "campaign.toml"
        self._campaign.write_text(campaign_text(case.relays, case.delivery, self._list.name))

    async def live(self) -> None:
        """All the runs of the case."""
        for number, life in enumerate(self.case.lives):
            if life.list == "grown":
                self.records += max(3, self.records // 4)
                grown = self.world.folder / f"grown-{number}.csv"
                write_list(grown, self.records)
                self._list = grown
            self.ended.append(await self._live(life))
            await asyncio.sleep(life.pause)

    @property
    def _taken(self) -> int:
        return sum(len(relay.accepted) for relay in self.world.relays)

    @property
    def _has_begun(self) -> bool:
        results = self.world.results
        return results.exists() and results.stat().st_size > 0

    async def _live(self, life: Life) -> Ended:
        """One run, until it ends or is ended."""
        world = self.world
        taken, resumed = self._taken, self._has_begun
        batches: list[Batch] = []
        running: list[asyncio.Task[tuple[str, str]]] = []
        ending = self._ending(life, running, batches)
        world.begin(life.disk, {} if ending is None or not life.event else {life.event: ending})
        running.append(world.loop.create_task(self._run(life, batches)))
        timers = self._meanwhile(life, running[0])
        if ending is not None and not life.event:
            timers.append(world.loop.call_later(life.after, ending))
        try:
            how, said = await running[0]
        except asyncio.CancelledError:
            how, said = "cancelled", ""
        killed = world.is_killed
        world.rest()
        for timer in timers:
            timer.cancel()
        await self._end_second()
        self._move_log_back()
        if killed:
            return Ended("killed", "", self._unanswered(life), (taken, self._taken), resumed)
        return Ended(how, said, None, (taken, self._taken), resumed)

    def _ending(
        self, life: Life, running: list[asyncio.Task[tuple[str, str]]], batches: list[Batch]
    ) -> Callable[[], None] | None:
        """What ends the run before its time; None where nothing does."""
        loop = self.world.loop

        def kill() -> None:
            self.world.kill(power=life.ends == "power")
            loop.call_soon(running[0].cancel)

        def stop() -> None:
            for batch in batches:
                batch.stop("stopped by SIGTERM")

        def cancel() -> None:
            loop.call_soon(running[0].cancel)

        def hurry() -> None:
            stop()
            loop.call_later(SECOND_SIGNAL, running[0].cancel)

        does = {"kill": kill, "power": kill, "stop": stop, "cancel": cancel, "hurry": hurry}
        return does.get(life.ends)

    def _meanwhile(self, life: Life, first: asyncio.Task[tuple[str, str]]) -> list[asyncio.TimerHandle]:
        """What people do while the run goes on."""
        loop = self.world.loop
        timers = [loop.call_later(after, self._set_clock, by) for by, after in life.jumps]
        if life.moved is not None:
            timers.append(loop.call_later(life.moved, self._move_log))
        if life.twice:
            timers.append(loop.call_later(0.05, self._begin_second, life, first))
        return timers

    async def _run(self, life: Life, batches: list[Batch], *, first: bool = True) -> tuple[str, str]:
        results = self.world.results
        try:
            if self._has_begun:
                await self._resume(results, life, batches)
            else:
                await self._send(results, life, batches)
        except RunError as error:
            return "stopped", error.message
        except UsageError as error:
            if first and not self._taken and self.ended and self.ended[-1].how == "killed":
                # The machine went down as the run began: nobody has been sent anything, and it is begun anew.
                for left in self.world.home.glob("results.jsonl*"):
                    left.unlink()
            return "refused", error.message
        return "done", ""

    async def _send(self, results: Path, life: Life, batches: list[Batch]) -> None:
        overrides = Overrides(recipients=str(self._list), results=str(results), **_options(life))
        batch = Batch(load(self._campaign, overrides=overrides), overrides=overrides.held)
        batches.append(batch)
        await batch.run()

    async def _resume(self, results: Path, life: Life, batches: list[Batch]) -> None:
        with Resumption(results, Choice(life.retry)) as past:
            earlier = past.account.run
            path = self._list if life.list != "changed" else self._changed_list()
            overrides = Overrides(recipients=str(path), results=str(results), **_options(life)).upon(past.account.held)
            campaign = load(Path(earlier.campaign), overrides=overrides)
            batch = Batch(campaign, overrides=overrides.held, resumption=past)
            batches.append(batch)
            await batch.run()

    def _changed_list(self) -> Path:
        changed = self.world.folder / "changed.csv"
        write_list(changed, self.records, changed=max(1, self.case.records // 2))
        return changed

    # --- what people do meanwhile -------------------------------------------------------------------------------------

    def _set_clock(self, by: float) -> None:
        self.world.ahead += by

    def _begin_second(self, life: Life, first: asyncio.Task[tuple[str, str]]) -> None:
        """Somebody begins the same once more: one of the two must be refused, whichever is later at the log."""
        if not self.world.results.exists() or first.done():
            return
        self._second = self.world.loop.create_task(self._run(life, [], first=False))

        def judge(ended: asyncio.Task[tuple[str, str]]) -> None:
            with suppress(asyncio.CancelledError):
                if ended.result()[0] != "refused" and not first.done():
                    first.add_done_callback(partial(judge_both, ended.result()))

        def judge_both(second: tuple[str, str], ended: asyncio.Task[tuple[str, str]]) -> None:
            with suppress(asyncio.CancelledError):
                if ended.result()[0] != "refused":
                    self.wrong.append(f"two at once, of which none was refused: {second}, {ended.result()}")

        self._second.add_done_callback(judge)

    async def _end_second(self) -> None:
        second, self._second = self._second, None
        if second is not None:
            second.cancel()
            await asyncio.wait([second])

    def _move_log(self) -> None:
        with suppress(FileNotFoundError):
            self.world.results.rename(self.world.home / "moved.jsonl")

    def _move_log_back(self) -> None:
        """Who has moved the log away moves it back, over an empty one that somebody has made there."""
        moved = self.world.home / "moved.jsonl"
        if moved.exists() and not (self.world.results.exists() and self.world.results.stat().st_size):
            moved.rename(self.world.results)

    def _unanswered(self, life: Life) -> int | None:
        """How many messages a killed run has left without an answer; None where that cannot be known."""
        if not self.world.results.exists():
            return 0
        with suppress(JournalError):
            left = read_journal(self.world.results)
            unanswered = set() if left is None else {entry.record for entry in left.entries if entry.status is None}
            if life.ends == "kill" and (named := unanswered & self.world.not_under_way):
                self.wrong.append(f"called in doubt by a kill, and known not to be under way: {sorted(named)}")
            return len(unanswered)
        return None


def _options(life: Life) -> dict[str, Any]:
    return dict(life.options)
