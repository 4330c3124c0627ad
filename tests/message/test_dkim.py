"""DKIM signatures: an independent verifier agrees with them, and with nothing that was changed afterwards."""

from __future__ import annotations

import re
import time
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchsend.errors import RecordError
from batchsend.message.dkim import OVERSIGNED, SIGNED, Identity, Signer
from batchsend.message.dkim_key import SigningKey
from tests.tools.dkim_verifier import by_ed25519, by_rsa, ed25519_key, published, verdicts

HEADER = (
    b"Date: Sun, 22 Nov 2026 11:00:00 +0000\r\n"
    b"Message-ID: <b1.7@mail.example.com>\r\n"
    b"From: App <hello@mail.example.com>\r\n"
    b"To: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>\r\n"
    b"Reply-To: desk@example.com\r\n"
    b"Subject: Welcome\r\n"
    b"List-Unsubscribe: <https://example.com/u/1>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Feedback-ID: spring:example\r\n"
    b"X-Tag: one\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 7bit\r\n"
)
BODY = b"Hello,\r\n\r\nthis is for you.\r\n"
MESSAGE = HEADER + b"\r\n" + BODY
EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
"""The SHA-256 of nothing (RFC 6376 §3.4.4)."""

BOTH = [by_rsa(), by_ed25519()]
RECORDS = published(BOTH)
SIGNER = Signer(BOTH)
FAST = Signer([by_ed25519()])


def signed(message: bytes, signer: Signer = SIGNER) -> bytes:
    return signer.sign(message) + message


def arrived(message: bytes) -> bytes:
    """What a server has of a message: SMTP has no last line without its end (RFC 5321 §4.1.1.4)."""
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def tag(fields: bytes, name: str) -> str:
    """A tag of the first signature, without white space."""
    first = re.split(rb"\r\n(?![ \t])", fields)[0].decode("ascii").partition(":")[2]
    tags = dict(part.split("=", maxsplit=1) for part in re.sub(r"\s", "", first).split(";"))
    return tags[name]


def test_both_kinds_of_key_make_signatures_that_verify() -> None:
    assert verdicts(signed(MESSAGE), RECORDS) == [True, True]


def test_another_key_does_not_verify() -> None:
    other = Identity("mail.example.com", "ed25519", SigningKey(Ed25519PrivateKey.generate()))
    assert verdicts(signed(MESSAGE, FAST), published([other])) == [False]


def test_the_field_says_what_was_done() -> None:
    before = int(time.time())
    fields = SIGNER.sign(MESSAGE)
    assert [tag(fields, name) for name in "vacds"] == ["1", "rsa-sha256", "relaxed/relaxed", "mail.example.com", "rsa"]
    assert tag(FAST.sign(MESSAGE), "a") == "ed25519-sha256"
    assert before <= int(tag(fields, "t")) <= time.time()
    assert len(b64decode(tag(fields, "b"))) == 256


def test_fields_are_folded_and_end_their_lines() -> None:
    fields = SIGNER.sign(MESSAGE)
    lines = fields.split(b"\r\n")
    assert lines.pop() == b""
    assert max(map(len, lines)) <= 78
    assert all(line.startswith((b"DKIM-Signature: v=1;", b" ")) for line in lines)
    assert all(line.strip() and line == line.rstrip() for line in lines)
    assert fields.isascii()


def test_a_long_domain_and_selector_still_verify() -> None:
    labels = "l" * 60
    identity = Identity(f"{labels}.{labels}.{labels}.example.com", f"{labels[:30]}.s", ed25519_key())
    assert verdicts(signed(MESSAGE, Signer([identity])), published([identity])) == [True]


