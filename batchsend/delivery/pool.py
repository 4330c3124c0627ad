"""The pool: takes submissions in, gives them to sessions, and takes what became of them out.

A submission is at exactly one place: in the backlog, in a session, or settled; ``_out`` counts those in sessions. A
session that finds the backlog empty, or the rate used up, is parked; whoever changes that pumps the parked ones first
and wakes slots for the rest. The pool is over when the stream has ended, the backlog is empty and nothing is out, or
when it was stopped and nothing is out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import anyio

from batchsend.delivery.backlog import Backlog
from batchsend.delivery.classify import Effect
from batchsend.delivery.slots import Slots
from batchsend.delivery.statistics import PoolStatistics, Slowdown
from batchsend.delivery.throttle import Goodput, Throttle
from batchsend.errors import RunError
from batchsend.outcome import DeliveryResult, Outcome, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ObjectReceiveStream

    from batchsend.campaign import Delivery
    from batchsend.delivery.connector import Connector
    from batchsend.delivery.session import Session
    from batchsend.message.submission import Submission

    Report = Callable[[DeliveryResult, DeliveryResult | None], None]
    Commit = Callable[[int, Callable[[bool], None]], bool]

MAX_LOSSES: Final = 5
"""Sessions that one record may be lost with before it is deferred: it may be what ends them."""

MAX_SENDER_REFUSALS: Final = 10
"""The same 5yz to MAIL in a row after which it is the sender who is refused, not the record."""

MAX_HELD_BACK: Final = 50
"""How often one record is sent again because the server asked for a slower pace, before that is its outcome."""

CUTS_BEFORE_FEWER: Final = 5
"""Cuts of the rate in a row after which there are fewer sessions, too."""

# Python 3.11 takes 0.1 µs to look a member up in its enumeration.
_ACCEPTED: Final = Outcome.ACCEPTED
_NO_EFFECT: Final = Effect.NONE
_PRESSURE: Final = (Effect.SLOW_DOWN, Effect.FEWER_SESSIONS)


class Pool:
    """Sends submissions through at most ``max_connections`` sessions.

    Args:
        connector: Opens the sessions.
        options: How fast, how often and how safely.
        report: Called with every result, in the loop's turn in which it is known; it must not block. A second
            argument is the earlier result that the first one takes the place of, or None.
        commit: Called with a record's number before the octets that may commit its message are handed to the transport.
            True lets them go; False holds them back until what it is called with, too, is called: with true if they may
            go then, with false if they must not.
        withdraw: Called with a record's number when what was or may have been about to be committed was not taken.
        note: Called with a deferral after which the pool itself sends the record again: an attempt, not an outcome.
        notice: Called with what the user should know and no result says, one line each.
    """

    def __init__(
        self,
        connector: Connector,
        options: Delivery,
        *,
        report: Report,
        commit: Commit = lambda _, __: True,
        withdraw: Callable[[int], None] = lambda _: None,
        note: Callable[[DeliveryResult], None] = lambda _: None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._note = note
        self._report = report
        self._commit = commit
        self._withdraw = withdraw
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._backlog = Backlog(low=max(64, 2 * options.max_connections * options.depth))
        self._slots = Slots(connector, options, desk=self, backlog=self._backlog, stop=self.stop, notice=notice)
        now = self._loop.time()
        self._throttle = Throttle(options.rate.per_second if options.rate else None, now)
        self._goodput = Goodput(now)
        self._accepted = 0
        self._replies: Counter[int] = Counter({250: 0})
        self._slowdown: tuple[float, str] | None = None  # when, and what the server said
        self._wake_up: asyncio.TimerHandle | None = None  # set while the rate holds everything back
        self._intake = anyio.CancelScope()
        self._hungry: asyncio.Event | None = None
        self._parked: dict[Session, None] = {}  # in the order of parking
        self._out = 0
        self._over = asyncio.Event()
        self._ended_stream = False
        self._stopping = False
        self._error: RunError | None = None
        self._losses: dict[int, int] = {}
        self._held_back: dict[int, int] = {}
        self._sender_refusals = (0, 0)  # code, how many in a row

    @property
    def learned(self) -> dict[str, float]:
        """What the server has shown it allows, by the name of the option that would set it."""
        learned = dict(self._slots.limits.learned)
        if self._throttle.slowest is not None:
            learned["rate"] = round(self._throttle.slowest, 1)
        return learned

    def statistics(self) -> PoolStatistics:
        """The pool as it is now."""
        throttle, slots = self._throttle, self._slots
        return PoolStatistics(
            sessions=slots.sessions(),
            opening=slots.opening,
            opened=slots.opened,
            connections=slots.limits.allowed,
            in_flight=self._out,
            backlog=len(self._backlog),
            goodput=self._goodput.rate(self._loop.time(), self._accepted),
            rate=throttle.rate,
            slowdown=Slowdown(*self._slowdown, throttle.cuts) if self._slowdown and throttle.cuts else None,
            replies=dict(self._replies),
        )

    async def run(self, batches: ObjectReceiveStream[list[Submission]]) -> None:
        """Send what comes from the stream until it ends.

        Cancelling it ends every session at once; what was committed and not answered is reported in doubt.

        Raises:
            RunError: The run had to stop early. What was in flight is reported; what was not begun is not.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._slots.run)
                tasks.start_soon(self._take_in, batches)
                tasks.start_soon(self._measure)
        finally:
            if self._wake_up is not None:
                self._wake_up.cancel()
            self._stopping = True
            self._slots.abort("the run was stopped")
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
        if self._throttle.rate is not None and (wait := self._throttle.take(self._loop.time())):
            self._parked[session] = None
            if self._wake_up is None:
                self._wake_up = self._loop.call_later(wait, self._rate_allows)
            return None
        self._out += 1
        submission = self._backlog.take()
        if self._hungry is not None and self._backlog.wants_more:
            self._hungry.set()
        return submission

    def commit(self, submission: Submission, session: Session) -> bool:
        """Say that a submission is about to be committed; False holds its session back."""
        return self._commit(submission.record, session.release)

    def settle(self, submission: Submission, result: DeliveryResult, effect: Effect) -> None:
        """Report an outcome, and act on what it means beyond its record."""
        self._out -= 1
        if result.status is _ACCEPTED:
            self._accepted += 1
        if result.code is not None:
            self._replies[result.code] += 1
        if effect is not _NO_EFFECT or self._sender_refusals[1]:
            self._act(result, effect)
            if effect in _PRESSURE and self._hold_back(submission, result):
                return
        if self._losses:
            self._losses.pop(submission.record, None)
        if self._held_back:
            self._held_back.pop(submission.record, None)
        self._report(result, None)
        if not self._out:
            self._look_for_the_end()

    def put_back(self, submission: Submission, session: Session) -> None:
        """Queue again what a session did not get to commit."""
        self._out -= 1
        self._withdraw(submission.record)
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
                        self._hungry = asyncio.Event()
                        await self._hungry.wait()
                        self._hungry = None
        self._ended_stream = True
        self._look_for_the_end()

    def _distribute(self) -> None:
        """Give work to the sessions that wait for it, then wake slots for the rest (rule 2)."""
        for session in list(self._parked):
            if not self._backlog or self._wake_up is not None:
                break
            del self._parked[session]
            session.pump()
        self._slots.wake()

    def _rate_allows(self) -> None:
        self._wake_up = None
        self._distribute()

    async def _measure(self) -> None:
        """Keep the samples of what gets through."""
        while not self._over.is_set():
            self._goodput.sample(self._loop.time(), self._accepted)
            with anyio.move_on_after(Goodput.INTERVAL):
                await self._over.wait()

    def _look_for_the_end(self) -> None:
        done = self._stopping or (self._ended_stream and not self._backlog)
        if done and not self._out and not self._over.is_set():
            self._over.set()
            self._slots.finish()

    def _act(self, result: DeliveryResult, effect: Effect) -> None:
        """What a refusal means for the run."""
        if effect is Effect.SLOW_DOWN:
            self._slow_down(result)
        elif effect is Effect.FEWER_SESSIONS:
            self._slots.limits.too_many_connections(len(self._slots), self._loop.time())
        elif effect is Effect.CREDENTIALS_REFUSED:
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

    def _hold_back(self, submission: Submission, result: DeliveryResult) -> bool:
        """Send again, not counting the attempt, what was refused only for the pace; False if that was often enough."""
        times = self._held_back[submission.record] = self._held_back.get(submission.record, 0) + 1
        if self._stopping or times > MAX_HELD_BACK:
            return False
        self._note(result)
        self._backlog.extend([submission])
        return True

    def _slow_down(self, result: DeliveryResult) -> None:
        now = self._loop.time()
        said = f"{result.code} {result.reply}"
        if self._throttle.slow_down(now, self._goodput.rate(now, self._accepted)):
            self._slowdown = time.time(), said.replace("\n", " ")
            self._notice(f"slowed to {self._throttle.rate:.3g}/s: the server said {said}")
            if self._throttle.cuts % CUTS_BEFORE_FEWER == 0:
                self._slots.limits.fewer(now)

    # --- what sessions and slots say of themselves ------------------------------------------------------------------

    def retiring(self, session: Session) -> None:
        """A session will soon be rotated."""
        self._slots.retiring(session)

    def ended(self, session: Session) -> None:
        """A session is gone; what it put back may be more than its own slot can take."""
        self._parked.pop(session, None)
        self._slots.ended(session)
        self._distribute()
        self._look_for_the_end()

    def closed(self, session: Session) -> None:
        """A session's transport is closed."""
        self._slots.closed(session)

    def __repr__(self) -> str:
        return (
            f"<Pool {self._out} out, {len(self._parked)} parked, {self._backlog!r}, {self._slots!r}, {self._throttle!r}"
            f"{', stopping' if self._stopping else ''}>"
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
