"""Records become submissions: what was asked for, and nothing else."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.campaign import Message
from batchsend.errors import RecordError, UsageError
from batchsend.message.composer import Composer
from batchsend.recipients import Record
from tests.message.composing import ANN, BASIC, body, compose, composer, parse, shape

if TYPE_CHECKING:
    from pathlib import Path


def test_the_simplest_message_is_text_alone(tmp_path: Path) -> None:
    submission = compose(tmp_path)
    assert submission.record == 7
    assert submission.attempt == 1
    assert submission.message_id == "<b1.7@mail.example.com>"
    assert submission.envelope.forward_path == "ann@example.com"
    assert submission.envelope.reverse_path == "hello@mail.example.com"
    head, _, text = submission.content.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[1:] == [
        b"Message-ID: <b1.7@mail.example.com>",
        b"From: App <hello@mail.example.com>",
        b"To: ann@example.com",
        b"Subject: Hello Ann",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 7bit",
    ]
    assert text == b"Hi Ann\r\n"


def test_the_date_is_now(tmp_path: Path) -> None:
    before = int(time.time())
    sent = parsedate_to_datetime(parse(compose(tmp_path))["Date"]).timestamp()
    assert before <= sent <= time.time()


def test_text_and_html_are_alternatives_text_first(tmp_path: Path) -> None:
    parsed = parse(compose(tmp_path, html="<p>Grüße, {{ name }}</p>", fields={**ANN, "name": "<Jörg>"}))
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert body(parsed, "plain") == "Hi <Jörg>\n"
    assert body(parsed, "html") == "<p>Grüße, &lt;Jörg&gt;</p>"


def test_text_is_derived_from_the_rendered_html_where_there_is_none(tmp_path: Path) -> None:
    html = "<p>Dear {{ name }}, <a href='https://example.com/{{ name }}'>look</a></p>"
    parsed = parse(compose(tmp_path, text=None, html=html))
    assert body(parsed, "plain") == "Dear Ann, look <https://example.com/Ann>\n"
    parsed = parse(compose(tmp_path, text=None, html="<p>constant</p>"))
    assert body(parsed, "plain") == "constant\n"


def test_bodies_come_from_files_that_include_others(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("<main>{% block main %}{% endblock %}</main>")
    (tmp_path / "page.html").write_text("{% extends 'base.html' %}{% block main %}{{ name }}{% endblock %}")
    (tmp_path / "page.txt").write_text("Text for {{ name }}")
    files: dict[str, Any] = {"text": None, "html_file": tmp_path / "page.html", "text_file": tmp_path / "page.txt"}
    parsed = parse(compose(tmp_path, **files))
    assert body(parsed, "html") == "<main>Ann</main>"
    assert body(parsed, "plain") == "Text for Ann"


def test_attachments_stand_in_order_around_the_bodies(tmp_path: Path) -> None:
    (tmp_path / "terms.pdf").write_bytes(b"terms")
    (tmp_path / "7.pdf").write_bytes(b"seven")
    attachments = ("terms.pdf", "{{ batch.record }}.pdf")
    for html in (None, "<p>x</p>"):
        parsed = parse(compose(tmp_path, html=html, attachments=attachments))
        assert parsed.get_content_type() == "multipart/mixed"
        found = [(part.get_filename(), part.get_content()) for part in parsed.iter_attachments()]
        assert found == [("terms.pdf", b"terms"), ("7.pdf", b"seven")]
        assert body(parsed, "plain") == "Hi Ann\n"


def test_a_record_cannot_attach_from_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "campaign").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(RecordError, match="outside the campaign's folder"):
        compose(tmp_path / "campaign", {**ANN, "file": "../secret.txt"}, attachments=("{{ file }}",))


def test_the_message_id_is_the_same_whenever_a_record_is_composed(tmp_path: Path) -> None:
    ids = {compose(tmp_path, from_="{{ name }} <x@{{ name }}.example>").message_id for _ in range(3)}
    assert ids == {"<b1.7@Ann.example>"}


def test_the_return_path_is_a_template_and_may_be_null(tmp_path: Path) -> None:
    submission = compose(tmp_path, return_path="bounce+{{ batch.record }}@example.com")
    assert submission.envelope.reverse_path == "bounce+7@example.com"
    assert compose(tmp_path, return_path="").envelope.reverse_path == ""


def test_headers_are_in_the_order_of_the_campaign(tmp_path: Path) -> None:
    submission = compose(
        tmp_path,
        to="{{ name }} <{{ email }}>",
        reply_to="help@example.com",
        headers={"List-Unsubscribe": "<https://example.com/{{ name }}>", "X-B": "1", "X-A": "{{ batch.id }}"},
    )
    assert [name for name, _ in parse(submission).items()] == (
        [
            "Date",
            "Message-ID",
            "From",
            "To",
            "Reply-To",
            "Subject",
            "List-Unsubscribe",
            "X-B",
            "X-A",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ]
    )


@pytest.mark.parametrize(
    ("fields", "recipient"),
    [
        ({"email": "a@example.com", "to": "b@example.com"}, "a@example.com"),
        ({"address": "b@example.com", "recipient": "a@example.com"}, "a@example.com"),
        ({"Email": "b@example.com", "to": "a@example.com"}, "a@example.com"),
        ({"E-Mail": "b@example.com", "EMAIL": "a@example.com"}, "a@example.com"),
        ({"EMAIL": "a@example.com", "Email": "b@example.com"}, "a@example.com"),
        ({"E-Mail": "a@example.com", "Email Domain": "example.com"}, "a@example.com"),
        ({"Primary Email": "a@example.com", "Address": "1, High Street"}, "a@example.com"),
    ],
)
def test_the_recipient_is_found_where_it_usually_is(tmp_path: Path, fields: dict[str, Any], recipient: str) -> None:
    assert compose(tmp_path, {"name": "x", **fields}).envelope.forward_path == recipient


def test_the_recipient_is_in_the_field_that_the_campaign_names(tmp_path: Path) -> None:
    fields = {**ANN, "mail": "b@example.com"}
    assert compose(tmp_path, fields, recipient_field="mail").envelope.forward_path == "b@example.com"
    with pytest.raises(RecordError, match="no field 'Mail'"):
        compose(tmp_path, fields, recipient_field="Mail")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "none of its fields is called email, to, recipient, address"),
        ({"email": None}, "field 'email' holds no address but NoneType"),
        ({"email": ["a@example.com"]}, "field 'email' holds no address but list"),
        ({"email": ""}, "recipient '' is not an address"),
        ({"email": "a@b\r\nRCPT TO:<c@d>"}, r"recipient .* U\+000D"),
        ({"email": "a@example.com"}, "header Subject: 'name' is undefined"),
        ({**ANN, "name": "x\r\nBcc: y@example.net"}, r"header Subject contains the control character U\+000D"),
        ({**ANN, "name": "x\n"}, r"header Subject contains the control character U\+000A"),
    ],
)
def test_a_record_that_cannot_be_sent_says_why(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        compose(tmp_path, fields)


def test_columns_named_like_headers_do_nothing_by_themselves(tmp_path: Path) -> None:
    fields = {**ANN, "To": "x@example.net", "Bcc": "x@example.net", "Message-ID": "<x>", "Subject": "x", "From": "x"}
    parsed = parse(compose(tmp_path, fields))
    assert parsed["To"] == "ann@example.com"
    assert parsed["Bcc"] is None
    assert parsed["Subject"] == "Hello Ann"


@pytest.mark.parametrize(
    "text", ["", ".", "no final line end", "x" * 10_000, "\n.\nMAIL FROM:<>\n", "é\r\n.\r\n", "a\rb"]
)
def test_any_body_is_read_back(tmp_path: Path, text: str) -> None:
    read = body(parse(compose(tmp_path, {**ANN, "text": text}, text="{{ text }}", html="<p>x</p>")), "plain")
    assert read == text.replace("\r\n", "\n").replace("\r", "\n")
    alone = body(parse(compose(tmp_path, {**ANN, "text": text}, text="{{ text }}")), "plain")
    assert alone.removesuffix("\n") == read.removesuffix("\n")  # a message ends with a line end in any case


def test_a_body_that_quotes_the_boundary_adds_no_part(tmp_path: Path) -> None:
    one = composer(tmp_path, text="{{ text }}", html="<p>x</p>")
    boundary = parse(one.compose(Record(1, 2, {**ANN, "text": "x"}))).get_boundary()
    for text in (f"\n--{boundary}\nContent-Type: text/html\n\nevil\n--{boundary}--\n", f"--{boundary}--"):
        parsed = parse(one.compose(Record(2, 3, {**ANN, "text": text})))
        assert shape(parsed) == "alternative(text/plain, text/html)"
        assert body(parsed, "plain") == text


def test_a_local_part_in_another_script_stands_in_the_header_as_it_is(tmp_path: Path) -> None:
    submission = compose(tmp_path, {**ANN, "email": "jörg@bücher.example"})
    assert "To: jörg@xn--bcher-kva.example\r\n".encode() in submission.content
    with pytest.raises(RecordError, match="SMTPUTF8"):
        compose(tmp_path, to="jörg@example.com")


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"from_": "App"}, "message.from: header From"),
        ({"from_": "a@example.com, b@example.com"}, "message.from: .*exactly one"),
        ({"to": "{{ name"}, "message.to: header To, line 1"),
        ({"reply_to": "x"}, "message.reply_to"),
        ({"return_path": "x"}, "message.return_path"),
        ({"subject": "two\nlines"}, r"message.subject: .*U\+000A"),
        ({"subject": "{% if %}"}, "message.subject: header Subject, line 1"),
        ({"headers": {"From": "x"}}, "message.headers: From cannot be set"),
        ({"headers": {"List-Unsubscribe": "https://example.com"}}, "message.headers: header List-Unsubscribe"),
        ({"html": "\n{{ x"}, "message.html, line 2"),
        ({"text": None}, "neither text nor HTML"),
        ({"attachments": ("missing.pdf",)}, "message.attachments: attachment 'missing.pdf': No such file"),
    ],
)
def test_what_is_wrong_with_the_campaign_is_said_before_any_record(
    tmp_path: Path, keys: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        composer(tmp_path, **keys)
    assert caught.value.remedy


def test_what_is_wrong_in_a_template_is_said_of_it_once(tmp_path: Path) -> None:
    """The file that `init` writes is called like the key of the HTML."""
    (tmp_path / "message.html").write_text("{% if %}")
    with pytest.raises(UsageError, match=r"^message\.html, line 1: "):
        composer(tmp_path, html_file=tmp_path / "message.html")


def test_a_missing_template_file_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"message\.html_file: cannot read .*missing\.html"):
        composer(tmp_path, html_file=tmp_path / "missing.html")


def test_a_batch_id_that_is_no_part_of_a_message_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Message-ID"):
        Composer(Message(**BASIC), directory=tmp_path, batch_id="a b")


def test_a_record_may_bring_its_own_message(tmp_path: Path) -> None:
    fields = {**ANN, "subject": "Grüße {{ 7*7 }}", "html": "<p>{{ name }} &amp; <b>co</b></p>", "text": "<own>"}
    own: dict[str, Any] = {"subject": "{{ subject }}", "text": "{{ text }}"}
    parsed = parse(compose(tmp_path, fields, html="{{ html | safe }}", **own))
    assert parsed["Subject"] == fields["subject"]
    assert body(parsed, "html") == fields["html"]
    assert body(parsed, "plain") == "<own>"
    assert body(parse(compose(tmp_path, fields, html="{{ html }}", **own)), "html") == (
        "&lt;p&gt;{{ name }} &amp;amp; &lt;b&gt;co&lt;/b&gt;&lt;/p&gt;"
    )
    derived = parse(compose(tmp_path, fields, html="{{ html | safe }}", text=None, subject="{{ subject }}"))
    assert body(derived, "plain") == "{{ name }} & co\n"


def test_text_derived_in_the_short_way_has_lines_like_any_other(tmp_path: Path) -> None:
    parsed = parse(compose(tmp_path, text=None, html="<p>one\n{{ name }}</p>\n<p>two</p>\n<pre>a\nb</pre>\n"))
    derived = body(parsed, "plain")
    assert derived == body(
        parse(compose(tmp_path, text=None, html="<p>one\nAnn</p>\n<p>two</p>\n<pre>a\nb</pre>\n")), "plain"
    )


def test_a_template_that_is_not_short_sees_batch_and_functions(tmp_path: Path) -> None:
    parsed = parse(compose(tmp_path, subject="{{ name }}", text="{{ batch.record }}{{ range(2) | list }}{{ name }}"))
    assert body(parsed, "plain") == "7[0, 1]Ann\n"
    fields = {**ANN, "batch": "mine"}
    assert body(parse(compose(tmp_path, fields, text="{{ batch }}")), "plain").startswith("Batch(id='b1', record=7)")


@pytest.mark.parametrize(
    "written", [" ann@example.com", "ann@example.com\xa0", "'ann@example.com", "mailto:ann@example.com"]
)
def test_an_address_is_written_to_as_it_was_meant_and_shown_so(tmp_path: Path, written: str) -> None:
    submission = compose(tmp_path, {"email": written, "name": "Ann"}, to="{{ name }} <{{ email }}>", text="{{ email }}")
    assert submission.envelope.forward_path == "ann@example.com"
    parsed = parse(submission)
    assert parsed["To"] == "Ann <ann@example.com>"
    assert body(parsed, "plain").strip() == "ann@example.com"


def test_each_record_of_a_list_has_its_own_names(tmp_path: Path) -> None:
    one = composer(tmp_path, text="Hi {{ First_Name }}")
    named, aliased = {**ANN, "First_Name": "Ann"}, {**ANN, "First Name": "Bob"}
    for fields, name in ((named, "Ann"), (aliased, "Bob"), (named, "Ann"), (aliased, "Bob")):
        assert f"Hi {name}".encode() in one.compose(Record(1, 2, fields)).content
        with pytest.raises(RecordError, match="'First_Name' is undefined"):
            one.compose(Record(1, 2, ANN))
