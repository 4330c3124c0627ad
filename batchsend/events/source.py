"""The events of a run: the whole lines of its results log and its feedback log, in an order that keeps each record's.

A line of the feedback log is tied by what the results log said before: whoever looks at the feedback log first, and
then reads the results log as far as it goes, has every outcome before what came back of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import orjson

from batchsend.campaign.model import feedback_path
from batchsend.errors import RunError, UsageError
from batchsend.events.cursor import EventBatch
from batchsend.results.format import LogLine, LogReader, opened

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.events.cursor import Cursor, Log

MOST_EVENTS: Final = 100
"""Lines of one batch."""

MOST_OCTETS: Final = 256 * 1024
"""Octets of the lines of one batch, if there is more than one."""


class EventSource:
    """Finds what is to be told next.

    Args:
        results: The results log; the run may be going on.

    Attributes:
        run: The run's identity, as the identities of events have it: without full stops, which separate what is
            signed.

    Raises:
        UsageError: It is not the results log of a run.
        RunError: It cannot be read.
    """

    def __init__(self, results: Path) -> None:
        with opened(results) as file:
            first = next(iter(LogReader(results, file, LogLine))).lines[0]
        self.run = "" if first.run is None else first.run.id.replace(".", "-")
        self._logs: dict[Log, Path] = {"results": results, "feedback": feedback_path(results)}
        # How far each log is told before the other has its turn again.
        self._until: dict[Log, int] = {"results": 0, "feedback": 0}

    def require(self, cursor: Cursor) -> None:
        """Make sure that a cursor is one of this run's logs.

        Raises:
            UsageError: It was written for another run, whose log was here.
        """
        if cursor.run and cursor.run != self.run:
            raise UsageError(
                f"{self._logs['results']} is the log of run {self.run}, and {cursor.run} is what was told of",
                remedy="bring that log back; or remove the cursor of the events beside it, and all of it is told",
            )

    def next(self, cursor: Cursor) -> EventBatch | None:
        """The batch after what a cursor says has been told; None where nothing is there.

        Raises:
            UsageError: A log is shorter than what was told of it: it is another one.
            RunError: It cannot be read.
        """
        if cursor.results >= self._until["results"] and cursor.feedback >= self._until["feedback"]:
            # In this order: the results log has every record that the feedback log speaks of.
            self._until = {"feedback": self._size("feedback"), "results": self._size("results")}
            self._require_same(cursor)
        logs: tuple[tuple[Log, int], ...] = (("results", cursor.results), ("feedback", cursor.feedback))
        for log, told in logs:
            if told < self._until[log]:
                octets = self._read(log, told, self._until[log])
                if octets:
                    return EventBatch(log, told, told + len(octets))
                self._until[log] = told  # no more than a line that is being written
        return None

    def events(self, batch: EventBatch) -> list[dict[str, Any]]:
        """The events of a batch; those of the same batch are the same whenever it is asked for.

        Raises:
            RunError: The log cannot be read.
        """
        found = []
        place = batch.begin
        for line in self._read(batch.log, batch.begin, batch.end, whole=True).splitlines(keepends=True):
            fields = orjson.loads(line)
            kind = fields.get("status") or fields.get("kind")
            if kind is not None:  # the line of a run is none of a message
                found.append(
                    {
                        "id": f"{self.run}-{batch.log[0]}{place}",
                        "type": f"message.{kind}",
                        "timestamp": fields.get("time"),
                        "data": fields,
                    }
                )
            place += len(line)
        return found

    def behind(self, cursor: Cursor) -> int:
        """How many octets of the logs are to be told yet."""
        return self._size("results") - cursor.results + self._size("feedback") - cursor.feedback

    def _size(self, log: Log) -> int:
        try:
            return self._logs[log].stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise RunError(f"{self._logs[log]}: cannot be read: {error.strerror}") from None

    def _require_same(self, cursor: Cursor) -> None:
        told: dict[Log, int] = {"results": cursor.results, "feedback": cursor.feedback}
        for log, octets in told.items():
            if self._until[log] < octets:
                raise UsageError(
                    f"{self._logs[log]} is shorter than what was told of it",
                    remedy="it is not the log that it was: bring it back, or remove the cursor of the events beside it",
                )

    def _read(self, log: Log, begin: int, end: int, *, whole: bool = False) -> bytes:
        """Whole lines of a log; unless all are asked for no more than a batch has, of whose lines one may be longer."""
        path = self._logs[log]
        size = end - begin
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                octets = os.pread(file, size if whole else min(size, MOST_OCTETS), begin)
                if not whole and b"\n" not in octets and len(octets) < size:
                    octets = os.pread(file, size, begin)
                    octets = octets[: octets.find(b"\n") + 1]
            finally:
                os.close(file)
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from None
        if whole:
            return octets
        lines = octets[: octets.rfind(b"\n") + 1].splitlines(keepends=True)
        return b"".join(lines[:MOST_EVENTS])
