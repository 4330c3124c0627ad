"""The slots of one relay: where its sessions are opened, kept, rotated and given up.

The rules:

1.  There are ``max_connections`` slots (`set_connections` may add some). Each has at most one session that may begin
    transactions; nothing is lent or given back, so nothing can leak.
2.  A slot without a session sleeps until there is work for this relay that the open sessions did not take.
3.  A session that will soon have begun its last transaction announces it. Then one spare session is opened, at most one
    at a time, and whichever slot needs one first takes it: it goes on while the old one awaits its last replies. Then
    the next is opened, if another session has announced its end meanwhile. Where the server refuses the spare, sessions
    are closed first and opened then, and a spare is tried again after a while.
4.  Sessions that are open, being opened, or not closed yet are never more than ``max_connections`` + 1: whoever opens
    one waits for its place. The one is the spare, or a session that takes its leave while its successor sends.
5.  Whether a server that offers CHUNKING takes BDAT, one session finds out with one message. The others wait for that
    a few seconds and send by DATA where it is not known then, so that one record at most is in doubt for it.
6.  How long to wait before another session is tried is the relay's to say (`Relay`, rule 2), for all slots together.
7.  None is opened that would be idle to a server that has ended an idle session, nor at a rate of a message a second or
    less: as many as may send a message at once.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from batchsend.delivery.attempts import Attempts
from batchsend.delivery.chunking import ChunkingRecord
from batchsend.delivery.connector import ConnectError, Opened
from batchsend.delivery.relay import CLOSE_AFTER
from batchsend.delivery.session import Session
from batchsend.delivery.signal import Signal
from batchsend.delivery.statistics import SessionState, SessionStatistics
from batchsend.errors import RunError
from batchsend.outcome import Stage
from batchsend.trace import smtp_log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from batchsend.campaign import Delivery
    from batchsend.delivery.backlog import Backlog
    from batchsend.delivery.connector import Connector
    from batchsend.delivery.relay import Relay
    from batchsend.delivery.session import WorkSource

_GATE_SECONDS: Final = 1.0
_LONGEST_LOOK: Final = 60.0
# Round trips from the SYN to the reply to AUTH: what a first guess at the time for opening a spare is made of.
_ROUND_TRIPS: Final = 9
_SPARE_PAUSE: Final = 60.0
# Logins refused one after the other, after some that worked, from which they are refused for good.
_REFUSED_LOGINS: Final = 3
_LOGIN_PAUSE: Final = 120.0
# For how long sessions wait to hear whether the server takes BDAT: many round trips, but no server thinks them idle.
_PROBE_SECONDS: Final = 3.0


class Slots:
    """Opens sessions to one relay as they are needed, and sees them through.

    Args:
        connector: Opens the transports.
        relay: What is known of the relay.
        options: The campaign's limits and time-outs.
        work: Where sessions get their work.
        backlog: What is to be done.
        may_work: Whether this relay is to have one more session than are being opened: no better one can send.
        lost: Called with the reason when the relay cannot be used any more in this run.
        gone: Called with the reason when the relay does not answer, and is not waited for any more.
        unreached: Called when no session can be opened at present: others may take over meanwhile.
        ended: Called with a session of which nothing is left.
        notice: Called with what the user should know.

    Attributes:
        opened: How many sessions were opened.
    """

    def __init__(
        self,
        connector: Connector,
        relay: Relay,
        options: Delivery,
        *,
        work: WorkSource,
        backlog: Backlog,
        may_work: Callable[[Relay, int], bool],
        lost: Callable[[Relay, RunError], None],
        gone: Callable[[Relay, RunError], None],
        unreached: Callable[[], None],
        ended: Callable[[Session], None],
        notice: Callable[[str], None],
        number: Callable[[], int],
    ) -> None:
        self.relay = relay
        self.opened = 0
        self._connector = connector
        connector.be_patient_for(options.give_up_after)
        self._options = options
        self._work = work
        self._backlog = backlog
        self._may_work = may_work
        self._lost = lost
        self._gone = gone
        self._unreached = unreached
        self._ended = ended
        self._notice = notice
        self._number = number
        self._noticed: set[str] = set()
        self._loop = asyncio.get_running_loop()
        # In the order of their opening, so that what is done to all of them is done in the same order each time.
        self._live: dict[Session, None] = {}
        self._unclosed: dict[Session, None] = {}  # their transports: live ones, and those that take their leave
        self._over = False
        self._asked_for: int | None = None  # sessions, since `set_connections`
        self._paused = False
        self._slots = 0  # tasks
        # A session has ended or is closed, a spare has or has not been opened, there is work, or the run is over.
        self._changed = Signal()
        self._idle_slots = 0
        self._busy = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._spare: Session | None = None
        self._spare_under_way = False
        self._wanting: dict[Session, None] = {}  # sessions that will soon retire, and have no successor yet
        self._no_spare_until = 0.0
        self._open_seconds = 0.0
        self._pace = 0.0  # messages a second of the session that retired last
        self._refused_logins = 0
        self._chunking = ChunkingRecord(self.relay, self._notice_once)
        self._attempts = Attempts(connector, self._may_try_beside, self._changed)

    async def run(self) -> None:
        """Keep the slots going until `finish`."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._add_slots(self.relay.limits.most)
            # A loop must not end with open transports.
            while self._unclosed:
                await self._changed.wait()
        finally:
            for session in [session for session in self._unclosed if session not in self._live]:
                session.cut()

    def _add_slots(self, most: int) -> None:
        """See to it that there are so many slots; there may be more, which stay idle."""
        if self._tasks is not None and not self._over:
            for _ in range(most - self._slots):
                self._begin(self._slot())
            self._slots = max(self._slots, most)

    def _begin(self, work: Coroutine[Any, Any, None]) -> bool:
        """Begin a task of the run, unless that is being cancelled: sessions that still end ask for it then, too."""
        try:
            # asyncio's own task group: anyio's asks for the current task, and a callback has none.
            if self._tasks is not None:
                self._tasks.create_task(work)
                return True
        except RuntimeError:  # the group takes no more
            pass
        work.close()
        return False

    def set_connections(self, connections: int) -> None:
        """From now on there may be so many sessions: those that are too many end in order."""
        self.relay.set_connections(connections)
        self._asked_for = connections
        for session in list(self._live)[connections:]:
            session.finish()
        self._add_slots(connections)
        self._changed.notify()

    def pause(self) -> None:
        """Begin nothing more until `resume`: what was begun is finished, then the sessions end in order."""
        self._paused = True
        self._close_sessions()

    def resume(self) -> None:
        """Go on: sessions are opened again as there is work."""
        self._paused = False
        self.relay.answered()  # that nothing was heard of it meanwhile says nothing
        self._changed.notify()

    def _close_sessions(self) -> None:
        self._attempts.cancel()
        for session in list(self._live):
            session.finish()
        self._changed.notify()

    def wake(self) -> None:
        """There is work that the open sessions did not take, or something that slots wait for has changed."""
        if self._idle_slots:
            self._changed.notify()

    def finish(self) -> None:
        """Nothing more is to be begun: every session ends when its replies are in, and every slot with it."""
        self._over = True
        self._close_sessions()

    def abort(self, reason: str) -> None:
        """End every session at once."""
        self._over = True
        for session in list(self._live):
            session.abort(reason)
        self._changed.notify()

    def retire(self) -> None:
        """Let the open sessions end with what they have committed; slots open others when there is work again."""
        for session in list(self._live):
            session.leave()

    def __len__(self) -> int:
        return len(self._live)

    @property
    def opening(self) -> int:
        """How many sessions are being opened."""
        return len(self._attempts)

    @property
    def live(self) -> tuple[Session, ...]:
        """The sessions that have not ended."""
        return tuple(self._live)

    def sessions(self) -> tuple[SessionStatistics, ...]:
        """The open sessions as they are now, by number."""
        live = sorted(self._live, key=lambda session: session.number)
        return tuple(
            SessionStatistics(
                session.number, self._state(session), session.begun, session.max_messages, session.unanswered
            )
            for session in live
        )

    def _state(self, session: Session) -> SessionState:
        if session is self._spare:
            return SessionState.SPARE
        if session.retired.is_set():
            return SessionState.RETIRING
        return SessionState.SENDING if session.unanswered else SessionState.OPEN

    # --- what sessions say ------------------------------------------------------------------------------------------

    def retiring(self, session: Session) -> None:
        """A session has begun nearly all it may: open a spare, unless there is one or no place for it (rule 3)."""
        if session.max_messages > 1:
            self._wanting[session] = None
            self._open_wanted_spare()

    def _open_wanted_spare(self) -> None:
        """Open a spare, if a session waits for one and the relay allows it."""
        now = self._loop.time()
        if not self._wanting or self._spare is not None or self._spare_under_way or now < self._no_spare_until:
            return
        if self.relay.connections(now) < self.relay.limits.most or self._over or self._paused:
            return
        self._spare_under_way = self._begin(self._open_spare())

    def ended(self, session: Session) -> None:
        """A session is gone."""
        why = session.trouble or "all its messages are answered"
        smtp_log.debug("session %d with %s has ended: %s", session.number, self._connector.where, why)
        if session.trace is not None and session.trouble is not None:
            session.trace.note(session.trouble)
        self._live.pop(session, None)
        self._wanting.pop(session, None)
        if session is self._spare:
            self._spare = None
        relay, now = self.relay, self._loop.time()
        if not session.aborted:
            self._chunking.ended(session, self._live)
        if session.group_lost and not relay.accepted:
            relay.no_pipelining = True
            self._notice_once(
                f"{relay.name} offers PIPELINING, and has answered the first of a group of commands only: one at a "
                "time from now on; pipelining = false in [server] does so from the beginning"
            )
        if session.answered:
            relay.answered()
        relay.ends_idle |= session.was_idle
        if session.trouble is not None or session.closing_reply is not None:
            self._lost_one(session, now)
        if not session.chunked and not relay.is_believed(is_broken=session.broken, answered=session.answered):
            what = f"{relay.name} sends replies that do not fit, in session after session: {session.trouble}"
            remedy = "see what is between here and the server, by --trace; what was sent meanwhile is in doubt"
            self._lost(relay, RunError(what, remedy=remedy))
        self._ended(session)
        if not self._live:
            relay.is_tried_by(now + self._options.give_up_after)
        self._changed.notify()

    def _lost_one(self, session: Session, now: float) -> None:
        """A session has ended before its time."""
        relay = self.relay
        if session.begun:
            relay.foresight.lost(relay.accepted, now)
        # One that took nothing, and was closed without a word, came to nothing (rule 2 of `delivery/relay.py`).
        says_something = session.took or session.closing_reply is not None
        if says_something and not (session.was_idle or session.broken or session.aborted):
            relay.limits.session_closed(session.closing_reply, session.answered, session.opened_at, now)
        if not session.took and session.unfinished:
            relay.back_off(now)
            others = len(self._live) + self.opening
            if self._live and not self._over and not session.begun and not says_something:
                # What the open ones get accepted ends the pause at once, and the next one would be closed as well.
                relay.limits.too_many_connections(others + 1, now)
                self._notice_fewer(f"{self._connector.where}: {session.trouble} before anything was sent", others)

    def closed(self, session: Session) -> None:
        """The transport of a session that has ended is closed."""
        self._unclosed.pop(session, None)
        self._changed.notify()

    def may_chunk(self, session: Session) -> bool:
        """Whether a session may send its first message by BDAT (rule 5)."""
        relay = self.relay
        if relay.no_chunking:
            return False
        return relay.chunking_works or not any(other.probing for other in self._live if other is not session)

    def chunking_proven(self) -> None:
        """The server has taken a BDAT."""
        self.relay.chunking_works = True
        self._changed.notify()

    # --- a slot's life ----------------------------------------------------------------------------------------------

    async def _slot(self) -> None:
        successor: Session | None = None
        while successor is not None or await self._work_to_do():
            try:
                if successor is not None:
                    self._busy += 1
                successor = await self._session(successor)
            finally:
                self._busy -= 1

    async def _work_to_do(self) -> bool:
        """Wait until there is work for one more session, and count its slot as busy; False when there will be none."""
        relay = self.relay
        while not self._over:
            now = self._loop.time()
            seconds: float | None = None
            if self._backlog and not self._paused and self._may_work(relay, self.opening):
                if (pause := relay.wait(now)) > 0:
                    seconds = min(pause, _LONGEST_LOOK)
                elif self._busy < relay.connections(now) and self._may_try():
                    self._busy += 1
                    return True
                else:
                    seconds = _GATE_SECONDS
            self._idle_slots += 1
            try:
                await self._changed.wait(seconds)
            finally:
                self._idle_slots -= 1
        return False

    def _may_try(self) -> bool:
        """Until a first session was opened, the other slots wait for it."""
        return self.relay.proven or self._connector.opens_together or not self._busy

    async def _session(self, session: Session | None) -> Session | None:
        """See one session through, the one given or another, until the slot may go on to the next.

        Returns:
            The session to go on with, or None.
        """
        try:
            session = session or await self._take_spare() or await self._open()
        except ConnectError as error:
            self._consider(error)
            return None
        except RunError as error:
            self._lost(self.relay, error)
            return None
        if session is None:
            return None
        await self._chunking_known(session)
        is_one_too_many = self._is_one_too_many(session)
        if not self._paused and not is_one_too_many:
            session.begin()
        if self._is_not_wanted() or is_one_too_many:
            session.finish()
        await session.retired.wait()
        if session.begun:
            self._pace = session.begun / max(self._loop.time() - session.began, 0.001)
        successor = await self._successor(session)
        if successor is None and not session.answered and session.trouble is not None and not self._over:
            self._give_up_after_fruitless(session.trouble)
        return successor

    async def _chunking_known(self, session: Session) -> None:
        """Wait a little, where another session finds out whether the server takes BDAT (rule 5)."""
        until = self._loop.time() + _PROBE_SECONDS
        while session.chunked and not session.retired.is_set() and not self.relay.no_chunking:
            wait = until - self._loop.time()
            if wait <= 0 or self.may_chunk(session):
                break
            await self._changed.wait(wait)

    async def _successor(self, session: Session) -> Session | None:
        """The spare, if there is one before a retired session has ended; None then, and it has."""
        while self._spare is None and self._spare_under_way and not session.ended.is_set():
            await self._changed.wait()
        spare, self._spare = self._spare, None
        if spare is not None:
            self._wanting.pop(session, None)
            self._open_wanted_spare()
        if spare is not None and self._busy > self.relay.connections(self._loop.time()):
            spare.finish()
            spare = None
        if spare is None:
            await session.ended.wait()
        return spare

    # --- opening ----------------------------------------------------------------------------------------------------

    async def _take_spare(self) -> Session | None:
        """The spare if there is one, or if one will be there sooner than a session that is only begun now."""
        while self._spare is None and self._spare_under_way:
            await self._changed.wait()
        spare, self._spare = self._spare, None
        return spare

    async def _open_spare(self) -> None:
        try:
            self._spare = await self._open()
        except (ConnectError, RunError):
            # Perhaps one session too many for this server, or one of its bad moments.
            self._no_spare_until = self._loop.time() + _SPARE_PAUSE
        finally:
            self._spare_under_way = False
            self._changed.notify()
        if self._is_not_wanted() and self._spare is not None:
            self._spare.finish()

    def _is_not_wanted(self) -> bool:
        """Whether a session that has just been opened is to end at once: what is to be said to all was said before."""
        now = self._loop.time()
        return self._over or self._paused or self.relay.asleep_until - now > CLOSE_AFTER

    def _is_one_too_many(self, session: Session) -> bool:
        """Whether fewer sessions were asked for while this one was being opened."""
        if self._asked_for is None:
            return False
        others = [one for one in self._live if one is not self._spare and not one.retired.is_set()]
        return session in others[self._asked_for :]

    async def _place(self) -> bool:
        """Wait for a place for one more session (rule 4); False if it is not needed any more."""
        while not self._over and not self._paused:
            if self._has_place():
                return True
            await self._changed.wait(_GATE_SECONDS)
        return False

    def _has_place(self) -> bool:
        allowed = self.relay.connections(self._loop.time())
        most = allowed + 1 if allowed == self.relay.limits.most else allowed
        return len(self._unclosed) + self.opening < most

    def _may_try_beside(self) -> bool:
        """Whether a session is tried beside one at which the server is silent: nobody sends, and there is a place."""
        if self._live or self._connector.opens_together:
            return False
        return not self.relay.wait(self._loop.time()) and self._has_place()

    async def _open(self) -> Session | None:
        """A new session; None if it is not needed any more."""
        if not await self._place():
            return None
        began, before, alone = self._loop.time(), self.opened, not self._live
        self.relay.limits.grow(began)
        try:
            opened = await self._attempts.open()
        except ConnectError as error:
            if alone and before == self.opened:
                error.silent = self._loop.time() - began
            raise
        if opened is None:
            return None
        self._open_seconds = self._loop.time() - began
        self._refused_logins = 0
        self.relay.reached()
        return self._new_session(opened)

    def _new_session(self, opened: Opened) -> Session:
        self.opened += 1
        if self.relay.no_pipelining:
            opened = opened._replace(extensions=replace(opened.extensions, pipelining=False))
        extensions = opened.extensions
        depth = self._options.depth
        if depth > 1 and not (extensions.chunking and extensions.pipelining):
            self._notice_once(f"{opened.where} offers no CHUNKING with PIPELINING: depth = {depth} is taken as 1")
            depth = 1
        if self.relay.no_chunking:
            depth = 1
        if self._options.dsn is not None and not extensions.dsn:
            self._notice_once(f"{opened.where} offers no DSN: its reports are as it likes")
        limits = self.relay.limits
        limits.announced(extensions.mail_max)
        max_messages = 1 if self.relay.trying else limits.max_messages_now(self._loop.time())
        if opened.share < 1:
            max_messages = max(1, round(opened.share * max_messages))
        session = Session(
            self._number(),
            opened,
            relay=self.relay,
            work=self._work,
            owner=self,
            options=self._options,
            depth=depth,
            max_messages=max_messages,
            announce_at=max_messages - self._lead(depth, max_messages),
        )
        self._live[session] = None
        self._unclosed[session] = None
        limits.opened(len(self._live))
        smtp_log.debug("session %d with %s: %d messages at most", session.number, opened.where, max_messages)
        if session.trace is not None:
            session.trace.note(f"session {session.number} of the results log")
        session.attach()
        return session

    def _lead(self, depth: int, max_messages: int) -> int:
        """How many messages before its last one a session has its spare opened: as many as go out meanwhile."""
        expected = self._open_seconds * self._pace * 1.5 if self._pace else _ROUND_TRIPS * depth
        return max(1, min(math.ceil(expected) + 1, max_messages // 2))

    def _consider(self, error: ConnectError) -> None:
        """What it means that a session could not be opened."""
        failure, relay, now = error.failure, self.relay, self._loop.time()
        reason = RunError(error.message, remedy=error.remedy)
        if failure.stage is Stage.AUTH and failure.reply is not None:
            self._refused_logins += 1
            if failure.reply.code < 500:
                # A server that counts logins counts those that it refuses, too: minutes, and one at a time.
                relay.proven = False
                relay.back_off_for(now, _LOGIN_PAUSE * self._refused_logins)
                self._notice_once(f"{error.message}; trying again after a while")
                self._give_up_after_silence(error, now)
                return
            if relay.proven and self._refused_logins < _REFUSED_LOGINS:
                relay.back_off(now)
                return
        others = len(self._live) + self.opening
        if failure.lasting:
            self._lost(relay, reason)
            return
        if not relay.proven and not others and failure.is_final:
            relay.back_off(now)
            relay.unreached = reason
            self._gone(relay, reason)
            return
        relay.back_off(now)
        # Where nobody is served, nobody is one too many.
        if self._live and relay.limits.connection_refused(others, now, local=failure.local):
            self._notice_fewer(error.message, others)
        elif not others:
            relay.unreached = reason
            self._unreached()
            self._give_up_after_silence(error, now)
            self._notice_once(f"{error.message}; trying again")

    def _notice_fewer(self, why: str, others: int) -> None:
        self._notice_once(f"{why}; going on with {others} session{'s' if others > 1 else ''}")

    def _give_up_after_silence(self, error: ConnectError, now: float) -> None:
        silent = self.relay.failing(now, error.silent)
        if (left := self._options.give_up_after - silent) > 0 and not self._live:
            self.relay.is_tried_by(now + left)
        elif not self._live:
            self._gone(self.relay, RunError(f"{error.message}; given up after {silent:.0f} s", remedy=error.remedy))

    def _give_up_after_fruitless(self, trouble: str) -> None:
        """Sessions open, and end before any message is decided: those that began since have to show better.

        One that began before and has nothing under way has nothing to show.
        """
        now = self._loop.time()
        since = self.relay.fruitless_since(now)
        if (left := self._options.give_up_after - (now - since)) > 0:
            self.relay.is_tried_by(now + left)
        elif not any(session.began <= since and session.unanswered for session in self._live):
            message = f"sessions end before anything is answered: {trouble}; given up after {now - since:.0f} s"
            self._gone(self.relay, RunError(message, remedy=None))

    def _notice_once(self, text: str) -> None:
        if text not in self._noticed:
            self._noticed.add(text)
            self._notice(text)

    def __repr__(self) -> str:
        spare = ", a spare" if self._spare is not None else ""
        return f"<Slots {self._busy} busy, {len(self._live)} sessions{spare}, {self._idle_slots} idle, {self.relay!r}>"
