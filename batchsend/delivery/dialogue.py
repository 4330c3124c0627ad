"""A session that sends nothing: how long the server takes to answer, and goodbye."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from batchsend.errors import SessionError
from batchsend.smtp.commands import QUIT
from batchsend.smtp.replies import ReplyParser

if TYPE_CHECKING:
    from batchsend.smtp.replies import Reply

NOOP: Final = b"NOOP\r\n"


class Dialogue(asyncio.Protocol):
    """Takes over the transport of a session that was just opened.

    Args:
        transport: The transport; its protocol becomes this.
        where: Host and port of the server, for messages.

    Attributes:
        closed: Set when the transport is closed.
    """

    def __init__(self, transport: asyncio.Transport, where: str) -> None:
        self.closed = asyncio.Event()
        self._transport = transport
        self._where = where
        self._parser = ReplyParser()
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Reply] = self._loop.create_future()
        transport.set_protocol(self)

    async def round_trip(self) -> float:
        """Ask for nothing (RFC 5321 §4.1.1.9), and say in how many seconds the answer came.

        Raises:
            SessionError: It was not 250, or the connection was lost.
        """
        started = time.perf_counter()  # a loop's own clock may tick in milliseconds
        reply = await self.ask(NOOP)
        if reply.code != 250:
            raise SessionError(f"{self._where}: answered NOOP with {reply}")
        return time.perf_counter() - started

    async def quit(self) -> None:
        """Take leave, and close.

        Raises:
            SessionError: The connection was lost before the answer.
        """
        try:
            await self.ask(QUIT)
        finally:
            self.close()

    def close(self) -> None:
        """Close at once; it is not an error to do it twice."""
        self._transport.abort()

    async def ask(self, command: bytes) -> Reply:
        """The reply to a command.

        Raises:
            SessionError: The connection was lost before it, or it is malformed.
        """
        if self._transport.is_closing():
            raise self._lost()
        self._answer = self._loop.create_future()
        self._transport.write(command)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Take the next octets of the server's answer."""
        replies = self._parser.feed(data)
        if replies and not self._answer.done():
            self._answer.set_result(replies[0])
        elif self._parser.error is not None and not self._answer.done():
            self._answer.set_exception(SessionError(f"{self._where}: {self._parser.error}"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The server hung up, or the network failed."""
        self.closed.set()
        if not self._answer.done():
            self._answer.set_exception(self._lost())
            self._answer.exception()  # whoever waited is told; where nobody did, it is no error

    def _lost(self) -> SessionError:
        return SessionError(f"{self._where}: the server closed the connection")
