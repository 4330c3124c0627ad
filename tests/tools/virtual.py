"""An event loop whose clock jumps over the time in which nothing would happen: hours of waiting take no time."""

from __future__ import annotations

import asyncio
import selectors
import socket
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

Result = TypeVar("Result")
Given = TypeVarTuple("Given")

# What one end of a loopback connection writes can be read at the other one at once; this is for a busy machine.
_GRACE = 0.0005


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for octets only; where there are none, the loop's clock goes on to its next timer."""

    def __init__(self, jump: Callable[[float], None], may_jump: Callable[[], bool]) -> None:
        super().__init__()
        self._jump = jump
        self._may_jump = may_jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or not self._may_jump():
            return super().select(timeout)
        ready = super().select(min(timeout, _GRACE))
        if not ready:
            self._jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on which both the client and its servers run, so that nothing happens while it waits for a timer.

    Its clock is the real one and what it has jumped over. While a thread of its executor is at work it does not jump.

    Attributes:
        jumped: Seconds that it has jumped over.
        names: The addresses and ports of names that no resolver knows.
    """

    def __init__(self) -> None:
        self.jumped = 0.0
        self.names: dict[str, list[tuple[str, int]]] = {}
        self._in_threads = 0
        super().__init__(_JumpingSelector(self.advance, lambda: not self._in_threads))

    def time(self) -> float:
        """Seconds on the loop's clock."""
        return super().time() + self.jumped

    def advance(self, seconds: float) -> None:
        """Let time go by; what was due meanwhile is done when the loop runs next."""
        self.jumped += seconds

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Given]], Result], *args: *Given
    ) -> asyncio.Future[Result]:
        """As any loop does; the clock stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1

        def done(_: asyncio.Future[Result]) -> None:
            self._in_threads -= 1

        future.add_done_callback(done)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> list[Any]:
        """As any loop does, but for the names of this one."""
        if (places := self.names.get(host)) is not None:
            return [
                (
                    socket.AF_INET6 if ":" in place[0] else socket.AF_INET,
                    socket.SOCK_STREAM,
                    socket.IPPROTO_TCP,
                    "",
                    place,
                )
                for place in places
            ]
        return await super().getaddrinfo(host, port, **hints)

    def run(self, main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine function to its end; what else is on the loop goes on meanwhile, and waits afterwards."""
        return self.run_until_complete(main())


def virtual_loop() -> Iterator[VirtualLoop]:
    """A loop for one test, closed afterwards: the body of a fixture."""
    loop = VirtualLoop()
    try:
        yield loop
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def most_within(times: Sequence[float], seconds: float) -> int:
    """The most of these times, which are in order, that any window of so many seconds holds."""
    most = first = 0
    for last, moment in enumerate(times):
        while moment - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
