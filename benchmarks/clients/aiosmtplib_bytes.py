"""aiosmtplib with ready-made content, on uvloop, over connections that are kept open."""

from __future__ import annotations

import asyncio

import uvloop
from aiosmtplib import SMTP

from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()
    work = iter(task.ready_made())

    async def send() -> None:
        async with SMTP(hostname=task.host, port=task.port, start_tls=False) as server:
            for message in work:
                await server.sendmail(task.sender_address, [message.envelope.forward_path], message.content)

    with clock():
        await asyncio.gather(*(send() for _ in range(min(task.connections, task.messages))))


if __name__ == "__main__":
    uvloop.run(main())
