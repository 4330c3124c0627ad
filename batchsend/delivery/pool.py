"""The pool: `max_connections` slots, each of which owns at most one session and pulls its work.

Nothing is lent or given back, so nothing can leak. The rules:

1.  A submission is at exactly one place: in the backlog, in a session, or settled. ``_out`` counts those in sessions.
2.  A session that finds the backlog empty is parked; whoever puts something there pumps the parked ones first. A slot
    without a session sleeps; it is woken only for what the open sessions did not take.
3.  The pool is over when the stream has ended, the backlog is empty and nothing is out; or when it was stopped and
    nothing is out. Then every session is finished, and every slot ends.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import TYPE_CHECKING

import anyio

from batchsend.delivery.backlog import Backlog
from batchsend.delivery.classify import Effect
from batchsend.delivery.opening import OpeningError
from batchsend.delivery.session import Session
from batchsend.delivery.throttle import Throttle
from batchsend.errors import RunError
from batchsend.outcome import DeliveryResult, Outcome, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ObjectReceiveStream

    from batchsend.campaign import Delivery
    from batchsend.delivery.opening import Opener
    from batchsend.message.submission import Submission

    Report = Callable[[DeliveryResult, DeliveryResult | None], None]

MAX_LOSSES = 5
"""Sessions that one record may be lost with before it is deferred: it may be what ends them."""

MAX_SENDER_REFUSALS = 10
"""The same 5yz to MAIL in a row after which it is the sender who is refused, not the record."""

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class Pool:
    """Sends submissions through at most ``max_connections`` sessions.

    Args:
        opener: Opens the sessions.
        options: How fast, how often and how safely.
        report: Called with every result, in the loop's turn in which it is known; it must not block. A second
            argument is the earlier result that the first one takes the place of, or None.
        commit: Called with a record's number before the octets that may commit its message are handed to the transport.
        notice: Called with what the user should know and no result says, one line each.
    """

    def __init__(
        self,
        opener: Opener,
        options: Delivery,
        *,
        report: Report,
        commit: Callable[[int], None] = lambda _: None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._opener = opener
        self._options = options
        self._report = report
        self._commit = commit
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog(low=max(32, 2 * options.max_connections * options.depth))
        self._throttle = Throttle(options.rate.per_second if options.rate else None, self._loop.time())
        self._throttled: asyncio.TimerHandle | None = None
        self._intake = anyio.CancelScope()
        self._hungry: anyio.Event | None = None
        self._parked: dict[Session, None] = {}  # in the order of parking
        self._live: set[Session] = set()
        self._asleep: deque[anyio.Event] = deque()
        self._over = anyio.Event()
        self._out = 0
        self._ended_stream = False
        self._stopping = False
        self._error: RunError | None = None
        self._losses: dict[int, int] = {}
        self._sender_refusals = (0, 0)  # code, how many in a row
        self._opening = 0
        self._sessions_opened = 0
        self._last_contact = self._loop.time()
        self._noticed: set[str] = set()

    async def run(self, batches: ObjectReceiveStream[list[Submission]]) -> None:
        """Send what comes from the stream until it ends.

        Cancelling it ends every session at once; what was committed and not answered is reported in doubt.

        Raises:
            RunError: The run had to stop early. What was in flight is reported; what was not begun is not.
        """
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(self._options.max_connections):
                    tasks.start_soon(self._slot)
                await self._take_in(batches)
        finally:
            if self._throttled is not None:
                self._throttled.cancel()
            self._stopping = True
            for session in list(self._live):
                session.abort("the run was stopped")
        if self._error is not None:
            raise self._error

    def stop(self, error: RunError | None = None) -> None:
        """Begin nothing more; what is under way is awaited. `run` then ends, with ``error`` if there is one."""
        if self._error is None:
            self._error = error
        self._stopping = True
        self._backlog.clear()
        self._intake.cancel()
        self._look_for_the_end()

    # --- what sessions call (the hot path) ------------------------------------------------------------------------

    def supply(self, session: Session) -> Submission | None:
        """The next submission; None parks the session until there is one."""
        if not self._backlog:
            self._parked[session] = None
            return None
        if self._options.rate is not None and (wait := self._throttle.take(self._loop.time())):
            self._parked[session] = None
            if self._throttled is None:
                self._throttled = self._loop.call_later(wait, self._unthrottle)
            return None
        self._out += 1
        submission = self._backlog.take()
        if self._hungry is not None and self._backlog.wants_more:
            self._hungry.set()
        return submission

    def commit(self, submission: Submission) -> None:
        """Say that a submission is about to be committed."""
        self._commit(submission.record)

    def settle(self, submission: Submission, result: DeliveryResult, effect: Effect) -> None:
        """Report an outcome, and act on what it means beyond its record."""
        self._out -= 1
        if self._losses:
            self._losses.pop(submission.record, None)
        self._report(result, None)
        if effect is not Effect.NONE or self._sender_refusals[1]:
            self._act(result, effect)
        if not self._out:
            self._look_for_the_end()

    def put_back(self, submission: Submission, session: Session) -> None:
        """Queue again what a session did not get to commit."""
        self._out -= 1
        if not self._stopping:
            losses = self._losses[submission.record] = self._losses.get(submission.record, 0) + 1
            if losses < MAX_LOSSES:
                self._backlog.put_back(submission)
            else:
                del self._losses[submission.record]
                reason = f"{losses} sessions ended before it was sent, the last one because {session.trouble}"
                self._report(_never_offered(submission, reason, session.number), None)
        if not self._out:
            self._look_for_the_end()

    def supersede(self, earlier: DeliveryResult, result: DeliveryResult) -> None:
        """Report that an earlier result cannot be believed."""
        self._report(result, earlier)

    # --- the run's own ----------------------------------------------------------------------------------------------

    async def _take_in(self, batches: ObjectReceiveStream[list[Submission]]) -> None:
        async with batches:
            with self._intake:
                async for batch in batches:
                    self._backlog.extend(batch)
                    self._distribute()
                    if not self._backlog.wants_more:
                        self._hungry = anyio.Event()
                        await self._hungry.wait()
                        self._hungry = None
        self._ended_stream = True
        self._look_for_the_end()

    def _distribute(self) -> None:
        """Give work to the sessions that wait for it, then wake slots for the rest (rule 2)."""
        for session in list(self._parked):
            if not self._backlog or self._throttled is not None:
                break
            del self._parked[session]
            session.pump()
        for _ in range(min(len(self._backlog), len(self._asleep))):
            self._asleep.popleft().set()

    def _unthrottle(self) -> None:
        self._throttled = None
        self._distribute()

    def _look_for_the_end(self) -> None:
        if self._out or self._over.is_set() or not (self._stopping or (self._ended_stream and not self._backlog)):
            return
        self._over.set()
        for session in list(self._live):
            session.finish()
        while self._asleep:
            self._asleep.popleft().set()

    def _act(self, result: DeliveryResult, effect: Effect) -> None:
        """What a refusal means for the run."""
        if effect is Effect.CREDENTIALS_REFUSED:
            self.stop(_refused(result, "check username and password in [server]"))
        elif effect is Effect.SENDER_REFUSED and result.code is not None:
            code, count = self._sender_refusals
            count = count + 1 if code == result.code else 1
            self._sender_refusals = (result.code, count)
            if count >= MAX_SENDER_REFUSALS:
                remedy = "check that this server lets you send from the addresses in from and return_path"
                self.stop(_refused(result, remedy))
        elif result.stage not in (None, Stage.MAIL):
            self._sender_refusals = (0, 0)

    # --- slots ------------------------------------------------------------------------------------------------------

    async def _slot(self) -> None:
        """Open a session when there is work for one more, see it through, and again (rotation is no more than that)."""
        pause = _FIRST_PAUSE
        while await self._work():
            try:
                session = await self._open()
            except OpeningError as error:
                self._consider(error)
                with anyio.move_on_after(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter, not a secret
                    await self._over.wait()
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            self._live.add(session)
            session.start()
            if self._over.is_set():
                session.finish()
            await session.ended.wait()
            self._forget(session)

    async def _work(self) -> bool:
        """Wait until there is work for one more session; False when there will be none."""
        while not self._over.is_set():
            if self._backlog:
                return True
            alarm = anyio.Event()
            self._asleep.append(alarm)
            await alarm.wait()
        return False

    async def _open(self) -> Session:
        self._opening += 1
        try:
            opened = await self._opener.open()
        finally:
            self._opening -= 1
        self._sessions_opened += 1
        self._last_contact = self._loop.time()
        extensions = opened.extensions
        depth = self._options.depth
        if depth > 1 and not (extensions.chunking and extensions.pipelining):
            self._notice_once(f"depth = {depth} needs CHUNKING and PIPELINING, which {opened.where} does not offer: 1")
            depth = 1
        return Session(
            self._sessions_opened,
            opened,
            desk=self,
            timeouts=self._options.timeouts,
            depth=depth,
            max_messages=min(self._options.max_messages, extensions.mail_max or self._options.max_messages),
        )

    def _forget(self, session: Session) -> None:
        self._live.discard(session)
        self._parked.pop(session, None)
        if session.trouble is None:
            self._last_contact = self._loop.time()
        # What the session put back may be more than its own slot can take.
        self._distribute()
        self._look_for_the_end()

    def _consider(self, error: OpeningError) -> None:
        """Whether a session that could not be opened ends the run."""
        silent = self._loop.time() - self._last_contact
        never_seen = not self._sessions_opened and not self._opening
        if error.trouble.lasting or (never_seen and error.trouble.stage is Stage.CONNECT):
            self.stop(RunError(error.message, remedy=error.remedy))
        elif not self._live and silent > self._options.give_up_after:
            self.stop(RunError(f"{error.message}; given up after {silent:.0f} s", remedy=error.remedy))
        elif self._sessions_opened:
            self._notice_once(f"{error.message}; trying again")

    def _notice_once(self, text: str) -> None:
        if text not in self._noticed:
            self._noticed.add(text)
            self._notice(text)

    def __repr__(self) -> str:
        return (
            f"<Pool {len(self._live)} of {self._options.max_connections} sessions, {len(self._parked)} parked, "
            f"{self._out} out, {self._backlog!r}{', stopping' if self._stopping else ''}>"
        )


def _never_offered(submission: Submission, reason: str, session: int) -> DeliveryResult:
    return DeliveryResult(
        record=submission.record,
        recipient=submission.envelope.forward_path,
        status=Outcome.DEFERRED,
        reason=reason,
        attempt=submission.attempt,
        session=session,
        message_id=submission.message_id,
        time=time.time(),
    )


def _refused(result: DeliveryResult, remedy: str) -> RunError:
    return RunError(f"the sender is refused at {result.stage}: {result.code} {result.reply}", remedy=remedy)
