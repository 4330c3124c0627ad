"""The connection to PostgreSQL: made when it is needed, made anew when it was lost, and never waited for without end.

Whatever can be over in a moment (a restart, a failover, a cut network, a deadlock) is a `DatabaseGoneError`: whoever
asked may ask again. What a person has to see to is a `ClusterError`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from batchsend.errors import RunError, UsageError
from batchsend.version import with_extra

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import asyncpg
    from asyncpg.prepared_stmt import PreparedStatement

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Parsed: TypeAlias = Mapping[str, PreparedStatement[asyncpg.Record]]

Result = TypeVar("Result")

VARIABLE: Final = "BATCHSEND_DATABASE"
"""The environment variable that holds the database's URL."""

SECONDS: Final = 5.0
"""How long one statement, or one connection, may take."""

_HOST_SECONDS: Final = 2.0
"""How long one of several hosts may take to answer, before the next one is tried."""

_UNSAFE: Final = "the database has not waited for its replica"
# The smallest transaction that writes something, and so waits for a synchronous replica; any role may do it.
_CONFIRM: Final = "SELECT pg_logical_emit_message(true, 'batchsend', '')"

# SQLSTATE classes and codes of what may be over in a moment: connections, resources, shutdowns, locks, and a server
# that takes no writes, which is one that was failed over from.
_PASSING: Final = ("08", "53", "57", "40", "55P03", "25P03", "25006", "XX")
_REFUSED: Final = ("28", "3D", "42501")
_NO_TABLES: Final = ("42P01", "3F000")

_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


class ClusterError(UsageError):
    """The database, or what is in it, is not as it must be; nothing was changed (exit code 2)."""


class DatabaseGoneError(RunError):
    """The database does not answer: what was asked may have been done, or not."""


