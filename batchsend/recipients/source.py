"""The recipients file as bytes: opened, its compression taken off, counted as it is read."""

from __future__ import annotations

import codecs
import io
import os
import select
import stat
import sys
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, Self

from batchsend.errors import RunError, UsageError
from batchsend.patterns import late_pattern
from batchsend.recipients.kinds import encoding_remedy, refuse_eight_bit

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

STANDARD_INPUT: Final = "standard input"
"""What the file is called that has no name."""

Compression = Literal["gzip", "zstd"]

COMPRESSIONS: Final[dict[str, Compression]] = {".gz": "gzip", ".zst": "zstd"}
"""The suffixes of compressed files, and what each promises."""


class Mark(NamedTuple):
    """What the system says of a file, cheaply: it is another after every change."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """The mark of what was found."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


_Broken = tuple[type[Exception], ...]

_BLOCK: Final = 256 * 1024
_GLANCE: Final = 100
"""Milliseconds between two looks at whether a pipe is still wanted."""
_GZIP: Final = b"\x1f\x8b"  # RFC 1952 §2.3.1
_ZSTD: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878 §3.1.1; neither can begin a text in UTF-8
# Letters of these in a row are not UTF-8, as what would go on a letter there is mostly a sign here. Thai is not among
# them, nor is what has several octets for a letter: short texts in those may be both.
_OF_ONE_OCTET: Final = late_pattern(r"cp125\d|iso8859-(?!11)\d+|koi8.*|mac.*|cp(?:437|7[23]\d|775|8[56]\d)")
_UTF8_MARK: Final = b"\xef\xbb\xbf"
# The longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS: Final = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UTF8: Final = ("utf-8", "utf-8-sig")
_LINE_WITH_TEXT: Final = late_pattern(rb"\s*+\S[^\r\n]{3,}[\r\n]")
_WHOLE: Final = "bring the file whole again, and resume"


def file_mark(path: Path) -> Mark | None:
    """The mark of the file that a name leads to; None where there is none."""
    try:
        return Mark.of(path.stat())
    except OSError:
        return None


