"""How a session is opened, and what is said where it is not: TCP, greeting, EHLO, TLS, AUTH."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING

import anyio
import pytest
from aiosmtplib import SMTPResponseException
from aiosmtplib.protocol import SMTPProtocol

from batchsend.campaign import Secret, Server, is_loopback
from batchsend.delivery.account import NullAccount
from batchsend.delivery.connector import ConnectError, Connector, Opened
from batchsend.delivery.login_client import PatientProtocol
from batchsend.delivery.pool import Pool
from batchsend.errors import UsageError
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import GONE, GREETED, GUARD, TAKEN, deliver, options, submissions
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Close, Expect, HalfClose, ReadToEnd, Repeat, Reset, Send, Step, reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.listener import Listener

USER, PASSWORD = Secret("user@example.com"), Secret("s3cret pässword")
EHLO: list[Step] = [reply("220 ready"), Expect("EHLO")]


def plain(listener: Listener) -> Server:
    return Server(host=listener.host, port=listener.port, tls="none")


def login(listener: Listener) -> Server:
    return Server(host=listener.host, port=listener.port, tls="none", username=USER, password=PASSWORD)


async def open_session(*servers: Server, **timeouts: float) -> Opened:
    (one,) = servers
    with anyio.fail_after(GUARD):
        return await Connector(one, options(limits=timeouts).timeouts).open()


async def refusal(server: Server, **timeouts: float) -> ConnectError:
    """Open a session, which must fail with an error that says where."""
    with pytest.raises(ConnectError) as caught:
        await open_session(server, **timeouts)
    error = caught.value
    assert error.message.startswith(f"{server.host}:{server.port}: ")
    assert "\n" not in error.message
    assert PASSWORD not in str(error)
    return error


async def test_an_open_session_knows_what_the_server_offers() -> None:
    offer = reply("250-mx.example.org hello", "250-PIPELINING", "250-SIZE 1000000", "250-unknown x", "250 AUTH PLAIN")
    async with ScriptedServer([*EHLO, offer, ReadToEnd()]) as peer:
        opened = await open_session(Server(host=peer.host, port=peer.port, tls="none", ehlo_name="me.example.com"))
        opened.transport.abort()
    assert opened.extensions.pipelining
    assert opened.extensions.size == 1_000_000
    assert opened.extensions.auth == ("PLAIN",)
    assert not opened.extensions.chunking
    assert opened.where == f"{peer.host}:{peer.port}"
    assert peer.connections[0].commands == [b"EHLO me.example.com"]


async def test_without_a_full_host_name_an_address_literal_introduces_us() -> None:
    """RFC 5321 §4.1.4: a domain that is a name, or an address literal."""
    async with ScriptedServer([*EHLO, reply("250 x"), ReadToEnd()]) as peer:
        opened = await open_session(plain(peer))
        opened.transport.abort()
    name = peer.connections[0].commands[0].removeprefix(b"EHLO ")
    assert name.startswith(b"[") or b"." in name


async def test_a_server_that_knows_no_ehlo_is_greeted_with_helo() -> None:
    for code in (500, 502, 550):
        script = [*EHLO, reply(f"{code} what?"), Expect("HELO"), reply("250 hello"), ReadToEnd()]
        async with ScriptedServer(script) as peer:
            opened = await open_session(plain(peer))
            opened.transport.abort()
        assert not opened.extensions.pipelining


@pytest.mark.parametrize(
    ("script", "stage", "said"),
    [
        pytest.param([reply("421 4.3.2 busy")], Stage.GREETING, "421 4.3.2 busy", id="421"),
        pytest.param([reply("554-5.7.1 you", "554 go away")], Stage.GREETING, "554 5.7.1 you go away", id="554"),
        pytest.param([reply("250 ready")], Stage.GREETING, "250", id="no-greeting"),
        pytest.param([reply("SSH-2.0-OpenSSH_9.2")], Stage.GREETING, "is no reply of SMTP: SSH-2.0-", id="SSH"),
        pytest.param([reply("+22 ready")], Stage.GREETING, "is no reply of SMTP: ready", id="a-number-with-a-sign"),
        pytest.param([*EHLO, reply("100 go on")], Stage.EHLO, "is no reply of SMTP: go on", id="1yz"),
        pytest.param([Close()], Stage.GREETING, "closed", id="closed-at-once"),
        pytest.param([Reset()], Stage.GREETING, "closed", id="reset-at-once"),
        pytest.param([HalfClose(), ReadToEnd()], Stage.GREETING, "closed", id="half-closed-at-once"),
        pytest.param([*EHLO, Close()], Stage.EHLO, "closed", id="closed-at-ehlo"),
        pytest.param([*EHLO, Reset()], Stage.EHLO, "closed", id="reset-at-ehlo"),
        pytest.param([*EHLO, reply("421 4.3.2 not you")], Stage.EHLO, "421 4.3.2 not you", id="421-to-ehlo"),
        pytest.param(
            [*EHLO, reply("500 what?"), Expect("HELO"), reply("554 no")], Stage.EHLO, "554 no", id="no-helo-either"
        ),
        pytest.param([*EHLO, Send(b"250-" + b"x" * 100_000)], Stage.EHLO, "no reply of SMTP", id="endless-line"),
        pytest.param(
            [*EHLO, Repeat([Send(b"250-more\r\n" * 100)])], Stage.EHLO, "no reply of SMTP", id="endless-reply"
        ),
    ],
)
async def test_a_session_that_cannot_be_opened_now_may_be_later(script: list[Step], stage: Stage, said: str) -> None:
    async with ScriptedServer(script) as peer:
        error = await refusal(plain(peer))
    assert error.failure.stage is stage
    assert said in error.message
    assert len(error.message) < 250
    assert not error.failure.lasting


@pytest.mark.parametrize(("script", "stage"), [([], Stage.GREETING), (EHLO, Stage.EHLO)])
async def test_silence_is_ended_by_the_time_out_of_the_step(script: list[Step], stage: Stage) -> None:
    async with ScriptedServer([*script, ReadToEnd()]) as peer:
        error = await refusal(plain(peer), **{stage.value: 0.1})
        await peer.ended(1)
    assert error.failure.stage is stage
    assert "no answer" in error.message
    assert peer.connections[0].end is not None, "the connection was left open"


@pytest.mark.parametrize(
    "said",
    [
        "250 ok",
        "250-a.example\r\n250-PIPELINING\r\n250 HELP",
        "250-a\n250-b\n250 c",
        "250-a\r\nSSH-2.0",
        "25-\r\n250 ok",
    ],
)
async def test_a_reply_in_pieces_is_the_same_reply(said: str) -> None:
    """However it is cut, it is what aiosmtplib makes of it."""
    octets = f"{said}\r\n".encode()
    right = await _heard(SMTPProtocol(), [octets])
    for size in range(1, len(octets)):
        pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
        assert await _heard(PatientProtocol(), pieces) == right, size


async def _heard(protocol: SMTPProtocol, pieces: list[bytes]) -> str:
    protocol.connection_made(asyncio.Transport())
    for piece in pieces:
        protocol.data_received(piece)
    try:
        return repr(await protocol.read_response(timeout=1.0))
    except SMTPResponseException as error:
        return repr(error)


async def test_control_characters_of_the_server_are_not_printed() -> None:
    async with ScriptedServer([Send(b"554 \x1b[2J\x07\xff no\r\n")]) as peer:
        error = await refusal(plain(peer))
    assert "554 \\x1b[2J\\x07" in error.message
    assert error.message.isprintable()


async def test_nobody_listening_is_said_in_so_many_words() -> None:
    async with ScriptedServer([]) as peer:
        gone = plain(peer)
    with pytest.raises(ConnectError, match=r"cannot connect: Connection refused\n.*host and port") as caught:
        await open_session(gone)
    assert caught.value.failure.stage is Stage.CONNECT


# --- AUTH ------------------------------------------------------------------------------------------------------------


def offer(mechanisms: str) -> list[Step]:
    return [*EHLO, reply("250-x", "250-PIPELINING", f"250 AUTH {mechanisms}")]


def logins(peer: Listener) -> list[list[bytes]]:
    """The mechanisms that each connection was asked for."""
    return [
        [command.split()[1] for command in connection.commands if command.startswith(b"AUTH ")]
        for connection in peer.connections
    ]


async def test_auth_plain() -> None:
    script = [*offer("PLAIN LOGIN"), Expect("AUTH PLAIN"), reply("235 welcome"), ReadToEnd()]
    async with ScriptedServer(script) as peer:
        (await open_session(login(peer))).transport.abort()
    response = base64.b64decode(peer.connections[0].commands[1].split()[2]).decode()
    assert response == f"\0{USER}\0{PASSWORD}"


async def test_auth_login_where_nothing_else_is_offered() -> None:
    script = [
        *(*offer("LOGIN"), Expect("AUTH LOGIN"), reply("334 UGFzc3dvcmQ6")),
        *(Expect(""), reply("235 welcome"), ReadToEnd()),
    ]
    async with ScriptedServer(script) as peer:
        (await open_session(login(peer))).transport.abort()
    said = b" ".join(peer.connections[0].commands[1:]).split()[2:]
    assert [base64.b64decode(word).decode() for word in said] == [USER, PASSWORD]


@pytest.mark.parametrize("asks", ["VXNlcm5hbWU6", "VXNlciBOYW1lAA=="])
async def test_auth_login_that_asks_for_the_name_that_came_with_the_command(asks: str) -> None:
    """The password never answers the question for the name."""
    script = [
        *(*offer("LOGIN"), Expect("AUTH LOGIN"), reply(f"334 {asks}"), Expect(""), reply("334 UGFzc3dvcmQ6")),
        *(Expect(""), reply("235 welcome"), ReadToEnd()),
    ]
    async with ScriptedServer(script) as peer:
        (await open_session(login(peer))).transport.abort()
    said = [base64.b64decode(command.split()[-1]).decode() for command in peer.connections[0].commands[1:]]
    assert said == [USER, USER, PASSWORD]


@pytest.mark.parametrize("code", [500, 501, 504])
async def test_auth_login_that_is_taken_alone_only(code: int) -> None:
    script = [
        *(*offer("LOGIN"), Expect("AUTH LOGIN "), reply(f"{code} 5.5.4 syntax"), Expect("AUTH LOGIN")),
        *(reply("334 VXNlcm5hbWU6"), Expect(""), reply("334 UGFzc3dvcmQ6"), Expect(""), reply("235 hi"), ReadToEnd()),
    ]
    async with ScriptedServer(script) as peer:
        (await open_session(login(peer))).transport.abort()
    assert peer.connections[0].commands[2] == b"AUTH LOGIN"
    assert [base64.b64decode(command).decode() for command in peer.connections[0].commands[3:]] == [USER, PASSWORD]


@pytest.mark.parametrize(("code", "lasting"), [(535, True), (534, True), (454, False)])
async def test_refused_credentials(code: int, *, lasting: bool) -> None:
    script = [*offer("PLAIN"), Expect("AUTH"), reply(f"{code} 5.7.8 not you"), ReadToEnd()]
    async with ScriptedServer(script) as peer:
        error = await refusal(login(peer))
    assert error.failure.stage is Stage.AUTH
    assert f"{code} 5.7.8 not you" in error.message
    assert error.failure.lasting is lasting


@pytest.mark.parametrize("end", [[Close()], [HalfClose(), ReadToEnd()], [ReadToEnd()]], ids=["closed", "half", "open"])
async def test_a_wrong_password_is_said_once_and_the_reply_is_kept(end: list[Step]) -> None:
    """LOGIN is offered, too, but would say the same password again."""
    refused = reply("535 5.7.8 Username and Password not accepted")
    async with ScriptedServer([*offer("PLAIN LOGIN"), Expect("AUTH PLAIN"), refused, *end]) as peer:
        account = await deliver(login(peer), submissions(20), options(max_connections=5))
    assert account.error is not None
    assert "535 5.7.8 Username and Password not accepted" in account.error.message
    assert logins(peer) == [[b"PLAIN"]]
    assert account.notices == []


CHALLENGED: list[Step] = [Expect("AUTH CRAM-MD5"), reply("334 PDEuMkBteC5leGFtcGxlLm9yZz4="), Expect("")]
REFUSED = reply("535 5.7.8 authentication failed")


async def test_a_mechanism_that_is_refused_with_a_close_gives_way_to_the_next_on_a_new_connection() -> None:
    """What has worked is the first of every later session."""
    worked = [*offer("CRAM-MD5 PLAIN"), Expect("AUTH PLAIN"), reply("235 welcome"), *TAKEN, *GONE]
    async with ScriptedServer([*offer("CRAM-MD5 PLAIN"), *CHALLENGED, REFUSED, Close()], worked) as peer:
        account = await deliver(login(peer), submissions(3), options(max_messages=1))
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    said = [one for one in logins(peer) if one]
    assert said[0] == [b"CRAM-MD5"]
    assert len(said) >= 4
    assert all(one == [b"PLAIN"] for one in said[1:])
    assert account.notices == []


async def test_a_mechanism_that_is_refused_gives_way_to_the_next_on_the_same_connection() -> None:
    worked: list[Step] = [Expect("AUTH PLAIN"), reply("235 welcome"), *TAKEN, *GONE]
    first = [*offer("PLAIN CRAM-MD5"), *CHALLENGED, REFUSED, *worked]
    async with ScriptedServer(first, [*offer("PLAIN CRAM-MD5"), *worked]) as peer:
        account = await deliver(login(peer), submissions(3), options(max_messages=1))
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    said = [one for one in logins(peer) if one]
    assert said[0] == [b"CRAM-MD5", b"PLAIN"]
    assert all(one == [b"PLAIN"] for one in said[1:])


@pytest.mark.parametrize("code", [504, 534])
@pytest.mark.parametrize("end", [[Close()], [ReadToEnd()]], ids=["closed", "open"])
async def test_each_mechanism_is_refused_once_and_the_last_refusal_stops_the_run(code: int, end: list[Step]) -> None:
    steps: dict[str, list[Step]] = {
        "CRAM-MD5": [*CHALLENGED, reply("535 5.7.8 not by digest")],
        "PLAIN": [Expect("AUTH PLAIN"), reply(f"{code} 5.7.4 not by PLAIN")],
        "LOGIN": [Expect("AUTH LOGIN"), reply("334 UGFzc3dvcmQ6"), Expect(""), reply("535 5.7.8 not by LOGIN")],
    }
    offered = offer("CRAM-MD5 PLAIN LOGIN")
    if isinstance(end[0], Close):
        scripts = [[*offered, *said, *end] for said in steps.values()]
    else:
        scripts = [[*offered, *steps["CRAM-MD5"], *steps["PLAIN"], *steps["LOGIN"], *end]]
    async with ScriptedServer(*scripts) as peer:
        account = await deliver(login(peer), submissions(20), options(max_connections=5))
    assert account.error is not None
    assert "535 5.7.8 not by LOGIN" in account.error.message
    assert [one for said in logins(peer) for one in said] == [b"CRAM-MD5", b"PLAIN", b"LOGIN"]
    assert len(peer.connections) == len(scripts)


async def test_a_digest_and_a_password_that_are_refused_with_a_close_are_two_logins() -> None:
    offered = offer("CRAM-MD5 PLAIN")
    refused = reply("535 5.7.8 wrong password")
    scripts = [[*offered, *CHALLENGED, REFUSED, Close()], [*offered, Expect("AUTH PLAIN"), refused, Close()]]
    async with ScriptedServer(*scripts) as peer:
        account = await deliver(login(peer), submissions(20), options(max_connections=5))
    assert account.error is not None
    assert "535 5.7.8 wrong password" in account.error.message
    assert logins(peer) == [[b"CRAM-MD5"], [b"PLAIN"]]


async def test_a_server_that_hangs_up_silently_after_a_refusal_is_not_asked_for_ever() -> None:
    offered = offer("CRAM-MD5 PLAIN")
    scripts = [[*offered, *CHALLENGED, REFUSED, Close()], [*offered, Expect("AUTH PLAIN"), Close()]]
    async with ScriptedServer(*scripts) as peer:
        account = await deliver(login(peer), submissions(20), options(max_connections=5))
    assert account.error is not None
    assert "535 5.7.8 authentication failed" in account.error.message
    assert logins(peer) == [[b"CRAM-MD5"], [b"PLAIN"]]


async def test_a_close_that_comes_while_the_next_mechanism_is_under_way_is_no_refusal_of_that_one() -> None:
    offered = offer("CRAM-MD5 PLAIN")
    worked = [*offered, Expect("AUTH PLAIN"), reply("235 welcome"), *TAKEN, *GONE]
    async with ScriptedServer([*offered, *CHALLENGED, REFUSED, Expect("AUTH PLAIN"), Close()], worked) as peer:
        account = await deliver(login(peer), submissions(1), options())
    assert account.outcomes == {1: Outcome.ACCEPTED}
    assert logins(peer) == [[b"CRAM-MD5", b"PLAIN"], [b"PLAIN"]]


async def test_a_trouble_of_the_server_is_no_refusal_of_a_mechanism() -> None:
    script = [*offer("CRAM-MD5 PLAIN"), *CHALLENGED, reply("454 4.7.0 try later"), Close()]
    async with ScriptedServer(script) as peer:
        error = await refusal(login(peer))
    assert "454 4.7.0 try later" in error.message
    assert not error.failure.lasting
    assert logins(peer) == [[b"CRAM-MD5"]]


async def test_a_mechanism_that_has_worked_is_not_what_a_refusal_is_about() -> None:
    """The password never goes out because a digest that was taken before is refused once."""
    offered = offer("CRAM-MD5 PLAIN")
    scripts = [[*offered, *CHALLENGED, reply("235 hi"), ReadToEnd()], [*offered, *CHALLENGED, REFUSED, ReadToEnd()]]
    async with ScriptedServer(*scripts) as peer:
        connector = Connector(login(peer), options().timeouts)
        with anyio.fail_after(GUARD):
            (await connector.open()).transport.abort()
            with pytest.raises(ConnectError, match=r"535 5\.7\.8 authentication failed"):
                await connector.open()
    assert logins(peer) == [[b"CRAM-MD5"], [b"CRAM-MD5"]]


async def test_auth_login_without_a_name_is_not_asked_of_a_closed_connection() -> None:
    async with ScriptedServer([*offer("LOGIN"), Expect("AUTH LOGIN"), reply("504 5.7.4 unknown"), Close()]) as peer:
        error = await refusal(login(peer))
    assert "504 5.7.4 unknown" in error.message
    assert error.failure.lasting


async def test_each_address_is_tried_with_the_mechanisms_that_are_left() -> None:
    offered = offer("CRAM-MD5 PLAIN")
    worked = [*offered, Expect("AUTH PLAIN"), reply("235 welcome"), ReadToEnd()]
    async with ScriptedServer([*offered, *CHALLENGED, REFUSED, Close()], worked) as peer:
        with anyio.fail_after(GUARD):
            found = [opened async for _, opened in Connector(login(peer), options().timeouts).open_each()]
        (opened,) = found
        assert isinstance(opened, Opened)
        opened.transport.abort()
    assert logins(peer) == [[b"CRAM-MD5"], [b"PLAIN"]]


@pytest.mark.parametrize("script", [[*EHLO, reply("250-x", "250 SIZE")], offer("GSSAPI NTLM")])
async def test_no_auth_that_we_know_is_a_lasting_trouble(script: list[Step]) -> None:
    async with ScriptedServer([*script, ReadToEnd()]) as peer:
        error = await refusal(login(peer))
    assert error.failure.stage is Stage.AUTH
    assert error.failure.lasting
    assert b"AUTH" not in peer.connections[0].received


async def test_a_server_that_hangs_up_at_auth() -> None:
    async with ScriptedServer([*offer("PLAIN"), Expect("AUTH"), Close()]) as peer:
        error = await refusal(login(peer))
    assert error.failure.stage is Stage.AUTH
    assert "closed the connection" in error.message


@pytest.mark.parametrize("host", ["mail.example.com", "192.0.2.1", "2001:db8::1", "localhost.example.com"])
async def test_credentials_without_tls_go_to_loopback_only(host: str) -> None:
    with pytest.raises(UsageError, match="credentials are not sent without TLS"):
        Connector(Server(host=host, tls="none", username=USER, password=PASSWORD), options().timeouts)


async def test_a_name_of_this_machine_that_leads_elsewhere_gets_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has answered is what decides: /etc/hosts, or the DNS where it is asked, chooses the address."""
    async with ScriptedServer([*offer("PLAIN"), ReadToEnd()]) as peer:
        server = Server(host="localhost", port=peer.port, tls="none", username=USER, password=PASSWORD)
        connector = Connector(server, options().timeouts)
        monkeypatch.setattr("batchsend.delivery.connector.is_loopback", lambda host: host == "localhost")
        with anyio.fail_after(GUARD), pytest.raises(ConnectError, match="this is not loopback"):
            await connector.open()
        assert not any(b"AUTH" in connection.received for connection in peer.connections)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
