"""Interrupting what runs on the main thread's event loop.

A KeyboardInterrupt that is raised anywhere in a loop leaves the loop half undone, and what ran on it, too. So the
handler of a signal cancels what runs there.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator


class Running:
    """What runs on a loop from before there is one until after it is closed.

    Attributes:
        interrupted: Whether it was.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._work: tuple[asyncio.AbstractEventLoop, Callable[[], object]] | None = None

    @contextmanager
    def interruptible(self, loop: asyncio.AbstractEventLoop, cancel: Callable[[], object]) -> Iterator[None]:
        """While the context lasts, an interrupt calls what cancels the work on a loop, also one that came before."""
        self._work = loop, cancel
        if self.interrupted:
            cancel()
        try:
            yield
        finally:
            self._work = None

    def interrupt(self) -> None:
        """Cancel it: now, or when it begins. What has come to its end is not interrupted."""
        self.interrupted = True
        if self._work is not None:
            loop, cancel = self._work
            loop.call_soon_threadsafe(cancel)


_running: Running | None = None


@contextmanager
def running() -> Iterator[Running]:
    """While the context lasts, what runs on a loop of this thread can be interrupted, if it is the main thread."""
    global _running  # noqa: PLW0603 - signals are the process's, too
    one, before = Running(), _running
    is_main = threading.current_thread() is threading.main_thread()
    try:
        if is_main:
            _running = one
        yield one
    finally:
        if is_main:
            _running = before


def interrupt() -> bool:
    """Interrupt what runs on the main thread's loop; whether anything does. For the handler of a signal."""
    if _running is None:
        return False
    _running.interrupt()
    return True
