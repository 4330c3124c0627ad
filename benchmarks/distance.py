"""Makes a server far away: the byte proxy in a process of its own, ``python -m benchmarks.distance HOST PORT SECONDS``.

It prints its port, and ends with its standard input. On uvloop, for at thousands of messages a second the proxy must
not be what is measured; for a server that is near, on a loop whose timers are exact, for those of uvloop tick in
milliseconds.
"""

from __future__ import annotations

import asyncio
import selectors
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvloop

from benchmarks.process import ROOT
from tests.tools.byte_proxy import ByteProxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def far_away(host: str, port: int, round_trip: float) -> Iterator[int]:
    """The port of a proxy to the server, while the context lasts.

    Args:
        host: The server's address.
        port: Its port.
        round_trip: How far away, in seconds.
    """
    command = [sys.executable, "-m", "benchmarks.distance", host, str(port), str(round_trip)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        if process.stdin is None or process.stdout is None or not (line := process.stdout.readline()):
            raise RuntimeError("the byte proxy has not started")
        try:
            yield int(line)
        finally:
            process.stdin.close()


_NEAR = 0.01


async def _serve(host: str, port: int, round_trip: float, tick: float = 0.001) -> None:
    async with ByteProxy(host, port, round_trip=round_trip, tick=tick) as proxy:
        print(proxy.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main(host: str, port: int, round_trip: float) -> None:
    """Be the proxy until the standard input ends."""
    if round_trip >= _NEAR:
        uvloop.run(_serve(host, port, round_trip))
        return
    # select() waits for microseconds, epoll_wait() for milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(_serve(host, port, round_trip, 0.0))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
