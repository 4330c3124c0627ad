"""The sandbox is a server like any other: it takes nothing from whoever has not said who he is."""

from __future__ import annotations

import asyncio
import smtplib
from typing import TYPE_CHECKING

from batchsend.run.sandbox import sandbox
from tests.delivery.harness import GUARD, CountingServer, well_behaved
from tests.test_batch import campaign

if TYPE_CHECKING:
    from pathlib import Path


def begun_without_credentials(host: str, port: int) -> int:
    """The code that a message is answered with whose sender has not logged in."""
    with smtplib.SMTP(host, port, timeout=GUARD) as client:
        client.ehlo()
        return client.mail("a@example.com")[0]


async def test_it_demands_credentials(tmp_path: Path) -> None:
    async with CountingServer(well_behaved) as server:
        made = campaign(tmp_path, server)
    async with sandbox(made) as here:
        code = await asyncio.to_thread(begun_without_credentials, here.sink.hosts[0], here.sink.port)
        (relay,) = here.campaign.servers
        assert (relay.host, relay.port, relay.tls) == (here.sink.hosts[0], here.sink.port, "none")
    assert code == 530
