"""Content on the wire (RFC 5321 §2.3.8, §4.5.2): what the server takes off again is what was put on."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.smtp.content import canonical, dot_stuffed


def received(wire: bytes) -> tuple[bytes, bytes]:
    """Return what a server makes of the octets after DATA, line by line (RFC 5321 §4.5.2), and what is left of them."""
    content = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        assert end, "the server waits for a line"
        if line == b".":
            return content, wire
        content += line.removeprefix(b".") + b"\r\n"


def split_by_hand(content: bytes) -> list[bytes]:
    """Return the lines, whatever ended them, octet by octet: an oracle without regular expressions."""
    lines, line, after_cr = [], b"", False
    for octet in content:
        if after_cr and octet == 0x0A:
            after_cr = False
        elif octet in (0x0D, 0x0A):
            lines.append(line)
            line, after_cr = b"", octet == 0x0D
        else:
            line, after_cr = line + bytes([octet]), False
    return [*lines, line] if line else lines


contents = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"b.c", b"\x00", b"\xff", b"\r\n.\r\n"]), max_size=20
).map(b"".join)

HARD = [
    pytest.param(b"", id="empty"),
    pytest.param(b".", id="a dot"),
    pytest.param(b".\r\n", id="a line of a dot"),
    pytest.param(b"..\r\n", id="a line of two dots"),
    pytest.param(b".\r\n.\r\n.\r\n", id="lines of dots"),
    pytest.param(b"a\r\n.\r\nb\r\n", id="a line of a dot within"),
    pytest.param(b"a\r\n.", id="a dot at the end"),
    pytest.param(b"\r\n.\r\n", id="the end of data itself"),
    pytest.param(b"a\n.\nMAIL FROM:<a@example.com>\n", id="bare LF around a dot"),
    pytest.param(b"a\r.\rMAIL FROM:<a@example.com>\r", id="bare CR around a dot"),
    pytest.param(b"a\r\n.\nMAIL FROM:<a@example.com>\r\n", id="CRLF before a dot, LF after it"),
    pytest.param(b"a\n.\r\nMAIL FROM:<a@example.com>\r\n", id="LF before a dot, CRLF after it"),
    pytest.param(b"a\r.\r\nMAIL FROM:<a@example.com>\r\n", id="CR before a dot, CRLF after it"),
    pytest.param(b"a\r\r\n.\r\r\nb", id="CR before CRLF"),
    pytest.param(b"a\r\n\r", id="CR at the end"),
    pytest.param(b"a\r\n\n", id="LF at the end"),
    pytest.param(b"no end", id="no final CRLF"),
    pytest.param(b"x" * 10_000 + b"\r\n." + b"y" * 9_999 + b"\r\n", id="lines of 10,000 octets"),
]


@pytest.mark.parametrize("content", HARD)
def test_hard_content_arrives(content: bytes) -> None:
    lines = split_by_hand(content)
    assert received(dot_stuffed(canonical(content)) + b"NEXT") == (b"".join(line + b"\r\n" for line in lines), b"NEXT")


@given(contents)
@example(b".\r\n.\r\n")
@settings(deadline=None)
def test_canonical_content_ends_every_line_in_crlf(content: bytes) -> None:
    """The lines are the same, each ends in CRLF, and no CR or LF stands alone (RFC 5321 §2.3.8)."""
    found = canonical(content)
    assert found == b"".join(line + b"\r\n" for line in split_by_hand(content))
    assert b"\r" not in found.replace(b"\r\n", b"")
    assert b"\n" not in found.replace(b"\r\n", b"")


@given(contents)
@settings(deadline=None)
def test_canonical_content_is_left_as_it_is(content: bytes) -> None:
    once = canonical(content)
    assert canonical(once) is once


@given(contents, st.binary(max_size=20))
@settings(deadline=None)
def test_the_server_takes_off_what_was_put_on_and_stops_at_the_end(content: bytes, after: bytes) -> None:
    content = canonical(content)
    assert received(dot_stuffed(content) + after) == (content, after)


@given(st.integers(min_value=0, max_value=12), st.integers(min_value=1, max_value=12))
@settings(deadline=None)
def test_a_dot_at_any_place_arrives(before: int, width: int) -> None:
    """In lines of every width, so that the dot stands at every distance from a line's beginning."""
    text = b"x" * before + b"." + b"x" * 12
    content = b"".join(text[i : i + width] + b"\r\n" for i in range(0, len(text), width))
    assert received(dot_stuffed(content)) == (content, b"")
