"""PostgreSQL in virtual time: the real server does the real statements, and between it and its clients things go wrong.

A model of the tables would have to be right about what a statement locks, sees and leaves out, which is just what is to
be tried here. So each statement is done by a real server, in the turn of the simulation in which it arrives there; no
time goes by meanwhile. Its clock is the simulation's: ``clock_timestamp`` and ``now`` of a schema that is searched
before the server's own. A statement that has to wait for a lock is tried again a little later in virtual time.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import asyncpg

from batchsend.cluster.schema import MIGRATIONS, VERSION

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")

# Statements that look at the clock, or whose defaults do.
_OF_THE_CLOCK: Final = re.compile(r"clock_timestamp|now\(\)|^\s*INSERT")
_GUARD: Final = 60.0
# As they are outside of the simulation.
_clock, _connect = time.monotonic, asyncpg.connect

# The trigger keeps what the account has said of each record, in its order.
_CLOCK: Final = """
CREATE SCHEMA simulated;
CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT pg_catalog.to_timestamp(pg_catalog.current_setting('simulated.now')::float8) $$;
CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT pg_catalog.to_timestamp(pg_catalog.current_setting('simulated.now')::float8) $$;
CREATE SCHEMA batchsend;
CREATE TABLE batchsend.version (version int NOT NULL);
"""
_HISTORY: Final = """
CREATE TABLE simulated.history (
    number bigint GENERATED ALWAYS AS IDENTITY, record bigint, attempt int, status text, worker bigint, line json
);
CREATE FUNCTION simulated.remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO simulated.history (record, attempt, status, worker, line)
    VALUES (NEW.record, NEW.attempt, NEW.status, NEW.worker, NEW.line);
    RETURN NEW;
END $$;
CREATE TRIGGER remember AFTER INSERT OR UPDATE ON batchsend.account
    FOR EACH ROW EXECUTE FUNCTION simulated.remember();
