"""Runs Django's own tests of its mail backends against `batchsend.django`, in a process of its own.

    python -m tests.tools.django_mail …/django-5.2/tests/mail/tests.py

It takes the tests of the Django that is installed: of 4.2 to 6.0, where they are in one file, and of 6.1, whose
backends have a file of their own and come from ``MAILERS``.

Left out, because batchsend promises otherwise:

- An address without a domain (``tester``) is refused: RFC 5321 has none but ``postmaster``.
- An address with a local part beyond ASCII goes to a server that offers SMTPUTF8 (RFC 6531): Django's refuses it.
- A backend that is made without `MAILERS` is not deprecated, whatever Django thinks of making its own like that.
- Opening does not connect, so nothing is to be said then; and there is no `smtplib` connection to look into.
"""

from __future__ import annotations

import sys
import unittest
from importlib import import_module
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
    # Since 6.1:
    "test_fail_silently_arg_accepted",
    "test_ignores_settings_when_initialized_with_alias",
    "test_host_option_required",
    "test_port_default_adapts_to_security",
    "test_email_host_use_settings",
    "test_email_host_override_settings",
    "test_ssl_tls_settings_mutually_exclusive",
    "test_email_timeout_use_settings",
    "test_send_messages_with_empty_list_does_not_open_connection",
)
BACKEND = "batchsend.django.EmailBackend"


def load(path: Path) -> ModuleType:
    """Django's test module, with our backend where it says `smtp.EmailBackend`."""
    from batchsend.django import EmailBackend  # noqa: PLC0415 - the settings come first

    sys.path.append(str(path.parent.parent))
    name = "mail.test_backends" if path.with_name("test_backends.py").exists() else "mail.tests"
    module = import_module(name)
    module.smtp = SimpleNamespace(EmailBackend=EmailBackend)  # type: ignore[attr-defined]
    return module


def cases(module: Any) -> type[unittest.TestCase]:
    """The tests that are run, against an embedded server.

    A message has a transaction a recipient here: the mailbox has each message once, an envelope all its recipients.
    """
    shared = getattr(module, "SharedEmailBackendTests", None) or module.BaseEmailBackendTests
    # Up to 5.2, Django's own server leaves out the line ends at the end of a message, too.
    without_ends = "data.rstrip()" in Path(module.__file__).read_text()

    class BatchsendBackendTests(shared, SimpleTestCase):  # type: ignore[misc, valid-type]
        email_backend = BACKEND  # up to 6.0
        backend_class = module.smtp.EmailBackend  # since 6.1

        @classmethod
        def setUpClass(cls) -> None:
            cls.sink = SinkThread()
            cls.enterClassContext(cls.sink)
            if shared is not getattr(module, "SharedEmailBackendTests", None):  # those say it to each backend
                cls.enterClassContext(override_settings(EMAIL_HOST="127.0.0.1", EMAIL_PORT=cls.sink.port))
            super().setUpClass()

        def setUp(self) -> None:
            super().setUp()
            self.flush_mailbox()

        def create_backend(self, **options: Any) -> Any:
            return super().create_backend(**{"host": "127.0.0.1", "port": self.sink.port, **options})

        def flush_mailbox(self) -> None:
            self.sink.received.clear()

        def get_mailbox_content(self) -> list[Any]:
            found: dict[str, Any] = {}
            for received in self.sink.received:
                content = received.content.rstrip() if without_ends else received.content
                message = module.message_from_bytes(content.replace(b"\r\n", b"\n"))
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

    _add_tests_of_smtp(BatchsendBackendTests, module.SMTPBackendTests)
    return BatchsendBackendTests


def _add_tests_of_smtp(ours: Any, theirs: Any) -> None:
    """Add the tests of Django's SMTP backend that do not look into `smtplib`; each version has some of them."""
    for name in OF_SMTP:
        if hasattr(theirs, name):
            setattr(ours, name, getattr(theirs, name))
    if hasattr(ours, "test_create_from_mailers"):
        general = ours.test_create_from_mailers
        ours.test_create_from_mailers = lambda self: general(self, required_options={"host": "example.com"})


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
