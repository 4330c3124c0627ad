"""One campaign, killed again and again and resumed each time; the server's own account says whether that went well."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from batchsend import Outcome, Stage
from batchsend.results.journal import read_journal
from tests.crash.disk import Disk
from tests.crash.house import CAMPAIGN
from tests.crash.processes import STRACE, Launcher, launcher, run_traced
from tests.tools.faulty import ACCEPT, Action, FaultyServer, Then, drop, refuse

if TYPE_CHECKING:
    from pathlib import Path


class Mode(NamedTuple):
    """What the server offers, and the depth that goes with it."""

    pipelining: bool
    chunking: bool
    depth: int


MODES = {
    "pipelined": Mode(pipelining=True, chunking=False, depth=1),
    "lockstep": Mode(pipelining=False, chunking=False, depth=1),
    "chunked": Mode(pipelining=True, chunking=True, depth=16),
}
CALLS = {"write": 400, "read": 400, "openat": 800, "mmap": 300, "pwrite64": 1, "rename": 1, "unlink": 1, "flock": 1}
"""System calls at which a run is killed, those of the log, the journal and the sockets, and how many a run makes."""

GUARD = 60.0
"""Seconds after which a run hangs."""

_AT_ONCE = 4

_AT_ROTATION = 0.75
"""The share of the kills that are to fall at a rotation; not every run comes to one."""

_KILLED = -signal.SIGKILL
_RUN_LINE = re.compile(rb'\{"run":[^\n\0]*\}\n')
_UNANSWERED = "the run was killed before the server answered"
_ANSWERED = "the run was killed before it could write"

_DELIVERY = """\
max_connections = {connections}
max_messages = {max_messages}
depth = {depth}
max_attempts = 2
retry_after = "20ms"
durability = "{durability}"
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a trial is made of.

    Attributes:
        mode: What the server offers.
        connections: Sessions open at once.
        max_messages: Messages of a session before it is rotated.
        faults: How many of a hundred records meet a fault.
        records: How many records there are.
        kills: How often the run is killed at most.
        traced: How many of these by strace.
        seed: What the moments and the faults come from.
        power: Each kill is the machine's, which loses what was not synced.
    """

    mode: str
    connections: int
    max_messages: int
    faults: int
    records: int
    kills: int
    traced: int
    seed: int
    power: bool = False

    @property
    def depth(self) -> int:
        """How many transactions of a session may be unanswered."""
        return MODES[self.mode].depth


@dataclass(slots=True)
class Findings:
    """What came of a trial, or of several.

    Attributes:
        runs: Runs begun.
        kills: Runs killed.
        at_rotation: Of these, killed as a session said QUIT while its successor was sending.
        records: Records in all.
        outcomes: The last outcome of every record.
        most_in_doubt: The most records that one kill left in doubt; each kill is held against the bound.
        bound: How many it may have left: of each session, and of one that takes its leave while its successor sends, as
            many as are unanswered at once; twice that where the power fails.
        most_places: The most places of the journal that one kill left taken.
        recovered: Outcomes that the journal knew and the log did not.
        wrong: What must not be: one line each.
    """

    runs: int = 0
    kills: int = 0
    at_rotation: int = 0
    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    most_in_doubt: int = 0
    bound: int = 0
    most_places: int = 0
    recovered: int = 0
    wrong: list[str] = field(default_factory=list)


class Faults:
    """The server's decisions: a few records meet a fault, each once, and a chosen event kills the run."""

    KINDS = (
        refuse(550, "5.1.1 no such user"),
        refuse(451, "4.3.0 later"),
        refuse(421, "4.3.2 going down"),
        drop(succeeds=True),
        drop(succeeds=False),
        drop(Then.RESET, succeeds=True),
    )

    def __init__(self, setting: Setting, moments: random.Random, launched: Launcher) -> None:
        self._launched = launched
        self._left: int | None = None
        self._rotations: int | None = None
        self._sending: set[int] = set()  # connections with a transaction that has no final reply
        self._delay = 0.0
        self.fell_at_rotation = False
        chosen = moments.sample(range(1, setting.records + 1), setting.records * setting.faults // 100)
        self._kinds = {
            address(record): (moments.choice((Stage.RCPT, Stage.DATA, Stage.CONTENT)), moments.choice(self.KINDS))
            for record in chosen
        }

    def begin_run(self) -> None:
        """A run begins, and nothing is to kill it yet."""
        self._left = self._rotations = None
        self._sending.clear()
        self.fell_at_rotation = False

    def kill_at(self, event: int, delay: float) -> None:
        """Kill the run so many seconds after so many events from now."""
        self._left, self._delay = event, delay

    def kill_at_rotation(self, rotation: int, delay: float) -> None:
        """Kill the run at the n-th rotation: a session says QUIT while one that was opened later is sending."""
        self._rotations, self._delay = rotation, delay

    def quitting(self, connection: int) -> None:
        """A session says QUIT."""
        self._sending.discard(connection)
        if self._rotations is None or not any(other > connection for other in self._sending):
            return
        self._rotations -= 1
        if self._rotations <= 0:
            self._rotations = None
            self.fell_at_rotation = True
            self._kill()

    def _kill(self) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._launched.kill)
        else:
            self._launched.kill()

    def __call__(self, connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        """Decide; see `tests.tools.faulty.Decide`."""
        if stage is Stage.MAIL:
            self._sending.add(connection)
        elif stage is Stage.CONTENT:
            self._sending.discard(connection)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._left = None
                self._kill()
        if recipient is not None and (fault := self._kinds.get(recipient)) is not None and fault[0] is stage:
            del self._kinds[recipient]
            return fault[1]
        return ACCEPT


class _RotationServer(FaultyServer):
    """Says when a session takes its leave."""

    decide: Faults

    async def quitting(self, connection: int) -> None:
        self.decide.quitting(connection)


def address(record: int) -> str:
    """The recipient of a record."""
    return f"r{record}@example.com"


async def run_trial(setting: Setting, directory: Path, launched: Launcher, findings: Findings) -> None:
    """Send, kill, resume, kill … until a run comes to its end; then hold the log against the server's account."""
    moments = random.Random(setting.seed)
    decide = Faults(setting, moments, launched)
    rows = "".join(f"{address(record)}\n" for record in range(1, setting.records + 1))
    (directory / "recipients.csv").write_text(f"email\n{rows}")
    results, output = directory / "results.jsonl", directory / "output.txt"
    findings.records = setting.records
    findings.bound = (setting.connections + 1) * min(setting.depth, setting.max_messages)
    if setting.power:
        # What a place of a session was taken for last may be on the disk, and what became of the one before not yet.
        findings.bound *= 2
    mode = MODES[setting.mode]
    async with _RotationServer(decide, pipelining=mode.pipelining, chunking=mode.chunking) as server:
        (directory / "campaign.toml").write_text(
            CAMPAIGN.format(
                port=server.port,
                delivery=_DELIVERY.format(
                    connections=setting.connections,
                    max_messages=setting.max_messages,
                    depth=setting.depth,
                    durability="power" if setting.power else "process",
                ),
            )
        )
        traced = setting.traced if STRACE else 0
        code = _KILLED
        while code == _KILLED:
            # A run that was killed before it had begun its log has nothing that could be resumed.
            begun = results.exists() and results.stat().st_size > 0
            if setting.power and begun and not _has_begun(results):
                # The machine went down as the run began; `resume` says so, and what to do.
                results.unlink()
                begun = False
                if server.accepted:
                    findings.wrong.append("the log is gone")
            arguments = ["resume", str(results)] if begun else ["send", str(directory / "campaign.toml")]
            kill = findings.kills < setting.kills
            by_call = kill and traced > 0 and moments.random() * (setting.kills - findings.kills) < traced
            traced -= by_call
            decide.begin_run()
            async with asyncio.timeout(GUARD):
                if setting.power:
                    code = await _run_on_disk(
                        [*arguments, "--no-progress"], output, launched, decide, moments, kill=kill, run=findings.runs
                    )
                else:
                    code = await _run(
                        [*arguments, "--no-progress"], output, launched, decide, moments, kill=kill, by_call=by_call
                    )
            findings.runs += 1
            if code == _KILLED:
                findings.kills += 1
                findings.at_rotation += decide.fell_at_rotation
                _check_journal(results, findings)
    if code not in (0, 1):
        findings.wrong.append(f"exit code {code}: {output.read_text()[-500:]}")
    _check(setting, results, server, findings)


async def _run(
    arguments: list[str],
    output: Path,
    launched: Launcher,
    decide: Faults,
    moments: random.Random,
    *,
    kill: bool,
    by_call: bool,
) -> int:
    if by_call:
        call = moments.choice(("write", *CALLS))
        return await run_traced(arguments, output, call=call, occurrence=moments.randint(1, CALLS[call]))
    if kill and moments.random() < _AT_ROTATION:
        decide.kill_at_rotation(moments.randint(1, 4), moments.choice((0.0, 0.0, moments.uniform(0, 0.002))))
        return await launched.run(arguments, output)
    if kill and moments.random() < 0.2:
        return await launched.run(arguments, output, kill_after=moments.uniform(0, 0.15))
    if kill:
        # Most often in the midst of things; now and then at the very beginning.
        decide.kill_at(round(10 ** moments.uniform(0, 2.3)), moments.choice((0.0, 0.0, moments.uniform(0, 0.005))))
    return await launched.run(arguments, output)


def _has_begun(results: Path) -> bool:
    left = read_journal(results)
    return _RUN_LINE.match(results.read_bytes()) is not None and (left is None or left.log_size > 0)


async def _run_on_disk(
    arguments: list[str],
    output: Path,
    launched: Launcher,
    decide: Faults,
    moments: random.Random,
    *,
    kill: bool,
    run: int,
) -> int:
    """Run until the machine goes down, if it does; then the directory is what its disk has."""
    disk = Disk(output.parent)
    kill_after = None
    if kill and moments.random() < _AT_ROTATION:
        decide.kill_at_rotation(moments.randint(1, 4), moments.choice((0.0, moments.uniform(0, 0.005))))
    elif kill and moments.random() < 0.2:
        kill_after = moments.uniform(0, 0.15)
    elif kill:
        decide.kill_at(round(10 ** moments.uniform(0, 2.3)), moments.choice((0.0, moments.uniform(0, 0.01))))
    code = await launched.run(arguments, output, kill_after=kill_after, disk=output.parent, boot=f"boot {run}")
    if code == _KILLED:
        disk.cut(moments)
    return code


def _check_journal(results: Path, findings: Findings) -> None:
    """Hold what a killed run has left against the bound, before anything is concluded from it."""
    left = read_journal(results) if results.exists() else None
    if left is None:
        return
    findings.most_places = max(findings.most_places, len(left.entries))
    unanswered = sum(entry.status is None for entry in left.entries)
    if unanswered > findings.bound:
        findings.wrong.append(f"{unanswered} unanswered in the journal, {findings.bound} may be")


def _check(setting: Setting, results: Path, server: FaultyServer, findings: Findings) -> None:
    """Hold the log against what the server has taken."""
    wrong = findings.wrong
    last: dict[int, dict[str, Any]] = {}
    accepted: Counter[int] = Counter()
    in_doubt = 0
    for text in results.read_text().splitlines():
        line = json.loads(text)
        if "run" in line:
            in_doubt = 0
            continue
        last[line["record"]] = line
        accepted[line["record"]] += line["status"] == Outcome.ACCEPTED
        reason = line["reason"] or ""
        findings.recovered += reason.startswith(_ANSWERED)
        in_doubt += reason == _UNANSWERED
        findings.most_in_doubt = max(findings.most_in_doubt, in_doubt)
    if findings.most_in_doubt > findings.bound:
        wrong.append(f"{findings.most_in_doubt} in doubt after one kill, {findings.bound} may be")
    taken = Counter(recipient for message in server.accepted for recipient in message.recipients)
    for record in range(1, setting.records + 1):
        line = last.get(record, {})
        status = line.get("status")
        findings.outcomes[str(status)] += 1
        times = taken[address(record)]
        allowed = {"accepted": (1,), "in_doubt": (0, 1)}.get(str(status), (0,))
        if status is None:
            wrong.append(f"record {record} is lost")
        elif times not in allowed or accepted[record] > 1:
            wrong.append(f"record {record} is {status}, and was delivered {times} times")
    if results.with_name("results.jsonl.inflight").exists():
        wrong.append("the journal is still there")


async def run_trials(kills: int, seed: int, scratch: Path) -> list[tuple[Setting, Findings]]:
    """Trials until so many runs were killed: every mode, 1 to 20 connections, with and without faults.

    A few at once, for they mostly wait: for retries, and for interpreters to start.
    """
    choose = random.Random(seed)
    trials: list[tuple[Setting, Findings]] = []
    begun = 0

    async def work() -> None:
        nonlocal begun
        async with launcher() as launched:
            while (left := kills - sum(found.kills for _, found in trials)) > 0:
                number, begun = begun, begun + 1
                setting = Setting(
                    mode=list(MODES)[number % len(MODES)],
                    connections=choose.choice((1, 2, 5, 20)),
                    max_messages=choose.choice((2, 3, 10, 30)),
                    faults=choose.choice((0, 5, 10)),
                    records=choose.choice((200, 400, 800)),
                    kills=min(left, 10),
                    traced=2,
                    seed=choose.randrange(2**32),
                    power=number % 4 == 3,
                )
                directory = scratch / str(number)
                directory.mkdir()
                found = Findings()
                trials.append((setting, found))
                await run_trial(setting, directory, launched, found)

    async with asyncio.TaskGroup() as workers:
        for _ in range(_AT_ONCE):
            workers.create_task(work())
    return trials
