"""Whom a campaign has written to, so that nobody is written to twice."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import unicodedata
from typing import TYPE_CHECKING, Final, Protocol, Self

from batchsend.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_OCTETS: Final = 8  # of each hash
_MASK: Final = (1 << 8 * _OCTETS) - 1
_IN_MEMORY: Final = 1 << 21  # places
_FIRST_ON_DISK: Final = 1 << 18  # buckets
_BUCKET: Final = struct.Struct("=8Q")
_WORD: Final = struct.Struct("=Q")
# Hashes for each bucket, on average, at which a table takes no more: few buckets go on in the next one.
_FULL: Final = 5


class Addressees:
    """A set of addresses, compared without regard to case. A context manager: it may need a file.

    64 bits of a keyed hash are kept of each: those of the first million in 16 MB of memory, all further ones on the
    disk, in files without a name that are gone with the process: 17 MB for up to 2.3 million, 50 MB up to 4.9 million,
    117 MB up to 10 million, and so on. That two addresses among ten million are taken for one has a chance of one in
    370,000.

    Args:
        directory: Where there is room for the files.
        places: How many hashes have room in memory; half of them are used.
        buckets: How many buckets the first file has; each further one has twice as many.
    """

    def __init__(self, directory: Path, *, places: int = _IN_MEMORY, buckets: int = _FIRST_ON_DISK) -> None:
        self._directory = directory
        self._buckets = buckets
        self._older: list[_Table] = []
        self._newest: _Table = _InMemory(places)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for table in (*self._older, self._newest):
            table.close()

    def add(self, address: str) -> bool:
        """Add an address; False if it was there.

        Args:
            address: A forward-path. Its local part is case-sensitive by RFC 5321 §2.4, and nowhere in practice.

        Raises:
            RunError: There is no room on the disk.
        """
        # As `_bits`, without a call for each record.
        bits = hash(address.lower()) & _MASK or 1 if address.isascii() else _bits(address)
        try:
            for table in self._older:
                if bits in table:
                    return False
            if not self._newest.add(bits):
                return False
            if not self._newest.room:
                self._older.append(self._newest)
                self._newest = _OnDisk(self._directory, self._buckets << len(self._older) - 1)
        except OSError as error:
            raise RunError(
                f"{self._directory}: the table of the addresses that were written to cannot grow: {error.strerror}",
                remedy='make room; or let an address get the message again: duplicates = "send"',
            ) from None
        self._count += 1
        return True

    def __contains__(self, address: str) -> bool:
        bits = _bits(address)
        return bits in self._newest or any(bits in table for table in self._older)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<Addressees {self._count:,}>"


def _bits(address: str) -> int:
    # The forms that Unicode has of one text are one name (RFC 6532 §3.1). Nought is for an empty place.
    return hash(unicodedata.normalize("NFC", address).casefold()) & _MASK or 1


class _Table(Protocol):
    """Hashes, each in a place that it says itself.

    Attributes:
        room: How many more it should be given.
    """

    room: int

    def add(self, bits: int) -> bool:
        """Add a hash; False if it was there."""

    def __contains__(self, bits: int) -> bool:
        """Whether a hash is there."""

    def close(self) -> None:
        """Let go of what it needs."""


class _InMemory:
    """A table for the first ones, half full at most."""

    def __init__(self, places: int) -> None:
        self.room = places // 2
        self._places = places
        self._map = mmap.mmap(-1, places * _OCTETS)  # the kernel gives a page when it is first written to
        self._words = memoryview(self._map).cast("Q")

    def add(self, bits: int) -> bool:
        words, places = self._words, self._places
        place = bits % places
        while (found := words[place]) != bits:
            if not found:
                words[place] = bits
                self.room -= 1
                return True
            place = (place + 1) % places
        return False

    def __contains__(self, bits: int) -> bool:
        words, places = self._words, self._places
        place = bits % places
        while (found := words[place]) != bits:
            if not found:
                return False
            place = (place + 1) % places
        return True

    def close(self) -> None:
        self._words.release()
        self._map.close()


class _OnDisk:
    """A table in a file, in buckets of eight, filled from their beginnings; one that is full goes on in the next.

    Args:
        directory: Where the file is; it has no name.
        buckets: How many there are.

    Raises:
        OSError: There is no room.
    """

    def __init__(self, directory: Path, buckets: int) -> None:
        self.room = buckets * _FULL
        self._buckets = buckets
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed with its set
        self._file.truncate(buckets * _BUCKET.size)

    def add(self, bits: int) -> bool:
        place = self._place(bits)
        if place is None:
            return False
        os.pwrite(self._file.fileno(), _WORD.pack(bits), place)
        self.room -= 1
        return True

    def __contains__(self, bits: int) -> bool:
        return self._place(bits) is None

    def _place(self, bits: int) -> int | None:
        """Where in the file a hash would go; None if it is there."""
        file = self._file.fileno()
        bucket = bits % self._buckets
        while True:
            at = bucket * _BUCKET.size
            words = _BUCKET.unpack(os.pread(file, _BUCKET.size, at))
            if bits in words:
                return None
            if not words[-1]:
                return at + words.index(0) * _OCTETS
            bucket = (bucket + 1) % self._buckets

    def close(self) -> None:
        self._file.close()
