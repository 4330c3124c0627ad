"""A sender on an event loop in a thread of its own, and what other threads have to do with it."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack, aclosing
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakSet

from batchsend.errors import RunError, UsageError
from batchsend.loop import LastingExecutor, import_backend, run
from batchsend.outcome import DeliveryResult
from batchsend.sender.unfinished import UnfinishedError, closed
from batchsend.trace import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from batchsend.sender.given import Key, Sendable
    from batchsend.sender.sender import Sender

import_backend()

Result = TypeVar("Result")

TAKEN: Final = object()
"""Heard for each message that was taken from a thread's iterable."""

END: Final = object()
"""Given after the last message, and heard after the last result."""

_PATIENCE: Final = 5.0
"""Seconds that servers have at the end of the program for answering what they were given; then, that loops have."""

_LOOK_EVERY: Final = 0.01
"""Seconds between two looks at a loop that is waited for after an interrupt."""


class Background:
    """An event loop in a thread, with an open sender on it.

    Args:
        sender: The sender.
        name: What its thread knows its `SyncSender` by.

    Attributes:
        sender: The sender, to be used on the loop.
        is_parents: It is that of a process of which this one is a fork; its thread is not there.
        is_dropped: Nobody has its `SyncSender` any more, and nobody will hear of an error.
        asked: What threads wait for, and were not told of yet.

    Raises:
        UsageError: Greenlets have taken the place of threads; or as the sender says.
        RunError: There are too many threads or open files; or as the sender says.
    """

    def __init__(self, sender: Sender, name: object) -> None:
        self.sender = sender
        self.is_parents = False
        self.is_dropped = False
        self.asked: set[Pending[Any]] = set()
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stop: asyncio.Event
        self._main_task: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None
        self._is_over = False  # nothing more is begun
        # Not what the thread says: an interrupt that strikes Thread.is_alive has it say for ever that it has ended.
        self._has_ended = False
        self._begun_in = threading.get_native_id()
        started: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, args=(started,), name="batchsend", daemon=True)
        _BACKGROUNDS.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise _cannot_begin(str(error), "let it have more threads or memory") from error
        try:
            started.result()
        except BaseException:
            # Interrupted, as by Ctrl-C: nobody will use it.
            started.add_done_callback(lambda done: self.stop() if done.exception() is None else None)
            raise
        _STARTED.add(self)

    def _run(self, started: Future[None]) -> None:
        if threading.get_native_id() == self._begun_in:
            # A greenlet, as of gevent or eventlet: the loop would hold up whoever waits for it, for ever.
            started.set_exception(_no_thread())
            return
        _HERE.name = self._name
        try:
            run(lambda: self._main(started))
        except BaseException as error:  # raised where it is waited for
            if started.done():
                self._failure = error
                if self.is_dropped and not isinstance(error, asyncio.CancelledError):
                    log.error("a sender that the program does not hold any more has ended: %s", error)
            elif isinstance(error, OSError) and self._main_task is None:
                started.set_exception(_cannot_begin(error.strerror or str(error), "let it have more: ulimit -n 1024"))
            else:
                started.set_exception(error)
        finally:
            self._has_ended = True
            self._give_up()

    async def _main(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._main_task = asyncio.current_task()
        self._loop.set_default_executor(LastingExecutor())
        self._stop = asyncio.Event()
        try:
            async with self.sender:
                started.set_result(None)
                await self._stop.wait()
        finally:
            self._is_over = True
            if self._tasks:
                await asyncio.wait(self._tasks)  # each tells its thread what became of it

    def _give_up(self) -> None:
        """Tell the threads that still wait that nothing more comes.

        A loop that an error ends, and one that ends while a thread gives it something, may have taken that and neither
        have begun it nor have told what became of it.
        """
        for answer in tuple(self.asked):
            answer.give_up()

    @property
    def has_ended(self) -> bool:
        """Whether its loop has ended: by an error, as where ``unclaimed`` raises SystemExit, or with the program."""
        return self._has_ended

    def inherit(self) -> None:
        """In a child process, after a fork: whoever waits here, in what a signal handler has interrupted, is told."""
        self.is_parents = True
        self._give_up()

    def require_own(self) -> None:
        """Refuse what a child process has left of its parent's.

        Raises:
            UsageError: The process was forked since this was begun, and this is the child.
        """
        if self.is_parents:
            raise UsageError(
                "the process was forked while results were taken: they are its parent's",
                remedy="Leave the loop in the child, and send anew there what is the child's to send.",
            )

    def submit(self, answer: Pending[Result], make: Callable[[Sender], Coroutine[Any, Any, Result]]) -> None:
        """Begin something on the loop.

        Args:
            answer: Hears what becomes of it.
            make: What is begun.

        Raises:
            RunError: The loop has ended since.
        """

        def begin() -> None:
            if self._is_over:
                answer.give_up()
                return
            task = self._loop.create_task(make(self.sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            answer.follow(task)

        answer.background = self
        self.asked.add(answer)
        if not self.call(begin):
            self.asked.discard(answer)
            raise closed()

    def call(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call a function on the loop; False where that has ended since, as another thread has closed the sender."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    def stop(self) -> None:
        """Close the sender, and end the loop."""
        self.call(self._stop.set)

    def cancel(self) -> None:
        """Have sessions end where they are."""
        if self._main_task is not None:
            self.call(self._main_task.cancel)

    def end(self, until: float) -> None:
        """Wait for the end of a loop that was cancelled, at the end of the program.

        A loop that does not come to its end then either, because a function of the program's or the disk holds it up,
        is left to itself.

        Args:
            until: For how long, by ``time.monotonic()``.

        Raises:
            RunError: The results log could not be written at the end.
        """
        if not self.ends_by(until):
            log.warning(
                "the program ends, and a sender's event loop does not: a function that the sender was given, or "
                "the disk, holds it up; what is under way there is told to nobody"
            )
        elif not isinstance(self._failure, asyncio.CancelledError):
            self.join()

    def wait(self) -> None:
        """Wait until the loop has ended, whatever has become of it."""
        self.ends_by(None)

    def join(self) -> None:
        """Wait until the loop has ended.

        Raises:
            RunError: The results log could not be written at the end; raised once.
        """
        self.wait()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def ends_by(self, until: float | None) -> bool:
        """Wait until the loop has ended; whether it has.

        Args:
            until: For how long, by ``time.monotonic()``; None for as long as it takes.
        """
        self._thread.join(None if until is None else max(0.0, until - time.monotonic()))
        # An interrupt that strikes Thread.join has that say for ever that the thread has ended.
        while not (self._has_ended or self.is_parents) and (until is None or time.monotonic() < until):
            time.sleep(_LOOK_EVERY)
        return self._has_ended or self.is_parents


class Pending(Generic[Result]):
    """What becomes of something on the loop, for the thread that waits for it.

    As ``concurrent.futures.Future``, but that nobody has a lock: while a signal handler waits for the loop, so would
    the loop for the lock of the future that the handler has interrupted.

    Args:
        over: Called when it is over, also where it was never begun.

    Attributes:
        background: The loop, from `Background.submit` on.
    """

    def __init__(self, over: Callable[[], object] = lambda: None) -> None:
        self.background: Background | None = None
        self._over = over
        self._told: SimpleQueue[asyncio.Task[Result] | None] = SimpleQueue()
        self._task: asyncio.Task[Result] | None = None
        self._is_raised = False  # an error goes to the thread, with the results that it has

    def follow(self, task: asyncio.Task[Result]) -> None:
        """Tell what becomes of a task; on the loop."""
        self._task = task
        task.add_done_callback(self._tell)

    def give_up(self) -> None:
        """Nothing goes on any more: tell what is known."""
        self._tell(None if self._task is None or not self._task.done() else self._task)

    def _tell(self, task: asyncio.Task[Result] | None) -> None:
        if task is not None and not task.cancelled():
            task.exception()  # it is raised in the thread, if that has not gone
        if self.background is not None:
            self.background.asked.discard(self)
        self._told.put(task)
        self._over()

    def wait(self) -> Result:
        """The result.

        Raises:
            RunError: The loop has ended.
            UsageError: The process was forked meanwhile, and this is the child.
            Exception: What it has raised.
        """
        task = self._told.get()
        if self.background is not None:
            self.background.require_own()
        if task is None or task.cancelled():
            raise closed()
        if task.exception() is not None:
            self._is_raised = True
        return task.result()

    def end(self, ended: Callable[[object], object]) -> None:
        """End it, unless it is over; on the loop.

        Args:
            ended: Called when it is over.
        """
        if self._task is not None:
            self._task.cancel()
            self._task.add_done_callback(ended)

    def leave(self) -> None:
        """The thread that was to wait is interrupted, as by Ctrl-C: what has begun ends, unless it is over.

        Results that are there by then are told as those that nobody waits for.
        """
        background = self.background
        if background is None or self._is_raised or background.is_parents:
            return
        if not background.call(self.end, self._unclaim):
            self._unclaim()  # the loop has ended: there is no other thread to say it

    def _unclaim(self, *_: object) -> None:
        task, background = self._task, self.background
        if background is None or task is None or not task.done() or task.cancelled():
            return
        known: object
        if (error := task.exception()) is None:
            known = task.result()
        else:
            known = error.results if isinstance(error, UnfinishedError) else []
        for one in known if isinstance(known, list) else [known]:
            if isinstance(one, DeliveryResult):
                background.sender.unclaimed(one)


class Channel:
    """Messages from a thread to the loop, and results back.

    Args:
        key: As for `Sender.send`.

    Attributes:
        heard: Results for the thread; `TAKEN` for each message that was taken, `END` after the last.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = key
        self.heard: SimpleQueue[Any] = SimpleQueue()
        self._messages: asyncio.Queue[Any] = asyncio.Queue()

    @property
    def quiet(self) -> bool:
        """Whether the thread has heard all there is: results go before further messages."""
        return self.heard.empty()

    def give(self, message: object) -> None:
        """Hand over what the iterable gave, whatever that is; `END` says that there is no more."""
        self._messages.put_nowait(message)

    async def send(self, sender: Sender) -> None:
        """Send what is given, and pass the results on; `end` is to be called when that is over."""
        async with aclosing(sender.send(self._taken(), key=self._key)) as results:
            async for result in results:
                self.heard.put(result)

    def end(self) -> None:
        """No more results will come."""
        self.heard.put(END)

    def leave(self, pending: Pending[None]) -> None:
        """The thread takes no more results: what it has not taken is unclaimed, also where all was sent by then."""
        background = pending.background
        if background is None or background.is_parents:
            return
        sender = background.sender

        def unclaim(*_: object) -> None:
            while not self.heard.empty():
                if isinstance(result := self.heard.get(), DeliveryResult):
                    sender.unclaimed(result)

        if not background.call(pending.end, unclaim):
            unclaim()  # the loop has ended: there is no other thread to say it

    async def _taken(self) -> AsyncIterator[Sendable]:
        while (message := await self._messages.get()) is not END:
            self.heard.put(TAKEN)
            yield message


def _cannot_begin(why: str, remedy: str) -> RunError:
    return RunError(f"the sender's event loop cannot be started in a thread of this process: {why}", remedy=remedy)


def _no_thread() -> UsageError:
    return UsageError(
        "a SyncSender needs a thread, and greenlets have taken the place of threads, as with gevent or eventlet",
        remedy="Use workers that are processes or threads, such as gunicorn's gthread or Celery's prefork.",
    )


_HERE: Final = threading.local()
_BACKGROUNDS: Final[WeakSet[Background]] = WeakSet()
_STARTED: Final[WeakSet[Background]] = WeakSet()
_INHERITED: Final[list[Background]] = []
"""Loops of a parent process. They are kept: taken apart, they would unregister its sockets from its own poll."""


def name_here() -> object:
    """What the thread that calls this knows its `SyncSender` by; None where it is no such thread."""
    return getattr(_HERE, "name", None)


def inherit() -> None:
    """Mark what a process has of its parent's, after a fork."""
    _HERE.name = None
    _STARTED.clear()
    for background in _BACKGROUNDS:
        background.inherit()
        _INHERITED.append(background)


def _end_all() -> None:
    """At the end of the program: what was taken is sent, as at each close, and sessions take leave of their servers.

    The threads are daemons, which would else be stopped wherever they are. What a server has not answered in time is in
    doubt: nobody waits for a program that has nothing more to do.
    """
    running = [background for background in _STARTED if not background.has_ended]
    for background in running:
        background.stop()
    until = time.monotonic() + _PATIENCE
    for background in running:
        if not background.ends_by(until):
            background.cancel()
    until = time.monotonic() + _PATIENCE
    with ExitStack() as ends:
        for background in running:
            ends.callback(background.end, until)


atexit.register(_end_all)
