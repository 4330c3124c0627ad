"""The pool for programs that make their own submissions."""

from __future__ import annotations

import ssl  # noqa: TC003 - public: its hints are resolved at run time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from types import TracebackType  # noqa: TC003 - public: its hints are resolved at run time
from typing import Self

import anyio

from batchsend.campaign import Delivery, Server, check_objects
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.delivery.signal import Signal
from batchsend.errors import RunError, UsageError
from batchsend.message.submission import Envelope, Submission
from batchsend.outcome import DeliveryResult  # noqa: TC001 - public: its hints are resolved at run time

# Submissions between the caller's iterable and the caller's loop body: what a slow caller can pile up.
_WINDOW = 1000
_BATCH = 32


class _Fed:
    """One caller's submissions on their way into the pool."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.complete = False
        self.error: Exception | None = None  # of the caller's own iterable


class Sender:
    """A pool of sessions that stays open between sends. An async context manager.

    ::

        async with Sender(Server(host="127.0.0.1", port=2525, tls="none")) as sender:
            async for result in sender.send(submissions):
                print(result.record, result.status)

    Args:
        servers: One server, or several in order of preference.
        delivery: How fast, how often and how safely; None for the defaults.
        context: What to verify certificates with, instead of what the servers say.
        notice: Called with what the user should know and no result says, one line each.

    Raises:
        UsageError: A server's settings cannot be used.
    """

    def __init__(
        self,
        *servers: Server,
        delivery: Delivery | None = None,
        context: ssl.SSLContext | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._delivery = delivery or Delivery()
        check_objects(*servers, self._delivery)
        if not servers:
            raise UsageError("there is no server to send to", remedy="give one: Sender(Server(host=…))")
        self._connectors = [
            Connector(server, self._delivery.timeouts, context, require_tls=self._delivery.require_tls)
            for server in servers
        ]
        self._notice = notice
        self._tasks = anyio.create_task_group()
        self._busy = anyio.Semaphore(1)  # not a lock: a loop that is left early is closed by another task
        self._out = 0  # submissions taken from a caller whose results were not yet given to one
        self._room = Signal()
        # Results that no caller was given yet. Not a stream: that costs more for each than all the rest.
        self._results: deque[tuple[DeliveryResult, DeliveryResult | None]] = deque()
        self._news = Signal()
        self._pool: Pool
        self._ended = False
        self._failure: RunError | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._start()
        return self

    def _start(self) -> None:
        """Make a pool, and keep it going beside the caller."""
        self._pool = pool = Pool(self._connectors, self._delivery, self, notice=self._notice)
        self._ended = False
        self._failure = None

        async def run() -> None:
            try:
                await pool.run()
            except RunError as error:
                self._failure = error
            finally:
                self._ended = True
                self._news.notify()

        self._tasks.start_soon(run)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.close()
        if error is not None:
            self._tasks.cancel_scope.cancel()
        # Not told of the caller's error, which it would wrap in a group: it goes on from here as it is.
        await self._tasks.__aexit__(None, None, None)

    async def send(
        self, submissions: Iterable[Submission] | AsyncIterable[Submission]
    ) -> AsyncIterator[DeliveryResult]:
        """Send, and yield each outcome as it is known; in no particular order.

        One call at a time; a second one waits for the first. Where the loop over it is left early, what was under way
        is yielded by the next call.

        Args:
            submissions: What to send; taken no faster than the results are.

        Yields:
            The outcome of each submission. One that proves unbelievable later is followed by a second one for the same
            record, ``in_doubt``.

        Raises:
            RunError: The server is gone or refuses the sender. What was not begun has no result. The next call tries
                again.
            TypeError: What the iterable gives is no `Submission`, or its content is not bytes; what it gave before has
                its results.
            Exception: What the iterable of submissions raises, once what it gave before has its results.
        """
        async with self._busy:
            if self._ended:
                self._out = 0  # what had not begun when the pool stopped
                self._start()
            fed = _Fed()
            self._tasks.start_soon(self._feed, submissions, fed)
            try:
                while True:
                    while self._results:
                        result, earlier = self._results.popleft()
                        if earlier is None:
                            self._out -= 1
                            self._room.notify()
                        yield result
                    if self._ended or (fed.complete and not self._out):
                        break
                    await self._news.wait()
            finally:
                fed.scope.cancel()
            if fed.error is not None:
                raise fed.error
        if self._failure is not None:
            raise self._failure

    async def _feed(self, submissions: Iterable[Submission] | AsyncIterable[Submission], fed: _Fed) -> None:
        with fed.scope:
            try:
                async for batch in _batches(submissions):
                    while self._out >= _WINDOW:
                        await self._room.wait()
                    if not await self._hand_over(batch):
                        return
            except Exception as error:  # the iterable's, and raised where the caller is
                fed.error = error
        fed.complete = True
        self._news.notify()  # no result may be to come any more

    async def _hand_over(self, batch: list[Submission]) -> bool:
        """Give submissions to the pool; False if it has stopped: then the caller's loop ends, and says why."""
        self._out += len(batch)
        # What is counted is sent: were it cancelled in between, its results would be waited for in vain.

        with anyio.CancelScope(shield=True):
            return await self._pool.put(batch)
        raise AssertionError  # a shielded scope swallows nothing

    # --- what the pool says -------------------------------------------------------------------------------------------

    def commit(self, submission: Submission, release: Callable[[bool], None]) -> bool:
        """A sender keeps no account on disk: the octets may leave."""
        del submission, release
        return True

    def withdraw(self, submission: Submission) -> None:
        """A message goes back into the pool; the caller is told of its outcome."""

    def retry(self, submission: Submission, result: DeliveryResult) -> None:
        """A message goes back into the pool; the caller is told of its outcome."""

    def settle(self, submission: Submission, result: DeliveryResult) -> None:
        """Keep a result for whoever asks for the next one."""
        del submission
        self._results.append((result, None))
        self._news.notify()

    def supersede(self, earlier: DeliveryResult | None, result: DeliveryResult) -> None:
        """Keep what takes the place of an earlier result; where a later offer has settled the record, that stands."""
        if earlier is not None:
            self._results.append((result, earlier))
            self._news.notify()


def _required(submission: Submission) -> Submission:
    """Refuse what a session would stumble over later, where the caller is: a wrong type is a mistake of the program.

    Raises:
        TypeError: It is not a submission, or its content or envelope is not one.
    """
    if not isinstance(submission, Submission):
        raise TypeError(f"expected a batchsend.Submission, not {type(submission).__name__}")
    if not isinstance(submission.content, bytes):
        raise TypeError(f"record {submission.record}: content must be bytes, not {type(submission.content).__name__}")
    if not isinstance(submission.envelope, Envelope):
        raise TypeError(
            f"record {submission.record}: envelope must be a batchsend.Envelope, "
            f"not {type(submission.envelope).__name__}"
        )
    return submission


async def _batches(
    submissions: Iterable[Submission] | AsyncIterable[Submission],
) -> AsyncIterator[list[Submission]]:
    if isinstance(submissions, AsyncIterable):
        # Each goes on at once: the next one may be long in coming.
        async for submission in submissions:
            yield [_required(submission)]
        return
    batch: list[Submission] = []
    try:
        for submission in submissions:
            batch.append(_required(submission))
            if len(batch) == _BATCH:
                yield batch
                batch = []
    except Exception:
        yield batch  # what it gave before it failed
        raise
    if batch:
        yield batch
