"""One PostgreSQL for the tests of a process; each test has campaigns of its own in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.cluster.fencing import Scene, two_lots
from tests.cluster.house import GUARD, House
from tests.cluster.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[Postgres]:
    """Return a server that nobody kills."""
    with Postgres() as server:
        yield server


@pytest.fixture
async def house(shared_postgres: Postgres, tmp_path: Path) -> AsyncIterator[House]:
    """Return a database with tables and no campaigns, and what runs commands against it."""
    house = House(shared_postgres, tmp_path)
    await house.command("init")
    yield house
    await house.end()
    for line in (await house.command("list")).splitlines():
        name = line.split()[0]
        await house.command("stop", name, code=None)
        # A worker that was killed holds its lots until its lease is over.
        async with asyncio.timeout(GUARD):
            while "is being sent" in (said := await house.command("drop", name, code=None)):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.5)
        assert "batchsend:" not in said, said


@pytest.fixture
async def scene(shared_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Scene]:
    """Return a campaign of two lots that nobody has begun."""
    async with two_lots(shared_postgres.url, tmp_path) as scene:
        yield scene