"""
_TABLES: Final = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY($1::text[])"


class _RealLoop(asyncio.SelectorEventLoop):
    """A loop that goes by the real clock, whatever `time.monotonic` is in the simulation."""

    def time(self) -> float:
        return _clock()


class RealDatabase:
    """A real server, which does one thing at a time, at once, for whoever is in the simulation.

    Args:
        url: Of an empty database; its tables are made.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = _RealLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._free: list[asyncpg.Connection[asyncpg.Record]] = []
        self._emptying = ""

    def __enter__(self) -> Self:
        self._thread.start()
        connection = self.connection()
        self.do(self._make(connection))
        self.put_back(connection)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._free:
            self.do(connection.close(timeout=5.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something at the real server; the simulation stands still meanwhile."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_GUARD)

    def connection(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection that nobody else uses."""
        return self._free.pop() if self._free else self.do(self._connect())

    def put_back(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """End what is open on a connection, which the next one may have."""
        if connection.is_in_transaction():
            self.do(connection.execute("ROLLBACK"))
        self._free.append(connection)

    def empty(self) -> None:
        """Take all campaigns away, and count from 1 again."""
        connection = self.connection()
        self.do(connection.execute(self._emptying))
        self.put_back(connection)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        settings = {
            "search_path": "simulated, pg_catalog",
            "simulated.now": "0",
            "lock_timeout": "1ms",  # nobody else is at work: whoever has the lock is waiting in the simulation
            "synchronous_commit": "off",
            "jit": "off",
        }
        connection: asyncpg.Connection[asyncpg.Record] = await _connect(self._url, server_settings=settings)
        return connection

    async def _make(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await connection.execute(_CLOCK)
        for migration in MIGRATIONS:
            await connection.execute(migration)
        await connection.execute(_HISTORY)
        names = [name for (name,) in await connection.fetch(_TABLES, ["batchsend", "simulated"])]
        names.remove("batchsend.version")
        self._emptying = f"TRUNCATE {', '.join(names)} RESTART IDENTITY"
        await connection.execute("INSERT INTO batchsend.version (version) VALUES ($1)", VERSION)


class Session:
    """What the server has of one client's connection. Statements of it come one after the other.

    Args:
        real: The real server.
        now: What the server's clock says.
        loop: The simulation's loop.
    """

    _PATIENCE: Final = 5.0  # "idle_in_transaction_session_timeout", as clients ask for it
    _SOON: Final = 0.02

    def __init__(self, real: RealDatabase, now: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._real = real
        self._now = now
        self._loop = loop
        self._connection: asyncpg.Connection[asyncpg.Record] | None = real.connection()
        self._idle: asyncio.TimerHandle | None = None
        self._under_way = 0
        self._left = False

    def begin(self) -> None:
        """A statement is on its way to the server."""
        self._under_way += 1

    def done(self) -> None:
        """A statement was done, or will never arrive."""
        self._under_way -= 1
        if self._left and not self._under_way:
            self.end()

    def hang_up(self) -> None:
        """The client is gone; what it has sent before that still arrives and is done."""
        self._left = True
        if not self._under_way:
            self.end()

    def end(self) -> None:
        """The server gives the connection up: what was not committed is rolled back."""
        if self._idle is not None:
            self._idle.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._real.put_back(connection)

    async def do(self, method: str, statement: str, arguments: tuple[object, ...]) -> Any:
        """Do a statement, as soon as nobody else has what it needs locked.

        Raises:
            asyncpg.PostgresError: As the server says.
            asyncpg.ConnectionDoesNotExistError: The session is over.
        """
        if self._idle is not None:
            self._idle.cancel()
        while self._connection is not None:
            try:
                result = self._real.do(self._once(self._connection, method, statement, arguments))
            except asyncpg.LockNotAvailableError:
                await asyncio.sleep(self._SOON)
                continue
            if self._connection.is_in_transaction():
                self._idle = self._loop.call_later(self._PATIENCE, self.end)
            return result
        raise asyncpg.ConnectionDoesNotExistError("the connection was closed in the middle of the operation")

    async def _once(
        self,
        connection: asyncpg.Connection[asyncpg.Record],
        method: str,
        statement: str,
        arguments: tuple[object, ...],
    ) -> Any:
        if _OF_THE_CLOCK.search(statement):
            await connection.fetchval("SELECT set_config('simulated.now', $1, false)", repr(self._now()))
        if not connection.is_in_transaction() or not arguments:
            return await getattr(connection, method)(statement, *arguments)
        # So that the transaction goes on where a lock is not to be had at once.
        await connection.execute("SAVEPOINT here")
        try:
            result = await getattr(connection, method)(statement, *arguments)
        except asyncpg.LockNotAvailableError:
            await connection.execute("ROLLBACK TO here")
            raise
        await connection.execute("RELEASE here")
        return result


class SimulatedConnection:
    """A client's end of a connection: as much of asyncpg's as the program uses.

    Args:
        way: Carries statements to the server and answers back, or does not.
        session: What the server has of it.
    """

    def __init__(self, way: Any, session: Session) -> None:
        self._way = way
        self._session = session
        self._closed = False

    async def _ask(self, method: str, statement: str, *arguments: object) -> Any:
        if self._closed:
            raise asyncpg.InterfaceError("the connection is closed")
        return await self._way.carry(self._session, method, statement, arguments)

    async def fetch(self, statement: str, *arguments: object) -> Any:
        return await self._ask("fetch", statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: object) -> Any:
        return await self._ask("fetchrow", statement, *arguments)

    async def fetchval(self, statement: str, *arguments: object) -> Any:
        return await self._ask("fetchval", statement, *arguments)

    async def execute(self, statement: str, *arguments: object) -> Any:
        return await self._ask("execute", statement, *arguments)

    async def prepare(self, statement: str) -> SimulatedStatement:
        """Parse a statement, with which nothing goes wrong: it is done when it is asked for."""
        return SimulatedStatement(self, statement)

    @asynccontextmanager
    async def transaction(self, **_: object) -> Any:
        """A transaction, whose beginning and end are statements like others."""
        await self._ask("execute", "BEGIN")
        try:
            yield
        except BaseException:
            if not self._closed:
                await self._ask("execute", "ROLLBACK")
            raise
        await self._ask("execute", "COMMIT")

    def add_log_listener(self, listener: object) -> None:
        """The simulated server says nothing beside its answers."""

    def terminate(self) -> None:
        """Give the connection up; what is on its way may still be done."""
        if not self._closed:
            self._closed = True
            self._session.hang_up()

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's signature
        del timeout
        self.terminate()


class SimulatedStatement:
    """A statement that was parsed on a connection: as much of asyncpg's as the program uses.

    Args:
        connection: Does it.
        statement: Its text.
    """

    def __init__(self, connection: SimulatedConnection, statement: str) -> None:
        self._connection = connection
        self._statement = statement

    async def fetch(self, *arguments: object) -> Any:
        return await self._connection.fetch(self._statement, *arguments)

    async def fetchrow(self, *arguments: object) -> Any:
        return await self._connection.fetchrow(self._statement, *arguments)

    async def fetchval(self, *arguments: object) -> Any:
        return await self._connection.fetchval(self._statement, *arguments)
