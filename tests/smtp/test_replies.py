"""The reply parser (RFC 5321 §4.2): the strict grammar, however the octets arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.smtp.replies import MAX_LINE, MAX_REPLY, KnownReplies, Reply, ReplyParser

GOOD = [
    pytest.param(b"250 OK\r\n", [(250, b"OK")], id="code, space, text"),
    pytest.param(b"250\r\n", [(250, b"")], id="code alone"),
    pytest.param(b"250 \r\n", [(250, b"")], id="code and space"),
    pytest.param(b"250-\r\n250 \r\n", [(250, b"\n")], id="two lines without text"),
    pytest.param(b"250-a\r\n250-b\r\n250 c\r\n", [(250, b"a\nb\nc")], id="three lines"),
    pytest.param(b"250-a\r\n250\r\n", [(250, b"a\n")], id="the last line is a code alone"),
    pytest.param(b"250  two\r\n", [(250, b" two")], id="only one space separates"),
    pytest.param(b"200 a\r\n599 b\r\n", [(200, b"a"), (599, b"b")], id="the lowest and the highest code"),
    pytest.param(b"250 a\r\n354 b\r\n221 c\r\n", [(250, b"a"), (354, b"b"), (221, b"c")], id="three replies"),
    pytest.param(b"550-a\r\n550 b\r\n250 c\r\n", [(550, b"a\nb"), (250, b"c")], id="one line after many"),
    pytest.param(b"250 250-x\r\n", [(250, b"250-x")], id="what looks like a code is text"),
    pytest.param(b"250 a\rb\r\n", [(250, b"a\rb")], id="a bare CR ends nothing"),
    pytest.param(b"250 a\r\r\n", [(250, b"a\r")], id="CR before CRLF"),
    pytest.param(b"250 \xff\x00\r\n", [(250, b"\xff\x00")], id="any octet may be text"),
    pytest.param(b"550-a\r\n553 b\r\n", [(553, b"a\nb")], id="of two refusals the last one"),
    pytest.param(b"450-a\r\n550 b\r\n", [(450, b"a\nb")], id="of two kinds of refusal the one for now, first"),
    pytest.param(
        b"550-a\r\n451-b\r\n554 c\r\n", [(451, b"a\nb\nc")], id="of two kinds of refusal the one for now, later"
    ),
    pytest.param(
        b"450-a\r\n503 b\r\n", [(450, b"a\nb")], id="of two kinds of refusal the one for now, whatever the other"
    ),
    pytest.param(b"400-a\r\n451 b\r\n", [(451, b"a\nb")], id="of two refusals for now the last one"),
    pytest.param(b"503-a\r\n504 b\r\n", [(504, b"a\nb")], id="of two refusals for good the last one"),
    pytest.param(b"250", [], id="nothing is complete yet"),
    pytest.param(b"250 a\r", [], id="CR without LF yet"),
]

BAD = [
    pytest.param(b"\r\n", "not a reply", id="an empty line"),
    pytest.param(b"25 a\r\n", "not a reply", id="two digits"),
    pytest.param(b"2500 a\r\n", "not a reply", id="four digits"),
    pytest.param(b"abc d\r\n", "not a reply", id="letters"),
    pytest.param(b"199 a\r\n", "not a reply", id="1yz"),
    pytest.param(b"600 a\r\n", "not a reply", id="6yz"),
    pytest.param(b"000 a\r\n", "not a reply", id="000"),
    pytest.param(b" 250 a\r\n", "not a reply", id="a leading space"),
    pytest.param(b"+25 a\r\n", "not a reply", id="a sign that int() would take"),
    pytest.param(b"2_5 a\r\n", "not a reply", id="an underscore that int() would take"),
    pytest.param("\u0662\u0665\u0660 a\r\n".encode(), "not a reply", id="digits that are not ASCII"),
    pytest.param(b"250\ta\r\n", "not a reply", id="tab for the separator"),
    pytest.param(b"250_a\r\n", "not a reply", id="another separator"),
    pytest.param(b"250\x00\r\n", "not a reply", id="NUL for the separator"),
    pytest.param(b"HTTP/1.1 400 Bad Request\r\n", "not a reply", id="another protocol"),
    pytest.param(b"250-a\r\n550 b\r\n", "two codes, 250 and 550", id="mixed codes"),
    pytest.param(b"550-a\r\n250 b\r\n", "two codes, 550 and 250", id="a refusal that is none"),
    pytest.param(b"250-a\r\n251-b\r\n", "two codes, 250 and 251", id="mixed codes of one class"),
    pytest.param(b"250 a\n", "bare LF", id="bare LF"),
    pytest.param(b"250 a\nb\r\n", "bare LF", id="bare LF within a line"),
    pytest.param(b"250-a\n250 b\r\n", "bare LF", id="bare LF between the lines of a reply"),
    pytest.param(b"250-a\r\nxyz\r\n", "not a reply", id="garbage within a reply"),
    pytest.param(b"250 " + b"a" * (MAX_LINE - 3) + b"\r\n", "line is longer", id="a line of one octet too many"),
    pytest.param(b"a" * (MAX_LINE + 2), "line is longer", id="an endless line of garbage"),
]


def parsed(*segments: bytes) -> tuple[list[Reply], str | None]:
    """Return the replies in the segments, and the parser's error."""
    parser = ReplyParser()
    return [reply for segment in segments for reply in parser.feed(segment)], parser.error


