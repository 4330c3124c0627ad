"""The recipients file in chunks of whole lines, none of them longer than a record may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batchsend.recipients.source import Source

LONGEST_LINE: Final = 16 * 1024 * 1024
"""The longest line that is read, in bytes; a record on a longer one is bad, and is skipped without being held."""

TOO_LONG: Final = f"the line is longer than {LONGEST_LINE // 2**20} MiB"

_LF: Final = re.compile(rb"\n")
_CR_OR_LF: Final = re.compile(rb"[\r\n]")


class TooLong:
    """Stands for a line that is longer than :data:`LONGEST_LINE`; the next chunk begins with its line end."""


class Lines:
    """Whole lines of a source, in chunks.

    Where a chunk ends depends on how the bytes arrive; what is a line, and what is too long, does not.

    Args:
        source: Where they come from.
        lone_cr: Whether CR alone ends a line, as LF and CRLF do.
    """

    def __init__(self, source: Source, *, lone_cr: bool) -> None:
        self._source = source
        self._lone_cr = lone_cr
        self._line_end = _CR_OR_LF if lone_cr else _LF
        self._begun: list[bytes] = []  # A line whose end has not been read.
        self._begun_size = 0
        self._unread = b""
        self._skipping = False

    def next(self) -> bytes | TooLong | None:
        """The next whole lines, at the end of the file also one without a line end; None after that.

        Raises:
            RunError: The source cannot be read further. The line that it broke off in is not returned.
        """
        while block := self._take():
            end = self._line_end.search(block)
            if self._skipping and end is not None:
                self._skipping = False
                block = block[end.start() :]
                end = self._line_end.search(block)
            if self._skipping:
                continue
            if self._begun_size + (end.start() if end is not None else len(block)) > LONGEST_LINE:
                self._skipping = True
                self._begun, self._begun_size = [], 0
                self._unread = block
                return TooLong()
            if end is None:
                self._begun.append(block)
                self._begun_size += len(block)
                continue
            after = max(block.rfind(b"\n"), block.rfind(b"\r") if self._lone_cr else -1) + 1
            chunk = b"".join((*self._begun, block[:after]))
            self._begun, self._begun_size = [block[after:]], len(block) - after
            return chunk
        rest = b"".join(self._begun)
        self._begun, self._begun_size = [], 0
        return rest or None

    def _take(self) -> bytes:
        """The next bytes. A CR at their end waits for what follows it: CRLF is one line end."""
        block = self._unread
        self._unread = b""
        if not block or block == b"\r":
            more = self._source.read()
            block += more
            if not more:
                return block
        if self._lone_cr and block.endswith(b"\r"):
            self._unread = b"\r"
            return block[:-1] or self._take()
        return block
