"""A FastAPI application that sends mail: one sender for the whole application, opened and closed with it.

batchsend sink --port 2525 &
uvicorn --app-dir samples fastapi_app:app
curl -X POST 'http://127.0.0.1:8000/orders?email=ada@example.com'
curl -X POST 'http://127.0.0.1:8000/reminders?email=ada@example.com'
"""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import TYPE_CHECKING

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request

import batchsend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger("shop")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The sessions live as long as the application; what was taken is sent before it ends."""
    server = batchsend.Server(host="127.0.0.1", port=int(os.environ.get("SMTP_PORT", "2525")), tls="none")
    async with batchsend.Sender(server, delivery=batchsend.Delivery(max_connections=5)) as sender:
        app.state.sender = sender
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def order(request: Request, email: str) -> dict[str, str | None]:
    """Say that an order was taken; the answer says what became of the message."""
    message = EmailMessage()
    message["From"], message["Subject"] = "shop@example.com", "Your order"
    message.set_content("It is on its way.\n")
    try:
        message["To"] = email
        # Given, it has to be one address; what a stranger writes into To may hold any number of them.
        [result] = await request.app.state.sender.send_message(message, recipients=email)
    except (batchsend.RecordError, ValueError) as error:
        raise HTTPException(422, str(error)) from error
    except batchsend.RunError as error:
        raise HTTPException(503, error.message) from error  # not begun: it can be sent again
    return {"outcome": result.status, "reply": result.reply, "message_id": result.message_id}


@app.post("/reminders", status_code=202)
async def remind(request: Request, email: str, later: BackgroundTasks) -> None:
    """Answer at once, and send then; the log says what became of the message."""
    message = EmailMessage()
    message["From"], message["Subject"] = "shop@example.com", "Your basket"
    message.set_content("There is something in it.\n")
    later.add_task(send_later, request.app.state.sender, message, email)


async def send_later(sender: batchsend.Sender, message: EmailMessage, email: str) -> None:
    """Send a message of which nobody waits for the outcome."""
    try:
        message["To"] = email
        [result] = await sender.send_message(message, recipients=email)
    except (batchsend.BatchsendError, ValueError) as error:
        log.warning("no reminder was sent: %s", error)
    else:
        log.info("reminder %s: %s", result.message_id, result.status)
