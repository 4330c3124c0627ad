"""The client of aiosmtplib that opens a session, where its own would not do."""

from __future__ import annotations

import asyncio
import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPReadTimeoutError, SMTPServerDisconnected
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import MAX_RESPONSE_LENGTH, SMTPProtocol
from aiosmtplib.typing import Default

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiosmtplib import SMTPResponse

_AUTHENTICATED: Final = 235
_CONTINUE: Final = 334
_NO_INITIAL_RESPONSE: Final = frozenset({500, 501, 504})

# A line that another one of the same reply follows (RFC 5321 §4.2.1), and that is not far too long.
_CONTINUED: Final = re.compile(rb"[0-9]{3}-[^\n]{0,1000}")


class PatientProtocol(SMTPProtocol):
    """aiosmtplib's connection, which looks at a reply of several lines once it is whole.

    aiosmtplib looks at all of it anew with each piece that comes. Where a server sends 32 KiB line by line, that would
    be seconds in which nothing else of a run is done.
    """

    def data_received(self, data: bytes) -> None:
        """Octets have come."""
        waits = self._response_waiter is not None and not self._response_waiter.done() and self._response_pending
        if waits and len(self._buffer) + len(data) <= MAX_RESPONSE_LENGTH:
            begun = self._buffer[self._buffer.rfind(b"\n") + 1 :] + data
            if all(map(_CONTINUED.fullmatch, begun.split(b"\n")[:-1])):
                self._buffer.extend(data)
                return
        super().data_received(data)


class _PatientLoop:
    """A loop whose connections are patient; in everything else the loop itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], SMTPProtocol], **options: Any) -> Any:
        """As of the loop."""
        protocol = factory()
        protocol.__class__ = PatientProtocol  # aiosmtplib makes its own, and holds it already
        return await self._loop.create_connection(lambda: protocol, **options)


class LoginClient(SMTP):
    """aiosmtplib's client, with cheap time-outs, an AUTH LOGIN that answers what it is asked, and a `PatientProtocol`.

    aiosmtplib waits for each reply by `asyncio.wait_for`, which loses a cancellation in Python 3.11 where the reply
    comes in the same turn of the loop: the next command would wait for the server. And it reads the reply to EHLO anew
    in each session.

    LOGIN was never standardised (draft-murchison-sasl-login): most servers take the name with the command, some ask for
    it all the same, and some refuse the command with anything behind it. A password must never answer the question for
    the name.

    aiosmtplib makes its connection by the methods of its attribute ``loop``.
    """

    def __init__(self, **options: Any) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(**options)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The running loop, whose connections are patient."""
        return self._loop

    @loop.setter
    def loop(self, loop: asyncio.AbstractEventLoop | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._loop = None if loop is None else cast("asyncio.AbstractEventLoop", _PatientLoop(self._around(loop)))

    def _around(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        """What makes the connections: the loop."""
        return loop

    @property
    def last_ehlo_response(self) -> SMTPResponse | None:
        """The reply to the last EHLO, or None."""
        return super().last_ehlo_response

    @last_ehlo_response.setter
    def last_ehlo_response(self, response: SMTPResponse) -> None:
        extensions, methods = _read_ehlo(response.message)
        self._last_ehlo_response = response
        self.esmtp_extensions, self.server_auth_methods = extensions.copy(), methods.copy()
        self.supports_esmtp = True

    async def execute_command(
        self,
        *args: bytes,
        timeout: float | Literal[Default.token] | None = Default.token,  # noqa: ASYNC109 - the library's signature
    ) -> SMTPResponse:
        """Send a command, and return its reply.

        Raises:
            SMTPReadTimeoutError: There is none in time; the connection is closed.
        """
        try:
            async with asyncio.timeout(self.timeout if timeout is Default.token else timeout):
                return await super().execute_command(*args, timeout=None)
        except TimeoutError as error:
            self.close()
            raise SMTPReadTimeoutError("no reply in time") from error

    async def auth_login(
        self,
        username: str | bytes,
        password: str | bytes,
        /,
        *,
        timeout: float | Literal[Default.token] | None = Default.token,  # noqa: ASYNC109 - the library's signature
    ) -> SMTPResponse:
        """Log in by AUTH LOGIN.

        Raises:
            SMTPAuthenticationError: The server refuses.
        """
        given = (word.encode() if isinstance(word, str) else word for word in (username, password))
        name, secret = map(base64.b64encode, given)
        response = await self.execute_command(b"AUTH", b"LOGIN", name, timeout=timeout)
        if response.code in _NO_INITIAL_RESPONSE and self.is_connected:
            try:
                response = await self.execute_command(b"AUTH", b"LOGIN", timeout=timeout)
            except SMTPServerDisconnected:  # it was closed behind the refusal, which stands
                raise SMTPAuthenticationError(response.code, response.message) from None
        if response.code == _CONTINUE and _asks_for_name(response.message):
            response = await self.execute_command(name, timeout=timeout)
        if response.code == _CONTINUE:
            response = await self.execute_command(secret, timeout=timeout)
        if response.code != _AUTHENTICATED:
            raise SMTPAuthenticationError(response.code, response.message)
        return response


# A server says the same in each session.
_read_ehlo = lru_cache(maxsize=4)(parse_esmtp_extensions)


def _asks_for_name(challenge: str) -> bool:
    """Whether a challenge of LOGIN, "Username:" or "User Name" in base64, is the first of its two."""
    try:
        return b"user" in base64.b64decode(challenge.strip(), validate=True).lower()
    except ValueError:
        return False
