"""Serves an application over HTTP by uvicorn, which comes with the extra ``web``, on the loop of who asks for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from batchsend.errors import UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterator

    from starlette.applications import Starlette


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
            remedy="pip install 'batchsend-smtp[web]'",
        ) from None
    del starlette


@asynccontextmanager
async def serving(app: Starlette, listener: socket.socket, *, most: int) -> AsyncIterator[None]:
    """Serve an application at a listening socket while the context lasts; requests under way are finished.

    Args:
        app: The application.
        listener: Where it is served.
        most: Connections at once; further ones are answered 503.
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
        http="h11",
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
