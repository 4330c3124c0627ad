"""TLS is verified or there is no session: no certificate is waved through, and nothing falls back to plaintext."""

from __future__ import annotations

import datetime as dt
import ssl
import warnings
from typing import TYPE_CHECKING

import anyio
import pytest
import trustme

from batchsend.campaign import Secret, Server, Tls
from batchsend.delivery.connector import ConnectError, Connector, Opened
from batchsend.outcome import Outcome, Stage
from batchsend.sink import Sink, SinkOptions
from tests.delivery.harness import GUARD, deliver, options, submissions
from tests.tools.certificates import Certificates, issue
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import (
    Close,
    CutOff,
    Expect,
    ReadContent,
    ReadToEnd,
    Send,
    Silence,
    StartTls,
    Step,
    StopReading,
    reply,
)

if TYPE_CHECKING:
    from pathlib import Path

USER, PASSWORD = Secret("user"), Secret("secret")
OFFERS_STARTTLS: list[Step] = [reply("220 ready"), Expect("EHLO"), reply("250-x", "250-AUTH PLAIN", "250 STARTTLS")]
KINDS: list[Tls] = ["starttls", "implicit"]


async def open_session(server: Server) -> Opened:
    with anyio.fail_after(GUARD):
        return await Connector(server, options(greeting=5, ehlo=5).timeouts).open()


async def refusal(server: Server, peer: ScriptedServer) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await open_session(server)
    if server.tls == "starttls":  # With implicit TLS a handshake that fails is no connection yet.
        with anyio.fail_after(GUARD):
            await peer.ended(1)
    assert "\n" not in caught.value.message
    return caught.value


def script_for(kind: Tls, context: ssl.SSLContext) -> list[Step]:
    """What a server of this kind says until it has been introduced to over TLS."""
    ending: list[Step] = [Expect("EHLO"), reply("250 x"), ReadToEnd()]
    if kind == "implicit":
        return [reply("220 ready"), *ending]
    return [*OFFERS_STARTTLS, Expect("STARTTLS"), reply("220 go ahead"), StartTls(context), *ending]


def serve(kind: Tls, certificates: Certificates) -> ScriptedServer:
    context = certificates.server_context()
    return ScriptedServer(script_for(kind, context), tls=context if kind == "implicit" else None)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_trusted_certificate_opens_a_session_and_messages_go_through_it(kind: Tls, tmp_path: Path) -> None:
    taken: list[tuple[bool, str | None]] = []
    limits = SinkOptions(tls=kind, require_tls=True, require_auth=True, username=USER, password=PASSWORD)
    async with Sink(limits, on_message=lambda message: taken.append((message.tls, message.user))) as sink:
        sink.write_ca(tmp_path / "ca.pem")
        server = Server(
            host="localhost" if sink.hosts == ["::1"] else sink.hosts[0],
            port=sink.port,
            tls=kind,
            ca_file=tmp_path / "ca.pem",
            username=USER,
            password=PASSWORD,
        )
        account = await deliver(server, submissions(25), options(max_connections=2, max_messages=4))
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert taken == [(True, USER)] * 25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["unknown authority", "wrong name", "expired", "self-signed", "system store"])
async def test_a_certificate_that_does_not_verify_opens_nothing(kind: Tls, fault: str, tmp_path: Path) -> None:
    certificates = issue(tmp_path, *(["mail.example.com"] if fault == "wrong name" else []))
    ca_file: Path | None = certificates.ca_file
    other = trustme.CA()
    if fault == "unknown authority":
        other.cert_pem.write_to_path(certificates.ca_file)
    elif fault == "expired":
        past = dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=2)
        old = other.issue_cert("127.0.0.1", not_before=past, not_after=past + dt.timedelta(days=1))
        certificates.cert_file.write_bytes(b"".join(part.bytes() for part in old.cert_chain_pems))
        old.private_key_pem.write_to_path(certificates.key_file)
        other.cert_pem.write_to_path(certificates.ca_file)
    elif fault == "self-signed":
        other.cert_pem.write_to_path(certificates.cert_file)
        other.private_key_pem.write_to_path(certificates.key_file)
    elif fault == "system store":
        ca_file = None
    async with serve(kind, certificates) as peer:
        error = await refusal(Server(host=peer.host, port=peer.port, tls=kind, ca_file=ca_file), peer)
    assert "the certificate is not trusted: " in error.message
    assert error.failure.lasting
    assert error.remedy is not None
    assert "ca_file" in error.remedy
    commands = [command for connection in peer.connections for command in connection.commands]
    assert commands == ([] if kind == "implicit" else [*commands[:1], b"STARTTLS"])


