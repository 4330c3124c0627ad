"""A results log that a new run is to keep: locked and looked at before anything else is made beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self

from batchsend.errors import BatchsendError, UsageError
from batchsend.results.format import opened
from batchsend.results.journal import read_journal
from batchsend.results.lock import BY_ANOTHER_NAME, not_openable, open_locked
from batchsend.results.reader import read_account
from batchsend.results.way_on import way_on

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_SMALL: Final = 64 * 1024
"""Octets of a log above which it is not even looked at whether something was sent."""


class Claim:
    """The lock on the results log of a run that is to begin. A context manager.

    Whoever begins a run on the same log meanwhile is refused, so what is kept beside the log is one run's. A log that
    was made for this and is not used is removed again.

    Args:
        path: The log; made if it is not there.

    Raises:
        UsageError: On entry: it cannot be opened, another run is at work on it, or it holds the account of a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def __enter__(self) -> Self:
        self._file = open_locked(self.path, make=True)
        try:
            refuse_used(self.path)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            let_go(self.path, self.hand_over_file())

    @property
    def is_held(self) -> bool:
        """Whether the log is locked, and nobody has taken it over."""
        return self._file is not None

    def hand_over_file(self) -> int:
        """The log's descriptor, locked; it is the caller's to close."""
        file, self._file = self._file, None
        assert file is not None  # noqa: S101 - nobody has taken it over before
        return file


def let_go(path: Path, file: int) -> None:
    """Close the log of a run that has not begun; one in which nothing stands is removed."""
    try:
        if os.fstat(file).st_size == 0 and os.path.samestat(os.fstat(file), path.stat()):
            path.resolve().unlink()  # while it is locked, so that it is nobody else's yet
    except OSError:
        pass  # an empty log is in nobody's way
    finally:
        os.close(file)


def refuse_used(path: Path) -> None:
    """Check that nothing would be added to another run's account.

    A run that sent nothing and said of nobody what became of him leaves a log that a new run may begin anew.

    Raises:
        UsageError: The file already holds outcomes, or is something else, or cannot be read.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    except OSError as error:
        raise not_openable(path, error) from None
    if size == 0 or (size <= _SMALL and _is_of_nobody(path)):
        return
    raise UsageError(
        f"{path} already holds the results of a run",
        remedy=f"go on with that run: {way_on(path)}; or keep this one's elsewhere: {BY_ANOTHER_NAME}",
    )


def _is_of_nobody(path: Path) -> bool:
    """Whether it is the log of a run in which nobody was written to, as far as log and journal together can say."""
    try:
        left = read_journal(path)
        with opened(path) as file:
            account = read_account(path, file)
    except BatchsendError:
        return False
    if account.outcomes or account.torn:
        return False
    if left is None:
        return account.ended
    return left.run == account.run.id and not left.entries and not left.rebooted
