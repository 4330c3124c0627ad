"""The faulty server is well behaved until told otherwise, and knows what it has accepted."""

from __future__ import annotations

import asyncio
import smtplib
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from batchsend.outcome import Stage
from tests.tools.faulty import ACCEPT, Accepted, Action, FaultyServer, Then, drop, refuse, say

if TYPE_CHECKING:
    from tests.tools.faulty import Decide
    from tests.tools.wire import Wire

_TRANSACTION = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<%b@example.com>\r\nDATA\r\n"
_ENVELOPE = ("a@example.org", ("b@example.com",))


def _always(stage: Stage, action: Action) -> Decide:
    def decide(connection: int, transaction: int, asked: Stage, recipient: str | None) -> Action:
        return action if asked is stage else ACCEPT

    return decide


def _well_behaved(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
    return ACCEPT


async def _talk(server: FaultyServer, octets: bytes) -> list[bytes]:
    """Send everything at once, half-close, and return the lines after EHLO's reply."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"EHLO client.example.net\r\n" + octets)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received.split(b" ENHANCEDSTATUSCODES\r\n")[1].splitlines(keepends=True)


async def test_a_real_client_is_served() -> None:
    def client(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as smtp:
            smtp.sendmail("a@example.org", ["b@example.com"], b".dot\r\n")
            smtp.sendmail("a@example.org", ["b@example.com"], b"second\r\n")
            assert smtp.has_extn("pipelining")
            assert smtp.has_extn("chunking")

    async with FaultyServer(_well_behaved) as server:
        await to_thread.run_sync(client, server.port)
    assert server.accepted == [
        Accepted(1, 1, *_ENVELOPE, b".dot\r\n"),
        Accepted(1, 2, *_ENVELOPE, b"second\r\n"),
    ]


@pytest.mark.parametrize("segment", [None, 1, 7])
async def test_pipelined_transactions_are_answered_in_order(segment: int | None) -> None:
    async with FaultyServer(_well_behaved, segment=segment) as server:
        group = _TRANSACTION % b"b" + b"one\r\n.\r\n" + _TRANSACTION % b"b" + b"two\r\n.\r\nQUIT\r\n"
        lines = await _talk(server, group)
    assert [line[:3] for line in lines] == [b"250", b"250", b"354", b"250"] * 2 + [b"221"]
    assert [message.content for message in server.accepted] == [b"one\r\n", b"two\r\n"]


async def test_whole_transactions_in_chunks_may_follow_each_other_unanswered() -> None:
    transaction = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nBDAT 3\r\nabcBDAT 5 LAST\r\n.\r\nd\n"
    async with FaultyServer(_well_behaved) as server:
        lines = await _talk(server, transaction * 3 + b"QUIT\r\n")
    assert [line[:3] for line in lines] == [b"250"] * 12 + [b"221"]
    assert server.accepted == [Accepted(1, number, *_ENVELOPE, b"abc.\r\nd\n") for number in (1, 2, 3)]


async def test_the_decision_knows_where_it_is_asked() -> None:
    asked: list[tuple[int, int, Stage, str | None]] = []

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        asked.append((connection, transaction, stage, recipient))
        return ACCEPT

    async with FaultyServer(decide) as server:
        await _talk(server, _TRANSACTION % b"b" + b".\r\nQUIT\r\n")
    assert asked == [
        (1, 0, Stage.GREETING, None),
        (1, 0, Stage.EHLO, None),
        (1, 1, Stage.MAIL, None),
        (1, 1, Stage.RCPT, "b@example.com"),
        (1, 1, Stage.DATA, "b@example.com"),
        (1, 1, Stage.CONTENT, "b@example.com"),
    ]


async def test_a_refused_recipient_makes_data_out_of_place_and_the_next_transaction_works() -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(550) if recipient == "c@example.com" else ACCEPT

    async with FaultyServer(decide) as server:
        lines = await _talk(server, _TRANSACTION % b"c" + b"RSET\r\n" + _TRANSACTION % b"b" + b".\r\nQUIT\r\n")
    assert [line[:3] for line in lines] == [b"250", b"550", b"503", b"250", b"250", b"250", b"354", b"250", b"221"]
    assert [message.recipients for message in server.accepted] == [("b@example.com",)]


async def test_a_refused_recipient_makes_its_chunk_refused_and_read_all_the_same() -> None:
    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        return refuse(450) if transaction == 1 and stage is Stage.RCPT else ACCEPT

    transaction = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nBDAT 6 LAST\r\nQUIT\r\n"
    async with FaultyServer(decide) as server:
        lines = await _talk(server, transaction * 2 + b"QUIT\r\n")
    assert [line[:3] for line in lines] == [b"250", b"450", b"503", b"250", b"250", b"250", b"221"]
    assert server.accepted == [Accepted(1, 2, *_ENVELOPE, b"QUIT\r\n")]


async def test_a_server_may_go_on_with_a_message_for_nobody_and_throws_it_away() -> None:
    chunk = b"RSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nBDAT 6 LAST\r\nQUIT\r\n"
    async with FaultyServer(_always(Stage.RCPT, refuse(550)), anyway=True) as server:
        lines = await _talk(server, _TRANSACTION % b"b" + b"one\r\n.\r\n" + chunk + b"QUIT\r\n")
    assert [line[:3] for line in lines] == [b"250", b"550", b"354", b"250", b"250", b"250", b"550", b"250", b"221"]
    assert server.for_nobody == [b"one\r\n"]
    assert server.accepted == []


async def test_a_server_that_does_not_know_bdat_takes_its_octets_for_commands() -> None:
    chunk = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nBDAT 13 LAST\r\none\r\nQUITE\r\n\r\n"
    async with FaultyServer(_well_behaved, knows_bdat=False) as server:
        lines = await _talk(server, chunk + b"QUIT\r\n")
    assert [line[:3] for line in lines] == [b"250", b"250", *[b"500"] * 4, b"221"]
    assert server.accepted == []


async def test_what_has_come_may_be_thrown_away() -> None:
    """What the server has read and not answered, and what comes for some time."""

    class Forgetful(FaultyServer):
        async def play(self, wire: Wire) -> None:
            self.wires = [wire]
            await super().play(wire)

    def decide(connection: int, transaction: int, stage: Stage, recipient: str | None) -> Action:
        if stage is Stage.MAIL:
            (wire,) = server.wires
            if wire.has_more:
                wire.forget(0.0)
        return ACCEPT

    async with Forgetful(decide) as server:
        lines = await _talk(server, _TRANSACTION % b"b")
    assert lines == [b"250 2.1.0 Ok\r\n"]


async def test_a_refused_content_is_not_accepted() -> None:
    async with FaultyServer(_always(Stage.CONTENT, refuse(554))) as server:
        lines = await _talk(server, _TRANSACTION % b"b" + b".\r\nQUIT\r\n")
    assert lines[-2:] == [b"554 refused\r\n", b"221 2.0.0 Bye\r\n"]
    assert server.accepted == []


async def test_421_closes_the_connection() -> None:
    async with FaultyServer(_always(Stage.RCPT, refuse(421))) as server:
        lines = await _talk(server, _TRANSACTION % b"b")
    assert lines == [b"250 2.1.0 Ok\r\n", b"421 refused\r\n"]


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_connection_dropped_after_the_content_may_or_may_not_have_been_accepted(succeeds: bool) -> None:
    async with FaultyServer(_always(Stage.CONTENT, drop(succeeds=succeeds))) as server:
        lines = await _talk(server, _TRANSACTION % b"b" + b".\r\n")
    assert lines[-1][:3] == b"354"
    assert len(server.accepted) == succeeds


async def test_a_reset_may_follow_the_reply() -> None:
    async with FaultyServer(_always(Stage.GREETING, say(b"220 x\r\n", then=Then.RESET))) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()


@pytest.mark.parametrize("then", [Then.SILENCE, Then.HALF_CLOSE])
async def test_a_server_that_has_stopped_answering_still_reads(then: Then) -> None:
    async with FaultyServer(_always(Stage.MAIL, drop(then))) as server:
        await _talk(server, _TRANSACTION % b"b")
        await server.ended(1)
    assert bytes(server.connections[0].received).endswith(_TRANSACTION % b"b")


@pytest.mark.parametrize(
    ("octets", "accepted"),
    [
        (b"250 a\r\n250 extra\r\n", True),
        (b"550-a\r\n250 mixed\r\n", True),
        (b"250-a\r\n550 mixed\r\n", False),
        (b"no code\r\n", False),
    ],
)
async def test_wrong_replies_are_sent_as_they_are_and_the_last_line_says_what_they_meant(
    octets: bytes, accepted: bool
) -> None:
    async with FaultyServer(_always(Stage.CONTENT, say(octets))) as server:
        lines = await _talk(server, _TRANSACTION % b"b" + b".\r\nQUIT\r\n")
    assert b"".join(lines[3:-1]) == octets
    assert bool(server.accepted) is accepted


async def test_a_command_that_does_not_parse_is_refused_without_a_decision() -> None:
    async with FaultyServer(_always(Stage.MAIL, refuse(550))) as server:
        lines = await _talk(server, b"MAIL FROM:a@example.org\r\nBDAT x\r\nQUIT\r\n")
    assert [line[:3] for line in lines] == [b"501", b"501", b"221"]


async def test_without_chunking_bdat_is_no_command() -> None:
    async with FaultyServer(_well_behaved, chunking=False, pipelining=False) as server:
        assert await _talk(server, b"BDAT\r\nQUIT\r\n") == [b"500 5.5.2 Command unrecognised\r\n", b"221 2.0.0 Bye\r\n"]
    assert b"PIPELINING" not in server.ehlo_reply
    assert b"CHUNKING" not in server.ehlo_reply
