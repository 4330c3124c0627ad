"""An event loop whose clock goes as fast as there is something to do: minutes of waiting cost nothing."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import FileDescriptorLike


class _Selector(selectors.BaseSelector):
    """Waits for nothing: where the loop would wait, its clock is put forward instead."""

    def __init__(self) -> None:
        self.now = 0.0
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: FileDescriptorLike, events: int, data: object = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += 1e-9  # a clock that stands still would make what is due in less than its resolution due for ever
        events = self._real.select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("nothing will ever happen again: what is awaited was forgotten")
            self.now += timeout
        return events

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop for what happens in one process only: no sockets, no threads."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What goes wrong in a callback ends the run."""
        raise context.get("exception") or RuntimeError(context["message"])

    def time(self) -> float:
        """Seconds of this loop's own clock."""
        return self._virtual.now
