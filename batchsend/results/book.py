"""Takes down what a pool sends, for every account that has a ledger: before octets leave, and what becomes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchsend.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.outcome import DeliveryResult
    from batchsend.results.groupsync import GroupSync
    from batchsend.results.ledger import Ledger


class Book:
    """What an account writes down, and what it does where that cannot be done.

    All the lines of one turn of the loop are one write to the log.

    Args:
        ledger: The log and its journal.
        disk: What brings them to the disk before a message is committed, or None where the kernel is enough.
        first: Written out before log and journal are: what they speak of, such as a list of messages; None for nothing.

    Attributes:
        on_failure: Called when something cannot be written: nothing more may be sent.
    """

    def __init__(self, ledger: Ledger, disk: GroupSync | None = None, first: Callable[[], None] | None = None) -> None:
        self.on_failure: Callable[[RunError], None] = _raise
        self._ledger = ledger
        self._disk = disk
        self._first = first
        self._loop = asyncio.get_running_loop()

    def commit(self, record: int, attempt: int, release: Callable[[bool], None]) -> bool:
        """A message is about to be committed: take that down.

        True if its octets may be sent. Otherwise ``release`` is called later: with true when they may be sent, with
        false when they must not, because it could not be taken down.
        """
        try:
            if self._first is not None:
                self._first()
            self._ledger.commit(record, attempt)
        except RunError as error:
            self.on_failure(error)
            self._loop.call_soon(release, False)
            return False
        if self._disk is None:
            return True
        self._disk.wait(release)
        return False

    def withdraw(self, record: int, attempt: int) -> None:
        """A message that was about to be committed was not taken."""
        self._ledger.withdraw(record, attempt)

    def write(self, result: DeliveryResult) -> None:
        """An outcome is known."""
        try:
            due = self._ledger.append(result)
        except RunError as error:
            self.on_failure(error)
        else:
            if due:
                self._loop.call_soon(self._flush)

    def require(self) -> None:
        """Try once more to write what could not be written, and look whether the files are where they were.

        Raises:
            RunError: It still cannot be.
        """
        if self._first is not None:
            self._first()
        self._ledger.flush()
        self._ledger.look()

    def _flush(self) -> None:
        try:
            if self._first is not None:
                self._first()
            self._ledger.flush()
        except RunError as error:
            self.on_failure(error)


def _raise(error: RunError) -> None:
    raise error


def delivered_before_too(result: DeliveryResult) -> str:
    """What the user is told where an earlier attempt may have delivered what a later one has delivered."""
    return f"record {result.record:,} may have been delivered by an earlier attempt, too: {result.reason}"
