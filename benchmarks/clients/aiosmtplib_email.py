"""aiosmtplib with EmailMessage, as its manual shows it, on uvloop, over connections that are kept open."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage

import uvloop
from aiosmtplib import SMTP

from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()

    async def send() -> None:
        async with SMTP(hostname=task.host, port=task.port, start_tls=False) as server:
            for message in work:
                made = EmailMessage()
                made["Subject"] = message.subject
                made["From"] = task.sender
                made["To"] = message.to
                made.set_content(message.text)
                made.add_alternative(message.html, subtype="html")
                await server.send_message(made)

    with clock():
        work = task.rendered()
        await asyncio.gather(*(send() for _ in range(min(task.connections, task.messages))))


if __name__ == "__main__":
    uvloop.run(main())
