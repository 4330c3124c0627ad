"""Messages composed in processes beside the run's own, which keeps sessions, journal and log to itself."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio

from batchsend.errors import RunError
from batchsend.message.submission import Envelope, Submission
from batchsend.run.composer_process import LENGTH, Parts
from batchsend.trace import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from anyio.abc import Process

    from batchsend.message import Composer
    from batchsend.recipients import Record
    from batchsend.run.composer_process import Recipe

_WORTH_IT: Final = 100e-6
"""Seconds that a message must take to compose for it to be worth another process: to hand a record over and to take its
message back costs the run's own process some 15 µs, and with it a core that servers on this machine may need."""

_LEAST_WORK: Final = 1.0
"""Seconds of composing that must be left: to start a process takes about half of it."""

_FATAL: Final = 3
"""Records in a row that end a process each, after which it is not the records' fault."""

_MODULE: Final = "batchsend.run.composer_process"


def processes_for(wanted: int | Literal["auto"], seconds: float, left: int | None) -> int:
    """How many processes compose a campaign's messages.

    Args:
        wanted: What the campaign says: 1 is the run's own process.
        seconds: What a message has taken to compose so far, on average.
        left: About how many records are to be read yet; None where that is not known.

    Returns:
        The number of processes beside the run's own; 0 for none.
    """
    if wanted == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        is_long = left is None or left * seconds > _LEAST_WORK
        return cores if cores > 1 and seconds > _WORTH_IT and is_long else 0
    return 0 if wanted == 1 else wanted


class Composing:
    """Composes the messages of records in processes of its own.

    A process that ends is replaced, and its records are composed again: all of them together, and where another process
    ends of them, each by itself. A record of which a process ends even so cannot be sent; several in a row end the run.

    Args:
        recipe: What is composed.
        composer: The run's own, which makes what a process does not: the form in pure ASCII that few servers ask for.
        count: How many processes.

    Attributes:
        count: How many processes there are.
    """

    def __init__(self, recipe: Recipe, composer: Composer, count: int) -> None:
        self.count = count
        self._recipe = pickle.dumps(recipe, pickle.HIGHEST_PROTOCOL)
        self._composer = composer
        self._idle: deque[_Helper] = deque()
        self._free = anyio.Semaphore(count)
        self._all: set[_Helper] = set()
        self._fatal = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Composing]:
        """Begin; when the context ends, its processes do.

        They are started when they are needed.
        """
        try:
            yield self
        finally:
            with anyio.CancelScope(shield=True):
                for helper in self._all.copy():
                    await self._end(helper)

    async def compose(self, rows: Sequence[Record]) -> list[Submission | str]:
        """Compose the messages of records, in their order, as far as one answer holds them.

        Args:
            rows: One record or more.

        Returns:
            One for each record from the first on: its submission, or why it has none. There may be fewer than records.

        Raises:
            RunError: No process can be started, or they end again and again.
        """
        async with self._free:
            for _ in range(2):
                if (answer := await self._ask(rows)) is not None:
                    self._fatal = 0
                    return [self._submission(row, one) for row, one in zip(rows, answer, strict=False)]
            return [await self._alone(row) for row in rows]

    async def _alone(self, row: Record) -> Submission | str:
        answer = await self._ask([row])
        if answer is not None:
            self._fatal = 0
            return self._submission(row, answer[0])
        self._fatal += 1
        if self._fatal >= _FATAL:
            raise RunError(
                "the processes that compose messages end again and again",
                remedy="see whether the machine has memory enough, or set processes = 1, and resume",
            )
        return "the process that composed its message ended, each time that it was tried"

    async def _ask(self, rows: Sequence[Record]) -> list[Parts | str] | None:
        """What a process answers; None if it ended."""
        helper = self._idle.pop() if self._idle else await self._new()
        try:
            if not helper.is_ready:
                await self._prepare(helper)
            answer: list[Parts | str] = await helper.ask(pickle.dumps(list(rows), pickle.HIGHEST_PROTOCOL))
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._end(helper)
            log.warning("a process that composes messages has ended, with status %s", helper.process.returncode)
            return None
        except BaseException:
            helper.kill()  # in the middle of an answer: what comes next from it would be taken for another's
            raise
        self._idle.append(helper)
        return answer

    async def _new(self) -> _Helper:
        # The import path of this process, and nothing before it, whatever folder the run was started in.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        try:
            # A start that is broken off leaves a process that nobody waits for: asyncio kills it, and is cancelled once
            # more while it waits for its end.
            with anyio.CancelScope(shield=True):
                process = await anyio.open_process(
                    [sys.executable, "-m", _MODULE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None,
                    env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
                    # An interrupt at the terminal is for the run: this one may still be starting.
                    start_new_session=True,
                )
        except OSError as error:
            raise RunError(
                f"a process that composes messages cannot be started: {error.strerror}",
                remedy="set processes = 1 in [delivery], and resume",
            ) from error
        helper = _Helper(process)
        self._all.add(helper)
        return helper

    async def _prepare(self, helper: _Helper) -> None:
        wrong: str | None = await helper.ask(self._recipe)
        if wrong is not None:
            raise RunError(wrong, remedy="bring the campaign's files back as they were when the run began, and resume")
        helper.is_ready = True

    async def _end(self, helper: _Helper) -> None:
        self._all.discard(helper)
        helper.kill()
        await helper.process.aclose()

    def _submission(self, row: Record, made: Parts | str) -> Submission | str:
        if isinstance(made, str):
            return made
        return Submission(
            record=row.number,
            envelope=Envelope(made.reverse_path, made.forward_path),
            content=made.content,
            message_id=made.message_id,
            canonical=True,
            eight_bit=made.eight_bit,
            seven_bit=partial(_in_seven_bits, self._composer, row, made.at) if made.has_seven_bit else None,
        )


class _Helper:
    """One process, and the way to it.

    Attributes:
        is_ready: It has been told what to compose.
    """

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self.process = process
        self.is_ready = False
        self._questions = process.stdin
        from anyio.streams.buffered import BufferedByteReceiveStream  # noqa: PLC0415 - most runs have no such process

        self._answers = BufferedByteReceiveStream(process.stdout)

    async def ask(self, question: bytes) -> Any:
        """Ask, and wait for the answer.

        Raises:
            anyio.EndOfStream: The process has ended; `anyio.IncompleteRead` and `anyio.BrokenResourceError` say so too.
        """
        await self._questions.send(LENGTH.pack(len(question)) + question)
        (length,) = LENGTH.unpack(await self._answers.receive_exactly(LENGTH.size))
        return pickle.loads(await self._answers.receive_exactly(length))  # noqa: S301 - from a process of our own

    def kill(self) -> None:
        """End the process, unless it has ended; uvloop says that it has by an error."""
        with suppress(ProcessLookupError):
            self.process.kill()


def _in_seven_bits(composer: Composer, row: Record, at: int) -> bytes:
    """The same message as pure ASCII, with the same Date and Message-ID."""
    made = composer.compose(row, at=at)
    return made.content if made.seven_bit is None else made.seven_bit()
