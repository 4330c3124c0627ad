"""The scripted server plays what it is told, and its record is exact."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from tests.tools import certificates
from tests.tools.listener import ServerError
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import (
    Await,
    Close,
    Expect,
    HalfClose,
    ReadContent,
    ReadToEnd,
    Repeat,
    Reset,
    Send,
    Signal,
    Silence,
    Step,
    StopReading,
    reply,
)
from tests.tools.transcript import TranscriptError, parse
from tests.tools.wire import Message

if TYPE_CHECKING:
    from pathlib import Path

_MESSAGE = Message(b"a@example.org", (b"b@example.com",), b"Subject: x\r\n\r\n.dot\r\n")
_DIALOGUE = """
    S: 220 mail.example.org ESMTP
    C: ehlo
    S: 250 mail.example.org
    C: mail FROM:<a@example.org>
    S: 250 2.1.0 Ok
    C: rcpt TO:<b@example.com>
    S: 250 2.1.5 Ok
    C: data
    S: 354 Go on
    C: <content>
    S: 250 2.0.0 Ok
    C: QUIT
    S: 221 2.0.0 Bye
    S: <close>
"""


async def _open(server: ScriptedServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(server.host, server.port)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def _send_with_smtplib(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("a@example.org", ["b@example.com"], _MESSAGE.content)


async def test_a_transcript_is_played_to_a_real_client_and_the_message_recorded() -> None:
    async with ScriptedServer(parse(_DIALOGUE)) as server:
        await to_thread.run_sync(_send_with_smtplib, server.port)
        await server.ended(1)
    assert server.messages == [_MESSAGE]
    assert server.connections[0].completed
    assert bytes(server.connections[0].received).endswith(b"\r\n\r\n..dot\r\n.\r\nQUIT\r\n")
    assert bytes(server.connections[0].sent).endswith(b"250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n")


async def test_each_connection_plays_its_own_script_and_further_ones_the_last() -> None:
    async with ScriptedServer([reply("220 one")], [reply("421 two")]) as server:
        greetings = []
        for _ in range(3):
            reader, writer = await _open(server)
            greetings.append(await reader.read())
            await _hang_up(writer)
    assert greetings == [b"220 one\r\n", b"421 two\r\n", b"421 two\r\n"]


async def test_an_unexpected_command_fails_the_test() -> None:
    server = await ScriptedServer([reply("220 x"), Expect("EHLO")]).__aenter__()
    reader, writer = await _open(server)
    writer.write(b"HELO x\r\n")
    assert await reader.read() == b"220 x\r\n"
    await _hang_up(writer)
    with pytest.raises(ServerError, match=r"connection 1: .*expected 'EHLO', received b'HELO x'"):
        await server.__aexit__(None, None, None)


async def test_a_client_that_leaves_early_is_noted_and_fails_nothing() -> None:
    async with ScriptedServer([reply("220 x"), Expect("EHLO")]) as server:
        reader, writer = await _open(server)
        await reader.readline()
        await _hang_up(writer)
        await server.ended(1)
    assert not server.connections[0].completed
    assert server.connections[0].end == "eof"


@pytest.mark.parametrize("segment", [1, 3])
async def test_segments_reach_a_client_on_the_same_loop_one_by_one(segment: int) -> None:
    octets = b"250-mail.example.org\r\n250 CHUNKING\r\n"
    async with ScriptedServer([Send(octets, segment=segment)]) as server:
        reader, writer = await _open(server)
        pieces = []
        while piece := await reader.read(1000):
            pieces.append(piece)
        await _hang_up(writer)
    assert b"".join(pieces) == octets
    # The kernel may join neighbours, all the more under load; it must not be one piece.
    assert len(pieces) > 1


async def test_a_bare_line_feed_ends_neither_line_nor_content() -> None:
    async with ScriptedServer([Expect(""), ReadContent(), reply("250 Ok")]) as server:
        reader, writer = await _open(server)
        writer.write(b"MAIL FROM:<a@example.org>\nRCPT\r\nx\n.\nMAIL\r\n.\r\n")
        assert await reader.read() == b"250 Ok\r\n"
        await _hang_up(writer)
    assert server.connections[0].commands == [b"MAIL FROM:<a@example.org>\nRCPT"]
    assert server.messages[0].content == b"x\n.\nMAIL\r\n"


async def test_bdat_chunks_are_joined_into_one_message() -> None:
    script = parse("C: MAIL\nC: RCPT\nC: BDAT\nC: <octets>\nC: BDAT\nC: <octets>\nS: 250 Ok\nC: <end>")
    async with ScriptedServer(script) as server:
        reader, writer = await _open(server)
        writer.write(b'MAIL FROM:<a@example.org> SIZE=9\r\nRCPT TO:<"b> c"@example.com>\r\n')
        writer.write(b"BDAT 4\r\n.\r\n.BDAT 2 LAST\r\n\r\n")
        assert await reader.readline() == b"250 Ok\r\n"
        await _hang_up(writer)
        await server.ended(1)
    assert server.messages == [Message(b"a@example.org", (b'"b> c"@example.com',), b".\r\n.\r\n")]


async def test_close_is_seen_as_the_end_after_everything_sent() -> None:
    async with ScriptedServer([reply("421 bye"), Close()]) as server:
        reader, writer = await _open(server)
        assert await reader.read() == b"421 bye\r\n"
        await _hang_up(writer)


async def test_reset_is_seen_as_a_reset() -> None:
    gone = asyncio.Event()
    async with ScriptedServer([reply("220 x"), Await(gone), Reset()]) as server:
        reader, writer = await _open(server)
        assert await reader.readline() == b"220 x\r\n"
        gone.set()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()


async def test_after_a_half_close_the_server_still_reads() -> None:
    async with ScriptedServer([reply("220 x"), HalfClose(), ReadToEnd()]) as server:
        reader, writer = await _open(server)
        assert await reader.read() == b"220 x\r\n"
        writer.write(b"QUIT\r\n")
        await _hang_up(writer)
        await server.ended(1)
    assert bytes(server.connections[0].received) == b"QUIT\r\n"


async def test_silence_lasts_until_the_server_is_released() -> None:
    reached = asyncio.Event()
    async with ScriptedServer([Signal(reached), Silence(), reply("220 late")]) as server:
        reader, writer = await _open(server)
        await reached.wait()
        waiting = asyncio.ensure_future(reader.readline())
        assert not server.connections[0].sent
        server.release()
        assert await waiting == b"220 late\r\n"
        await _hang_up(writer)


async def test_silence_that_nobody_ends_does_not_hold_up_the_test() -> None:
    async with ScriptedServer([Silence()]) as server:
        reader, writer = await _open(server)
    assert await reader.read() == b""
    await _hang_up(writer)


async def test_a_server_that_never_reads_closes_the_window() -> None:
    async with ScriptedServer([reply("220 x"), StopReading(), Silence()], receive_buffer=4096) as server:
        reader, writer = await _open(server)
        await reader.readline()
        writer.transport.set_write_buffer_limits(high=1 << 16)
        writer.write(bytes(32 << 20))
        writer.write(b"\r\n")
        assert writer.transport.get_write_buffer_size() > 1 << 20
        writer.transport.abort()
    assert len(server.connections[0].received) < 1 << 20


async def test_a_repetition_without_number_goes_on_until_the_client_leaves() -> None:
    async with ScriptedServer([Repeat([reply("250-endless")])]) as server:
        reader, writer = await _open(server)
        assert len(await reader.readexactly(130_000)) == 130_000
        writer.transport.abort()
        await server.ended(1)
    assert server.connections[0].end == "reset"


async def test_starttls_turns_the_connection_into_an_encrypted_one(tmp_path: Path) -> None:
    made = certificates.issue(tmp_path)
    script = parse(
        """
        S: 220 mail.example.org
        C: EHLO
        S: 250-mail.example.org
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 Go ahead
        S: <starttls>
        C: EHLO
        S: 250 mail.example.org
        C: NOOP
        S: 250 Ok
        C: <end>
        """,
        tls=made.server_context(),
    )

    def client(port: int) -> None:
        with smtplib.SMTP("localhost", port, timeout=10) as smtp:
            smtp.starttls(context=made.client_context())
            smtp.ehlo()
            assert smtp.noop()[0] == 250
            assert isinstance(smtp.sock, ssl.SSLSocket)
            smtp.close()

    async with ScriptedServer(script) as server:
        await to_thread.run_sync(client, server.port)
        await server.ended(1)
    assert server.connections[0].commands[-1] == b"noop"


async def test_implicit_tls_is_there_from_the_first_octet(tmp_path: Path) -> None:
    made = certificates.issue(tmp_path)
    async with ScriptedServer([reply("220 x")], tls=made.server_context()) as server:
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=made.client_context())
        assert await reader.readline() == b"220 x\r\n"
        await _hang_up(writer)


async def test_raw_octets_and_their_segmentation_can_be_written_down() -> None:
    script: list[Step] = parse(r"S> 250-a\n250 b\r\n\xff" + "\nS: <octet by octet>\nS: 250 c\nS: <whole>\nS: 250 d")
    assert script == [Send(b"250-a\n250 b\r\n\xff"), Send(b"250 c\r\n", 1), Send(b"250 d\r\n")]


async def test_repetitions_nest() -> None:
    script = parse("<repeat>\nS: a\n<repeat 2>\nS: b\n<end repeat>\n<end repeat>\nS: c")
    inner = Repeat([Send(b"b\r\n")], 2)
    assert script == [Repeat([Send(b"a\r\n"), inner]), Send(b"c\r\n")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("S: 220 x\nX: y", "line 2: neither C: nor S:"),
        ("S: <sulk>", "line 1: a server does not <sulk>"),
        ("C: <close>", "line 1: a client does not <close>"),
        ("S: <starttls>", "line 1: <starttls> needs a TLS context"),
        ("<repeat>\nS: x", "line 1: <repeat> without <end repeat>"),
    ],
)
async def test_what_is_no_transcript_is_refused_by_line(text: str, says: str) -> None:
    with pytest.raises(TranscriptError, match=says):
        parse(text)
