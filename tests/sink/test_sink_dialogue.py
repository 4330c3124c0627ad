"""The sink's replies to dialogues, from octets to octets."""

from __future__ import annotations

import base64

import pytest

from batchsend.errors import UsageError
from batchsend.room import Room
from batchsend.sink import Counts, Received, SinkOptions, parse_rule
from batchsend.sink.session import AUTH_LINE_LIMIT, LINE_LIMIT, ServerSession
from batchsend.sink.state import Close, Pause, ServerStep, StartTls

OPEN = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"


class Wire:
    """A session after its greeting and EHLO, and what came out of it."""

    def __init__(self, options: SinkOptions | None = None, *, ehlo: bool = True, room: Room | None = None) -> None:
        self.counts = Counts()
        self.messages: list[Received] = []
        self.session = ServerSession(options or SinkOptions(), self.counts, self.messages.append, room=room)
        self.session.greet()
        if ehlo:
            self.session.receive(b"EHLO client.example.com\r\n")

    def steps(self, octets: bytes) -> list[ServerStep]:
        return self.session.receive(octets)

    def codes(self, octets: bytes) -> list[str]:
        """Send octets; return the code of each reply, and ``closed`` where the connection ends."""
        codes = []
        for step in self.steps(octets):
            if isinstance(step, bytes):
                codes += [line[:3].decode() for line in step.split(b"\r\n") if line[3:4] == b" "]
            elif isinstance(step, Close):
                codes.append("closed")
        return codes


def test_ehlo_offers_what_the_options_say() -> None:
    def offered(options: SinkOptions) -> set[bytes]:
        (reply,) = Wire(options, ehlo=False).steps(b"EHLO x\r\n")
        assert isinstance(reply, bytes)
        return {line[4:] for line in reply.splitlines()}

    everything = offered(SinkOptions())
    assert {b"PIPELINING", b"CHUNKING", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES"} < everything
    assert {b"SIZE 52428800", b"AUTH PLAIN LOGIN"} < everything
    assert b"STARTTLS" not in everything
    little = SinkOptions(
        pipelining=False, chunking=False, smtputf8=False, eight_bit_mime=False, max_size=9, tls="starttls"
    )
    assert offered(little) == {b"localhost", b"SIZE 9", b"STARTTLS", b"ENHANCEDSTATUSCODES"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"FROB", "500"),
        (b"NOOP", "250"),
        (b"noop anything at all", "250"),
        (b"VRFY someone", "252"),
        (b"VRFY", "501"),
        (b"HELP", "214"),
        (b"RSET", "250"),
        (b"RSET now", "501"),
        (b"EHLO", "501"),
        (b"DATA", "503"),
        (b"DATA x", "501"),
        (b"RCPT TO:<b@example.org>", "503"),
        (b"STARTTLS", "502"),
        (b"MAIL FROM:<>", "250"),
        (b"mail from:<a@example.com> size=1 body=8bitmime", "250"),
        (b"MAIL FROM:<a@example.com>  ", "250"),
        (b'MAIL FROM:<"a b>c"@example.com>', "250"),
        (b"MAIL FROM:<@relay.example,@other.example:a@example.com>", "250"),
        (b"MAIL FROM:<a@[127.0.0.1]>", "250"),
        (b"MAIL FROM:a@example.com", "501"),
        (b"MAIL FROM: <a@example.com>", "501"),
        (b"MAIL FROM:<a@example.com", "501"),
        (b"MAIL FROM:<a@example.com>x", "501"),
        (b"MAIL FROM:<a..b@example.com>", "501"),
        (b"MAIL FROM:<a@-example.com>", "501"),
        (b"MAIL FROM:<a@example.com> SIZE=x", "501"),
        (b"MAIL FROM:<a@example.com> SIZE=1 SIZE=1", "501"),
        (b"MAIL FROM:<a@example.com> BODY=BINARYMIME", "504"),
        (b"MAIL FROM:<a@example.com> SIZE=52428801", "552"),
        (b"MAIL FROM:<a@example.com> FROB=1", "555"),
        (b"MAIL FROM:<" + b"l" * 65 + b"@example.com>", "501"),
        (b"MAIL FROM:<a@" + b"d." * 126 + b"example>", "501"),
        ("MAIL FROM:<é@example.com>".encode(), "553"),
        ("MAIL FROM:<é@example.com> SMTPUTF8".encode(), "250"),
        (b"MAIL FROM:<\xff@example.com> SMTPUTF8", "501"),
        (b"MAIL FROM:<a@example.com>\nRCPT TO:<b@example.org>", "500"),
        (b"AUTH FROB", "504"),
        (b"QUIT now", "501"),
    ],
)
def test_a_command_gets_its_code(line: bytes, code: str) -> None:
    assert Wire().codes(line + b"\r\n") == [code]