def test_what_a_server_says_in_each_session_is_read_once() -> None:
    known = KnownReplies()
    segments = [
        b"250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"250 queued as 1\r\n250 Ok\r\n250 Ok\r\n354 Go on\r\n",
        b"250 Ok\r\n221 Bye\r\n",
    ]
    sessions = [ReplyParser(known) for _ in range(2)]
    first, second = ([reply for segment in segments for reply in parser.feed(segment)] for parser in sessions)
    assert first == second == parsed(*segments)[0]
    assert all(one is other for one, other in zip(first, second, strict=True) if b"queued" not in one.raw)


def test_what_is_never_the_same_leaves_room_for_what_the_next_session_hears() -> None:
    known = KnownReplies()
    noisy = ReplyParser(known)
    for number in range(100):
        noisy.feed(b"250 Ok\r\n250 <%d@example.com>\r\n" % number)
    segment = b"250 Ok\r\n221 Bye\r\n"
    first, second = (ReplyParser(known).feed(segment) for _ in range(2))
    assert first == second == [(250, b"Ok"), (221, b"Bye")]
    assert all(one is other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(("stream", "error"), BAD)
def test_replies_that_are_known_do_not_hide_what_the_grammar_does_not_allow(stream: bytes, error: str) -> None:
    known = KnownReplies()
    for segments in ([b"250 a\r\n", b"250 a\r\n250 a\r\n", b"250 a\r\n" + stream], [b"250 a\r\n", stream]):
        parser = ReplyParser(known)
        assert [reply for segment in segments for reply in parser.feed(segment)] == parsed(*segments)[0]
        assert parser.error is not None
        assert error in parser.error


def octets(stream: bytes) -> list[bytes]:
    """Return the stream octet by octet."""
    return [stream[i : i + 1] for i in range(len(stream))]


@pytest.mark.parametrize(("stream", "expected"), GOOD)
def test_what_the_grammar_allows_is_read(stream: bytes, expected: list[tuple[int, bytes]]) -> None:
    assert parsed(stream) == (expected, None)
    assert parsed(*octets(stream)) == (expected, None)


@pytest.mark.parametrize(("stream", "error"), BAD)
def test_what_the_grammar_does_not_allow_ends_the_reading(stream: bytes, error: str) -> None:
    """The replies before it count; it and everything after it do not."""
    before, after = b"250 before\r\n", b"\r\n250 after\r\n"
    for segments in ([before + stream + after], octets(before + stream + after), [before, stream, after]):
        replies, found = parsed(*segments)
        assert replies == [(250, b"before")]
        assert found is not None
        assert error in found


def test_the_longest_line_is_read() -> None:
    stream = b"250 " + b"a" * (MAX_LINE - 4) + b"\r\n"
    assert parsed(stream) == parsed(*octets(stream)) == ([(250, b"a" * (MAX_LINE - 4))], None)


@pytest.mark.parametrize("excess", [0, 1])
def test_the_longest_reply_is_read_and_one_octet_more_is_not(excess: int) -> None:
    """The limit counts the octets of the lines; a reply that never ends is cut off there."""
    stream = b"250-" + b"a" * (MAX_LINE - 4) + b"\r\n"
    rest = MAX_REPLY - 3 * MAX_LINE
    stream = stream * 3 + b"250-" + b"b" * (rest - 4 - 100) + b"\r\n250 " + b"c" * (96 + excess) + b"\r\n"
    for segments in ([stream], octets(stream)):
        replies, error = parsed(*segments)
        if excess:
            assert replies == []
            assert error == f"a reply is longer than {MAX_REPLY} octets"
        else:
            assert [reply.code for reply in replies] == [250]
            assert error is None


def test_one_long_reply_leaves_room_for_the_next() -> None:
    long = b"250-" + b"a" * 8000 + b"\r\n"
    stream = (long * 4 + b"250 end\r\n") * 3
    replies, error = parsed(stream)
    assert [reply.code for reply in replies] == [250] * 3
    assert error is None


def test_an_endless_reply_takes_bounded_memory() -> None:
    parser = ReplyParser()
    fed = 0
    while parser.error is None:
        assert parser.feed(b"250-x\r\n") == []
        fed += 5
        assert fed <= MAX_REPLY + 5
    assert "longer" in parser.error


ENHANCED = [
    (250, b"2.0.0 Ok: queued as 4F2", "2.0.0"),
    (550, b"5.1.1 <a@example.com>: unknown", "5.1.1"),
    (451, b"4.7.1", "4.7.1"),
    (550, b"5.999.123 x", "5.999.123"),
    (550, b"5.1.1 first\n5.2.2 second", "5.1.1"),
    (550, b"first\n5.1.1 second", None),
    (250, b"5.1.1 not of this class", None),
    (550, b"4.2.0 not of this class", None),
    (451, b"5.7.1 not of this class", None),
    (354, b"3.0.0 no such class", None),
    (354, b"2.0.0 no such class for 3yz", None),
    (550, b"5.1.1: a colon", None),
    (550, b"5.1.1234 x", None),
    (550, b"5.1 x", None),
    (550, b"5..1 x", None),
    (550, b" 5.1.1 x", None),
    (550, b"15.1.1 x", None),
    (550, "5.\u0661.1 x".encode(), None),
    (250, b"", None),
]


@pytest.mark.parametrize(("code", "raw", "expected"), ENHANCED)
def test_an_enhanced_code_is_believed_only_where_its_class_fits(code: int, raw: bytes, expected: str | None) -> None:
    """RFC 2034 §4: the class is the first digit of the code; RFC 3463 §2: three numbers, the last two of 1-3 digits."""
    assert Reply(code, raw).enhanced == expected


TEXTS = [
    (b"2.0.0 Ok", "2.0.0 Ok"),
    (b"first\nsecond", "first\nsecond"),
    ("grüß 日本".encode(), "grüß 日本"),
    (b"\x1b[2Jgone", r"\x1b[2Jgone"),
    (b"a\x00b\x07c", r"a\x00b\x07c"),
    (b"a\rb", r"a\rb"),
    (b"a\tb", r"a\tb"),
    (b"\x7f", r"\x7f"),
    (b"\xff\xfe", r"\xff\xfe"),
    (b"\xed\xa0\x80", r"\xed\xa0\x80"),
    ("a\u009bb".encode(), r"a\x9bb"),
    ("a\u202eb".encode(), r"a\u202eb"),
    ("a\u2028b".encode(), r"a\u2028b"),
    ("a\u0085b".encode(), r"a\x85b"),
]


@pytest.mark.parametrize(("raw", "text"), TEXTS)
def test_control_characters_and_invalid_utf8_are_escaped(raw: bytes, text: str) -> None:
    assert Reply(550, raw).text == text


@given(st.binary())
@example(b"\n" * 3)
@settings(deadline=None)
def test_any_text_is_printable_on_one_line(raw: bytes) -> None:
    reply = Reply(550, raw)
    assert all(line.isprintable() for line in reply.text.split("\n"))
    assert str(reply).isprintable()


# Streams that are mostly right, so that errors come late and the long way is taken, too.
lines = st.one_of(
    st.tuples(
        st.sampled_from([b"250", b"251", b"354", b"421", b"550"]),
        st.sampled_from([b" ", b"-", b"-", b"", b"\t"]),
        st.sampled_from([b"", b"ok", b"2.0.0 ok", b"\xff\x00", b"a\rb", b"a\nb", b"x" * 5000, b"y" * (MAX_LINE - 4)]),
        st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b"a\r\n"]),
    ).map(b"".join),
    st.binary(max_size=8),
    st.sampled_from([b"z" * MAX_LINE, b"z" * (MAX_LINE + 1), b"\r\n"]),
)
streams = st.lists(lines, max_size=12).map(b"".join)


