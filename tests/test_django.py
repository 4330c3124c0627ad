"""The backend for Django: what it shares, what it raises, and Django's own tests of its mail backends."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

django = pytest.importorskip("django", minversion="4.2")

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection, send_mass_mail  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402
from django.test.utils import override_settings  # noqa: E402

if not settings.configured:
    settings.configure(EMAIL_BACKEND="batchsend.django.EmailBackend", USE_I18N=False)

from batchsend import Secret  # noqa: E402
from batchsend.campaign.presets import PRESETS, Preset  # noqa: E402
from batchsend.django import EmailBackend  # noqa: E402
from batchsend.django.management.commands.send_campaign import Command  # noqa: E402
from batchsend.sink import SinkOptions, parse_rule  # noqa: E402
from tests.servers.requirements import NO_MAILERS, NO_OTHER_DJANGO, unpacked  # noqa: E402
from tests.tools.dkim_verifier import by_ed25519, by_rsa, published, verdicts, write_keys  # noqa: E402
from tests.tools.sink_thread import SinkThread  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend import SyncSender
    from batchsend.sink import Received

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batchsend-tests"
SOURCE = Path(os.environ.get("BATCHSEND_SERVERS") or CACHE) / "django" / "tests" / "mail" / "tests.py"
KEY = {"domain": "mail.example.com", "selector": "rsa", "key_file": __file__}


@pytest.fixture
def sink() -> Iterator[SinkThread]:
    options = SinkOptions(
        rules=(
            parse_rule("reject", "refused@example.com=550"),
            parse_rule("defer", "later@example.com=450"),
            parse_rule("drop", "lost@example.com=content"),
        )
    )
    with SinkThread(options) as sink, override_settings(EMAIL_HOST="127.0.0.1", EMAIL_PORT=sink.port):
        yield sink


def message(*recipients: str, **more: Any) -> EmailMessage:
    return EmailMessage("Subject", "Text", "shop@example.com", recipients, **more)


def wait_for(path: Path) -> None:
    """Wait until a child has opened its log; bounded by the test run's own patience."""
    while not path.exists() or not path.stat().st_size:
        time.sleep(0.01)


def sender_of_the_process() -> SyncSender:
    """What all backends of the present settings send by."""
    backend = EmailBackend()
    backend.open()
    assert backend.connection is not None
    return backend.connection


def recipients(sink: SinkThread) -> list[str]:
    return sorted(recipient for received in sink.received for recipient in received.recipients)


def test_calls_and_threads_share_the_sessions_of_the_process(sink: SinkThread) -> None:
    def call(name: int) -> int:
        return int(get_connection().send_messages([message(f"t{name}-{place}@example.com") for place in range(5)]))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(call, range(8))) == [5] * 8
    assert send_mass_mail([("Subject", "Text", "shop@example.com", [f"m{n}@example.com"]) for n in range(40)]) == 40
    assert len(set(recipients(sink))) == len(sink.received) == 80
    assert sink.connections <= 6, "five sessions, and none of them for each call"


def test_a_backend_that_threads_share_sends_for_each_of_them(sink: SinkThread) -> None:
    """Where one thread is done, and closes what it has opened, another one may be just about to send."""

    class Shared(EmailBackend):
        def open(self) -> bool | None:
            opened: bool | None = super().open()
            done = threading.Thread(target=self.close)
            done.start()
            done.join()
            return opened

    assert Shared().send_messages([message("a@example.com")]) == 1
    assert recipients(sink) == ["a@example.com"]


def test_sessions_are_kept_for_the_settings_that_were_used_last(sink: SinkThread) -> None:
    """As where each tenant of a service has credentials of its own: a sender has a thread and open files."""

    def send(tenant: int) -> None:
        backend = get_connection(ehlo_name=f"tenant{tenant}.example.com")
        assert backend.send_messages([message(f"t{tenant}@example.com")]) == 1

    before = {*threading.enumerate()}
    send(0)
    [first] = {*threading.enumerate()} - before
    often = sender_of_the_process()
    for tenant in range(1, 50):
        send(tenant)
        assert sender_of_the_process() is often
    first.join(60)
    assert not first.is_alive()
    send(0)
    assert len(recipients(sink)) == 51


