"""Which event loop, and how it is run: uvloop where it exists, asyncio's own elsewhere."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")

# A run makes thousands of short-lived objects a second and hardly a cycle: by default the collector would look through
# all that lives some thirty times a second, for nothing.
_COLLECT_AFTER = 50_000


def run(main: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine function to its end on a loop of its own.

    Raises:
        RuntimeError: A loop is running in this thread already.
    """
    usual = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *usual[1:])
    try:
        return anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    finally:
        gc.set_threshold(*usual)
