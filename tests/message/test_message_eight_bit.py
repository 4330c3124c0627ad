"""Octets above 127 where they are right, and the same message without them for a server that does not take them."""

from __future__ import annotations

from base64 import b64encode
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.campaign import Dkim
from batchsend.recipients import Record
from tests.message.composing import ANN, compose, composer
from tests.tools.examples import examples

GREETING = "Grüße aus Köln, {{ name }}\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(list("\r\n\t =.\0é山")), max_size=300)


def encodings(content: bytes) -> list[str]:
    return [
        str(part["Content-Transfer-Encoding"])
        for part in message_from_bytes(content, policy=policy.default).walk()
        if not part.is_multipart()
    ]


def read(content: bytes) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """A message's header and its decoded parts; without what says how they are encoded."""
    parsed = message_from_bytes(content, policy=policy.default)
    header = {name: str(value) for name, value in parsed.items() if name != "Content-Transfer-Encoding"}
    parts = []
    for part in parsed.walk():
        octets = part.get_payload(decode=True)
        if not part.is_multipart() and isinstance(octets, bytes):
            parts.append((part.get_content_type(), octets.replace(b"\r\n", b"\n")))
    return header, parts


def test_a_text_in_another_script_goes_out_as_it_is(tmp_path: Path) -> None:
    submission = compose(tmp_path, text=GREETING, html="<p>{{ name }}</p>")
    assert "Grüße aus Köln, Ann\r\n".encode() in submission.content
    assert encodings(submission.content) == ["8bit", "7bit"]
    assert submission.canonical
    assert submission.eight_bit is True


def test_a_message_in_ascii_says_so_and_has_no_other_form(tmp_path: Path) -> None:
    submission = compose(tmp_path)
    assert submission.content.isascii()
    assert (submission.canonical, submission.eight_bit, submission.seven_bit) == (True, False, None)


@pytest.mark.parametrize(
    "text",
    [f"{GREETING} and the whole desk", "Grüße an alle aus dem Lesesaal", "the long and the short of {{ umlaut }}"],
)
def test_the_campaign_may_forbid_it(tmp_path: Path, text: str) -> None:
    submission = compose(tmp_path, {**ANN, "umlaut": "ü"}, text=text, encoding="7bit")
    assert submission.content.isascii()
    assert encodings(submission.content) == ["quoted-printable"]
    assert submission.eight_bit is False


def test_what_is_signed_has_none(tmp_path: Path) -> None:
    """A relay that makes quoted-printable of them would break the signature (RFC 6376 §5.3)."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_bytes(b64encode(bytes(32)))
    dkim = Dkim(domain="example.com", selector="s", key_file=key)
    assert compose(tmp_path, text=GREETING, dkim=(dkim,)).content.isascii()


def test_the_other_form_is_the_same_message_in_ascii(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logo.png").write_bytes(bytes(range(256)))
    (tmp_path / "terms.pdf").write_bytes(b"terms")
    submission = compose(
        tmp_path,
        {**ANN, "name": "Jörg 山"},
        text=GREETING,
        html='<p>{{ name }} & co</p><img src="logo.png">',
        attachments=("terms.pdf",),
    )
    # What is made later must not depend on when, nor on files that may have gone.
    monkeypatch.setattr("time.time", lambda: 0.0)
    (tmp_path / "terms.pdf").unlink()
    assert submission.seven_bit is not None
    other = submission.seven_bit()
    assert other.isascii()
    assert read(other) == read(submission.content)
    assert "8bit" not in encodings(other)
    assert submission.message_id is not None
    assert submission.message_id.encode() in other


def test_lines_that_are_too_long_in_octets_are_encoded(tmp_path: Path) -> None:
    """998 is the most octets that a line may have (RFC 5322 §2.1.1), not the most characters."""
    for text, expected in (("é" * 499, "8bit"), ("é" * 500, "base64"), ("é" + "x" * 1000, "quoted-printable")):
        for template in (text, "{{ text }}", "{% if text %}{{ text }}{% endif %}"):
            submission = compose(tmp_path, {**ANN, "text": text}, text=template)
            assert encodings(submission.content) == [expected]


def test_with_an_address_that_needs_smtputf8_there_is_no_ascii(tmp_path: Path) -> None:
    submission = compose(tmp_path, {**ANN, "email": "jörg@example.com"}, text=GREETING)
    assert submission.eight_bit is True
    assert submission.seven_bit is None
    assert compose(tmp_path, {**ANN, "email": "jörg@example.com"}).eight_bit is True


SHORT = composer(Path(), subject="x", text="Grüße,\n{{ text }}\n{{ name }}.\n", html="<p>\n{{ text }}{{ name }}\n</p>")
LONG = composer(
    Path(),
    subject="x",
    text="Grüße,\n{% if true %}{{ text }}{% endif %}\n{{ name }}.\n",
    html="<p>\n{% if true %}{{ text }}{% endif %}{{ name }}\n</p>",
)


@settings(deadline=None, max_examples=examples(60))
@given(TEXTS, TEXTS | st.none() | st.integers())
@example("x" * 985, "")
@example("é" * 497, "x")
@example("a\nb", "\u2028")
def test_the_short_way_and_the_long_way_make_the_same(text: str, name: Any) -> None:
    """What a template with names only is made of by a short cut is what the whole machinery makes."""
    record = Record(1, 2, {"email": "a@example.com", "text": text, "name": name})
    short, long = SHORT.compose(record), LONG.compose(record)
    assert read(short.content)[1] == read(long.content)[1]
    assert encodings(short.content) == encodings(long.content)
    for submission in (short, long):
        content = submission.content
        assert submission.eight_bit == (not content.isascii())
        assert b"\0" not in content
        assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
        assert all(len(line) <= 998 for line in content.split(b"\r\n"))
        if submission.seven_bit is not None:
            assert submission.seven_bit().isascii()
            assert read(submission.seven_bit())[1] == read(content)[1]
