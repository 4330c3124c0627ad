"""A service with batchsend: 200 callers share one Sender, and each hears what became of its own message."""

from __future__ import annotations

import asyncio

import uvloop

from batchsend import Delivery, Sender, Server
from benchmarks.clients.service import CALLERS, ready
from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()
    messages = ready(task)  # kept to the end by both sides: to take them apart is not on the clock
    heard: dict[str, int] = {}
    left = iter(messages)

    async def call(sender: Sender) -> None:
        for message in left:
            [result] = await sender.send_message(message)
            if result.recipient is None or result.recipient not in str(message["To"]):
                raise RuntimeError(f"a caller heard of {result.recipient}")
            heard[result.status] = heard.get(result.status, 0) + 1

    server = Server(host=task.host, port=task.port, tls="none")
    delivery = Delivery(max_connections=task.connections, max_messages=task.max_messages)
    made = Sender(server, delivery=delivery)  # its imports are not on the clock
    with clock():
        async with made as sender:
            await asyncio.gather(*(call(sender) for _ in range(CALLERS)))
    if heard != {"accepted": len(messages)}:
        raise RuntimeError(str(heard))


if __name__ == "__main__":
    uvloop.run(main())
