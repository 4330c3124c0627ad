"""Which event loop a command runs on, and waiting on it for what may block for ever."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor  # where it is defined: it cannot be imported any later
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio

from batchsend.errors import UsageError
from batchsend.interruption import running
from batchsend.trace import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")
Given = ParamSpec("Given")


def run(main: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine function to its end on a loop of its own: uvloop where it exists, asyncio's elsewhere.

    Raises:
        KeyboardInterrupt: It was interrupted: see `batchsend.interruption`.
        RuntimeError: A loop is running in this thread already.
    """
    with running() as one:

        async def reporting() -> Result:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(_report)
            # anyio cancels until it has ended: `asyncio.wait_for` of Python 3.11 may lose a cancellation.
            with anyio.CancelScope() as scope, one.interruptible(loop, scope.cancel):
                return await main()
            raise asyncio.CancelledError

        try:
            return anyio.run(reporting, backend_options={"use_uvloop": find_spec("uvloop") is not None})
        except asyncio.CancelledError:
            if one.interrupted:
                raise KeyboardInterrupt from None
            raise


def import_backend() -> None:
    """Import what `run` would import at its first call.

    A module that one thread imports is locked for the others. A process that another thread forks meanwhile has it
    locked for good. So who runs loops in threads does this when it is itself imported, which programs do before they
    fork.
    """
    import_module("anyio._backends._asyncio")
    if find_spec("uvloop") is not None:
        import_module("uvloop")


def require_loop(what: str, otherwise: str) -> None:
    """Refuse to begin where nothing would go on, as under trio.

    Args:
        what: What is begun.
        otherwise: What to do in a program that has no event loop.

    Raises:
        UsageError: No event loop of asyncio's runs here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            f"{what} needs asyncio's event loop, and none runs here",
            remedy=f"begin it by asyncio.run(…); or {otherwise}",
        ) from None


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what a callback has raised, but for one thing that is none.

    Where the peer has closed a TLS connection in the turn of the loop in which something is written to it, uvloop says
    so by a RuntimeError to the handler, and then tells the protocol of its loss, as after any other one.
    """
    error = context.get("exception")
    if isinstance(error, RuntimeError) and "the handler is closed" in str(error) and "SSL" in str(context["message"]):
        log.debug("a TLS connection was closed by the peer while it was written to: %s", error)
    else:
        loop.default_exception_handler(context)


class LastingExecutor(ThreadPoolExecutor):
    """An executor for a loop in a thread that may outlive the main thread, which ends all others.

    Once the main thread has come to its end, each call has a thread of its own.
    """

    def submit(self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> Future[Result]:
        """Call a function in a thread."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            if threading.main_thread().is_alive():
                raise  # it was shut down itself
        future: Future[Result] = Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # raised where the result is awaited
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future


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
