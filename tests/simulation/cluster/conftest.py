"""One PostgreSQL for the simulated clusters of a process; each case begins with an empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.postgres import Postgres
from tests.simulation.cluster.database import RealDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def real() -> Iterator[RealDatabase]:
    """Return the server that does the statements."""
    with Postgres("fsync=off", "autovacuum=off") as postgres, RealDatabase(postgres.url) as database:
        yield database
