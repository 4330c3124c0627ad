"""Posting events to an endpoint: in order, signed, again and again until it takes them."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio
import orjson

from batchsend.campaign import is_loopback
from batchsend.errors import RunError, UsageError
from batchsend.events.cursor import cursor_path, locked, read_cursor, write_cursor
from batchsend.events.signature import key_of, signature
from batchsend.events.source import EventSource
from batchsend.jitter import spread
from batchsend.results.line import timestamp
from batchsend.version import __version__, with_extra

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from batchsend.events.cursor import EventBatch

FIRST_PAUSE: Final = 5.0
"""Seconds until a request that was not taken is made again; doubled each time."""

LONGEST_PAUSE: Final = 3600.0
"""Seconds between two attempts, at most."""

GIVE_UP_AFTER: Final = 5 * 86400.0
"""Seconds without any success after which nobody tries any more."""

WITHIN: Final = 20.0
"""Seconds that an endpoint has for its answer."""

_LOOK_EVERY: Final = 1.0


class Receipt(Enum):
    """What became of a request."""

    YES = auto()
    GONE = auto()
    NOT_YET = auto()


class Endpoint:
    """Where events are posted to.

    Args:
        url: Its URL.
        secret: What requests are signed with, as Standard Webhooks has it: ``whsec_…``; several, separated by blanks,
            while one takes the place of another.
        within: Seconds that it has for the status of its answer, whatever it does meanwhile.

    Raises:
        UsageError: The URL or the secret is none, or the extra ``events`` is not installed.
    """

    def __init__(self, url: str, secret: str, *, within: float = WITHIN) -> None:
        self._keys = require_endpoint(url, secret)
        import httpx  # noqa: PLC0415 - an extra

        self.url = url
        self._within = within
        self._failures = (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError)
        # What the environment says of proxies holds, as for every other program; redirects are not followed.
        self._client = httpx.AsyncClient(timeout=within, follow_redirects=False)

    async def aclose(self) -> None:
        """End its connections."""
        await self._client.aclose()

    async def post(self, identity: str, body: bytes) -> tuple[Receipt, str, float]:
        """Make a request.

        Args:
            identity: The same for the same batch, however often it is posted.
            body: The events.

        Returns:
            What became of it, in what words, and how many seconds the endpoint asks to be left alone.
        """
        now = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "user-agent": f"batchsend/{__version__}",
            "webhook-id": identity,
            "webhook-timestamp": now,
            "webhook-signature": " ".join(signature(key, identity, now, body) for key in self._keys),
        }
        try:
            with anyio.fail_after(self._within):
                async with self._client.stream("POST", self.url, content=body, headers=headers) as response:
                    # What it says beside the status does not matter, and may have no end.
                    return _judged(response)
        except self._failures as error:
            return Receipt.NOT_YET, f"{type(error).__name__}: {error}".rstrip(": "), 0.0


HOW_TO_MAKE_ONE: Final = 'it begins with whsec_; to make one: echo "whsec_$(openssl rand -base64 32)"'


def require_endpoint(url: str, secret: str) -> list[bytes]:
    """The keys that a secret stands for, where events can be posted to a URL with it.

    Raises:
        UsageError: It is no URL, or would be spoken to in the clear; the secret is none; or the extra ``events`` is not
            installed.
    """
    _require_url(url)
    keys = [key_of(one) for one in secret.split()]
    known = [key for key in keys if key is not None]
    if not keys or len(known) < len(keys):
        raise UsageError("the secret of the events is none", remedy=HOW_TO_MAKE_ONE)
    if find_spec("httpx") is None:
        raise UsageError("events are posted by httpx, which is not installed", remedy=with_extra("events"))
    return known


def _require_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or not url.isascii() or not url.isprintable() or " " in url or parts.scheme not in ("http", "https"):
        raise UsageError(f"{url!r} is no URL that events can be posted to", remedy="it begins with https://")
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError("events are posted over HTTPS only, except to loopback", remedy="it begins with https://")


def _judged(response: httpx.Response) -> tuple[Receipt, str, float]:
    status = response.status_code
    if status == 410:
        return Receipt.GONE, "410", 0.0
    said = f"{status} {response.reason_phrase}".strip()
    receipt = Receipt.YES if 200 <= status < 300 else Receipt.NOT_YET
    return receipt, said, _asked(response.headers.get("retry-after", ""))


def _asked(value: str) -> float:
    """Seconds that a Retry-After asks for (RFC 9110 §10.2.3); 0 where it asks for none."""
    if value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


class Teller:
    """Tells an endpoint what becomes of a run's messages.

    Args:
        results: The results log.
        endpoint: Who is told.
        notice: Called with what the user should know.
        first_pause: Seconds until a request that was not taken is made again; doubled each time.
        give_up_after: Seconds without any success after which nobody tries any more.

    Attributes:
        told: How many events the endpoint has taken.

    Raises:
        UsageError: It is not the results log of a run, or the cursor cannot be read.
    """

    def __init__(
        self,
        results: Path,
        endpoint: Endpoint,
        *,
        notice: Callable[[str], None],
        first_pause: float = FIRST_PAUSE,
        give_up_after: float = GIVE_UP_AFTER,
    ) -> None:
        self.told = 0
        self._source = EventSource(results)
        self._endpoint = endpoint
        self._notice = notice
        self._first_pause = first_pause
        self._give_up_after = give_up_after
        self._path = cursor_path(results, endpoint.url)

    async def run(self, *, follow: bool, again: bool = False, closing: anyio.Event | None = None) -> bool:
        """Tell everything that is there.

        Args:
            follow: Go on with what comes, until cancelled.
            again: Go on with an endpoint that was given up.
            closing: When it is set, no more is waited for: what is there is tried once.

        Returns:
            Whether the endpoint has taken everything; False where it answered 410, or was not there at the end.

        Raises:
            UsageError: Another process tells this endpoint, or it was given up earlier, or it was told of another log.
            RunError: It has taken nothing for days.
        """
        with locked(self._path):
            cursor = read_cursor(self._path)
            if cursor.gone is not None and not again:
                raise UsageError(
                    f"{self._endpoint.url} answered 410 at {cursor.gone}: it was given up",
                    remedy="if it takes events again: --again",
                )
            self._source.require(cursor)
            cursor.gone, cursor.run = None, self._source.run
            while True:
                batch = cursor.under_way or self._source.next(cursor)
                if batch is None:
                    if not follow or (closing is not None and closing.is_set()):
                        return True
                    await _pause(_LOOK_EVERY, closing)
                    continue
                if cursor.under_way is None:
                    cursor.under_way = batch
                    write_cursor(self._path, cursor)
                taken = await self._deliver(batch, closing)
                if taken is Receipt.NOT_YET:
                    return False
                if taken is Receipt.GONE:
                    cursor.gone = timestamp(time.time())
                    write_cursor(self._path, cursor)
                    self._notice(f"{self._endpoint.url} answered 410 Gone: it is given up, and gets no more events")
                    return False
                cursor.acknowledge(batch)
                # What follows is written down at once, so that a batch costs one write and not two.
                cursor.under_way = self._source.next(cursor)
                write_cursor(self._path, cursor)

    async def _deliver(self, batch: EventBatch, closing: anyio.Event | None) -> Receipt:
        """Post a batch until it is taken."""
        events = self._source.events(batch)
        if not events:
            return Receipt.YES
        identity = f"msg_{self._source.run}-{batch.log[0]}{batch.begin}-{batch.end}"
        body = orjson.dumps(
            {
                "type": "messages",
                "timestamp": events[-1]["timestamp"],
                "data": {"run": self._source.run, "events": events},
            }
        )
        pause, since = self._first_pause, time.monotonic()
        while True:
            taken, said, asked = await self._endpoint.post(identity, body)
            if taken is not Receipt.NOT_YET:
                self.told += len(events) if taken is Receipt.YES else 0
                return taken
            if closing is not None and closing.is_set():
                return taken
            if time.monotonic() - since >= self._give_up_after:
                raise RunError(
                    f"{self._endpoint.url} has taken no events for days: {said}",
                    remedy="start again when it is there: it goes on where it stopped",
                )
            wait = min(max(spread(pause, 0.5, 1.0), asked), LONGEST_PAUSE)
            if pause == self._first_pause:
                self._notice(f"{self._endpoint.url}: {said}; it is tried again, ever less often, for days")
            pause = min(2 * pause, LONGEST_PAUSE)
            await _pause(wait, closing)


async def _pause(seconds: float, closing: anyio.Event | None) -> None:
    if closing is None:
        await anyio.sleep(seconds)
    elif not closing.is_set():
        with anyio.move_on_after(seconds):
            await closing.wait()
