"""A service with batchsend that composes, too: each of 200 callers renders a Template and sends what comes out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvloop

from batchsend import Delivery, Sender, Server, Template, load
from benchmarks.clients.service import CALLERS
from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()
    campaign = load(Path(task.campaign))
    template = Template(campaign.message, directory=campaign.directory)
    records = list(task.records())
    left = iter(records)
    heard: dict[str, int] = {}

    async def call(sender: Sender) -> None:
        for record in left:
            result = await sender.send_message(template.render(record))
            if result.recipient != record["email"]:
                raise RuntimeError(f"a caller heard of {result.recipient}")
            heard[result.status] = heard.get(result.status, 0) + 1

    server = Server(host=task.host, port=task.port, tls="none")
    delivery = Delivery(max_connections=task.connections, max_messages=task.max_messages)
    made = Sender(server, delivery=delivery)  # its imports are not on the clock
    with clock():
        async with made as sender:
            await asyncio.gather(*(call(sender) for _ in range(CALLERS)))
    if heard != {"accepted": task.messages}:
        raise RuntimeError(str(heard))


if __name__ == "__main__":
    uvloop.run(main())
