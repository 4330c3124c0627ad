"""Test messages: marked as such, of a given size, each with a Message-ID of its own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from batchsend.campaign import Message
from batchsend.errors import RecordError, UsageError
from batchsend.message import Composer
from batchsend.recipients import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchsend.message import Submission

_SUBJECT = "[test] batchsend bench: message {{ batch.record }}"
_TEXT = "This is a test message: `batchsend bench` measures how fast a server\ntakes mail. Nobody has to read it.\n"
_LINE = "x" * 70 + "\n"
_CRLF_GROWS = 1


class Messages:
    """Makes test messages, numbered from 1.

    Args:
        sender: The address in From, and the reverse-path.
        recipient: Who gets them all.
        size: Octets of the first one; no less than its header and a line of text need.

    Attributes:
        made: How many were made so far.
        octets: The size of the first one, header and all.

    Raises:
        UsageError: An address is none.
    """

    def __init__(self, *, sender: str, recipient: str, size: int) -> None:
        if not sender:
            raise UsageError("no test message can be made: the sender is empty")
        self.made = 0
        self._fields = {"email": recipient, "sender": sender}
        self._id = f"bench.{secrets.token_hex(8)}"
        self._composer = self._composing(_TEXT)
        missing = size - len(self._compose(1).content)
        lines, rest = divmod(missing, len(_LINE) + _CRLF_GROWS)
        if missing > 0:
            last = "x" * (rest - 2) + "\n" if rest >= 2 else ""
            self._composer = self._composing(_TEXT + _LINE * lines + last)
        self.octets = len(self._compose(1).content)

    def make(self, count: int) -> Iterator[Submission]:
        """The next messages, each made when it is asked for."""
        for _ in range(count):
            self.made += 1
            yield self._compose(self.made)

    def _composing(self, text: str) -> Composer:
        message = Message(
            from_="batchsend bench <{{ sender }}>",
            subject=_SUBJECT,
            text=text,
            headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no vacation notice is to answer it
        )
        return Composer(message, directory=Path.cwd(), batch_id=self._id)

    def _compose(self, number: int) -> Submission:
        try:
            return self._composer.compose(Record(number, number, self._fields))
        except RecordError as error:
            raise UsageError(f"no test message can be made: {error.message}") from None
