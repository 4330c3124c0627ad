"""smtplib as the guides show it: MIMEMultipart, and a connection for each message."""

from __future__ import annotations

import smtplib

from benchmarks.clients.smtplib_kept import compose
from benchmarks.clients.task import clock, given

if __name__ == "__main__":
    task = given()
    with clock():
        for message in task.rendered():
            with smtplib.SMTP(task.host, task.port) as server:
                server.sendmail(task.sender_address, message.address, compose(task, message))