def test_commands_out_of_sequence_are_503() -> None:
    wire = Wire(ehlo=False)
    assert wire.codes(b"MAIL FROM:<a@example.com>\r\n") == ["503"]
    assert wire.codes(b"EHLO x\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n") == ["250", "250", "503", "503"]
    assert wire.codes(b"RSET\r\nMAIL FROM:<>\r\nEHLO x\r\nMAIL FROM:<>\r\n") == ["250"] * 4


def test_data_without_a_valid_recipient_is_554_and_the_transaction_stays() -> None:
    wire = Wire()
    assert wire.codes(b"MAIL FROM:<>\r\nRCPT TO:<nobody>\r\nDATA\r\nMAIL FROM:<>\r\n") == ["250", "501", "554", "503"]
    assert wire.codes(b"RSET\r\nMAIL FROM:<>\r\n") == ["250", "250"]


def test_postmaster_needs_no_domain() -> None:
    wire = Wire()
    assert wire.codes(b"MAIL FROM:<>\r\nRCPT TO:<PostMaster>\r\nDATA\r\n.\r\n") == ["250", "250", "354", "250"]
    assert wire.messages[0].recipients == ["PostMaster"]


def test_quit_ends_the_session_and_what_follows_is_ignored() -> None:
    assert Wire().codes(b"QUIT\r\nNOOP\r\n") == ["221", "closed"]


def test_lines_have_limits_and_the_session_survives_them() -> None:
    wire = Wire()
    longest = b"NOOP " + b"x" * (LINE_LIMIT - 7)
    assert wire.codes(longest + b"\r\n" + longest + b"x\r\nNOOP\r\n") == ["250", "500", "250"]
    for _ in range(100):
        assert wire.codes(b"x" * 65536) == []
    assert wire.codes(b"\r") == []
    assert wire.codes(b"\nNOOP\r\n") == ["500", "250"]
    assert wire.codes(b"AUTH PLAIN " + b"A" * AUTH_LINE_LIMIT + b"\r\n") == ["500"]


