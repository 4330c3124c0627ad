"""The tests' Postfix is what the end-to-end tests take it for."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.servers.daemon import DaemonError
from tests.servers.postfix import Postfix
from tests.servers.smtp_sink import smtp_source

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everything that a server might be tempted to mend: no Date, no Message-ID, Bcc, long lines, a bare CR, eight bits.
MESSAGE = (
    b"Return-Path: <x@example.net>\r\nBcc: hidden@example.net\r\nFrom: nobody\r\nSubject: =?utf-8?q?=C3=A9?=\r\n"
    b" folded\r\nX-Eight: \xc3\xa9\r\n\r\n.\r\n..two\r\nbare\rCR\r\n" + b"y" * 3000 + b"\r\nlast \r\n\r\n"
)


@contextmanager
def submission(postfix: Postfix) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("localhost", postfix.submission_port, timeout=30) as client:
        client.starttls(context=postfix.certificates.client_context())
        client.login(postfix.username, postfix.password)
        yield client


def test_it_offers_what_the_engine_is_for(postfix: Postfix) -> None:
    with submission(postfix) as client:
        client.ehlo()
        assert {"pipelining", "chunking", "8bitmime", "smtputf8", "dsn", "size"} <= client.esmtp_features.keys()
        assert {"PLAIN", "LOGIN", "CRAM-MD5"} <= set(client.esmtp_features["auth"].split())


def test_a_message_over_starttls_and_auth_is_stored_octet_by_octet(postfix: Postfix) -> None:
    with submission(postfix) as client:
        client.sendmail("a@example.org", ["b@example.com", "c@example.com"], b"X-First: 1\r\n" + MESSAGE)
    stored = list(postfix.received())
    assert sorted(message.recipient for message in stored) == ["b@example.com", "c@example.com"]
    for message in stored:
        assert message.sender == "a@example.org"
        assert message.content.startswith(b"Received: ")
        assert message.submitted == b"X-First: 1\r\n" + MESSAGE
    assert postfix.queue_count() == 0
    assert "status=sent" in postfix.log_text()


def test_a_message_over_implicit_tls_is_stored(postfix: Postfix) -> None:
    context = postfix.certificates.client_context()
    with smtplib.SMTP_SSL("127.0.0.1", postfix.smtps_port, context=context, timeout=30) as client:
        client.login(postfix.username, postfix.password)
        client.sendmail("a@example.org", ["b@example.com"], b"Subject: x\r\n\r\n")
    assert [message.submitted for message in postfix.received()] == [b"Subject: x\r\n\r\n"]


def test_its_certificate_is_not_trusted_by_default(postfix: Postfix) -> None:
    with (
        smtplib.SMTP("localhost", postfix.submission_port, timeout=30) as client,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        client.starttls(context=ssl.create_default_context())


def test_submission_wants_tls_and_then_auth(postfix: Postfix) -> None:
    with smtplib.SMTP("localhost", postfix.submission_port, timeout=30) as client:
        assert client.docmd("MAIL FROM:<a@example.org>")[0] == 530
        client.starttls(context=postfix.certificates.client_context())
        client.ehlo()
        assert client.mail("a@example.org")[0] == 250
        assert client.rcpt("b@example.com")[0] == 554
        client.rset()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(postfix.username, "wrong")


def test_domains_that_refuse_and_defer(postfix: Postfix) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.plain_port, timeout=30) as client:
        refused = client.sendmail(
            "a@example.org", ["b@example.com", "x@unknown.example.com", "y@later.example.com"], b"Subject: x\r\n\r\n"
        )
    assert refused["x@unknown.example.com"][0] == 550
    assert refused["x@unknown.example.com"][1].startswith(b"5.1.1 ")
    assert refused["y@later.example.com"][0] == 450
    assert [message.recipient for message in postfix.received()] == ["b@example.com"]


def test_a_bare_line_feed_is_refused(postfix: Postfix) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.plain_port, timeout=30) as client:
        client.ehlo()
        client.mail("a@example.org")
        client.rcpt("b@example.com")
        assert client.data(b"Subject: x\n\nbare\n")[0] == 550


def test_an_internationalised_address_is_kept(postfix: Postfix) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.plain_port, timeout=30) as client:
        client.ehlo()
        client.command_encoding = "utf-8"
        client.mail("a@example.org", ["SMTPUTF8", "BODY=8BITMIME"])
        client.rcpt("jörg@example.com")
        client.data(b"Subject: x\r\n\r\n")
    assert [message.recipient for message in postfix.received()] == ["jörg@example.com"]


def test_thousands_of_messages_are_all_read_back(postfix: Postfix) -> None:
    smtp_source(postfix.plain_port, messages=1000)
    assert sum(1 for _ in postfix.received()) == 1000


def test_discarded_messages_leave_the_queue_and_are_not_stored(discarding_postfix: Postfix) -> None:
    smtp_source(discarding_postfix.plain_port, messages=100)
    assert list(discarding_postfix.received()) == []
    assert discarding_postfix.queue_count() == 0


def test_settings_are_its_own_and_nothing_outlives_it() -> None:
    with Postfix(settings={"message_size_limit": "20000"}) as postfix:
        directory = postfix.directory
        with smtplib.SMTP("127.0.0.1", postfix.plain_port, timeout=30) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == "20000"
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP("127.0.0.1", postfix.plain_port, timeout=30)


def test_a_server_that_cannot_start_says_so_and_leaves_nothing() -> None:
    postfix = Postfix(settings={"inet_interfaces": "192.0.2.1"})
    with pytest.raises(DaemonError, match=r"192\.0\.2\.1"), postfix:
        pass
    assert not postfix.directory.exists()
