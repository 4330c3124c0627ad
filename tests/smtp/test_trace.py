"""A trace is a transcript: without secrets and contents, whichever way the octets came, and it can be played again."""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import re
import smtplib
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from batchsend import Delivery, Sender, Server, Submission
from batchsend.campaign import Timeouts
from batchsend.campaign.values import Secret
from batchsend.delivery.connector import ConnectError, Connector
from batchsend.errors import UsageError
from batchsend.message.submission import Envelope
from batchsend.outcome import Outcome
from batchsend.sink import Sink, SinkOptions, parse_rule
from batchsend.trace import Side, Trace, log, sections
from tests.smtp.dialogue import read
from tests.smtp.test_transcripts import check_end, play
from tests.tools.scripted import ScriptedServer
from tests.tools.transcript import parse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable
    from pathlib import Path

    from batchsend.outcome import DeliveryResult
    from batchsend.sink.options import Tls

SECRETS = (b"\0user\0hunter2", b"user", b"hunter2")
PLAIN, USER, PASSWORD = (base64.b64encode(secret) for secret in SECRETS)

Said = tuple[str, bytes]


def traced(folder: Path, *said: Said, side: Side = "client", pieces: bool = False) -> str:
    """What one session's trace says of octets from the client (C) and from the server (S)."""
    path = folder / f"trace-{side}-{pieces}"
    ticks = itertools.count()
    with Trace(path, side=side, clock=lambda: next(ticks) / 1000) as trace:
        session = trace.session(7, "mail.example.com:587")
        for who, octets in said:
            take = session.sent if (who == "C") == (side == "client") else session.received
            for piece in [octets[place : place + 1] for place in range(len(octets))] if pieces else [octets]:
                take(piece)
        session.close("the connection was lost")
    return path.read_text()


def lines(text: str) -> list[str]:
    """A trace without its times and blank lines."""
    return [line for line in text.splitlines() if line and not (line.startswith("# ") and line.endswith(" s"))]


