"""A condition that many tasks of one loop may wait for, and that any callback may signal."""

from __future__ import annotations

import asyncio


class Signal:
    """Wakes everybody who waits each time something has changed.

    ``asyncio.Condition`` needs its lock to be held, which a protocol's callback cannot wait for; an ``asyncio.Event``
    that is set stays set. Whoever waits looks again at what it waits for, as with every condition::

        while not ready():
            await changed.wait()

    Attributes:
        waiters: Those who wait; where there are none, `notify` need not be called.
    """

    def __init__(self) -> None:
        self.waiters: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        """Wake everybody who waits now."""
        if not self.waiters:
            return
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def next(self) -> asyncio.Future[None]:
        """The next `notify`, to be awaited: for a signal that few wait for, and seldom in vain.

        One that is cancelled is forgotten at the next `notify`; `wait` forgets it at once.
        """
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return waiter

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the next `notify`, or for so many seconds; None for as long as it takes."""
        waiter = self.next()
        try:
            if seconds is None:
                await waiter
            else:
                await asyncio.wait((waiter,), timeout=max(0.0, seconds))
        finally:
            if not waiter.done():
                waiter.cancel()
            if waiter in self.waiters:
                self.waiters.remove(waiter)

    def __repr__(self) -> str:
        return f"<Signal with {len(self.waiters)} waiting>"
