"""Which event loop a command runs on, and waiting on it for what may block for ever."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")


def run(main: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine function to its end on a loop of its own: uvloop where it exists, asyncio's elsewhere.

    Raises:
        RuntimeError: A loop is running in this thread already.
    """
    return anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def in_abandoned_thread(function: Callable[[], Result]) -> Result:
    """Call a function that may wait for ever, as opening a pipe does, without holding up the loop or its end.

    When this is cancelled, the thread is left to itself. It is a daemon: unlike a worker thread of anyio or of an
    executor, it is not waited for when the interpreter ends.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if done.done():
            return  # cancelled
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only where it is the function's result

    def work() -> None:
        result: Result | None = None
        failure: BaseException | None = None
        try:
            result = function()
        except BaseException as error:  # raised where the result is awaited
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, daemon=True).start()
    return await done
