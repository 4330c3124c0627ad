"""The recipients file as bytes: opened, its compression taken off, counted as it is read."""

from __future__ import annotations

import io
import os
import re
import select
import stat
import sys
from typing import TYPE_CHECKING, Final, Literal, Protocol

from batchsend.errors import RunError, UsageError
from batchsend.recipients.kinds import refuse_eight_bit

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

Compression = Literal["gzip", "zstd"]
_Broken = tuple[type[Exception], ...]

_BLOCK: Final = 256 * 1024
_GLANCE: Final = 100
"""Milliseconds between two looks at whether a pipe is still wanted."""
_GZIP: Final = b"\x1f\x8b"  # RFC 1952 §2.3.1
_ZSTD: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878 §3.1.1; neither can begin a text in UTF-8
_UTF8_MARK: Final = b"\xef\xbb\xbf"
# The longest first: the mark of UTF-32 begins with that of UTF-16.
_NOT_UTF8: Final = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_LINE_WITH_TEXT: Final = re.compile(rb"\s*+\S[^\r\n]{3,}[\r\n]")
_WHOLE: Final = "bring the file whole again, and resume"


class Source:
    """A file, a pipe or standard input, read once from its beginning to its end in blocks.

    Opening it reads the first block, and so waits where reading does.

    Args:
        path: The file, or ``-`` for standard input.
        expect: The compression that its name promises, or None.
        end: The text ends after so many octets, even if there are more; None for all of it.

    Attributes:
        name: What to call it in messages: its path, or "standard input".
        size: Its bytes as they are stored, or None for a pipe.
        blocking: Whether reading may wait for another process.
        start: The first bytes of the text, which the first :meth:`read` returns.

    Raises:
        UsageError: It cannot be opened or read, is not compressed as it should be, or is not UTF-8.
    """

    def __init__(self, path: Path | Literal["-"], *, expect: Compression | None = None, end: int | None = None) -> None:
        self.name = "standard input" if path == "-" else str(path)
        self._counted = _open(path, self.name)
        try:
            status = os.fstat(self._counted.fileno())
            self.blocking = not stat.S_ISREG(status.st_mode)
            self.size = None if self.blocking else status.st_size
            self._file, self._broken = self._decompressed(expect)
            self.start = self._first_text()[:end]
        except BaseException:
            self._counted.close()
            raise
        self._unread = self.start
        self._left = None if end is None else end - len(self.start)  # octets that may still be read

    @property
    def position(self) -> int:
        """How many of the stored bytes have been read."""
        return self._counted.position

    def read(self) -> bytes:
        """The next bytes of the text, at most about 256 KiB; empty at the end.

        Raises:
            RunError: It cannot be read further: the disk, or a compressed stream that is broken or cut off.
        """
        if self._unread:
            start, self._unread = self._unread, b""
            return start
        try:
            block = self._file.read1(_BLOCK)
        except self._broken as error:
            what = f"is broken or cut off after {self.position:,} compressed bytes"
            raise RunError(f"{self.name} {what}: {error}", remedy=_WHOLE) from error
        except OSError as error:
            raise RunError(f"{self.name} cannot be read further: {error.strerror}", remedy=_WHOLE) from error
        if self._left is not None:
            block = block[: self._left]
            self._left -= len(block)
        return block

    def refuse_eight_bit(self) -> None:
        """Refuse Windows-1252 and its like, by the first block that is not ASCII.

        Of a file that is not compressed this is any block: the first name with an accent may stand in its middle, and
        half of the list would have been written to. Otherwise it is the first one, as the rest is not there yet.

        Raises:
            UsageError: The file is in such an encoding, or cannot be read.
        """
        if self.size is None or self._broken:
            refuse_eight_bit(self.name, self.start, line=1, is_cut=self.blocking or len(self.start) >= _BLOCK)
            return
        place, line = 0, 1
        try:
            while (block := os.pread(self._counted.fileno(), _BLOCK, place)) and block.isascii():
                place += len(block)
                line += block.count(b"\n")
        except OSError as error:
            raise UsageError(f"{self.name} cannot be read: {error.strerror}", remedy="check the file") from error
        refuse_eight_bit(self.name, block, line=line, is_cut=place + len(block) < self.size)

    def close(self) -> None:
        """Close it; the descriptor of standard input stays open. A thread that waits in `read` comes to its end."""
        self._counted.interrupt()
        self._file.close()
        self._counted.close()

    def _decompressed(self, expect: Compression | None) -> tuple[_Readable, _Broken]:
        """The text beneath the compression, and what reading it raises where the stream is broken."""
        magic = self._counted.peek(len(_ZSTD), self.name)
        found: Compression | None = None
        if magic.startswith(_GZIP):
            found = "gzip"
        elif magic == _ZSTD:
            found = "zstd"
        if expect is not None and magic and found != expect:
            raise UsageError(
                f"{self.name} does not hold {expect} data",
                remedy="take the last suffix off its name if it is not compressed, or bring it again",
            )
        if found == "gzip":
            return _gzip(self._counted)
        return _zstd(self._counted) if found == "zstd" else (io.BufferedReader(self._counted, _BLOCK), ())

    def _first_text(self) -> bytes:
        """The first bytes, enough to know encoding and format by, without the byte-order mark.

        Of a file they are a whole block, so that they depend on the file alone. Of a pipe they are what it gives until
        the first line is there: whoever writes to it may wait for what becomes of that.
        """
        start = b""
        failures: _Broken = (*self._broken, OSError)
        try:
            while len(start) < _BLOCK and not (self.blocking and _LINE_WITH_TEXT.match(start)):
                block = self._file.read1(_BLOCK)
                if not block:
                    break
                start += block
        except failures as error:
            # What precedes the place where a stream breaks off is good; `read` meets the same error behind it.
            if not start:
                raise UsageError(f"{self.name} cannot be read: {error}", remedy="bring the file whole again") from error
        for mark, encoding in _NOT_UTF8:
            if start.startswith(mark):
                raise self._not_utf8(encoding)
        # Without a mark, the zero beside an ASCII character tells.
        if len(start) >= 4 and (start[0] == 0 != start[1] or start[1] == 0 != start[0]):
            raise self._not_utf8("UTF-16")
        return start.removeprefix(_UTF8_MARK)

    def _not_utf8(self, encoding: str) -> UsageError:
        return UsageError(
            f"{self.name} is in {encoding}, not in UTF-8",
            remedy=f"convert it: iconv -f {encoding} -t UTF-8 FILE > NEW_FILE, or save it as CSV UTF-8",
        )


