"""What every test may use: each asynchronous test runs under pytest-asyncio, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the event loops on which every asynchronous test runs.

    A test that gains nothing from the second loop names the one that it wants:
    ``@pytest.mark.asyncio(loop_factories=["asyncio"])``.
    """
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
