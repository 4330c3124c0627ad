"""Django's send_mass_mail through one of its backends."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.mail import send_mass_mail
from django.utils.module_loading import import_string

from benchmarks.clients.task import clock, given


def measure(backend: str) -> None:
    """Send the task's messages as one mass mail."""
    task = given()
    settings.configure(
        EMAIL_BACKEND=backend,
        EMAIL_HOST=task.host,
        EMAIL_PORT=task.port,
        BATCHSEND={"max_connections": task.connections},
        USE_I18N=False,
    )
    django.setup()
    import_string(backend)  # as in a process that serves: what is measured is the sending
    messages = [(one.subject, one.text, task.sender, [one.to]) for one in task.rendered()]
    with clock():
        sent = send_mass_mail(messages)
    if sent != len(messages):
        raise RuntimeError(f"{sent} of {len(messages)} messages were sent")
