"""A service with batchsend: 200 callers share one Sender, and each hears what became of its own message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

from batchsend import Delivery, Sender, Server
from benchmarks.clients.service import CALLERS, ready
from benchmarks.clients.task import clock, given

if TYPE_CHECKING:
    from email.message import EmailMessage

    from batchsend import DeliveryResult


async def main() -> None:
    task = given()
    messages = ready(task)  # kept to the end by both sides: to take them apart is not on the clock
    left = iter(messages)

    async def call(sender: Sender) -> list[tuple[EmailMessage, list[DeliveryResult]]]:
        return [(message, await sender.send_message(message)) for message in left]

    server = Server(host=task.host, port=task.port, tls="none")
    delivery = Delivery(max_connections=task.connections, max_messages=task.max_messages)
    made = Sender(server, delivery=delivery)  # its imports are not on the clock
    with clock():
        async with made as sender:
            callers = await asyncio.gather(*(call(sender) for _ in range(CALLERS)))
    # Looked into when the clock has stopped: the other side does not look at what it hears.
    heard = [one for caller in callers for one in caller]
    for message, results in heard:
        [result] = results
        if result.status != "accepted" or result.recipient is None or result.recipient not in str(message["To"]):
            raise RuntimeError(f"a caller heard of {result.recipient}: {result.status}")
    if len(heard) != len(messages):
        raise RuntimeError(f"{len(heard)} of {len(messages)} were heard of")


if __name__ == "__main__":
    uvloop.run(main())
