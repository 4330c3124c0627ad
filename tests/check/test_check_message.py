"""What receivers hold against messages is found where it is certain, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.campaign import load
from batchsend.check import Severity
from batchsend.check.records import RecordsCheck
from tests.check.harness import bodies, found, kinds, look_at
from tests.cli.commandline import make_campaign

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (
    "<p>Come and see it: the library opens its new reading room.</p><p>A hundred chairs, and the river before them.</p>"
)
WORDS += "<p>Until the end of the month there is tea for everybody.</p>"
PAIR = (
    'headers = { List-Unsubscribe = "<https://example.com/u>", List-Unsubscribe-Post = "List-Unsubscribe=One-Click" }'
)
ALWAYS = {"from-reserved", "unsubscribe-missing"}


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ('<img src="https://example.com/a.png">', "image-alt"),
        ('<a href="http://example.com/page">page</a>', "link-http"),
        ('<a href="javascript:go()">go</a>', "link-script"),
        ('<a href="page.html">page</a>', "link-nowhere"),
        ('<a href="">page</a>', "link-nowhere"),
        ('<a href="//example.com/page">page</a>', "link-nowhere"),
        ('<a href="https://[::1/page">page</a>', "link-nowhere"),
        ('<a href="https://">page</a>', "link-nowhere"),
        ('<a href="http:///page">page</a>', "link-nowhere"),
        ('<a href="mailto:">write to us</a>', "link-nowhere"),
        ('<a href="https://example.net/x"> https://www.example.com/ </a>', "link-differs"),
        ('<a href="https://example.net/x"><b>www.example.com</b></a>', "link-differs"),
        ('<img alt="" src="http://example.com/a.png">', "image-http"),
        ('<img alt="" src="data:image/png;base64,AAAA">', "image-data"),
        ('<img alt="" src="nowhere/a.png">', "image-nowhere"),
        ("<script>go()</script>", "html-active"),
        ('<form action="https://example.com/"><input></form>', "html-active"),
    ],
)
def test_what_is_wrong_in_html(tmp_path: Path, html: str, kind: str) -> None:
    assert bodies(tmp_path, f"<body>{WORDS}{html}</body>") - ALWAYS == {kind}


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://example.com/page">page</a>',
        '<a href="mailto:desk@example.com">write to us</a> <a href="tel:+4612345">or call</a>',
        '<a href="mailto:?subject=Read%20this">tell a friend</a>',
        '<a href="#top">to the top</a>',
        '<a href="https://click.example.com/x">https://www.example.com/</a>',
        '<a href="https://example.net/x">node.js and www.not-a-domain.js</a>',
        '<img alt="" src="https://example.com/a.png">',
        "<style>a { color: red }</style><title>javascript:</title>",
        '<table><tr><td><a name="here">here</a></table>',
        '<map><area href="https://example.com/x"></map>www.example.net',
    ],
)
def test_what_is_right_in_html(tmp_path: Path, html: str) -> None:
    assert bodies(tmp_path, f"<body>{WORDS}{html}</body>") == ALWAYS


def test_links_that_lead_nowhere_are_all_named_in_one_finding(tmp_path: Path) -> None:
    (tmp_path / "body.html").write_text(
        f'<body>{WORDS}<a href="a.html">a</a> <a href="https://">b</a> <a href="a.html">c</a></body>'
    )
    finding = found("link-nowhere", *look_at(tmp_path, message='html_file = "body.html"'))
    assert finding.what == "body.html: links lead nowhere from within a message: 'a.html', 'https://'"


def test_a_message_of_images_alone(tmp_path: Path) -> None:
    html = '<body><img alt="" src="https://example.com/a.png"></body>'
    assert bodies(tmp_path, html) - ALWAYS == {"image-only"}


def test_html_that_is_cut_off_by_a_reader(tmp_path: Path) -> None:
    assert bodies(tmp_path, WORDS * 1000) - ALWAYS == {"html-long"}


def test_a_text_that_is_empty(tmp_path: Path) -> None:
    assert "text-missing" in kinds(*look_at(tmp_path, text="  "))


def test_a_whole_message_without_a_text(tmp_path: Path) -> None:
    (tmp_path / "message.eml").write_text(
        "From: from@example.com\nTo: {{ email }}\nSubject: For {{ name }}\nMIME-Version: 1.0\n"
        f"Content-Type: text/html; charset=utf-8\n\n<html><body>{WORDS}<img src='x.png'></body></html>\n"
    )
    make_campaign(tmp_path)
    path = tmp_path / "campaign.toml"
    path.write_text(f'{path.read_text().partition("[message]")[0]}[message]\neml_file = "message.eml"\n')
    sections = RecordsCheck(load(path, resolve_credentials=False), limit=None).run()
    assert {"text-missing", "image-alt", "image-nowhere"} <= kinds(*sections)


def test_a_subject_that_is_empty(tmp_path: Path) -> None:
    rows = "email,name\na@example.com,A\n"
    look_at(tmp_path, rows)
    path = tmp_path / "campaign.toml"
    path.write_text(path.read_text().replace('subject = "For {{ name }}"', 'subject = "{{ subject }}"'))
    (tmp_path / "recipients.csv").write_text("email,name,subject\na@example.com,A,S\nb@example.com,B, \n")
    sections = RecordsCheck(load(path, resolve_credentials=False), limit=None).run()
    assert found("subject-empty", *sections).lines == (3,)


def test_a_message_that_is_too_large_for_many(tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(8_000_000))
    _, messages = look_at(tmp_path, "email,name\na@example.com,A\n", message='attachments = ["large.bin"]')
    assert found("message-large", messages).count == 1
    assert "10,9" in messages.facts["largest"]


def test_an_attachment_that_gmail_refuses(tmp_path: Path) -> None:
    for name in ("setup.exe", "terms.pdf"):
        (tmp_path / name).write_bytes(b"x")
    finding = found("attachment-refused", *look_at(tmp_path, message='attachments = ["setup.exe", "terms.pdf"]'))
    assert "setup.exe" in finding.what


def test_one_finding_for_all_messages(tmp_path: Path) -> None:
    (tmp_path / "body.html").write_text(f'{WORDS}<a href="http://example.com/{{{{ name }}}}">x</a>')
    finding = found("link-http", *look_at(tmp_path, message='html_file = "body.html"'))
    assert (finding.count, finding.lines) == (3, (2, 3, 4))
    assert finding.what.startswith("body.html: ")


def test_only_the_first_messages_are_looked_into(tmp_path: Path) -> None:
    rows = "".join(f"r{number}@example.com,{number}\n" for number in range(150))
    _, messages = look_at(tmp_path, f"email,name\n{rows}", message=PAIR)
    assert messages.facts["looked into"] == "the first 100 messages"


def test_a_from_that_is_somebody_elses(tmp_path: Path) -> None:
    look_at(tmp_path)
    path = tmp_path / "campaign.toml"
    path.write_text(path.read_text().replace("from@example.com", "from@gmail.com"))
    sections = RecordsCheck(load(path, resolve_credentials=False), limit=None).run()
    assert "gmail.com" in found("from-provider", *sections).what
    assert "from-reserved" not in kinds(*sections)


def test_a_from_for_examples(tmp_path: Path) -> None:
    assert found("from-reserved", *look_at(tmp_path)).severity is Severity.NOTE


@pytest.mark.parametrize(
    ("return_path", "finds"),
    [("b@bounce.example.com", False), ("b@example.net", True), ("", False), ("b{{ batch.record }}@example.net", True)],
)
def test_a_return_path_that_cannot_align(tmp_path: Path, return_path: str, *, finds: bool) -> None:
    _, messages = look_at(tmp_path, message=f'return_path = "{return_path}"')
    assert ("return-path-alignment" in kinds(messages)) is finds
    if finds:
        assert found("return-path-alignment", messages).severity is Severity.WARNING


def test_a_signature_stands_in_for_a_return_path_that_cannot_align(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "key.pem").chmod(0o600)
    dkim = 'dkim = { domain = "example.com", selector = "s1", key_file = "key.pem" }'
    _, messages = look_at(tmp_path, message=f'return_path = "b@example.net"\n{dkim}')
    assert found("return-path-alignment", messages).severity is Severity.NOTE


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ("", "unsubscribe-missing"),
        ('headers = { List-Unsubscribe = "<mailto:stop@example.com>" }', "unsubscribe-one-click"),
        ('headers = { List-Unsubscribe = "<https://example.com/u>" }', "unsubscribe-one-click"),
        (PAIR, None),
    ],
)
def test_how_to_unsubscribe(tmp_path: Path, headers: str, kind: str | None) -> None:
    _, messages = look_at(tmp_path, message=headers)
    unsubscribing = {one for one in kinds(messages) if one.startswith("unsubscribe")}
    assert unsubscribing == ({kind} if kind else set())


def test_bulk_makes_it_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("unsubscribe-missing", *look_at(tmp_path)).severity is Severity.NOTE
    monkeypatch.setattr("batchsend.check.message.BULK", 3)
    assert found("unsubscribe-missing", *look_at(tmp_path)).severity is Severity.WARNING
