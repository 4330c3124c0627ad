"""``python -m tests.cluster.worker …`` is ``batchsend …``, and says on SIGUSR1 what each of its tasks waits for.

Its machine's clock is as many seconds before the others' as the environment variable `CLOCK` says.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from typing import Any

from batchsend.__main__ import main

CLOCK = "BATCHSEND_TEST_CLOCK"


def say_tasks(*_: object) -> None:
    """Print where each task of each loop is, to standard error."""
    for task in [one for one in gc.get_objects() if issubclass(type(one), asyncio.Task) and not one.done()]:
        print(task.get_name(), file=sys.stderr)
        awaited: Any = task.get_coro()
        while (frame := getattr(awaited, "cr_frame", None)) is not None:
            print(f"    {frame.f_code.co_qualname} {frame.f_lineno} of {frame.f_code.co_filename}", file=sys.stderr)
            awaited = getattr(awaited, "cr_await", None)
        print(f"    {awaited!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, say_tasks)
    if before := float(os.environ.get(CLOCK, "0")):
        real = time.time
        time.time = lambda: real() + before
    main()
