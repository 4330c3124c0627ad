"""A sender for programs without an event loop: scripts, threads, WSGI applications, Celery tasks, notebooks."""

from __future__ import annotations

import os
import ssl  # noqa: TC003 - public: its hints are resolved at run time
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from email.message import Message  # noqa: TC003 - public: its hints are resolved at run time
from pathlib import Path  # noqa: TC003 - likewise
from types import TracebackType  # noqa: TC003 - likewise
from typing import Any, Final, Never, Self, TypeVar, overload
from weakref import WeakSet, finalize, ref

from batchsend.campaign import Delivery, Server  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.delivery.statistics import PoolStatistics  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.errors import RunError, UsageError, require_path
from batchsend.message.submission import Submission
from batchsend.outcome import DeliveryResult  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.results.choice import Choice  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.results.lock import InUseError
from batchsend.sender.background import END, TAKEN, Background, Channel, Pending, inherit, name_here
from batchsend.sender.given import Key, Sendable, iterable, named_by
from batchsend.sender.sender import Sender

Result = TypeVar("Result")

# Messages that were taken from a thread's iterable and not yet by the sender.
_AHEAD: Final = 64
_MOST_LOGS: Final = 1000


class SyncSender:
    """A `Sender` behind ordinary calls, which return when the result is known. Threads share it.

    Its event loop runs in a thread of its own, from the first message until it is closed; so it can be used where a
    loop is running already, as in a notebook, and holds up that loop meanwhile. After ``os.fork``, as in a Celery or
    gunicorn worker, the child opens sessions of its own when it first sends, and leaves its parent's alone. A signal
    handler may use it, but not while the call that it has interrupted starts the loop.

    ::

        with SyncSender(Server(host="127.0.0.1", port=2525, tls="none")) as sender:
            [result] = sender.send_message(message)
            print(result.status)

    Without ``with`` it is open from the start until `close`, and after that again from the next ``with`` or `open`. One
    that the program does not hold any more is closed. At the end of the program what was taken is sent, as by `close`,
    for 5 seconds; what is unanswered then is in doubt, and what was not begun is not sent: `notice` says how many
    messages those are.

    Args:
        servers: As for `Sender`.
        delivery: As for `Sender`.
        context: As for `Sender`.
        notice: As for `Sender`; called in the thread of the loop.
        unclaimed: As for `Sender`; called in the thread of the loop, or of the caller where the loop has ended.
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

        def make(log: Path | None) -> Sender:
            return Sender(
                *servers,
                delivery=delivery,
                context=context,
                notice=notice,
                unclaimed=unclaimed,
                results=log,
                retry=retry,
            )

        make(self._results)  # what is wrong with the arguments is said here
        self._make = make
        # A signal handler runs in the main thread wherever that is, also where it has the lock. So the thread that has
        # it may take it again, and each of the steps below leaves what another call can go on from.
        self._lock = threading.RLock()
        self._starting = False
        self._background: Background | None = None
        self._ending: Background | None = None
        self._closer: finalize[..., Any] | None = None  # closes what nobody has any more
        self._is_open = True
        self._name = object()  # what the thread of the loop knows it by
        _SENDERS.add(self)

    def __reduce__(self) -> Never:
        """Refuse to be copied and pickled.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a SyncSender is not copied or pickled: threads and forked processes share it as it is")

    @property
    def statistics(self) -> PoolStatistics | None:
        """Sessions, pace and replies of the pool as they are now, as `Sender.statistics`; None while there is none."""
        if self._is_own_thread:
            return None if self._background is None else self._background.sender.statistics

        async def ask(sender: Sender) -> PoolStatistics | None:
            return sender.statistics

        answer: Pending[PoolStatistics | None] = Pending()
        try:
            with self._lock:
                background = self._background
                if background is None or background.has_ended:
                    return None
                background.submit(answer, ask)
            return answer.wait()
        except RunError:  # the loop has ended meanwhile
            return None

    def open(self) -> None:
        """Take messages again after `close`; no connection is made before there is something to send.

        Raises:
            UsageError: It is called by ``notice``, ``unclaimed`` or ``key``. Nothing has changed then.
        """
        self._require_another_thread()
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        """Take no more messages, wait until those that were taken are sent, and end the sessions.

        It waits where `with` is left by an error, too, such as Ctrl-C: the messages may be those of other threads. A
        second Ctrl-C ends the waiting. (A `Sender` that is left by an error ends at once.)

        It may be called while results of `send` are taken, also by the iterable of its messages: what was taken from
        that has its results, and the loop over them ends with a `RunError` where there was more.

        Raises:
            UsageError: It is called by ``notice``, ``unclaimed`` or ``key``, or by a signal handler while the call that
                it has interrupted starts the loop. Nothing has changed then.
            RunError: The results log cannot be written; the journal beside it names what it does not.
        """
        self._require_another_thread()
        with self._lock:
            self._require_started()
            self._is_open = False
            background = self._background
            if background is not None:
                self._ending = background
                self._background = None
                background.stop()
            ending = self._ending
        if ending is not None:
            ending.join()

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
            UsageError: It is closed, or called by ``notice`` or ``unclaimed``, or by a signal handler while the call
                that it has interrupted starts the loop.
            TypeError: An argument is of a wrong type.
        """

        async def send(to: Sender) -> DeliveryResult | list[DeliveryResult]:
            if isinstance(message, Submission) and sender is None and recipients is None:
                return await to.send_message(message, key=key)
            return await to.send_message(message, sender=sender, recipients=recipients, key=key)  # type: ignore[arg-type]  # it says

        return self._ask(send)

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
            UsageError: As `send_message`.
            TypeError: As `Sender.send`.
        """
        given = list(_plain(messages))
        return self._ask(lambda to: to.send_all(given, key=key))

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
            UsageError: As `send_message`; or the process was forked since, and this is the child: the results are its
                parent's.
            TypeError: As `Sender.send`.
            Exception: What the iterable of messages raises, once what it gave before has its results.
        """
        self._require_another_thread()
        if not self._is_open:
            raise _not_open()
        return self._stream(_plain(messages), named_by(key, kept=self._results is not None))

    def _stream(self, messages: Iterable[Sendable], key: Key | None) -> Iterator[DeliveryResult]:
        source = iter(messages)
        channel = Channel(key)
        answer: Pending[None] = Pending(channel.end)
        failure: Exception | None = None
        exhausted = False
        ahead = 0
        try:
            background = self._submit(answer, channel.send)
            while True:
                background.require_own()
                while not exhausted and ahead < _AHEAD and channel.quiet:
                    try:
                        message: object = next(source, END)
                    except Exception as error:  # raised below, once what was given before has its results
                        failure, message = error, END
                    background.require_own()
                    exhausted = message is END
                    ahead += 1
                    background.call(channel.give, message)
                heard = channel.heard.get()
                if heard is TAKEN:
                    ahead -= 1
                elif heard is END:
                    break
                else:
                    yield heard
            answer.wait()
        finally:
            channel.leave(answer)
        if failure is not None:
            raise failure

    def _ask(self, make: Callable[[Sender], Coroutine[Any, Any, Result]]) -> Result:
        """Begin something on the loop, and wait for what becomes of it."""
        answer: Pending[Result] = Pending()
        try:
            self._submit(answer, make)
            return answer.wait()
        except BaseException:
            answer.leave()
            raise

    def _submit(self, answer: Pending[Result], make: Callable[[Sender], Coroutine[Any, Any, Result]]) -> Background:
        """Begin something on the loop, which is started if it is not there."""
        self._require_another_thread()
        waited_for: Background | None = None
        while True:
            try:
                return self._begun(answer, make)
            except InUseError:
                # It may be the loop before this one that has the log: it ends while the sender is opened again already.
                # And while that is waited for, other threads may use the sender, and close it again.
                ending = self._ending
                if ending is None or ending is waited_for:
                    raise
            ending.wait()
            waited_for = ending

    def _begun(self, answer: Pending[Result], make: Callable[[Sender], Coroutine[Any, Any, Result]]) -> Background:
        # With the lock: whatever is begun before `close` comes before the loop is told to stop.
        with self._lock:
            if not self._is_open:
                raise _not_open()
            background = self._background
            if background is None or background.has_ended:
                background = self._started()
            background.submit(answer, make)
            return background

    def _started(self) -> Background:
        """Start the loop, with the lock."""
        self._require_started()
        sender = self._make(self._results)
        self._starting = True
        try:
            # A signal handler may have come in between, and have started it.
            if self._background is None or self._background.has_ended:
                self._background = background = Background(sender, self._name)
                if self._closer is not None:
                    self._closer.detach()
                self._closer = finalize(self, _stop, ref(background))
                self._closer.atexit = False  # then all are ended together
            return self._background
        finally:
            self._starting = False

    def _require_started(self) -> None:
        """Refuse a signal handler that has interrupted the start of the loop, and would wait for it.

        Raises:
            UsageError: This is one.
        """
        if self._starting:
            raise UsageError(
                "a signal handler has interrupted the opening of the sender and cannot wait for it",
                remedy="Have the handler set a flag, or put the message into a queue.",
            )

    @property
    def _is_own_thread(self) -> bool:
        return name_here() is self._name

    def _require_another_thread(self) -> None:
        """Refuse to wait for oneself; without the lock, which whoever waits for this thread may have.

        Raises:
            UsageError: This is the loop's own thread.
        """
        if self._is_own_thread:
            raise UsageError("the sender's own thread cannot wait for it", remedy="Use a queue and another thread.")

    def _forked(self) -> None:
        """Forget the parent's thread, which is not there in the child, and the lock that it may have held."""
        self._background = self._ending = None
        if self._closer is not None:
            self._closer.detach()
        self._starting = False
        self._lock = threading.RLock()


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

    def _submit(self, answer: Pending[Result], make: Callable[[Sender], Coroutine[Any, Any, Result]]) -> Background:
        for number in range(2, _MOST_LOGS):
            try:
                return super()._submit(answer, make)
            except InUseError:
                self._results = self._first.with_stem(f"{self._first.stem}-{number}")
        return super()._submit(answer, make)

    def _forked(self) -> None:
        super()._forked()
        self._results = self._first


_SENDERS: Final[WeakSet[SyncSender]] = WeakSet()


def _after_fork() -> None:
    inherit()
    for sender in _SENDERS:
        sender._forked()


os.register_at_fork(after_in_child=_after_fork)


def _not_open() -> UsageError:
    """The error for a call to a sender that takes none."""
    return UsageError("the sender is closed", remedy="open it: with SyncSender(…) as sender:")


def _plain(messages: Iterable[Sendable]) -> Iterable[Sendable]:
    """The messages, which are no asynchronous iterable."""
    if not isinstance(iterable(messages), Iterable):
        raise TypeError("an asynchronous iterable needs a batchsend.Sender")
    return messages


def _stop(background: ref[Background]) -> None:
    """End the loop of a sender that is gone.

    What is to be done then is kept to the end of the program, and with it would be all that the loop has.
    """
    if (running := background()) is not None:
        running.is_dropped = True
        running.stop()
