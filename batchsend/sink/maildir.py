"""Storing received messages in a maildir, each written to tmp/ and then moved to new/ whole."""

from __future__ import annotations

import itertools
import os
import socket
import time
from typing import TYPE_CHECKING

from batchsend.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from batchsend.sink.received import Received


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
