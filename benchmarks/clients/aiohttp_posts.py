"""aiohttp posting each message as JSON, on uvloop, over connections that are kept open."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import aiohttp
import uvloop

from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()
    url = f"http://{task.host}:{task.port}/messages"

    async def post(session: aiohttp.ClientSession) -> None:
        for message in work:
            async with session.post(url, json={"from": task.sender, **asdict(message)}) as response:
                await response.read()
                if response.status != 202:
                    raise RuntimeError(f"{url}: {response.status}")

    with clock():
        work = task.rendered()
        connector = aiohttp.TCPConnector(limit=task.connections)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(post(session) for _ in range(task.connections)))


if __name__ == "__main__":
    uvloop.run(main())