@pytest.mark.parametrize("name", OVERSIGNED)
def test_a_field_that_matters_cannot_be_added(name: str) -> None:
    """Neither before nor after one that is there, nor where there was none."""
    added = name.encode() + b": x\r\n"
    without = re.sub(rb"(?im)^" + name.encode() + rb": .*\r\n", b"", MESSAGE)
    for message in (MESSAGE, without):
        fields = FAST.sign(message)
        assert verdicts(fields + message, RECORDS) == [True]
        assert verdicts(fields + added + message, RECORDS) == [False]
        head, _, body = message.partition(b"\r\n\r\n")
        assert verdicts(fields + head + b"\r\n" + added + b"\r\n" + body, RECORDS) == [False]


@pytest.mark.parametrize("name", [*OVERSIGNED, *SIGNED])
def test_a_field_that_is_signed_cannot_be_changed_or_taken_away(name: str) -> None:
    field = name.encode() + b": one\r\n"
    message = field + re.sub(rb"(?im)^" + name.encode() + rb": .*\r\n", b"", MESSAGE)
    if name != "from":
        field = b"From: App <hello@mail.example.com>\r\n" + field
    fields = FAST.sign(message)
    assert verdicts(fields + message, RECORDS) == [True]
    assert verdicts(fields + message.replace(b": one\r\n", b": two\r\n", 1), RECORDS) == [False]
    assert verdicts(fields + message.removeprefix(name.encode() + b": one\r\n"), RECORDS) == [False]


def test_what_relays_write_and_read_is_not_signed() -> None:
    fields = FAST.sign(MESSAGE)
    changed = MESSAGE.replace(b"X-Tag: one\r\n", b"")
    added = b"Return-Path: <b@example.com>\r\nReceived: by mail.example.org; x\r\nSender: a@example.org\r\n"
    assert verdicts(added + fields + changed, RECORDS) == [True]


def test_a_repeated_field_is_signed_each_time() -> None:
    message = b"Feedback-ID: first:example\r\n" + MESSAGE
    fields = FAST.sign(message)
    assert tag(fields, "h").split(":").count("feedback-id") == 2
    assert verdicts(fields + message, RECORDS) == [True]
    assert verdicts(fields + message.replace(b"first", b"third"), RECORDS) == [False]
    assert verdicts(fields + message.replace(b"spring", b"autumn"), RECORDS) == [False]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # The body of RFC 8463, appendix A, with its bh=.
        (
            b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n",
            "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=",
        ),
        (b"", EMPTY),
        (b"\r\n", EMPTY),
        (b" \t\r\n\r\n \r\n", EMPTY),
    ],
)
def test_bodies_are_hashed_as_the_rfcs_say(body: bytes, expected: str) -> None:
    message = HEADER + b"\r\n" + body
    fields = FAST.sign(message)
    assert tag(fields, "bh") == expected
    assert verdicts(fields + message, RECORDS) == [True]


@pytest.mark.parametrize(
    "body",
    [
        b"no line end",
        b"space at the end ",
        b" C \r\nD \t E\r\n\r\n\r\n",  # RFC 6376 §3.4.5
        b"\tindented\r\n \t\r\n\r\nend\t\t\r\n",
        b".\r\n..\r\n.dots\r\n",
        b"\r\n\r\nafter blank lines",
        b"x" * 998 + b"\r\n",
        "raw \u00e9 \U0001f600\r\n".encode(),
        b"\x0b\x0c\x1f\xa0 \r\n",
    ],
)
def test_odd_bodies_verify_and_their_white_space_may_change(body: bytes) -> None:
    message = HEADER + b"\r\n" + body
    fields = FAST.sign(message)
    assert verdicts(fields + arrived(message), RECORDS) == [True]
    changed = body.replace(b" ", b" \t ").replace(b"\r\n", b"  \r\n")
    assert verdicts(fields + HEADER + b"\r\n" + changed + b"\r\n\r\n", RECORDS) == [True]
    assert verdicts(fields + message.replace(body, body + b"\r\nmore\r\n"), RECORDS) == [False]


