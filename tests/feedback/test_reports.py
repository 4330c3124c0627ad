"""What each kind of message that comes back is understood as."""

from __future__ import annotations

import pytest

from batchsend.feedback.report import FeedbackKind, FeedbackReport
from batchsend.feedback.understanding import understand
from batchsend.verdict import Reason
from tests.feedback.letters import complaint, dsn, letter

DAEMON = "Mail Delivery System <MAILER-DAEMON@mx.example.org>"


def only(octets: bytes) -> FeedbackReport:
    (report,) = understand(octets)
    return report


def free_form(text: str, *, subject: str = "failure notice", more: str = "Return-Path: <>\n") -> list[FeedbackReport]:
    return understand(letter(text, subject=subject, sender=DAEMON, more=more))


def test_a_delivery_status_notification_is_read_whole() -> None:
    report = only(dsn(message_id="<run.1@mail.example.com>", envelope_id="run.1@mail.example.com"))
    assert (report.kind, report.hard, report.enhanced, report.code) == (FeedbackKind.BOUNCED, True, "5.1.1", 550)
    assert report.reason is Reason.UNKNOWN_MAILBOX
    assert report.recipient == "anna@example.org"
    assert report.reported_by == "mx.example.org"
    assert report.message_id == "<run.1@mail.example.com>"
    assert report.envelope_id == "run.1@mail.example.com"
    assert report.said == "550 5.1.1 <anna@example.org>: User unknown"
    assert report.time == 1795766400.0


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("failed", "5.2.2", FeedbackKind.BOUNCED),
        ("delayed", "4.4.1", FeedbackKind.DELAYED),
        ("delivered", "2.0.0", FeedbackKind.DELIVERED),
        ("relayed (to a system without DSN)", "2.0.0", FeedbackKind.DELIVERED),
        ("", "4.2.0", FeedbackKind.DELAYED),
    ],
)
def test_the_action_says_what_it_is(action: str, status: str, kind: FeedbackKind) -> None:
    report = only(dsn(action=action, status=status, said="nothing"))
    assert report.kind is kind
    assert not report.hard


@pytest.mark.parametrize(
    ("said", "status", "hard", "reason"),
    [
        ("550 5.1.1 User unknown", "5.1.1", True, Reason.UNKNOWN_MAILBOX),
        ("550 5.1.2 Host unknown", "5.1.2", True, Reason.UNKNOWN_DOMAIN),
        ("552 5.2.2 Mailbox full", "5.2.2", False, Reason.MAILBOX_FULL),
        ("550 5.2.1 The account has been disabled", "5.2.1", False, Reason.MAILBOX_DISABLED),
        ("550 5.7.1 Message rejected as spam", "5.7.1", False, Reason.CONTENT),
        ("550 User unknown (in reply to end of DATA command)", "5.0.0", False, Reason.UNKNOWN_MAILBOX),
        ("550 5.1.1 User unknown (in reply to end of DATA command)", "5.1.1", True, Reason.UNKNOWN_MAILBOX),
        ("550 5.7.1 User unknown", "5.7.1", False, Reason.UNKNOWN_MAILBOX),
        ("550 User unknown", "5.0.0", True, Reason.UNKNOWN_MAILBOX),
        (
            "554 delivery error: dd This user doesn't have a example.org account (x) (in reply to end of DATA command)",
            "5.0.0",
            True,
            Reason.UNKNOWN_MAILBOX,
        ),
    ],
)
def test_hard_is_what_holds_for_the_next_campaign(said: str, status: str, hard: bool, reason: Reason) -> None:
    report = only(dsn(said=said, status=status))
    assert (report.hard, report.reason) == (hard, reason)


@pytest.mark.parametrize(
    ("words", "hard"),
    [
        ("Remote host said: 550 unknown user", False),
        ("Remote host said: 550 5.1.1 unknown user", True),
        ("192.0.2.1 does not like recipient.\nRemote host said: 550 unknown user", True),
        ("In answer to RCPT TO the remote host said: 550 unknown user", True),
        ("User unknown", True),
        ("Remote host said: 550 Host unknown", True),
    ],
)
def test_a_free_form_that_quotes_a_reply_says_to_what_it_was_said_or_the_bounce_is_soft(words: str, hard: bool) -> None:
    (report,) = free_form(f"I wasn't able to deliver your message.\n\n<anna@example.org>:\n{words}\n")
    assert report.kind is FeedbackKind.BOUNCED
    assert report.hard is hard


