"""The HTTP side: unsubscribe links (RFC 8058) and relays' webhooks, behind a proxy that speaks TLS."""

from __future__ import annotations

import logging
import ssl
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from batchsend.errors import BatchsendError
from batchsend.feedback.webhooks import reports_of
from batchsend.listen import page
from batchsend.listen.signatures import RefusedError, is_of_sns
from batchsend.room import Room
from batchsend.web import require_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from batchsend.listen.run import ListenedRun
    from batchsend.listen.signatures import HookVerifier

MOST_POSTED: Final = 2 * 1024 * 1024
"""Octets of a webhook's body."""

MOST_OF_FORM: Final = 16 * 1024
"""Octets of an unsubscribe's body, which is 26 octets, or a few more in several parts."""

HOOKS: Final = "hooks"
"""The last folder of the path that webhooks are posted to."""

WITHIN: Final = 15.0
"""Seconds that a client has for its request."""

MOST_CONNECTIONS: Final = 200
"""Connections at once."""

MOST_HELD: Final = 32 * 1024 * 1024
"""Octets of the bodies of all webhooks that are held at once: who has sent one is known when it has come whole."""

RETRY_AFTER: Final = 10
"""Seconds after which a webhook for which there is no room may come again."""

_FETCHED: Final = 64 * 1024

log = logging.getLogger("batchsend.listen")


class Unsubscribes:
    """Keeps unsubscribes that come at the same time by one write, and says to each when it is kept.

    Args:
        runs: The runs that are listened for.
    """

    def __init__(self, runs: Sequence[ListenedRun]) -> None:
        self._runs = runs
        self._lock = anyio.Lock()
        self._waiting: list[tuple[ListenedRun, int]] = []

    def find(self, token: str) -> tuple[ListenedRun, int] | None:
        """The run and the record that a link's token is of, or None."""
        for run in self._runs:
            if (record := run.record_of_link(token)) is not None:
                return run, record
        return None

    async def keep(self, run: ListenedRun, record: int) -> None:
        """Return when it is on the disk.

        Raises:
            BatchsendError: It cannot be kept.
        """
        self._waiting.append(mine := (run, record))
        async with self._lock:
            if mine not in self._waiting:
                return  # who waited before has kept it as well
            waiting, self._waiting = self._waiting, []
            try:
                for one in self._runs:
                    records = {number for of, number in waiting if of is one}
                    if records:
                        await anyio.to_thread.run_sync(one.unsubscribe, records)
            except BaseException:
                self._waiting += waiting  # the others try for themselves
                self._waiting.remove(mine)
                raise


def application(
    runs: Sequence[ListenedRun],
    verifier: HookVerifier,
    *,
    notice: Callable[[str], None],
    visit: Callable[[str], object],
) -> Starlette:
    """The web application.

    Whatever the proxy puts before it, a link is known by the last part of its path, and a webhook by the last two.

    Args:
        runs: The runs that are listened for.
        verifier: Whose webhooks are taken.
        notice: Called with what the operator should know.
        visit: Gets what is at a URL of SNS, by which a subscription is confirmed.

    Raises:
        UsageError: The extra ``web`` is not installed.
    """
    require_web("HTTP is spoken")
    from starlette.applications import Starlette  # noqa: PLC0415 - an extra
    from starlette.routing import Route  # noqa: PLC0415

    unsubscribes = Unsubscribes(runs)
    hooks = _Hooks(runs, verifier, notice, visit)

    async def answer(request: Request) -> Response:
        parts = request.url.path.rsplit("/", 2)
        try:
            with anyio.fail_after(WITHIN):
                if len(parts) > 2 and parts[-2] == HOOKS:
                    return await hooks.answer(request, parts[-1])
                return await _unsubscribe(request, parts[-1], unsubscribes, notice)
        except TimeoutError:
            return _html(page.FAILED, 408)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


async def _unsubscribe(
    request: Request, token: str, unsubscribes: Unsubscribes, notice: Callable[[str], None]
) -> Response:
    """Ask on GET, which programs follow that look into mails; do it on POST (RFC 8058 §3.2).

    A link that nobody can make says nothing about anybody: whether it is genuine may be said, and whether its address
    had unsubscribed before is not.
    """
    found = unsubscribes.find(token)
    # What a form says does not matter: the link itself says what is wanted, and by whom.
    if request.method == "POST":
        try:
            async with _body(request, MOST_OF_FORM):
                pass
        except _BodyError as error:
            return _html(page.FAILED, error.status)
    if found is None:
        return _html(page.BROKEN, 404)
    if request.method != "POST":
        return _html(page.ASKS)
    try:
        await unsubscribes.keep(*found)
    except BatchsendError as error:
        notice(f"an unsubscribe could not be kept: {error.message}")
        return _html(page.FAILED, 503)
    return _html(page.DONE)


