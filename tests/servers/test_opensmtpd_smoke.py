"""The tests' OpenSMTPD is what the end-to-end tests take it for."""

from __future__ import annotations

import smtplib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.opensmtpd import OpenSmtpd


def test_messages_are_stored_octet_by_octet_and_without_pipelining(opensmtpd: OpenSmtpd) -> None:
    messages = [
        b"From: a@example.org\r\nDate: Sun, 22 Nov 2026 07:00:00 +0000\r\nMessage-ID: <%d@example.org>\r\n" % number
        + b"X-Eight: \xc3\xa9\r\n\r\n.\r\n..two\r\n"
        + b"y" * 990
        + b"\r\n\r\n"
        for number in range(20)
    ]
    with smtplib.SMTP("127.0.0.1", opensmtpd.plain_port, timeout=30) as client:
        for message in messages:
            client.sendmail("a@example.org", ["b@example.com"], message)
        assert "8bitmime" in client.esmtp_features
        assert "pipelining" not in client.esmtp_features
    stored = list(opensmtpd.received())
    assert {(message.recipient, message.sender) for message in stored} == {("b@example.com", "a@example.org")}
    assert sorted(message.submitted for message in stored) == sorted(messages)
    assert 'command="rcpt TO' not in opensmtpd.log_text()


def test_a_domain_that_refuses(opensmtpd: OpenSmtpd) -> None:
    with smtplib.SMTP("127.0.0.1", opensmtpd.plain_port, timeout=30) as client:
        refused = client.sendmail(
            "a@example.org", ["b@example.com", "x@unknown.example.com"], b"From: a@example.org\r\n\r\n"
        )
    assert refused["x@unknown.example.com"][0] == 550
    assert [message.recipient for message in opensmtpd.received()] == ["b@example.com"]
