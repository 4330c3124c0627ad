"""Who we are to a server: a password, or an access token that may have to be fetched."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import anyio

from batchsend.errors import RunError

if TYPE_CHECKING:
    from aiosmtplib import SMTP

    from batchsend.campaign import Server

# Tokens live for an hour or so; a session that is opened later asks again.
_FRESH_SECONDS = 300.0
_COMMAND_SECONDS = 60.0


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