WHOLE: tuple[Said, ...] = (
    ("S", b"220 mail.example.com ESMTP\r\n"),
    ("C", b"EHLO client.example.com\r\n"),
    ("S", b"250-mail.example.com\r\n250 AUTH PLAIN LOGIN\r\n"),
    ("C", b"AUTH LOGIN\r\n"),
    ("S", b"334 VXNlcm5hbWU6\r\n"),
    ("C", USER + b"\r\n"),
    ("S", b"334 UGFzc3dvcmQ6\r\n"),
    ("C", PASSWORD + b"\r\n"),
    ("S", b"235 2.7.0 Ok\r\n"),
    ("C", b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"),
    ("S", b"250 Ok\r\n250 Ok\r\n354 Go on\r\n"),
    ("C", b"Subject: secret\r\n\r\n..\r\nMAIL FROM:<x@example.net>\r\n.\r\nMAIL FROM:<>\r\n"),
    ("S", b"250 Ok\r\n250 caf\xc3\xa9\r\n"),
    ("C", b"RCPT TO:<c@example.org>\r\nBDAT 9 LAST\r\nAUTH me\r\nQUIT\r\n"),
    ("S", b"250 \x1b[31m\r\n250 <close>\r\n221 By"),
)
SHOWN = [
    "# session 7, with mail.example.com:587",
    "S: 220 mail.example.com ESMTP",
    "C: EHLO client.example.com",
    "S: 250-mail.example.com",
    "S: 250 AUTH PLAIN LOGIN",
    "C: AUTH LOGIN",
    "S: 334 VXNlcm5hbWU6",
    "# the answer to the challenge is left out",
    "C:",
    "S: 334 UGFzc3dvcmQ6",
    "# the answer to the challenge is left out",
    "C:",
    "S: 235 2.7.0 Ok",
    "C: MAIL FROM:<a@example.com>",
    "C: RCPT TO:<b@example.org>",
    "C: DATA",
    "S: 250 Ok",
    "S: 250 Ok",
    "S: 354 Go on",
    "C: <content 50>",
    "C: MAIL FROM:<>",
    "S: 250 Ok",
    "S: 250 café",
    "C: RCPT TO:<c@example.org>",
    "C: BDAT 9 LAST",
    "C: <octets 9>",
    "C: QUIT",
    "S> 250 \\x1b[31m\\r\\n",
    "S: 250 <close>",
    "S> 221 By",
    "# the connection was lost",
]


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_session_is_written_without_secrets_and_contents(tmp_path: Path, side: Side, pieces: bool) -> None:
    assert lines(traced(tmp_path, *WHOLE, side=side, pieces=pieces)) == SHOWN


def test_a_line_of_the_servers_that_means_something_in_a_script_is_escaped(tmp_path: Path) -> None:
    assert lines(traced(tmp_path, ("S", b"<close>\r\n")))[1] == "S> <close>\\r\\n"


@pytest.mark.parametrize(
    "command",
    [
        b"AUTH PLAIN " + PLAIN,
        b"auth  plain " + PLAIN,
        b" AUTH PLAIN " + PLAIN,
        b"AUTH PLAIN\t" + PLAIN,
        b"AUTH\tPLAIN " + PLAIN,
        b"AUTH " + PLAIN,
        b"AUTH PLAIN " + PLAIN + b"\r" + PLAIN,
    ],
)
@pytest.mark.parametrize("reply", [b"334 \r\n", b"334-\r\n334 \r\n", b"", b"334"])
@pytest.mark.parametrize("pieces", [False, True])
def test_no_secret_is_in_a_trace(tmp_path: Path, command: bytes, reply: bytes, pieces: bool) -> None:
    said = ("C", command + b"\r\n"), ("S", reply), ("C", PASSWORD + b"\r\n" + USER)
    text = traced(tmp_path, *said, pieces=pieces)
    assert not [secret for secret in (PLAIN, USER, PASSWORD) if secret.decode() in text]


def test_content_is_not_in_a_trace_although_it_did_not_wait_for_its_354(tmp_path: Path) -> None:
    said = ("C", b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nprivate\r\n.\r\nQUIT\r\n"), ("S", b"250 Ok\r\n")
    assert "private" not in traced(tmp_path / "", *said)
    (tmp_path / "trace-client-False").unlink()
    answered = lines(traced(tmp_path, *said, ("S", b"250 Ok\r\n354 Go on\r\n")))
    assert answered[-3:-1] == ["C: <content 9>", "C: QUIT"]


def test_a_refused_data_has_no_content(tmp_path: Path) -> None:
    said = ("C", b"DATA\r\n"), ("S", b"554 No\r\n"), ("C", b"RSET\r\n"), ("S", b"250 Ok\r\n")
    assert lines(traced(tmp_path, *said))[1:5] == ["C: DATA", "S: 554 No", "C: RSET", "S: 250 Ok"]


def test_a_trace_is_private_and_never_written_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with Trace(path) as trace:
        trace.next_session("mail.example.com:587").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="File exists"):
        Trace(path)


def test_a_trace_of_no_session_is_not_in_the_way_of_the_next_attempt(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    Trace(path).close()
    assert not path.exists()


def test_a_trace_that_cannot_be_written_says_so_and_goes_on(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with Trace(full) as trace:
        session = trace.session(1)
        session.sent(b"EHLO x\r\n")
        session.close()
    assert trace.error == "the trace is not whole: No space left on device"
    assert trace.error in caplog.text


def test_sessions_do_not_mix_and_a_long_one_is_written_before_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with Trace(path) as trace:
        long, short = trace.session(1), trace.session(2)
        for number in range(9000):
            long.sent(b"NOOP %d\r\n" % number)
            short.received(b"250 Ok\r\n" if not number else b"")
            if number == 8500:
                assert "NOOP 3000" in path.read_text()
        long.close()
        long.close("again")
        long.sent(b"after its end\r\n")
    text = path.read_text()
    assert "# session 1, continued" in text
    assert "after its end" not in text
    found = sections(text)
    assert [line[3:] for line in found[1].splitlines() if line.startswith("C:")] == [f"NOOP {n}" for n in range(9000)]
    assert lines(found[2]) == ["# session 2", "S: 250 Ok", "# the trace ends here"]


def test_the_loggers_say_nothing_unless_they_are_asked(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a handler of its own Python's last resort prints warnings on standard error."""
    assert any(isinstance(handler, logging.NullHandler) for handler in log.handlers)
    assert logging.getLogger("batchsend.smtp").parent is log


def test_the_sink_tells_the_logger_of_its_connections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "batchsend.smtp"):
        send(tmp_path, 1, {})
    told = [record.getMessage() for record in caplog.records if record.name == "batchsend.smtp"]
    assert [line.partition(" has ")[2] for line in told if line.startswith("sink: ")] == ["connected", "ended: closed"]


def test_the_client_tells_the_loggers_of_its_sessions_and_of_what_the_user_should_know(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "batchsend"):
        send(tmp_path, 1, {"chunking": False}, depth=4)
    told = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    told = [(name, level, re.sub(r"127\.0\.0\.1:\d+", "HOST", text)) for name, level, text in told]
    assert [line for line in told if not line[2].startswith("sink: ")] == [
        ("batchsend.smtp", "DEBUG", "HOST: a session is open"),
        ("batchsend", "WARNING", "HOST offers no CHUNKING with PIPELINING: depth = 4 is taken as 1"),
        ("batchsend.smtp", "DEBUG", "session 1 with HOST: 100 messages at most"),
        ("batchsend.smtp", "DEBUG", "session 1 with HOST has ended: all its messages are answered"),
    ]


def send(folder: Path, count: int, options: dict[str, Any], *, side: Side = "server", **delivery: Any) -> str:
    """Send so many messages by one session to a sink that refuses the second recipient; return the session's trace."""
    path = folder / "trace"

    async def main() -> None:
        with Trace(path, side=side) as trace:
            at_the_sink, at_the_sender = (trace, None) if side == "server" else (None, trace)
            rules = (parse_rule("reject", "2@*"),)
            async with Sink(SinkOptions(rules=rules, **options), trace=at_the_sink) as sink:
                tls: Tls = options.get("tls", "none")
                context = None if tls == "none" else sink.client_context()
                server = Server(
                    host="127.0.0.1", port=sink.port, tls=tls, username=Secret("user"), password=Secret("hunter2")
                )
                one = Delivery(max_connections=1, **delivery)
                async with Sender(server, delivery=one, context=context, trace=at_the_sender) as sender:
                    async for _ in sender.send(messages(count)):
                        pass

    asyncio.run(main())
    (text,) = sections(path.read_text()).values()
    return text


def messages(count: int) -> Iterable[Submission]:
    for number in range(1, count + 1):
        envelope = Envelope("sender@example.org", f"{number}@example.com")
        yield Submission(record=number, envelope=envelope, content=b"Hello %d\r\n.dot\r\n" % number, message_id=None)


def test_what_is_said_over_tls_stands_in_clear_behind_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "trace"

    def client(port: int, context: ssl.SSLContext) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example.com", timeout=20) as connection:
            connection.starttls(context=context)
            connection.login("user", "hunter2")

    async def main() -> None:
        with Trace(path, side="server") as trace:
            async with Sink(SinkOptions(tls="starttls"), trace=trace) as sink:
                await asyncio.to_thread(client, sink.port, sink.client_context())

    asyncio.run(main())
    said = [line for line in lines(path.read_text()) if not line.startswith(("S: 250", "#"))]
    assert said == [
        "S: 220 localhost ESMTP batchsend sink",
        "C: ehlo client.example.com",
        "C: STARTTLS",
        "S: 220 2.0.0 Ready to start TLS",
        "S: <starttls>",
        "C: ehlo client.example.com",
        "C: AUTH PLAIN",
        "S: 235 2.7.0 Authentication successful",
        "C: QUIT",
        "S: 221 2.0.0 Bye",
    ]


@pytest.mark.parametrize(
    ("options", "delivery"),
    [
        ({}, {}),
        ({"chunking": False}, {}),
        ({"pipelining": False}, {}),
        ({"hostname": "relay.example"}, {"depth": 3}),
        ({"tls": "starttls"}, {}),
        ({"tls": "implicit"}, {}),
    ],
    ids=["chunking", "pipelining", "lockstep", "depth 3", "starttls", "implicit TLS"],
)
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("octet_by_octet", [False, True])
def test_a_trace_of_a_session_is_a_transcript(
    tmp_path: Path, options: dict[str, Any], delivery: dict[str, Any], side: Side, octet_by_octet: bool
) -> None:
    text = send(tmp_path, 4, options, side=side, **delivery)
    assert text.count("S: <starttls>") == ("tls" in options)
    assert "C: QUIT" in text
    assert "C: AUTH" in text
    assert "hunter2" not in text
    assert "Hello" not in text
    copied = tmp_path / "copied.txt"
    dispositions = "disposition: 1 answered 250 at content\ndisposition: 2 answered 550 at rcpt\n" + "".join(
        f"disposition: {number} answered 250 at content\n" for number in (3, 4)
    )
    copied.write_text(f"{text}\n{dispositions}error: none\nunconfirmed: 0\nstate: closed\n")
    dialogue = read(copied)
    assert dialogue.messages == [1, 2, 3, 4]
    check_end(play(dialogue, octet_by_octet=octet_by_octet), dialogue)


def test_a_trace_is_a_script_for_a_server(tmp_path: Path) -> None:
    """What a relay said once, the scripted server says again."""
    script = parse(send(tmp_path, 2, {}))

    async def main() -> list[int | None]:
        async with ScriptedServer(script) as server:
            relay = Server(
                host="127.0.0.1", port=server.port, tls="none", username=Secret("other"), password=Secret("another")
            )
            async with Sender(relay, delivery=Delivery(max_connections=1)) as sender:
                return [result.code async for result in sender.send(messages(2))]

    assert asyncio.run(main()) == [250, 550]


FAILING = """\
S: 220 relay.example ESMTP
C: EHLO
S: 250-relay.example
S: 250 PIPELINING
C: MAIL FROM:<sender@example.org>
C: RCPT TO:<1@example.com>
C: DATA
S: 250 Ok
S: 250 Ok
S: 354 Go on
C: <content>
S: 354 Go on
C: <end>
"""


def test_the_clients_trace_of_a_session_that_failed_is_a_transcript_of_the_failure(tmp_path: Path) -> None:
    """A user's trouble becomes a test by copying the session's section, and saying what must become of its messages."""
    path = tmp_path / "trace"

    async def main() -> list[DeliveryResult]:
        with Trace(path) as trace:
            async with ScriptedServer(parse(FAILING)) as server:
                relay = Server(host="127.0.0.1", port=server.port, tls="none")
                async with Sender(relay, delivery=Delivery(max_connections=1), trace=trace) as sender:
                    return [result async for result in sender.send(messages(1))]

    (result,) = asyncio.run(main())
    assert result.status is Outcome.IN_DOUBT
    text = path.read_text()
    assert f"# session {result.session} of the results log" in text
    assert f"# {result.reason}" in text
    copied = tmp_path / "copied.txt"
    end = "disposition: 1 in doubt at content\nerror: the reply to the content was 354\nunconfirmed: 0\nstate: closed\n"
    copied.write_text(f"{text}\n{end}")
    dialogue = read(copied)
    check_end(play(dialogue, octet_by_octet=False), dialogue)


async def failed_opening(folder: Path, server: Server) -> list[str]:
    """Trace an attempt to open a session, which fails; return the trace's lines."""
    with Trace(folder / "trace") as trace:
        with pytest.raises(ConnectError) as caught:
            await Connector(server, Timeouts(), trace=trace).open()
        told = lines((folder / "trace").read_text())
    assert told[-1] == f"# {caught.value.failure.what}"
    return told


async def test_a_session_that_could_not_be_opened_is_in_the_trace_with_what_was_said(tmp_path: Path) -> None:
    script = parse(
        "S: 220 relay.example\nC: EHLO\nS: 250-relay.example\nS: 250 AUTH PLAIN\nC: AUTH\nS: 535 5.7.8 No\nC: <end>\n"
    )
    async with ScriptedServer(script) as peer:
        relay = Server(
            host="127.0.0.1",
            port=peer.port,
            tls="none",
            ehlo_name="client.example.com",
            username=Secret("user"),
            password=Secret("hunter2"),
        )
        told = await failed_opening(tmp_path, relay)
    assert told[:-1] == [
        f"# session 1, with 127.0.0.1:{peer.port}",
        "S: 220 relay.example",
        "C: EHLO client.example.com",
        "S: 250-relay.example",
        "S: 250 AUTH PLAIN",
        "# what follows is left out",
        "C: AUTH PLAIN",
        "S: 535 5.7.8 No",
    ]


async def test_a_connection_that_could_not_be_made_is_in_the_trace(tmp_path: Path) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        told = await failed_opening(tmp_path, Server(host="127.0.0.1", port=port, tls="none"))
    assert told == [f"# session 1, with 127.0.0.1:{port}", "# cannot connect: Connection refused"]


async def test_a_certificate_that_does_not_verify_is_in_the_trace(tmp_path: Path) -> None:
    async with Sink(SinkOptions(tls="starttls")) as sink:
        told = await failed_opening(tmp_path, Server(host="127.0.0.1", port=sink.port, tls="starttls"))
    assert told[-3:-1] == ["C: STARTTLS", "S: 220 2.0.0 Ready to start TLS"]
