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
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.delivery.connector import Opened
    from tests.tools.virtual import VirtualLoop

NAME = "relay.example.com"
HEAD_START = 0.25
"""Seconds that an address has before the next one is tried beside it (RFC 8305 §5)."""


@contextmanager
def black_hole(host: str = "127.0.0.2") -> Iterator[tuple[str, int]]:
    """An address at which SYNs are dropped: its queue of connections is full, and nobody takes one out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind((host, 0))
        listener.listen(0)
        place = listener.getsockname()[:2]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(family))
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


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@ipv6
def test_ipv6_is_used_where_it_answers_and_ipv4_is_not_even_tried(loop: VirtualLoop) -> None:
    async def main() -> None:
        six, four = CountingServer(well_behaved), CountingServer(well_behaved)
        six.host = "::1"
        async with six, four:
            loop.names[NAME] = [(six.host, six.port), (four.host, four.port)]
            connector = Connector(Server(host=NAME, port=six.port, tls="none"), options().timeouts)
            for _ in range(3):
                assert await open_and_close(connector) == "::1"
            assert (len(six.connections), len(four.connections)) == (3, 0)

    loop.run(main)


@ipv6
def test_ipv4_is_tried_beside_an_ipv6_that_does_not_answer_after_a_moment(loop: VirtualLoop) -> None:
    """Of two IPv6 addresses and one IPv4 address the second to be tried is the other family's (RFC 8305 §4)."""

    async def main() -> None:
        async with CountingServer(well_behaved) as four:
            with black_hole("::1") as dead, black_hole("::1") as dead_too:
                loop.names[NAME] = [dead, dead_too, (four.host, four.port)]
                connector = Connector(Server(host=NAME, port=four.port, tls="none"), options().timeouts)
                before = loop.jumped
                assert await open_and_close(connector) == four.host
                assert HEAD_START * 0.9 < loop.jumped - before < 1.9 * HEAD_START, "one head start, not two"
                before = loop.jumped
                assert await open_and_close(connector) == four.host
                assert loop.jumped - before < HEAD_START / 2, "the dead one is remembered"

    loop.run(main)


@ipv6
@pytest.mark.parametrize("says", ["421 4.3.2 not now", "554 5.3.2 no service here"])
def test_ipv4_is_used_where_ipv6_is_not_served(says: str, loop: VirtualLoop) -> None:
    async def main() -> None:
        six, four = ScriptedServer([reply(says), Close()]), CountingServer(well_behaved)
        six.host = "::1"
        async with six, four:
            loop.names[NAME] = [(six.host, six.port), (four.host, four.port)]
            connector = Connector(Server(host=NAME, port=six.port, tls="none"), options().timeouts)
            for _ in range(3):
                assert await open_and_close(connector) == four.host
            assert len(six.connections) == 1, "it is left alone for some minutes"

    loop.run(main)
