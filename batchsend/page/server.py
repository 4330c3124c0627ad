"""Serves the page of a run on loopback, to whoever has its address; and lets them change the run.

Other users of the machine, and pages of other sites in the same browser, can reach a port of loopback, too. So: the
address has a token that nobody can guess, compared in constant time; the Host is this server's (a site's own name that
leads to loopback, DNS rebinding, is another one); what changes the run is posted as JSON from the page itself, by its
Origin, and nothing is allowed to another one (no CORS). The page runs its own script and style and nothing else (CSP).

It is served on the run's own loop: what it shows and changes may only be looked at and changed there, and a request
takes a fraction of a millisecond, so that a thread would buy nothing, for it has the same interpreter to share.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from base64 import b64encode
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import anyio
import jinja2
import msgspec
from markupsafe import Markup

from batchsend.control.protocol import MAX_REQUEST, request_of
from batchsend.errors import BatchsendError, UsageError
from batchsend.page.live import Live
from batchsend.version import __version__
from batchsend.web import require_web, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from batchsend.control.protocol import ControlAnswer, ControlRequest
    from batchsend.run.batch import Batch

_HOST: Final = "127.0.0.1"
_MOST_CONNECTIONS: Final = 32
_WITHIN: Final = 10.0  # seconds that a client has for its request
_TOKEN_OCTETS: Final = 24
_OWN_REQUESTS: Final = (None, "same-origin", "none")
"""What a browser says of where a request comes from, if it does: from the page itself, or from whoever typed it."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Shown(Protocol):
    """What a page shows.

    Attributes:
        encoded: It, as JSON.
    """

    @property
    def encoded(self) -> bytes:
        """As above."""

    def look(self) -> None:
        """Something was changed: bring it up to date."""

    async def run(self) -> None:
        """Keep it up to date, until cancelled."""


class Heading(NamedTuple):
    """What the tables of a page are called.

    Attributes:
        rows: That of who sends.
        row: One of them.
        sessions: That of sessions.
    """

    rows: str = "Relays"
    row: str = "Relay"
    sessions: str = "Sessions"


OF_A_RUN: Final = Heading()
"""What the tables of the page of a run are called."""


@asynccontextmanager
async def live_page(
    batch: Batch, port: int, obey: Callable[[ControlRequest], ControlAnswer] | None, title: str
) -> AsyncIterator[str]:
    """Serve the page of a run while the context lasts; yields its address.

    Args:
        batch: The run.
        port: The port; 0 for any free one.
        obey: Does what a request asks for, at once; None where nothing is to be changed from outside.
        title: What the campaign is called.

    Raises:
        UsageError: The extra ``web`` is not installed, or the port cannot be had.
    """
    async with serve_page(Live(batch), port, obey, title) as url:
        yield url


@asynccontextmanager
async def serve_page(
    live: Shown,
    port: int,
    obey: Callable[[ControlRequest], ControlAnswer] | None,
    title: str,
    heading: Heading = OF_A_RUN,
) -> AsyncIterator[str]:
    """Serve a page while the context lasts; yields its address.

    Args:
        live: What is shown.
        port: The port; 0 for any free one.
        obey: As for `live_page`.
        title: What the campaign is called.
        heading: What the tables are called.

    Raises:
        UsageError: The extra ``web`` is not installed, or the port cannot be had.
    """
    require_web("the page is served")
    try:
        listener = socket.create_server((_HOST, port))
    except OSError as error:
        raise UsageError(
            f"the page on {_HOST}:{port}: {error.strerror}", remedy="give another port, or 0 for any free one"
        ) from None
    with listener:
        number = listener.getsockname()[1]
        token = secrets.token_urlsafe(_TOKEN_OCTETS)
        served = LivePage(live, obey, token=token, port=number, page=_rendered(title, heading, obey is not None))
        async with serving(served.application(), listener, most=_MOST_CONNECTIONS, within=_WITHIN):
            looking = asyncio.ensure_future(live.run())  # a task group would wrap the error that ends the run
            try:
                yield f"http://{_HOST}:{number}/{token}/"
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)


