"""How a sink listens, what it offers, and how it treats its clients."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - a dataclass's annotations are part of its interface
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Final, Literal, get_args

from batchsend.errors import UsageError, require, require_callable
from batchsend.sink.rules import Rule

Tls = Literal["none", "starttls", "implicit"]

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "host hostname tls": (str,),
    "username password": (str, NoneType),
    "port max_size": (int,),
    "max_messages max_sessions max_held": (int, NoneType),
    "idle_timeout": (int, float),
    "session_timeout": (int, float, NoneType),
    "require_tls require_auth pipelining chunking eight_bit_mime smtputf8 authentication": (bool,),
    "rules": (tuple,),
    "maildir": (Path, NoneType),
}
"""What each option may be; a number of seconds is no truth value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """The options of a sink; the defaults make a server on loopback that offers everything except TLS.

    Args:
        host: Address or name to listen on; a name with several addresses is listened on at each, on one port.
        port: TCP port; 0 takes any free one.
        hostname: The name in the greeting and in the reply to EHLO.
        tls: ``"starttls"`` offers STARTTLS (RFC 3207), ``"implicit"`` speaks TLS from the first octet (RFC 8314).
        require_tls: Refuse everything but STARTTLS until the session is encrypted.
        require_auth: Refuse MAIL until the client has authenticated.
        username: The user name that AUTH accepts; None accepts any credentials.
        password: The password that goes with it; None accepts any.
        max_size: The largest message in octets (RFC 1870); 0 for no limit.
        max_messages: Messages accepted in one session, after which MAIL is answered 421; None for no limit.
        pipelining: Offer PIPELINING (RFC 2920).
        chunking: Offer CHUNKING (RFC 3030).
        eight_bit_mime: Offer 8BITMIME (RFC 6152).
        smtputf8: Offer SMTPUTF8 (RFC 6531).
        rules: What happens to which recipients; the first rule that matches a recipient wins.
        recipients: Whether there is such a mailbox, asked at each RCPT; 550 where it says no. None takes all.
        authentication: Offer AUTH (RFC 4954).
        max_sessions: Sessions at once; further ones are answered 421. None for no limit.
        max_held: Octets of the messages that are on their way in all sessions, where they are kept: one for which there
            is no room is answered 452. None for no limit.
        maildir: Store accepted messages in this maildir, which is made where it does not exist; None stores nothing.
        idle_timeout: Seconds of silence after which a session is ended (RFC 5321 §4.5.3.2.7 asks for 300 at least).
        session_timeout: Seconds after which a session is ended, whatever goes on in it; None for no limit.

    Raises:
        UsageError: A value is impossible, or two of them contradict each other.
        TypeError: One is of a wrong type.
    """

    host: str = "127.0.0.1"
    port: int = 0
    hostname: str = "localhost"
    tls: Tls = "none"
    require_tls: bool = False
    require_auth: bool = False
    username: str | None = None
    password: str | None = None
    max_size: int = 50 * 1024 * 1024
    max_messages: int | None = None
    pipelining: bool = True
    chunking: bool = True
    eight_bit_mime: bool = True
    smtputf8: bool = True
    rules: tuple[Rule, ...] = ()
    recipients: Callable[[str], bool] | None = None
    authentication: bool = True
    max_sessions: int | None = None
    max_held: int | None = None
    maildir: Path | None = None
    idle_timeout: float = 300.0
    session_timeout: float | None = None

    def __post_init__(self) -> None:
        _require_types(self)
        _require_counts(self)
        if not 0 <= self.port <= 65535:
            raise UsageError(
                f"the sink's port is {self.port}", remedy="choose one from 1 to 65535, or 0 for any free one"
            )
        if self.tls not in get_args(Tls):
            raise UsageError(f"the sink's tls is {self.tls!r}", remedy=f"choose one of {', '.join(get_args(Tls))}")
        if self.require_tls and self.tls == "none":
            raise UsageError("the sink requires TLS but does not offer it", remedy="offer starttls or implicit TLS")
        if self.password is not None and self.username is None:
            raise UsageError("the sink has a password but no user name", remedy="give both, or neither")
        if self.max_size < 0:
            raise UsageError(
                f"the sink's max_size is {self.max_size}", remedy="choose a number of octets, or 0 for no limit"
            )
        if not self.idle_timeout > 0:
            raise UsageError(
                f"the sink's idle_timeout is {self.idle_timeout}", remedy="choose a number of seconds above 0"
            )
        if self.session_timeout is not None and not self.session_timeout > 0:
            raise UsageError(
                f"the sink's session_timeout is {self.session_timeout}",
                remedy="choose a number of seconds above 0, or no limit",
            )
        if not self.hostname or not self.hostname.isascii() or any(c <= " " or c == "\x7f" for c in self.hostname):
            raise UsageError(f"the sink's host name is {self.hostname!r}", remedy="choose one without blanks, in ASCII")


def _require_counts(options: SinkOptions) -> None:
    for name, most in (("max_messages", options.max_messages), ("max_held", options.max_held)):
        if most is not None and most < 1:
            raise UsageError(f"the sink's {name} is {most}", remedy="choose 1 or more, or no limit")


def _require_types(options: SinkOptions) -> None:
    for names, kinds in _KINDS.items():
        for name in names.split():
            require(getattr(options, name), name, *kinds)
    if options.recipients is not None:
        require_callable(options.recipients, "recipients")
    for rule in options.rules:
        require(rule, "a rule in rules", Rule)
