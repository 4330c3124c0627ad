"""SIGINT, SIGTERM and SIGHUP, as every command that sends heeds them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchsend.cli.console import Console


class Signals:
    """The first signal ends the work in order, the second one at once.

    Args:
        console: What tells the user so.

    Attributes:
        received: The first signal, or None.
    """

    def __init__(self, console: Console) -> None:
        self.received: signal.Signals | None = None
        self._console = console

    async def handle(self, stop: Callable[[str], None], scope: anyio.CancelScope) -> None:
        """Wait for signals until cancelled.

        Args:
            stop: Called with the reason at the first one.
            scope: Cancelled at the second one.
        """
        with anyio.open_signal_receiver(*_heeded()) as signals:
            async for number in signals:
                if self.received is not None:
                    scope.cancel()
                    return
                self.received = number
                stop(f"stopped by {number.name}")
                self._console.notice(f"{number.name}: nothing new is sent, replies are awaited; again to stop at once")


def _heeded() -> list[signal.Signals]:
    """The signals that end the work; SIGHUP, too, unless who started the process has it ignored, as nohup does."""
    heeded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)
    return heeded