def test_a_message_counts_if_one_recipient_gets_it(sink: SinkThread) -> None:
    assert (
        get_connection().send_messages([message("refused@example.com", "a@example.com", bcc=["bcc@shop.example"])]) == 1
    )
    assert recipients(sink) == ["a@example.com", "bcc@shop.example"]
    assert all(b"bcc@shop.example" not in received.content for received in sink.received)
    assert get_connection().send_messages([message()]) == 0


MAILER = "batchsend.django.EmailBackend"


def test_a_mailer_has_its_options_and_batchsends(sink: SinkThread) -> None:
    """`alias` is what Django gives where the backend comes from MAILERS."""
    options: dict[str, Any] = {"host": "127.0.0.1", "port": sink.port, "max_connections": 1}
    with override_settings(EMAIL_HOST="192.0.2.1", BATCHSEND={"max_connections": 9, "depth": 4}):
        mailer = EmailBackend(alias="bulk", **options)
        assert mailer.send_messages([message(f"a{n}@example.com") for n in range(20)]) == 20
    assert sink.connections == 1
    assert EmailBackend(alias="x", host="h", use_ssl=True).port == 465
    assert EmailBackend(alias="x", host="h", use_tls=True).port == 587
    assert EmailBackend(alias="x", host="h").port == 25
    with pytest.raises(ImproperlyConfigured, match="host"):
        EmailBackend(alias="x")
    with pytest.raises(ImproperlyConfigured, match="use_ssl"):
        EmailBackend(alias="x", host="h", use_ssl=True, use_tls=True)
    with pytest.raises(ImproperlyConfigured, match="depth"):
        EmailBackend(alias="x", host="h", depth=0).open()


def test_djangos_mailers_use_it(sink: SinkThread) -> None:
    mailers = getattr(pytest.importorskip("django.core.mail"), "mailers", None)
    if mailers is None:
        pytest.skip(NO_MAILERS)
    options: dict[str, Any] = {"host": "127.0.0.1", "port": sink.port, "max_connections": 1}
    bulk = {"BACKEND": MAILER, "OPTIONS": options}
    wrong = {"BACKEND": MAILER, "OPTIONS": {**options, "rato": 1}}
    with override_settings(MAILERS={"default": bulk, "wrong": wrong}):
        assert send_mass_mail([("Subject", "Text", "shop@example.com", [f"m{n}@example.com"]) for n in range(5)]) == 5
        message("a@example.com").send()
        with pytest.raises(ImproperlyConfigured, match="rato"):
            mailers["wrong"]
    assert len(sink.received) == 6
    assert sink.connections == 1


@pytest.mark.parametrize(
    ("to", "error", "code"),
    [
        ("refused@example.com", smtplib.SMTPRecipientsRefused, 550),
        ("later@example.com", smtplib.SMTPRecipientsRefused, 450),
        ("lost@example.com", smtplib.SMTPServerDisconnected, None),
    ],
)
def test_a_refusal_raises_what_smtplib_would_and_stops_nobody_else(
    sink: SinkThread, to: str, error: type[Exception], code: int | None
) -> None:
    messages = [message("a@example.com"), message(to), message("b@example.com")]
    with pytest.raises(error) as caught:
        get_connection().send_messages(messages)
    if isinstance(caught.value, smtplib.SMTPRecipientsRefused):
        assert caught.value.recipients[to][0] == code
    assert recipients(sink) == ["a@example.com", "b@example.com"]
    assert get_connection(fail_silently=True).send_messages(messages) == 2


def test_a_server_that_is_gone_is_a_connection_error(sink: SinkThread) -> None:
    with SinkThread() as other:
        port = other.port
    with pytest.raises(ConnectionError, match="cannot connect"):
        get_connection(port=port).send_messages([message("a@example.com")])
    assert get_connection(port=port, fail_silently=True).send_messages([message("a@example.com")]) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        *("a@b@example.com", "a@example.com\nBcc: x@example.com", "@", "<a@example.com>, b@x.y"),
        *("Readers: a@example.com, b@example.com;", "Readers: a@example.com;", "a@example.com,", ",a@example.com"),
    ],
)
def test_nothing_is_sent_if_an_address_is_none(sink: SinkThread, wrong: str) -> None:
    """Not even with `fail_silently`, as in Django: it is a mistake of the program."""
    for silently in (False, True):
        with pytest.raises(ValueError, match="Invalid address"):
            get_connection(fail_silently=silently).send_messages([message("a@example.com"), message(bcc=[wrong])])
    assert sink.received == []


