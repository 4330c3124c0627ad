"""Whatever a record holds, a message has the parts that the campaign asks for, and each is what it was."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.campaign import Attachment, Message
from batchsend.errors import RecordError
from batchsend.message.composer import Composer
from batchsend.recipients import Record
from tests.message.composing import shape
from tests.tools.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
From: hello@mail.example.com
To: {{ name }} <{{ email }}>
Subject: {{ text }}
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

--outer
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=utf-8

{{ text }}
--inner
Content-Type: text/html; charset=utf-8

<p title="{{ name }}">{{ text }}</p>
--inner--
--outer
Content-Type: image/png
Content-Transfer-Encoding: base64

bG9nbw==
--outer--
"""
HOSTILE = st.sampled_from(
    [
        *("\r\n", "\n", "\r", "\0", "--", "=_", "--outer", "--outer--", "--inner", "Content-Type: text/html", "\n\n"),
        *("cid:", "logo.png", "<img src='logo.png'>", '"', "'", "<", ">", "&", "</style>", "{{", "}}", "{% raw %}"),
        *("é", "山", "\u2028", "\ud800", "x" * 1000, "url(logo.png)", "../", "<!--", "-->"),
    ]
)
ANYTHING = st.lists(st.text(max_size=5) | HOSTILE, max_size=8).map("".join)


@pytest.fixture(scope="module")
def composers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Composer, str]]:
    """Campaigns of every structure, and what their messages are made of."""
    folder: Path = tmp_path_factory.mktemp("campaign")
    (folder / "logo.png").write_bytes(b"logo")
    (folder / "secret.png").write_bytes(b"secret")
    (folder / "whole.eml").write_text(WHOLE)
    html = '<style>p { color: red }</style><p title="{{ name }}">{{ text }}</p><img src="logo.png" alt="{{ name }}">'
    ordinary = Message(
        from_="hello@mail.example.com",
        subject="{{ text }}",
        text="{{ text }}",
        html=html,
        attachments=(Attachment(file="logo.png", name="{{ name }}.png"),),
    )
    styled = Message(from_="hello@mail.example.com", subject="x", html=html, inline_css=True)
    by_record = Message(
        from_="hello@mail.example.com",
        subject="x",
        text="x",
        html=f"{html}{{% if text %}}.{{% endif %}}",
        inline_css=True,
    )
    whole = Message(eml_file=folder / "whole.eml")
    related = "alternative(text/plain, related(text/html, image/png))"
    return [
        (Composer(message, directory=folder, batch_id="b1"), expected)
        for message, expected in (
            (ordinary, f"mixed({related}, image/png)"),
            (styled, related),
            (by_record, related),
            (whole, "mixed(alternative(text/plain, text/html), image/png)"),
        )
    ]


@settings(deadline=None, max_examples=examples(60))
@given(name=ANYTHING, text=ANYTHING)
@example(name="x", text="--outer--\r\n\r\n--inner\r\n")
@example(name="secret", text="<img src='secret.png'>")
def test_no_data_adds_or_changes_a_part(composers: list[tuple[Composer, str]], name: str, text: str) -> None:
    record = Record(1, 2, {"email": "ann@example.com", "name": name, "text": text})
    for composer, expected in composers:
        try:
            submission = composer.compose(record)
        except RecordError:
            continue
        forms = [submission.content]
        if submission.seven_bit is not None:
            forms.append(submission.seven_bit())
            assert forms[1].isascii()
        for content in forms:
            assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
            assert all(len(line) <= 998 for line in content.split(b"\r\n"))
            assert b"\0" not in content
            parsed = message_from_bytes(content, policy=policy.default)
            assert isinstance(parsed, EmailMessage)
            assert shape(parsed) == expected
            images = [part.get_content() for part in parsed.walk() if part.get_content_maintype() == "image"]
            assert set(images) == {b"logo"}
