"""What a sender with a results log waits for: its log is opened in a thread, synced, and looked after."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import anyio

from batchsend.errors import RunError
from batchsend.results.groupsync import GroupSync
from batchsend.sender.keeping import KeptExchange
from batchsend.sender.kept_log import KeptLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batchsend.campaign import Delivery, Server
    from batchsend.outcome import DeliveryResult
    from batchsend.results.choice import Choice

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at whether log and journal are still where they were."""


async def opened(
    path: Path, choice: Choice, servers: Sequence[Server], delivery: Delivery, *, abandoned: bool
) -> KeptLog:
    """Read a log in a thread, and go on with it; the arguments are those of `KeptLog`.

    Raises:
        UsageError: As `KeptLog`.
        RunError: Likewise.
        CancelledError: It was cancelled; the log is closed.
    """
    refusal: RunError | None = None

    def read() -> KeptLog:
        if refusal is not None:  # the executor has kept the call for its next thread, and nobody waits for it
            raise refusal
        return KeptLog(path, choice, servers, delivery, abandoned=abandoned)

    try:
        opening = asyncio.get_running_loop().run_in_executor(None, read)
    except RuntimeError as error:  # there is no thread left to read it in
        refusal = RunError(
            f"{path}: the results log cannot be opened: {error}", remedy="let this process have more threads or memory"
        )
        raise refusal from error
    cancelled: asyncio.CancelledError | None = None
    # Whoever is cancelled waits for the thread, too: left behind, it would have the log when that is opened next.
    with anyio.CancelScope(shield=True):
        while not opening.done():
            try:
                await asyncio.wait([opening])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return opening.result()
    if opening.exception() is None:
        try:
            opening.result().close()
        except RunError as error:
            raise cancelled from error
    raise cancelled


class LogKeeper:
    """Keeps a sender's log: its exchange, and the task that brings it to the disk and looks whether it is in its place.

    Args:
        unclaimed: As for `Exchange`.
        log: The log, open.
        notice: As for `KeptExchange`.

    Attributes:
        log: As given.
        exchange: The exchange whose account it is.
    """

    def __init__(
        self, unclaimed: Callable[[DeliveryResult], None], log: KeptLog, notice: Callable[[str], None]
    ) -> None:
        self.log = log
        self._disk = GroupSync(log.ledger) if log.is_durable else None
        self.exchange = KeptExchange(unclaimed, log, notice, self._disk)
        self._until = anyio.CancelScope()
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End the task, once a sync that is under way in a thread is over: the files are the thread's until then."""
        self._until.cancel()
        await asyncio.wait([self._looking])

    async def _look(self) -> None:
        # anyio's scope waits for what runs in a thread, which a task that is cancelled would leave behind.
        with self._until:
            async with anyio.create_task_group() as tasks:
                if self._disk is not None:
                    tasks.start_soon(self._disk.run)
                while True:
                    await anyio.sleep(_LOOK_EVERY)
                    try:
                        self.log.ledger.look()
                    except RunError as error:
                        self.exchange.failed(error)
