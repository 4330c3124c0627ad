"""The tests' Exim is what the end-to-end tests take it for."""

from __future__ import annotations

import smtplib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.exim import Exim

_MESSAGE = (
    b"Bcc: hidden@example.net\r\nSubject: x\r\nX-Eight: \xc3\xa9\r\n\r\n.\r\n..two\r\n" + b"y" * 990 + b"\r\n\r\n"
)


def test_messages_are_stored_octet_by_octet_with_and_without_tls(exim: Exim) -> None:
    with smtplib.SMTP("127.0.0.1", exim.plain_port, timeout=30) as client:
        client.sendmail("a@example.org", ["b@example.com"], _MESSAGE)
        assert {"pipelining", "chunking", "smtputf8"} <= client.esmtp_features.keys()
        assert "starttls" not in client.esmtp_features
    with smtplib.SMTP("localhost", exim.starttls_port, timeout=30) as client:
        client.starttls(context=exim.certificates.client_context())
        client.sendmail("a@example.org", ["c@example.com"], _MESSAGE)
    stored = sorted(exim.received(), key=lambda message: message.recipient)
    assert [(message.recipient, message.sender) for message in stored] == [
        ("b@example.com", "a@example.org"),
        ("c@example.com", "a@example.org"),
    ]
    assert [message.submitted for message in stored] == [_MESSAGE] * 2
    assert "Completed" in exim.log_text()


def test_starttls_is_required_where_it_is_offered(exim: Exim) -> None:
    with smtplib.SMTP("localhost", exim.starttls_port, timeout=30) as client:
        client.ehlo()
        client.mail("a@example.org")
        assert client.rcpt("b@example.com")[0] == 550


def test_domains_that_refuse_and_defer(exim: Exim) -> None:
    with smtplib.SMTP("127.0.0.1", exim.plain_port, timeout=30) as client:
        refused = client.sendmail(
            "a@example.org", ["b@example.com", "x@unknown.example.com", "y@later.example.com"], b"Subject: x\r\n\r\n"
        )
    assert refused["x@unknown.example.com"] == (550, b"5.1.1 User unknown")
    assert refused["y@later.example.com"] == (451, b"4.2.0 Mailbox is busy")
    assert [message.recipient for message in exim.received()] == ["b@example.com"]


def test_many_messages_of_one_session_are_all_read_back(exim: Exim) -> None:
    with smtplib.SMTP("127.0.0.1", exim.plain_port, timeout=30) as client:
        for number in range(50):
            client.sendmail("a@example.org", ["b@example.com"], b"Subject: %d\r\n\r\n" % number)
    assert sorted(message.submitted for message in exim.received()) == sorted(
        b"Subject: %d\r\n\r\n" % number for number in range(50)
    )