class _Readable(Protocol):
    """What is asked of the three kinds of file.

    ``read1`` reads once from what lies beneath, so what precedes the place where a stream breaks off is not lost.
    """

    def read1(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Counted(io.RawIOBase):
    """A descriptor that counts what is read from it and lets its first bytes be looked at."""

    def __init__(self, descriptor: int, *, closes: bool) -> None:
        self._file = io.FileIO(descriptor, "rb", closefd=closes)
        self._waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._interrupted = False
        self._ahead = b""
        self.position = 0

    def interrupt(self) -> None:
        """Take the file as ended; whoever waits for its next bytes is told so within `_GLANCE`."""
        self._interrupted = True

    def peek(self, size: int, name: str) -> bytes:
        """The first bytes, fewer only where there are no more."""
        try:
            while len(self._ahead) < size and (more := self._file.read(size - len(self._ahead))):
                self._ahead += more
        except OSError as error:
            remedy = "name the recipients file in it" if isinstance(error, IsADirectoryError) else "check the file"
            raise UsageError(f"{name} cannot be read: {error.strerror}", remedy=remedy) from None
        return self._ahead

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self._ahead:
            count = min(len(view), len(self._ahead))
            view[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
        else:
            count = self._file.readinto(view) or 0 if self._is_readable() else 0
        self.position += count
        return count

    def _is_readable(self) -> bool:
        """Wait for bytes or the end; False where it was interrupted: a read that is under way cannot be."""
        if self._waits:
            readable = select.poll()
            readable.register(self._file, select.POLLIN)
            while not self._interrupted and not readable.poll(_GLANCE):
                pass
        return not self._interrupted

    def close(self) -> None:
        super().close()
        self._file.close()


def _open(path: Path | Literal["-"], name: str) -> _Counted:
    if path == "-":
        return _Counted(0, closes=False)
    try:
        return _Counted(os.open(path, os.O_RDONLY | os.O_CLOEXEC), closes=True)
    except FileNotFoundError:
        raise UsageError(
            f"{name}: there is no such file", remedy="name the recipients file, or - for standard input"
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a directory", remedy="name the recipients file in it") from None
    except OSError as error:
        raise UsageError(
            f"{name} cannot be opened: {error.strerror}", remedy="check its path and permissions"
        ) from None
    except ValueError as error:
        raise UsageError(f"the recipients file cannot be opened: {error}", remedy="check its path") from None


def _gzip(raw: _Counted) -> tuple[_Readable, _Broken]:
    import gzip  # noqa: PLC0415 - most recipients files are not compressed
    import zlib  # noqa: PLC0415

    buffered = io.BufferedReader(raw, _BLOCK)
    return gzip.GzipFile(fileobj=buffered, mode="rb"), (EOFError, gzip.BadGzipFile, zlib.error)


def _zstd(raw: _Counted) -> tuple[_Readable, _Broken]:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - most recipients files are not compressed
    else:
        from backports import zstd  # noqa: PLC0415 - most recipients files are not compressed
    return zstd.ZstdFile(raw, "rb"), (EOFError, zstd.ZstdError)
