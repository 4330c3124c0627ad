"""The backend for Django: what it shares, what it raises, and Django's own tests of its mail backends."""

from __future__ import annotations

import os
import smtplib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

django = pytest.importorskip("django", minversion="4.2")

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.mail import EmailMessage, get_connection, send_mass_mail  # noqa: E402
from django.test.utils import override_settings  # noqa: E402

if not settings.configured:
    settings.configure(EMAIL_BACKEND="batchsend.django.EmailBackend", USE_I18N=False)

from batchsend.django import EmailBackend  # noqa: E402
from batchsend.sink import SinkOptions, parse_rule  # noqa: E402
from tests.tools.sink_thread import SinkThread  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batchsend-tests"
SOURCE = Path(os.environ.get("BATCHSEND_SERVERS") or CACHE) / "django" / "tests" / "mail" / "tests.py"


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


def test_a_message_counts_if_one_recipient_gets_it(sink: SinkThread) -> None:
    assert get_connection().send_messages([message("refused@example.com", "a@example.com", bcc=["b@example.com"])]) == 1
    assert recipients(sink) == ["a@example.com", "b@example.com"]
    assert all(b"b@example.com" not in received.content for received in sink.received)
    assert get_connection().send_messages([message()]) == 0


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
    "wrong", ["a@b@example.com", "a@example.com\nBcc: x@example.com", "@", "<a@example.com>, b@x.y"]
)
def test_nothing_is_sent_if_an_address_is_none(sink: SinkThread, wrong: str) -> None:
    """Not even with `fail_silently`, as in Django: it is a mistake of the program."""
    for silently in (False, True):
        with pytest.raises(ValueError, match="Invalid address"):
            get_connection(fail_silently=silently).send_messages([message("a@example.com"), message(bcc=[wrong])])
    assert sink.received == []


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
        ({"BATCHSEND": {"rate": "fast"}}, "Delivery.rate is 'fast'"),
        ({"BATCHSEND": {"timeouts": {"connect": "soon"}}}, "Timeouts.connect is 'soon'"),
        ({"BATCHSEND": {"ehlo_name": 3}}, "Server.ehlo_name is 3"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said_when_it_is_opened(given: dict[str, Any], says: str) -> None:
    with override_settings(**given), pytest.raises(ImproperlyConfigured, match=says):
        EmailBackend().open()


def test_credentials_are_never_sent_in_the_clear() -> None:
    backend = EmailBackend(host="relay.example.com", username="u", password="p")
    with pytest.raises(ImproperlyConfigured, match="tls"):
        backend.open()


def test_further_settings_are_those_of_the_campaign_file(sink: SinkThread) -> None:
    options = {"max_connections": 1, "rate": "1000/s", "timeouts": {"connect": "5s"}, "dsn": {"notify": ["never"]}}
    with override_settings(BATCHSEND=options, EMAIL_TIMEOUT=9):
        assert get_connection().send_messages([message(f"a{n}@example.com") for n in range(30)]) == 30
    assert sink.connections == 1


@pytest.mark.slow
def test_djangos_own_tests_pass() -> None:
    if not SOURCE.exists():
        pytest.skip("Django's source distribution is not there: bash .ci/servers")
    command = [sys.executable, "-m", "tests.tools.django_mail", str(SOURCE)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
