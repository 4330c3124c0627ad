"""httpx posting each message as JSON, on uvloop, over connections that are kept open."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import httpx
import uvloop

from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()
    url = f"http://{task.host}:{task.port}/messages"

    async def post(session: httpx.AsyncClient) -> None:
        for message in work:
            response = await session.post(url, json={"from": task.sender, **asdict(message)})
            if response.status_code != 202:
                raise RuntimeError(f"{url}: {response.status_code}")

    with clock():
        work = task.rendered()
        limits = httpx.Limits(max_connections=task.connections, max_keepalive_connections=task.connections)
        async with httpx.AsyncClient(limits=limits, trust_env=False) as session:
            await asyncio.gather(*(post(session) for _ in range(task.connections)))


if __name__ == "__main__":
    uvloop.run(main())
