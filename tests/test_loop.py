"""What the loop of a command reports on standard error and what it does not, and how it is interrupted."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from batchsend import loop
from batchsend.interruption import interrupt

GUARD = 20.0
"""Seconds after which a test has failed."""

CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"


@pytest.mark.parametrize(
    ("message", "error", "reported"),
    [
        ("Fatal error on SSL protocol", RuntimeError(CLOSED), False),
        ("Fatal error on SSL protocol", ValueError("anything else"), True),
        ("Exception in callback f()", RuntimeError(CLOSED), True),
        ("Exception in callback f()", ValueError("anything else"), True),
    ],
)
def test_only_what_is_an_error_is_reported(
    message: str, error: Exception, reported: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> str:
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
        return "done"

    assert loop.run(main) == "done"
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["asyncio"] * reported


def test_an_interrupt_that_a_library_loses_comes_again() -> None:
    """`asyncio.wait_for` of Python 3.11 loses a cancellation that comes with what it waits for."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(GUARD)
        await asyncio.sleep(GUARD)

    with pytest.raises(KeyboardInterrupt):
        loop.run(main)
