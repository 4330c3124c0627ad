"""The pool for programs that make their own messages: any number of callers at once, each with its own results."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from email.message import Message  # noqa: TC003 - public: its hints are resolved at run time
from pathlib import Path
from types import NoneType, TracebackType
from typing import Final, Self, overload

import anyio

from batchsend.campaign import Delivery, Server, check_objects
from batchsend.delivery.connector import Connector
from batchsend.delivery.pool import Pool
from batchsend.delivery.quota import Meters
from batchsend.delivery.statistics import PoolStatistics  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.delivery.telemetry import Telemetry, telemetry
from batchsend.errors import RecordError, RunError, UsageError, require
from batchsend.message.outgoing import outgoing
from batchsend.message.submission import Bundle, Submission, bundles, each_recipient
from batchsend.outcome import DeliveryResult  # noqa: TC001 - public: its hints are resolved at run time
from batchsend.results.choice import Choice
from batchsend.sender.exchange import Call, Exchange, Told, invalid
from batchsend.sender.given import Key, Messages, Sendable, iterable, own_key, require_key, sound
from batchsend.sender.keeping import KeptExchange, KeptLog, close_unused
from batchsend.sender.unfinished import UnfinishedError, again, closed, unfinished
from batchsend.trace import Trace, logged

# Messages of one call of `send` that are neither with the pool nor done with by the loop over it.
_WINDOW: Final = 1000
_BATCH: Final = 32


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
        require(results, "results", Path, str, NoneType)
        require(retry, "retry", Choice, NoneType)
        self._delivery = Delivery() if delivery is None else require(delivery, "delivery", Delivery)
        require(context, "context", ssl.SSLContext, NoneType)
        require(trace, "trace", Trace, NoneType)
        for name, called in (("notice", notice), ("unclaimed", unclaimed)):
            if called is not None and not callable(called):
                raise TypeError(f"{name} must be callable, not {type(called).__name__}")
        check_objects(*servers, self._delivery)
        if not servers:
            raise UsageError("there is no server to send to", remedy="give one: Sender(Server(host=…))")
        self._connectors = [
            Connector(server, self._delivery.timeouts, context, require_tls=self._delivery.require_tls, trace=trace)
            for server in servers
        ]
        self._servers = servers
        self._results = None if results is None else Path(results).absolute()
        self._retry = retry or Choice()
        if retry is not None and results is None:
            raise UsageError("retry needs results", remedy="Sender(…, results=…, retry=…)")
        self._notice = logged(notice)
        self._unclaimed = unclaimed or self._say
        self._exchange = Exchange(self._unclaimed)
        self._kept: KeptExchange | None = None  # the same, while there is a log
        self._meters = Meters(servers, tuple(self._delivery.quota))
        self._telemetry: Telemetry | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # while it is open
        self._pool: Pool | None = None
        self._serving: asyncio.Task[None] | None = None
        self._feeds: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def statistics(self) -> PoolStatistics | None:
        """Sessions, pace and replies of the pool as they are now; None while there is none.

        A pool is there from the first message until the sender is closed or its server is given up; each begins its
        counts anew. To be asked on the sender's event loop.
        """
        return None if self._pool is None else self._pool.statistics()

    def _say(self, result: DeliveryResult) -> None:
        """Tell the user of a result that nobody waits for."""
        outcome = f"{result.status.label}: {result.reason}" if result.reason else result.status.label
        self._notice(f"nobody waits for this result: {result.recipient}, message {result.message_id}: {outcome}")

    def unclaimed(self, result: DeliveryResult) -> None:
        """Say of a result that nobody waits for it, for whoever has taken it and cannot pass it on."""
        self._exchange.unclaimed(result)

    # --- open and closed ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open it; no connection is made before there is something to send.

        Raises:
            UsageError: It is open already; or the results log cannot be opened, another process is at work on it, it
                is a campaign's, or what was in flight when an earlier process was killed cannot be known.
            RunError: The results log cannot be written, or not be read further.
        """
        if self._loop is not None:
            raise UsageError("the sender is open already", remedy="Share it: any number of tasks may use it at once.")
        self._loop = loop = asyncio.get_running_loop()
        self._closing = False
        if self._results is not None:
            try:
                await self._open_log(loop, self._results)
            except BaseException:
                self._loop = None
                raise
        self._telemetry = telemetry()
        if self._telemetry is not None:
            self._telemetry.watch(self, self._servers[0])
        return self

    async def _open_log(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        """Read the log in a thread, and go on with it."""
        opening = loop.run_in_executor(None, lambda: KeptLog(path, self._retry, self._servers, self._delivery))
        try:
            log = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(close_unused)
            raise
        self._exchange = self._kept = KeptExchange(self._unclaimed, log, self._notice)
        self._kept.on_failure = self._stop_sending
        self._meters = log.meters
        self._kept.look_after()
        if log.in_doubt is not None:
            self._notice(log.in_doubt)
            self._notice("they may have been delivered, and are not sent again unless retry says so")

    def _stop_sending(self, error: RunError) -> None:
        if self._pool is not None:
            self._pool.stop(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it: no call is taken any more, and what was taken is sent; after an error, it ends at once.

        Calls that are under way get the results of what was taken from them. A loop over `send` whose iterable had more
        to give ends with a `RunError`. After an error, or where this is cancelled, sessions end at once: what was
        committed and not answered is ``in_doubt``, what was not begun has no result.

        Raises:
            RunError: The results log cannot be written; the journal beside it names what it does not.
        """
        self._closing = True
        try:
            if error is None:
                await self._drain()
        finally:
            with anyio.CancelScope(shield=True):
                await self._end()
            self._loop = None
            if self._telemetry is not None:
                self._telemetry.ended(self)
            if self._kept is not None:
                log, self._kept = self._kept.log, None
                self._exchange = Exchange(self._unclaimed)
                log.close()

    async def _drain(self) -> None:
        """Wait until everything that was taken has its result."""
        for feed in self._feeds:
            feed.cancel()
        if self._feeds:
            await asyncio.wait(self._feeds)
        while not self._exchange.is_idle:
            await self._exchange.idle.wait()
        if self._serving is not None and self._pool is not None:
            self._pool.close()
            await asyncio.wait([self._serving])

    async def _end(self) -> None:
        """End what is still there."""
        tasks = [*self._feeds, *([] if self._serving is None else [self._serving])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._kept is not None:
            await self._kept.stop_looking()
        self._exchange.stopped(closed())

    def _require_open(self) -> None:
        if self._loop is None or self._closing:
            raise UsageError("the sender is closed", remedy="open it: async with Sender(…) as sender:")
        try:
            here = self._loop is asyncio.get_running_loop()
        except RuntimeError:
            here = False
        if not here:
            raise UsageError(
                "the sender was opened in another event loop", remedy="Threads share a batchsend.SyncSender."
            )

    async def _ready(self) -> None:
        """Wait for the end of a pool that takes nothing more, and look whether the account can be kept.

        Raises:
            RunError: It cannot; or the sender was closed meanwhile.
        """
        while self._serving is not None and self._pool is not None and self._pool.stopping:
            await asyncio.wait([self._serving])
            if self._closing:
                raise closed()
        if self._kept is not None:
            self._kept.require_kept()

    def _work(self) -> None:
        """See to it that there is a pool that takes what callers offer."""
        if self._serving is None:
            self._pool = pool = Pool(
                self._connectors,
                self._delivery,
                self._exchange,
                notice=self._notice,
                learned={} if self._kept is None else self._kept.log.learned,
                meters=self._meters,
            )
            self._serving = asyncio.create_task(self._serve(pool))

    async def _serve(self, pool: Pool) -> None:
        """Run a pool, fill it, and tell the callers when it is over."""
        running, filling = asyncio.create_task(pool.run()), asyncio.create_task(self._fill(pool))
        error: Exception = closed()
        try:
            await asyncio.wait([running, filling], return_when=asyncio.FIRST_COMPLETED)
            if filling.done() and (failure := filling.exception()) is not None:
                raise failure  # where nothing more is put in, nothing more comes out
            await running
        except Exception as failure:  # whatever it is, those who wait are told
            error = failure
        finally:
            for task in (running, filling):
                task.cancel()
            await asyncio.gather(running, filling, return_exceptions=True)
            if self._telemetry is not None:
                self._telemetry.pool_ended(self, pool.statistics())
            if self._kept is not None:
                self._kept.log.learned = pool.learned
            self._pool = self._serving = None
            self._exchange.stopped(error)

    async def _fill(self, pool: Pool) -> None:
        while await pool.room():
            if batch := self._exchange.take():
                pool.add(batch)  # in the same turn: it has not stopped in between
            else:
                await self._exchange.work.wait()

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
            sender: The reverse-path; None for the address in Sender or From (RFC 5322 §3.6.2; Resent-* in §3.6.6).
            recipients: The forward-paths, addresses without names; None for To, Cc and Bcc. A `Submission` has its own.
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
        self._require_open()
        if isinstance(message, Submission):
            if sender is not None or recipients is not None:
                raise TypeError("a Submission has an envelope of its own: sender and recipients go with other messages")
            if sound(message).envelope.also or isinstance(message, Bundle):
                raise UsageError(
                    "a Submission with several recipients has several results", remedy="Use send_all([submission])."
                )
            return (await self._send_these([message], self._key(message, key)))[0]
        submissions = bundles(outgoing(message, sender=sender, recipients=recipients))
        return await self._send_these(submissions, self._key(message, key))

    def _key(self, message: Sendable, key: str | None) -> str | None:
        """What a message is known by in the results log; None where there is no log, or it is known by nothing.

        Raises:
            UsageError: There is a key and no log, or it cannot be one.
            TypeError: It is no text.
        """
        if self._kept is None and key is None:
            return None
        require_key(key)
        if self._kept is None:
            raise UsageError("a key needs a results log", remedy="Sender(…, results=…)")
        if key is not None:
            return key
        return own_key(message)

    async def _send_these(self, submissions: list[Submission], key: str | None) -> list[DeliveryResult]:
        if self._telemetry is None:
            return await self._outcomes_of(submissions, key)
        span = self._telemetry.sending(self._servers[0], submissions[0].message_id)
        known: list[DeliveryResult] = []
        error: BaseException | None = None
        try:
            known = await self._outcomes_of(submissions, key)
        except BaseException as failure:
            error, known = failure, failure.results if isinstance(failure, UnfinishedError) else []
            raise
        finally:
            for result in known:
                span.note(result.status, result.code)
            span.end(error)
        return known

    async def _outcomes_of(self, submissions: list[Submission], key: str | None) -> list[DeliveryResult]:
        call = Call()
        try:
            await self._ready()
        except RunError as error:
            raise unfinished(error, ()) from error
        self._exchange.offer(call, submissions, key)
        self._work()
        try:
            while not call.settled:
                await call.changed.next()
            # Nothing is lost from here on: there is no await. What was told last of a message counts.
            results = {told.number: told.result for told in call.told}
            call.told.clear()
        finally:
            self._exchange.leave(call)
        known = [results[number] for number in sorted(results)]
        if len(known) < call.offered:
            raise unfinished(call.error, known)
        return known

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
            Exception: What the iterable of messages raises, once what it gave before has its results.
        """
        self._require_open()
        return self._stream(iterable(messages), self._named_by(key))

    def _named_by(self, key: Key | None) -> Key | None:
        if key is None:
            return None
        if not callable(key):
            raise TypeError(f"key must be callable, not {type(key).__name__}")
        if self._results is None:
            raise UsageError("a key needs a results log", remedy="Sender(…, results=…)")
        return key

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
        self._require_open()
        call, feed = self._begin(iterable(messages), self._named_by(key))
        known: dict[int, DeliveryResult] = {}
        try:
            while (told := await self._heard(call, feed)) is not None:
                known[told.number] = told.result  # a second one takes the place of the first
        except RunError as error:
            raise unfinished(error, [known[number] for number in sorted(known)]) from error
        except BaseException:
            for result in known.values():
                self.unclaimed(result)
            raise
        finally:
            self._leave(call, feed)
        return [known[number] for number in sorted(known)]

    async def _stream(self, messages: Messages, key: Key | None) -> AsyncGenerator[DeliveryResult, None]:
        self._require_open()  # it may have been closed since the call
        call, feed = self._begin(messages, key)
        try:
            while (told := await self._heard(call, feed)) is not None:
                yield told.result
        finally:
            self._leave(call, feed)

    def _begin(self, messages: Messages, key: Key | None) -> tuple[Call, asyncio.Task[None]]:
        call = Call(has_more=True)
        if self._telemetry is not None:
            call.span = self._telemetry.sending(self._servers[0])
        feed = asyncio.create_task(self._feed(messages, call, key))
        self._feeds.add(feed)
        feed.add_done_callback(self._feeds.discard)
        feed.add_done_callback(lambda _: call.changed.notify())
        return call, feed

    def _leave(self, call: Call, feed: asyncio.Task[None]) -> None:
        feed.cancel()
        self._exchange.leave(call)
        if call.span is not None:
            call.span.end()

    async def _heard(self, call: Call, feed: asyncio.Task[None]) -> Told | None:
        """As `_hear`, and the call's span takes note."""
        if call.span is None:
            return await self._hear(call, feed)
        try:
            told = await self._hear(call, feed)
        except BaseException as error:
            call.span.end(error)
            call.span = None
            raise
        if told is not None:
            call.span.note(told.result.status, told.result.code)
        return told

    async def _hear(self, call: Call, feed: asyncio.Task[None]) -> Told | None:
        """The next result; None where there is no more to come.

        Raises:
            Exception: What ended the call; all results have been heard.
        """
        while not call.told:
            if call.error is not None:
                raise again(call.error)
            if feed.done() and call.settled:
                if feed.cancelled():
                    raise closed()
                feed.result()
                return None
            await call.changed.wait()
        if call.outstanding == _WINDOW:
            call.changed.notify()  # there is room for the next message
        return call.told.popleft()

    async def _feed(self, messages: Messages, call: Call, key: Key | None) -> None:
        """Offer a caller's messages as long as it takes results. Cancelled where there may be more.

        Raises:
            Exception: The iterable's.
        """
        await self._ready()
        if isinstance(messages, AsyncIterable):
            place = 0
            async for message in messages:
                place += 1
                await self._room(call)
                self._offer(call, message, place, key)
            return
        for place, message in enumerate(messages, 1):
            if place > 1 and place % _BATCH == 1:
                await self._room(call)
            self._offer(call, message, place, key)

    async def _room(self, call: Call) -> None:
        """Wait until a caller's next message may come."""
        while call.error is None and (call.waiting or call.outstanding >= _WINDOW):
            await call.changed.wait()
        if call.error is not None:
            raise again(call.error)
        await self._ready()

    def _offer(self, call: Call, message: Sendable, place: int, key: Key | None) -> None:
        if isinstance(message, Submission):
            submissions = bundles(each_recipient(sound(message)))
            name = self._key(message, None if key is None else key(message))
        else:
            try:
                submissions = bundles(outgoing(message, record=place))
            except RecordError as error:
                message_id = message["Message-ID"]
                result = invalid(place, None if message_id is None else str(message_id), error.message)
                self._exchange.tell(call, result, self._key(message, None if key is None else key(message)))
                return
            name = self._key(message, None if key is None else key(message))
        self._exchange.offer(call, submissions, name)
        self._work()
