"""The tests' server runs on asyncio's own loop; the runs themselves are processes with the loop they choose."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Return the loop of the tests here."""
    return "asyncio"
