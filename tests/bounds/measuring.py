"""One command run to its end in a process of its own, and what it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.cli.commandline import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

# For its last child: what subprocess.run has waited for, in KiB (getrusage(2)).
_MEASURE: Final = (
    "import pathlib, resource, subprocess, sys; code = subprocess.run(sys.argv[2:]).returncode; "
    "pathlib.Path(sys.argv[1]).write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)); "
    "sys.exit(code if code >= 0 else 128 - code)"
)
WITHIN: Final = 400.0


@dataclass(frozen=True, slots=True)
class Took:
    """What a command took.

    Attributes:
        code: Its exit code.
        seconds: From its start to its end.
        memory: MiB of its largest resident set.
        output: What it said on standard output.
        errors: What it said on standard error.
    """

    code: int
    seconds: float
    memory: float
    output: str
    errors: str


def run(
    folder: Path,
    *arguments: str | Path,
    given: Path | None = None,
    descriptors: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Took:
    """Run a command.

    Args:
        folder: Where it is run, and may write.
        *arguments: The words behind ``batchsend``.
        given: The file that it finds on standard input; where there is none, that is empty.
        descriptors: So many files it may have open; None for as many as this process.
        variables: What is set in its environment besides.
    """
    measured = folder / "measured"
    limited = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors is not None else []
    command = [sys.executable, "-c", _MEASURE, str(measured), *limited, sys.executable, "-m", "batchsend"]
    began = time.monotonic()
    with (given if given is not None and given.exists() else Path(os.devnull)).open("rb") as standard_input:
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=folder,
            env=environment(**(variables or {})),
            stdin=standard_input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=WITHIN,
            check=False,
        )
    seconds = time.monotonic() - began
    return Took(done.returncode, seconds, int(measured.read_text()) / 1024, done.stdout, done.stderr)
