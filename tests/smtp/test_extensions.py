"""What servers offer: the replies of those that people use, and the odd ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchsend.smtp.extensions import Extensions
from batchsend.smtp.replies import ReplyParser

SERVERS = {
    "Postfix": (
        """\
mail.example.org
PIPELINING
SIZE 10240000
VRFY
ETRN
STARTTLS
AUTH PLAIN LOGIN
AUTH=PLAIN LOGIN
ENHANCEDSTATUSCODES
8BITMIME
DSN
SMTPUTF8
CHUNKING""",
        Extensions(
            dsn=True,
            pipelining=True,
            chunking=True,
            eight_bit_mime=True,
            smtputf8=True,
            starttls=True,
            size=10_240_000,
            auth=("PLAIN", "LOGIN"),
        ),
    ),
    "Exim": (
        """\
mail.example.org Hello client.example.com [192.0.2.1]
SIZE 52428800
LIMITS MAILMAX=1000 RCPTMAX=50000
8BITMIME
PIPELINING
PIPECONNECT
CHUNKING
STARTTLS
PRDR
HELP""",
        Extensions(
            pipelining=True,
            chunking=True,
            eight_bit_mime=True,
            starttls=True,
            size=52_428_800,
            mail_max=1000,
            rcpt_max=50_000,
        ),
    ),
    "OpenSMTPD": (
        """\
mail.example.org Hello client.example.com [192.0.2.1], pleased to meet you
8BITMIME
ENHANCEDSTATUSCODES
SIZE 36700160
DSN
AUTH PLAIN LOGIN
HELP""",
        Extensions(dsn=True, eight_bit_mime=True, size=36_700_160, auth=("PLAIN", "LOGIN")),
    ),
    "like Gmail": (
        """\
mx.example.com at your service, [192.0.2.1]
SIZE 35882577
8BITMIME
AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH
ENHANCEDSTATUSCODES
PIPELINING
CHUNKING
SMTPUTF8""",
        Extensions(
            pipelining=True,
            chunking=True,
            eight_bit_mime=True,
            smtputf8=True,
            size=35_882_577,
            auth=("LOGIN", "PLAIN", "XOAUTH2", "PLAIN-CLIENTTOKEN", "OAUTHBEARER", "XOAUTH"),
        ),
    ),
    "like Exchange": (
        """\
EX01.example.com Hello [192.0.2.1]
SIZE 37748736
PIPELINING
DSN
ENHANCEDSTATUSCODES
STARTTLS
X-ANONYMOUSTLS
AUTH NTLM
X-EXPS GSSAPI NTLM
8BITMIME
BINARYMIME
CHUNKING
XRDST""",
        Extensions(
            dsn=True,
            pipelining=True,
            chunking=True,
            eight_bit_mime=True,
            starttls=True,
            size=37_748_736,
            auth=("NTLM",),
        ),
    ),
    "like SES": (
        """\
