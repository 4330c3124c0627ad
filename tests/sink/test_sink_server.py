"""The sink over real loopback sockets, with clients that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import mailbox
import re
import shutil
import smtplib
import socket
import ssl
from email.message import EmailMessage
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from batchsend import Server, Timeouts
from batchsend.delivery.connector import ConnectError, Connector
from batchsend.errors import UsageError
from batchsend.sink import Received, Sink, SinkOptions, Tls, parse_rule

SMTP_SOURCE = shutil.which("smtp-source", path="/usr/sbin:/usr/bin:/usr/local/sbin")
GROUP = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<%b>\r\nDATA\r\n"


async def read_replies(reader: asyncio.StreamReader, number: int) -> list[bytes]:
    """Return the code of each of so many replies."""
    codes: list[bytes] = []
    while len(codes) < number:
        line = await reader.readline()
        assert line.endswith(b"\r\n"), "the connection ended before its replies"
        if line[3:4] == b" ":
            codes.append(line[:3])
    return codes


def send_by_smtplib(sink: Sink, message: EmailMessage, *, login: bool = False) -> None:
    context = sink.client_context() if sink.ca_pem else None
    if sink.options.tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", sink.port, context=context, timeout=20)
    else:
        client = smtplib.SMTP("localhost", sink.port, timeout=20)
    with client:
        if sink.options.tls == "starttls":
            client.starttls(context=context)
        if login:
            client.login("user", "secret")
        client.send_message(message)


def make_message(*recipients: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "a@example.com"
    message["To"] = ", ".join(recipients)
    message["Subject"] = "Dots"
    message.set_content(".\n..\n.text\n")
    return message


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
async def test_smtplib_delivers_over_verified_tls_with_authentication(tls: Tls) -> None:
    messages: list[Received] = []
    options = SinkOptions(
        tls=tls,
        require_tls=tls != "none",
        require_auth=True,
        username="user",
        password="secret",
    )
    message = make_message("b@example.org", "c@example.org")
    async with Sink(options, on_message=messages.append) as sink:
        await to_thread.run_sync(lambda: send_by_smtplib(sink, message, login=True))
        counts = sink.counts
    (received,) = messages
    assert received.content.endswith(b"\r\n\r\n.\r\n..\r\n.text\r\n")
    assert (received.tls, received.user) == (tls != "none", "user")
    assert received.recipients == ["b@example.org", "c@example.org"]
    assert (counts.connections, counts.sessions, counts.messages, counts.errors) == (1, 1, 1, 0)


async def test_the_certificate_names_loopback_and_is_verified_by_its_authority_alone(tmp_path: Path) -> None:
    async with Sink(SinkOptions(tls="implicit")) as sink:
        sink.write_ca(tmp_path / "ca.pem")
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        for name in ("localhost", "127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection("127.0.0.1", sink.port, ssl=context, server_hostname=name)
            assert await read_replies(reader, 1) == [b"220"]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        for name, trusting in (("example.com", context), ("localhost", ssl.create_default_context())):
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", sink.port, ssl=trusting, server_hostname=name)


async def test_clear_text_behind_starttls_ends_the_connection() -> None:
    async with Sink(SinkOptions(tls="starttls")) as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(b"EHLO x\r\nSTARTTLS\r\nEHLO y\r\n")
        assert await read_replies(reader, 3) == [b"220", b"250", b"220"]
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert sink.counts.commands == 2


async def test_it_ends_at_once_where_a_client_has_just_rejected_its_certificate() -> None:
    with anyio.fail_after(20):
        async with Sink(SinkOptions(tls="starttls")) as sink:
            with pytest.raises(ConnectError, match="certificate"):
                await Connector(Server(host="127.0.0.1", port=sink.port), Timeouts()).open()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_failed_handshake_costs_that_connection_and_nothing_else(
    tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    async with Sink(SinkOptions(tls=tls)) as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        if tls == "starttls":
            writer.write(b"EHLO x\r\nSTARTTLS\r\n")
            assert await read_replies(reader, 3) == [b"220", b"250", b"220"]
        writer.write(b"MAIL FROM:<> in place of a handshake\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        await to_thread.run_sync(lambda: send_by_smtplib(sink, make_message("b@example.org")))
    assert sink.counts.messages == 1
    assert not caplog.records


async def test_pipelined_messages_of_many_connections_all_arrive() -> None:
    messages: list[Received] = []
    each, connections = 50, 20

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        contents = [b"%d-%d\r\n" % (number, n) for n in range(each)]
        groups = [GROUP % b"b@example.org" + content + b".\r\n" for content in contents]
        writer.write(b"EHLO x\r\n" + b"".join(groups) + b"QUIT\r\n")
        codes = await read_replies(reader, 2 + each * 4 + 1)
        assert codes == [b"220", b"250", *[b"250", b"250", b"354", b"250"] * each, b"221"]
        writer.close()
        await writer.wait_closed()

    async with Sink(on_message=messages.append) as sink, anyio.create_task_group() as group:
        for number in range(connections):
            group.start_soon(client, number)
    wanted = {b"%d-%d\r\n" % (number, n) for number in range(connections) for n in range(each)}
    assert {message.content for message in messages} == wanted
    assert len(messages) == sink.counts.messages == each * connections


async def test_a_client_that_does_not_read_is_not_read_from() -> None:
    """A flood whose replies nobody reads comes to a halt, and goes on when somebody does."""
    flood, times = b"NOOP\r\n" * 10_000, 60
    async with Sink() as sink:
        with socket.create_connection(("127.0.0.1", sink.port)) as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            loop = asyncio.get_running_loop()
            sending = asyncio.ensure_future(loop.sock_sendall(client, flood * times))
            while not sink.blocked:  # noqa: ASYNC110 - nobody else needs an event of it
                await asyncio.sleep(0)
            for _ in range(10 * times):
                # Ten times the turns that reading all of it would take.
                await asyncio.sleep(0)
            assert sink.counts.commands < 10_000 * times
            size = len(b"250 2.0.0 Ok\r\n") * 10_000 * times
            while size > 0:
                size -= len(await loop.sock_recv(client, 1 << 20))
            await sending
            assert sink.counts.commands == 10_000 * times


@pytest.mark.slow
async def test_what_was_read_is_answered_only_as_far_as_it_is_taken() -> None:
    """Of some kilobytes of EHLO the replies are megabytes: they are not made while nobody reads them."""
    times = 60_000
    async with Sink() as sink:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", sink.port))
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            sending = asyncio.ensure_future(loop.sock_sendall(client, b"EHLO x\r\n" * times))
            while not sink.blocked:  # noqa: ASYNC110 - nobody else needs an event of it
                await asyncio.sleep(0)
            carried_out = sink.counts.commands
            for _ in range(1000):
                await asyncio.sleep(0)
            assert sink.counts.commands == carried_out
            taken, rest = 0, b""
            while taken < times:
                *whole, rest = (rest + await loop.sock_recv(client, 1 << 20)).split(b"250 ENHANCEDSTATUSCODES\r\n")
                taken += len(whole)
            await sending
    assert sink.counts.commands == times


async def test_a_delay_holds_back_one_session_and_no_other() -> None:
    """A session that is delayed for hours does not keep another from finishing, nor the sink from closing."""
    async with Sink(SinkOptions(rules=(parse_rule("delay", "*@slow.example=600m"),))) as sink:
        slow_reader, slow_writer = await asyncio.open_connection("127.0.0.1", sink.port)
        slow_writer.write(b"EHLO x\r\n" + GROUP % b"b@slow.example" + b".\r\nQUIT\r\n")
        assert await read_replies(slow_reader, 3) == [b"220", b"250", b"250"]
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(b"EHLO x\r\n" + GROUP % b"b@example.org" + b".\r\nQUIT\r\n")
        assert await read_replies(reader, 7) == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
        writer.close()
    assert (sink.counts.messages, sink.counts.delayed) == (1, 1)
    slow_writer.close()


async def test_after_a_delay_the_session_goes_on_in_order() -> None:
    async with Sink(SinkOptions(rules=(parse_rule("delay", "*@slow.example=10ms"),))) as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(b"EHLO x\r\n" + GROUP % b"b@slow.example" + b".\r\nQUIT\r\n")
        assert await read_replies(reader, 7) == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
        writer.close()
        await writer.wait_closed()
    assert sink.counts.messages == 1


async def test_a_drop_ends_the_connection_without_a_reply_and_without_the_message() -> None:
    async with Sink(SinkOptions(rules=(parse_rule("drop", "*@gone.example=content"),))) as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        writer.write(b"EHLO x\r\n" + GROUP % b"b@gone.example" + b".\r\n")
        assert await read_replies(reader, 5) == [b"220", b"250", b"250", b"250", b"354"]
        assert await reader.read() == b""
        writer.close()
        assert (sink.counts.dropped, sink.counts.messages) == (1, 0)


@pytest.mark.parametrize("options", [SinkOptions(idle_timeout=0.05), SinkOptions(session_timeout=0.05)])
async def test_a_silent_session_is_ended_with_421(options: SinkOptions) -> None:
    with anyio.fail_after(30):
        async with Sink(options) as sink:
            reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
            assert await read_replies(reader, 2) == [b"220", b"421"]
            assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize("tls", [False, True])
async def test_leaving_ends_open_sessions_with_421_and_frees_the_port(tls: bool) -> None:
    async with Sink(SinkOptions(tls="implicit" if tls else "none")) as sink:
        context = sink.client_context() if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", sink.port, ssl=context, server_hostname="localhost" if tls else None
        )
        assert await read_replies(reader, 1) == [b"220"]
    assert await read_replies(reader, 1) == [b"421"]
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", sink.port)


async def test_cancelling_leaves_in_good_order() -> None:
    with anyio.CancelScope() as scope:
        async with Sink() as sink:
            reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
            assert await read_replies(reader, 1) == [b"220"]
            scope.cancel()
            await anyio.sleep_forever()
    assert await read_replies(reader, 1) == [b"421"]
    writer.close()


async def test_a_name_with_several_addresses_is_served_at_each_on_one_port() -> None:
    async with Sink(SinkOptions(host="localhost")) as sink:
        assert sink.hosts
        for host in sink.hosts:
            reader, writer = await asyncio.open_connection(host, sink.port)
            assert await read_replies(reader, 1) == [b"220"]
            writer.close()


async def test_an_address_that_cannot_be_had_is_an_error_with_a_remedy() -> None:
    async with Sink() as sink:
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {sink.port}") as raised:
            await Sink(SinkOptions(port=sink.port)).__aenter__()
        assert raised.value.remedy


async def test_a_maildir_holds_what_was_accepted_as_it_was_received(tmp_path: Path) -> None:
    maildir = tmp_path / "mail" / "dir"
    options = SinkOptions(maildir=maildir, rules=(parse_rule("reject", "*@bounce.example=content"),))
    async with Sink(options) as sink:
        message = make_message("b@example.org", "c@example.org")
        await to_thread.run_sync(lambda: send_by_smtplib(sink, message))
        with pytest.raises(smtplib.SMTPDataError):
            await to_thread.run_sync(lambda: send_by_smtplib(sink, make_message("x@bounce.example")))
    (path,) = (maildir / "new").iterdir()
    assert not list((maildir / "tmp").iterdir())
    stored = path.read_bytes()
    trace = b"Return-Path: <a@example.com>\r\nDelivered-To: b@example.org\r\nDelivered-To: c@example.org\r\n"
    assert stored.startswith(trace + b"From: a@example.com\r\n")
    assert stored.endswith(b"\r\n\r\n.\r\n..\r\n.text\r\n")
    assert path.stat().st_mode & 0o077 == 0 or (maildir.stat().st_mode & 0o077) == 0
    (readable,) = mailbox.Maildir(maildir, create=False)
    assert readable["Subject"] == "Dots"


async def test_a_maildir_that_cannot_be_written_refuses_the_message_for_now(tmp_path: Path) -> None:
    maildir = tmp_path / "maildir"
    async with Sink(SinkOptions(maildir=maildir)) as sink:
        shutil.rmtree(maildir / "tmp")
        with pytest.raises(smtplib.SMTPDataError) as raised:
            await to_thread.run_sync(lambda: send_by_smtplib(sink, make_message("b@example.org")))
    assert raised.value.smtp_code == 452
    assert sink.counts.messages == 0


async def test_a_maildir_that_is_a_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="maildir") as raised:
        await Sink(SinkOptions(maildir=tmp_path / "file")).__aenter__()
    assert raised.value.remedy


@pytest.mark.servers
@pytest.mark.skipif(SMTP_SOURCE is None, reason="Postfix's smtp-source is not installed")
@pytest.mark.parametrize("flags", [[], ["-d"]], ids=["connection per message", "connections kept"])
async def test_smtp_source_delivers_every_message(flags: list[str]) -> None:
    """Postfix's own load generator, an independent client, finds nothing to complain about."""
    sizes: list[int] = []
    async with Sink(on_message=lambda message: sizes.append(len(message.content))) as sink:
        command = [str(SMTP_SOURCE), *flags, "-s", "10", "-m", "200", "-l", "2000", "-f", "a@example.com"]
        process = await anyio.run_process([*command, "-t", "b@example.org", f"127.0.0.1:{sink.port}"], check=False)
        assert (process.returncode, process.stderr) == (0, b"")
    assert len(sizes) == sink.counts.messages == 200
    assert min(sizes) >= 2000
    assert sink.counts.errors == 0


def test_nothing_of_the_protocol_imports_input_or_output() -> None:
    """The session's modules know octets only; the connection and the server are where sockets and files begin."""
    package = Path(__file__).parents[2] / "batchsend" / "sink"
    inputs_and_outputs = {"asyncio", "anyio", "socket", "ssl", "time", "os"}
    for name in ("session", "commands", "state", "grammar", "authentication", "rules", "options"):
        source = (package / f"{name}.py").read_text()
        assert not inputs_and_outputs & set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
