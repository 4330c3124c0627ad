"""The pool for programs that make their own messages: any number of callers at once, each with its own results."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable  # noqa: TC003 - likewise
from email.message import Message  # noqa: TC003 - public: its hints are resolved at run time
from pathlib import Path  # noqa: TC003 - likewise
from types import NoneType, TracebackType
from typing import Any, Final, Never, Self, overload

from batchsend.campaign import Delivery, Server, check_objects
from batchsend.campaign.python_terms import in_python, python_terms
from batchsend.delivery.connector import Connector
from batchsend.delivery.quota import Meters
from batchsend.delivery.statistics import PoolStatistics  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.delivery.telemetry import CallSpan, Telemetry, telemetry
from batchsend.errors import RunError, UsageError, require, require_callable, require_path
from batchsend.loop import require_loop
from batchsend.message.outgoing import outgoing
from batchsend.message.submission import Bundle, Submission, bundles
from batchsend.outcome import DeliveryResult
from batchsend.results.choice import Choice
from batchsend.results.lock import InUseError
from batchsend.sender.exchange import Exchange, say_unclaimed
from batchsend.sender.given import Key, Messages, Sendable, iterable, named_by, sound
from batchsend.sender.looking import LogKeeper, opened
from batchsend.sender.serving import OpenSender, at_log, not_open
from batchsend.sender.stream import Stream
from batchsend.sender.unfinished import UnfinishedError, unfinished
from batchsend.trace import Trace, logged


class Sender:
    """A pool of sessions that stays open between sends. An async context manager that can be opened again.

    Any number of tasks of one event loop may use it at once, and each hears only of its own messages. Their messages
    take turns. Where the server is gone, those who wait are told, and the next call tries again.

    ::

        async with Sender(Server(host="127.0.0.1", port=2525, tls="none")) as sender:
            for result in await sender.send_message(message):
                print(result.recipient, result.status)

    Args:
        servers: One server, or several in order of preference.
        delivery: How fast, how often and how safely; None for the defaults.
        context: What to verify certificates with, instead of what the servers say.
        notice: Called with what the user should know and no result says, one line each. The number of a record in it is
            the sender's own count of messages.
        unclaimed: Called with each result that nobody waits for: the caller was cancelled, or has left its loop, after
            the message had gone into the pool; or its call was over when an outcome proved unbelievable, which is
            ``in_doubt`` now. None for a line to ``notice``. It is called on the loop and must be quick.
        trace: Where each session's dialogue is written; None for nowhere. It is the caller's to close.
        results: Where a results log is kept, with its journal and its list of messages beside it; None for nowhere. One
            that is there is gone on with: a message that it calls accepted, rejected or in doubt is not sent again, by
            whichever process, and its caller hears that outcome. A message is known by its ``key`` and its recipient;
            without a key, by the Message-ID that it came with; without either it is sent.
        retry: With ``results``: what is sent again all the same; None for what was deferred.

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
        trace: Trace | None = None,
        results: Path | str | None = None,
        retry: Choice | None = None,
    ) -> None:
        for server in servers:
            require(server, "a server", Server)
        require(retry, "retry", Choice, NoneType)
        self._delivery = Delivery() if delivery is None else require(delivery, "delivery", Delivery)
        require(context, "context", ssl.SSLContext, NoneType)
        require(trace, "trace", Trace, NoneType)
        require_callable(notice, "notice")
        if unclaimed is not None:
            require_callable(unclaimed, "unclaimed")
        check_objects(*servers, self._delivery)
        if not servers:
            raise UsageError("there is no server to send to", remedy="give one: Sender(Server(host=…))")
        self._servers = servers
        self._context = context
        self._trace = trace
        self._connectors = self._new_connectors()
        self._results = None if results is None else require_path(results, "results").absolute()
        self._retry = retry or Choice()
        if retry is not None and results is None:
            raise UsageError("retry needs results", remedy="Sender(…, results=…, retry=…)")
        self._tell = logged(notice)
        self._unclaimed = unclaimed or self._say
        self._meters = Meters(servers, tuple(self._delivery.quota))
        self._telemetry: Telemetry | None = None
        self._opening = False
        self._serving: OpenSender | None = None  # while it is open

    def _new_connectors(self) -> list[Connector]:
        """What opens sessions to the servers.

        Raises:
            UsageError: A server's settings cannot be used.
        """
        timeouts, require_tls = self._delivery.timeouts, self._delivery.require_tls
        with python_terms():
            return [
                Connector(server, timeouts, self._context, require_tls=require_tls, trace=self._trace)
                for server in self._servers
            ]

    def __reduce__(self) -> Never:
        """Refuse to be copied and pickled.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a Sender is not copied or pickled: tasks share it, and a forked process opens it anew")

    def _notice(self, text: str) -> None:
        # Only one that says what to set names a table; others tell what was set, or what a server has said.
        self._tell(in_python(text) if "[server]" in text else text)

    @property
    def statistics(self) -> PoolStatistics | None:
        """Sessions, pace and replies of the pool as they are now; None while there is none.

        A pool is there from the first message until the sender is closed or its server is given up; each begins its
        counts anew. To be asked on the sender's event loop.
        """
        return None if self._serving is None else self._serving.statistics()

    def _say(self, result: DeliveryResult) -> None:
        """Tell the user of a result that nobody waits for."""
        outcome = f"{result.status.label}: {result.reason}" if result.reason else result.status.label
        self._notice(f"nobody waits for this result: {result.recipient}, message {result.message_id}: {outcome}")

    def unclaimed(self, result: DeliveryResult) -> None:
        """Say of a result that nobody waits for it, for whoever has taken it and cannot pass it on.

        Raises:
            TypeError: It is no result.
        """
        require(result, "result", DeliveryResult)
        say_unclaimed(self._unclaimed, result)

    # --- open and closed ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open it; no connection is made before there is something to send.

        One that was left open by an event loop that has ended is opened anew: what was under way there has no result,
        which ``notice`` hears of, and is ``in_doubt`` in a results log. In a child process, one that its parent
        has open is opened anew, too. A results log that such a loop has left open in another sender is taken over.

        Raises:
            UsageError: It is open already, in this event loop or in another one that has not ended; or the results log
                cannot be opened, another process or sender is at work on it, it is a campaign's, or what was in flight
                when an earlier process was killed cannot be known; or no event loop of asyncio runs here.
            RunError: The results log cannot be written, or not be read further.
        """
        require_loop("a Sender", "use a batchsend.SyncSender")
        abandoned = self._let_go_of_ended_loop()
        if self._serving is not None:
            self._serving.require_loop()
        if self._opening or self._serving is not None:
            raise UsageError("the sender is open already", remedy="Share it: any number of tasks may use it at once.")
        self._opening = True
        try:
            keeper = None if self._results is None else await self._keeper(self._results, abandoned=abandoned)
        finally:
            self._opening = False
        self._telemetry = telemetry()
        self._serving = OpenSender(
            self._connectors,
            self._delivery,
            Exchange(self._unclaimed) if keeper is None else keeper.exchange,
            keeper,
            meters=self._meters if keeper is None else keeper.log.meters,
            notice=self._notice,
            pool_ended=self._pool_ended,
        )
        if self._telemetry is not None:
            self._telemetry.watch(self, self._servers[0])
        return self

    def _let_go_of_ended_loop(self) -> bool:
        """Let go of what a loop has left that ended and did not close the sender; whether one has.

        Raises:
            UsageError: A server's settings cannot be used any more.
            RunError: The results log cannot be written.
        """
        left = self._serving
        if left is not None and left.is_parents:
            _INHERITED.append(left)
            self._serving, self._connectors = None, self._new_connectors()
            return False
        if left is None or not left.is_abandoned:
            return False
        connectors = self._new_connectors()  # a session that was being opened may have the lock of its credentials
        self._serving, self._connectors = None, connectors
        if self._telemetry is not None:
            if (last := left.statistics()) is not None:
                self._telemetry.pool_ended(self, last)
            self._telemetry.ended(self)
        left.let_go()
        return True

    async def _keeper(self, path: Path, *, abandoned: bool) -> LogKeeper:
        """Open the log and go on with it, also where another sender of an ended loop has left it open."""
        for other in at_log(path):
            if other.is_abandoned:
                other.let_go()
                abandoned = True
        try:
            log = await opened(path, self._retry, self._servers, self._delivery, abandoned=abandoned)
        except InUseError:
            if not any(at_log(path)):
                raise
            raise InUseError(
                f"{path}: another sender of this process has it open",
                remedy="Share that sender, or close it first; one that its event loop has left open can be let go of "
                "when that loop is closed.",
            ) from None
        if log.in_doubt is not None:
            self._notice(log.in_doubt)
            self._notice("they may have been delivered, and are not sent again unless retry says so")
        return LogKeeper(self._unclaimed, log, self._notice)

    def _pool_ended(self, last: PoolStatistics) -> None:
        if self._telemetry is not None:
            self._telemetry.pool_ended(self, last)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it: no call is taken any more, and what was taken is sent; after an error, it ends at once.

        Calls that are under way get the results of what was taken from them. A loop over `send` whose iterable had more
        to give ends with a `RunError`. After an error, or where this is cancelled, sessions end at once: what was
        committed and not answered is ``in_doubt``, what was not begun has no result.

        Raises:
            UsageError: It is called in another event loop, or by an iterable of messages that is being sent, which it
                would wait for, or by a task that such an iterable has begun. It stays open.
            RunError: The results log cannot be written; the journal beside it names what it does not.
        """
        serving = self._serving
        if serving is None:
            return
        serving.require_closable()
        try:
            await serving.close(at_once=error is not None)
        finally:
            if self._serving is serving:  # otherwise another task has closed it, too, and was done before
                self._serving = None
                if self._telemetry is not None:
                    self._telemetry.ended(self)
                serving.close_log()

    def _open(self) -> OpenSender:
        """What it works with.

        Raises:
            UsageError: It is not open, or open in another event loop.
        """
        if self._serving is None:
            raise not_open()
        self._serving.require_open()
        return self._serving

    # --- sending ------------------------------------------------------------------------------------------------------

    @overload
    async def send_message(self, message: Submission, *, key: str | None = None) -> DeliveryResult: ...

    @overload
    async def send_message(
        self,
        message: Message,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        key: str | None = None,
    ) -> list[DeliveryResult]: ...

    async def send_message(
        self,
        message: Sendable,
        *,
        sender: str | None = None,
        recipients: str | Iterable[str] | None = None,
        key: str | None = None,
    ) -> DeliveryResult | list[DeliveryResult]:
        """Send one message, and wait for what becomes of it. A refusal is a result, not an exception.

        Its recipients share one transaction, or more where the server takes fewer in one, and each has an outcome of
        its own. The message itself is not changed; what is sent has no Bcc, and a Date and a Message-ID where they
        were missing.

        Where the caller is cancelled, a message that was not yet given to a session's pool is not sent; otherwise it is
        sent all the same, and ``unclaimed`` hears of it.

        ::

            message = EmailMessage()
            message["From"], message["To"] = "shop@example.com", "ada@example.com"
            message["Subject"] = "Your order"
            message.set_content("It is on its way.")
            [result] = await sender.send_message(message)
            print(result.status, result.message_id)

        Args:
            message: An `email.message.EmailMessage`, or a `Submission` with one recipient.
            sender: The reverse-path, ``""`` for the null one; None for the address in Sender, or else the first one in
                From. Of a message with a Resent-Date, which somebody has sent on, Resent-Sender and Resent-From count
                (RFC 5322 §3.6.6).
            recipients: The forward-paths, addresses without names; None for To, Cc and Bcc, or those of
                Resent-*. A `Submission` has its own.
            key: What the message is called in the results log, such as ``"order 17"``; None for its Message-ID, where
                it has one. A recipient who got a message with this key does not get it again.

        Returns:
            The outcome of a submission; of another message a list of outcomes, one a recipient, each recipient once.

        Raises:
            RecordError: The message has no sender or no recipient, one of them is not an address, or it cannot be
                written out. Nothing was sent.
            UnfinishedError: The server is gone or refuses the sender, or the sender was closed; ``results`` are those
                that are known. What has none was not begun. Or the results log cannot be written.
            UsageError: The sender is not open, or open in another event loop; a `Submission` has several recipients; or
                there is a ``key`` and no results log.
            TypeError: An argument is of a wrong type.
        """
        serving = self._open()
        if isinstance(message, Submission):
            if sender is not None or recipients is not None:
                raise TypeError("a Submission has an envelope of its own: sender and recipients go with other messages")
            if sound(message).envelope.also or isinstance(message, Bundle):
                raise UsageError(
                    "a Submission with several recipients has several results", remedy="Use send_all([submission])."
                )
            return (await self._outcomes(serving, [message], serving.name_of(message, key)))[0]
        submissions = bundles(outgoing(message, sender=sender, recipients=recipients))
        return await self._outcomes(serving, submissions, serving.name_of(message, key), owns=True)

    def _outcomes(
        self, serving: OpenSender, submissions: list[Submission], key: str | None, *, owns: bool = False
    ) -> Coroutine[Any, Any, list[DeliveryResult]]:
        """As `OpenSender.outcomes`, and OpenTelemetry hears of them."""
        outcomes = serving.outcomes(submissions, key, owns=owns)
        if self._telemetry is None:
            return outcomes
        return _traced(outcomes, self._telemetry.sending(self._servers[0], submissions[0].message_id, is_batch=False))

    def send(
        self, messages: Iterable[Sendable] | AsyncIterable[Sendable], *, key: Key | None = None
    ) -> AsyncGenerator[DeliveryResult, None]:
        """Send, and yield each outcome as it is known; in no particular order.

        A `Submission` brings its number, any other message has its place in the iterable, from 1: it is ``record`` in
        the results. One that cannot be sent has the outcome ``invalid``.

        Where the loop is left early, or its task is cancelled, what waits is not sent. What was given to the pool is,
        and ``unclaimed`` hears of it, as of results that were not yielded yet.

        ::

            async for result in sender.send(messages):
                print(result.record, result.recipient, result.status)

        Args:
            messages: What to send; taken no faster than the results are.
            key: Called with each message, and returns what it is called in the results log, as for `send_message`.

        Yields:
            The outcomes, one for each submission and for each recipient of another message. One that proves
            unbelievable while the loop goes on is followed by a second one, ``in_doubt``.

        Raises:
            UsageError: The sender is not open, or open in another event loop.
            RunError: The server is gone or refuses the sender, or the sender was closed. What was not begun has no
                result. The next call tries again.
            TypeError: ``messages`` is not iterable; or something in it is neither a message nor a `Submission` with
                octets: what was given before has its results.
            Exception: What the iterable of messages raises, once what it gave before has its results; a `RunError` for
                a ``CancelledError`` of its own.
        """
        self._open()
        return self._stream(iterable(messages), named_by(key, kept=self._results is not None))

    async def send_all(
        self, messages: Iterable[Sendable] | AsyncIterable[Sendable], *, key: Key | None = None
    ) -> list[DeliveryResult]:
        """Send, and return all outcomes at once, in the order of the messages.

        Where the caller is cancelled, or the iterable raises, ``unclaimed`` hears of the outcomes that are known.

        ::

            results = await sender.send_all(messages)
            failed = [result for result in results if result.status is not Outcome.ACCEPTED]

        Args:
            messages: As for `send`. There is no bound to what is kept: for a large number there is `send`.
            key: As for `send`.

        Raises:
            UnfinishedError: As `send` raises a `RunError`; ``results`` are those that are known.
            Exception: As `send`.
        """
        stream = self._begin(iterable(messages), named_by(key, kept=self._results is not None))
        known: dict[int, DeliveryResult] = {}
        try:
            while (told := await stream.heard()) is not None:
                known[told.number] = told.result  # a second one takes the place of the first
        except RunError as error:
            raise unfinished(error, [known[number] for number in sorted(known)]) from error
        except BaseException:
            for result in known.values():
                self.unclaimed(result)
            raise
        finally:
            stream.leave()
        return [known[number] for number in sorted(known)]

    async def _stream(self, messages: Messages, key: Key | None) -> AsyncGenerator[DeliveryResult, None]:
        stream = self._begin(messages, key)  # it may have been closed since the call
        try:
            while (told := await stream.heard()) is not None:
                yield told.result
        finally:
            stream.leave()

    def _begin(self, messages: Messages, key: Key | None) -> Stream:
        serving = self._open()
        span = None if self._telemetry is None else self._telemetry.sending(self._servers[0], is_batch=True)
        return Stream(serving, messages, key, span)


_INHERITED: Final[list[OpenSender]] = []
"""Those of a parent process. They are kept: taken apart, they would unregister its sockets from its own poll."""


async def _traced(outcomes: Coroutine[Any, Any, list[DeliveryResult]], span: CallSpan) -> list[DeliveryResult]:
    """Wait for the outcomes of a call, and have its span take note of them."""
    known: list[DeliveryResult] = []
    error: BaseException | None = None
    try:
        known = await outcomes
    except BaseException as failure:
        error, known = failure, failure.results if isinstance(failure, UnfinishedError) else []
        raise
    finally:
        for result in known:
            span.note(result.status, result.code)
        span.end(error)
    return known
