"""Content-Transfer-Encoding: what is encoded is read back, in lines that every server takes."""

from __future__ import annotations

from base64 import b64decode
from email import message_from_bytes, policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchsend.errors import RecordError
from batchsend.message.encoding import encode_base64, encode_text, has_short_lines

DELIMITER = "=_boundary"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(list("\r\n\t =.\0é")), max_size=200)


def encoding_of(header: bytes) -> str:
    name, _, value = header.decode("ascii").removesuffix("\r\n\r\n").partition(": ")
    assert name == "Content-Transfer-Encoding"
    return value


def decoded(header: bytes, body: bytes) -> str:
    parsed = message_from_bytes(b"Content-Type: text/plain; charset=utf-8\r\n" + header + body, policy=policy.default)
    octets = parsed.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets.decode().replace("\r\n", "\n")


def normalised(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(TEXTS)
@example("trailing space \nand tab\t\nend ")
@example("é trailing space \nand tab\t\nend\t")
@example("é\n.\n..\nFrom x\n")
@example("é" + "x" * 2000)
@example("é no line end at all, and long enough that quoted-printable must break it softly " * 3)
@example("x" * 10_000)
@example("\0")
@example("")
def test_any_text_is_read_back_from_ascii_lines_that_fit(text: str) -> None:
    header, body = encode_text(text, DELIMITER, "text")
    assert body.isascii()
    assert b"\0" not in body
    assert body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")
    limit = 998 if encoding_of(header) == "7bit" else 76
    assert all(len(line) <= limit for line in body.split(b"\r\n"))
    assert decoded(header, body) == normalised(text)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n", "7bit"),
        ("", "7bit"),
        ("x" * 998 + "\n" + "x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("Jörg lives in Köln, and so does his sister", "quoted-printable"),
        ("山田太郎", "base64"),
        ("nul\0", "quoted-printable"),
    ],
)
def test_the_encoding_is_the_smallest_that_is_right(text: str, encoding: str) -> None:
    assert encoding_of(encode_text(text, DELIMITER, "text")[0]) == encoding


def test_a_text_that_quotes_the_boundary_is_encoded() -> None:
    header, body = encode_text(f"\n--{DELIMITER}_a--\n", DELIMITER, "text")
    assert DELIMITER.encode() not in body
    assert decoded(header, body) == f"\n--{DELIMITER}_a--\n"


def test_half_a_character_is_refused() -> None:
    with pytest.raises(RecordError, match=r"^html contains U\+D800"):
        encode_text("a\ud800", DELIMITER, "html")


@given(st.lists(st.integers(0, 1200), max_size=6))
@example([998, 998, 0])
@example([999, 1])
@example([5, 999, 1])
def test_the_look_for_long_lines_finds_every_one(lengths: list[int]) -> None:
    octets = b"\r\n".join(b"x" * length for length in lengths)
    assert has_short_lines(octets) == all(length <= 998 for length in lengths)


def test_base64_of_text_has_canonical_line_ends() -> None:
    """RFC 2045 §6.8: line breaks of text are CRLF before it is encoded."""
    _, body = encode_text("山\n田\n", DELIMITER, "text")
    assert b64decode(body) == "山\r\n田\r\n".encode()


def test_base64_has_lines_of_76() -> None:
    assert [len(line) for line in encode_base64(bytes(120)).split(b"\r\n")] == [76, 76, 8]
