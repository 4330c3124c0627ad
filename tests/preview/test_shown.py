"""A message taken apart and laid out: for a terminal, for a pipe, for a browser."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from batchsend.display import visible
from batchsend.message import Envelope, Submission
from batchsend.message.parsed import ParsedMessage
from batchsend.preview.page import page
from batchsend.preview.shown import plain, show

PIXEL = b"\x89PNG\r\n\x1a\n not really"


def message(*, text: str | None = "Hello\n", html: str | None = None) -> EmailMessage:
    built = EmailMessage(policy=SMTP)
    built["From"] = "The desk <desk@example.com>"
    built["To"] = "Zoë <zoe@example.com>"
    built["Subject"] = "Grüße — 你好"
    if text is not None:
        built.set_content(text)
    if html is not None and text is not None:
        built.add_alternative(html, subtype="html")
    elif html is not None:
        built.set_content(html, subtype="html")
    return built


def letter(of: EmailMessage | bytes) -> ParsedMessage:
    content = of if isinstance(of, bytes) else of.as_bytes()
    return ParsedMessage.of(
        Submission(record=7, envelope=Envelope("desk@example.com", "zoe@example.com"), content=content)
    )


def with_picture() -> EmailMessage:
    built = message(
        html='<p>Look: <img src="cid:logo%40here" alt="us"></p><div style="background:url(cid:none)">x</div>'
    )
    body = built.get_body(("html",))
    assert isinstance(body, EmailMessage)
    body.add_related(PIXEL, "image", "png", cid="<logo@here>", filename="logo.png")
    built.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Ümläut.pdf")
    return built


def on_terminal(of: ParsedMessage, *, raw: bool = False, width: int = 80) -> str:
    out = StringIO()
    show(of, Console(file=out, width=width, force_terminal=True, color_system="standard"), raw=raw)
    return out.getvalue()


def test_headers_are_decoded_and_the_formats_own_left_out() -> None:
    found = letter(message())
    assert dict(found.headers) == {
        "From": "The desk <desk@example.com>",
        "To": "Zoë <zoe@example.com>",
        "Subject": "Grüße — 你好",
    }
    assert "Subject: =?utf-8?" in found.raw_headers
    assert "Content-Type: text/plain" in found.raw_headers


def test_text_html_and_attachments_each_have_their_place() -> None:
    found = letter(with_picture())
    assert found.text == "Hello\n"
    assert found.html is not None
    assert "<p>Look" in found.html
    assert [(part.name, part.content_type, part.content_id) for part in found.attachments] == [
        ("logo.png", "image/png", "logo@here"),
        ("Ümläut.pdf", "application/pdf", None),
    ]
    assert found.inline["logo@here"].content == PIXEL


def test_an_attached_message_is_one_attachment_and_not_the_letter() -> None:
    built = message()
    inner = message(text="Inner\n")
    built.add_attachment(inner, filename="forwarded.eml")
    found = letter(built)
    assert found.text == "Hello\n"
    assert [(part.name, part.content_type) for part in found.attachments] == [("forwarded.eml", "message/rfc822")]
    assert b"Inner" in found.attachments[0].content


def test_an_attached_text_is_not_taken_for_the_text() -> None:
    built = message()
    built.add_attachment("not the text\n", filename="notes.txt")
    found = letter(built)
    assert found.text == "Hello\n"
    assert found.attachments[0].content == b"not the text\r\n"


def test_eight_bit_and_a_charset_that_nobody_knows() -> None:
    head = b"From: a@example.com\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    assert letter(head % b"utf-8" + "Grüße\r\n".encode()).text == "Grüße\n"
    assert letter(head % b"x-klingon" + "Grüße\r\n".encode()).text == "Grüße\n"


def test_a_picture_that_is_a_link_is_called_by_what_is_said_of_it() -> None:
    built = message()
    html = '<a href="https://example.com/"><img src="x.png" alt="Shop &lt;b&gt;"></a><img src="y.png" alt="no link">'
    built.add_alternative(html, subtype="html")
    lines = list(plain(letter(built), raw=False))
    assert lines[lines.index("--- HTML ---") + 1] == "[Shop <b>](https://example.com/)"


def test_plain_lines_for_a_pipe() -> None:
    lines = list(plain(letter(with_picture()), raw=False))
    assert lines[0] == "record 7: MAIL FROM:<desk@example.com> RCPT TO:<zoe@example.com>"
    assert "Subject: Grüße — 你好" in lines
    assert lines[lines.index("--- text ---") + 1] == "Hello"
    assert lines[lines.index("--- HTML ---") + 1].startswith("Look:")
    attached = lines[lines.index("--- attachments ---") + 1 :]
    assert attached == [
        "logo.png (image/png, 19 octets, in the HTML as cid:logo@here)",
        "Ümläut.pdf (application/pdf, 4 octets)",
    ]


def test_raw_is_as_it_is_sent() -> None:
    lines = list(plain(letter(with_picture()), raw=True))
    assert any(line.startswith("Subject: =?utf-8?") for line in lines)
    assert any("<p>Look: <img" in line for line in lines)


@pytest.mark.parametrize("width", [80, 140])
def test_a_terminal_gets_the_html_rendered(width: int) -> None:
    html = '<h1>Ada,</h1><p>a <b>bold</b> word, and <a href="https://example.com/x">a link</a></p>'
    html += "<ul><li>one</li></ul><p>Yours<br>A</p>"
    shown = on_terminal(letter(message(html=html)), width=width)
    assert "\x1b[1mbold\x1b[0m" in shown
    assert "https://example.com/x" in shown
    assert "•" in shown
    assert re.search(r"^Yours *\n\s*A *$", shown, re.MULTILINE)
    assert "<b>" not in shown
    assert "<b>" in on_terminal(letter(message(html=html)), raw=True)


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066"


def test_nothing_that_a_terminal_would_obey_gets_through() -> None:
    body = HOSTILE.replace("\x9b", "&#155;")
    built = message(text=f"text {HOSTILE}\n", html=f"<p>html {body}</p><pre>{HOSTILE}</pre>")
    built.add_attachment(b"x", maintype="application", subtype="pdf", filename=f"a{HOSTILE}.pdf")
    found = letter(built)
    for raw in (False, True):
        text = "\n".join(plain(found, raw=raw))
        assert not set(text) & set(HOSTILE) - set("evilowned[]0;2J31mtx")
        drawn = on_terminal(found, raw=raw)
        for obeyed in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e", "\u2066"):
            assert obeyed not in drawn


@given(st.text())
def test_visible_text_holds_no_control_character(text: str) -> None:
    shown = visible(text)
    assert all(character in "\t\n" or not "\x00" <= character < " " for character in shown)
    assert not {"\x7f", "\u202e", "\u2028"} & set(shown)
    shown.encode()


class Page(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def one(self, tag: str) -> dict[str, str | None]:
        (found,) = self.all(tag)
        return found


def test_a_page_holds_its_pictures() -> None:
    document = Page(page(letter(with_picture()))).all("iframe")[0]["srcdoc"]
    assert document is not None
    inside = Page(document)
    assert str(inside.one("img")["src"]).startswith("data:image/png;base64,iVBOR")
    assert "cid:none" in document, "what there is no part for stays as it is"


def test_a_page_runs_nothing_and_believes_nothing() -> None:
    built = message(html="<script>alert(1)</script><p onclick='x()'>\"quoted\" &amp; more</p></iframe><h1>out</h1>")
    built.replace_header("Subject", "<script>alert(2)</script>")
    text = page(letter(built))
    found = Page(text)
    assert not [tag for tag, _ in found.elements if tag in ("script", "h1")], "all of it is inside the frame"
    assert len(found.all("iframe")) == 3
    assert not any("allow-scripts" in str(frame["sandbox"]) for frame in found.all("iframe"))
    policies = [attributes for tag, attributes in found.elements if tag == "meta" and "http-equiv" in attributes]
    assert "script-src 'none'" in str(policies[0]["content"])
    assert "&lt;script&gt;alert(2)" in text


def test_a_letter_without_html_is_shown_as_it_is_written() -> None:
    text = page(letter(message(text="a < b\n  indented\n")))
    assert "<pre>a &lt; b\n  indented\n</pre>" in text
