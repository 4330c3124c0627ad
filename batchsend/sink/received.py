"""What a sink has received: one message with its envelope, the totals, and the maildir that keeps messages."""

from __future__ import annotations

import itertools
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchsend.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Received:
    """One accepted message with its envelope.

    Attributes:
        session: The number of the connection it came by, from 1.
        reverse_path: The mailbox of MAIL without angle brackets; ``""`` for the null reverse-path.
        recipients: The mailboxes of the accepted RCPT commands, in their order, without angle brackets and source
            routes.
        content: The message, dots unstuffed (RFC 5321 §4.5.2).
        parameters: The parameters of MAIL by upper-case keyword; None for one that has no value.
        tls: Whether it came over TLS.
        user: The authenticated user, or None.
    """

    session: int
    reverse_path: str
    recipients: list[str]
    content: bytes
    parameters: dict[str, str | None]
    tls: bool
    user: str | None


@dataclass(slots=True)
class Counts:
    """Totals over all connections of one sink.

    Attributes:
        connections: Connections accepted; over implicit TLS, those whose handshake succeeded.
        sessions: Connections that introduced themselves with EHLO or HELO.
        messages: Messages answered 250 at the end of their content.
        recipients: Recipients of those messages.
        rejected: Recipients refused for good by a rule, one by one or with their message.
        deferred: Recipients refused for now by a rule, one by one or with their message.
        dropped: Connections dropped by a rule.
        delayed: Replies held back by a rule.
        octets: Content octets of the accepted messages as they came, stuffed dots included.
        commands: Commands read, valid or not; answers to AUTH challenges not included.
        errors: Commands and messages refused for another reason than a rule.
    """

    connections: int = 0
    sessions: int = 0
    messages: int = 0
    recipients: int = 0
    rejected: int = 0
    deferred: int = 0
    dropped: int = 0
    delayed: int = 0
    octets: int = 0
    commands: int = 0
    errors: int = 0


class Maildir:
    """A maildir to deliver to (https://cr.yp.to/proto/maildir.html), made where it does not exist.

    The standard library's ``mailbox.Maildir`` re-serialises what it is given and calls fsync for every message: neither
    is right for a record of what was received, octet by octet.

    Args:
        path: The directory that holds tmp, new and cur.

    Raises:
        UsageError: It cannot be made, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self._tmp = path / "tmp"
        self._new = path / "new"
        try:
            for directory in (path, self._tmp, self._new, path / "cur"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot make the maildir {path}: {error.strerror}", remedy="name a directory that can be written to"
            ) from error
        # The maildir specification has / and : in a host name written like this, for both mean something in file names.
        host = socket.gethostname().replace("/", r"\057").replace(":", r"\072")
        self._suffix = f".{host}"
        self._numbers = itertools.count(1)

    def store(self, message: Received) -> None:
        """Store a message: trace lines of final delivery (RFC 5321 §4.4), then the content as it was received.

        Args:
            message: The message; its envelope becomes a Return-Path line and a Delivered-To line for each recipient.

        Raises:
            OSError: It could not be written; nothing of it is in new/.
        """
        now = time.time_ns()
        seconds, microseconds = now // 10**9, now % 10**9 // 1000
        name = f"{seconds}.M{microseconds}P{os.getpid()}Q{next(self._numbers)}{self._suffix}"
        trace = [f"Return-Path: <{message.reverse_path}>\r\n"]
        trace += [f"Delivered-To: {recipient}\r\n" for recipient in message.recipients]
        temporary = self._tmp / name
        try:
            with temporary.open("xb") as file:
                file.write("".join(trace).encode())
                file.write(message.content)
            temporary.rename(self._new / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