def lax(context: ssl.SSLContext) -> ssl.SSLContext:
    """A context that would speak the old versions, too, as one does where OpenSSL is configured so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("kind", KINDS)
async def test_old_versions_of_tls_are_not_spoken(kind: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where this machine's OpenSSL would speak them: what refuses them is ours."""
    certificates = issue(tmp_path)
    context = lax(certificates.server_context())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    strict = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **given: lax(strict(**given)))
    async with ScriptedServer(script_for(kind, context), tls=context if kind == "implicit" else None) as peer:
        await refusal(Server(host=peer.host, port=peer.port, tls=kind, ca_file=certificates.ca_file), peer)
    commands = [command for connection in peer.connections for command in connection.commands]
    assert commands == ([] if kind == "implicit" else [*commands[:1], b"STARTTLS"])


@pytest.mark.parametrize(
    ("answer", "lasting"),
    [
        ("454 4.7.0 TLS not available now", False),
        ("502 5.5.1 not implemented", True),
        ("554 5.7.3 no", True),
    ],
)
async def test_starttls_refused_ends_it(answer: str, *, lasting: bool) -> None:
    script: list[Step] = [*OFFERS_STARTTLS, Expect("STARTTLS"), reply(answer), ReadToEnd()]
    async with ScriptedServer(script) as peer:
        error = await refusal(Server(host=peer.host, port=peer.port, username=USER, password=PASSWORD), peer)
    assert error.failure.stage is Stage.STARTTLS
    assert answer in error.message
    assert error.failure.lasting is lasting
    assert not any(command.startswith((b"AUTH", b"MAIL")) for command in peer.connections[0].commands)


async def test_starttls_not_offered_ends_it_and_no_credential_is_sent() -> None:
    script: list[Step] = [reply("220 ready"), Expect("EHLO"), reply("250-x", "250 AUTH PLAIN LOGIN"), ReadToEnd()]
    async with ScriptedServer(script) as peer:
        error = await refusal(Server(host=peer.host, port=peer.port, username=USER, password=PASSWORD), peer)
    assert error.failure.stage is Stage.STARTTLS
    assert error.failure.lasting
    assert "does not offer STARTTLS" in error.message
    assert all(command.startswith((b"EHLO", b"QUIT", b"STARTTLS")) for command in peer.connections[0].commands)


async def test_ehlo_refused_before_starttls_is_no_way_round_it() -> None:
    script: list[Step] = [reply("220 ready"), Expect("EHLO"), reply("502 what?"), ReadToEnd()]
    async with ScriptedServer(script) as peer:
        error = await refusal(Server(host=peer.host, port=peer.port, username=USER, password=PASSWORD), peer)
    assert error.failure.stage is Stage.EHLO
    assert not any(command.startswith((b"AUTH", b"MAIL")) for command in peer.connections[0].commands)


async def test_what_was_slipped_in_behind_the_220_is_not_heard_as_encrypted(tmp_path: Path) -> None:
    """RFC 3207 §6, CVE-2011-0411: an injected reply must not become the answer to the encrypted EHLO."""
    certificates = issue(tmp_path)
    script: list[Step] = [
        *OFFERS_STARTTLS,
        Expect("STARTTLS"),
        Send(b"220 go ahead\r\n250-evil\r\n250 SIZE 666\r\n"),
        StartTls(certificates.server_context()),
        *(Expect("EHLO"), reply("250-x", "250 SIZE 1000"), ReadToEnd()),
    ]
    async with ScriptedServer(script) as peer:
        server = Server(host=peer.host, port=peer.port, ca_file=certificates.ca_file)
        try:
            opened = await open_session(server)
        except ConnectError as error:
            assert error.failure.stage in {Stage.STARTTLS, Stage.EHLO}  # noqa: PT017 - both ways are safe
        else:
            opened.transport.abort()
            assert opened.extensions.size == 1000
        await peer.ended(1)


async def test_the_extensions_are_those_of_the_encrypted_session(tmp_path: Path) -> None:
    certificates = issue(tmp_path)
    script: list[Step] = [
        *(reply("220 ready"), Expect("EHLO"), reply("250-x", "250-CHUNKING", "250-SIZE 5", "250 STARTTLS")),
        *(Expect("STARTTLS"), reply("220 go"), StartTls(certificates.server_context())),
        *(Expect("EHLO"), reply("250-x", "250 PIPELINING"), ReadToEnd()),
    ]
    async with ScriptedServer(script) as peer:
        opened = await open_session(Server(host=peer.host, port=peer.port, ca_file=certificates.ca_file))
        opened.transport.abort()
    assert opened.extensions.pipelining
    assert not opened.extensions.chunking
    assert opened.extensions.size is None