async def test_loopback(host: str) -> None:
    assert is_loopback(host)


# --- several servers --------------------------------------------------------------------------------------------------


async def test_servers_are_used_in_their_order() -> None:
    """A relay that takes no session hands everything to the next one, at once; the one after that is not asked."""
    taken = [*GREETED, *TAKEN, *GONE]
    async with ScriptedServer([reply("421 busy")]) as one, ScriptedServer(taken) as two, ScriptedServer(taken) as three:
        servers = [plain(peer) for peer in (one, two, three)]
        account = await deliver(servers, submissions(1), options())
    assert account.outcomes == {1: Outcome.ACCEPTED}
    assert [len(peer.connections) for peer in (two, three)] == [1, 0]


async def test_no_server_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="a relay"):
        Pool([], options(), NullAccount())


async def test_opening_that_is_cancelled_leaves_nothing_open() -> None:
    async with ScriptedServer([*EHLO, ReadToEnd()]) as peer:
        with anyio.move_on_after(0.05) as scope:
            await Connector(login(peer), options().timeouts).open()
        assert scope.cancelled_caught
        with anyio.fail_after(GUARD):
            while not peer.connections:
                await anyio.lowlevel.checkpoint()
            await peer.ended(1)


async def test_a_ca_file_without_certificates(tmp_path: Path) -> None:
    for content in ("", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (tmp_path / "ca.pem").write_text(content)
        server = Server(host="mail.example.com", ca_file=tmp_path / "ca.pem")
        with pytest.raises(UsageError, match=re.escape(str(tmp_path / "ca.pem"))):
            Connector(server, options().timeouts)
