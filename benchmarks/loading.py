"""Keeps one core busy while something is measured, as it is on a machine that has other work."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# It ends with its standard input, and so with whoever measures, whatever ends that.
_BUSY = """\
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
while True:
    pass
"""


@contextmanager
def one_core_loaded() -> Iterator[int]:
    """Have a process compute on the last core, which is the value, and on no other, while the context lasts."""
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, start_new_session=True) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            yield core
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.kill()
