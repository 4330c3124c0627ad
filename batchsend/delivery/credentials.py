"""Who we are to a server: a password, or an access token that may have to be fetched."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPServerDisconnected

from batchsend.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchsend.campaign import Server

# Tokens live for an hour or so; a session that is opened later asks again.
_FRESH_SECONDS = 300.0
_COMMAND_SECONDS = 60.0
_LONGEST_PASSWORD = 4096
_NAMES = {"token": "an access token", "password": "a password"}

# What a server says of a mechanism, not of name and password (RFC 4954 §4, §6).
_OF_THE_MECHANISM: Final = frozenset({432, 500, 501, 502, 504, 534, 538})
_CRAM_MD5: Final = "cram-md5"
_XOAUTH2: Final = "xoauth2"


class MechanismRefusedError(SMTPAuthenticationError):
    """A mechanism was refused and the connection closed; on a new one there is another mechanism to try."""


class NotOfferedError(SMTPException):
    """The server does not offer what the credentials need.

    Args:
        needed: The mechanisms, of which one would do.
        offered: Those that it offers.
    """

    def __init__(self, needed: Sequence[str], offered: Sequence[str]) -> None:
        self.needed, self.offered = (tuple(name.upper() for name in names) for names in (needed, offered))
        super().__init__(f"{' or '.join(self.needed)} is not offered")


class Credentials:
    """Authenticates sessions (RFC 4954) as the campaign says: CRAM-MD5, PLAIN or LOGIN, or XOAUTH2 with a token.

    A server that counts refused logins locks the account after a few. So another mechanism is tried only where the
    refusal may be about the mechanism, each of them once, and the one that has worked is the first of later sessions.

    Args:
        server: Where username and password or token stand, or what gives them.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._printed = ""
        self._fetched = 0.0
        self._fetching = anyio.Lock()
        self._worked: str | None = None
        self._refused: set[str] = set()  # mechanisms, until all that are offered are in it
        self._refusal: SMTPAuthenticationError | None = None  # of the last of them, until one works

    def __bool__(self) -> bool:
        return self._server.username is not None

    @property
    def key(self) -> str:
        """The key in [server] that gives the password or token."""
        server = self._server
        keys = {
            "token": server.token,
            "token_command": server.token_command,
            "password_file": server.password_file,
            "password_command": server.password_command,
        }
        return next((key for key, value in keys.items() if value is not None), "password")

    async def authenticate(self, client: SMTP) -> None:
        """Authenticate one session.

        Raises:
            MechanismRefusedError: The server refuses and closes the connection; a new one may go better.
            NotOfferedError: The server offers no mechanism that would do.
            SMTPException: The server refuses.
            RunError: The command or the file does not give a password or token.
        """
        server = self._server
        if server.username is None:
            return
        if server.token is not None or server.token_command is not None:
            if _XOAUTH2 not in client.server_auth_methods:
                raise NotOfferedError([_XOAUTH2], client.server_auth_methods)
            await client.auth_xoauth2(server.username, server.token or await self._fetch())
        else:
            await self._log_in(client, server.username, await self._password())

    async def _password(self) -> str:
        server = self._server
        if server.password is not None:
            return server.password
        if server.password_file is not None:
            return await anyio.to_thread.run_sync(read_password, server.password_file)
        return await self._fetch()

    async def _log_in(self, client: SMTP, username: str, password: str) -> None:
        """Try the mechanisms that are left, one after the other for as long as the server keeps the connection."""
        methods = {_CRAM_MD5: client.auth_crammd5, "plain": client.auth_plain, "login": client.auth_login}
        offered = self._in_order(client.supported_auth_methods)
        if not offered:
            raise NotOfferedError(list(methods), client.server_auth_methods)
        left = [mechanism for mechanism in offered if mechanism not in self._refused] or offered
        for mechanism in left:
            try:
                await methods[mechanism](username, password)
            except SMTPAuthenticationError as error:
                refusal = error
                if not self._may_be_the_mechanism(mechanism, error.code):
                    self._refusal = None
                    raise
                self._refused.add(mechanism)
            except SMTPServerDisconnected:
                if self._refusal is None:
                    raise
                refusal = self._refusal
                if mechanism == left[0]:  # a later one was only said to a connection that was being closed
                    self._refused.add(mechanism)
            else:
                self._worked, self._refusal = mechanism, None
                return
            self._refusal = refusal
            if mechanism == left[-1] or not client.is_connected:
                raise self._last(refusal, offered)

    def _in_order(self, offered: list[str]) -> list[str]:
        """The mechanisms that a server offers, first the one that has worked."""
        return sorted(offered, key=lambda mechanism: mechanism != self._worked)

    def _may_be_the_mechanism(self, mechanism: str, code: int) -> bool:
        """Whether a refusal may be about the mechanism.

        A server that keeps passwords hashed cannot do CRAM-MD5, and can say no more than that the login is wrong.
        """
        return code in _OF_THE_MECHANISM or (mechanism == _CRAM_MD5 != self._worked and code >= 500)

    def _last(self, refusal: SMTPAuthenticationError, offered: list[str]) -> SMTPAuthenticationError:
        """A refusal that ends its session, and whether a mechanism is left for a new connection."""
        if not self._refused.issuperset(offered):
            return MechanismRefusedError(refusal.code, refusal.message)
        self._refused.clear()
        self._refusal = None
        return refusal

    async def _fetch(self) -> str:
        async with self._fetching:
            if not self._printed or time.monotonic() - self._fetched > _FRESH_SECONDS:
                self._printed = await self._run_command()
                self._fetched = time.monotonic()
            return self._printed

    async def _run_command(self) -> str:
        server = self._server
        what, key, command = "token", "token_command", server.token_command
        if command is None:
            what, key, command = "password", "password_command", server.password_command or ()
        remedy = f"{key} in [server] is a program that prints {_NAMES[what]} and ends with 0"
        try:
            with anyio.fail_after(_COMMAND_SECONDS):
                done = await anyio.run_process(command, stderr=subprocess.PIPE, check=False)
        except OSError as error:
            raise RunError(f"{command[0]} cannot be run: {error.strerror}", remedy=remedy) from None
        except TimeoutError:
            raise RunError(f"{command[0]} gave no {what} within {_COMMAND_SECONDS:g} s", remedy=remedy) from None
        printed = _secret_of(done.stdout)
        # A token goes as ASCII (RFC 7628); a password may have any characters.
        if done.returncode != 0 or printed is None or (what == "token" and not printed.isascii()):
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = said[-1] if said and said[-1].isprintable() else f"it ended with {done.returncode}"
            raise RunError(f"{command[0]} gave no {what}: {why}", remedy=remedy)
        return printed


def read_password(path: Path) -> str:
    """The password that a file holds; the line end behind it is none of it.

    Raises:
        RunError: It cannot be read, or holds none; what it holds is not shown.
    """
    remedy = "password_file in [server] is a file that holds a password and nothing else"
    try:
        with path.open("rb") as file:
            octets = file.read(_LONGEST_PASSWORD + 1)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from None
    password = _secret_of(octets)
    if password is None or len(octets) > _LONGEST_PASSWORD:
        raise RunError(f"{path} holds no password: one line of text is expected", remedy=remedy)
    return password


def _secret_of(octets: bytes) -> str | None:
    """The one line of printable text that octets are; None where they are not."""
    try:
        text = octets.decode().strip("\r\n \t")
    except UnicodeDecodeError:
        return None
    return text if text and text.isprintable() else None