class _Hooks:
    """Takes what relays post."""

    def __init__(
        self,
        runs: Sequence[ListenedRun],
        verifier: HookVerifier,
        notice: Callable[[str], None],
        visit: Callable[[str], object],
    ) -> None:
        self._runs = runs
        self._verifier = verifier
        self._notice = notice
        self._visit = visit
        # Of webhooks only: an unsubscribe is never refused because of them, and all that there may be are small.
        self._room = Room(MOST_HELD)
        # Tying reads the results log: one at a time is enough.
        self._one = anyio.CapacityLimiter(1)

    async def answer(self, request: Request, relay: str) -> Response:
        """200 where all is kept; a relay repeats what is answered otherwise."""
        if request.method != "POST" or relay not in self._verifier.secrets:
            return _plain("not found", 404)
        try:
            async with _body(request, MOST_POSTED, self._room) as body:
                headers = {name.lower(): value for name, value in request.headers.items()}
                status = await anyio.to_thread.run_sync(self._take, relay, headers, body, limiter=self._one)
        except _BodyError as error:
            log.info("a webhook of %s was not read: %s", relay, error)
            return _plain(str(error), error.status, error.headers)
        except RefusedError as error:
            self._notice(f"a webhook of {relay} was refused: {error}")
            return _plain("refused", 403)
        except BatchsendError as error:
            self._notice(f"a webhook of {relay} could not be kept: {error.message}")
            return _plain("try again", 503)
        return _plain(status)

    def _take(self, relay: str, headers: Mapping[str, str], body: bytes) -> str:
        document = self._verifier.verify(relay, headers, body)
        if relay == "ses" and document.get("Type") == "SubscriptionConfirmation":
            return self._confirm(document.get("SubscribeURL", ""))
        left = reports_of(relay, document)
        for run in self._runs:
            if left:
                left = run.take_reports(left, relay)
        if left:
            log.info("%d reports of %s are about no record", len(left), relay)
        return "taken"

    def _confirm(self, url: str) -> str:
        """Have a topic of SNS post here, which it asks for first. Its name is ours, and the request was signed."""
        if not is_of_sns(url):
            raise RefusedError("the confirmation is not at SNS")
        try:
            self._visit(url)
        except OSError as error:
            raise RefusedError(f"the subscription cannot be confirmed: {error}") from None
        self._notice("the subscription to the SNS topic is confirmed")
        return "confirmed"


class _BodyError(Exception):
    """A body is not read to its end.

    Args:
        said: Why.
        status: The status of the answer.
        headers: The headers of the answer.
    """

    def __init__(self, said: str, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(said)
        self.status = status
        self.headers = headers


@asynccontextmanager
async def _body(request: Request, most: int, room: Room | None = None) -> AsyncIterator[bytes]:
    """A request's body, which is held while the context lasts.

    Args:
        request: The request.
        most: Octets that it may have.
        room: What all bodies have together; None where so many as there may be at once need no bound.

    Raises:
        _BodyError: It is larger, or there is no room for it.
    """
    pieces: list[bytes] = []
    size = held = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise _BodyError("too large", 413)
            if room is not None and not room.take(len(piece)):
                raise _BodyError("try again", 503, {"Retry-After": str(RETRY_AFTER)})
            held = size
            pieces.append(piece)
        body = b"".join(pieces)
        pieces.clear()
        yield body
    finally:
        if room is not None:
            room.give_back(held)


def _html(text: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse  # noqa: PLC0415 - an extra

    return HTMLResponse(text, status, headers=page.HEADERS)


def _plain(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    from starlette.responses import PlainTextResponse  # noqa: PLC0415 - an extra

    return PlainTextResponse(f"{text}\n", status, headers=headers)


def fetched(url: str) -> bytes:
    """What is at a URL of Amazon SNS, over verified TLS; no redirect is followed.

    Raises:
        OSError: It cannot be had.
    """
    opener = urllib.request.build_opener(
        _NoRedirect(), urllib.request.HTTPSHandler(context=ssl.create_default_context())
    )
    with opener.open(url, timeout=10) as response:  # the caller has looked at scheme and host
        content: bytes = response.read(_FETCHED)
    return content


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none."""