class Database:
    """One connection, which calls use one after the other.

    Several hosts are tried in turn, beginning with the one that answered last; where nothing comes of a call, with the
    next one. One is used only once it has confirmed a write: an old primary that comes back after a failover waits for
    a replica that follows it no more, and what it has to tell is out of date. So neither such a one, nor a host that
    takes connections and says nothing, keeps anybody from the others.

    Args:
        url: As libpq has it: ``postgresql://user@host/name?sslmode=verify-full``. Several hosts,
            ``postgresql://user@one,two/name``, for a failover: the first one that takes writes is used, unless
            ``target_session_attrs`` says otherwise.
        name: What the server calls this client in its views and its log.

    Attributes:
        gone_since: Since when it does not answer, on the loop's clock; None where the last call was answered.

    Raises:
        ClusterError: The extra ``cluster`` is not installed.
    """

    def __init__(self, url: str, name: str = "batchsend") -> None:
        self.gone_since: float | None = None
        self._urls = _each_host(url)
        self._name = name
        self._unsafe = False
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        _require_driver()

    async def call(self, work: Callable[[Connection], Awaitable[Result]], *, seconds: float = SECONDS) -> Result:
        """Do some work on the connection; if it fails, the connection is given up and the next call makes another.

        Args:
            work: What is done; it may be begun, and even completed, although an error is raised.
            seconds: How long it may take.

        Raises:
            DatabaseGoneError: The database does not answer, or not in time.
            ClusterError: It refuses us.
        """
        async with self._turn:
            try:
                result = await self._in_time(work, seconds)
            except BaseException as error:
                self._urls.append(self._urls.pop(0))
                self._terminate()
                known = _explained(error)
                if isinstance(known or error, DatabaseGoneError) and self.gone_since is None:
                    self.gone_since = asyncio.get_running_loop().time()
                if known is not None:
                    raise known from error
                raise
            self.gone_since = None
            return result

    async def _in_time(self, work: Callable[[Connection], Awaitable[Result]], seconds: float) -> Result:
        """Do some work; after so many seconds the connection is ended under it.

        To cancel it would not do: the driver then tells the server, and rolls back a transaction, and waits for the
        server's answers to both without a limit.
        """
        loop, late = asyncio.get_running_loop(), False
        async with asyncio.timeout(None) as limit:

            def give_up() -> None:
                nonlocal late
                late = True
                self._terminate()  # first: whatever is asked from now on is refused at once
                limit.reschedule(loop.time())

            timer = loop.call_later(seconds, give_up)
            try:
                if self._connection is None:
                    self._connection = await self._connect()
                self._unsafe = False
                result = await work(self._connection)
            except Exception as error:
                if late:  # whatever the driver makes of it
                    raise TimeoutError from error
                raise
            finally:
                timer.cancel()
            if self._unsafe:
                raise DatabaseGoneError(_UNSAFE)
            return result

    def _terminate(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """End the connection in order, or at once where it does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=1.0)
            except Exception:  # it is gone either way
                connection.terminate()

    async def _connect(self) -> Connection:
        """Connect to the first host that can be used; it is the first of them from then on."""
        import asyncpg  # noqa: PLC0415 - the extra "cluster"

        failure: Exception = OSError("no host is named")
        for _ in list(self._urls):
            try:
                return await self._connect_to(self._urls[0])
            except (asyncpg.ClientConfigurationError, ValueError) as error:  # a certificate's error is a ValueError
                raise _unusable(error) from None
            except Exception as error:
                if not isinstance(_explained(error), DatabaseGoneError):
                    raise
                failure = error
                self._urls.append(self._urls.pop(0))
        raise failure

    async def _connect_to(self, url: str) -> Connection:
        import asyncpg  # noqa: PLC0415 - the extra "cluster"

        if len(self._urls) == 1:
            return await self._opened(url, SECONDS, None)
        named = "target_session_attrs" in url or "PGTARGETSESSIONATTRS" in os.environ
        async with asyncio.timeout(_HOST_SECONDS):
            connection = await self._opened(url, _HOST_SECONDS, None if named else "read-write")
            try:
                self._unsafe = False
                await connection.execute(_CONFIRM)
            except asyncpg.UndefinedFunctionError:
                return connection  # not PostgreSQL itself: whether it fences its old primaries is its own business
            except BaseException:
                connection.terminate()
                raise
            if self._unsafe:
                connection.terminate()
                raise DatabaseGoneError(_UNSAFE)
            return connection

    async def _opened(self, url: str, seconds: float, which: str | None) -> Connection:
        import asyncpg  # noqa: PLC0415 - the extra "cluster"

        connection: Connection = await asyncpg.connect(
            url,
            timeout=seconds,
            target_session_attrs=which,  # type: ignore[arg-type]
            server_settings={
                "application_name": self._name,
                # What is acknowledged must be on the disk, whatever the server's own setting is.
                "synchronous_commit": "on",
                # A client that is stopped or was cut off must not keep its locks: see `Prepared`. In the midst of a
                # statement, which may be long, no time-out of the server holds: only TCP notices its silence there.
                "idle_in_transaction_session_timeout": f"{SECONDS:.0f}s",
                "tcp_keepalives_idle": "5",
                "tcp_keepalives_interval": "2",
                "tcp_keepalives_count": "3",
            },
        )
        connection.add_log_listener(self._heed)
        return connection

    def _heed(self, connection: Any, message: asyncpg.PostgresLogMessage) -> None:
        """Who cancels a statement that waits for a synchronous replica makes the server acknowledge it all the same.

        It says so in a warning, whose text is in the server's language; where it comes from is not.
        """
        del connection
        self._unsafe |= message.server_source_function == "SyncRepWaitForLSN"


class Prepared:
    """The statements of a transaction, which are parsed before it begins: once on each connection.

    The driver sends a statement to be parsed, and waits for the answer before it has it done. Where a client is stopped
    or cut off in between, the server does not call it idle, and waits for it without end; if it was in a transaction,
    what that had locked would stay locked for as long. What was parsed before is one packet, and between two of these
    ``idle_in_transaction_session_timeout`` holds.

    Args:
        statements: Their texts.
    """

    def __init__(self, *statements: str) -> None:
        self._statements = list(statements)
        self._connection: Connection | None = None
        self._parsed: Parsed = {}

    def add(self, *statements: str) -> None:
        """The transaction has these statements, too; to be said before the first one."""
        self._statements += statements

    @asynccontextmanager
    async def transaction(self, connection: Connection) -> AsyncIterator[DatabaseTransaction]:
        """Begin a transaction on a connection, and commit it, or roll it back where an error is raised."""
        if connection is not self._connection:
            self._parsed = {statement: await connection.prepare(statement) for statement in self._statements}
            self._connection = connection
        async with connection.transaction():
            yield DatabaseTransaction(self._parsed)


class DatabaseTransaction:
    """What can be done in a transaction: the statements that were parsed before it, as a connection does them.

    Args:
        parsed: These, by their texts.
    """

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed

    async def execute(self, statement: str, *arguments: object) -> None:
        """Do a statement."""
        await self._parsed[statement].fetch(*arguments)

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Do a statement, and return all its rows."""
        return await self._parsed[statement].fetch(*arguments)

    async def fetchrow(self, statement: str, *arguments: object) -> asyncpg.Record | None:
        """Do a statement, and return its first row, or None."""
        return await self._parsed[statement].fetchrow(*arguments)

    async def fetchval(self, statement: str, *arguments: object) -> Any:
        """Do a statement, and return the first value of its first row, or None."""
        return await self._parsed[statement].fetchval(*arguments)


def _each_host(url: str) -> list[str]:
    """The URL of each of several hosts, in their order.

    Raises:
        ClusterError: It is no URL.
    """
    try:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        each = [parts._replace(netloc=f"{user}{at}{host}") for host in hosts.split(",")]
        for one in each:
            _ = one.port  # out of range, it is an error
    except ValueError as error:
        raise _unusable(error) from None
    _require_files(parts.query)
    return [urlunsplit(one) for one in each]


def _require_files(query: str) -> None:
    """Check that the files are there that a URL names; the driver's error says of none which it is.

    Raises:
        ClusterError: One is not.
    """
    for name, path in parse_qsl(query):
        if name in _FILES and path != "system":
            try:
                Path(path).open("rb").close()
            except OSError as error:
                raise ClusterError(f"the database's URL names {name}={path}: {error.strerror}") from None


def _unusable(error: Exception) -> ClusterError:
    """The error for a URL with which nothing is reached before somebody has seen to it."""
    if isinstance(error, SSLCertVerificationError):
        return ClusterError(
            f"the database's certificate is not trusted: {error.verify_message}",
            remedy="sslrootcert=FILE in the URL names the certificate of the authority that has signed it",
        )
    what, _, hint = str(error).partition("\nHINT:")
    expected = hint.strip() or "expected postgresql://user:password@host:port/name"
    return ClusterError(f"the database's URL cannot be used: {what}", remedy=expected)


def _require_driver() -> None:
    try:
        import asyncpg  # noqa: F401, PLC0415 - the extra "cluster"
    except ImportError:
        raise ClusterError("a cluster needs asyncpg, which is not installed", remedy=with_extra("cluster")) from None


def _explained(error: BaseException) -> RunError | ClusterError | None:
    """What an error of the driver means for us; None for one that is not about the database."""
    import asyncpg  # noqa: PLC0415 - the extra "cluster"

    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error, error.sqlstate or "")
    if isinstance(error, TimeoutError):
        return DatabaseGoneError("the database does not answer in time")
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return DatabaseGoneError(f"the database cannot be reached: {error}")
    return None


def _of_server(error: Exception, state: str) -> RunError | ClusterError | None:
    """What an error means that the server has answered with."""
    what, _, _ = str(error).partition("\n")  # without details and hints
    if state.startswith(_PASSING):
        return DatabaseGoneError(f"the database cannot do it now: {what}")
    if state.startswith(_REFUSED):
        return ClusterError(f"the database refuses us: {what}", remedy="see the URL and what its role may do")
    if state in _NO_TABLES:
        return ClusterError("the database has no tables yet", remedy="batchsend cluster init")
    return None
