"""A TCP proxy before the database that can hold back what goes one way, as a network does that is cut.

What is held back arrives when the network is whole again, also where its sender has gone meanwhile: a statement may be
done long after whoever sent it has given it up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Gate:
    """The proxy. A context manager.

    Args:
        port: Where the database listens.

    Attributes:
        port: Where the proxy listens.
        transactions: How many transactions of more than one statement clients have begun.
        parsed: What clients have had parsed within a transaction.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self._database = port
        self._to_database = asyncio.Event()
        self._from_database = asyncio.Event()
        self.heal()
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = False
        self.transactions = 0
        self.parsed: list[bytes] = []
        self._awaited: tuple[int, Callable[[], object]] | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left = True
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self, *, to_database: bool = False, from_database: bool = False) -> None:
        """Hold back what goes this way from now on."""
        if to_database:
            self._to_database.clear()
        if from_database:
            self._from_database.clear()

    def heal(self) -> None:
        """Let everything through."""
        self._to_database.set()
        self._from_database.set()

    def when_in_transaction(self, packets: int, then: Callable[[], object]) -> None:
        """Call something once, as a client's so manieth packet of a transaction goes through: before it is answered.

        A packet is what a client sends before it waits for an answer.
        """
        self._awaited = packets, then

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._left:
            writer.transport.abort()  # it was accepted in the moment in which the gate was left
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step does not get to close anything itself.
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._to_database.wait()
            try:
                there, back = await asyncio.open_connection("127.0.0.1", self._database)
            except OSError:
                return
            ways = [
                asyncio.create_task(self._carry(reader, back, self._to_database.wait, self._looking())),
                asyncio.create_task(self._carry(there, writer, self._from_database.wait, lambda _: None)),
            ]
            try:
                await asyncio.wait(ways)
            finally:
                back.close()  # before anything is awaited: the gate may be taken away meanwhile, which ends this task
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except asyncio.CancelledError:
            return  # the gate is taken away

    def _looking(self) -> Callable[[bytes], None]:
        """What looks at each packet of a client."""
        packets: int | None = None  # of the transaction; None where there is none

        def look(data: bytes) -> None:
            nonlocal packets
            if data.startswith(b"Q") and b"BEGIN;" in data:
                self.transactions += 1
                packets = 0
            elif data.startswith(b"Q") and (b"COMMIT;" in data or b"ROLLBACK;" in data):
                packets = None
            elif packets is not None:
                packets += 1
                if data.startswith(b"P"):
                    self.parsed.append(data)
                if self._awaited is not None and self._awaited[0] == packets:
                    then, self._awaited = self._awaited[1], None
                    then()

        return look

    @staticmethod
    async def _carry(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        whole: Callable[[], object],
        look: Callable[[bytes], None],
    ) -> None:
        # Where one side resets its connection, as the system of a killed process may, the other's is reset, too.
        try:
            while data := await reader.read(65536):
                await whole()  # type: ignore[misc]
                look(data)
                writer.write(data)
                await writer.drain()
            await whole()  # type: ignore[misc]
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            writer.transport.abort()
