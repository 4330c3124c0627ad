"""The results of a run for a program that takes them as they come: no faster than it takes them, and none left out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from batchsend.delivery.signal import Signal

if TYPE_CHECKING:
    from batchsend.outcome import DeliveryResult

_WINDOW: Final = 1000
"""Results that wait to be taken before the run is held back; what is under way then comes on top."""


class ResultStream:
    """Results between a run and whoever takes them."""

    def __init__(self) -> None:
        self._results: deque[DeliveryResult] = deque()
        self._told = Signal()
        self._taken = Signal()
        self._ended = False
        self._left = False

    def tell(self, result: DeliveryResult) -> None:
        """A record has an outcome."""
        if not self._left:
            self._results.append(result)
            self._told.notify()

    async def room(self) -> None:
        """Wait until so many results were taken that the run may go on."""
        while len(self._results) >= _WINDOW and not self._left:
            await self._taken.wait()

    def end(self) -> None:
        """No more results come."""
        self._ended = True
        self._told.notify()

    def leave(self) -> None:
        """Nobody takes results any more."""
        self._left = True
        self._results.clear()
        self._taken.notify()

    async def next(self) -> DeliveryResult | None:
        """The next result; None after the last."""
        while not self._results:
            if self._ended:
                return None
            await self._told.wait()
        if len(self._results) == _WINDOW:
            self._taken.notify()
        return self._results.popleft()

    def __repr__(self) -> str:
        return f"<ResultStream, {len(self._results)} waiting>"
