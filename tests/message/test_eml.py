"""A whole message as the template: its texts and header filled in, everything else as it was."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.campaign import Message
from batchsend.errors import RecordError, UsageError
from batchsend.message.composer import Composer
from batchsend.recipients import Record
from tests.message.composing import ANN, body, parse, shape

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.message.submission import Submission

PLAIN = """\
Received: from x by y; Sun, 22 Nov 2026 07:00:00 +0000
Date: Sun, 22 Nov 2026 07:00:00 +0000
Message-ID: <old@example.com>
From: =?utf-8?q?M=C3=BCller=2C_J=C3=B6rg?= <hello@mail.example.com>
To: {{ name }} <{{ email }}>
Reply-To: desk@example.com
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe=2C?=
 {{ name }} of the folded
 line
List-Unsubscribe: <https://example.com/u/{{ token }}>
X-Campaign: {{ batch.id }}
DKIM-Signature: v=1; a=rsa-sha256
MIME-Version: 1.0
Content-Type: text/plain; charset=iso-8859-1; format=flowed
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe, {{ name }}
"""
NESTED = """\
From: hello@mail.example.com
Subject: Hello
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=utf-8

Hi {{ name }}
--inner
Content-Type: multipart/related; boundary="images"; type="text/html"

--images
Content-Type: text/html; charset=utf-8

<p>{{ name }}</p><img src="cid:logo@example.com"><img src="logo.png">
--images
Content-Type: image/png; name="logo.png"
Content-Transfer-Encoding: base64
Content-ID: <logo@example.com>
Content-Description: a
 folded one

bG9nbw==
--images--

--inner--

--outer
Content-Type: text/csv; charset=utf-8
Content-Disposition: attachment; filename="list.csv"
Content-Transfer-Encoding: 7bit

a,{{ not a template }}

--outer
Content-Type: message/rfc822

Subject: inside

