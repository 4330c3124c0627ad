"""The byte proxy delays and cuts, and changes nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.tools.byte_proxy import ByteProxy
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, HalfClose, ReadToEnd, Reset, Send, Silence, reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tools.steps import Step


async def _ask(script: Sequence[Step], octets: bytes, **options: float) -> tuple[ScriptedServer, bytes]:
    """Send octets and FIN through the proxy to a scripted server and return what comes back until the end."""
    async with ScriptedServer(script) as server:
        segment = options.get("segment")
        cut = None if segment is None else int(segment)
        async with ByteProxy(server.host, server.port, round_trip=options.get("round_trip", 0), segment=cut) as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(octets)
            writer.write_eof()
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
        await server.ended(1)
    return server, received


@pytest.mark.parametrize("segment", [None, 100])
@pytest.mark.parametrize("round_trip", [0, 0.01])
async def test_octets_and_ends_come_through_in_order_both_ways(segment: int | None, round_trip: float) -> None:
    octets = random.Random(1).randbytes(300_000)
    options = {"round_trip": round_trip} if segment is None else {"round_trip": round_trip, "segment": segment}
    server, received = await _ask([Send(octets[::-1]), HalfClose(), ReadToEnd()], octets, **options)
    assert received == octets[::-1]
    assert bytes(server.connections[0].received) == octets
    assert server.connections[0].end == "eof"


async def test_more_than_the_pipe_holds_comes_through() -> None:
    octets = bytes(range(256)) * (40 << 12)
    server, _ = await _ask([ReadToEnd()], octets, round_trip=0.02)
    assert hashlib.sha256(server.connections[0].received).digest() == hashlib.sha256(octets).digest()


async def test_an_answer_takes_no_less_than_the_round_trip() -> None:
    script = [reply("220 x"), *[step for _ in range(5) for step in (Expect("NOOP"), reply("250 Ok"))], ReadToEnd()]
    loop = asyncio.get_running_loop()
    async with ScriptedServer(script) as server, ByteProxy(server.host, server.port, round_trip=0.02) as proxy:
        began = loop.time()
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert await reader.readline() == b"220 x\r\n"
        greeted = loop.time()
        for _ in range(5):
            writer.write(b"NOOP\r\n")
            assert await reader.readline() == b"250 Ok\r\n"
        answered = loop.time()
        writer.close()
        await writer.wait_closed()
    # Lower bounds only, half a timer's tick early each way allowed: a busy machine is late, never early.
    assert greeted - began >= 2 * 0.02 - 0.003
    assert answered - greeted >= 5 * (0.02 - 0.002)


async def test_what_was_sent_before_a_reset_arrives_before_the_reset() -> None:
    async with (
        ScriptedServer([reply("220 x"), Reset()]) as server,
        ByteProxy(server.host, server.port, round_trip=0.02) as proxy,
    ):
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()


async def test_a_reset_by_the_client_reaches_the_server() -> None:
    async with ScriptedServer([Expect("x")]) as server, ByteProxy(server.host, server.port) as proxy:
        _, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.transport.abort()
        await server.ended(1)
    assert server.connections[0].end is not None


async def test_what_is_broken_off_before_it_has_reached_the_server_is_so_for_the_server_too() -> None:
    async with ScriptedServer([Expect("x")]) as server, ByteProxy(server.host, server.port, round_trip=0.1) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        while not proxy.ends:  # noqa: ASYNC110 - nothing tells of a connection
            await asyncio.sleep(0)
        (client,) = proxy.ends
        client.break_off()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await server.ended(1)
        writer.transport.abort()
    assert server.connections[0].end is not None


async def test_a_refused_connection_is_reset() -> None:
    async with ScriptedServer([Close()]) as server:
        port = server.port
    async with ByteProxy("127.0.0.1", port) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()


async def test_connections_still_open_are_ended_with_the_proxy() -> None:
    async with ScriptedServer([Silence()]) as server:
        async with ByteProxy(server.host, server.port, round_trip=10) as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(b"x")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


def test_no_distance_that_the_loops_timers_cannot_keep() -> None:
    with pytest.raises(ValueError, match="cannot delay"):
        ByteProxy("127.0.0.1", 25, round_trip=0.001)
    assert ByteProxy("127.0.0.1", 25, round_trip=0.001, tick=0.0).round_trip == 0.001
