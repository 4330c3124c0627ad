"""When messages were accepted according to a results log, and by which relay: what quotas and warm-up count."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from batchsend.outcome import Outcome
from batchsend.results.format import LogLine, LogReader, opened
from batchsend.results.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The log has milliseconds, rounded down.
_ROUNDED: float = 0.001


class UsageLine(LogLine, gc=False):
    """What is read of a line.

    Attributes:
        attempt: The number of the attempt.
        time: When the outcome was known.
        server: The name of the relay, where the run had several.
    """

    attempt: Annotated[int, msgspec.Meta(ge=0)] = 0
    time: str | None = None
    server: str | None = None


def read_usage(path: Path, size: int, note: Callable[[str | None, float], None]) -> None:
    """Say of each message that was accepted, or may have been, when that was known and through which relay it went.

    A message that was accepted, and is in doubt after all, is one message. What comes out is what a run has counted
    that wrote the log.

    Args:
        path: The log.
        size: The octets of it that count.
        note: Called with the relay's name and the time in seconds since the epoch, in the order of the log. Of a run
            that had one relay its host and port stand for the name; None where it is not known which of several it was.

    Raises:
        UsageError: It cannot be opened, or is not the results log of a run.
        RunError: It cannot be read further.
    """
    tally = Tally()
    only: str | None = None
    known, base = "", math.nan  # the second that was reckoned last, and when that was
    with opened(path) as file:
        for block in LogReader(path, file, UsageLine, sound=size):
            for line in block.lines:
                if line.run is not None:
                    if line.run.started is not None:
                        only = None if line.run.servers else line.run.server
                    continue
                status = line.status
                if status is None:
                    continue
                before, attempts = tally.status(line.record), tally.attempts(line.record)
                tally.note(line.record, Outcome(status), line.attempt)
                if status not in ("accepted", "in_doubt") or line.time is None:
                    continue
                if status == "in_doubt" and before is Outcome.ACCEPTED and attempts == line.attempt:
                    continue
                second, _, thousandths = line.time.removesuffix("Z").partition(".")
                if second != known:
                    known = second
                    base = datetime.fromisoformat(f"{second}+00:00").timestamp()
                note(line.server or only, base + float(f"0.{thousandths}") + _ROUNDED)
