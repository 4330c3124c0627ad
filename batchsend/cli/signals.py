"""SIGINT, SIGTERM and SIGHUP, as every command that sends heeds them."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import anyio
from anyio import open_signal_receiver  # now, not when it is used: there may be no descriptor left to read it by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        with open_signal_receiver(*_heeded()) as signals:
            async for number in signals:
                if self.received is not None:
                    scope.cancel()
                    return
                self.received = number
                stop(f"stopped by {number.name}")
                self._console.notice(f"{number.name}: nothing new is sent, replies are awaited; again to stop at once")


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Nothing is sent yet: a signal ends the command at once, as Ctrl-C does, and what was begun is taken away."""

    def end(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signature of a handler
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in _heeded() if number is not signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> list[signal.Signals]:
    """The signals that end the work; SIGHUP, too, unless who started the process has it ignored, as nohup does."""
    heeded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)
    return heeded
