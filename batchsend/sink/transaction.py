"""A mail transaction under way, and the content that is being received for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchsend.sink.grammar import NO_PARAMETERS, Parameters

if TYPE_CHECKING:
    from batchsend.sink.rules import Rule


class Content:
    """The content of one message as it arrives in chunks (RFC 3030); kept only if it is wanted and not too large.

    Args:
        wanted: Whether to keep it.
        limit: The largest message in octets; 0 for no limit.

    Attributes:
        octets: How many came.
    """

    __slots__ = ("_limit", "_parts", "_wanted", "octets")

    def __init__(self, *, wanted: bool, limit: int) -> None:
        self._wanted = wanted
        self._limit = limit
        self._parts: list[bytes] = []
        self.octets = 0

    @property
    def too_large(self) -> bool:
        """Whether it exceeds the limit (RFC 1870 §3)."""
        return 0 < self._limit < self.octets

    def add(self, buffer: bytes, start: int, stop: int, *, last: bool) -> None:  # noqa: ARG002 - for lines only
        """Take what stands between two places of a buffer.

        Args:
            buffer: Where it is.
            start: Where it begins.
            stop: Where it ends.
            last: Whether it completes the content.
        """
        self.octets += stop - start
        if self._wanted:
            self._parts.append(buffer[start:stop])
            if self.too_large:
                self._wanted = False
                self._parts.clear()

    def value(self) -> bytes:
        """The message; empty if it was not wanted."""
        return b"".join(self._parts)


class Lines(Content):
    """The content of one message as it arrives after DATA: with stuffed dots (RFC 5321 §4.5.2).

    What is added starts with the CRLF that ended the DATA command, so that every line, the first one too, is known by
    the CRLF before it.
    """

    __slots__ = ("_dots",)

    def __init__(self, *, wanted: bool, limit: int) -> None:
        super().__init__(wanted=wanted, limit=limit)
        self._dots = 0
        self.octets = -len(b"\r\n")

    @property
    def too_large(self) -> bool:
        """Whether it exceeds the limit, for which stuffed dots do not count (RFC 1870 §3)."""
        return 0 < self._limit < self.octets - self._dots

    def add(self, buffer: bytes, start: int, stop: int, *, last: bool) -> None:
        """Take what stands between two places of a buffer; see :meth:`Content.add`."""
        # Content that comes in one piece and fits with its stuffed dots fits without them: most is not looked through.
        if self._limit and (not last or self.octets > 0 or stop - start > self._limit):
            # A dot belongs to the piece that its CRLF begins in; the one after the last piece is the end of the data.
            self._dots += buffer.count(b"\r\n.", start, stop if last else stop + 2)
        super().add(buffer, start, stop, last=last)

    def value(self) -> bytes:
        """The message, dots unstuffed; empty if it was not wanted."""
        return b"".join(self._parts).replace(b"\r\n.", b"\r\n")[2:]


@dataclass(slots=True)
class Transaction:
    """What MAIL and RCPT have said so far (RFC 5321 §3.3).

    Attributes:
        reverse_path: The sender's mailbox, in UTF-8; empty for the null reverse-path.
        parameters: The parameters of MAIL.
        recipients: The mailboxes of the accepted RCPT commands, in UTF-8.
        refused: Whether a RCPT was refused.
        rule: The first of the recipients' rules that is to be applied to the content.
        chunked: Whether BDAT has begun to bring the content.
        failed: Whether a chunk was refused, so that the transaction can only end (RFC 3030 §2).
    """

    reverse_path: bytes = b""
    parameters: Parameters = NO_PARAMETERS
    recipients: list[bytes] = field(default_factory=list)
    refused: bool = False
    rule: Rule | None = None
    chunked: bool = False
    failed: bool = False


IDLE: Final = Transaction()
"""Stands for no transaction: there has been no MAIL."""
