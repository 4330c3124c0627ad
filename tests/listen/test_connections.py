"""Connections that ask for nothing, or take no answer, have a bound in time and number; others are served meanwhile."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from batchsend.web import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

GUARD = 20.0
"""Seconds after which a connection that is still open has no bound."""

WITHIN = 0.3
MOST = 3
ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def _answer(request: Request) -> Response:
    if request.method == "POST":
        return PlainTextResponse("too large", 413)  # without having read what is posted
    return PlainTextResponse("x")


@asynccontextmanager
async def served(answer: Callable[[Request], Response] = _answer) -> AsyncIterator[int]:
    """A server on a port; yields the port."""

    async def respond(request: Request) -> Response:
        return answer(request)

    application = Starlette(routes=[Route("/{path:path}", respond, methods=["GET", "POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(application, listener, most=MOST, within=WITHIN):
            yield listener.getsockname()[1]


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed; the test fails where it is not."""
    came = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(GUARD):
            while piece := await reader.read(65536):
                came += piece
    return came


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHos", ASKED, ASKED[:-2]], ids=["silent", "half", "once", "open"]
)
async def test_a_connection_that_asks_for_nothing_more_is_closed(sent: bytes) -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        came = await until_closed(reader)
        writer.close()
    assert came.startswith(b"HTTP/1.1 200" if sent == ASKED else b"")
    assert bool(came) is (sent == ASKED)


@pytest.mark.parametrize(
    "begun", [b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"]
)
async def test_an_octet_now_and_then_does_not_keep_it_open(begun: bytes) -> None:
    """Neither in a header without an end, nor in a body that was answered before it came."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        closed = asyncio.ensure_future(until_closed(reader))
        while not closed.done():
            with suppress(ConnectionError):
                writer.write(b"x")
                await writer.drain()
            await asyncio.wait([closed], timeout=WITHIN / 10)
        await closed
        writer.close()


async def test_who_takes_no_answer_is_not_waited_for() -> None:
    left = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                await asyncio.sleep(0)  # of a connection that is closed nothing is waited for
                yield b"x" * 65536
        finally:
            left.set()

    async with served(lambda _: StreamingResponse(endless())) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(ASKED)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(GUARD):
            await left.wait()
        writer.close()


async def test_there_are_so_many_and_no_more() -> None:
    """A few more hear 503; those beyond are closed at once, so that descriptors have a bound, too."""
    async with served() as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * MOST)]
        more, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await until_closed(more) == b""
        writer.close()
        reader, writer = silent[-1]
        writer.write(ASKED)
        assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        for _, one in silent:
            one.close()


async def test_who_asks_again_and_again_is_served_as_long_as_he_does() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(20):
            writer.write(ASKED)
            await asyncio.sleep(WITHIN / 10)
            async with asyncio.timeout(GUARD):
                assert b"200" in await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(1)
        writer.close()
