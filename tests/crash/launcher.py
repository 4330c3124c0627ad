"""Runs batchsend in forks of this process, which has imported everything: a run begins in milliseconds.

Reads one JSON object a line from standard input, the arguments of `launch`; answers with the process's id, and once it
has ended with its exit code, or minus the signal that ended it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import uvloop  # noqa: F401 - imported here so that no fork has to

from batchsend.cli import main
from tests.crash.disk import Disk


def launch(arguments: list[str], output: str, disk: str | None, boot: str) -> int:
    """Fork; the child is the command, and does not return."""
    child = os.fork()
    if child == 0:
        if disk is not None:
            Disk(Path(disk)).attach(boot)
        _become(arguments, output)
    return child


def _become(arguments: list[str], output: str) -> NoReturn:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        main(arguments)
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        process = launch(**request)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
