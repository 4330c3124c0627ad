"""The tests' smtp-sink is what the end-to-end tests and benchmarks take it for."""

from __future__ import annotations

import smtplib

from tests.servers.smtp_sink import SmtpSink, smtp_source


def test_every_transaction_is_kept_for_each_recipient(smtp_sink: SmtpSink) -> None:
    content = b"Subject: x\r\nX-Eight: \xc3\xa9\r\n\r\n.\r\n..two\r\n\r\n"
    with smtplib.SMTP("127.0.0.1", smtp_sink.port, timeout=30) as client:
        client.sendmail("a@example.org", ["b@example.com", "c@example.com"], content)
        assert "pipelining" in client.esmtp_features
    stored = list(smtp_sink.received())
    assert [(message.recipient, message.sender) for message in stored] == [
        ("b@example.com", "a@example.org"),
        ("c@example.com", "a@example.org"),
    ]
    assert [message.submitted for message in stored] == [content] * 2
    assert smtp_sink.message_count() == 1


def test_a_transaction_that_was_not_finished_is_not_counted(smtp_sink: SmtpSink) -> None:
    with smtplib.SMTP("127.0.0.1", smtp_sink.port, timeout=30) as client:
        client.ehlo()
        client.mail("a@example.org")
        client.rcpt("b@example.com")
    assert list(smtp_sink.received()) == []
    assert smtp_sink.message_count() == 0


def test_options_make_it_refuse() -> None:
    with SmtpSink("-r", "RCPT") as sink, smtplib.SMTP("127.0.0.1", sink.port, timeout=30) as client:
        client.ehlo()
        assert "pipelining" not in client.esmtp_features
        client.mail("a@example.org")
        assert client.rcpt("b@example.com")[0] == 450


def test_the_yardstick_sends_what_it_says() -> None:
    with SmtpSink() as sink:
        run = smtp_source(sink.port, messages=500)
        assert sink.message_count() == 500
    assert run.messages == 500
    assert run.rate > 0