@pytest.mark.parametrize(
    ("wire_form", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...a\r\n..\r\n..b\r\nc.\r\n.\r\n", b"..a\r\n.\r\n.b\r\nc.\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
        (b"a\n.\r\nMAIL FROM:<x@example.net>\r\n.\r\n", b"a\n.\r\nMAIL FROM:<x@example.net>\r\n"),
        (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n"),
        (b"a\r\n.\nb\r\n.\rc\r\n.\r\n", b"a\r\n\nb\r\n\rc\r\n"),
    ],
)
def test_content_ends_at_crlf_dot_crlf_only_and_dots_are_unstuffed(wire_form: bytes, content: bytes) -> None:
    for pieces in ([wire_form], [bytes([octet]) for octet in wire_form]):
        wire = Wire()
        assert wire.codes(OPEN + b"DATA\r\n") == ["250", "250", "354"]
        assert [code for piece in pieces for code in wire.codes(piece)] == ["250"]
        assert [message.content for message in wire.messages] == [content]
        assert wire.codes(b"NOOP\r\n") == ["250"]


def test_a_message_carries_its_envelope_parameters_and_session() -> None:
    wire = Wire()
    wire.codes("MAIL FROM:<ä@example.com> SMTPUTF8 SIZE=3\r\nRCPT TO:<b@example.org>\r\n".encode())
    wire.codes("RCPT TO:<@relay.example:ç@example.net>\r\nDATA\r\nx\r\n.\r\n".encode())
    assert wire.messages == [
        Received(
            session=1,
            reverse_path="ä@example.com",
            recipients=["b@example.org", "ç@example.net"],
            content=b"x\r\n",
            parameters={"SMTPUTF8": None, "SIZE": "3"},
            tls=False,
            user=None,
        )
    ]
    assert (wire.counts.messages, wire.counts.recipients, wire.counts.octets) == (1, 2, 3)


@pytest.mark.parametrize("chunking", [False, True])
@pytest.mark.parametrize("pieces", [False, True])
def test_the_size_limit_is_exact_and_stuffed_dots_do_not_count(chunking: bool, pieces: bool) -> None:
    for content, code in ((b".234\r\n.890\r\n", "250"), (b".234\r\n.8901\r\n", "552")):
        wire = Wire(SinkOptions(max_size=12))
        wire.codes(OPEN)
        if chunking:
            octets = b"BDAT %d LAST\r\n" % len(content) + content
        else:
            assert wire.codes(b"DATA\r\n") == ["354"]
            octets = b"." + content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        codes = [code for octet in octets for code in wire.codes(bytes([octet]))] if pieces else wire.codes(octets)
        assert codes == [code]
        assert [message.content for message in wire.messages] == [content] * (code == "250")
        assert wire.codes(OPEN) == ["250", "250"]


def test_chunks_are_content_whatever_they_look_like() -> None:
    wire = Wire()
    chunks = b"BDAT 12\r\n.\r\nQUIT\r\n.\r\nBDAT 0\r\nbdat 3 last\r\n..\nBDAT 1\r\nxNOOP\r\n"
    assert wire.codes(OPEN + chunks) == ["250", "250", "250", "250", "250", "503", "250"]
    assert [message.content for message in wire.messages] == [b".\r\nQUIT\r\n.\r\n..\n"]


def test_chunks_of_a_refused_recipient_are_read_discarded_and_refused() -> None:
    wire = Wire(SinkOptions(rules=(parse_rule("reject", "*@bounce.example"),)))
    refused = b"MAIL FROM:<>\r\nRCPT TO:<x@bounce.example>\r\nBDAT 6 LAST\r\nQUIT\r\n"
    accepted = b"MAIL FROM:<>\r\nRCPT TO:<x@example.org>\r\nBDAT 6 LAST\r\nQUIT\r\n"
    assert wire.codes(refused + accepted) == ["250", "550", "554", "250", "250", "250"]
    assert wire.codes(b"BDAT 6 LAST\r\nQUIT\r\n") == ["503"]
    assert len(wire.messages) == 1
    assert wire.counts.rejected == 1


def test_after_a_refused_chunk_the_message_is_lost_up_to_its_last_chunk() -> None:
    wire = Wire(SinkOptions(max_size=5))
    chunks = b"BDAT 6\r\n123456BDAT 1\r\n7BDAT 1 LAST\r\n8"
    assert wire.codes(OPEN + chunks) == ["250", "250", "552", "503", "503"]
    assert wire.codes(OPEN + b"BDAT 1 LAST\r\n9") == ["250", "250", "250"]
    assert [message.content for message in wire.messages] == [b"9"]


def test_data_and_bdat_do_not_mix() -> None:
    wire = Wire()
    assert wire.codes(OPEN + b"BDAT 1\r\nxDATA\r\nRCPT TO:<c@example.org>\r\n") == ["250", "250", "250", "503", "503"]


def test_content_whose_length_is_not_known_ends_the_session() -> None:
    assert Wire().codes(OPEN + b"BDAT x LAST\r\nQUIT\r\n") == ["250", "250", "501", "closed"]
    wire = Wire(SinkOptions(chunking=False))
    assert wire.codes(OPEN + b"BDAT 6 LAST\r\nQUIT\r\n") == ["250", "250", "502", "closed"]


def test_a_message_that_cannot_be_kept_is_not_accepted() -> None:
    def full(message: Received) -> None:
        raise OSError(28, "No space left on device")

    counts = Counts()
    session = ServerSession(SinkOptions(), counts, full)
    session.receive(b"EHLO x\r\n" + OPEN + b"DATA\r\n")
    (reply,) = session.receive(b".\r\n")
    assert isinstance(reply, bytes)
    assert reply.startswith(b"452 4.3.1 ")
    assert (counts.messages, counts.errors) == (0, 1)


@pytest.mark.parametrize("chunking", [False, True])
def test_messages_on_their_way_share_the_room_that_there_is(*, chunking: bool) -> None:
    room = Room(10_000)
    first, other = Wire(room=room), Wire(room=room)
    begin = OPEN + (b"BDAT 8004 LAST\r\n" if chunking else b"DATA\r\n")
    end = b"xx\r\n" if chunking else b"xx\r\n.\r\n"
    first.steps(begin)
    assert first.codes(b"x" * 8000) == []
    other.steps(begin)
    assert other.codes(b"x" * 8000 + end) == ["452"]
    assert first.codes(end) == ["250"]
    assert other.codes(begin + b"x" * 8000 + end)[-1] == "250", "and the session has gone on"
    assert [len(message.content) for wire in (first, other) for message in wire.messages] == [8004, 8004]
    assert room.free == 10_000


def test_a_chunk_for_which_there_is_no_room_is_refused_at_once() -> None:
    wire = Wire(room=Room(1000))
    assert wire.codes(OPEN + b"BDAT 2000\r\n" + b"x" * 2000 + b"BDAT 0 LAST\r\n") == ["250", "250", "452", "503"]


def test_a_piece_of_a_message_takes_more_room_than_its_octets() -> None:
    """It takes more memory as well: by one octet at a time a client would have many times what there is room for."""
    wire = Wire(room=Room(1000))
    wire.steps(OPEN + b"BDAT 30 LAST\r\n")
    assert [code for _ in range(30) for code in wire.codes(b"x")] == ["452"]


def test_who_asks_for_very_much_at_once_has_to_take_it_bit_by_bit() -> None:
    """A reply to EHLO is many times as long as the command: what is owed at a time has a bound."""
    wire = Wire()
    steps = wire.steps(b"EHLO x\r\n" * 5000 + b"QUIT\r\n")
    octets = b""
    while steps[-1] == Pause(0.0):
        said, _ = steps
        assert isinstance(said, bytes)
        assert len(said) < 300_000
        octets += said
        steps = wire.session.resume()
    said, end = steps[0], steps[-1]
    assert isinstance(said, bytes)
    assert len(said) < 300_000
    assert isinstance(end, Close)
    assert (octets + said).count(b"\r\n250 ") == 5000
    assert said.endswith(b"221 2.0.0 Bye\r\n")


def test_what_is_given_up_needs_no_room_any_more() -> None:
    room = Room(1000)
    wire = Wire(room=room)
    for left in (b"RSET\r\n", b"EHLO client.example.com\r\n", b"BDAT 600 LAST\r\n" + b"x" * 600):
        wire.steps(OPEN + b"BDAT 500\r\n" + b"x" * 500)
        assert room.free < 500
        wire.steps(left)
        assert room.free == 1000
    wire.steps(OPEN + b"DATA\r\n" + b"x" * 500)
    assert room.free < 600
    wire.session.lost()
    assert room.free == 1000


def test_the_session_limit_is_answered_421_and_closed() -> None:
    wire = Wire(SinkOptions(max_messages=2))
    whole = OPEN + b"BDAT 1 LAST\r\nx"
    assert wire.codes(whole * 3) == ["250"] * 6 + ["421", "closed"]
    assert len(wire.messages) == 2


def test_rules_act_at_their_stage_and_the_first_match_wins() -> None:
    rules = (
        parse_rule("reject", "full@a.example=552 5.2.2 Mailbox full"),
        parse_rule("defer", "*@a.example"),
        parse_rule("reject", "*@b.example=content 554 5.7.1 Spam"),
        parse_rule("defer", "*@c.example=content"),
        parse_rule("drop", "*@d.example=content"),
        parse_rule("defer", "*@e.example=421 4.3.2 Going down"),
    )
    wire = Wire(SinkOptions(rules=rules))
    ((step),) = wire.steps(b"MAIL FROM:<>\r\nRCPT TO:<full@a.example>\r\nRCPT TO:<x@a.example>\r\n")
    assert isinstance(step, bytes)
    assert b"552 5.2.2 Mailbox full\r\n450 4.2.1 " in step
    content = b"RCPT TO:<x@%b.example>\r\nDATA\r\n.\r\n"
    assert wire.codes(b"RCPT TO:<x@example.org>\r\n" + content % b"b") == ["250", "250", "354", "554"]
    assert wire.codes(b"MAIL FROM:<>\r\n" + content % b"c") == ["250", "250", "354", "451"]
    assert wire.codes(b"MAIL FROM:<>\r\n" + content % b"d") == ["250", "250", "354", "closed"]
    counts = wire.counts
    assert (counts.rejected, counts.deferred, counts.dropped, counts.messages) == (3, 2, 1, 0)
    assert wire.messages == []
    assert Wire(SinkOptions(rules=rules)).codes(b"MAIL FROM:<>\r\nRCPT TO:<x@e.example>\r\n") == [
        "250",
        "421",
        "closed",
    ]


def test_a_delay_holds_its_reply_and_everything_after_it() -> None:
    wire = Wire(SinkOptions(rules=(parse_rule("delay", "*@slow.example=2s"), parse_rule("delay", "c*=content 3s"))))
    steps = wire.steps(b"MAIL FROM:<>\r\nRCPT TO:<c@slow.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n")
    assert steps == [b"250 2.1.0 Ok\r\n", Pause(2.0)]
    assert wire.steps(b".\r\nNOOP\r\n") == []
    resumed = wire.session.resume()
    assert [step for step in resumed if not isinstance(step, bytes)] == [Pause(3.0)]
    assert isinstance(resumed[0], bytes)
    assert resumed[0].startswith(b"250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n354 ")
    assert wire.session.resume() == [b"250 2.0.0 Ok: queued as 1\r\n250 2.0.0 Ok\r\n"]
    assert wire.counts.delayed == 2


def test_what_is_sent_behind_starttls_in_clear_is_never_obeyed() -> None:
    wire = Wire(SinkOptions(tls="starttls"))
    assert wire.codes(b"STARTTLS\r\nMAIL FROM:<>\r\n") == ["220", "closed"]
    wire = Wire(SinkOptions(tls="starttls"))
    assert wire.steps(b"STARTTLS\r\n")[-1] == StartTls()
    assert wire.steps(b"N") == [Close()]


def test_tls_forgets_what_was_said_before() -> None:
    wire = Wire(SinkOptions(tls="starttls"))
    assert wire.codes(OPEN + b"STARTTLS\r\n") == ["250", "250", "220"]
    wire.session.tls_started()
    assert wire.codes(b"MAIL FROM:<>\r\nDATA\r\nEHLO x\r\nSTARTTLS\r\n") == ["503", "503", "250", "503"]


def test_required_tls_and_authentication_are_required() -> None:
    wire = Wire(SinkOptions(tls="starttls", require_tls=True))
    assert wire.codes(b"MAIL FROM:<>\r\nAUTH PLAIN\r\nNOOP\r\nBDAT 6 LAST\r\nQUIT\r\n") == ["530", "530", "250", "530"]
    wire = Wire(SinkOptions(tls="starttls"))
    assert wire.codes(b"AUTH PLAIN\r\n") == ["538"]
    wire = Wire(SinkOptions(require_auth=True))
    assert wire.codes(OPEN) == ["530", "503"]
    assert wire.codes(b"AUTH PLAIN " + base64.b64encode(b"\0u\0p") + b"\r\n" + OPEN) == ["235", "250", "250"]


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ([b"AUTH PLAIN " + base64.b64encode(b"\0user\0secret")], ["235"]),
        ([b"auth plain", base64.b64encode(b"\0user\0secret")], ["334", "235"]),
        ([b"AUTH LOGIN", base64.b64encode(b"user"), base64.b64encode(b"secret")], ["334", "334", "235"]),
        ([b"AUTH LOGIN " + base64.b64encode(b"user"), base64.b64encode(b"secret")], ["334", "235"]),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0user\0wrong")], ["535"]),
        ([b"AUTH PLAIN " + base64.b64encode(b"\0other\0secret")], ["535"]),
        ([b"AUTH PLAIN ="], ["501"]),
        ([b"AUTH PLAIN !"], ["501"]),
        ([b"AUTH LOGIN", b"*", b"NOOP"], ["334", "501", "250"]),
        ([b"AUTH LOGIN", b"MAIL FROM:<>", b"NOOP"], ["334", "501", "250"]),
        ([b"AUTH LOGIN", b"A" * AUTH_LINE_LIMIT, b"NOOP"], ["334", "500", "250"]),
    ],
)
def test_authentication(lines: list[bytes], codes: list[str]) -> None:
    wire = Wire(SinkOptions(username="user", password="secret"))
    assert [code for line in lines for code in wire.codes(line + b"\r\n")] == codes
    assert wire.session.user == ("user" if codes[-1] == "235" else None)


