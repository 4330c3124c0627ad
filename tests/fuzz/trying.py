"""One input tried within its bounds, and inputs tried for some time, also in a process that may die of them."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import time
import traceback
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.fuzz.mutation import mutated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from tests.fuzz.subjects import Subject

SECONDS: Final = 5.0
"""How long one input may take, not counting the time in which others have the processor."""

MEMORY: Final = 500 * 2**20
"""Octets that reading one input may take."""

_MOST: Final = 20_000
_LOOK: Final = 16
"""One of so many inputs is preceded by a look at the clock, which takes as long as the quickest of them."""
_TRIES: Final = 3000
_STEPS: Final = 100
"""How often what was found is tried without a part of it; and how often that may make it smaller, in up to 5 s each."""
_MEMORY_FOLDER: Final = Path("/dev/shm")
_SIZE: Final = struct.Struct("=Q")
_FORK: Final = multiprocessing.get_context("fork")


class OverTimeError(BaseException):
    """An input has taken too long: no `Exception`, for a reader may make an error of its own of any of these."""


class Finding(NamedTuple):
    """An input that is not read as it must be.

    Attributes:
        octets: The input.
        what: What came of it.
    """

    octets: bytes
    what: str


class Tried(NamedTuple):
    """What inputs have come to.

    Attributes:
        number: How many were tried; 0 where their process has ended before it could say so.
        finding: The one that is not read as it must be.
    """

    number: int
    finding: Finding | None


def trial(subject: Subject, octets: bytes, folder: Path | None = None) -> str | None:
    """What is wrong with how an input is read; None where nothing is.

    Args:
        subject: What reads it.
        octets: The input.
        folder: An empty one, which is emptied again; None for one of its own.
    """
    if folder is None:
        with _folder() as made:
            return trial(subject, octets, Path(made))
    try:
        with _in_time(), _within_memory():
            subject.read(octets, folder)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it is, no reader documents it
        return "".join(traceback.format_exception(error)[-3:])
    finally:
        for entry in os.scandir(folder):
            shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else Path(entry).unlink()
    return None


def fuzz(
    subject: Subject,
    seed: int,
    *,
    seconds: float = float("inf"),
    inputs: float = float("inf"),
    note: Callable[[bytes], None] = lambda _: None,
    folder: Path | None = None,
) -> Tried:
    """Try inputs until one is not read as it must be, which is then made smaller.

    Args:
        subject: What reads them.
        seed: What decides which they are.
        seconds: How long, in seconds of this process's computing: they are the same on a busy machine.
        inputs: How many at most.
        note: Is told each input before it is tried.
        folder: As `trial` takes it.
    """
    if folder is None:
        with _folder() as made:
            return fuzz(subject, seed, seconds=seconds, inputs=inputs, note=note, folder=Path(made))

    def tried_here(octets: bytes) -> str | None:
        note(octets)
        return trial(subject, octets, folder)

    examples = subject.examples()
    choose = random.Random(seed)
    until = time.process_time() + seconds
    tried = 0
    for octets in examples:
        if (what := tried_here(octets)) is not None:
            return Tried(tried, Finding(octets, f"a sound example: {what}"))
    while tried < inputs and (tried % _LOOK or time.process_time() < until):
        octets = mutated(examples, choose, _MOST)
        tried += 1
        if (what := tried_here(octets)) is not None:
            return Tried(tried, _smaller(Finding(octets, what), tried_here))
    return Tried(tried, None)


class Apart:
    """Inputs of one subject tried in a process of its own: what kills that process is a finding, too.

    Where a library in another language has no memory, it ends the process; where it does not come to an end, no signal
    handler of Python's is called, and the process is killed by the kernel.

    Args:
        subject: What reads them.
        seed: What decides which they are.
        seconds: How long, in seconds of that process's computing.
        only: The one input to try, instead of many.
    """

    def __init__(self, subject: Subject, seed: int = 0, seconds: float = 0.0, *, only: bytes | None = None) -> None:
        self._subject = subject
        self._folder = _folder()  # this process's, which is there to remove it
        self._under_way = mmap.mmap(-1, _SIZE.size + _MOST)
        self.receiver, sender = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=self._run, args=(sender, seed, seconds, only), daemon=True)
        self._process.start()
        sender.close()

    def result(self) -> Tried:
        """Wait for its end, and say what was found."""
        try:
            tried: Tried = self.receiver.recv()
        except EOFError:
            tried = Tried(0, None)
        self._process.join()
        self._folder.cleanup()
        if code := self._process.exitcode:
            (size,) = _SIZE.unpack_from(self._under_way)
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            octets = self._under_way[_SIZE.size : _SIZE.size + size]
            return Tried(0, Finding(octets, f"its process has ended: {how}"))
        return tried

    def _run(self, sender: Connection, seed: int, seconds: float, only: bytes | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that has started this one ends it
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        folder = Path(self._folder.name)
        if only is None:
            sender.send(fuzz(self._subject, seed, seconds=seconds, note=self._note, folder=folder))
        else:
            self._note(only)
            what = trial(self._subject, only, folder)
            sender.send(Tried(1, None if what is None else Finding(only, what)))

    def _note(self, octets: bytes) -> None:
        """Leave the input where it outlives this process, which may now take so long of the processor."""
        _SIZE.pack_into(self._under_way, 0, len(octets))
        self._under_way[_SIZE.size : _SIZE.size + len(octets)] = octets
        signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)


def died_of(subject: Subject, finding: Finding) -> Finding:
    """An input of which its process has died, made smaller."""

    def again(octets: bytes) -> str | None:
        found = Apart(subject, only=octets).result().finding
        return None if found is None else found.what

    return _smaller(finding, again)


def _folder() -> TemporaryDirectory[str]:
    """A folder in memory, where there is such a thing."""
    return TemporaryDirectory(prefix="batchsend-fuzz-", dir=_MEMORY_FOLDER if _MEMORY_FOLDER.is_dir() else None)


def _smaller(found: Finding, tried: Callable[[bytes], str | None]) -> Finding:
    """The same trouble in fewer octets: told by its last line without what it quotes."""
    octets, what = found
    kind = _kind(what)
    tries, steps = _TRIES, _STEPS
    size = len(octets) // 2
    while size and tries > 0 and steps > 0:
        for begin in range(0, len(octets), size):
            candidate = octets[:begin] + octets[begin + size :]
            tries -= 1
            if (other := tried(candidate)) is not None and _kind(other) == kind:
                octets, what = candidate, other
                steps -= 1
                break
        else:
            size //= 2
    return Finding(octets, what)


def _kind(what: str) -> str:
    return what.strip().rpartition("\n")[2][:30]


def waited() -> float:
    """Seconds in which this process was ready to compute, and others had the processor: Linux counts them."""
    return int(_numbers("schedstat", os.getpid())[1]) / 1e9


def _seconds() -> float:
    """A clock that stands still while others have the processor."""
    return time.monotonic() - waited()


def _numbers(name: str, process: int) -> list[bytes]:
    """What a file of proc(5) says now."""
    return os.pread(_opened(name, process), 200, 0).split()


@cache
def _opened(name: str, process: int) -> int:
    """That file, opened once by each process, for it is read for each input."""
    return os.open(f"/proc/{process}/{name}", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def _in_time() -> Iterator[None]:
    began = _seconds()

    def late(*_: object) -> None:
        if (left := began + SECONDS - _seconds()) > 0:
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))
        else:
            raise OverTimeError(f"it has taken more than {SECONDS:g} s")

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
    has = int(_numbers("statm", os.getpid())[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
