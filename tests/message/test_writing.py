"""Messages written out: octet for octet what the standard library writes, for whatever is in them."""

from __future__ import annotations

import random
from email import message_from_bytes, policy
from email.errors import MessageError
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.message.writing import written, written_lines
from batchsend.smtp.content import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = [
    "Ada",
    "Łęcka",
    "=?utf-8?q?a?=",
    "a=?b",
    '"q\\"x"',
    "(comment)",
    "x" * 30,
    "x" * 90,
    " ",
    "  ",
    "\t",
    ",",
    ";",
    "é",
]
SUBJECTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=8).map("".join),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=120),
).filter(lambda text: len(text.splitlines()) <= 1)
NAMES = st.sampled_from(
    ["", "Ada", "Ada Lovelace", '"Love, Ada"', "Łęcka", "=?utf-8?q?=C5=81?=", "(c) Ada", "A. B.", "x" * 70]
)
ADDRESSES = st.lists(
    st.builds(
        lambda name, local, after: f"{name} <{local}@example.com>{after}",
        NAMES,
        st.sampled_from(["ada", '"a b"', "a.b", "x" * 60]),
        st.sampled_from(["", " (Ada)", " ", "\t"]),
    )
    | st.just("ada@example.com (Ada Lovelace)")
    | st.just("Readers: ada@example.com, grace@example.com;"),
    min_size=1,
    max_size=4,
).map(", ".join)
BODIES = st.lists(st.sampled_from(["a", "é", "\n", "\r\n", "\r", ".", "From ", "x" * 100, "\0", " "]), max_size=30).map(
    "".join
)


def same(message: Message[Any, Any], **changes: Any) -> bytes:
    """What is written, which is what the standard library writes; or nothing, where that cannot write it either."""
    try:
        expected = as_the_standard_library_does(message, **changes)
    except Exception as error:
        with pytest.raises(type(error)):
            written(message, **changes)
        return b""
    octets, is_lines = written_lines(message, **changes)
    assert written(message, **changes) == octets == expected
    if is_lines:
        assert canonical(octets) == octets
    return expected


def as_the_standard_library_does(message: Message[Any, Any], **changes: Any) -> bytes:
    out = BytesIO()
    rules = message.policy.clone(linesep="\r\n", **changes)
    BytesGenerator(out, mangle_from_=False, policy=rules).flatten(message)
    return out.getvalue()


@settings(max_examples=50)
@given(subject=SUBJECTS, to=ADDRESSES, body=BODIES, html=st.booleans(), more=SUBJECTS)
@example(subject=" leading", to="a@example.com (x)", body="", html=False, more="a  b ")
def test_it_is_what_the_standard_library_writes(subject: str, to: str, body: str, html: bool, more: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "shop@example.com", to
    message["X-More"] = more
    message["Reply-To"] = to
    message.set_content(body)
    if html:
        message.add_alternative(f"<p>{body}</p>", subtype="html")
        message.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="é.bin")
        message.set_boundary("b")
        message.get_payload(0).set_boundary("c")  # type: ignore[union-attr]
    octets = same(message)
    same(message, cte_type="7bit")
    same(message, utf8=True)
    for parsed_by in (policy.default, policy.compat32, policy.SMTP):
        same(message_from_bytes(octets, policy=parsed_by))


def seeded(number: int, write: Callable[[], bytes]) -> bytes:
    """What is written where the boundaries that are made up are drawn from this seed."""
    random.seed(number)
    return write()


FILES = st.lists(
    st.sampled_from(
        [
            ("text", "plain", "a.txt"),
            ("image", "png", "Łęcka.png"),
            ("application", "pdf", 'a"b.pdf'),
            ("text", "x", ""),
        ]
    ),
    max_size=3,
)


