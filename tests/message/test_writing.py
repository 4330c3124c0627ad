"""Messages written out: octet for octet what the standard library writes, for whatever is in them."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.errors import MessageError
from email.generator import BytesGenerator
from email.message import EmailMessage, Message
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.message.writing import written

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
    assert written(message, **changes) == expected
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


@pytest.mark.parametrize("value", ["a\r\nBcc: b@example.com", "a\nX: y", "a\rX: y"])
def test_no_header_begins_another_one(value: str) -> None:
    message = EmailMessage()
    message.set_raw("X-Given", value)
    with pytest.raises(MessageError):
        written(message)