class Source:
    """A file, a pipe or standard input, read once from its beginning to its end in blocks.

    Opening it reads the first block, and so waits where reading does. Of a file as much is read as it had then: what is
    appended meanwhile may be half of a record.

    Args:
        path: The file, or ``-`` for standard input.
        expect: The compression that its name promises, or None.
        encoding: The text's encoding, any that Python knows; None for UTF-8, or what its byte-order mark says. What is
            read is UTF-8 in any case.
        end: The text ends after so many octets of its own encoding, even if there are more; None for all of it. A
            byte-order mark of UTF-8 does not count.
        raw: Read the octets beneath the compression, whatever they are: without a byte-order mark of UTF-8, and
            otherwise as they stand there.

    Attributes:
        name: What to call it in messages: its path, or "standard input".
        size: Its bytes as they are stored, or None for a pipe.
        blocking: Whether reading may wait for another process.
        start: The first bytes of the text, which the first :meth:`read` returns.
        opened: The file's mark before anything was read of it; None for a pipe.

    Raises:
        UsageError: It cannot be opened or read, is not compressed as it should be, or is in another encoding.
    """

    def __init__(
        self,
        path: Path | Literal["-"],
        *,
        expect: Compression | None = None,
        encoding: str | None = None,
        end: int | None = None,
        raw: bool = False,
    ) -> None:
        self.name = STANDARD_INPUT if path == "-" else str(path)
        self._counted = _open(path, self.name)
        try:
            status = os.fstat(self._counted.fileno())
            self.blocking = not stat.S_ISREG(status.st_mode)
            self.size = None if self.blocking else status.st_size
            self.opened = None if self.blocking else Mark.of(status)
            self._counted.most = self.size or None  # a size of 0 is also that of what the kernel makes up
            self._file, self._broken = self._decompressed(expect)
            start = self._first_octets()[:end]
            self._left = None if end is None else end - len(start)  # octets that may still be read
            self._encoding = None if raw else self._found_encoding(start, encoding)
            self._decoder: codecs.IncrementalDecoder | None = None
            self.start = start if self._encoding is None else self._first_decoded(start, self._encoding)
        except BaseException:
            self._counted.close()
            raise
        self._unread = self.start

    @property
    def position(self) -> int:
        """How many of the stored bytes have been read."""
        return self._counted.position

    @property
    def mark(self) -> Mark | None:
        """The mark of the file that is read, as it is now, wherever its name leads; None for a pipe."""
        return None if self.blocking else Mark.of(os.fstat(self._counted.fileno()))

    def read(self) -> bytes:
        """The next bytes of the text, at most about 256 KiB; empty at the end.

        Raises:
            RunError: It cannot be read further: the disk, a compressed stream that is broken or cut off, or octets that
                are none of its encoding.
        """
        if self._unread:
            start, self._unread = self._unread, b""
            return start
        block = self._stored()
        if self._decoder is None:
            return block
        try:
            # A block may hold less than a character: an empty text is not the end.
            while not (text := self._decoder.decode(block, final=not block)) and block:
                block = self._stored()
        except UnicodeError as error:
            raise RunError(f"{self.name} cannot be read further: {error}", remedy=_WHOLE) from None
        return text.encode(errors="surrogatepass")

    def _stored(self) -> bytes:
        """The next octets of the text, in its own encoding."""
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

    def require_one_encoding(self) -> None:
        """Refuse octets that are not of the text's encoding: of UTF-8, Windows-1252 and its like.

        Of a file that is not compressed all of it is looked at: the first name with an accent may stand in its middle,
        and half of the list would have been written to. Of others it is the first block, as the rest is not there yet.

        Raises:
            UsageError: The file is in another encoding, or cannot be read.
        """
        if self.size is None or self._broken:
            if self._encoding is None:
                refuse_eight_bit(self.name, self.start, line=1, is_cut=self.blocking or len(self.start) >= _BLOCK)
            return
        try:
            if self._encoding is None:
                self._refuse_eight_bit(self.size)
            else:
                self._require_decodable(self._encoding)
        except OSError as error:
            raise UsageError(f"{self.name} cannot be read: {error.strerror}", remedy="check the file") from error

    def _refuse_eight_bit(self, size: int) -> None:
        """Look at the first block that is not ASCII."""
        place, line = 0, 1
        while (block := os.pread(self._counted.fileno(), _BLOCK, place)) and block.isascii():
            place += len(block)
            line += block.count(b"\n")
        refuse_eight_bit(self.name, block, line=line, is_cut=place + len(block) < size)

    def _require_decodable(self, encoding: str) -> None:
        """Refuse what is not in an encoding, and what can be read in it and makes no sense then."""
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        looks = _Looks(encoding)
        place, line = 0, 1
        try:
            while block := os.pread(self._counted.fileno(), _BLOCK, place):
                text = decoder.decode(block)
                looks.take(block, text)
                line += text.count("\n")
                place += len(block)
            decoder.decode(b"", final=True)
        except UnicodeError as error:
            raise self._not_in(encoding, f"{error} (on line {line:,} or below)") from None
        if (why := looks.fault()) is not None:
            raise self._not_in(encoding, why)

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

    def _first_octets(self) -> bytes:
        """The first octets of the text, enough to know encoding and format by, without a byte-order mark of UTF-8.

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
        return start.removeprefix(_UTF8_MARK)

    def _found_encoding(self, start: bytes, encoding: str | None) -> str | None:
        """The encoding that was named, or that the text says itself; None for UTF-8."""
        if encoding is not None:
            return None if codecs.lookup(encoding).name in _UTF8 else encoding
        for mark, name in _MARKS:
            if start.startswith(mark):
                return name
        # Without a mark, the zero beside an ASCII character tells.
        if len(start) >= 4 and (start[0] == 0 != start[1] or start[1] == 0 != start[0]):
            guess = "utf-16-be" if start[0] == 0 else "utf-16-le"
            raise UsageError(f"{self.name} is in UTF-16, not in UTF-8", remedy=encoding_remedy(guess))
        return None

    def _first_decoded(self, start: bytes, encoding: str) -> bytes:
        """The first octets as UTF-8; what follows will be decoded likewise."""
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        try:
            text = self._decoder.decode(start)
        except UnicodeError as error:
            raise self._not_in(encoding, str(error)) from None
        return text.removeprefix("\ufeff").encode(errors="surrogatepass")

    def _not_in(self, encoding: str, why: str) -> UsageError:
        return UsageError(
            f"{self.name} is not in {encoding}: {why}",
            remedy="name the encoding that it has, or leave encoding out: then it is UTF-8",
        )


def is_of_one_octet(encoding: str) -> bool:
    """Whether each character of an encoding is one octet, so that nearly all octets can be read in it."""
    return _OF_ONE_OCTET.fullmatch(codecs.lookup(encoding).name) is not None


class _Looks:
    """Tells a text that can be read in an encoding, and is in another one: its addresses would be other ones, or none.

    Args:
        encoding: The encoding that it is said to be in.
    """

    def __init__(self, encoding: str) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("strict") if is_of_one_octet(encoding) else None
        self._is_ascii = True
        self._has_sign = False
        self._may_have_sign = False

    def take(self, block: bytes, text: str) -> None:
        """Look at the next octets, and what they are in that encoding."""
        self._has_sign = self._has_sign or "@" in text
        self._may_have_sign = self._may_have_sign or b"@" in block
        self._is_ascii = self._is_ascii and block.isascii()
        self._try_utf8(block, final=False)

    def fault(self) -> str | None:
        """Why it is in another encoding, now that all of it was seen; None if it is not."""
        self._try_utf8(b"", final=True)
        if self._utf8 is not None and not self._is_ascii:
            return "all of it is UTF-8"
        return "read so, it has no address" if self._may_have_sign and not self._has_sign else None

    def _try_utf8(self, block: bytes, *, final: bool) -> None:
        if self._utf8 is not None:
            try:
                self._utf8.decode(block, final)
            except UnicodeDecodeError:
                self._utf8 = None


class _Readable(Protocol):
    """What is asked of the three kinds of file.

    ``read1`` reads once from what lies beneath, so what precedes the place where a stream breaks off is not lost.
    """

    def read1(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Counted(io.RawIOBase):
    """A descriptor that counts what is read from it and lets its first bytes be looked at.

    Attributes:
        position: How many bytes were read.
        most: How many are read at most; None for all that there are.
    """

    def __init__(self, descriptor: int, *, closes: bool) -> None:
        self._file = io.FileIO(descriptor, "rb", closefd=closes)
        self._waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._interrupted = False
        self._ahead = b""
        self.position = 0
        self.most: int | None = None

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
        if self.most is not None:
            view = view[: max(0, self.most - self.position)]
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