def test_a_summary_of_sendmail_is_not_taken_for_the_cause() -> None:
    (report,) = free_form(
        "   ----- Transcript of session follows -----\n"
        "554 <anna@example.org>... 550 Host unknown (Authoritative answer from name server)\n",
        subject="Returned mail: Host unknown",
    )
    assert (report.code, report.hard, report.reason) == (550, True, Reason.UNKNOWN_DOMAIN)


def test_a_delay_of_which_the_time_is_over_is_a_bounce() -> None:
    report = only(dsn(action="delayed", status="4.4.7", said="Envelope expired"))
    assert (report.kind, report.hard, report.reason) == (FeedbackKind.BOUNCED, False, Reason.NETWORK)
    assert only(dsn(action="delayed", status="4.4.7", said="Delivery delayed")).kind is FeedbackKind.DELAYED


def test_the_servers_own_code_says_more_than_a_stand_in() -> None:
    assert only(dsn(status="5.0.0", said="550 5.2.2 Mailbox full")).enhanced == "5.2.2"
    assert only(dsn(status="5.2.2", said="550 5.0.0 Mailbox full")).enhanced == "5.2.2"
    assert only(dsn(status="5.4.4", said="no host of that name at 192.0.2.1.5")).enhanced == "5.4.4"


def test_an_address_in_another_script_is_read() -> None:
    (report,) = understand(dsn("x").replace(b"rfc822; x", b"utf-8; j\\x{f6}rg@example.org"))
    assert report.recipient == "jörg@example.org"


def test_recipients_without_a_blank_line_between_them_are_two() -> None:
    second = (
        b"Final-Recipient: rfc822; bert@example.org\nAction: failed\nStatus: 5.2.2\n\n--=_1\nContent-Type: text/rfc822"
    )
    reports = understand(dsn().replace(b"\n--=_1\nContent-Type: text/rfc822", second))
    assert [(one.recipient, one.enhanced) for one in reports] == [
        ("anna@example.org", "5.1.1"),
        ("bert@example.org", "5.2.2"),
    ]


def test_a_bounce_in_free_form_is_read_for_each_recipient() -> None:
    reports = free_form(
        "Hi. This is the qmail-send program at mx.example.org.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        "<anna@example.org>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 User unknown\n\n"
        "<bert@example.org>:\nRemote host said: 552 5.2.2 Mailbox full\n\n"
        "--- Below this line is a copy of the message.\n\n"
        "Return-Path: <news@mail.example.com>\nMessage-ID: <run.7@mail.example.com>\nTo: carl@example.net\n\nHello"
    )
    assert [(one.recipient, one.hard, one.enhanced, one.message_id) for one in reports] == [
        ("anna@example.org", True, "5.1.1", "<run.7@mail.example.com>"),
        ("bert@example.org", False, "5.2.2", "<run.7@mail.example.com>"),
    ]


def test_a_form_that_the_library_does_not_know_is_read_all_the_same() -> None:
    (report,) = free_form(
        "This is the Example Mail Agent.\n\nThere was an error delivering your mail to <anna@example.org>.\n\n"
        "mx.example.org did not like our RCPT TO:\n550 5.1.1 <anna@example.org>: Recipient address rejected\n\n"
        "Original message follows.\n\nMessage-Id: <run.8@mail.example.com>\n",
        subject="Mail delivery failed",
    )
    assert (report.recipient, report.hard, report.enhanced) == ("anna@example.org", True, "5.1.1")
    assert report.message_id == "<run.8@mail.example.com>"


