"""SIGINT, SIGTERM and SIGHUP, as every command heeds them.

A command is ended by one signal and by any number of them alike: what is pressed again while it is ending changes
nothing, for there is a log to complete and a file to take away. One that has not ended some seconds later is held up by
something else, such as a lookup that the system is waiting for; then a signal ends it as the system does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from batchsend.interruption import interrupt

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

    import anyio

    from batchsend.cli.console import Console

_ENDS_WITHIN: Final = 5.0
"""Seconds that a command has for its end."""

_COMES_AGAIN: Final = 0.01
"""Seconds after which an interrupt comes again where it came while an object was destroyed, or a module was read."""


class _Handlers:
    """What this process does with signals, from when its command is known until it has ended.

    Attributes:
        first: The first signal, or None.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._receive: Callable[[signal.Signals], None] | None = None
        self._wanted = 0
        self._since: float | None = None
        self._is_over = False
        self._hook: Callable[[sys.UnraisableHookArgs], object] | None = None

    def install(self, numbers: Iterator[signal.Signals]) -> None:
        """Heed these signals from here on."""
        self._is_over = False
        if self._hook is None:
            self._hook, sys.unraisablehook = sys.unraisablehook, self._tell_unraisable
        for number in numbers:
            self._before.setdefault(number, signal.getsignal(number))
            signal.signal(number, self._handle)

    def restore(self) -> None:
        """Leave the signals to whom they were left before, and forget those that came."""
        self._is_over = True
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)
        if self._hook is not None:
            sys.unraisablehook, self._hook = self._hook, None
        self.first = self._since = None

    def ignore(self) -> None:
        """Ignore the signals for good."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def end(self) -> None:
        """The command has ended: there is nothing to interrupt any more."""
        self._since = time.monotonic()
        self._is_over = True

    @contextmanager
    def receiving(self, receive: Callable[[signal.Signals], None], wanted: int) -> Iterator[None]:
        """While the context lasts, the next signals are received; as many as are wanted."""
        ours = not self._before
        self._receive, self._wanted = receive, wanted
        self.install(_heeded())
        try:
            yield
        finally:
            self._receive = None
            if self.first is not None:
                self._since = time.monotonic()
            if ours:
                self.restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now, since = time.monotonic(), self._since
        if self._receive is not None and self._wanted:
            self._wanted -= 1
            self._note(number, now)
            self._receive(signal.Signals(number))
        elif since is None:
            self._note(number, now)
            if interrupt():
                return
            if _is_importing(frame):
                self._let_come_again(signal.Signals(number))
            else:
                raise KeyboardInterrupt
        elif now - since > _ENDS_WITHIN:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _tell_unraisable(self, told: sys.UnraisableHookArgs) -> None:
        """A KeyboardInterrupt that came while an object was destroyed has ended nothing: it comes again."""
        if isinstance(told.exc_value, KeyboardInterrupt) and self.first is not None:
            self._let_come_again(self.first)
        elif self._hook is not None:
            self._hook(told)

    def _let_come_again(self, number: signal.Signals) -> None:
        threading.Thread(target=self._come_again, args=(number,), daemon=True).start()

    def _come_again(self, number: signal.Signals) -> None:
        """Send a signal once more, when the main thread does not import and has left the function where it was lost."""
        main = threading.main_thread().ident or 0
        while True:
            time.sleep(_COMES_AGAIN)
            frame = sys._current_frames().get(main)
            if _is_importing(frame):
                continue
            while frame is not None and frame.f_code is not _Handlers._tell_unraisable.__code__:
                frame = frame.f_back
            if frame is None:
                break
        if not self._is_over:  # else there is nothing left to interrupt
            self._since = None
            os.kill(os.getpid(), number)

    def _note(self, number: int, now: float) -> None:
        self._since = now
        if self.first is None:
            self.first = signal.Signals(number)


_handlers = _Handlers()


def heed() -> None:
    """From here on a signal ends the command: by KeyboardInterrupt, or as who receives it sees fit."""
    if _is_main_thread():
        _handlers.install(_heeded())


def ended() -> None:
    """The command has ended, and its process is going to, once its threads have."""
    if _is_main_thread():
        _handlers.end()


def restore() -> None:
    """The command has ended, and the process is its caller's, who has signals as before."""
    if _is_main_thread():
        _handlers.restore()


def ignore() -> None:
    """The process is at its end, which Python comes to without our handlers: nothing else changes the exit code now."""
    _handlers.ignore()


def _is_main_thread() -> bool:
    """Whether signals are handled in this thread."""
    return threading.current_thread() is threading.main_thread()


def exit_code() -> int:
    """The exit code of a command that a signal has ended."""
    return 128 + (_handlers.first or signal.SIGINT)


@contextmanager
def receiving(wanted: int = 1) -> Iterator[asyncio.Queue[signal.Signals]]:
    """The signals that come while the context lasts. Only in the main thread's loop.

    Args:
        wanted: How many are received; those after them find a command that is ending.
    """
    import asyncio  # noqa: PLC0415 - who receives signals has a loop; other commands have none

    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[signal.Signals] = asyncio.Queue()

    def receive(number: signal.Signals) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, number)

    with _handlers.receiving(receive, wanted):
        yield queue


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
        with receiving(2) as signals:
            self.received = number = await signals.get()
            stop(f"stopped by {number.name}")
            self._console.notice(f"{number.name}: nothing new is sent, replies are awaited; again to stop at once")
            await signals.get()
            scope.cancel()


def _is_importing(frame: FrameType | None) -> bool:
    """Whether Python's own code for imports was interrupted.

    It opens a module's file one step before it sees to the file's end: an exception between the two leaves it open.
    """
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _heeded() -> Iterator[signal.Signals]:
    """The signals that end the work; SIGHUP, too, unless who started the process has it ignored, as nohup does.

    SIGINT even then: a shell ignores it for what a script starts in the background, which whoever sends it means to end
    nevertheless.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            yield number
