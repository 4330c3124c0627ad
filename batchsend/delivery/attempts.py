"""Attempts to open a session: where the server is silent and nobody sends meanwhile, another one is tried beside.

A connection may get lost on the way, and RFC 5321 §4.5.3.2.1 gives the server five minutes for its greeting. The rules:

1.  Where an attempt has not come to its end after `BESIDE_AFTER` seconds, another one begins beside it, if the slots
    allow it. Each further one waits for twice as long as the one before it.
2.  The first attempt that opens a session ends the others.
3.  Otherwise the very first attempt decides what all have come to. That one beside it was turned away may only mean
    that there were two. What would be said to each of them ends all: a login that was refused, and what lasts.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from batchsend.delivery.connector import ConnectError
from batchsend.outcome import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from batchsend.delivery.connector import Connector, Opened
    from batchsend.delivery.signal import Signal

BESIDE_AFTER: Final = 20.0
"""Seconds of silence: more than a server needs that looks us up in a slow DNS first, as most do."""


class Attempts:
    """The attempts to open sessions to one relay; their number is how many are under way.

    Args:
        connector: Makes them.
        may_try_beside: Whether one more may begin, beside one at which the server is silent.
        changed: Told each time that one has come to its end.
    """

    def __init__(self, connector: Connector, may_try_beside: Callable[[], bool], changed: Signal) -> None:
        self._connector = connector
        self._may_try_beside = may_try_beside
        self._changed = changed
        self._under_way: set[asyncio.Task[Opened]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def cancel(self) -> None:
        """No session is needed any more."""
        for attempt in self._under_way:
            attempt.cancel()

    async def open(self) -> Opened | None:
        """Open one session; None if it is not needed any more.

        Raises:
            ConnectError: There is none.
        """
        attempts = [first := self._begin()]
        patience = BESIDE_AFTER
        try:
            while True:
                done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if deciding := [attempt for attempt in done if attempt is first or _decides(attempt)]:
                    break
                attempts = [attempt for attempt in attempts if attempt not in done]
                self._are_over(done)
                if not done and self._may_try_beside():
                    self._connector.avoid_awaited()
                    attempts.append(self._begin())
                    patience *= 2
            decided = min(deciding, key=_has_failed)
            await _end([attempt for attempt in attempts if attempt is not decided])
        except asyncio.CancelledError:
            # Whoever wanted the session is being cancelled, and takes none that was opened in the same turn.
            await _end(attempts)
            raise
        finally:
            self._are_over(attempts)
        return None if decided.cancelled() else decided.result()

    def _begin(self) -> asyncio.Task[Opened]:
        attempt = asyncio.get_running_loop().create_task(self._connector.open())
        self._under_way.add(attempt)
        return attempt

    def _are_over(self, attempts: Collection[asyncio.Task[Opened]]) -> None:
        self._under_way.difference_update(attempts)
        if attempts:
            self._changed.notify()

    def __repr__(self) -> str:
        return f"<Attempts {len(self)} under way>"


def _has_failed(attempt: asyncio.Task[Opened]) -> bool:
    return attempt.cancelled() or attempt.exception() is not None


def _decides(attempt: asyncio.Task[Opened]) -> bool:
    """Whether what an attempt beside the first one has come to is what all have come to (rules 2 and 3)."""
    if attempt.cancelled() or not isinstance(error := attempt.exception(), ConnectError):
        return True
    failure = error.failure
    return failure.lasting or (failure.stage is Stage.AUTH and failure.reply is not None)


async def _end(attempts: Collection[asyncio.Task[Opened]]) -> None:
    """See attempts ended whose session nobody takes; why one has none, nobody is to hear."""
    for attempt in attempts:
        attempt.cancel()
    if attempts:
        await asyncio.wait(attempts)
    for attempt in attempts:
        if not _has_failed(attempt):
            attempt.result().transport.abort()