@pytest.mark.parametrize(
    ("subject", "text", "enhanced", "reason"),
    [
        (
            "Unzustellbar: News",
            "Konnte nicht zugestellt werden.\n\n{}:\n  Unbekannter Empfänger",
            None,
            "unknown_mailbox",
        ),
        ("Unzustellbar: News", "{}:\n  550 5.1.1 Empfänger existiert nicht", "5.1.1", "unknown_mailbox"),
        ("Échec de la remise : News", "{}\n 550 5.1.1 Utilisateur inconnu", "5.1.1", "unknown_mailbox"),
        ("Message non distribué", "N'a pas pu être distribué.\n<{}>: boîte aux lettres pleine", None, "mailbox_full"),
        ("Correo devuelto", "No se pudo entregar.\n<{}>: 550 5.1.1 El usuario no existe", "5.1.1", "unknown_mailbox"),
        ("Mancata consegna: News", "{}\n550 5.1.1 La casella non esiste", "5.1.1", "unknown_mailbox"),
        ("Niedostarczona wiadomość", "<{}>: 550 5.1.1 Taki adres nie istnieje", "5.1.1", "unknown_mailbox"),
        ("Сообщение не доставлено", "{}: 550 5.1.1 Пользователь не найден", "5.1.1", "unknown_mailbox"),
        ("系统退信", "您的邮件无法投递到以下收件人:\n\n{}\n550 5.1.1 收件人不存在", "5.1.1", "unknown_mailbox"),
        ("配信できませんでした", "<{}>: 550 5.1.1 宛先が存在しません", "5.1.1", "unknown_mailbox"),
    ],
)
def test_a_form_in_another_language_is_read(subject: str, text: str, enhanced: str | None, reason: str) -> None:
    (report,) = free_form(text.format("anna@example.org"), subject=subject)
    assert (report.kind, report.recipient) == (FeedbackKind.BOUNCED, "anna@example.org")
    assert (report.enhanced, report.reason) == (enhanced, reason)
    assert report.hard == (reason == "unknown_mailbox")


@pytest.mark.parametrize(
    "subject", ["[Automatyczna odpowiedź] News", "自动回复: News", "Autosvar: News", "Automatische Antwort: News"]
)
def test_an_automatic_reply_in_another_language_is_one(subject: str) -> None:
    answer = letter("...", subject=subject, sender="Anna <anna@example.org>")
    assert only(answer).kind is FeedbackKind.AUTO_REPLY


def test_a_reporter_that_writes_the_type_of_the_address_twice_names_the_address() -> None:
    assert only(dsn("rfc822; anna@example.org")).recipient == "anna@example.org"


def test_a_mailer_daemon_that_names_nobody_reports_a_bounce_all_the_same() -> None:
    said = "Your mail to the following recipients could not be delivered:\n\tanna"
    report = only(letter(said, subject="Mail Delivery Problem", sender="MAILER-DAEMON@example.org"))
    assert (report.kind, report.hard) == (FeedbackKind.BOUNCED, False)


NOBODY = "Return-Path: <>\n"


@pytest.mark.parametrize(
    ("subject", "sender", "text", "more"),
    [
        ("Delivery failed: your parcel could not be delivered", "Parcels <noreply@p.example>", "We come again.", ""),
        ("Your parcel: delivery failed", "Parcels <noreply@p.example>", "It could not be delivered. Tel. 555 0100", ""),
        ("Failure notice: payment", "Bank <bank@example.org>", "The payment failed. An error occurred.", ""),
        ("Returned mail", "Post Office <post@o.example>", "We have your letter. It was not delivered.", ""),
        (
            "Re: Delivery Status Notification (Failure)",
            "Anna <anna@example.org>",
            "What is this?\n\nThe message could not be delivered to bert@example.org: 550 5.1.1 User unknown",
            "",
        ),
        (
            "[list] undeliverable mail",
            "Anna <anna@example.org>",
            "Mail to bert@example.org could not be delivered: 550 User unknown. Who knows why?",
            "List-Id: <list.example.org>\n",
        ),
        ("Weekly report: mail delivery", "postmaster@example.org", "Five messages could not be delivered.", NOBODY),
        (
            "Unzustellbar: Paket",
            "Pakete <info@p.example>",
            "Es konnte nicht zugestellt werden. 0511 550 123, a@p.example",
            "",
        ),
        ("Colis non distribué", "Poste <info@p.example>", "Il n'a pas pu être remis. a@p.example, le 550 12 12.", ""),
        ("Quarantine", "postmaster@example.org", "3 messages were held for you.", NOBODY),
    ],
)
def test_what_is_worded_as_a_bounce_and_has_nothing_of_a_report_is_none(
    subject: str, sender: str, text: str, more: str
) -> None:
    assert only(letter(text, subject=subject, sender=sender, more=more)).kind is FeedbackKind.OTHER


def test_a_notice_of_success_in_free_form_is_one() -> None:
    (report,) = free_form(
        "Your message was successfully delivered to the destination(s) listed below. If the message was delivered to\n"
        "a mailbox you will receive no further notifications. Otherwise it could not be delivered.\n\n"
        "<anna@example.org>: delivery via mx.example.org: 250 2.0.0 Ok\n",
        subject="Successful Mail Delivery Report",
    )
    assert (report.kind, report.recipient, report.hard, report.reason) == (
        FeedbackKind.DELIVERED,
        "anna@example.org",
        False,
        None,
    )