email-smtp.example.com
8BITMIME
STARTTLS
AUTH PLAIN LOGIN
Ok""",
        Extensions(eight_bit_mime=True, starttls=True, auth=("PLAIN", "LOGIN")),
    ),
}

LINES = [
    pytest.param("AUTH=LOGIN", Extensions(auth=("LOGIN",)), id="the old form of AUTH alone"),
    pytest.param("AUTH=LOGIN PLAIN\nAUTH PLAIN", Extensions(auth=("LOGIN", "PLAIN")), id="both forms of AUTH"),
    pytest.param("AUTH", Extensions(), id="AUTH without a mechanism"),
    pytest.param("auth plain Login", Extensions(auth=("PLAIN", "LOGIN")), id="AUTH in lower case"),
    pytest.param("SIZE", Extensions(size=0), id="SIZE without a value"),
    pytest.param("SIZE 0", Extensions(size=0), id="SIZE 0"),
    pytest.param("SIZE 20000000000000000000", Extensions(size=2 * 10**19), id="SIZE of the 20 digits that are allowed"),
    pytest.param("SIZE 100000000000000000000", Extensions(), id="SIZE of 21 digits"),
    pytest.param("SIZE big", Extensions(), id="SIZE of a word"),
    pytest.param("SIZE -1", Extensions(), id="SIZE below zero"),
    pytest.param("SIZE \u0661\u0660", Extensions(), id="SIZE in other digits"),
    pytest.param("SIZE \u00b2", Extensions(), id="SIZE in a superscript"),
    pytest.param("LIMITS MAILMAX=20", Extensions(mail_max=20), id="MAILMAX"),
    pytest.param(
        "LIMITS RCPTMAX=5 mailmax=20", Extensions(mail_max=20, rcpt_max=5), id="MAILMAX second, in lower case"
    ),
    pytest.param("LIMITS RCPTMAX=5", Extensions(rcpt_max=5), id="LIMITS without MAILMAX"),
    pytest.param("LIMITS MAILMAX=0", Extensions(), id="MAILMAX=0"),
    pytest.param("LIMITS MAILMAX=many", Extensions(), id="MAILMAX of a word"),
    pytest.param("LIMITS MAILMAX", Extensions(), id="MAILMAX without a value"),
    pytest.param("LIMITS", Extensions(), id="LIMITS without a limit"),
    pytest.param("pipelining\nChunking", Extensions(pipelining=True, chunking=True), id="lower case"),
    pytest.param("  PIPELINING  ", Extensions(pipelining=True), id="spaces around"),
    pytest.param("XPIPELINING\nPIPELININGX\nX PIPELINING", Extensions(), id="words that look alike"),
    pytest.param("\n\n", Extensions(), id="empty lines"),
]


@pytest.mark.parametrize("server", SERVERS)
def test_real_replies_are_read(server: str) -> None:
    """From the octets on, as the server sends them."""
    text, expected = SERVERS[server]
    *before, last = text.split("\n")
    octets = "".join(f"250-{line}\r\n" for line in before) + f"250 {last}\r\n"
    [reply] = ReplyParser().feed(octets.encode())
    assert Extensions.parse(reply.text) == expected


@pytest.mark.parametrize(("lines", "expected"), LINES)
def test_one_keyword(lines: str, expected: Extensions) -> None:
    assert Extensions.parse(f"mail.example.org\n{lines}") == expected


@pytest.mark.parametrize("text", ["", "mail.example.org", "PIPELINING", "SIZE 100 CHUNKING"])
def test_the_greeting_offers_nothing(text: str) -> None:
    assert Extensions.parse(text) == Extensions()


@given(st.text())
@settings(deadline=None)
def test_no_text_raises(text: str) -> None:
    size = Extensions.parse(text).size
    assert size is None or size >= 0


@pytest.mark.parametrize(
    ("offered", "size", "eight_bit", "utf8", "obstacle"),
    [
        (Extensions(), 10**9, False, False, None),
        (Extensions(size=0), 10**9, False, False, None),
        (Extensions(size=100), 100, False, False, None),
        (Extensions(size=100), 101, False, False, "101 octets, and the server takes at most 100"),
        (Extensions(), 1, True, False, "8BITMIME"),
        (Extensions(eight_bit_mime=True), 1, True, False, None),
        (Extensions(eight_bit_mime=True), 1, False, True, "SMTPUTF8"),
        (Extensions(smtputf8=True, eight_bit_mime=True), 1, True, True, None),
    ],
)
def test_what_cannot_go_is_known_before_it_is_offered(
    offered: Extensions, size: int, eight_bit: bool, utf8: bool, obstacle: str | None
) -> None:
    found = offered.obstacle(size=size, eight_bit=eight_bit, utf8=utf8)
    if obstacle is None:
        assert found is None
    else:
        assert found is not None
        assert obstacle in found
