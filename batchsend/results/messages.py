"""The messages of a program beside the log of its sender: each has a number there, and a key that the program gave it.

The log and the journal know records by their numbers. In a campaign the recipients file says whose they are; here it is
this list, a JSONL file with one line a message and recipient, the record's number being the number of the line. A line
is with the kernel before the message can be committed, so a journal that is left behind names nobody who is not here.
"""

from __future__ import annotations

import os
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Final, Self

import msgspec
import orjson

from batchsend.errors import RunError, UsageError
from batchsend.results.format import MAX_RECORD, whole_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_DIGEST: Final = 12
"""Octets of a digest: that two of a billion messages share one has a chance of one in ten billion."""

SUFFIX: Final = ".messages.jsonl"


class MessageLine(msgspec.Struct, frozen=True, gc=False):
    """One message for one recipient.

    Attributes:
        record: The number of the line.
        key: What the program calls the message; None where it has not said.
        recipient: The forward-path; None where the message had none that could be used.
        message_id: Its Message-ID, or None.
    """

    record: Annotated[int, msgspec.Meta(ge=1, le=MAX_RECORD)]
    key: str | None
    recipient: str | None
    message_id: str | None = None


def messages_path(results: Path) -> Path:
    """Where the list of a log is: ``results.messages.jsonl`` beside ``results.jsonl``, whatever link names that."""
    results = results.resolve()
    return results.with_name(results.name.removesuffix(".jsonl") + SUFFIX)


class MessageList:
    """The list of a log that this process has locked. A context manager.

    Making one reads it. In memory there are some 130 octets for each message that has a key.

    Args:
        results: The log.
        new: The log has no account yet, so there must be no list either.
        holes: The machine went down: what had not been waited for may be there or not. The first line that is none ends
            the list, for the messages behind it were not committed.

    Raises:
        UsageError: It is not the list of such a log, or cannot be opened.
        RunError: It cannot be read further.
    """

    def __init__(self, results: Path, *, new: bool, holes: bool = False) -> None:
        self.path = messages_path(results)
        self._records: dict[bytes, int] = {}
        self._offsets = array("Q")  # of the lines
        self._pending: list[bytes] = []
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise UsageError(
                f"{self.path}: the list of messages cannot be opened: {error.strerror}",
                remedy="it stands beside the results log; name another log",
            ) from None
        try:
            if new and os.fstat(self._file).st_size:
                raise UsageError(
                    f"{self.path} names messages, and their results log is not there",
                    remedy="bring the log back; or name another one, and what was sent may be sent again",
                )
            self._size = self._read(holes=holes)
            os.ftruncate(self._file, self._size)  # a torn line is of a message that was not committed
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        """How many messages it has: the highest record."""
        return len(self._offsets)

    def find(self, key: str, recipient: str | None) -> int | None:
        """The record of a message, by its key and its recipient; None where it is new."""
        return self._records.get(_digest(key, recipient))

    def add(self, key: str | None, recipient: str | None, message_id: str | None) -> int:
        """Take a message in; its line is written by the next `flush`.

        Returns:
            Its record.
        """
        record = len(self._offsets) + 1
        line = MessageLine(record, key, recipient, message_id)
        octets = orjson.dumps(msgspec.structs.asdict(line), option=orjson.OPT_APPEND_NEWLINE)
        self._pending.append(octets)
        self._offsets.append(self._size)
        self._size += len(octets)
        if key is not None:
            self._records[_digest(key, recipient)] = record
        return record

    def flush(self) -> None:
        """Hand the new lines to the kernel.

        Raises:
            RunError: They could not be written; the next flush tries again, and until then none of them may be sent.
        """
        if not self._pending:
            return
        data = b"".join(self._pending)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            self._pending = [data[written:]]
            raise RunError(
                f"{self.path}: the list of messages cannot be written: {error.strerror}",
                remedy="make room, or see what is wrong with the disk",
            ) from None
        self._pending.clear()

    def duplicate(self) -> int:
        """Another descriptor of the file, for the caller to sync in a thread and to close."""
        return os.dup(self._file)

    def line(self, record: int) -> MessageLine:
        """What the list says of a record.

        Raises:
            RunError: It cannot be read.
        """
        self.flush()
        begin = self._offsets[record - 1]
        end = self._offsets[record] if record < len(self._offsets) else self._size
        try:
            octets = os.pread(self._file, end - begin, begin)
            return msgspec.json.decode(octets, type=MessageLine)
        except (OSError, msgspec.DecodeError) as error:
            raise RunError(f"{self.path}:{record}: the list of messages cannot be read: {error}") from None

    def _read(self, *, holes: bool) -> int:
        """Read it from its beginning, and return the octets of its lines.

        Raises:
            UsageError: It is something else.
        """
        decoder = msgspec.json.Decoder(MessageLine)
        offset = 0
        for block in self._blocks():
            for octets in block.splitlines(keepends=True):
                record = len(self._offsets) + 1
                try:
                    line = decoder.decode(octets)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    line = None
                if line is None or line.record != record:
                    if holes:
                        return offset
                    raise self._no_list(record)
                if line.key is not None:
                    self._records[_digest(line.key, line.recipient)] = record
                self._offsets.append(offset)
                offset += len(octets)
        return offset

    def _blocks(self) -> Iterator[bytes]:
        try:
            yield from whole_lines(self._file)
        except OSError as error:
            raise RunError(f"{self.path}: the list of messages cannot be read: {error.strerror}") from None

    def _no_list(self, line: int) -> UsageError:
        return UsageError(
            f"{self.path}:{line}: not a line of a list of messages, or not in its place",
            remedy="bring it back as it was; or name another log, and what was sent may be sent again",
        )

    def __repr__(self) -> str:
        return f"<MessageList {self.path} of {len(self):,}>"


def _digest(key: str, recipient: str | None) -> bytes:
    """What a message is known by; the local part is case-sensitive by RFC 5321 §2.4, and nowhere in practice."""
    text = f"{key}\0{'' if recipient is None else recipient.casefold()}"
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST).digest()
