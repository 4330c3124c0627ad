"""Celery tasks that send mail: each worker process has one sender, whose sessions stay open between tasks.

A sender survives the fork by which Celery makes its workers: each opens sessions of its own when it first sends.

    batchsend sink --port 2525 &
    celery --workdir samples -A celery_tasks worker
"""

from __future__ import annotations

import os
from email.message import EmailMessage

from celery import Celery

import batchsend

app = Celery("shop", broker=os.environ.get("BROKER_URL", "memory://"))
server = batchsend.Server(host="127.0.0.1", port=int(os.environ.get("SMTP_PORT", "2525")), tls="none")
sender = batchsend.SyncSender(server)


# No acks_late: a worker that is killed while it sends would send the message again.
@app.task(autoretry_for=(batchsend.RunError,), retry_backoff=True)
def confirm(order: int, email: str) -> str:
    """Send a message; only one that was not begun is tried again by Celery, as one in doubt may have been delivered."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", email, f"Your order {order}"
    message.set_content("It is on its way.\n")
    [result] = sender.send_message(message, recipients=email)  # one address; To may hold any number of them
    if result.status is batchsend.Outcome.DEFERRED:
        raise batchsend.RunError(f"the server refused it for now: {result.reply or result.reason}")
    return result.status
