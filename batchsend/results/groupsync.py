"""Bringing the account to the disk, many messages at a time: what ``durability = "power"`` waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from batchsend.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.results.ledger import Ledger


class GroupSync:
    """Syncs a ledger again and again, off the loop, as long as messages wait for it.

    Whoever comes while one sync is under way is part of the next: the slower the disk, the larger the groups.

    Args:
        ledger: What is synced.

    Attributes:
        on_failure: Called when the disk does not keep the account: nothing more may be sent.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.on_failure: Callable[[RunError], None] = lambda _: None
        self._ledger = ledger
        self._waiting: dict[Callable[[bool], None], None] = {}
        self._wanted = anyio.Event()
        self._error: RunError | None = None

    def wait(self, release: Callable[[bool], None]) -> None:
        """Have ``release`` called when everything that the ledger holds now is on the disk, or cannot be.

        One that waits already waits for all that was added meanwhile, and is called once.
        """
        self._waiting[release] = None
        self._wanted.set()

    async def run(self) -> None:
        """Sync whenever somebody waits, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            group, self._waiting = self._waiting, {}
            if self._error is None:
                try:
                    await self._sync()
                except RunError as error:
                    self._error = error
                    self.on_failure(error)
            for release in group:
                if self._error is not None or release not in self._waiting:
                    release(self._error is None)

    async def _sync(self) -> None:
        self._ledger.flush()
        with self._ledger.begin_sync() as point:
            try:
                await anyio.to_thread.run_sync(point.sync)
            except RuntimeError as error:  # there is no thread left to wait in
                raise RunError(
                    f"the account cannot be brought to the disk: {error}", remedy="let it have more threads or memory"
                ) from error
            self._ledger.synced(point)

    def __repr__(self) -> str:
        return f"<GroupSync, {len(self._waiting)} waiting>"
