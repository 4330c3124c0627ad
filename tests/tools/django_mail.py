"""Runs Django's own tests of its mail backends against `batchsend.django`, in a process of its own.

    python -m tests.tools.django_mail …/django-5.2/tests/mail/tests.py

Left out, because batchsend promises otherwise:

- An address without a domain (``tester``) is refused: RFC 5321 has none but ``postmaster``.
- Opening does not connect, so nothing is to be said then; and there is no `smtplib` connection to look into.
"""

from __future__ import annotations

import sys
import unittest
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import django
from django.conf import settings
from django.core import mail
from django.test import SimpleTestCase, override_settings
from django.test.utils import setup_test_environment

from tests.tools.sink_thread import SinkThread

WITHOUT_DOMAIN = {"test_recipient_without_domain", "test_lazy_addresses"}
OF_SMTP = (
    "test_email_authentication_use_settings",
    "test_email_authentication_override_settings",
    "test_email_disabled_authentication",
    "test_email_tls_use_settings",
    "test_email_tls_override_settings",
    "test_email_tls_default_disabled",
    "test_ssl_tls_mutually_exclusive",
    "test_email_ssl_use_settings",
    "test_email_ssl_override_settings",
    "test_email_ssl_default_disabled",
    "test_email_ssl_certfile_use_settings",
    "test_email_ssl_certfile_override_settings",
    "test_email_ssl_certfile_default_disabled",
    "test_email_ssl_keyfile_use_settings",
    "test_email_ssl_keyfile_override_settings",
    "test_email_ssl_keyfile_default_disabled",
    "test_email_timeout_override_settings",
    "test_reopen_connection",
    "test_send_messages_after_open_failed",
    "test_send_messages_empty_list",
    "test_send_messages_zero_sent",
    "test_avoids_sending_to_invalid_addresses",
    "test_encodes_idna_in_smtp_commands",
    "test_does_not_reencode_idna",
)
BACKEND = "batchsend.django.EmailBackend"


def load(path: Path) -> ModuleType:
    """Django's test module, with our backend where it says `smtp.EmailBackend`."""
    from batchsend.django import EmailBackend  # noqa: PLC0415 - the settings come first

    spec = spec_from_file_location("mail.tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.smtp = SimpleNamespace(EmailBackend=EmailBackend)  # type: ignore[attr-defined]
    return module


def cases(module: Any) -> type[unittest.TestCase]:
    """The tests that are run, against an embedded server.

    A message has a transaction a recipient here: the mailbox has each message once, an envelope all its recipients.
    """

    class BatchsendBackendTests(module.BaseEmailBackendTests, SimpleTestCase):  # type: ignore[misc]
        email_backend = BACKEND

        @classmethod
        def setUpClass(cls) -> None:
            cls.sink = SinkThread()
            cls.enterClassContext(cls.sink)
            cls.enterClassContext(override_settings(EMAIL_HOST="127.0.0.1", EMAIL_PORT=cls.sink.port))
            super().setUpClass()

        def setUp(self) -> None:
            super().setUp()
            self.flush_mailbox()

        def flush_mailbox(self) -> None:
            self.sink.received.clear()

        def get_mailbox_content(self) -> list[Any]:
            found: dict[str, Any] = {}
            for received in self.sink.received:
                message = module.message_from_bytes(received.content.rstrip().replace(b"\r\n", b"\n"))
                found.setdefault(message["Message-ID"], message)
            # They come over several sessions, in no particular order.
            return sorted(found.values(), key=lambda message: str(message["To"]))

        def get_smtp_envelopes(self) -> list[dict[str, Any]]:
            found: dict[str, dict[str, Any]] = {}
            for received in self.sink.received:
                message_id = module.message_from_bytes(received.content)["Message-ID"]
                envelope = found.setdefault(message_id, {"mail_from": received.reverse_path, "rcpt_tos": []})
                envelope["rcpt_tos"] += received.recipients
            return list(found.values())

    for name in OF_SMTP:
        if hasattr(module.SMTPBackendTests, name):  # not in each version
            setattr(BatchsendBackendTests, name, getattr(module.SMTPBackendTests, name))
    return BatchsendBackendTests


def main(path: Path) -> int:
    """Run them; 0 if all pass."""
    settings.configure(EMAIL_BACKEND=BACKEND, SECRET_KEY="x", USE_I18N=False)
    django.setup()
    setup_test_environment()
    mail.outbox = []
    found = cases(load(path))
    names = [name for name in unittest.TestLoader().getTestCaseNames(found) if name not in WITHOUT_DOMAIN]
    result = unittest.TextTestRunner(verbosity=0).run(unittest.TestSuite(map(found, names)))
    return 0 if result.wasSuccessful() and result.testsRun > 30 else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
