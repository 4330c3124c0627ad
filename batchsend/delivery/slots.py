"""The slots: where sessions are opened, kept, rotated and given up.

The rules:

1.  There are ``max_connections`` slots. Each has at most one session that may begin transactions; nothing is lent or
    given back, so nothing can leak.
2.  A slot without a session sleeps until there is work that the open sessions did not take.
3.  A session that will soon have begun its last transaction announces it. Then one spare session is opened, at most one
    at a time, and whichever slot needs one first takes it: it goes on while the old one awaits its last replies. Where
    the server refuses the spare, sessions are closed first and opened then; nothing else follows from that.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from typing import TYPE_CHECKING

import anyio

from batchsend.delivery.connector import ConnectError, Opened
from batchsend.delivery.limits import Limits
from batchsend.delivery.session import Session
from batchsend.delivery.statistics import SessionState, SessionStatistics
from batchsend.errors import RunError
from batchsend.outcome import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from batchsend.campaign import Delivery
    from batchsend.delivery.backlog import Backlog
    from batchsend.delivery.connector import Connector
    from batchsend.delivery.desk import Desk

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
_GATE_SECONDS = 1.0
# Round trips from the SYN to the reply to AUTH: what a first guess at the time for opening a spare is made of.
_ROUND_TRIPS = 9


class Slots:
    """Opens sessions as they are needed and sees them through.

    Args:
        connector: Opens the transports.
        options: The campaign's limits and time-outs.
        desk: Where sessions get their work.
        backlog: What is to be done.
        stop: Called with the reason when the run cannot go on.
        notice: Called with what the user should know.

    Attributes:
        limits: What the server is known to allow.
        opened: How many sessions were opened.
        opening: How many are being opened.
    """

    def __init__(
        self,
        connector: Connector,
        options: Delivery,
        *,
        desk: Desk,
        backlog: Backlog,
        stop: Callable[[RunError], None],
        notice: Callable[[str], None],
    ) -> None:
        self.limits = Limits(options.max_connections, options.max_messages)
        self.opened = 0
        self.opening = 0
        self._connector = connector
        self._options = options
        self._desk = desk
        self._backlog = backlog
        self._stop = stop
        self._notice = notice
        self._noticed: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._live: set[Session] = set()
        self._asleep: deque[asyncio.Event] = deque()
        self._over = anyio.Event()
        self._unclosed: set[Session] = set()  # their transports: live ones, and those that take their leave
        self._news = asyncio.Event()  # a session has ended or is closed, or a spare has or has not been opened
        self._busy = 0
        self._tasks: TaskGroup | None = None
        self._spare: Session | None = None
        self._spare_under_way = False
        self._spare_refused = False
        self._open_seconds = 0.0
        self._pace = 0.0  # messages a second of the session that retired last
        self._failing_since: float | None = None
        self._attempts: set[anyio.CancelScope] = set()  # to open a session

    async def run(self) -> None:
        """Keep the slots going until `finish`."""
        try:
            async with anyio.create_task_group() as self._tasks:
                for _ in range(self._options.max_connections):
                    self._tasks.start_soon(self._slot)
            # A loop must not end with open transports.
            while self._unclosed:
                await self._news.wait()
        finally:
            for session in self._unclosed - self._live:
                session.cut()

    def wake(self) -> None:
        """There is work that the open sessions did not take."""
        for _ in range(min(len(self._backlog), len(self._asleep))):
            self._asleep.popleft().set()

    def finish(self) -> None:
        """Nothing more is to be begun: every session ends when its replies are in, and every slot with it."""
        self._over.set()
        for attempt in self._attempts:
            attempt.cancel()
        for session in list(self._live):
            session.finish()
        while self._asleep:
            self._asleep.popleft().set()

    def abort(self, reason: str) -> None:
        """End every session at once."""
        self._over.set()
        for session in list(self._live):
            session.abort(reason)

    def __len__(self) -> int:
        return len(self._live)

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
        if self._spare is not None or self._spare_under_way or self._spare_refused:
            return
        connections = self.limits.connections(self._loop.time())
        if connections < self._options.max_connections or len(self._live) + self.opening > connections:
            return
        if self._over.is_set() or self._tasks is None or session.max_messages <= 1:
            return
        self._spare_under_way = True
        self._tasks.start_soon(self._open_spare)

    def ended(self, session: Session) -> None:
        """A session is gone."""
        self._live.discard(session)
        if session is self._spare:
            self._spare = None
        if session.answered:
            self._failing_since = None
        if session.trouble is not None or session.closing_reply is not None:
            self.limits.session_closed(session.closing_reply, session.answered)
        self._tell()

    def closed(self, session: Session) -> None:
        """The transport of a session that has ended is closed."""
        self._unclosed.discard(session)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # --- a slot's life ----------------------------------------------------------------------------------------------

    async def _slot(self) -> None:
        pause = _FIRST_PAUSE
        successor: Session | None = None
        while successor is not None or await self._work():
            self._busy += 1
            try:
                productive, successor = await self._session(successor)
            finally:
                self._busy -= 1
            if productive:
                pause = _FIRST_PAUSE
            else:
                await self._back_off(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _work(self) -> bool:
        """Wait until there is work for one more session; False when there will be none."""
        while not self._over.is_set():
            if not self._backlog:
                alarm = asyncio.Event()
                self._asleep.append(alarm)
                await alarm.wait()
            elif self._busy < self.limits.connections(self._loop.time()):
                return True
            else:
                with anyio.move_on_after(_GATE_SECONDS):
                    await self._over.wait()
        return False

    async def _session(self, session: Session | None) -> tuple[bool, Session | None]:
        """See one session through, the one given or another, until the slot may go on to the next.

        Returns:
            Whether it came to something; and the session to go on with, or None.
        """
        try:
            session = session or await self._take_spare() or await self._open()
        except ConnectError as error:
            self._consider(error)
            return False, None
        except RunError as error:
            self._stop(error)
            return False, None
        if session is None:
            return True, None
        session.begin()
        if self._over.is_set():
            session.finish()
        await session.retired.wait()
        if session.begun:
            self._pace = session.begun / max(self._loop.time() - session.began, 0.001)
        successor = await self._successor(session)
        if successor is not None or session.answered or session.trouble is None or self._over.is_set():
            return True, successor
        self._give_up_after_silence(f"sessions end before anything is answered: {session.trouble}", None)
        return False, None

    async def _successor(self, session: Session) -> Session | None:
        """The spare, if there is one before a retired session has ended; None then, and it has."""
        while self._spare is None and self._spare_under_way and not session.ended.is_set():
            await self._news.wait()
        spare, self._spare = self._spare, None
        if spare is not None and self._busy > self.limits.connections(self._loop.time()):
            spare.finish()
            spare = None
        if spare is None:
            await session.ended.wait()
        return spare

    async def _back_off(self, pause: float) -> None:
        with anyio.move_on_after(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter, not a secret
            await self._over.wait()

    # --- opening ----------------------------------------------------------------------------------------------------

    async def _take_spare(self) -> Session | None:
        """The spare if there is one, or if one will be there sooner than a session that is only begun now."""
        while self._spare is None and self._spare_under_way:
            await self._news.wait()
        spare, self._spare = self._spare, None
        return spare

    async def _open_spare(self) -> None:
        try:
            self._spare = await self._open()
        except (ConnectError, RunError):
            self._spare_refused = True
        finally:
            self._spare_under_way = False
            self._tell()
        if self._over.is_set() and self._spare is not None:
            self._spare.finish()

    async def _open(self) -> Session | None:
        """A new session; None if it is not needed any more."""
        began = self._loop.time()
        opened: Opened | None = None
        self.opening += 1
        with anyio.CancelScope() as attempt:
            self._attempts.add(attempt)
            try:
                opened = await self._connector.open()
            finally:
                self._attempts.discard(attempt)
                self.opening -= 1
        if opened is None:
            return None
        self._open_seconds = self._loop.time() - began
        return self._new_session(opened)

    def _new_session(self, opened: Opened) -> Session:
        self.opened += 1
        extensions = opened.extensions
        depth = self._options.depth
        if depth > 1 and not (extensions.chunking and extensions.pipelining):
            self._notice_once(f"{opened.where} offers no CHUNKING with PIPELINING: depth = {depth} is taken as 1")
            depth = 1
        if self._options.dsn is not None and not extensions.dsn:
            self._notice_once(f"{opened.where} offers no DSN: its reports are as it likes")
        self.limits.announced(extensions.mail_max)
        max_messages = self.limits.max_messages
        session = Session(
            self.opened,
            opened,
            desk=self._desk,
            options=self._options,
            depth=depth,
            max_messages=max_messages,
            announce_at=max_messages - self._lead(depth, max_messages),
        )
        self._live.add(session)
        self._unclosed.add(session)
        self.limits.opened(len(self._live))
        session.attach()
        return session

    def _lead(self, depth: int, max_messages: int) -> int:
        """How many messages before its last one a session has its spare opened: as many as go out meanwhile."""
        expected = self._open_seconds * self._pace * 1.5 if self._pace else _ROUND_TRIPS * depth
        return max(1, min(math.ceil(expected) + 1, max_messages // 2))

    def _consider(self, error: ConnectError) -> None:
        """What it means that a session could not be opened."""
        trouble = error.trouble
        never_seen = not self.opened and not self.opening
        if trouble.lasting or (never_seen and trouble.stage is Stage.CONNECT):
            self._stop(RunError(error.message, remedy=error.remedy))
            return
        others = len(self._live) + self.opening
        # Where nobody is served, nobody is one too many.
        if self._live and self.limits.connection_refused(others, self._loop.time()):
            self._notice_once(f"{error.message}; going on with {others} session{'s' if others > 1 else ''}")
        elif not others:
            self._give_up_after_silence(error.message, error.remedy)
            self._notice_once(f"{error.message}; trying again")

    def _give_up_after_silence(self, message: str, remedy: str | None) -> None:
        now = self._loop.time()
        self._failing_since = self._failing_since or now
        silent = now - self._failing_since
        if not self._live and silent > self._options.give_up_after:
            self._stop(RunError(f"{message}; given up after {silent:.0f} s", remedy=remedy))

    def _notice_once(self, text: str) -> None:
        if text not in self._noticed:
            self._noticed.add(text)
            self._notice(text)

    def __repr__(self) -> str:
        spare = ", a spare" if self._spare is not None else ""
        return (
            f"<Slots {self._busy} busy, {len(self._live)} sessions{spare}, {len(self._asleep)} asleep, {self.limits!r}>"
        )