@pytest.mark.parametrize(
    "field",
    [
        b"Subject: folded\r\n over\r\n\ttwo lines\r\n",
        b"Subject:no space\r\n",
        b"Subject: \r\n",
        b"Subject:\r\n folded at once\r\n",
        b"SuBJect:\t many   spaces\t \r\n",
        b"Subject: colons: in: it\r\n",
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?q?_an_alle?=\r\n",
        "Subject: raw \u00e9\r\n".encode(),
    ],
)
def test_odd_fields_verify_and_may_be_folded_anew(field: bytes) -> None:
    message = MESSAGE.replace(b"Subject: Welcome\r\n", field)
    fields = FAST.sign(message)
    assert verdicts(fields + message, RECORDS) == [True]
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", field)
    assert verdicts(fields + message.replace(field, unfolded), RECORDS) == [True]


WORDS = st.text(st.sampled_from("ab \t.:=;"), max_size=30).map(str.encode)
LINES = st.lists(WORDS, max_size=8).map(b"\r\n".join)


@settings(deadline=None)
@given(body=LINES, subject=WORDS, repeated=st.lists(WORDS, max_size=3), place=st.integers(min_value=0))
@example(body=b"", subject=b"", repeated=[], place=0)
def test_any_message_verifies_until_an_octet_of_it_is_another(
    body: bytes, subject: bytes, repeated: list[bytes], place: int
) -> None:
    subject_field = b"Subject: " + subject.strip() + b"\r\n"
    more = b"".join(b"References: " + value.strip() + b"\r\n" for value in repeated)
    message = MESSAGE.replace(b"Subject: Welcome\r\n", subject_field + more).removesuffix(BODY) + body
    fields = FAST.sign(message)
    message = arrived(message)
    assert verdicts(fields + message, RECORDS) == [True]
    # White space may change, and names may change their case; a letter of a value or of the body may not.
    values = [at for at in range(len(body)) if body[at] > ord(" ")]
    if values:
        start = message.index(b"\r\n\r\n") + 4
        at = start + values[place % len(values)]
        assert verdicts(fields + message[:at] + b"Z" + message[at + 1 :], RECORDS) == [False]
    at = message.index(b"Date: ") + 6 + place % 31
    if message[at] > ord(" "):
        assert verdicts(fields + message[:at] + b"Z" + message[at + 1 :], RECORDS) == [False]


def test_white_space_without_end_is_no_more_work_than_other_octets() -> None:
    """Three megabytes of it: what took a time that grows by their square would not come to an end."""
    body = b" " * 1_000_000 + b"\r\n" + b"\r\n" * 500_000 + b"\t" * 1_000_000
    assert tag(FAST.sign(HEADER + b"\r\n" + body), "bh") == EMPTY


@pytest.mark.parametrize(
    ("domain", "author"),
    [
        ("example.com", "a@example.com"),
        ("example.com", "a@mail.example.com"),
        ("mail.example.com", "a@EXAMPLE.com"),
        ("News.Example.com", "a@mail.example.com"),
        ("xn--grn-ioa.example", "a@xn--grn-ioa.example"),
    ],
)
def test_a_domain_may_speak_for_its_own(domain: str, author: str) -> None:
    Signer([Identity(domain, "s", ed25519_key())]).require_alignment(author)


@pytest.mark.parametrize(
    "author", ["a@example.org", "a@example.com.example.org", "a@[127.0.0.1]", "a@com", "a@badexample.com"]
)
def test_a_domain_may_not_speak_for_another(author: str) -> None:
    signer = Signer([Identity("example.com", "s", ed25519_key()), Identity("mail.example.com", "s", ed25519_key())])
    with pytest.raises(RecordError, match=r"the DKIM signature of example\.com, mail\.example\.com: DMARC would not"):
        signer.require_alignment(author)


def test_one_of_several_domains_is_enough() -> None:
    relay, own = (Identity(domain, "s", ed25519_key()) for domain in ("example.net", "example.com"))
    Signer([relay, own]).require_alignment("a@example.com")
