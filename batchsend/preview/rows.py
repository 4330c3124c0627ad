"""The recipients file by number: forwards at the speed of reading, backwards from its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from batchsend.recipients import BadRecord, Record, RecordReader

_BLOCK: Final = 1000


class Rows:
    """Finds a record by its number; holds a thousand of them. Closed as a context manager.

    Args:
        opened: Opens the recipients file from its beginning; in standard input there is no way back.

    Attributes:
        name: What to call the file in messages.

    Raises:
        UsageError: It cannot be opened, or is no table of records.
    """

    def __init__(self, opened: Callable[[], RecordReader]) -> None:
        self._open = opened
        self._reader = opened()
        self.name = self._reader.name
        self._before = 0  # records before those that are held
        self._held: list[Record | BadRecord] = []

    @property
    def known(self) -> int:
        """How many records there are as far as has been read; all of them after one beyond the last was asked for."""
        return self._before + len(self._held)

    def find(self, number: int) -> Record | BadRecord | None:
        """The record with this number, from 1; None if the file has fewer.

        Raises:
            RunError: The file cannot be read as far as that.
        """
        if number <= self._before:
            self._reader.close()
            self._reader = self._open()
            self._before, self._held = 0, []
        while number > self.known:
            rows = self._reader.read(_BLOCK)
            if not rows:
                return None
            self._before, self._held = self.known, rows
        return self._held[number - self._before - 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reader.close()
