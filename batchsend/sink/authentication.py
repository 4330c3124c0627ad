"""SASL mechanisms as generators (RFC 4954): they yield challenges, are sent responses, and return credentials."""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final

from batchsend.sink.grammar import CommandError


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """Who the client says it is.

    Attributes:
        user: The authentication identity.
        password: Its password.
    """

    user: str
    password: str = field(repr=False)

    def match(self, user: str | None, password: str | None) -> bool:
        """Tell whether these are the ones that are wanted.

        Args:
            user: The user wanted; None for any.
            password: The password wanted; None for any.
        """
        # Both are compared, and in constant time, so that the time taken tells nothing about either.
        user_matches = user is None or hmac.compare_digest(user.encode(), self.user.encode())
        password_matches = password is None or hmac.compare_digest(password.encode(), self.password.encode())
        return user_matches and password_matches


ServerExchange = Generator[bytes, bytes, ServerCredentials]
"""A mechanism at work."""


def _plain(initial: bytes | None) -> ServerExchange:
    """PLAIN (RFC 4616): authorization identity, authentication identity and password, separated by NUL."""
    response = (yield b"") if initial is None else initial
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise CommandError(b"501 5.5.2 Malformed PLAIN response")
    return ServerCredentials(_text(parts[1]), _text(parts[2]))


def _login(initial: bytes | None) -> ServerExchange:
    """LOGIN (draft-murchison-sasl-login): user name and password, each asked for."""
    user = (yield b"Username:") if initial is None else initial
    password = yield b"Password:"
    return ServerCredentials(_text(user), _text(password))


MECHANISMS: Final[dict[bytes, Callable[[bytes | None], ServerExchange]]] = {b"PLAIN": _plain, b"LOGIN": _login}
"""The mechanisms by name; each is started with the decoded initial response, or None where there was none."""


def decode_initial_response(text: bytes) -> bytes | None:
    """Decode the second argument of AUTH (RFC 4954 §4): empty for none, ``=`` for one of no octets.

    Raises:
        CommandError: It is not base64.
    """
    if not text:
        return None
    return b"" if text == b"=" else decode_response(text)


def decode_response(line: bytes) -> bytes:
    """Decode a client's answer to a challenge.

    Raises:
        CommandError: It is not base64, or it is the ``*`` that gives up.
    """
    if line == b"*":
        raise CommandError(b"501 5.7.0 Authentication cancelled")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise CommandError(b"501 5.5.2 Response is not base64") from None


def encode_challenge(challenge: bytes) -> bytes:
    """Return the 334 reply that carries a challenge."""
    return b"334 " + binascii.b2a_base64(challenge, newline=False)


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise CommandError(b"501 5.5.2 Credentials are not UTF-8") from None
