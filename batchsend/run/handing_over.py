"""What a run's producer waits for: room in the pool, and records that are due again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchsend.delivery.pool import Pool
    from batchsend.message.submission import Submission
    from batchsend.run.accounting import Accounting


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
