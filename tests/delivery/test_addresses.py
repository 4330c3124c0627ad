"""A host with several addresses of which the first is dead: what that costs, and for how long it is remembered."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from batchsend import Server
from batchsend.delivery.connector import ConnectError, Connector
from tests.delivery.harness import CountingServer, options, well_behaved
from tests.tools.virtual import virtual_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.delivery.connector import Opened
    from tests.tools.virtual import VirtualLoop

NAME = "relay.example.com"
HEAD_START = 0.25
"""Seconds that an address has before the next one is tried beside it (RFC 8305 §5)."""


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    yield from virtual_loop()


@contextmanager
def black_hole(port: int = 0) -> Iterator[tuple[str, int]]:
    """An address at which SYNs are dropped: its queue of connections is full, and nobody takes one out."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        place = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(place)
        yield place


async def open_and_close(connector: Connector) -> str:
    """Open a session; the address that took it."""
    opened: Opened = await connector.open()
    host: str = opened.transport.get_extra_info("peername")[0]
    opened.transport.abort()
    return host


def test_a_dropped_syn_costs_one_head_start_and_not_one_a_session(loop: VirtualLoop) -> None:
    waited: list[float] = []

    async def main() -> None:
        async with CountingServer(well_behaved) as peer:
            with black_hole() as dead:
                loop.names[NAME] = [dead, (peer.host, peer.port)]
                connector = Connector(Server(host=NAME, port=peer.port, tls="none"), options().timeouts)
                for _ in range(5):
                    before = loop.jumped
                    assert await open_and_close(connector) == peer.host
                    waited.append(loop.jumped - before)

    loop.run(main)
    assert HEAD_START * 0.9 < waited[0] < 2 * HEAD_START
    assert max(waited[1:]) < HEAD_START / 2


def test_it_is_tried_again_after_some_minutes(loop: VirtualLoop) -> None:
    async def main() -> None:
        async with CountingServer(well_behaved) as peer:
            with black_hole() as dead:
                loop.names[NAME] = [dead, (peer.host, peer.port)]
                connector = Connector(Server(host=NAME, port=peer.port, tls="none"), options().timeouts)
                await open_and_close(connector)
            async with CountingServer(well_behaved) as again:
                loop.names[NAME] = [(again.host, again.port), (peer.host, peer.port)]
                loop.advance(400)
                await open_and_close(connector)
                await asyncio.sleep(1)
                assert (len(peer.connections), len(again.connections)) == (1, 1)

    loop.run(main)


def test_where_all_are_dead_it_costs_one_time_out(loop: VirtualLoop) -> None:
    async def main() -> float:
        with black_hole() as dead:
            loop.names[NAME] = [dead, dead]
            connector = Connector(Server(host=NAME, port=2525, tls="none"), options(connect=30).timeouts)
            before = loop.time()
            with pytest.raises(ConnectError, match="no answer within 30s"):
                await connector.open()
            return loop.time() - before

    assert 29 < loop.run(main) < 32
