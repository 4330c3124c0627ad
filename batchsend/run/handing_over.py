"""What is waited for beside a pool: room in it, records that are due again, the next look at the account's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from batchsend.errors import RunError

if TYPE_CHECKING:
    from batchsend.delivery.pool import Pool
    from batchsend.message.submission import Submission
    from batchsend.results.ledger import Ledger
    from batchsend.run.accounting import Accounting

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at whether log and journal are still where they were."""


class PoolStoppedError(Exception):
    """The pool takes nothing more: whatever was still to come stays unsent. Caught where producing ends."""


async def hand_over(batch: list[Submission], accounting: Accounting, pool: Pool) -> None:
    """Give submissions to the pool, as soon as it takes them and whoever hears of results keeps up.

    Raises:
        PoolStoppedError: It takes none any more.
    """
    if accounting.stream is not None:
        await accounting.stream.room()
    if not await pool.room():
        raise PoolStoppedError
    accounting.hand_over(batch, pool)


async def wait_until_due(accounting: Accounting) -> dict[int, int] | None:
    """Wait until records are to be offered again.

    Returns:
        The numbers of their next attempts, by record; None when nothing is out any more and none waits.
    """
    while not (chosen := accounting.due()):
        if accounting.is_over:
            return None
        await accounting.changed.wait(accounting.seconds_until_due())
    return chosen


async def look_after(ledger: Ledger, pool: Pool) -> None:
    """Stop the pool when something has been done to the account, until cancelled: what is sent then would be lost."""
    try:
        while True:
            await anyio.sleep(_LOOK_EVERY)
            ledger.look()
    except RunError as error:
        pool.stop(error)
