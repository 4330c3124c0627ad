"""Whatever a record holds: the message that the campaign asks for, or an error of the record."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import escape

from batchsend.campaign import Message
from batchsend.errors import RecordError
from batchsend.message.composer import Composer
from batchsend.message.words import clean
from batchsend.recipients import Record

COMPOSER = Composer(
    Message(
        from_="App <hello@mail.example.com>",
        to='"{{ name }}" <{{ email }}>',
        reply_to="{{ name }} <reply@example.com>",
        return_path="bounce+{{ token }}@mail.example.com",
        subject="Welcome, {{ name }}: {{ text }}",
        html="<p>{{ text }}</p>",
        text="{{ text }}",
        headers={"List-Unsubscribe": "<https://example.com/u/{{ token }}>", "X-Name": "{{ name }}"},
    ),
    directory=Path(),
    batch_id="b1",
)
BODIES = Composer(
    Message(from_="a@example.com", subject="x", html="<p>{{ text }}</p>", text="{{ text }}"),
    directory=Path(),
    batch_id="b1",
)
NAMES = ["Date", "Message-ID", "From", "To", "Reply-To", "Subject", "List-Unsubscribe", "X-Name", "MIME-Version"]

READABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
HOSTILE = st.sampled_from(
    [
        *'<>,"\\;:@(). \t\r\n\x00\x1f\u2028�é山',
        "\r\n\r\n",
        "\r\nBcc: x@example.net",
        "\n.\n",
        "=?utf-8?q?=0D=0ABcc:_x?=",
        "=?",
        "?=",
        "{{",
        "}}",
        "{% raw %}",
        "--=_",
        "--",
    ],
)
ANYTHING = st.lists(st.text(max_size=5) | HOSTILE, max_size=8).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3),
    max_leaves=6,
)


def parse(content: bytes) -> EmailMessage:
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def fields(**values: Any) -> Record:
    return Record(1, 2, {"email": "ann@example.com", "name": "Ann", "token": "t", "text": "", **values})


def decoded(value: str) -> str:
    return str(make_header(decode_header(value)))


@given(st.text(READABLE, max_size=150))
@example("Müller, Jörg")
@example("山田 太郎" * 30)
@example("x" * 300)
def test_a_name_in_any_script_is_what_a_reader_decodes(name: str) -> None:
    raw = message_from_bytes(COMPOSER.compose(fields(name=name)).content)
    assert decoded(raw["Subject"]) == clean(f"Welcome, {name}: ", "x")
    assert decoded(raw["X-Name"]) == clean(name, "x")
    ((shown, address),) = getaddresses([raw["To"]])
    assert address == "ann@example.com"
    assert decoded(shown) == clean(name, "x")


@given(st.text(READABLE | st.sampled_from("\r\n\t =."), max_size=200))
@example("one\r\ntwo\nthree\rfour \n.\n")
@example("ü" * 1_000)
def test_a_body_in_any_script_is_what_a_reader_decodes(text: str) -> None:
    parsed = parse(BODIES.compose(fields(text=text)).content)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    for kind, expected in (("plain", lines), ("html", f"<p>{escape(lines)}</p>")):
        part = parsed.get_body((kind,))
        assert part is not None
        assert part.get_content().replace("\r\n", "\n") == expected


@given(
    name=ANYTHING | JSON,
    email=st.just("ann@example.com") | st.builds("{}@example.com{}".format, ANYTHING, ANYTHING) | JSON,
    token=st.just("t") | ANYTHING,
    text=ANYTHING | JSON,
    more=st.dictionaries(ANYTHING, JSON, max_size=2),
)
@example(name="x\r\nBcc: y@example.net", email="ann@example.com", token="t", text="", more={})
@example(name='" <y@example.net>, "', email="ann@example.com", token="t", text="", more={})
@example(name="x", email="ann@example.com", token="t>, <https://example.net/", text="", more={})
@example(name="x", email="ann@example.com", token="t", text="--=_", more={"batch": 1, "range": 2})
def test_no_data_adds_a_header_an_address_or_a_part(
    name: Any, email: Any, token: Any, text: Any, more: dict[str, Any]
) -> None:
    record = Record(1, 2, {**more, "name": name, "email": email, "token": token, "text": text})
    try:
        submission = COMPOSER.compose(record)
    except RecordError:
        return
    assert submission.envelope.forward_path.rpartition("@")[0] == email.rpartition("@")[0]
    content = submission.content
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    parsed = parse(content)
    assert [field for field, _ in parsed.items()] == [*NAMES, "Content-Type"]
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert len(parsed["To"].addresses) == 1
    assert [one.addr_spec for one in parsed["Reply-To"].addresses] == ["reply@example.com"]
    assert [one.addr_spec for one in parsed["From"].addresses] == ["hello@mail.example.com"]
    assert parsed["List-Unsubscribe"].count("<") == parsed["List-Unsubscribe"].count(">") == 1