async def test_a_server_that_hangs_up_in_the_handshake(tmp_path: Path) -> None:
    script: list[Step] = [*OFFERS_STARTTLS, Expect("STARTTLS"), reply("220 go"), Close()]
    async with ScriptedServer(script) as peer:
        error = await refusal(Server(host=peer.host, port=peer.port), peer)
    assert error.failure.stage is Stage.STARTTLS
    assert not error.failure.lasting


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (b"250 taken\r\n", Outcome.ACCEPTED),
        (b"250 tak", Outcome.IN_DOUBT),
        (b"250-taken\r\n", Outcome.IN_DOUBT),
        (b"", Outcome.IN_DOUBT),
    ],
)
async def test_a_reply_that_was_cut_off_without_a_close_notify_is_none(
    kind: Tls, said: bytes, outcome: Outcome, tmp_path: Path
) -> None:
    """RFC 8446 §6.1: without the alert nobody knows whether that was all, and anybody on the way can end TCP."""
    certificates = issue(tmp_path)
    *opening, _ = script_for(kind, certificates.server_context())
    dialogue: list[Step] = [
        Expect("MAIL"),
        reply("250 ok"),
        Expect("RCPT"),
        reply("250 ok"),
        Expect("DATA"),
        reply("354 go"),
    ]
    script: list[Step] = [*opening, *dialogue, ReadContent(), Send(said), CutOff(), ReadToEnd()]
    context = certificates.server_context()
    async with ScriptedServer(script, tls=context if kind == "implicit" else None) as peer:
        server = Server(host=peer.host, port=peer.port, tls=kind, ca_file=certificates.ca_file)
        account = await deliver(server, submissions(1), options())
    assert account.outcomes == {1: outcome}


async def test_a_session_that_was_turned_away_leaves_nothing_to_those_after_it(tmp_path: Path) -> None:
    """Its server takes no part in the end of TLS: neither its connection nor what watches it waits for that."""
    certificates = issue(tmp_path)
    *opening, _, _ = script_for("starttls", certificates.server_context())
    turned_away: list[Step] = [
        *opening,
        reply("502 no"),
        Expect("HELO"),
        reply("554 no service here"),
        StopReading(),
        Silence(),
    ]
    async with ScriptedServer(*[turned_away] * 3) as peer:
        for _ in range(3):
            with pytest.raises(ConnectError, match="no service here"):
                await open_session(Server(host=peer.host, port=peer.port, ca_file=certificates.ca_file))
        peer.release()


async def test_plaintext_where_tls_is_expected_says_what_to_check() -> None:
    async with ScriptedServer([reply("220 ready"), ReadToEnd()]) as peer:
        error = await refusal(Server(host=peer.host, port=peer.port, tls="implicit"), peer)
    assert error.remedy is not None
    assert "tls in [server]" in error.remedy


async def test_tls_where_plaintext_is_expected_ends_in_time(tmp_path: Path) -> None:
    """A port that speaks TLS from the start sends no greeting: the time-out of the greeting is what ends it."""
    certificates = issue(tmp_path)
    async with ScriptedServer([ReadToEnd()], tls=certificates.server_context()) as peer:
        server = Server(host=peer.host, port=peer.port, tls="starttls")
        with anyio.fail_after(GUARD), pytest.raises(ConnectError) as caught:
            await Connector(server, options(greeting=0.2).timeouts).open()
    assert caught.value.failure.stage is Stage.GREETING


async def test_silence_in_the_handshake_is_ended_by_a_time_out() -> None:
    async with ScriptedServer([ReadToEnd()]) as peer:
        server = Server(host=peer.host, port=peer.port, tls="implicit")
        with anyio.fail_after(GUARD), pytest.raises(ConnectError, match="no answer"):
            await Connector(server, options(greeting=0.2, connect=0.2).timeouts).open()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_verifying_context_may_be_given_instead(kind: Tls) -> None:
    async with Sink(SinkOptions(tls=kind)) as sink:
        server = Server(host=sink.hosts[0], port=sink.port, tls=kind)
        opened = await Connector(server, options().timeouts, sink.client_context()).open()
        opened.transport.abort()
    assert opened.extensions.pipelining
