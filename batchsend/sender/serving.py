"""An open sender at work: the exchange of its callers, and the pool that is there while there is something to send."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio

from batchsend import figures
from batchsend.delivery.pool import Pool
from batchsend.errors import BatchsendError, RunError, UsageError
from batchsend.sender.exchange import Call, Exchange
from batchsend.sender.given import feeds_here, no_log_for_keys, own_key, require_key
from batchsend.sender.unfinished import closed, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from batchsend.campaign import Delivery
    from batchsend.delivery.connector import Connector
    from batchsend.delivery.quota import Meters
    from batchsend.delivery.statistics import PoolStatistics
    from batchsend.message.submission import Submission
    from batchsend.outcome import DeliveryResult
    from batchsend.sender.given import Sendable
    from batchsend.sender.looking import LogKeeper


_ENDED: Final = "the event loop that the sender was opened in has ended and did not close it"


class OpenSender:
    """What is there from a sender's opening until its end, on the loop that it was opened in.

    Args:
        connectors: One for each relay.
        delivery: How fast, how often and how safely.
        exchange: Whose the messages are, and what became of them.
        keeper: What keeps the results log, whose exchange that is then; None where there is none.
        meters: What counts towards the quotas.
        notice: Called with what the user should know and no result says.
        pool_ended: Called with the last figures of each pool.

    Attributes:
        exchange: As given.
        keeper: As given.
        closing: Nothing more is taken.
        feeds: The tasks that bring messages to the exchange.
    """

    def __init__(
        self,
        connectors: Sequence[Connector],
        delivery: Delivery,
        exchange: Exchange,
        keeper: LogKeeper | None,
        *,
        meters: Meters,
        notice: Callable[[str], None],
        pool_ended: Callable[[PoolStatistics], None],
    ) -> None:
        self.exchange = exchange
        self.closing = False
        self.feeds: set[asyncio.Task[None]] = set()
        self._connectors = connectors
        self._delivery = delivery
        self.keeper = keeper
        self._meters = meters
        self._notice = notice
        self._pool_ended = pool_ended
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._pool: Pool | None = None
        self._running: asyncio.Task[None] | None = None  # while there is a pool
        if keeper is not None:
            keeper.exchange.on_failure = self._stop_sending
            _KEPT.add(self)

    def statistics(self) -> PoolStatistics | None:
        """The pool as it is now; None where there is none."""
        return None if self._pool is None else self._pool.statistics()

    def require_open(self) -> None:
        """Refuse a call that comes too late, or from another loop.

        Raises:
            UsageError: It does.
        """
        if self.closing:
            raise not_open()
        self.require_loop()

    def require_closable(self) -> None:
        """Refuse a close that could not come to its end.

        Raises:
            UsageError: It comes from another loop, or by an iterable whose end it would wait for.
        """
        self.require_loop()
        if not self.feeds.isdisjoint(feeds_here()):
            raise UsageError(
                "an iterable of messages cannot close the sender that it gives them to",
                remedy="End the iterable, and close the sender where the results are taken.",
            )

    @property
    def is_abandoned(self) -> bool:
        """Whether its loop was closed and it was not: nothing of it goes on any more, and nobody can close it."""
        return self._loop.is_closed()

    @property
    def is_parents(self) -> bool:
        """Whether it is that of a process of which this one is a fork; its loop does not run here."""
        return os.getpid() != self._process

    def require_loop(self) -> None:
        """Refuse a call from another loop than its own.

        Raises:
            UsageError: This is one.
        """
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            return
        if self.is_parents:
            raise UsageError(
                "the process was forked since the sender was opened, and this is the child",
                remedy="open it here as well: async with sender:",
            )
        if self.is_abandoned:
            raise UsageError(_ENDED, remedy="open it again, and close it before its loop ends: async with sender:")
        raise UsageError("the sender was opened in another event loop", remedy="Threads share a batchsend.SyncSender.")

    def name_of(self, message: Sendable, key: str | None) -> str | None:
        """What a message is known by in the results log; None where there is no log, or it is known by nothing.

        Raises:
            UsageError: There is a key and no log, or it cannot be one.
            TypeError: It is no text.
        """
        if key is None:
            return None if self.keeper is None else own_key(message)
        require_key(key)
        if self.keeper is None:
            raise no_log_for_keys()
        return key

    # --- sending ------------------------------------------------------------------------------------------------------

    async def outcomes(
        self, submissions: list[Submission], key: str | None, *, owns: bool = False
    ) -> list[DeliveryResult]:
        """Send submissions of one content, and wait for all of their outcomes.

        Args:
            submissions: The submissions.
            key: What they are called in the results log, or None.
            owns: Whether they are nobody else's.

        Raises:
            UnfinishedError: Not all of them were begun.
        """
        if self.keeper is not None or (self._pool is not None and self._pool.stopping):
            try:
                await self.ready()
            except RunError as error:
                raise unfinished(error, ()) from error
        call = Call(owns=owns)
        self.offer(call, submissions, key)
        try:
            while not call.settled:
                await call.changed.next()
            # Nothing is lost from here on: there is no await.
            known = call.results()
        finally:
            self.exchange.leave(call)
        if len(known) < call.offered:
            raise unfinished(call.error, known)
        return known

    def offer(self, call: Call, submissions: Sequence[Submission], key: str | None) -> None:
        """Take a caller's messages in, and see to it that there is a pool for them."""
        self.exchange.offer(call, submissions, key)
        if self._running is None:
            self._pool = pool = Pool(
                self._connectors,
                self._delivery,
                self.exchange,
                notice=self._notice,
                learned={} if self.keeper is None else self.keeper.log.learned,
                meters=self._meters,
            )
            self._running = asyncio.create_task(self._serve(pool))

    async def ready(self) -> None:
        """Wait for the end of a pool that takes nothing more, and look whether the account can be kept.

        Raises:
            RunError: It cannot; or the sender was closed meanwhile.
        """
        while self._running is not None and self._pool is not None and self._pool.stopping:
            await asyncio.wait([self._running])
        if self.closing:
            raise closed()
        if self.keeper is not None:
            self.keeper.exchange.require_kept()

    # --- the pool -----------------------------------------------------------------------------------------------------

    async def _serve(self, pool: Pool) -> None:
        """Run a pool, fill it, and tell the callers when it is over."""
        running, filling = asyncio.create_task(pool.run()), asyncio.create_task(self._fill(pool))
        error: Exception = closed()
        try:
            await asyncio.wait([running, filling], return_when=asyncio.FIRST_COMPLETED)
            if filling.done() and (failure := filling.exception()) is not None:
                raise failure  # where nothing more is put in, nothing more comes out
            await running
        except Exception as failure:  # whatever it is, those who wait are told
            error = failure
        finally:
            for task in (running, filling):
                task.cancel()
            with suppress(asyncio.CancelledError):  # once more, as by two who close the sender at once
                await asyncio.gather(running, filling, return_exceptions=True)
            self._pool_ended(pool.statistics())
            if self.keeper is not None:
                self.keeper.log.learned = pool.learned
            self._pool = self._running = None
            self._stopped(error)

    def _stopped(self, error: Exception) -> None:
        """Nothing goes on any more: callers hear why, and the user of what no caller may hear of.

        Whoever has left does not, nor does a thread that the end of the program stops.
        """
        count, left = self.exchange.stopped(error)
        if unheard := count if self.closing else left:
            were, are = ("was", "is") if unheard == 1 else ("were", "are")
            why = error.message if isinstance(error, BatchsendError) else repr(error)
            taken = f"{figures.count(unheard, 'message')} that the sender had taken"
            self._notice(f"{taken} {were} not begun, and {are} not sent: {why}")

    async def _fill(self, pool: Pool) -> None:
        while await pool.room():
            if batch := self.exchange.take():
                pool.add(batch)  # in the same turn: it has not stopped in between
            else:
                await self.exchange.work.wait()

    def _stop_sending(self, error: RunError) -> None:
        if self._pool is not None:
            self._pool.stop(error)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def close(self, *, at_once: bool) -> None:
        """Take nothing more, and end.

        Args:
            at_once: Whether sessions end where they are; otherwise what was taken is sent first.
        """
        self.closing = True
        try:
            if not at_once:
                await self._drain()
        finally:
            for feed in self.feeds:
                feed.cancel()
            await _to_its_end(self._end())
            if self.feeds:
                await asyncio.wait(self.feeds)

    def close_log(self) -> None:
        """Close the results log of a sender that has come to its end, where it has one.

        Raises:
            RunError: It cannot be written.
        """
        if self.keeper is not None:
            _KEPT.discard(self)
            self.keeper.log.close()

    def let_go(self) -> None:
        """Let go of the results log of a sender whose loop has ended: whoever opens it reads there what was in flight.

        Raises:
            RunError: What is known cannot be written.
        """
        if self.keeper is not None:
            try:
                _KEPT.remove(self)
            except KeyError:
                return  # another sender has had it let go of the log
        if not self.exchange.is_idle:
            self._notice(f"{_ENDED}: what was under way there has no result")
        if self.keeper is not None:
            self.keeper.log.let_go()

    async def _drain(self) -> None:
        """Wait until everything that was taken has its result."""
        for feed in self.feeds:
            feed.cancel()
        if self.feeds:
            await asyncio.wait(self.feeds)
        while not self.exchange.is_idle:
            await self.exchange.idle.wait()
        if self._running is not None and self._pool is not None:
            self._pool.close()
            await asyncio.wait([self._running])

    async def _end(self) -> None:
        """End what is still there."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self.keeper is not None:
            await self.keeper.stop()
        self._stopped(closed())


_KEPT: Final[set[OpenSender]] = set()
"""Those of this process that have a results log open, also where their program has forgotten them."""


def at_log(path: Path) -> Iterator[OpenSender]:
    """The open senders of this process that keep a results log."""
    for sender in tuple(_KEPT):
        if sender.keeper is not None and sender.keeper.log.is_at(path):
            yield sender


def _after_fork() -> None:
    """A child has no part in its parent's logs: their locks are not to outlive the parent's senders."""
    kept = tuple(_KEPT)
    _KEPT.clear()
    for sender in kept:
        if sender.keeper is not None:
            sender.keeper.log.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do something as a whole, also where whoever waits for it is cancelled, once or several times.

    What anyio cancels is cancelled in each turn of the loop, which its scope keeps away from here.

    Raises:
        CancelledError: It was cancelled, and the work is done.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
        task.result()
        if cancelled is not None:
            raise cancelled


def not_open() -> UsageError:
    """The error for a call to a sender that takes none."""
    return UsageError("the sender is closed", remedy="open it: async with Sender(…) as sender:")
