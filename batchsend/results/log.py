"""The results log: an append-only JSONL file, one write for each turn of the loop."""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING, Self

from batchsend.errors import RunError, UsageError
from batchsend.results.line import end_line, outcome_line, run_line
from batchsend.results.lock import not_openable, open_locked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from batchsend.outcome import DeliveryResult
    from batchsend.results.run import Run


class ResultsLog:
    """Appends the outcomes of a run to its log. A context manager: opened on entry, flushed and closed on exit.

    Args:
        path: The file; made if it is not there.
        run: What the run's first line says.
        file: The descriptor of the file, opened and locked, which this takes over; None to open it here as the log of
            a new run.
        size: The octets of an earlier run's whole lines in it; what follows them is a torn line, and is cut off.

    Raises:
        UsageError: On entry: it cannot be opened, another run is at work on it, or it holds the account of a run.
        RunError: On entry: the run line cannot be written.
    """

    def __init__(self, path: Path, run: Run, *, file: int | None = None, size: int = 0) -> None:
        self.path = path
        self._run = run
        self._lines: list[bytes] = []
        self._file = -1 if file is None else file
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
        if self._file < 0:
            self._file = open_locked(self.path, make=True)
        try:
            if not self._size:
                refuse_used(self.path)
            elif os.fstat(self._file).st_size > self._size:
                os.ftruncate(self._file, self._size)
            self._lines.append(run_line(self._run))
            self.flush()
        except OSError as error:
            os.close(self._file)
            raise not_openable(self.path, error) from None
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            os.close(self._file)

    def append(self, result: DeliveryResult) -> bool:
        """Keep an outcome for the next `flush`; true if it is the first one since the last, so a flush is due."""
        self._lines.append(outcome_line(result))
        return len(self._lines) == 1

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


def refuse_used(path: Path) -> None:
    """Check that nothing would be added to another run's account.

    Raises:
        UsageError: The file already holds something, or cannot be read.
    """
    try:
        used = path.stat().st_size > 0
    except FileNotFoundError:
        return
    except OSError as error:
        raise not_openable(path, error) from None
    if used:
        raise UsageError(
            f"{path} already holds the results of a run",
            remedy=f"go on with that run: batchsend resume {shlex.quote(str(path))}; "
            "or keep this one's elsewhere: --results FILE",
        )