class LivePage:
    """Answers the requests of the page.

    Args:
        live: What is shown.
        obey: Does what a request asks for; None where the page only shows.
        token: What the address has to have.
        port: Where it is served.
        page: The page, and the policy that it is served with.
    """

    def __init__(
        self,
        live: Shown,
        obey: Callable[[ControlRequest], ControlAnswer] | None,
        *,
        token: str,
        port: int,
        page: tuple[str, str],
    ) -> None:
        self._live = live
        self._obey = obey
        self._token = token.encode()
        self._hosts = {f"{name}:{port}" for name in (_HOST, "localhost")}
        self._page, self._policy = page

    def application(self) -> Starlette:
        """The page, what it shows and what it changes."""
        from starlette.applications import Starlette  # noqa: PLC0415 - an extra
        from starlette.routing import Route  # noqa: PLC0415

        application = Starlette(
            routes=[
                Route("/{token}/", self._show, methods=["GET"]),
                Route("/{token}/state", self._tell, methods=["GET"]),
                Route("/{token}/control", self._change, methods=["POST"]),
            ]
        )
        application.router.redirect_slashes = False  # nobody is told what there is
        return application

    async def _show(self, request: Request) -> Response:
        if not self._may_ask(request):
            return _answer(b"there is nothing here\n", status=404)
        return _answer(self._page.encode(), "text/html; charset=utf-8", policy=self._policy)

    async def _tell(self, request: Request) -> Response:
        if not self._may_ask(request) or request.headers.get("sec-fetch-site") not in _OWN_REQUESTS:
            return _answer(b"there is nothing here\n", status=404)
        return _answer(self._live.encoded, "application/json")

    async def _change(self, request: Request) -> Response:
        """Do what is asked for; the answer is that of the control socket."""
        if not self._may_ask(request):
            return _answer(b"there is nothing here\n", status=404)
        if self._obey is None or not _is_from_the_page(request):
            return _answer(b"only the page itself may ask for that, and nobody with --no-control\n", status=403)
        try:
            with anyio.fail_after(_WITHIN):
                body = await _body(request)
        except TimeoutError:
            return _answer(b"that took too long\n", status=408)
        if body is None:
            return _answer(b"that is too large\n", status=413)
        try:
            answer = self._obey(request_of(body))
        except BatchsendError as error:
            told = {"ok": False, "message": error.message, "remedy": error.remedy}
            return _answer(msgspec.json.encode(told), "application/json")
        self._live.look()
        return _answer(msgspec.json.encode({"ok": answer.ok, "message": answer.message}), "application/json")

    def _may_ask(self, request: Request) -> bool:
        """Whether a request is to this server by a name of its own, and knows the token."""
        token = str(request.path_params["token"]).encode(errors="replace")
        return hmac.compare_digest(token, self._token) and request.headers.get("host") in self._hosts


def _is_from_the_page(request: Request) -> bool:
    """Whether a browser says that a request comes from the page; one that does not say so is refused."""
    headers = request.headers
    return (
        headers.get("origin") == f"http://{headers.get('host')}"
        and headers.get("sec-fetch-site") in _OWN_REQUESTS
        and headers.get("content-type") == "application/json"
    )


async def _body(request: Request) -> bytes | None:
    """A request's body; None where it is larger than a request may be."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_REQUEST:
            return None
    return body


def _answer(
    body: bytes, kind: str = "text/plain", *, status: int = 200, policy: str = "default-src 'none'"
) -> Response:
    from starlette.responses import Response  # noqa: PLC0415 - an extra

    headers = {**_HEADERS, "Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
    return Response(body, status, headers=headers, media_type=kind)


def _rendered(title: str, heading: Heading, may_change: bool) -> tuple[str, str]:
    """The page, and the policy that lets it run what is in it (CSP Level 3 §2.3.1) and ask for what it shows."""
    parts = files("batchsend.page").joinpath("parts")
    style = files("batchsend.report").joinpath("page", "page.css").read_text(encoding="utf-8")
    style += parts.joinpath("live.css").read_text(encoding="utf-8")
    script = parts.joinpath("live.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    page = environment.from_string(parts.joinpath("live.html").read_text(encoding="utf-8")).render(
        title=title,
        heading=heading,
        may_change=may_change,
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - likewise
        version=__version__,
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return page, policy


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
