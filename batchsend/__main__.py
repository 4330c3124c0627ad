"""``python -m batchsend``, and the command ``batchsend``."""

from __future__ import annotations

import gc
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command that this process was started for, and exit with its code."""
    # Until the command is known there is nothing to end in order: Ctrl-C ends the process as the system does.
    # `batchsend.cli` heeds signals from then on.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Nearly all that is made until the command is known is modules, which live as long as the process: the collector
    # would look at them again and again. `batchsend.cli` lets it begin.
    gc.disable()
    from batchsend.cli import main as run  # noqa: PLC0415 - with the collector switched off

    run()


if __name__ == "__main__":
    main()
