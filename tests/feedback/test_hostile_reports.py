"""Mail that nobody who means well would write: it is read, or not understood, and never an error."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.feedback.entities import MOST_READ
from batchsend.feedback.log import as_fields
from batchsend.feedback.report import FeedbackKind
from batchsend.feedback.understanding import understand
from tests.feedback.letters import complaint, dsn, letter

HEAD = b"From: MAILER-DAEMON@mx.example.org\nSubject: failure notice\n"
NESTED = HEAD + b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (i, i) for i in range(5000))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0" * 1000,
        b"\r" * 1000,
        NESTED,
        HEAD + b"Content-Type: message/rfc822\n\n" * 5000,
        HEAD + b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n" * 5000,
        HEAD + b"X: " + b"a" * 1_000_000 + b"\n\n",
        HEAD + b"Date: Fri, 99 Foo 99999999999 99:99:99 +9999\n\nunable to deliver",
        HEAD + b"Content-Type: text/plain; charset=no-such-thing\n\n\xff\xfe",
        HEAD + b"Content-Type: text/plain; charset=utf-7\n\n+2AA-",
        HEAD + b"Content-Type: text/plain; charset=rot13\n\nabc",
        HEAD + b"Content-Transfer-Encoding: base64\n\n!!!!",
        b"From: \xff\xfe\nSubject: =?utf-8?b?////?=\n\n",
        b"Subject: failure notice\nReturn-Path: <>\n\n<@>: \n",
        dsn().replace(b"anna@example.org", b"anna@\xff\x00example.org"),
        complaint().replace(b"carl@", b"\xed\xa0\x80@"),
        letter('{"notificationType":"Bounce","bounce":' + "[" * 100_000),
    ],
    ids=lambda octets: octets[:12],
)
def test_nothing_in_a_message_is_an_error(octets: bytes) -> None:
    for report in understand(octets):
        fields = as_fields(report, record=None, recipient=report.recipient, source="s")
        assert b"\n" not in orjson.dumps(fields)


@given(octets=st.binary(max_size=400), at=st.integers(0, 900))
def test_a_report_with_anything_put_into_it_is_read_or_not_understood(octets: bytes, at: int) -> None:
    sound = dsn()
    for report in understand(sound[:at] + octets + sound[at:]):
        orjson.dumps(as_fields(report, record=None, recipient=report.recipient, source="s"))


def test_what_comes_after_the_first_megabytes_is_not_looked_at() -> None:
    (report,) = understand(letter("x" * MOST_READ + "\nunable to deliver to <anna@example.org>: 550 5.1.1 unknown"))
    assert report.kind is FeedbackKind.OTHER


def test_what_a_terminal_would_obey_is_escaped() -> None:
    (report,) = understand(dsn(said="550 5.1.1 \x1b[2Junknown"))
    assert report.said is not None
    assert "\x1b" not in report.said
