"""The results log: an append-only JSONL file, one write for each turn of the loop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from batchsend.errors import RunError, UsageError
from batchsend.results.line import Run, outcome_line, run_line

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from batchsend.outcome import DeliveryResult


class ResultsLog:
    """Appends outcomes to the log of a new run. A context manager: opened on entry, flushed and closed on exit.

    Args:
        path: The file; made if it is not there.
        run: What its first line says.

    Raises:
        UsageError: On entry: it cannot be opened, or already holds the account of a run.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self.path = path
        self._run = run
        self._lines: list[bytes] = []
        self._file = -1

    def __enter__(self) -> Self:
        refuse_used(self.path)
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _not_openable(self.path, error) from None
        self._lines.append(run_line(self._run))
        self.flush()
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
        raise _not_openable(path, error) from None
    if used:
        raise UsageError(
            f"{path} already holds the results of a run",
            remedy=f"go on with that run: batchsend resume {path}; or keep this one's elsewhere: --results FILE",
        )


def _not_openable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path}: the results log cannot be opened: {error.strerror}", remedy="name another: --results FILE"
    )
