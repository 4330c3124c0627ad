"""What a run tells the service manager that has started it: that it is ready, how far it is, and that it is alive.

The protocol is that of sd_notify(3): datagrams of ``NAME=value`` lines to the socket that NOTIFY_SOCKET names, which
may be an abstract one. Where there is no such variable, nothing is told to anybody. A manager that has gone, or does
not take a datagram, is no reason to end a run.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batchsend.cli.console import Console
    from batchsend.run.batch import Batch

_STATUS_EVERY: Final = 10.0
"""Seconds between two words on how far it is."""


class ServiceManager:
    """The service manager of this process, where there is one.

    Args:
        environ: Where its variables stand. They are taken out: programs that this one starts are not the service.

    Attributes:
        watchdog: Seconds within which it wants to hear that this process is alive, or None.
    """

    def __init__(self, environ: dict[str, str] | os._Environ[str]) -> None:
        path = environ.pop("NOTIFY_SOCKET", "")
        period, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self.watchdog: float | None = None
        # An abstract address is written with @ for its first octet, which is zero.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        if not path.startswith(("/", "@")):
            self._address = ""
        elif period.isdecimal() and int(period) > 0 and process in ("", str(os.getpid())):
            self.watchdog = int(period) / 1_000_000

    def __bool__(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send lines such as ``READY=1`` in one datagram."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(self._address)
            sender.send("\n".join(lines).encode(errors="replace"))


@asynccontextmanager
async def service(batch: Batch | None, console: Console) -> AsyncIterator[None]:
    """While the context lasts, tell the service manager of a run whose account is open; nothing where there is none.

    Args:
        batch: The run.
        console: Told why, where the watchdog's period is too short to keep to.
    """
    manager = ServiceManager(os.environ)
    if batch is None or not manager:
        yield
        return
    manager.tell("READY=1", "STATUS=sending")
    if manager.watchdog is not None and manager.watchdog < 1:
        console.notice("the watchdog's period is below a second, which a busy machine may not keep to")
    work = [_tell_status(manager, batch)]
    if manager.watchdog is not None:
        work.append(_live(manager, manager.watchdog / 2))
    tasks = [asyncio.ensure_future(one) for one in work]  # a task group would wrap the error that ends the run
    try:
        yield
    finally:
        manager.tell("STOPPING=1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _live(manager: ServiceManager, every: float) -> None:
    """Say that the loop goes round: where it does not, nothing is said, and the manager acts."""
    while True:
        manager.tell("WATCHDOG=1")
        await asyncio.sleep(every)


async def _tell_status(manager: ServiceManager, batch: Batch) -> None:
    from batchsend.monitor import words  # noqa: PLC0415 - only where there is a service manager
    from batchsend.monitor.pace import Pace  # noqa: PLC0415 - likewise
    from batchsend.monitor.sample import Sample  # noqa: PLC0415 - likewise

    pace = Pace(Sample.take(batch))
    while True:
        await asyncio.sleep(_STATUS_EVERY)
        sample = Sample.take(batch)
        manager.tell(f"STATUS={words.line(sample, pace.add(sample))}")
