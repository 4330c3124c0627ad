"""A connector that hands a point's sessions over together, when all of them are open.

Without it the first session that is open would send most of the messages, and the others would have nothing to do. The
sessions of a campaign begin one after the other, and so they are rotated; those that begin together are given fewer
messages, each another number of them, lest all of them be rotated at the same moment and wait for one another.
"""

from __future__ import annotations

import anyio
import anyio.lowlevel

from batchsend.delivery.connector import ConnectError, Connector, Opened

# Turns of the event loop after which an aborted transport is surely closed; it takes fewer.
_TURNS_TO_CLOSE = 20
# Turns of the event loop that the opened sessions get to begin, before the pool hears of those that failed.
_TURNS_TO_BEGIN = 2


class GatheringConnector(Connector):
    """A connector that hands over the first few sessions at the same moment; those after them at once."""

    opens_together = True

    _awaited = 0
    _count = 0
    _opened = 0
    _together: anyio.Event | None = None

    def gather(self, count: int) -> None:
        """Let the next ``count`` sessions wait for one another, and tell of those that cannot be opened afterwards."""
        self._awaited = self._count = count
        self._opened = 0
        self._together = anyio.Event()

    async def open(self) -> Opened:
        """Open one session, and wait for those it belongs to.

        Raises:
            ConnectError: It could not be opened.
        """
        together = self._together
        if together is None or together.is_set():
            return await super().open()
        try:
            opened = await super().open()
        except ConnectError:
            self._arrive(together)
            await together.wait()
            await _turns(_TURNS_TO_BEGIN)
            raise
        except BaseException:
            self._arrive(together)
            raise
        self._opened += 1
        share = self._opened / self._count
        self._arrive(together)
        try:
            await together.wait()
        except BaseException:
            opened.transport.abort()
            with anyio.CancelScope(shield=True):
                await _turns(_TURNS_TO_CLOSE)
            raise
        return opened._replace(share=share)

    def _arrive(self, together: anyio.Event) -> None:
        self._awaited -= 1
        if not self._awaited:
            together.set()


async def _turns(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()
