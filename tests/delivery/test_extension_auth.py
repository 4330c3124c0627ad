"""AUTH beyond passwords in base64: CRAM-MD5, and XOAUTH2 with a token from the file or from a program."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from batchsend.campaign import Secret, Server
from batchsend.delivery.connector import ConnectError, Connector, Opened
from batchsend.errors import RunError
from batchsend.outcome import Outcome, Stage
from tests.delivery.harness import GONE, GUARD, TAKEN, deliver, options, submissions
from tests.tools.scripted import ScriptedServer
from tests.tools.steps import Expect, ReadToEnd, Step, reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.listener import Listener

# The example of RFC 2195 §2.
TIM, SECRET = Secret("tim"), Secret("tanstaaftanstaaf")
CHALLENGE = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
DIGEST = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"

# The initial response that the mechanism's documentation gives for this user and token.
USER, TOKEN = Secret("someuser@example.com"), Secret("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
INITIAL = (
    b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2"
    b"cBAQ=="
)
# {"status":"401","schemes":"bearer"}: what a server says in a challenge before it refuses.
WHY = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode("ascii")

WELCOME: list[Step] = [reply("235 2.7.0 welcome")]


def offer(mechanisms: str) -> list[Step]:
    return [reply("220 ready"), Expect("EHLO"), reply("250-x", "250-PIPELINING", f"250 AUTH {mechanisms}")]


def xoauth2(listener: Listener, *, token: Secret | None = None, command: tuple[str, ...] | None = None) -> Server:
    return Server(host=listener.host, port=listener.port, tls="none", username=USER, token=token, token_command=command)


def crammd5(listener: Listener) -> Server:
    return Server(host=listener.host, port=listener.port, tls="none", username=TIM, password=SECRET)


def program(folder: Path, source: str) -> tuple[str, ...]:
    """A program in Python as a command."""
    (folder / "fetch.py").write_text(source)
    return (sys.executable, str(folder / "fetch.py"))


async def open_session(server: Server) -> Opened:
    with anyio.fail_after(GUARD):
        opened = await Connector(server, options().timeouts).open()
    opened.transport.abort()
    return opened


async def refusal(server: Server) -> ConnectError:
    """Open a session, which must fail at AUTH with an error that does not hold the secret."""
    with pytest.raises(ConnectError) as caught:
        await open_session(server)
    assert caught.value.failure.stage is Stage.AUTH
    assert "\n" not in caught.value.message
    for secret in (SECRET, TOKEN):
        assert secret not in str(caught.value)
    return caught.value


async def test_cram_md5_answers_the_challenge_and_never_sends_the_password() -> None:
    script = [*offer("LOGIN PLAIN CRAM-MD5"), Expect("AUTH CRAM-MD5"), reply(f"334 {CHALLENGE}"), Expect("")]
    async with ScriptedServer([*script, *WELCOME, ReadToEnd()]) as peer:
        await open_session(crammd5(peer))
    assert peer.connections[0].commands[1:] == [b"AUTH CRAM-MD5", DIGEST]
    sent = bytes(peer.connections[0].received)
    assert SECRET.encode() not in sent
    assert base64.b64encode(SECRET.encode()).rstrip(b"=") not in sent


async def test_cram_md5_refused_for_good_is_a_lasting_trouble() -> None:
    script = [*offer("CRAM-MD5"), Expect("AUTH"), reply(f"334 {CHALLENGE}"), Expect(""), reply("535 5.7.8 no")]
    async with ScriptedServer([*script, ReadToEnd()]) as peer:
        error = await refusal(crammd5(peer))
    assert error.failure.lasting
    assert "535 5.7.8 no" in error.message


async def test_a_challenge_that_is_none_opens_nothing() -> None:
    script = [*offer("CRAM-MD5"), Expect("AUTH"), reply("334 not base64!"), ReadToEnd()]
    async with ScriptedServer(script) as peer:
        await refusal(crammd5(peer))


async def test_xoauth2_sends_user_and_token_with_the_command() -> None:
    """To the octet, in one round trip; the mechanisms that want a password are left alone."""
    script = [*offer("LOGIN PLAIN XOAUTH2"), Expect("AUTH XOAUTH2"), *WELCOME, ReadToEnd()]
    async with ScriptedServer(script) as peer:
        await open_session(xoauth2(peer, token=TOKEN))
    assert peer.connections[0].commands[1:] == [b"AUTH XOAUTH2 " + INITIAL]
    assert base64.b64decode(INITIAL) == f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01".encode()


async def test_xoauth2_answers_the_challenge_that_says_why_with_an_empty_line() -> None:
    script = [*offer("XOAUTH2"), Expect("AUTH"), reply(f"334 {WHY}"), Expect(""), reply("535 5.7.8 expired")]
    async with ScriptedServer([*script, ReadToEnd()]) as peer:
        error = await refusal(xoauth2(peer, token=TOKEN))
    assert peer.connections[0].commands[2] == b""
    assert b"\r\n\r\n" in peer.connections[0].received
    assert "535 5.7.8 expired" in error.message
    assert error.failure.lasting


@pytest.mark.parametrize(("answer", "lasting"), [("535 5.7.8 no", True), ("454 4.7.0 try later", False)])
async def test_xoauth2_may_be_refused_at_once(answer: str, *, lasting: bool) -> None:
    async with ScriptedServer([*offer("XOAUTH2"), Expect("AUTH"), reply(answer), ReadToEnd()]) as peer:
        error = await refusal(xoauth2(peer, token=TOKEN))
    assert answer in error.message
    assert error.failure.lasting is lasting


async def test_what_a_refused_token_is_called() -> None:
    async with ScriptedServer([*offer("XOAUTH2"), Expect("AUTH"), reply("535 5.7.8 no"), ReadToEnd()]) as peer:
        assert (await refusal(xoauth2(peer, token=TOKEN))).remedy == "check username and token in [server]"


async def test_a_mechanism_that_is_not_offered_is_not_tried_and_what_is_offered_is_said() -> None:
    async with ScriptedServer([*offer("PLAIN LOGIN"), ReadToEnd()]) as peer:
        error = await refusal(xoauth2(peer, command=("/there/is/no/such/program",)))
    assert len(peer.connections[0].commands) == 1
    assert "token_command needs AUTH XOAUTH2, and the server offers PLAIN, LOGIN" in error.message
    assert error.remedy is not None
    assert "give a password in [server] instead of token_command" in error.remedy
    assert error.failure.lasting

    async with ScriptedServer([*offer("XOAUTH2 GSSAPI"), ReadToEnd()]) as peer:
        error = await refusal(crammd5(peer))
    assert "password needs AUTH CRAM-MD5 or PLAIN or LOGIN, and the server offers XOAUTH2, GSSAPI" in error.message
    assert error.remedy is not None
    assert "give token or token_command" in error.remedy


async def test_a_token_comes_from_a_program_that_is_asked_once_for_many_sessions(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    command = program(tmp_path, f"open({str(asked)!r}, 'a').write('x')\nprint({str(TOKEN)!r})")
    session = [*offer("XOAUTH2"), Expect("AUTH XOAUTH2"), *WELCOME, *TAKEN, *GONE]
    async with ScriptedServer(session) as peer:
        account = await deliver(xoauth2(peer, command=command), submissions(3), options(max_messages=1))
    assert set(account.outcomes.values()) == {Outcome.ACCEPTED}
    assert len(peer.connections) >= 3
    assert {connection.commands[1] for connection in peer.connections if len(connection.commands) > 1} == {
        b"AUTH XOAUTH2 " + INITIAL
    }
    assert asked.read_text() == "x"


async def test_a_program_gets_its_arguments_as_they_are(tmp_path: Path) -> None:
    command = program(tmp_path, "import sys\nprint(sys.argv[1])")
    async with ScriptedServer([*offer("XOAUTH2"), Expect("AUTH"), *WELCOME, ReadToEnd()]) as peer:
        await open_session(xoauth2(peer, command=(*command, "$(id) `id` ; *")))
    said = base64.b64decode(peer.connections[0].commands[1].split()[2])
    assert said == f"user={USER}\x01auth=Bearer $(id) `id` ; *\x01\x01".encode()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        pytest.param("import sys; sys.exit('first line\\nno such account')", "no such account", id="says-why"),
        pytest.param("import sys; print('token'); sys.exit(3)", "it ended with 3", id="fails-silently"),
        pytest.param("", "it ended with 0", id="says-nothing"),
        pytest.param("print('one\\ntwo')", "it ended with 0", id="two-lines"),
        pytest.param("print('to\\x01ken')", "it ended with 0", id="control-character"),
        pytest.param("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "it ended with 0", id="not-ascii"),
        pytest.param("import sys; sys.exit('\\x1b[31mred')", "it ended with 1", id="escape-sequence"),
    ],
)
async def test_a_program_that_gives_no_token_stops_the_run(tmp_path: Path, source: str, why: str) -> None:
    command = program(tmp_path, source)
    async with ScriptedServer([*offer("XOAUTH2"), ReadToEnd()]) as peer:
        account = await deliver(xoauth2(peer, command=command), submissions(3), options())
    assert isinstance(account.error, RunError)
    assert account.error.message == f"{sys.executable} gave no token: {why}"
    assert account.error.remedy is not None
    assert account.error.remedy.startswith("token_command in [server]")
    assert not any(b"AUTH" in connection.received for connection in peer.connections)


async def test_a_program_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    async with ScriptedServer([*offer("XOAUTH2"), ReadToEnd()]) as peer:
        account = await deliver(xoauth2(peer, command=(absent,)), submissions(1), options())
    assert account.error is not None
    assert account.error.message == f"{absent} cannot be run: No such file or directory"


def logged_in(peer: ScriptedServer) -> list[bytes]:
    """What was said as AUTH PLAIN in each session that came so far (RFC 4616)."""
    said = [connection.commands[1] for connection in peer.connections if len(connection.commands) > 1]
    return [base64.b64decode(command.split()[2]) for command in said]


async def test_a_password_comes_from_a_file_that_is_read_for_each_session(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first wörd\n")
    async with ScriptedServer([*offer("PLAIN"), Expect("AUTH"), *WELCOME, ReadToEnd()]) as peer:
        server = Server(host=peer.host, port=peer.port, tls="none", username="u", password_file=file)
        await open_session(server)
        file.write_text("second\n")
        await open_session(server)
        assert logged_in(peer) == ["\0u\0first wörd".encode(), b"\0u\0second"]


async def test_a_password_comes_from_a_program(tmp_path: Path) -> None:
    command = program(tmp_path, "print('pass word')")
    async with ScriptedServer([*offer("PLAIN"), Expect("AUTH"), *WELCOME, ReadToEnd()]) as peer:
        await open_session(Server(host=peer.host, port=peer.port, tls="none", username="u", password_command=command))
        assert logged_in(peer) == [b"\0u\0pass word"]


async def test_a_program_that_gives_no_password_stops_the_run(tmp_path: Path) -> None:
    command = program(tmp_path, "import sys; sys.exit('the vault is locked')")
    async with ScriptedServer([*offer("PLAIN"), ReadToEnd()]) as peer:
        server = Server(host=peer.host, port=peer.port, tls="none", username="u", password_command=command)
        account = await deliver(server, submissions(1), options())
    assert account.error is not None
    assert account.error.message == f"{sys.executable} gave no password: the vault is locked"
    assert account.error.remedy is not None
    assert account.error.remedy.startswith("password_command in [server]")


@pytest.mark.parametrize("octets", [None, b"", b"\n", b"hunter2\nhunter3\n", b"hunter\x00", b"hunter\xff", b"h" * 5000])
async def test_a_file_without_a_password_stops_the_run_and_is_not_shown(tmp_path: Path, octets: bytes | None) -> None:
    file = tmp_path / "secret"
    if octets is not None:
        file.write_bytes(octets)
    async with ScriptedServer([*offer("PLAIN"), ReadToEnd()]) as peer:
        server = Server(host=peer.host, port=peer.port, tls="none", username="u", password_file=file)
        account = await deliver(server, submissions(1), options())
    assert account.error is not None
    assert account.error.message.startswith(f"{file} ")
    assert "hunt" not in f"{account.error}"
    assert not any(b"AUTH" in connection.received for connection in peer.connections)