@settings(max_examples=100)
@given(BODIES, FILES, st.lists(st.sampled_from(["html", "calendar"]), max_size=2), st.booleans(), st.integers(0, 99))
@pytest.mark.slow
def test_boundaries_that_are_made_up_are_the_standard_librarys(
    body: str, files: list[tuple[str, str, str]], kinds: list[str], related: bool, seed: int
) -> None:
    def made() -> EmailMessage:
        message = EmailMessage()
        message["Subject"], message["To"] = "Łęcka", "Ada <ada@example.com>"
        message.set_content(body)
        for kind in kinds:
            message.add_alternative(f"<p>{body}</p>", subtype=kind)
        if related:
            html: Any = message.get_payload(-1) if kinds else message
            html.add_related(b"\0" * 100, "image", "gif", cid="<a@example.com>")
        for maintype, subtype, filename in files:
            message.add_attachment(b"\1\2" * 50, maintype, subtype, filename=filename or None)
        return message

    every: list[dict[str, Any]] = [{}, {"cte_type": "7bit"}, {"utf8": True}]
    for changes in every:
        expected = seeded(seed, partial(as_the_standard_library_does, made(), **changes))
        assert seeded(seed, partial(written, made(), **changes)) == expected


@pytest.mark.parametrize(
    "kind", [MIMEMultipart, partial(MIMEMultipart, "alternative"), partial(MIMEMultipart, "signed")]
)
def test_older_messages_are_written_as_the_standard_library_does(kind: Callable[[], MIMEMultipart]) -> None:
    def made() -> MIMEMultipart:
        message = kind()
        message["Subject"] = "Hello"
        message.attach(MIMEText("é" * 100, "html", "utf-8"))
        message.attach(MIMEText("plain"))
        part = MIMEApplication(b"\0" * 200, Name="a.bin")
        part["X-Long"] = "word " * 40 + "end"
        message.attach(part)
        return message

    expected = seeded(1, lambda: as_the_standard_library_does(made()))
    assert seeded(1, lambda: written(made())) == expected
    message = made()
    message.preamble, message.epilogue = "before", "after"
    message.attach(MIMEMessage(MIMEText("inside")))
    octets = written(message)
    assert b"\r\nbefore\r\n" in octets
    assert b"\r\n\r\ninside\r\n" in octets


def test_a_message_that_was_written_is_as_it_was_before() -> None:
    message = EmailMessage()
    message.set_content("text")
    message.add_alternative("<p>text</p>", subtype="html")
    message.add_attachment(b"1", "application", "pdf")
    headers = [part.items() for part in message.walk()]
    assert b"boundary=" in written(message, [("Content-Type", "multipart/mixed"), ("X-Given", "x")])
    assert [part.items() for part in message.walk()] == headers


@pytest.mark.parametrize("value", ["a\r\nBcc: b@example.com", "a\nX: y", "a\rX: y"])
def test_no_header_begins_another_one(value: str) -> None:
    message = EmailMessage()
    message.set_raw("X-Given", value)
    with pytest.raises(MessageError):
        written(message)


@pytest.mark.parametrize("payload", ["a\rb\n", "a\n\rb\r\n", "\r", "no end", "", "a\n\n.\n"])
@pytest.mark.parametrize(
    "folded", ["x", "word " * 40, "a\n b", "a\r b", "Łęcka", policy.default.header_factory("X-Folded", "a\n b")]
)
def test_what_is_said_to_be_whole_lines_goes_out_as_it_is(payload: str, folded: str) -> None:
    """A bare CR or LF by which one message could be made to look like two (RFC 5321 §2.3.8) is not said to be none."""
    kinds: tuple[type[Message[Any, Any]], ...] = (EmailMessage, Message)
    for kind in kinds:
        one = kind()
        one.set_raw("X-Folded", folded)
        one.set_raw("Content-Type", "text/plain")
        one.set_payload(payload)
        for boundary in ("b", "b\n c", "b\r c", 'b"; x="\n d'):
            holder = kind()
            holder.set_raw("Content-Type", f'multipart/mixed; boundary="{boundary}"')
            holder.attach(one)
            for message in (one, holder):
                try:
                    octets, is_lines = written_lines(message)
                except (MessageError, ValueError):
                    continue  # it cannot be written
                assert not is_lines or canonical(octets) == octets


def test_an_ordinary_message_is_whole_lines() -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Hello", "Shop <shop@example.com>", "ada@example.com"
    message.set_content("One line\nand another")
    message.add_alternative("<p>One line</p>", subtype="html")
    assert written_lines(message)[1]