def test_any_credentials_are_accepted_where_none_are_wanted() -> None:
    wire = Wire()
    assert wire.codes(b"AUTH PLAIN " + base64.b64encode("\0ü\0p".encode()) + b"\r\n" + OPEN) == ["235", "250", "250"]
    assert wire.codes(b"DATA\r\n.\r\nAUTH PLAIN\r\n") == ["354", "250", "503"]
    assert wire.messages[0].user == "ü"


def test_without_ehlo_there_are_no_extensions() -> None:
    wire = Wire(ehlo=False)
    assert wire.codes(b"HELO x\r\nMAIL FROM:<a@example.com> SIZE=1\r\nAUTH PLAIN\r\n") == ["250", "555", "503"]
    assert wire.codes(OPEN + b"DATA\r\n.\r\n") == ["250", "250", "354", "250"]


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="requires TLS"):
        SinkOptions(require_tls=True)
    with pytest.raises(UsageError, match="password"):
        SinkOptions(password="secret")
    with pytest.raises(UsageError, match="idle_timeout"):
        SinkOptions(idle_timeout=0.0)
    with pytest.raises(UsageError, match="the sink's max_held is 0"):
        SinkOptions(max_held=0)
    with pytest.raises(UsageError, match="session_timeout"):
        SinkOptions(session_timeout=0.0)
    with pytest.raises(UsageError, match="host name"):
        SinkOptions(hostname="x\r\n250 y")
