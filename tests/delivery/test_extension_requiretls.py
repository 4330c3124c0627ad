"""REQUIRETLS (RFC 8689): asked for with every message over verified TLS, or nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest

from batchsend import DeliveryResult, Outcome, RunError, Sender, Server
from tests.delivery.harness import GUARD, CountingServer, options, submissions, well_behaved
from tests.tools.certificates import issue
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Expect, ReadContent, ReadToEnd, StartTls, Step, reply

if TYPE_CHECKING:
    from pathlib import Path


async def send(server: Server, count: int, *, require_tls: bool = True) -> list[DeliveryResult]:
    how = msgspec.structs.replace(options(), require_tls=require_tls)
    with anyio.fail_after(GUARD):
        async with Sender(server, delivery=how) as sender:
            return [result async for result in sender.send(submissions(count))]


def session(*offered: str) -> list[Step]:
    """An encrypted session after its first command, with one message."""
    lines = ["x", "PIPELINING", *offered]
    return [
        *(Expect("EHLO"), reply(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")),
        *(Expect("MAIL"), Expect("RCPT"), Expect("DATA"), reply("250 ok", "250 ok", "354 go"), ReadContent()),
        *(reply("250 taken"), Expect("QUIT"), reply("221 bye")),
    ]


async def test_every_message_asks_for_it_over_implicit_tls(tmp_path: Path) -> None:
    certificates = issue(tmp_path)
    async with CountingServer(
        well_behaved, extensions=("REQUIRETLS", "SIZE 1000"), tls=certificates.server_context()
    ) as peer:
        server = Server(host=peer.host, port=peer.port, tls="implicit", ca_file=certificates.ca_file)
        results = await send(server, 3)
    assert [result.status for result in results] == [Outcome.ACCEPTED] * 3
    said = [command for command in peer.connections[0].commands if command.startswith(b"MAIL")]
    assert said == [b"MAIL FROM:<from@example.com> REQUIRETLS SIZE=20"] * 3


async def test_what_counts_is_what_the_encrypted_session_offers(tmp_path: Path) -> None:
    """RFC 8689 §2: it is offered under TLS only."""
    certificates = issue(tmp_path)
    script: list[Step] = [
        *(reply("220 ready"), Expect("EHLO"), reply("250-x", "250 STARTTLS")),
        *(Expect("STARTTLS"), reply("220 go"), StartTls(certificates.server_context())),
        *session("REQUIRETLS"),
    ]
    async with ScriptedServer(script) as peer:
        server = Server(host=peer.host, port=peer.port, ca_file=certificates.ca_file)
        results = await send(server, 1)
    assert [result.status for result in results] == [Outcome.ACCEPTED]
    assert b"MAIL FROM:<from@example.com> REQUIRETLS" in peer.connections[0].commands


@pytest.mark.parametrize("clear", [[], ["REQUIRETLS"]], ids=["never", "only in the clear"])
async def test_where_it_is_not_offered_under_tls_nothing_is_sent(tmp_path: Path, clear: list[str]) -> None:
    certificates = issue(tmp_path)
    lines = ["x", *clear, "STARTTLS"]
    script: list[Step] = [
        *(reply("220 ready"), Expect("EHLO"), reply(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")),
        *(Expect("STARTTLS"), reply("220 go"), StartTls(certificates.server_context())),
        *(Expect("EHLO"), reply("250-x", "250 SIZE 1000"), ReadToEnd()),
    ]
    async with ScriptedServer(script) as peer:
        server = Server(host=peer.host, port=peer.port, ca_file=certificates.ca_file)
        with pytest.raises(RunError, match="does not offer REQUIRETLS") as caught:
            await send(server, 3)
    assert caught.value.remedy is not None
    assert "require_tls" in caught.value.remedy
    assert not any(command.startswith(b"MAIL") for connection in peer.connections for command in connection.commands)


async def test_without_tls_there_is_nothing_that_it_could_promise() -> None:
    """RFC 8689 §2: whoever offers it in the clear does not know what it means."""
    async with CountingServer(well_behaved, extensions=("REQUIRETLS",)) as peer:
        with pytest.raises(RunError, match="REQUIRETLS"):
            await send(Server(host=peer.host, port=peer.port, tls="none"), 1)
    assert not any(command.startswith(b"MAIL") for command in peer.connections[0].commands)


async def test_a_relay_that_cannot_keep_the_promise_refuses_and_the_record_says_so(tmp_path: Path) -> None:
    certificates = issue(tmp_path)
    refused = "550 5.7.30 REQUIRETLS support required"
    script: list[Step] = [
        *(reply("220 ready"), Expect("EHLO"), reply("250-x", "250-PIPELINING", "250 REQUIRETLS")),
        *(Expect("MAIL"), Expect("RCPT"), Expect("DATA"), reply("250 ok", refused, "503 no recipient")),
        *(Expect("QUIT"), reply("221 bye")),
    ]
    async with ScriptedServer(script, tls=certificates.server_context()) as peer:
        server = Server(host=peer.host, port=peer.port, tls="implicit", ca_file=certificates.ca_file)
        (result,) = await send(server, 1)
    assert (result.status, result.code, result.enhanced) == (Outcome.REJECTED, 550, "5.7.30")


async def test_nobody_is_asked_for_it_unless_the_campaign_says_so(tmp_path: Path) -> None:
    certificates = issue(tmp_path)
    async with CountingServer(well_behaved, extensions=("REQUIRETLS",), tls=certificates.server_context()) as peer:
        server = Server(host=peer.host, port=peer.port, tls="implicit", ca_file=certificates.ca_file)
        await send(server, 1, require_tls=False)
    assert b"MAIL FROM:<from@example.com>" in peer.connections[0].commands
