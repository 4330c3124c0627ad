"""What the loop of a command reports on standard error, and what it does not."""

from __future__ import annotations

import asyncio

import pytest

from batchsend import loop

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
