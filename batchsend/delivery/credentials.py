"""Who we are to a server: a password, or an access token that may have to be fetched."""

from __future__ import annotations

import base64
import subprocess
import time
from typing import TYPE_CHECKING, Final, Literal

import anyio
from aiosmtplib import SMTP, SMTPAuthenticationError
from aiosmtplib.typing import Default

from batchsend.errors import RunError

if TYPE_CHECKING:
    from aiosmtplib import SMTPResponse

    from batchsend.campaign import Server

# Tokens live for an hour or so; a session that is opened later asks again.
_FRESH_SECONDS = 300.0
_COMMAND_SECONDS = 60.0

_AUTHENTICATED: Final = 235
_CONTINUE: Final = 334
_NO_INITIAL_RESPONSE: Final = frozenset({500, 501, 504})


class Credentials:
    """Authenticates sessions (RFC 4954) as the campaign says: CRAM-MD5, PLAIN or LOGIN, or XOAUTH2 with a token.

    Args:
        server: Where username, password, token or token command stand.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._token = ""
        self._fetched = 0.0
        self._fetching = anyio.Lock()

    def __bool__(self) -> bool:
        return self._server.username is not None

    async def authenticate(self, client: SMTP) -> None:
        """Authenticate one session.

        Raises:
            SMTPException: The server refuses, or offers no mechanism that is known.
            RunError: The token command does not give a token.
        """
        server = self._server
        if server.username is None:
            return
        if server.password is not None:
            await client.login(server.username, server.password)
        else:
            await client.auth_xoauth2(server.username, server.token or await self._fetch())

    async def _fetch(self) -> str:
        async with self._fetching:
            if not self._token or time.monotonic() - self._fetched > _FRESH_SECONDS:
                self._token = await self._run_command()
                self._fetched = time.monotonic()
            return self._token

    async def _run_command(self) -> str:
        command = self._server.token_command or ()
        remedy = "token_command in [server] is a program that prints an access token and ends with 0"
        try:
            with anyio.fail_after(_COMMAND_SECONDS):
                done = await anyio.run_process(command, stderr=subprocess.PIPE, check=False)
        except OSError as error:
            raise RunError(f"{command[0]} cannot be run: {error.strerror}", remedy=remedy) from None
        except TimeoutError:
            raise RunError(f"{command[0]} gave no token within {_COMMAND_SECONDS:g} s", remedy=remedy) from None
        token = done.stdout.decode("ascii", "replace").strip()
        if done.returncode != 0 or not token.isascii() or not token.isprintable() or not token:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = said[-1] if said and said[-1].isprintable() else f"it ended with {done.returncode}"
            raise RunError(f"{command[0]} gave no token: {why}", remedy=remedy)
        return token


class LoginClient(SMTP):
    """aiosmtplib's client, with an AUTH LOGIN that answers what it is asked.

    LOGIN was never standardised (draft-murchison-sasl-login): most servers take the name with the command, some ask for
    it all the same, and some refuse the command with anything behind it. A password must never answer the question for
    the name.
    """

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
        if response.code in _NO_INITIAL_RESPONSE:
            response = await self.execute_command(b"AUTH", b"LOGIN", timeout=timeout)
        if response.code == _CONTINUE and _asks_for_name(response.message):
            response = await self.execute_command(name, timeout=timeout)
        if response.code == _CONTINUE:
            response = await self.execute_command(secret, timeout=timeout)
        if response.code != _AUTHENTICATED:
            raise SMTPAuthenticationError(response.code, response.message)
        return response


def _asks_for_name(challenge: str) -> bool:
    """Whether a challenge of LOGIN, "Username:" or "User Name" in base64, is the first of its two."""
    try:
        return b"user" in base64.b64decode(challenge.strip(), validate=True).lower()
    except ValueError:
        return False
