"""A file of 64-bit words, mapped into memory, that others may cut short without ending the process.

Whoever truncates a mapped file takes its pages away: the next use of one raises SIGBUS, whose default is to end the
process at once and without a word. Asking for the file's size before each use would not help, because it may be cut
between the two; writing with pwrite(2) would, and costs a system call for each message, several hundredths of its whole
time. So SIGBUS is caught: the lost pages are replaced by memory of the process, the store is done again there, and
`Mapping.lost` says that what is stored is no longer kept.

The handler has to act before the interrupted store is done again, which the handlers of `signal` cannot: Python runs
them later. It is set by ctypes. That is sound here because the signal is raised by the store itself: the thread has
Python's lock, and is in the middle of nothing but a copy of eight octets.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading
from typing import Final

_libc: Final = ctypes.CDLL(None)
_libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
_libc.signal.restype = ctypes.c_void_p
_libc.sigaction.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mmap.restype = ctypes.c_void_p

_MAP_FIXED: Final = 0x10  # the same on Linux, macOS and the BSDs; `mmap` does not name it
_OWN_MEMORY: Final = mmap.MAP_PRIVATE | mmap.MAP_ANON | _MAP_FIXED
_ACTION_OCTETS: Final = 256  # more than struct sigaction has anywhere; it is kept and given back as it is

_lock = threading.Lock()
_live: tuple[Mapping, ...] = ()
_before = ctypes.create_string_buffer(_ACTION_OCTETS)


class Mapping:
    """A file's words, as long as it has them.

    Args:
        file: The file's descriptor, open for reading and writing; the mapping keeps one of its own.

    Attributes:
        words: What is stored there is the kernel's at once, and outlives the process.
        lost: The file was cut short, or its pages could not be kept: ``words`` are memory of this process now.

    Raises:
        OSError: It cannot be mapped.
    """

    def __init__(self, file: int) -> None:
        self.lost = False
        self._map = mmap.mmap(file, 0)
        self._size = len(self._map)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.words = memoryview(self._map).cast("Q")
        _guard(self)

    @property
    def is_whole(self) -> bool:
        """Whether the file has all of its octets still."""
        try:
            return not self.lost and self._map.size() == self._size
        except OSError:  # removed on a file server
            return False

    def close(self) -> None:
        """Let go of the memory; what was stored stays in the file."""
        _unguard(self)
        self.words.release()
        self._map.close()

    def leave_to_parent(self) -> None:
        """In a child process, after a fork: let go of the memory and of the file, which are the parent's.

        It is not taken from those that are looked after: the lock of these may have been another thread's at the fork.
        """
        self.lost = True
        self.words.release()
        self._map.close()

    def give_up(self) -> bool:
        """Put memory of the process in place of the file's; false if that cannot be done."""
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        there = _libc.mmap(self._address, self._size, protection, _OWN_MEMORY, -1, 0)
        self.lost = True
        return bool(there == self._address)


def _guard(mapping: Mapping) -> None:
    global _live  # noqa: PLW0603 - what a signal does is the process's, and so is this
    with _lock:
        if not _live:
            _libc.sigaction(signal.SIGBUS, None, _before)
            _libc.signal(signal.SIGBUS, ctypes.cast(_HANDLER, ctypes.c_void_p))
        _live = (*_live, mapping)


def _unguard(mapping: Mapping) -> None:
    global _live  # noqa: PLW0603
    with _lock:
        _live = tuple(other for other in _live if other is not mapping)
        if not _live:
            now = ctypes.create_string_buffer(_ACTION_OCTETS)
            _libc.sigaction(signal.SIGBUS, None, now)
            # A structure begins with the handler. Where somebody else has set another one since, that one stays.
            if ctypes.c_void_p.from_buffer(now).value == ctypes.cast(_HANDLER, ctypes.c_void_p).value:
                _libc.sigaction(signal.SIGBUS, _before, None)


def _replace_lost(number: int) -> None:
    """Replace what cannot be used any more; when this returns, the store that failed is done again.

    Where nothing is left to replace, the signal was about something else: it is raised again, for whoever heeded it
    before.
    """
    mappings = [mapping for mapping in _live if not mapping.lost]
    cut = [mapping for mapping in mappings if not mapping.is_whole]
    replaced = [mapping.give_up() for mapping in cut or mappings]
    if not replaced or not all(replaced):
        _libc.sigaction(number, _before, None)


_HANDLER: Final = ctypes.CFUNCTYPE(None, ctypes.c_int)(_replace_lost)


def _after_fork() -> None:
    """A lock of the child is not held by a thread that it does not have."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
