"""One call of `send` or `send_all`: its messages on their way in, and its results on their way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Final, cast

from batchsend.errors import RecordError, RunError
from batchsend.message.outgoing import outgoing
from batchsend.message.submission import Submission, bundles, each_recipient
from batchsend.message.submitting import given_message_id
from batchsend.sender.exchange import Call, invalid
from batchsend.sender.given import begin_feed, sound
from batchsend.sender.unfinished import again, closed

if TYPE_CHECKING:
    from batchsend.delivery.telemetry import CallSpan
    from batchsend.sender.exchange import Told
    from batchsend.sender.given import Key, Messages, Sendable
    from batchsend.sender.serving import OpenSender

# Messages of one call that are neither with the pool nor done with by whoever takes the results.
_WINDOW: Final = 1000
_BATCH: Final = 32


class Stream:
    """Offers a caller's messages as long as it takes results, from its making until `leave`.

    Args:
        serving: The sender that it belongs to.
        messages: What to send.
        key: What says of a message how it is called in the results log, or None.
        span: What tells OpenTelemetry of the call, or None.
    """

    def __init__(self, serving: OpenSender, messages: Messages, key: Key | None, span: CallSpan | None) -> None:
        self._serving = serving
        self._messages = messages
        self._key = key
        self._span = span
        self._call = call = Call(has_more=True)
        self._feed = feed = asyncio.create_task(self._give())
        serving.feeds.add(feed)
        feed.add_done_callback(serving.feeds.discard)
        feed.add_done_callback(lambda _: call.changed.notify())

    def leave(self) -> None:
        """The caller takes no more results: what waits is not sent."""
        self._feed.cancel()
        self._serving.exchange.leave(self._call)
        if self._span is not None:
            self._span.end()

    async def heard(self) -> Told | None:
        """The next result; None where there is no more to come.

        Raises:
            Exception: What ended the call; all results have been heard.
        """
        if self._span is None:
            return await self._hear()
        try:
            told = await self._hear()
        except BaseException as error:
            self._span.end(error)
            self._span = None
            raise
        if told is not None:
            self._span.note(told.result.status, told.result.code)
        return told

    async def _hear(self) -> Told | None:
        call, feed = self._call, self._feed
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

    async def _give(self) -> None:
        """Offer the messages. Cancelled where there may be more.

        Raises:
            RunError: The iterable raised a CancelledError of its own, as of a task that it waited for. Whoever takes
                the results is not cancelled, and a task group would take them for it.
            Exception: The iterable's.
        """
        task = cast("asyncio.Task[None]", asyncio.current_task())
        begin_feed(task)
        try:
            await self._give_all()
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise
            raise RunError(
                "the iterable of messages was cancelled", remedy="What has no result can be sent again."
            ) from error

    async def _give_all(self) -> None:
        await self._serving.ready()
        if isinstance(self._messages, AsyncIterable):
            place = 0
            async for message in self._messages:
                place += 1
                await self._room()
                self._offer(message, place)
            return
        for place, message in enumerate(self._messages, 1):
            if place > 1 and place % _BATCH == 1:
                await self._room()
            self._offer(message, place)

    async def _room(self) -> None:
        """Wait until the next message may come."""
        call = self._call
        while call.error is None and (call.waiting or call.outstanding >= _WINDOW):
            await call.changed.wait()
        if call.error is not None:
            raise again(call.error)
        await self._serving.ready()

    def _offer(self, message: Sendable, place: int) -> None:
        if isinstance(message, Submission):
            submissions = bundles(each_recipient(sound(message)))
        else:
            try:
                submissions = bundles(outgoing(message, record=place))
            except RecordError as error:
                result = invalid(place, given_message_id(message), error.message)
                self._serving.exchange.tell(self._call, result, self._name_of(message))
                return
        self._serving.offer(self._call, submissions, self._name_of(message))

    def _name_of(self, message: Sendable) -> str | None:
        return self._serving.name_of(message, None if self._key is None else self._key(message))
