"""The connection to PostgreSQL: made when it is needed, made anew when it was lost, and never waited for without end.

Whatever can be over in a moment (a restart, a failover, a cut network, a deadlock) is a `DatabaseGoneError`: whoever
asked may ask again. What a person has to see to is a `ClusterError`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from batchsend.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

Result = TypeVar("Result")

VARIABLE: Final = "BATCHSEND_DATABASE"
"""The environment variable that holds the database's URL."""

SECONDS: Final = 5.0
"""How long one statement, or one connection, may take."""

# SQLSTATE classes and codes of what may be over in a moment: connections, resources, shutdowns, locks, and a server
# that takes no writes, which is one that was failed over from.
_PASSING: Final = ("08", "53", "57", "40", "55P03", "25P03", "25006", "XX")
_REFUSED: Final = ("28", "3D", "42501")
_NO_TABLES: Final = ("42P01", "3F000")


class ClusterError(UsageError):
    """The database, or what is in it, is not as it must be; nothing was changed (exit code 2)."""


class DatabaseGoneError(RunError):
    """The database does not answer: what was asked may have been done, or not."""


class Database:
    """One connection, which calls use one after the other.

    Args:
        url: As libpq has it: ``postgresql://user@host/name?sslmode=verify-full``; several hosts for a failover.
        name: What the server calls this client in its views and its log.

    Raises:
        ClusterError: The extra ``cluster`` is not installed.
    """

    def __init__(self, url: str, name: str = "batchsend") -> None:
        self._url = url
        self._name = name
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
                async with asyncio.timeout(seconds):
                    if self._connection is None:
                        self._connection = await self._connect()
                    return await work(self._connection)
            except BaseException as error:
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
                if (known := _explained(error)) is not None:
                    raise known from error
                raise

    async def close(self) -> None:
        """End the connection in order, or at once where it does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=1.0)
            except Exception:  # it is gone either way
                connection.terminate()

    async def _connect(self) -> Connection:
        import asyncpg  # noqa: PLC0415 - the extra "cluster"

        try:
            return await asyncpg.connect(
                self._url,
                timeout=SECONDS,
                server_settings={
                    "application_name": self._name,
                    # What is acknowledged must be on the disk, whatever the server's own setting is.
                    "synchronous_commit": "on",
                    # A client that was cut off must not keep its locks.
                    "idle_in_transaction_session_timeout": f"{SECONDS:.0f}s",
                },
            )
        except (asyncpg.ClientConfigurationError, ValueError) as error:
            raise ClusterError(
                f"the database's URL is none: {error}", remedy="expected postgresql://user:password@host:port/name"
            ) from None


def _require_driver() -> None:
    try:
        import asyncpg  # noqa: F401, PLC0415 - the extra "cluster"
    except ImportError:
        raise ClusterError(
            "a cluster needs asyncpg, which is not installed", remedy="pip install 'batchsend-smtp[cluster]'"
        ) from None


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
    if state.startswith(_PASSING):
        return DatabaseGoneError(f"the database cannot do it now: {error}")
    if state.startswith(_REFUSED):
        return ClusterError(f"the database refuses us: {error}", remedy="see the URL and what its role may do")
    if state in _NO_TABLES:
        return ClusterError("the database has no tables yet", remedy="batchsend cluster init")
    return None
