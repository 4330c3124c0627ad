"""batchsend with ready-made content: the public Sender, without records, templates, journal and log."""

from __future__ import annotations

import json
from pathlib import Path

import uvloop

from batchsend import Sender, load
from benchmarks.clients.task import clock, given


async def main() -> None:
    task = given()
    campaign = load(Path(task.campaign))
    work = task.ready_made()
    outcomes: dict[str, int] = {}
    with clock():
        async with Sender(*campaign.servers, delivery=campaign.delivery) as sender:
            async for result in sender.send(work):
                outcomes[result.status] = outcomes.get(result.status, 0) + 1
    if outcomes != {"accepted": task.messages}:
        raise RuntimeError(json.dumps(outcomes))


if __name__ == "__main__":
    uvloop.run(main())