@given(streams, st.lists(st.integers(min_value=0, max_value=60_000), max_size=12))
@example(b"z" * 9000 + b"\r\n", [8500])
@example(b"z" * 9000 + b"\n\r\n", [8500])
@example(b"250 a\r\n\r\n250 b\r\n", [6, 7])
@settings(deadline=None)
def test_how_the_octets_are_cut_makes_no_difference(stream: bytes, cuts: list[int]) -> None:
    """The same replies, and the same error."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    segments = [stream[start:end] for start, end in pairwise(places)]
    assert parsed(*segments) == parsed(stream)


@given(streams)
@settings(deadline=None)
def test_octet_by_octet_makes_no_difference(stream: bytes) -> None:
    # From the middle of an overlong line on, nothing new can be learned from 10,000 single octets.
    stream = stream[:2000]
    assert parsed(*octets(stream)) == parsed(stream)


@pytest.mark.parametrize("length", range(MAX_LINE - 1, MAX_LINE + 4))
@pytest.mark.parametrize("end", [b"\n\r\n", b"\r\n", b"\r", b""])
@pytest.mark.parametrize("start", [b"250 ", b"x"])
def test_octet_by_octet_makes_no_difference_at_the_border(start: bytes, length: int, end: bytes) -> None:
    """Which of two errors is found first does not depend on the segments either."""
    stream = start.ljust(length, b"z") + end
    # Far from the border the octets are all alike.
    far = MAX_LINE - 100
    assert parsed(stream[:far], *octets(stream[far:])) == parsed(stream)


@given(st.lists(st.binary()))
@settings(deadline=None)
def test_no_octets_raise(segments: list[bytes]) -> None:
    replies, _ = parsed(*segments)
    for reply in replies:
        assert 200 <= reply.code <= 599


def test_what_a_parser_holds_is_told() -> None:
    parser = ReplyParser()
    parser.feed(b"250-a\r\n250")
    assert repr(parser) == "<ReplyParser 8 octets held>"
    parser.feed(b"\n")
    assert repr(parser) == "<ReplyParser error: a reply line ends in a bare LF>"


def test_the_class_of_an_enhanced_code_is_the_first_digit_of_every_code() -> None:
    believed = {
        (code, raw)
        for code in range(200, 600)
        for raw in (b"2.7.1 x", b"4.7.1 x", b"5.7.1 x")
        if Reply(code, raw).enhanced
    }
    expected = {(code, b"%d.7.1 x" % (code // 100)) for code in range(200, 600) if code // 100 != 3}
    assert believed == expected


@pytest.mark.parametrize(
    ("raw", "policy"),
    [(b"5.7.1 no", True), (b"5.1.7 no", False), (b"5.70.1 no", False), (b"4.7.1 no", False), (b"", False)],
)
def test_policy_is_x_7_z(raw: bytes, policy: bool) -> None:
    assert Reply(550, raw).is_about_policy is policy
