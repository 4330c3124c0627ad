"""How far an endpoint has been told: a small file beside the results log, which survives ``kill -9``."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import msgspec

from batchsend.errors import RunError, UsageError
from batchsend.results.beside import make_anew, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Log = Literal["results", "feedback"]


class EventBatch(msgspec.Struct, frozen=True):
    """The lines of one request: where in which log they begin and end.

    It is written down before the request is made for the first time: whoever repeats it repeats exactly this.

    Attributes:
        log: Which log.
        begin: Octets of the log before its first line.
        end: Octets up to the end of its last line.
    """

    log: Log
    begin: int
    end: int


class Cursor(msgspec.Struct):
    """How far an endpoint has been told.

    Attributes:
        results: Octets of the results log that it has acknowledged.
        feedback: Octets of the feedback log that it has acknowledged.
        under_way: The request that was being made, or None.
        gone: When it answered 410 (RFC 9110 §15.5.11), as RFC 3339 has it; None where it has not.
        run: The identity of the run whose logs these are; empty where it was written before this was noted.
    """

    results: int = 0
    feedback: int = 0
    under_way: EventBatch | None = None
    gone: str | None = None
    run: str = ""

    def acknowledge(self, batch: EventBatch) -> None:
        """The endpoint has taken a batch."""
        setattr(self, batch.log, batch.end)
        self.under_way = None


def cursor_path(results: Path, url: str) -> Path:
    """Where an endpoint's cursor stands: beside the results log, by the URL, whose secrets are not in the name."""
    tag = sha256(url.encode()).hexdigest()[:8]
    return results.with_name(f"{results.name.removesuffix('.jsonl')}.events-{tag}.json")


def read_cursor(path: Path) -> Cursor:
    """The cursor in a file; a new one where there is no file.

    Raises:
        UsageError: It cannot be read, or is no cursor.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return Cursor()
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(
            f"{path}: the cursor of the events cannot be read: {error}",
            remedy="take it from a backup; without it, remove it, and everything is told once more",
        ) from None


def write_cursor(path: Path, cursor: Cursor) -> None:
    """Put a cursor in the place of the one before; either the one or the other is there, whatever happens.

    Raises:
        RunError: The disk does not take it.
    """
    beside = path.with_name(f"{path.name}.new")
    try:
        file = make_anew(beside)
        try:
            os.write(file, msgspec.json.encode(cursor) + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
        beside.replace(path)
    except OSError as error:
        raise RunError(
            f"{path}: the cursor of the events cannot be written: {error.strerror}", remedy="make room, and start again"
        ) from None
    sync_directory(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep others from telling the same endpoint of the same run while the context lasts.

    Raises:
        UsageError: Somebody does already, or the folder cannot be written to.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        # Not through a link, which would make or lock a file elsewhere; not blocking, as a FIFO would.
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise UsageError(f"{lock}: cannot be opened: {error.strerror}", remedy="see who may write there") from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"{path}: another process tells this endpoint already", remedy="one is enough: leave it to that"
            ) from None
        yield
    finally:
        os.close(file)
