"""The campaign's own headers, and the check that nothing else is in the header block."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from batchsend.errors import RecordError, UsageError
from batchsend.message.headers import BlockCheck, custom_fields, date
from batchsend.message.templates import Templates

TEMPLATES = Templates(Path())


def render(name: str, source: str, **variables: Any) -> str:
    (field,) = custom_fields([(name, source)], TEMPLATES)
    return field.render(variables)


def test_a_url_is_filled_in_and_never_broken() -> None:
    source = "<https://example.com/u/{{ token }}>, <mailto:u@example.com?subject={{ token }}>"
    assert render("List-Unsubscribe", source, token="abc") == (
        "List-Unsubscribe: <https://example.com/u/abc>,\r\n <mailto:u@example.com?subject=abc>\r\n"
    )
    assert f"/{'x' * 800}>" in render("List-Unsubscribe", source, token="x" * 800)


@pytest.mark.parametrize(
    "token", ["a\r\nBcc: x@example.net", "a\n", "a>, <https://example.net/", "a>", "<", "a b", "é", "\0", "x" * 1000]
)
def test_data_cannot_end_a_url_or_its_header(token: str) -> None:
    with pytest.raises(RecordError, match=r"^header List-Unsubscribe"):
        render("List-Unsubscribe", "<https://example.com/u/{{ token }}>", token=token)


def test_a_url_header_needs_its_angle_brackets_from_the_template() -> None:
    for source in ("{{ url }}", "https://example.com/"):
        with pytest.raises(RecordError, match=r"^header List-Unsubscribe"):
            render("List-Unsubscribe", source, url="<https://example.com/>")


def test_tokens_stay_as_they_are() -> None:
    assert render("Feedback-ID", "{{ x }}:b:c:sender", x="a") == "Feedback-ID: a:b:c:sender\r\n"
    with pytest.raises(RecordError, match=r"^header Feedback-ID may hold ASCII only"):
        render("Feedback-ID", "{{ x }}", x="é")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Auto-Submitted", "auto-generated"),
        ("Auto-Submitted", "auto-replied; owner-email=x"),
        ("Precedence", "bulk"),
        ("Precedence", "List"),
        ("Feedback-ID", "sender"),
        ("Feedback-ID", "march::news:sender"),
        ("List-Id", "<news.example.com>"),
        ("List-ID", '"The news" <news.example.com>'),
        ("References", "<a@example.com> <b@example.com>"),
    ],
)
def test_what_machines_understand_is_sent(name: str, value: str) -> None:
    assert render(name, value) == f"{name}: {value}\r\n"
    assert render(name, "{{ x }}", x=value) == f"{name}: {value}\r\n"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Auto-Submitted", "yes", "'auto-generated'"),
        ("Auto-Submitted", "", "'auto-generated'"),
        ("Precedence", "high", "'bulk', 'list' or 'junk'"),
        ("Feedback-ID", "a:b:c:d:e", "at most four parts"),
        ("Feedback-ID", "a:b:c:", "the last of which says who sends"),
        ("Feedback-ID", "a b:c", "without spaces"),
        ("List-Id", "news.example.com", "in angle brackets"),
        ("List-Id", "<news>", "domain-like"),
    ],
)
def test_what_no_machine_understands_is_refused(name: str, value: str, expected: str) -> None:
    for source in (value or "{{ '' }}", "{{ x }}"):
        with pytest.raises(RecordError, match=rf"^header {name} is .*, and must be .*{expected}"):
            render(name, source, x=value)


UNSUBSCRIBE = "<https://example.com/u/{{ token }}>, <mailto:u@example.com>"


def one_click(unsubscribe: str, post: str = "List-Unsubscribe=One-Click", **variables: Any) -> list[str]:
    fields = custom_fields([("List-Unsubscribe-Post", post), ("List-Unsubscribe", unsubscribe)], TEMPLATES)
    return [field.render(variables) for field in fields]


def test_one_click_unsubscribing_has_both_headers() -> None:
    """RFC 8058 §3.1."""
    assert one_click(UNSUBSCRIBE, token="t") == [
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        "List-Unsubscribe: <https://example.com/u/t>, <mailto:u@example.com>\r\n",
    ]
    with pytest.raises(UsageError, match="List-Unsubscribe-Post needs List-Unsubscribe beside it"):
        custom_fields([("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")], TEMPLATES)


@pytest.mark.parametrize(
    "unsubscribe",
    [
        "<mailto:u@example.com>",
        "<http://example.com/u>",
        "<https://example.com/u>, <http://example.com/u>",
        "<{{ x }}>",
    ],
)
def test_one_click_unsubscribing_is_over_https(unsubscribe: str) -> None:
    with pytest.raises(RecordError, match=r"^header List-Unsubscribe must have .*https.* List-Unsubscribe-Post"):
        one_click(unsubscribe, x="http://example.com/u")


def test_one_click_has_one_value() -> None:
    with pytest.raises(RecordError, match="header List-Unsubscribe-Post is 'yes'"):
        one_click(UNSUBSCRIBE, "yes")


def test_other_headers_are_words_in_any_script() -> None:
    assert render("X-Name", "{{ x }}", x="山田") == "X-Name: =?utf-8?b?5bGx55Sw?=\r\n"
    assert render("Sender", "{{ x }} <c@example.com>", x="a, b") == 'Sender: "a, b" <c@example.com>\r\n'


@pytest.mark.parametrize("value", ["a\r\nBcc: x@example.net", "a\r\n b", "a\nb", "a\rb", "a\0", "a\x1b[0m", "a\u2028b"])
@pytest.mark.parametrize("name", ["X-Any", "Precedence", "Sender", "List-Unsubscribe"])
def test_no_header_takes_a_control_character(name: str, value: str) -> None:
    sources = {"Sender": "{{ x }} <a@example.com>", "List-Unsubscribe": "<https://example.com/{{ x }}>"}
    source = sources.get(name, "{{ x }}")
    with pytest.raises(RecordError, match=rf"^header {name} contains the control character"):
        render(name, source, x=value)


@pytest.mark.parametrize(
    "name",
    [
        "From",
        "to",
        "BCC",
        "Cc",
        "Date",
        "Message-ID",
        "Subject",
        "Received",
        "Content-Type",
        "MIME-Version",
        "Return-Path",
        "",
        "A B",
        "A:",
        "Ünicode",
        "X\r\nY",
        "x" * 77,
    ],
)
def test_a_name_that_cannot_be_set_is_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(name, "x")
    assert caught.value.remedy


def test_a_name_may_stand_once() -> None:
    with pytest.raises(UsageError, match="x-a is there twice"):
        custom_fields([("X-A", "1"), ("x-a", "2")], TEMPLATES)


BLOCK = "From: a@example.com\r\nSubject: some\r\n words\r\n"


def test_the_fields_that_were_asked_for_pass() -> None:
    BlockCheck(["From", "Subject"]).require(BLOCK)
    BlockCheck(["From", "Subject"]).require("From: a@example.com\r\nSubject: \r\n")


@pytest.mark.parametrize(
    "block",
    [
        BLOCK + "Bcc: x@example.net\r\n",
        BLOCK + "\r\n",
        " words\r\n" + BLOCK,
        "Bcc: x@example.net\r\n" + BLOCK,
        BLOCK.replace("some", "some\r\nBcc: x"),
        BLOCK.replace("some", "some\nBcc: x"),
        BLOCK.replace("some", "some\rx"),
        BLOCK.replace("some", "some\0"),
        BLOCK.replace("some", "some\r\n  "),
        BLOCK.replace("some", "x" * 999),
        BLOCK.replace(" words", "words"),
        BLOCK.removesuffix("\r\n"),
        "Subject: x\r\nFrom: a@example.com\r\n",
    ],
)
def test_anything_else_does_not(block: str) -> None:
    with pytest.raises(RecordError):
        BlockCheck(["From", "Subject"]).require(block)


def test_the_date_is_utc_and_english() -> None:
    assert date(0) == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert date(1_795_334_400) == "Sun, 22 Nov 2026 08:00:00 +0000"
    for second in range(0, 2_000_000_000, 86_400 * 367):
        assert parsedate_to_datetime(date(second)).timestamp() == second
