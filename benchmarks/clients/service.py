"""A service's work: single messages, ready as objects; 200 callers send them, each waits for its own result."""

from __future__ import annotations

from email.message import EmailMessage
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.clients.task import Task

CALLERS: Final = 200


def ready(task: Task) -> list[EmailMessage]:
    """Every message as an object of the standard library, made before the clock runs: both sides need the same."""
    messages = []
    for message in task.rendered():
        made = EmailMessage()
        made["Subject"], made["From"], made["To"] = message.subject, task.sender, message.to
        made.set_content(message.text)
        messages.append(made)
    return messages
