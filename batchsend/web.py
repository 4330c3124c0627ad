"""Serves an application over HTTP by uvicorn, which comes with the extra ``web``, on the loop of who asks for it.

uvicorn bounds how many requests it answers at once, but waits for ever for a request: whoever opened connections and
said nothing, or a header every minute, would have all of them. So each connection has a time here for each step.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from batchsend.errors import UsageError
from batchsend.version import with_extra

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterator

    from starlette.applications import Starlette

_TO_BE_ANSWERED: Final = 4
"""Times as long as for its first lines a request may take until its answer is out: the application has limits too."""

_TURNED_AWAY: Final = 2
"""Times as many connections as are served: those between hear 503, and further ones are closed at once."""


def require_web(what: str) -> None:
    """Refuse to go on where the extra is not installed.

    Args:
        what: What is spoken or shown by it, as the subject of a sentence.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import starlette  # noqa: PLC0415 - an extra
        import uvicorn  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise UsageError(
            f"{what} by starlette and uvicorn, which are not installed",
            remedy=with_extra("web"),
        ) from None
    del starlette


@asynccontextmanager
async def serving(app: Starlette, listener: socket.socket, *, most: int, within: float) -> AsyncIterator[None]:
    """Serve an application at a listening socket while the context lasts; requests under way are finished.

    Args:
        app: The application.
        listener: Where it is served.
        most: Connections at once; further ones are answered 503, and from twice as many on closed at once.
        within: Seconds that a connection has for the first lines of a request. Four times as long may pass until the
            answer is out; then the connection is closed, too.
    """
    import uvicorn  # noqa: PLC0415 - an extra

    class WebServer(uvicorn.Server):
        """One that leaves signals to the command."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Nothing."""
            yield

    config = uvicorn.Config(
        app,
        http=_timed(most, within),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # links are secrets of their recipients
        server_header=False,
        proxy_headers=False,
        limit_concurrency=most,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
    )
    server = WebServer(config)
    task = asyncio.ensure_future(server.serve(sockets=[listener]))  # a task group would wrap what ends the context
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _timed(most: int, within: float) -> type[asyncio.Protocol]:  # noqa: C901 - the methods of one class
    """A connection of uvicorn, closed where a request, or the taking of its answer, has no end: see `serving`."""
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415 - an extra

    class TimedConnection(H11Protocol):
        """One that watches the clock."""

        _limit: asyncio.TimerHandle | None = None
        _asked = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as its base has it
            """Begin to wait for a request."""
            super().connection_made(transport)
            if len(self.connections) > _TURNED_AWAY * most:
                transport.abort()
                return
            self._wait(within)

        def connection_lost(self, exc: Exception | None) -> None:
            """Stop the clock."""
            super().connection_lost(exc)
            if self._limit is not None:
                self._limit.cancel()

        def handle_events(self) -> None:
            """A piece of a request has come; with the end of its first lines it has longer."""
            super().handle_events()
            cycle: Any = self.cycle  # None until the first request
            if not self._asked and cycle is not None and not cycle.response_complete:
                self._asked = True
                self._wait(_TO_BE_ANSWERED * within)

        def on_response_complete(self) -> None:
            """The answer is out: wait for another request."""
            self._asked = False
            super().on_response_complete()  # which begins with the next request, where that has come already
            if not self._asked:
                self._wait(within)

        def _wait(self, seconds: float) -> None:
            if self._limit is not None:
                self._limit.cancel()
            self._limit = self.loop.call_later(seconds, self.transport.abort)

    return TimedConnection
