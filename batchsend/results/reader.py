"""Reads a results log back: what run it is the account of, and where each record stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchsend.errors import UsageError
from batchsend.results.format import Block, LogReader, OutcomeLine, RunLine
from batchsend.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from batchsend.results.run import Change, Run


@dataclass(slots=True)
class RunAccount:
    """What a results log says.

    Attributes:
        run: The run line of the last run in it.
        begun: Where in the file that line begins.
        ended: The last run came to its end and said so.
        learned: What its server had shown it allows, where it said so.
        tally: Where each record stands.
        size: The octets of the whole lines: what comes after is a torn line.
        torn: The octets of a torn last line.
        outcomes: How many outcome lines there are.
        changes: What was changed while the last run went on, by name; of several changes the last one.
        uncovered: A record that was found accepted or in doubt behind `since` without being among ``covered``; None
            where there is none. See `read_account`.
    """

    run: Run
    begun: int
    ended: bool
    learned: dict[str, float]
    tally: Tally
    size: int
    torn: int
    outcomes: int
    changes: dict[str, Change] = field(default_factory=dict)
    uncovered: int | None = None

    @property
    def held(self) -> dict[str, str | int]:
        """What holds for whoever goes on with it: what its command line said, and then what was changed on the way."""
        held = {**self.run.overrides}
        for name, value in self.changes.items():
            if isinstance(value, bool):
                continue  # whether it is paused is not said on a command line
            if value is None:
                held.pop(name, None)
            else:
                held[name] = value
        return held


def read_account(
    path: Path,
    file: int,
    *,
    visit: Callable[[OutcomeLine, int], None] | None = None,
    sound: int | None = None,
    since: int | None = None,
    covered: Collection[int] = (),
) -> RunAccount:
    """Read a log from its beginning to its end.

    Args:
        path: What to call it.
        file: Its descriptor.
        visit: Called with every outcome line in its order, and its number in the file, from 1.
        sound: So many octets are as they were written; see `LogReader`.
        since: Where a part of the log begins in which a message that was committed must be one of ``covered``; None
            for no such part.
        covered: The records that have an entry in the journal.

    Raises:
        UsageError: It is not the results log of a run.
        RunError: It cannot be read.
    """
    reader = LogReader(path, file, OutcomeLine, sound=sound)
    tally = Tally()
    runs = _Runs(path)
    outcomes = 0
    uncovered: int | None = None
    for block in reader:
        lines = block.lines
        try:
            of_runs = tally.note_lines(lines)
        except KeyError:
            reader.require_whole(block)
            raise
        outcomes += len(lines) - len(of_runs)
        runs.take(block, of_runs)
        if visit is not None:
            for number, line in enumerate(lines, block.before + 1):
                if line.run is None:
                    visit(line, number)
        if since is not None and uncovered is None and block.offset + len(block.octets) > since:
            uncovered = _first_uncovered(block, since, covered)
    return RunAccount(
        runs.last.as_run(),
        runs.begun,
        runs.ended,
        runs.learned,
        tally,
        reader.size,
        reader.torn(),
        outcomes,
        runs.changes,
        uncovered,
    )


class _Runs:
    """The lines of runs in a log, as they come.

    Attributes:
        last: The latest one that says when its run began.
        begun: Where in the file it begins.
        ended: Its run has an end, too.
        learned: What that end says the server allows.
        changes: What was changed since its beginning.
    """

    last: RunLine
    begun: int
    ended: bool
    learned: dict[str, float]
    changes: dict[str, Change]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._id: str | None = None

    def take(self, block: Block[OutcomeLine], lines: list[tuple[int, RunLine]]) -> None:
        """Take the lines of runs in a block, each with its place there.

        Raises:
            UsageError: They are of two runs.
        """
        for place, run in lines:
            if self._id not in (None, run.id):
                raise UsageError(
                    f"{self._path} holds the accounts of two runs, {self._id} and {run.id}",
                    remedy="a record is known by its number within its run: keep them in a log each",
                )
            self._id = run.id
            if run.changed is not None:
                self.changes |= run.change
                continue
            self.ended = run.started is None
            self.learned = run.learned
            if not self.ended:
                self.last, self.begun = run, block.offset_of(place)
                self.changes = {}


def _first_uncovered(block: Block[OutcomeLine], since: int, covered: Collection[int]) -> int | None:
    offset = block.offset
    for octets, line in zip(block.octets.split(b"\n"), block.lines, strict=False):
        if offset >= since and line.status in ("accepted", "in_doubt") and line.record not in covered:
            return line.record
        offset += len(octets) + 1
    return None