def test_a_receipt_of_who_has_read_it_is_an_automatic_reply() -> None:
    report = only(
        b"From: Anna <anna@example.org>\nTo: bounce@mail.example.com\nSubject: Not read: News\nReturn-Path: <>\n"
        b"Content-Type: multipart/report; report-type=disposition-notification; boundary=x\n\n"
        b"--x\n\nYour message was not delivered to a reader: it was deleted.\n"
        b"--x\nContent-Type: message/disposition-notification\n\n"
        b"Final-Recipient: rfc822; anna@example.org\nDisposition: automatic-action/MDN-sent-automatically; deleted\n"
        b"--x--\n"
    )
    assert (report.kind, report.recipient) == (FeedbackKind.AUTO_REPLY, "anna@example.org")


def test_a_warning_is_a_delay() -> None:
    (report,) = free_form(
        "THIS IS A WARNING MESSAGE ONLY.\nDelivery to the following recipient has been delayed:\n\n"
        "     anna@example.org\n\nMessage will be retried for 2 more days\n",
        subject="Delivery Status Notification (Delay)",
    )
    assert (report.kind, report.recipient, report.hard) == (FeedbackKind.DELAYED, "anna@example.org", False)


def test_a_complaint_names_whom_it_can() -> None:
    report = only(complaint())
    assert (report.kind, report.recipient) == (FeedbackKind.COMPLAINED, "carl@example.net")
    assert report.message_id == "<20261127T080000.abcdef012345.3@mail.example.com>"
    hidden = only(complaint(recipient=""))
    assert hidden.kind is FeedbackKind.COMPLAINED


@pytest.mark.parametrize(
    ("kind", "understood"),
    [
        ("fraud", FeedbackKind.COMPLAINED),
        ("opt-out", FeedbackKind.UNSUBSCRIBED),
        ("not-spam", FeedbackKind.OTHER),
        ("something-new", FeedbackKind.COMPLAINED),
    ],
)
def test_the_feedback_type_says_what_it_is(kind: str, understood: FeedbackKind) -> None:
    assert only(complaint(kind)).kind is understood


def test_a_report_of_failed_authentication_says_that_nobody_complained() -> None:
    assert only(complaint("auth-failure")).reason is Reason.AUTHENTICATION


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (letter("", subject="unsubscribe"), FeedbackKind.UNSUBSCRIBED),
        (letter("Abmelden", subject=""), FeedbackKind.UNSUBSCRIBED),
        (letter("I am away.", subject="Out of Office: News"), FeedbackKind.AUTO_REPLY),
        (letter("Bin weg.", subject="Re: News", more="Auto-Submitted: auto-replied\n"), FeedbackKind.AUTO_REPLY),
        (letter("Please confirm that you are a human.", subject="Re: News"), FeedbackKind.CHALLENGE),
        (letter("Thank you! I could not be happier."), FeedbackKind.OTHER),
        (letter("How do I unsubscribe my neighbour from the other list, which he likes less?"), FeedbackKind.OTHER),
        (letter("It was not delivered by the postman.", subject="My parcel"), FeedbackKind.OTHER),
    ],
)
def test_what_is_no_bounce_is_told_apart(octets: bytes, kind: FeedbackKind) -> None:
    report = only(octets)
    assert report.kind is kind
    assert report.recipient == (None if kind is FeedbackKind.OTHER else "anna@example.org")


def test_an_automatic_reply_says_which_message_it_answers() -> None:
    report = only(letter("Away", subject="Automatic reply", more="In-Reply-To: <run.4@mail.example.com>\n"))
    assert report.message_id == "<run.4@mail.example.com>"


def test_a_notification_as_json_is_read() -> None:
    (report,) = understand(
        letter(
            '{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","reportingMTA":"dsn; mta.example.net",'
            '"bouncedRecipients":[{"emailAddress":"anna@example.org","status":"5.1.1",'
            '"diagnosticCode":"smtp; 550 5.1.1 user unknown"}]},"mail":{}}\n\n--\nA footer {with} braces.\n',
            subject="Notification",
        )
    )
    assert (report.kind, report.recipient, report.hard) == (FeedbackKind.BOUNCED, "anna@example.org", True)
    assert report.reported_by == "mta.example.net"
