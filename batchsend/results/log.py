"""The results log: an append-only JSONL file, one write for each turn of the loop."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from batchsend.errors import RunError
from batchsend.results.format import BLOCK
from batchsend.results.line import change_line, end_line, outcome_line, run_line
from batchsend.results.lock import close_locked, not_openable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from batchsend.outcome import DeliveryResult
    from batchsend.results.run import Change, Run


_MOVE_BACK: Final = "move it back, and have nothing rotate it"
_MAKE_WAY: Final = (
    "another file has its name now: move that one elsewhere and this one back, and have nothing rotate it"
)


class ResultsLog:
    """Appends the outcomes of a run to its log. A context manager: begun on entry, flushed and closed on exit.

    Args:
        path: The file, for messages and to see whether it is still there.
        run: What the run's first line says.
        file: Its descriptor, opened and locked, which this takes over once it is entered.
        size: The octets of an earlier run's whole lines in it; what follows them is a torn line, and is cut off.

    Raises:
        UsageError: On entry: it cannot be cut to that size.
        RunError: On entry: the run line cannot be written.
    """

    def __init__(self, path: Path, run: Run, *, file: int, size: int) -> None:
        self.path = path
        self._run = run
        self._lines: list[bytes] = []
        self._file = file
        self._process = os.getpid()
        self._size = size

    @property
    def file(self) -> int:
        """Its descriptor, while it is open."""
        return self._file

    @property
    def size(self) -> int:
        """The octets that are with the kernel."""
        return self._size

    def __enter__(self) -> Self:
        try:
            if os.fstat(self._file).st_size > self._size:
                os.ftruncate(self._file, self._size)
        except OSError as error:
            raise not_openable(self.path, error) from None
        self._lines.append(run_line(self._run))
        self.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            close_locked(self._file, process=self._process)

    def require_in_place(self) -> None:
        """Check that the file is still where it was, and holds what was written to it and nothing else.

        Raises:
            RunError: It was moved, replaced, removed, cut short or added to by somebody else.
        """
        now = os.fstat(self._file)
        if now.st_nlink == 0:
            raise RunError(
                f"{self.path}: the results log was removed while the run went on", remedy="see what removes it"
            )
        try:
            there = self.path.stat()
        except OSError:
            there = None
        if there is None or not os.path.samestat(now, there):
            raise RunError(
                f"{self.path}: the results log was moved or replaced while the run went on",
                remedy=f"{self._name_now()}: {_MOVE_BACK if there is None or not there.st_size else _MAKE_WAY}",
            )
        if now.st_size < self._size:
            raise RunError(
                f"{self.path}: the results log was cut short while the run went on: it had {self._size:,} octets, and "
                f"has {now.st_size:,}",
                remedy="put what was there before the rest again, from a copy, and have nothing rotate it",
            )
        if now.st_size > self._size:
            raise RunError(
                f"{self.path}: something else has written to the results log while the run went on",
                remedy="take out what is no line of the run",
            )

    @property
    def is_whole(self) -> bool:
        """Whether all that was written to it is there, wherever it is, and can be found by a name."""
        now = os.fstat(self._file)
        return now.st_nlink > 0 and now.st_size >= self._size

    def put_back(self) -> bool:
        """Write the log anew where it was removed and nothing else is; False if that is not so, or cannot be done."""
        if os.fstat(self._file).st_nlink:
            return False
        place = Path(os.path.realpath(self.path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            file = os.open(place, flags, 0o600)
        except OSError:
            return False
        try:
            offset = 0
            while block := os.pread(self._file, BLOCK, offset):
                offset += os.write(file, block)
            os.fsync(file)
        except OSError:
            place.unlink()
            return False
        finally:
            os.close(file)
        return True

    def _name_now(self) -> str:
        """Where the file is by now, as far as the system tells (proc(5))."""
        try:
            return f"the account goes on in {Path(f'/proc/self/fd/{self._file}').readlink()}"
        except OSError:
            return "the account goes on in the file that was moved"

    def append(self, result: DeliveryResult) -> bool:
        """Keep an outcome for the next `flush`; true if it is the first one since the last, so a flush is due."""
        self._lines.append(outcome_line(result))
        return len(self._lines) == 1

    def change(self, change: Mapping[str, Change], by: str) -> None:
        """Write what somebody has changed while the run goes on.

        Raises:
            RunError: It could not be written; the next flush tries again.
        """
        self._lines.append(change_line(self._run.id, changed=time.time(), change=change, by=by))
        self.flush()

    def end(self, stopped: str | None, learned: Mapping[str, float]) -> None:
        """Write that the run is over, why if that was early, and what it learned: nothing of it is in flight.

        Raises:
            RunError: It could not be written.
        """
        self._lines.append(end_line(self._run.id, ended=time.time(), stopped=stopped, learned=learned))
        self.flush()

    def flush(self) -> None:
        """Hand what is kept to the kernel.

        Raises:
            RunError: It could not be written. What was not written is kept for the next flush.
        """
        data = b"".join(self._lines)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:] if written else data)
        except OSError as error:
            self._lines = [data[written:]]
            raise RunError(
                f"{self.path}: the results log cannot be written: {error.strerror}",
                remedy="make room, or see what is wrong with the disk",
            ) from None
        finally:
            self._size += written
        self._lines.clear()
