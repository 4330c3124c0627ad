"""The tests' server runs on asyncio's own loop; the runs themselves are processes with the loop they choose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one loop of the tests here; this answer comes before that of ``tests/conftest.py``."""
    return {"asyncio": asyncio.SelectorEventLoop}
