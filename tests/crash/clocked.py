"""batchsend in a process of its own, by a clock that several processes share and that leaps over idle time.

``python -m tests.crash.clocked CLOCK ARGUMENT…`` is ``batchsend ARGUMENT…`` with the time of the file CLOCK: the same
program, files, sockets and system calls, and SIGKILL ends it as it ends any process. Only what it is told about the
time is different. A loop in virtual time that is given up in mid-run would leave its threads, its buffers and its locks
behind in the test's process, which a killed process does not.

While a connection is open, the time is the real one, so that what is on its way is never overtaken by a time-out. While
none is, a wait takes no time: the clock is put forward to where the wait ends.
"""

from __future__ import annotations

import asyncio
import math
import mmap
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")
Given = TypeVarTuple("Given")

_LOOK_EVERY: Final = 60.0
"""Seconds between two looks of a run at its files, instead of one: each look is a step of the loop."""

_real_time = time.time
_real_monotonic = time.monotonic


class SharedClock:
    """The real clock, and how far this one is ahead of it; in a file, so that it outlives processes.

    Args:
        path: The file; it is made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, 16)
        # A number is written by one assignment of eight octets: who reads it sees the old one or the new one.
        self._numbers = memoryview(mmap.mmap(descriptor, 16)).cast("d")
        os.close(descriptor)

    @property
    def ahead(self) -> float:
        """Seconds that it is ahead of the machine's."""
        return self._numbers[0]

    def time(self) -> float:
        """Seconds since the epoch, by this clock."""
        return _real_time() + self._numbers[0]

    def monotonic(self) -> float:
        """Seconds of a clock that is never set, which goes on as this one does."""
        return _real_monotonic() + self._numbers[0]

    def advance(self, seconds: float) -> None:
        """Put it forward."""
        self._numbers[0] += seconds

    @property
    def kills_at(self) -> float:
        """When the process that goes by it is killed, in seconds since the epoch; infinity for never."""
        return self._numbers[1] or math.inf

    @kills_at.setter
    def kills_at(self, moment: float) -> None:
        self._numbers[1] = moment


class _Selector(selectors.DefaultSelector):
    """Leaps over a wait in which nothing can come.

    Args:
        clock: What is put forward.
    """

    def __init__(self, clock: SharedClock) -> None:
        super().__init__()
        self.threads = 0
        self._clock = clock
        self._connections: set[int] = set()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        with socket.socket(fileno=os.dup(key.fd)) as copy:
            if copy.family == socket.AF_INET:
                self._connections.add(key.fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        self._connections.discard(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        clock = self._clock
        if clock.time() >= clock.kills_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if timeout is None or timeout <= 0 or self._connections or self.threads:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            clock.advance(min(timeout, max(0.0, clock.kills_at - clock.time())))
        return ready


class ClockedLoop(asyncio.SelectorEventLoop):
    """A loop that goes by a shared clock; while a thread of its executor is at work, that does not leap."""

    def __init__(self, clock: SharedClock) -> None:
        self._leaping = _Selector(clock)
        super().__init__(self._leaping)

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Given]], Result], *args: *Given
    ) -> asyncio.Future[Result]:
        future = super().run_in_executor(executor, func, *args)
        self._leaping.threads += 1

        def done(_: asyncio.Future[Result]) -> None:
            self._leaping.threads -= 1

        future.add_done_callback(done)
        return future


def main(path: Path, arguments: list[str]) -> None:
    """The command line, by the clock of a file."""
    clock = SharedClock(path)
    setattr(time, "time", clock.time)  # noqa: B010 - mypy takes no assignment
    setattr(time, "monotonic", clock.monotonic)  # noqa: B010 - likewise; a loop's clock is this one

    def run(function: Callable[[], Awaitable[Result]]) -> Result:
        return anyio.run(function, backend_options={"loop_factory": lambda: ClockedLoop(clock)})

    import batchsend.loop  # noqa: PLC0415 - by the clock from the beginning
    import batchsend.run.batch  # noqa: PLC0415
    import batchsend.run.handing_over  # noqa: PLC0415

    setattr(batchsend.loop, "run", run)  # noqa: B010
    setattr(batchsend.run.handing_over, "_LOOK_EVERY", _LOOK_EVERY)  # noqa: B010
    import batchsend.cli  # noqa: PLC0415 - its commands take the loop's `run` as they are imported

    batchsend.cli.main(arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
