"""smtplib with MIMEMultipart, as the guides show it, over one connection that is kept open."""

from __future__ import annotations

import smtplib
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import TYPE_CHECKING

from benchmarks.clients.task import clock, given

if TYPE_CHECKING:
    from benchmarks.clients.task import Rendered, Task


def compose(task: Task, message: Rendered) -> str:
    """A message as the guides make it."""
    made = MIMEMultipart("alternative")
    made["Subject"] = message.subject
    made["From"] = task.sender
    made["To"] = message.to
    made.attach(MIMEText(message.text, "plain"))
    made.attach(MIMEText(message.html, "html"))
    return made.as_string()


if __name__ == "__main__":
    task = given()
    with clock(), smtplib.SMTP(task.host, task.port) as server:
        for message in task.rendered():
            server.sendmail(task.sender_address, message.address, compose(task, message))
