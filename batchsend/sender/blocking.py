"""A sender for programs without an event loop: scripts, threads, WSGI applications, Celery tasks, notebooks."""

from __future__ import annotations

import asyncio
import os
import ssl  # noqa: TC003 - public: its hints are resolved at run time
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from email.message import Message  # noqa: TC003 - public: its hints are resolved at run time
from pathlib import Path  # noqa: TC003 - likewise
from queue import SimpleQueue
from types import TracebackType  # noqa: TC003 - likewise
from typing import Any, Final, Self, TypeVar, overload
from weakref import WeakSet

from batchsend.campaign import Delivery, Server  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.errors import UsageError, require_path
from batchsend.loop import LastingExecutor, run
from batchsend.message.submission import Submission
from batchsend.outcome import DeliveryResult
from batchsend.results.choice import Choice  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.results.lock import InUseError
from batchsend.sender.given import Key, Sendable, iterable
from batchsend.sender.sender import Sender

Result = TypeVar("Result")

# Messages that were taken from a thread's iterable and not yet by the sender.
_AHEAD: Final = 64
_MOST_LOGS: Final = 1000


class SyncSender:
    """A `Sender` behind ordinary calls, which return when the result is known. Threads share it.

    Its event loop runs in a thread of its own, from the first message until it is closed; so it can be used where a
    loop is running already, as in a notebook, and holds up that loop meanwhile. After ``os.fork``, as in a Celery or
    gunicorn worker, the child opens sessions of its own when it first sends, and leaves its parent's alone.

    ::

        with SyncSender(Server(host="127.0.0.1", port=2525, tls="none")) as sender:
            [result] = sender.send_message(message)
            print(result.status)

    Without ``with`` it is open from the start until `close`, and after that again from the next ``with`` or `open`.

    Args:
        servers: As for `Sender`.
        delivery: As for `Sender`.
        context: As for `Sender`.
        notice: As for `Sender`; called in the thread of the loop.
        unclaimed: As for `Sender`; called in the thread of the loop.
        results: As for `Sender`. The log is opened with the first message, and one process at a time has it: processes
            that were forked need one each.
        retry: As for `Sender`.

    Raises:
        UsageError: A server's settings cannot be used.
        TypeError: An argument is of a wrong type.
    """

    def __init__(
        self,
        *servers: Server,
        delivery: Delivery | None = None,
        context: ssl.SSLContext | None = None,
        notice: Callable[[str], None] = lambda _: None,
        unclaimed: Callable[[DeliveryResult], None] | None = None,
        results: Path | str | None = None,
        retry: Choice | None = None,
    ) -> None:
        self._results = None if results is None else require_path(results, "results").absolute()

        def make() -> Sender:
            return Sender(
                *servers,
                delivery=delivery,
                context=context,
                notice=notice,
                unclaimed=unclaimed,
                results=self._results,
                retry=retry,
            )

        make()  # what is wrong with the arguments is said here
        self._make = make
        self._lock = threading.Lock()
        self._background: _Background | None = None
        self._is_open = True
        _SENDERS.add(self)

    def open(self) -> None:
        """Take messages again after `close`; no connection is made before there is something to send."""
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        """Take no more messages, wait until those that were taken are sent, and end the sessions.

        Raises:
            UsageError: It is called by ``notice`` or ``unclaimed``.
        """
        with self._lock:
            background, self._background = self._background, None
            self._is_open = False
            if background is not None:
                background.require_another_thread()
                background.stop()
        if background is not None:
            background.thread.join()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def send_message(self, message: Submission, *, key: str | None = None) -> DeliveryResult: ...

    @overload
    def send_message(
        self,
        message: Message,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        key: str | None = None,
    ) -> list[DeliveryResult]: ...

    def send_message(
        self,
        message: Sendable,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        key: str | None = None,
    ) -> DeliveryResult | list[DeliveryResult]:
        """Send one message, and wait for what becomes of it, as `Sender.send_message` does.

        ::

            [result] = sender.send_message(message)
            print(result.status, result.message_id)

        Args:
            message: An `email.message.EmailMessage`, or a `Submission`.
            sender: The reverse-path; None for the address in Sender or From.
            recipients: The forward-paths; None for To, Cc and Bcc.
            key: As for `Sender.send_message`.

        Returns:
            The outcome of a submission; of another message a list of outcomes, one a recipient.

        Raises:
            RecordError: As `Sender.send_message`.
            UnfinishedError: As `Sender.send_message`.
            UsageError: It is closed, or called by ``notice`` or ``unclaimed``.
            TypeError: An argument is of a wrong type.
        """

        async def send(to: Sender) -> DeliveryResult | list[DeliveryResult]:
            if isinstance(message, Submission) and sender is None and recipients is None:
                return await to.send_message(message, key=key)
            return await to.send_message(message, sender=sender, recipients=recipients, key=key)  # type: ignore[arg-type]  # it says

        return _wait(self._submit(send)[0])

    def send_all(self, messages: Iterable[Sendable], *, key: Key | None = None) -> list[DeliveryResult]:
        """Send, and return all outcomes at once, in the order of the messages, as `Sender.send_all` does.

        ::

            results = sender.send_all(messages)
            failed = [result for result in results if result.status is not Outcome.ACCEPTED]

        Args:
            messages: What to send; gone through in the caller's thread before the first one is sent.
            key: As for `Sender.send`; called in the thread of the loop.

        Raises:
            UnfinishedError: As `Sender.send_all`.
            UsageError: It is closed, or called by ``notice`` or ``unclaimed``.
            TypeError: As `Sender.send`.
        """
        given = list(_plain(messages))
        return _wait(self._submit(lambda to: to.send_all(given, key=key))[0])

    def send(self, messages: Iterable[Sendable], *, key: Key | None = None) -> Iterator[DeliveryResult]:
        """Send, and yield each outcome as it is known, as `Sender.send` does; in no particular order.

        ::

            for result in sender.send(messages):
                print(result.record, result.recipient, result.status)

        Args:
            messages: What to send; gone through in the caller's thread, no faster than the results are taken.
            key: As for `Sender.send`; called in the thread of the loop.

        Yields:
            The outcomes.

        Raises:
            RunError: As `Sender.send`.
            UsageError: It is closed, or called by ``notice`` or ``unclaimed``.
            TypeError: As `Sender.send`.
            Exception: What the iterable of messages raises, once what it gave before has its results.
        """
        return self._stream(_plain(messages), key)

    def _stream(self, messages: Iterable[Sendable], key: Key | None) -> Iterator[DeliveryResult]:
        channel = _Channel(key)
        future, loop = self._submit(channel.send)
        failure: Exception | None = None
        source = iter(messages)
        exhausted = False
        ahead = 0
        try:
            while True:
                while not exhausted and ahead < _AHEAD and channel.quiet:
                    try:
                        message = next(source, None)
                    except Exception as error:  # raised below, once what was given before has its results
                        failure, message = error, None
                    exhausted = message is None
                    ahead += 1
                    loop.call_soon_threadsafe(channel.give, message)
                heard = channel.heard.get()
                if heard is _TAKEN:
                    ahead -= 1
                elif heard is _END:
                    break
                else:
                    yield heard
            _wait(future)
        finally:
            if not future.done():
                future.cancel()
        if failure is not None:
            raise failure

    def _submit(
        self, make: Callable[[Sender], Coroutine[Any, Any, Result]]
    ) -> tuple[Future[Result], asyncio.AbstractEventLoop]:
        """Begin something on the loop, which is started if it is not there."""
        # With the lock: whatever is begun before `close` comes before the loop is told to stop.
        with self._lock:
            if not self._is_open:
                raise UsageError("the sender is closed", remedy="open it: with SyncSender(…) as sender:")
            if self._background is None:
                self._background = _Background(self._make())
            background = self._background
            background.require_another_thread()
            return background.submit(make), background.loop

    def _forked(self) -> None:
        """Forget the parent's thread, which is not there in the child, and the lock that it may have held."""
        if self._background is not None:
            _INHERITED.append(self._background)
        self._background = None
        self._lock = threading.Lock()


