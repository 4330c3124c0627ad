"""Which event loop: uvloop where it exists, asyncio's own elsewhere."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")


def run(main: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine function to its end on a loop of its own.

    Raises:
        RuntimeError: A loop is running in this thread already.
    """
    return anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})