the {{ inner }} one
--outer--
epilogue
"""


def whole(directory: Path, source: str | bytes, fields: dict[str, Any] | None = None, **keys: Any) -> Submission:
    path = directory / "message.eml"
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    composer = Composer(Message(eml_file=path, **keys), directory=directory, batch_id="b1")
    return composer.compose(Record(7, 8, {**ANN, "token": "t", **(fields or {})}))


def test_its_header_is_filled_in_and_what_another_transmission_left_is_gone(tmp_path: Path) -> None:
    parsed = parse(whole(tmp_path, PLAIN))
    assert list(parsed) == [
        *("Date", "Message-ID", "From", "To", "Reply-To", "Subject", "List-Unsubscribe", "X-Campaign"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    ]
    assert parsed["Message-ID"] == "<b1.7@mail.example.com>"
    assert parsed["From"] == '"Müller, Jörg" <hello@mail.example.com>'
    assert parsed["To"] == "Ann <ann@example.com>"
    assert parsed["Subject"] == "Grüße, Ann of the folded line"
    assert parsed["List-Unsubscribe"] == "<https://example.com/u/t>"
    assert parsed["X-Campaign"] == "b1"


def test_its_text_is_filled_in_whatever_it_was_encoded_in(tmp_path: Path) -> None:
    submission = whole(tmp_path, PLAIN, {"name": "山"})
    parsed = parse(submission)
    assert body(parsed, "plain") == "Grüße, 山\n"
    assert parsed["Content-Type"].params == {"charset": "utf-8", "format": "flowed"}
    assert parsed["Content-Transfer-Encoding"] == "8bit"
    assert submission.seven_bit is not None
    other = message_from_bytes(submission.seven_bit(), policy=policy.default)
    assert other.as_bytes().isascii()
    assert body(other, "plain") == "Grüße, 山\n"
    assert other["Date"] == parsed["Date"]
    assert whole(tmp_path, PLAIN, encoding="7bit").content.isascii()


def test_its_parts_stand_where_they_stood_and_the_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"beside it, and none of its business")
    parsed = parse(whole(tmp_path, NESTED, {"name": "<Ann>"}))
    assert shape(parsed) == (
        "mixed(alternative(text/plain, related(text/html, image/png)), text/csv, rfc822(text/plain))"
    )
    assert body(parsed, "plain") == "Hi <Ann>"
    assert body(parsed, "html") == '<p>&lt;Ann&gt;</p><img src="cid:logo@example.com"><img src="logo.png">'
    parts = {part.get_content_type(): part for part in parsed.walk()}
    assert parts["multipart/related"]["Content-Type"].params["type"] == "text/html"
    assert parts["image/png"].get_content() == b"logo"
    assert parts["image/png"]["Content-ID"] == "<logo@example.com>"
    assert parts["image/png"]["Content-Description"] == "a folded one"
    assert parts["text/csv"].get_content() == "a,{{ not a template }}\r\n"
    assert parts["text/csv"].get_filename() == "list.csv"
    assert parts["message/rfc822"].get_content()["Subject"] == "inside"
    assert parts["message/rfc822"].get_content().get_content() == "the {{ inner }} one"


def test_a_boundary_that_the_file_or_data_names_ends_nothing(tmp_path: Path) -> None:
    parsed = parse(whole(tmp_path, NESTED, {"name": "\n--inner--\n--outer--\n"}))
    assert shape(parsed).startswith("mixed(alternative(text/plain, related(text/html, image/png)), text/csv")


def test_without_to_it_goes_to_the_bare_recipient(tmp_path: Path) -> None:
    assert parse(whole(tmp_path, NESTED))["To"] == "ann@example.com"


@pytest.mark.parametrize(
    "source",
    [
        "From: a@example.com\nContent-Type: text/pl\u00e4in; charset=utf-8\n\nHi {{ name }}",
        "From: a@example.com\nContent-Type: multipart/mi\u00e4ed; boundary=b\n\n--b\n\nHi\n--b--\n",
        "From: a@example.com\nContent-Typ\u00e4: x\nContent-Type: text/plain\n\nHi",
        "From: a@example.com\nContent-\u00e4: x\n\nHi",
        "From: a@example.com\nContent-Type: text/plain; charset=\0\n\nHi {{ name }}",
        "From: a@example.com\nContent-Type: text/plain; charset*=utf-8''utf-8\n\nH\u00e4 {{ name }}",
        "From: a@example.com\nContent-Type: text/plain; charset=punycode\n\nHi {{ name }}",
        "From: a@example.com\nSubject: =?\0?q?a?=\n\nHi",
        "From: a@example.com\nSubject: =?utf-8?b?A?=\n\nHi",
        f"From: a@example.com\nContent-Type: text/plain; a={'x' * 20_000}\n\nHi {{{{ name }}}}",
        "From: a@example.com\n" + "Content-Type: message/rfc822\n\n" * 2000,
    ],
)
def test_a_message_that_is_none_is_refused_and_no_traceback(tmp_path: Path, source: str) -> None:
    path = tmp_path / "message.eml"
    path.write_text(source)
    with pytest.raises(UsageError) as caught:
        Composer(Message(eml_file=path), directory=tmp_path, batch_id="b")
    assert caught.value.remedy


@pytest.mark.parametrize(
    "octets", [bytes(range(256)), b"x" * 5000, b"\xe9 in latin-1\nand more\n", b"no line end", b"line\r\n"]
)
def test_a_part_keeps_its_octets(tmp_path: Path, octets: bytes) -> None:
    source = (
        b"From: a@example.com\nSubject: x\nMIME-Version: 1.0\n"
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\n"
        b"Content-Type: text/plain; charset=latin-1\nContent-Disposition: attachment\n"
        b"Content-Transfer-Encoding: 8bit\n\n" + octets + b"\n--b--\n"
    )
    submission = whole(tmp_path, source)
    assert submission.content.isascii()
    (attached,) = parse(submission).iter_attachments()
    found = attached.get_payload(decode=True)
    assert isinstance(found, bytes)
    if octets.isascii() and len(octets) < 998:  # as text it has the line ends of mail
        found, octets = found.replace(b"\r\n", b"\n"), octets.replace(b"\r\n", b"\n")
    assert found == octets


SIGNED = (
    "From: a@example.com\nSubject: x\nMIME-Version: 1.0\nContent-Type: multipart/signed; boundary=s;\n"
    ' protocol="application/pgp-signature"\n\n--s\nContent-Type:   text/plain\nX-Odd:   kept\n\nas {{ it }} was  \n'
    "--s\nContent-Type: application/pgp-signature\n\nxyz\n--s--\n"
)


def test_a_signed_part_is_kept_to_the_octet(tmp_path: Path) -> None:
    content = whole(tmp_path, SIGNED).content
    assert b"--s\r\nContent-Type:   text/plain\r\nX-Odd:   kept\r\n\r\nas {{ it }} was  \r\n--s\r\n" in content


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("Subject: x\n\nx", "has no header From"),
        ("From: a@example.com\nBcc: b@example.com\n\nx", "has the header Bcc"),
        ("From: a@example.com\nCc: b@example.com\n\nx", "has the header Cc"),
        ("From: a@example.com\nFrom: b@example.com\n\nx", "header From twice"),
        ("From: a@example.com\nX-A: 1\nx-a: 2\n\nx", "x-a is there twice"),
        ("From: a@example.com, b@example.com\n\nx", "exactly one address"),
        ("From: a@example.com\nSubject: {{ x\n\nx", "header Subject, line 1"),
        ("From: a@example.com\nSubject: =?utf-8?q?a=0D=0ABcc:_x?=\n\nx", r"header Subject .*U\+000D"),
        ("From: a@example.com\nSubject: =?nonsense?q?a?=\n\nx", "header Subject cannot be decoded"),
        (b"From: a@example.com\nSubject: \xe9\n\nx", "header Subject cannot be decoded"),
        ("From: a@example.com\n\n{% if %}{{ x }}", "the text/plain part, line 1"),
        ("From: a@example.com\nContent-Type: text/plain; charset=nonsense\n\n{{ x }}", "is not 'nonsense'"),
        (b"From: a@example.com\nContent-Type: text/plain; charset=utf-8\n\n{{ x }}\xff", "is not 'utf-8'"),
        ("From: a@example.com\nContent-Type: multipart/mixed; boundary=b\n\nx", "is not a message"),
        ("From: a@example.com\nContent-Disposition: attachment; filename={{x}}\n\nx", "has template marks"),
        ("From: a@example.com\nContent-Description: ü\n\nx", "is not ASCII"),
        (SIGNED.replace("was", "wäs"), "has octets above 127"),
    ],
)
def test_what_cannot_be_sent_is_said_before_any_record(tmp_path: Path, source: str | bytes, named: str) -> None:
    with pytest.raises(UsageError, match=rf"^message\.eml_file: .*{named}") as caught:
        whole(tmp_path, source)
    assert caught.value.remedy


@pytest.mark.parametrize("depth", [500, 2000])  # too deep to go through, and to read
def test_parts_within_parts_without_an_end_are_refused(tmp_path: Path, depth: int) -> None:
    lines = ["From: a@example.com"]
    for number in range(depth):
        lines += [f"Content-Type: multipart/mixed; boundary=b{number}", "", f"--b{number}"]
    lines += ["", "text", *(f"--b{number}--" for number in reversed(range(depth)))]
    with pytest.raises(UsageError, match=r"message\.eml has parts within parts too deeply"):
        whole(tmp_path, "\n".join(lines))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"message\.eml_file: cannot read .*gone\.eml"):
        Composer(Message(eml_file=tmp_path / "gone.eml"), directory=tmp_path, batch_id="b1")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": "x\r\nBcc: y@example.net"}, r"header To contains .*U\+000D"),
        ({"token": "x> <https://example.net"}, "header List-Unsubscribe"),
        ({"email": "a@b, c@example.com"}, "only one address"),
    ],
)
def test_no_data_adds_to_its_header(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(RecordError, match=named):
        whole(tmp_path, PLAIN, fields)