class NumberedSyncSender(SyncSender):
    """A sender with a results log for each process: ``mail.jsonl``, ``mail-2.jsonl`` … the first that nobody is at.

    So the processes of a server that share their settings write down what they send, and whoever is started after one
    that was killed takes up its log, and says what is in doubt there.

    Args:
        servers: As for `SyncSender`.
        results: The first of the logs.
        more: As for `SyncSender`.
    """

    def __init__(self, *servers: Server, results: Path, **more: Any) -> None:
        super().__init__(*servers, results=results, **more)
        self._first = results.absolute()

    def _submit(
        self, make: Callable[[Sender], Coroutine[Any, Any, Result]]
    ) -> tuple[Future[Result], asyncio.AbstractEventLoop]:
        for number in range(2, _MOST_LOGS):
            try:
                return super()._submit(make)
            except InUseError:
                self._results = self._first.with_stem(f"{self._first.stem}-{number}")
        return super()._submit(make)

    def _forked(self) -> None:
        super()._forked()
        self._results = self._first


class _Background:
    """An event loop in a thread, with an open sender on it.

    Args:
        sender: The sender.

    Attributes:
        thread: The thread.
        loop: The loop.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stop: asyncio.Event
        started: Future[None] = Future()
        self.loop: asyncio.AbstractEventLoop
        self.thread = threading.Thread(target=self._run, args=(started,), name="batchsend", daemon=True)
        self.thread.start()
        started.result()

    def _run(self, started: Future[None]) -> None:
        try:
            run(lambda: self._main(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _main(self, started: Future[None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_default_executor(LastingExecutor())
        self._stop = asyncio.Event()
        async with self._sender:
            started.set_result(None)
            await self._stop.wait()
        if self._tasks:
            await asyncio.wait(self._tasks)  # each tells its thread what became of it

    def require_another_thread(self) -> None:
        """Refuse to wait for oneself.

        Raises:
            UsageError: This is the loop's own thread.
        """
        if threading.current_thread() is self.thread:
            raise UsageError("the sender's own thread cannot wait for it", remedy="Use a queue and another thread.")

    def submit(self, make: Callable[[Sender], Coroutine[Any, Any, Result]]) -> Future[Result]:
        """Begin something on the loop."""

        async def follow() -> Result:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return await make(self._sender)

        return asyncio.run_coroutine_threadsafe(follow(), self.loop)

    def stop(self) -> None:
        """Close the sender, and end the loop."""
        self.loop.call_soon_threadsafe(self._stop.set)


class _Channel:
    """Messages from a thread to the loop, and results back.

    Args:
        key: As for `Sender.send`.

    Attributes:
        heard: Results for the thread; ``_TAKEN`` for each message that was taken, ``_END`` after the last.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = key
        self.heard: SimpleQueue[Any] = SimpleQueue()
        self._messages: asyncio.Queue[Sendable | None] = asyncio.Queue()

    @property
    def quiet(self) -> bool:
        """Whether the thread has heard all there is: results go before further messages."""
        return self.heard.empty()

    def give(self, message: Sendable | None) -> None:
        """Hand a message over; None says that there are no more."""
        self._messages.put_nowait(message)

    async def send(self, sender: Sender) -> None:
        """Send what is given, and pass the results on."""
        try:
            async with aclosing(sender.send(self._taken(), key=self._key)) as results:
                async for result in results:
                    self.heard.put(result)
        except asyncio.CancelledError:
            while not self.heard.empty():  # the thread has left its loop
                if isinstance(result := self.heard.get(), DeliveryResult):
                    sender.unclaimed(result)
            raise
        finally:
            self.heard.put(_END)

    async def _taken(self) -> AsyncIterator[Sendable]:
        while (message := await self._messages.get()) is not None:
            self.heard.put(_TAKEN)
            yield message


_TAKEN: Final = object()
_END: Final = object()
_SENDERS: Final[WeakSet[SyncSender]] = WeakSet()
_INHERITED: Final[list[_Background]] = []
"""Loops of a parent process. They are kept: taken apart, they would unregister its sockets from its own poll."""


def _after_fork() -> None:
    for sender in _SENDERS:
        sender._forked()


os.register_at_fork(after_in_child=_after_fork)


def _plain(messages: Iterable[Sendable]) -> Iterable[Sendable]:
    """The messages, which are no asynchronous iterable."""
    if not isinstance(iterable(messages), Iterable):
        raise TypeError("an asynchronous iterable needs a batchsend.Sender")
    return messages


def _wait(future: Future[Result]) -> Result:
    """The result; where the wait is interrupted, as by Ctrl-C, what was begun is cancelled."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
