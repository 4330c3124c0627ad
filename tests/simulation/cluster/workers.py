"""Workers in one process: each is a task with its own context, so that it can be stopped, let go on, or be gone.

A worker that is stopped, as SIGSTOP does, runs nothing: whatever is due for it, octets and timers alike, happens when
it is let go on. For one that was killed nothing ever happens again. What it had sent arrives all the same.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from typing import TYPE_CHECKING, Any, Final, TypeVarTuple, Unpack

import asyncpg

from tests.simulation.cluster.case import Trouble
from tests.simulation.cluster.database import RealDatabase, Session, SimulatedConnection
from tests.simulation.world import SimulationLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.cluster.case import ClusterCase
    from tests.simulation.network import End

Given = TypeVarTuple("Given")

EPOCH: Final = 1_780_000_000.0
NOBODY: Final = contextvars.Context()
"""What happens elsewhere than at a worker happens in this context."""

_WHO: contextvars.ContextVar[Client] = contextvars.ContextVar("client")


def who() -> Client:
    """The client that is running."""
    return _WHO.get()


class ClusterLoop(SimulationLoop):
    """A loop that runs nothing of who is stopped or dead."""

    def call_soon(
        self,
        callback: Callable[[Unpack[Given]], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        context = contextvars.copy_context() if context is None else context
        gated, client = self._gated(callback, context)
        handle = super().call_soon(gated, *args, context=context)
        if client is not None:
            gated.handle = handle
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Given]], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = contextvars.copy_context() if context is None else context
        gated, client = self._gated(callback, context)
        handle = super().call_at(when, gated, *args, context=context)
        if client is not None:
            gated.handle = handle
        return handle

    @staticmethod
    def _gated(callback: Any, context: contextvars.Context) -> tuple[Any, Client | None]:
        client = context.get(_WHO)
        return (callback, None) if client is None else (_Gated(client, callback, context), client)


class _Gated:
    """A callback of a client: it waits while that one is stopped."""

    def __init__(self, client: Client, callback: Callable[..., object], context: contextvars.Context) -> None:
        self.handle: asyncio.Handle | None = None
        self._client = client
        self._callback = callback
        self._context = context

    def __call__(self, *arguments: Any) -> None:
        if self._client.is_stopped:
            self._client.held.append((self, arguments))
        else:
            self._callback(*arguments)

    def again(self, loop: asyncio.AbstractEventLoop, arguments: tuple[Any, ...]) -> None:
        """The client goes on: what was held back is due, unless it is not wanted any more."""
        before, self.handle = self.handle, None

        def call() -> None:
            if before is None or not before.cancelled():
                self(*arguments)

        NOBODY.copy().run(loop.call_soon, lambda: self._context.run(call))


class Client:
    """A process that uses the database, and its way there.

    Args:
        number: 0 for who publishes, from 1 for workers.
        case: What befalls it.
        cluster: Where it lives.

    Attributes:
        is_stopped: It runs nothing for now.
        is_dead: It was killed.
        is_over: So is the case.
        held: What is due as soon as it goes on.
        ends: Its ends of connections to relays.
        context: Its context.
        cut_until: Until when what it sends to the database is held back.
        dialled: When it has asked for a connection to the database.
        asked: Each statement that it has sent there, and when.
    """

    def __init__(self, number: int, case: ClusterCase, cluster: SimulatedServer) -> None:
        self.number = number
        self.is_stopped = self.is_dead = self.is_over = False
        self.held: list[tuple[_Gated, tuple[Any, ...]]] = []
        self.ends: list[End] = []
        self._left: set[asyncio.Task[Any]] = set()
        self.cut_until = 0.0
        self.ahead = case.clocks[number - 1] if 0 < number <= len(case.clocks) else 0.0
        self.context = NOBODY.copy()
        self.context.run(_WHO.set, self)
        self._cluster = cluster
        self._loop = cluster.loop
        self._random = random.Random(case.seed * 100 + number)
        self.dialled: list[float] = []
        self.asked: list[tuple[float, str]] = []
        self._troubles: dict[int, Trouble] = {one.nth: one for one in case.troubles if one.client == number}
        self._sessions: list[Session] = []

    # --- its life -----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End it at this instant."""
        self.is_dead = self.is_stopped = True
        self._left = asyncio.all_tasks(self._loop)  # what is collected as garbage would still do something
        for end in self.ends:
            end.die()
        for session in self._sessions:
            session.hang_up()

    def leave(self) -> None:
        """Its process has come to its end: what it had open is closed."""
        for end in self.ends:
            end.die()
        for session in self._sessions:
            session.hang_up()

    def stop(self) -> None:
        """Let it run nothing."""
        self.is_stopped = True

    def end(self) -> None:
        """The case is over: what is left of it comes to its end, and reaches nobody."""
        self.is_over, self.is_dead = True, False
        self.go_on()

    def go_on(self) -> None:
        """Let it run again, and do first what was due meanwhile."""
        if self.is_stopped and not self.is_dead:
            self.is_stopped = False
            held, self.held = self.held, []
            for gated, arguments in held:
                gated.again(self._loop, arguments)

    # --- its way to the database --------------------------------------------------------------------------------------

    def silence(self, nth: int) -> None:
        """To the nth of the statements that it sends from now on, no answer ever comes."""
        nth += len(self.asked)
        self._troubles[nth] = Trouble(client=self.number, nth=nth, what="silent")

    async def connect(self) -> SimulatedConnection:
        """Connect to the database.

        Raises:
            OSError: It is not there.
        """
        self.dialled.append(self._loop.time())
        await asyncio.sleep(max(self._random.choice((0.001, 0.01)), self.cut_until - self._loop.time()))
        if self._cluster.is_away or self.is_over:
            raise ConnectionRefusedError("the database is away")
        session = self._cluster.session()
        self._sessions.append(session)
        return SimulatedConnection(self, session)

    async def carry(self, session: Session, method: str, statement: str, arguments: tuple[object, ...]) -> Any:
        """Bring a statement to the server, and its answer back, or whatever befalls them.

        Raises:
            asyncpg.PostgresError: As the server says.
            asyncpg.ConnectionDoesNotExistError: The connection is lost.
        """
        if self.is_over:
            raise asyncpg.InterfaceError("nobody is there any more")
        self.asked.append((self._loop.time(), statement))
        trouble = self._troubles.get(len(self.asked))
        answer: asyncio.Future[Any] = self._loop.create_future()
        there = max(self._random.choice((0.0002, 0.002, 0.02)), self.cut_until - self._loop.time())
        if trouble is not None and trouble.what == "late":
            there += trouble.seconds
        session.begin()
        work = (session, method, statement, arguments)
        self._loop.call_later(there, self._arrives, answer, trouble, work, context=NOBODY)
        return await answer

    def _arrives(self, answer: asyncio.Future[Any], trouble: Trouble | None, work: tuple[Any, ...]) -> None:
        self._cluster.spawn(self._do(answer, trouble, *work))

    async def _do(
        self,
        answer: asyncio.Future[Any],
        trouble: Trouble | None,
        session: Session,
        method: str,
        statement: str,
        arguments: tuple[object, ...],
    ) -> None:
        what = None if trouble is None else trouble.what
        result: Any = asyncpg.ConnectionDoesNotExistError("the connection was reset")
        try:
            if what == "lost":
                session.end()
            else:
                result = await session.do(method, statement, arguments)
        except asyncpg.PostgresError as error:
            result = error
        finally:
            session.done()
        if what == "silent":
            return
        if what == "lost answer":
            session.end()
            result = asyncpg.ConnectionDoesNotExistError("the connection was reset")
        await asyncio.sleep(self._random.choice((0.0002, 0.002, 0.02)))
        if trouble is not None and what == "late answer":
            await asyncio.sleep(trouble.seconds)
        if answer.done():
            return
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)


class SimulatedServer:
    """The database as its clients see it: it may be away, and has a clock of its own.

    Args:
        real: What does the statements.
        loop: The simulation's loop.

    Attributes:
        loop: The simulation's loop.
        ahead: Seconds by which its clock was set forward.
    """

    def __init__(self, real: RealDatabase, loop: ClusterLoop) -> None:
        self.loop = loop
        self.ahead = 0.0
        self._real = real
        self._away_until = 0.0
        self._sessions: list[Session] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_away(self) -> bool:
        """Whether it takes no connections."""
        return self.loop.time() < self._away_until

    def session(self) -> Session:
        """The server's side of a new connection."""
        session = Session(self._real, lambda: EPOCH + self.loop.time() + self.ahead, self.loop)
        self._sessions.append(session)
        return session

    def spawn(self, work: Any) -> None:
        """Do something at the server."""
        task = self.loop.create_task(work, context=NOBODY.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def restart(self, seconds: float) -> None:
        """End all sessions, and take no new ones for some seconds."""
        self._away_until = max(self._away_until, self.loop.time() + seconds)
        self.end()

    def end(self) -> None:
        """End all sessions."""
        sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.end()
