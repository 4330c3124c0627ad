"""One input tried within its bounds, and inputs tried for some time."""

from __future__ import annotations

import random
import resource
import signal
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.fuzz.mutation import mutated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.subjects import Subject

SECONDS: Final = 5.0
"""How long one input may take."""

MEMORY: Final = 500 * 2**20
"""Octets that reading one input may take."""

_MOST: Final = 20_000
_MEMORY_FOLDER: Final = Path("/dev/shm")


class Finding(NamedTuple):
    """An input that is not read as it must be.

    Attributes:
        octets: The input.
        what: What came of it.
    """

    octets: bytes
    what: str


def trial(subject: Subject, octets: bytes) -> str | None:
    """What is wrong with how an input is read; None where nothing is."""
    where = _MEMORY_FOLDER if _MEMORY_FOLDER.is_dir() else None
    with TemporaryDirectory(prefix="batchsend-fuzz-", dir=where) as folder:
        try:
            with _in_time():
                subject.read(octets, Path(folder))
        except BaseException as error:  # whatever it is, no reader documents it
            if isinstance(error, KeyboardInterrupt):
                raise
            return "".join(traceback.format_exception(error)[-3:])
    return None


def fuzz(subject: Subject, seconds: float, seed: int) -> tuple[int, Finding | None]:
    """Try inputs for some seconds, or until one is not read as it must be, which is then made smaller.

    Returns:
        How many were tried, and what was found.
    """
    examples = subject.examples()
    choose = random.Random(seed)
    until = time.monotonic() + seconds
    tried = 0
    with _within_memory():
        for octets in examples:
            if (what := trial(subject, octets)) is not None:
                return tried, Finding(octets, f"a sound example: {what}")
        while time.monotonic() < until:
            octets = mutated(examples, choose, _MOST)
            tried += 1
            if (what := trial(subject, octets)) is not None:
                octets = _smaller(subject, octets, what)
                return tried, Finding(octets, trial(subject, octets) or what)
    return tried, None


def _smaller(subject: Subject, octets: bytes, what: str) -> bytes:
    """The same trouble in fewer octets: told by its last line without what it quotes."""
    kind = what.strip().rpartition("\n")[2][:30]
    until = time.monotonic() + 10.0
    size = len(octets) // 2
    while size and time.monotonic() < until:
        for begin in range(0, len(octets), size):
            candidate = octets[:begin] + octets[begin + size :]
            if (other := trial(subject, candidate)) is not None and other.strip().rpartition("\n")[2][:30] == kind:
                octets = candidate
                break
        else:
            size //= 2
    return octets


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"it has taken more than {SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _within_memory() -> Iterator[None]:
    """Give this process no more memory than it has and what an input may take: more is a `MemoryError`."""
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