@pytest.mark.skipif(django.VERSION >= (6,), reason="Django 6 makes such messages")
@pytest.mark.parametrize("to", ["é@example.com", "Zoë <é@example.com>"])
def test_an_address_that_needs_another_django_is_said_to_need_it(sink: SinkThread, to: str) -> None:
    if django.VERSION >= (6,):
        pytest.skip(NO_OTHER_DJANGO)
    with pytest.raises(
        ValueError, match=r"'é@example\.com' is not ASCII before the @ and needs SMTPUTF8.*from 6\.0 on"
    ):
        message(to).send()
    assert sink.received == []


def test_a_mailbox_that_is_named_twice_gets_a_message_once(sink: SinkThread) -> None:
    """Whichever way the message is composed: one with an attachment goes Django's own."""
    for one in (message("a@example.com", cc=["a@EXAMPLE.com", "A@example.com"]), message("b@example.com")):
        one.bcc = ["b@Example.com"]
        assert one.send() == 1
        attached = message(*one.to, cc=one.cc, bcc=one.bcc)
        attached.attach("a.txt", "text", "text/plain")
        assert attached.send() == 1
    assert [received.recipients for received in sink.received] == [
        *[["a@example.com", "A@example.com", "b@Example.com"]] * 2,
        *[["b@example.com"]] * 2,
    ]


MADE_UP = re.compile(rb"^(Date|Message-ID): .*\r\n(?: .*\r\n)*", re.MULTILINE)
BOUNDARY = re.compile(rb"={3,}\d+==")


def test_what_arrives_is_what_djangos_own_backend_sends(sink: SinkThread) -> None:
    """Octet for octet, but for the date, the Message-ID and boundaries, which are made anew for each message."""
    made = []
    for number, (subject, text) in enumerate(
        [("Subject", "Text\n.dot\n"), ("Grüße", "Straße\n"), ("x" * 90, "y\r\nz")]
    ):
        to = f"Zoë <r{number}@example.com>"
        plain = EmailMessage(
            subject, text, "Shop <shop@example.com>", [to], ["hidden@example.com"], cc=["c@example.com"]
        )
        both = EmailMultiAlternatives(subject, text, "shop@example.com", [to], headers={"X-Tag": "é", "Reply-To": to})
        both.attach_alternative(f"<p>{text}</p>", "text/html")
        attached = EmailMessage(subject, text, "shop@example.com", [to])
        attached.attach("ä.pdf", b"\0\xff" * 60, "application/pdf")
        made += [plain, both, attached]
    sent = {}
    for backend in (MAILER, "django.core.mail.backends.smtp.EmailBackend"):
        sink.received.clear()
        assert get_connection(backend).send_messages(made) == len(made)
        assert (
            send_mass_mail(
                [(f"Subject {n}", f"Text {n}", "shop@example.com", [f"m{n}@example.com"]) for n in range(20)],
                connection=get_connection(backend),
            )
            == 20
        )
        sent[backend] = sorted(
            (sorted(one.recipients), BOUNDARY.sub(b"boundary", MADE_UP.sub(rb"\1\r\n", one.content)))
            for one in sink.received
        )
        assert all(MADE_UP.search(one.content) for one in sink.received)
    ours, theirs = sent.values()
    assert len(ours) == len(made) + 20
    assert ours == theirs


