"""The embedded server in a thread, for tests that block."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

from batchsend import Server
from batchsend.sink import Sink, SinkOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from batchsend.sink import Received


class SinkThread:
    """A context manager that serves while open.

    Args:
        options: As for `Sink`.
        on_message: Called with each message that it takes, too, in its own thread.

    Attributes:
        received: The messages that it took, in order.
        port: Where it listens.
        ca_pem: The certificate to trust.
    """

    def __init__(
        self, options: SinkOptions | None = None, on_message: Callable[[Received], None] | None = None
    ) -> None:
        self._on_message = on_message
        self.received: list[Received] = []
        self.port = 0
        self.ca_pem = b""
        self._options = options or SinkOptions()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Sink(self._options, on_message=self._take) as sink:
            self._sink = sink
            self.port, self.ca_pem = sink.port, sink.ca_pem
            self._started.set_result(None)
            await self._stop.wait()

    def _take(self, message: Received) -> None:
        self.received.append(message)
        if self._on_message is not None:
            self._on_message(message)

    @property
    def server(self) -> Server:
        """What a sender is given."""
        return Server(host="127.0.0.1", port=self.port, tls="none")

    @property
    def connections(self) -> int:
        """Connections so far."""
        return self._sink.counts.connections

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(timeout=20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=20)
