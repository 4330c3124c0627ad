"""A service with aiosmtplib: 200 callers, each with a connection of its own that is kept open, on uvloop."""

from __future__ import annotations

import asyncio

import uvloop
from aiosmtplib import SMTP

from benchmarks.clients.service import CALLERS, ready
from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()
    messages = ready(task)  # kept to the end by both sides: to take them apart is not on the clock
    left = iter(messages)

    async def call() -> None:
        async with SMTP(hostname=task.host, port=task.port, start_tls=False) as server:
            for message in left:
                await server.send_message(message)

    with clock():
        await asyncio.gather(*(call() for _ in range(CALLERS)))


if __name__ == "__main__":
    uvloop.run(main())