def test_it_is_opened_and_closed_as_djangos_own(sink: SinkThread) -> None:
    backend = EmailBackend()
    assert (backend.open(), backend.open()) == (True, False)
    backend.close()
    assert backend.connection is None
    with backend as opened:
        assert opened.connection is not None
        assert opened.send_messages([message("a@example.com")]) == 1
        assert opened.connection is not None
    assert backend.connection is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"BATCHSEND": {"max_conections": 3}}, "settings.BATCHSEND has 'max_conections'"),
        ({"BATCHSEND": 5}, "settings.BATCHSEND is 5\nexpected a dict"),
        ({"BATCHSEND": {"rate": "fast"}}, "Delivery.rate is 'fast'"),
        ({"BATCHSEND": {"timeouts": {"connect": "soon"}}}, "Timeouts.connect is 'soon'"),
        ({"BATCHSEND": {"ehlo_name": 3}}, "Server.ehlo_name is 3"),
        ({"BATCHSEND": {"results": ""}}, r"settings.BATCHSEND\['results'\] is ''"),
        ({"EMAIL_HOST": None}, r"host \(EMAIL_HOST\) is None\nexpected a host name"),
        ({"BATCHSEND": {"dkim": []}}, "is empty"),
        ({"BATCHSEND": {"dkim": 3}}, "'dkim'] cannot be used"),
        ({"BATCHSEND": {"dkim": {"domain": "example.com"}}}, "'dkim'] cannot be used"),
        ({"BATCHSEND": {"dkim": {**KEY, "key_file": "none.pem"}}}, "Dkim.key_file is"),
        ({"BATCHSEND": {"dkim": {**KEY, "domain": "example.com; x=1"}}}, "Dkim.domain is"),
        ({"BATCHSEND": {"dkim": {**KEY, "colour": "red"}}}, "'dkim'] cannot be used"),
        ({"BATCHSEND": {"timeouts": 3}}, r"settings.BATCHSEND\['timeouts'\] is 3"),
        ({"BATCHSEND": {"timeouts": {"conect": "1s"}}}, "It is a dict that may have connect, "),
        ({"BATCHSEND": {"dsn": 3}}, r"settings.BATCHSEND\['dsn'\] is 3"),
        ({"BATCHSEND": {"dsn": {"notice": "never"}}}, "It is a dict that may have notify, ret"),
        ({"BATCHSEND": {3: 1, "rato": 1}}, "settings.BATCHSEND has 'rato', 3"),
        ({"BATCHSEND": {"preset": "brevvo"}}, "'brevvo'\ndid you mean brevo\\?"),
        ({"BATCHSEND": {"preset": ["brevo"]}}, "expected the name of a preset"),
        ({"BATCHSEND": {"preset": "brevo"}}, "EMAIL_HOST_PASSWORD is missing\nBrevo: the SMTP login"),
        ({"EMAIL_USE_TLS": True, "EMAIL_SSL_CERTFILE": "none.pem"}, "ssl_certfile 'none.pem' .* cannot be used"),
        ({"EMAIL_USE_TLS": True, "EMAIL_SSL_KEYFILE": "key.pem"}, "ssl_keyfile 'key.pem' cannot be used"),
        ({"EMAIL_USE_TLS": True, "EMAIL_SSL_CERTFILE": 3}, "ssl_certfile 3 "),
        ({"EMAIL_USE_TLS": True, "BATCHSEND": {"ca_file": __file__}}, "ca_file in the settings names a file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said_when_it_is_opened(given: dict[str, Any], says: str) -> None:
    with override_settings(**given), pytest.raises(ImproperlyConfigured, match=says):
        EmailBackend().open()


def test_a_preset_says_where_the_relay_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a campaign file: what the settings or the options say wins."""

    def made(**options: Any) -> tuple[Any, ...]:
        backend = EmailBackend(**options)
        assert backend.open()
        security = "tls" if backend.use_tls else "ssl" if backend.use_ssl else "none"
        return (backend.host, backend.port, security, backend.username, backend.password)

    with override_settings(BATCHSEND={"preset": "sendgrid"}, EMAIL_HOST_PASSWORD="k3y"):
        assert made() == ("smtp.sendgrid.net", 587, "tls", "apikey", "k3y")
        with override_settings(EMAIL_PORT=465):
            assert made() == ("smtp.sendgrid.net", 465, "ssl", "apikey", "k3y")
        with override_settings(EMAIL_USE_SSL=True, EMAIL_HOST="relay.example.com", EMAIL_HOST_USER="me"):
            assert made() == ("relay.example.com", 465, "ssl", "me", "k3y")
        assert made(preset="postmark") == ("smtp.postmarkapp.com", 587, "tls", "k3y", "k3y")
        mailer = {"alias": "bulk", "preset": "fastmail", "username": "u", "password": "p"}
        assert made(**mailer) == ("smtp.fastmail.com", 465, "ssl", "u", "p")
    monkeypatch.setitem(PRESETS, "slow", Preset(title="Slow", host="relay.example", credentials="a key", rate="none"))
    with override_settings(BATCHSEND={"preset": "slow"}, EMAIL_HOST_USER="u", EMAIL_HOST_PASSWORD="p"):
        with pytest.raises(ImproperlyConfigured, match=r"Delivery\.rate is 'none'"):
            made()
        assert made(rate="5/s")[0] == "relay.example"
        assert made(host="another.example")[0] == "another.example", "whose limits are not known"


@pytest.mark.parametrize("name", ["host", "port", "timeout"])
def test_a_setting_of_any_type_is_looked_into(name: str) -> None:
    given: dict[str, Any] = {"host": "127.0.0.1", "port": 9, name: ["a"]}
    with pytest.raises(ImproperlyConfigured, match="is "):
        EmailBackend(**given).open()


def test_other_credentials_are_other_sessions_whether_they_show_themselves_or_not() -> None:
    """A `Secret` is shown as asterisks, whatever it is."""
    senders = []
    for token in (Secret("one"), Secret("two"), Secret("one")):
        backend = EmailBackend(host="127.0.0.1", port=9, username="u", token=token)
        backend.open()
        senders.append(backend.connection)
    assert senders[0] is senders[2] is not senders[1]


@pytest.mark.parametrize("wrong", ["x", [["one"]], [("one",)], 3])
def test_alternatives_that_are_none_are_left_to_django(sink: SinkThread, wrong: Any) -> None:
    """It reads them of the class that has them, and of no other."""
    made: Any = message("a@example.com")
    made.alternatives = wrong
    assert get_connection().send_messages([made]) == 1


def test_a_server_that_is_gone_is_said_in_the_terms_of_the_settings() -> None:
    with SinkThread(SinkOptions()) as sink:
        gone = sink.port
    with (
        override_settings(EMAIL_HOST="127.0.0.1", EMAIL_PORT=gone, BATCHSEND={"give_up_after": "100ms"}),
        pytest.raises(ConnectionError, match="check host and port in the settings, and that a server runs there"),
    ):
        message("a@example.com").send()
    with (
        SinkThread(SinkOptions()) as sink,
        override_settings(EMAIL_HOST="127.0.0.1", EMAIL_PORT=sink.port),
        pytest.raises(ConnectionError, match=r"give use_ssl \(EMAIL_USE_SSL\)"),
    ):
        get_connection(use_tls=True).send_messages([message("a@example.com")])


def test_credentials_are_never_sent_in_the_clear() -> None:
    backend = EmailBackend(host="relay.example.com", username="u", password="p")
    with pytest.raises(ImproperlyConfigured, match="tls"):
        backend.open()


def test_further_settings_are_those_of_the_campaign_file(sink: SinkThread) -> None:
    options = {"max_connections": 1, "rate": "1000/s", "timeouts": {"connect": "5s"}, "dsn": {"notify": ["never"]}}
    with override_settings(BATCHSEND=options, EMAIL_TIMEOUT=9):
        assert get_connection().send_messages([message(f"a{n}@example.com") for n in range(30)]) == 30
    assert sink.connections == 1


def test_messages_are_signed_where_the_domain_may_speak_for_the_author(sink: SinkThread, tmp_path: Path) -> None:
    identities = [by_rsa(), by_ed25519()]
    write_keys(tmp_path, identities)
    keys = [
        {"domain": one.domain, "selector": one.selector, "key_file": str(tmp_path / one.selector)} for one in identities
    ]
    body = "Grüße,\n.\nvon hier\n"
    with override_settings(BATCHSEND={"dkim": keys}):
        ours = EmailMessage(
            "Grüße", body, "shop@mail.example.com", ["a@example.com", "b@example.com"], bcc=["c@example.com"]
        )
        others = EmailMessage("Subject", body, "shop@example.net", ["d@example.com"])
        assert get_connection().send_messages([ours, others]) == 2
    found = {tuple(sorted(one.recipients)): verdicts(one.content, published(identities)) for one in sink.received}
    assert found == {("a@example.com", "b@example.com", "c@example.com"): [True, True], ("d@example.com",): []}
    assert all(one.content.isascii() for one in sink.received if len(one.recipients) > 1), "as a relay may rewrite it"


def test_a_text_with_umlauts_reaches_a_server_that_takes_ascii_only() -> None:
    """Django's own classes write octets above 127 whatever they are asked for."""
    with SinkThread(SinkOptions(eight_bit_mime=False)) as sink, override_settings(EMAIL_HOST="127.0.0.1"):
        words = EmailMessage("Grüße", "Grüße\n", "shop@example.com", ["a@example.com"])
        assert get_connection(port=sink.port).send_messages([words]) == 1
        (received,) = sink.received
    assert received.content.isascii()
    assert message_from_bytes(received.content).get_payload(decode=True) in {
        b"Gr\xc3\xbc\xc3\x9fe\n",
        b"Gr\xc3\xbc\xc3\x9fe\r\n",
    }


def test_the_command_sends_a_campaign_through_the_server_of_the_settings(sink: SinkThread, tmp_path: Path) -> None:
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(
        f'recipients = "list.csv"\n[server]\nhost = "${{EMAIL_HOST}}"\nport = {sink.port}\ntls = "none"\n'
        '[message]\nfrom = "shop@example.com"\nsubject = "x"\ntext = "x"\n'
    )
    (tmp_path / "list.csv").write_text("email\na@example.com\nrefused@example.com\n")
    call_command(Command(), str(campaign), "--dry-run")
    assert sink.received == []
    with pytest.raises(CommandError, match="exit code 1") as caught:
        call_command(Command(), str(campaign), "--no-progress")
    assert caught.value.returncode == 1
    assert recipients(sink) == ["a@example.com"]
    assert "EMAIL_HOST" not in os.environ
    with pytest.raises(CommandError, match="exit code 2"):
        call_command(Command(), str(tmp_path / "none.toml"))


@pytest.mark.slow
def test_each_outcome_is_in_the_results_log(sink: SinkThread, tmp_path: Path) -> None:
    with override_settings(BATCHSEND={"results": tmp_path / "mail.jsonl"}):
        get_connection(fail_silently=True).send_messages([message("a@example.com"), message("refused@example.com")])
        shared = sender_of_the_process()
        shared.close()
        shared.open()
        assert get_connection().send_messages([message("b@example.com", headers={"Message-ID": "<17@example.com>"})])
        assert get_connection().send_messages([message("b@example.com", headers={"Message-ID": "<17@example.com>"})])
        shared.close()
    said = [json.loads(line) for line in (tmp_path / "mail.jsonl").read_text().splitlines()]
    outcomes = [(line["recipient"], line["status"]) for line in said if "record" in line]
    assert sorted(outcomes) == [
        ("a@example.com", "accepted"),
        ("b@example.com", "accepted"),
        ("refused@example.com", "rejected"),
    ]
    assert recipients(sink) == ["a@example.com", "b@example.com"]


def test_each_process_has_a_results_log_of_its_own(sink: SinkThread, tmp_path: Path) -> None:
    """As the workers of gunicorn and Celery do, which are forked and share their settings."""
    with override_settings(BATCHSEND={"results": str(tmp_path / "mail.jsonl")}):
        assert get_connection().send_messages([message("parent@example.com")]) == 1
        children = []
        for name in ("first", "second"):
            go_on, stop = os.pipe()
            if (child := os.fork()) == 0:
                sent = get_connection().send_messages([message(f"{name}@example.com")])
                os.close(stop)
                os.read(go_on, 1)  # until the parent has looked: whoever has ended has no log
                os._exit(0 if sent == 1 else 1)
            os.close(go_on)
            children.append((child, stop))
            wait_for(tmp_path / f"mail-{len(children) + 1}.jsonl")
        for _, stop in children:
            os.close(stop)
        for child, _ in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sender_of_the_process().close()
    logs = sorted(path.name for path in tmp_path.glob("mail*.jsonl") if "messages" not in path.name)
    assert logs == ["mail-2.jsonl", "mail-3.jsonl", "mail.jsonl"]
    assert recipients(sink) == ["first@example.com", "parent@example.com", "second@example.com"]


def test_a_results_log_that_cannot_be_opened_is_said(sink: SinkThread, tmp_path: Path) -> None:
    with override_settings(BATCHSEND={"results": 7}), pytest.raises(ImproperlyConfigured, match="results"):
        get_connection().open()
    missing = {"results": tmp_path / "no folder" / "mail.jsonl"}
    with override_settings(BATCHSEND=missing), pytest.raises(ImproperlyConfigured, match="cannot be opened"):
        get_connection().send_messages([message("a@example.com")])
    assert sink.received == []


UNANSWERED_AT_THE_END = """
import sys
from django.conf import settings

settings.configure(
    EMAIL_BACKEND="batchsend.django.EmailBackend", EMAIL_HOST="127.0.0.1", EMAIL_PORT=int(sys.argv[1]), USE_I18N=False
)

from django.core.mail import EmailMessage

try:
    EmailMessage("Subject", "Text", "shop@example.com", ["held@example.com"]).send()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_a_program_ends_where_the_server_does_not_answer() -> None:
    """Within seconds, and not when the reply to the content is given up, which RFC 5321 gives ten minutes."""
    taken, answer = threading.Event(), threading.Event()

    def take(_: Received) -> None:
        taken.set()
        answer.wait()

    with SinkThread(on_message=take) as sink:
        command = [sys.executable, "-c", UNANSWERED_AT_THE_END, str(sink.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
            try:
                assert taken.wait(60)
                program.send_signal(signal.SIGINT)
                said, _ = program.communicate(timeout=60)
            finally:
                program.kill()
                answer.set()
    assert (said, program.returncode) == ("interrupted\n", 0)


INTERRUPTED_IN_THE_OPENING = """
import signal, sys
from django.conf import settings

settings.configure(EMAIL_BACKEND="batchsend.django.EmailBackend", EMAIL_PORT=int(sys.argv[1]), USE_I18N=False)

from django.core.mail import EmailMessage, get_connection
from django.utils.functional import lazy


def send(name, connection):
    return EmailMessage("Subject", "Text", "shop@example.com", [name], connection=connection).send()


def host():
    signal.raise_signal(signal.SIGUSR1)
    return "127.0.0.1"


handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(send("handler@example.com", get_connection(host="127.0.0.1"))))
print(send("program@example.com", get_connection(host=lazy(host, str)())), set(handled))
"""


@pytest.mark.slow
def test_a_signal_handler_may_send_while_the_sender_of_the_settings_is_made() -> None:
    """It would wait for the lock that its own thread has."""
    with SinkThread() as sink:
        command = [sys.executable, "-c", INTERRUPTED_IN_THE_OPENING, str(sink.port)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert said.stdout == "1 {1}\n"
    assert {*recipients(sink)} == {"handler@example.com", "program@example.com"}


def test_the_settings_in_its_docstring_can_be_used() -> None:
    found: dict[str, Any] = {}
    for block in re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", f"{inspect.getdoc(EmailBackend)}\n"):
        exec(textwrap.dedent(block), found)
    given = {name: value for name, value in found.items() if name.isupper()}
    mailer = given.pop("MAILERS")["default"]
    assert given["EMAIL_BACKEND"] == mailer["BACKEND"] == MAILER
    with override_settings(**given):
        assert EmailBackend().open()
    assert EmailBackend(alias="default", **mailer["OPTIONS"]).open()


def djangos_own_tests(python: str | Path, source: Path) -> None:
    command = [python, "-m", "tests.tools.django_mail", source]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_djangos_own_tests_pass() -> None:
    if not SOURCE.exists():
        pytest.skip("Django's source distribution is not there: bash .ci/servers")
    djangos_own_tests(sys.executable, SOURCE)


def test_the_tests_of_other_djangos_pass() -> None:
    """Each has an environment of its own, with this checkout in it; see ``.ci/django``."""
    others = sorted((unpacked() / "djangos").glob("*/bin/python"))
    if not others:
        pytest.skip(NO_OTHER_DJANGO)
    for python in others:
        djangos_own_tests(python, python.parents[1] / "source" / "tests" / "mail" / "tests.py")
