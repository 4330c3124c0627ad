"""What of the account is surely on the disk: a moment of it that is brought there, and what a new start leaves open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from batchsend.errors import RunError

if TYPE_CHECKING:
    from types import TracebackType

# On its way to the disk a file's data is enough, where the system tells it from the rest of a file.
sync = getattr(os, "fdatasync", os.fsync)


class SyncPoint:
    """What is with the kernel at one moment, and is to be brought to the disk. A context manager.

    Args:
        path: The log, for messages.
        files: Descriptors of its own, of log and journal.
        records: Whose outcomes' lines are in that part of the log.
        log_size: The octets of that part.

    Attributes:
        error: Why it could not be brought to the disk, or None.
    """

    def __init__(self, path: Path, files: tuple[int, ...], records: list[int], log_size: int) -> None:
        self.records = records
        self.log_size = log_size
        self.error: RunError | None = None
        self._path = path
        self._files = files

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        files, self._files = self._files, ()
        for file in files:
            os.close(file)

    @property
    def files(self) -> tuple[int, ...]:
        """Its descriptors, while they are open."""
        return self._files

    def sync(self) -> None:
        """Wait until it is on the disk; may be called in a thread.

        Raises:
            RunError: The disk has not taken it. A second try would prove nothing: the kernel forgets what it could not
                write, and says so once.
        """
        try:
            for file in self._files:
                sync(file)
        except OSError as error:
            self.error = RunError(
                f"{self._path}: the disk does not keep the account: {error.strerror}",
                remedy="see what is wrong with it",
            )
            raise self.error from None


def boot_id() -> bytes:
    """What tells one start of the machine from another; the same for all where the system does not say.

    What was with the kernel only is lost by a new start, so a journal has to know of it.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""
