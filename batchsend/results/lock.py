"""One run on one log: the lock on the log itself, whatever name it is reached by, which dies with its process."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchsend.errors import UsageError
from batchsend.results.format import opened

if TYPE_CHECKING:
    from collections.abc import Iterator


class InUseError(UsageError):
    """Another process, which has a run or a sender, is at work on a results log."""


def open_locked(path: Path, *, make: bool) -> int:
    """Open a results log for reading and appending, for this process alone.

    The lock is one of ``flock``: symbolic and hard links lead to the same one, and a process that is gone holds none.
    A log is made where nothing is, and not where a symbolic link leads: who may write in the folder of a log could else
    have files made wherever its owner may.

    Args:
        path: The log.
        make: Whether to make it where there is none.

    Returns:
        Its descriptor; closing it gives the lock back.

    Raises:
        UsageError: It cannot be opened or locked, is not a regular file, or another run is at work on it.
    """
    while True:
        try:
            file = _opened_or_made(path, make=make)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not make:
                raise UsageError(
                    f"{path}: there is no such results log",
                    remedy="name the results log of the run that is to be gone on with: "
                    "results.jsonl beside the campaign file, or what --results said",
                ) from None
            raise not_openable(path, error) from None
        try:
            _lock(file, path)
            if _is_at(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # it was replaced between opening and locking: the lock would be one on nothing


def _opened_or_made(path: Path, *, make: bool) -> int:
    # Not blocking: opening a pipe would wait for its other end.
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            if not make:
                raise
        try:
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if path.is_symlink():
                raise FileNotFoundError(errno.ENOENT, "it is a link to where nothing is") from None


@contextmanager
def open_to_read(path: Path) -> Iterator[int]:
    """The descriptor of a results log that nobody is at work on while the context lasts; others may read it, too.

    Raises:
        UsageError: It cannot be opened or locked, is not a regular file, or a run is at work on it.
    """
    with opened(path) as file:
        _lock(file, path, kind=fcntl.LOCK_SH, remedy="wait for its end")
        yield file


def close_locked(file: int, *, process: int) -> None:
    """Close a file and give its lock back, also where a child process has a copy of the descriptor.

    A child that was forked while the file was being opened or closed has one, and with that the lock would last as long
    as the child does. A child that comes to the end of what its parent has begun only closes its copy: the lock is one
    for both of them.

    Args:
        file: The descriptor.
        process: The number of the process that has locked it.
    """
    try:
        if process == os.getpid():
            with suppress(OSError):  # the lock goes with the last descriptor
                fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)


def leave_to_parent(*files: int) -> None:
    """In a child process, after a fork: let go of files of the parent's, whose locks would else last as long as this.

    Their numbers stay taken, by the null device: what the child has of the parent's may still write there.

    Raises:
        OSError: There are too many open files.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for file in files:
        os.dup2(nothing, file, inheritable=False)
    os.close(nothing)


BY_ANOTHER_NAME: Final = "--results FILE, in Python results=…"
"""How a results log is kept elsewhere."""


def not_openable(path: Path, error: OSError) -> UsageError:
    """The error for a log that cannot be opened."""
    remedy = "name another, in a folder that exists"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = (
            f"let the user with the number {os.geteuid()} write in {path.parent}, or name another: {BY_ANOTHER_NAME}"
        )
    return UsageError(f"{path}: the results log cannot be opened: {error.strerror}", remedy=remedy)


def _lock(
    file: int,
    path: Path,
    *,
    kind: int = fcntl.LOCK_EX,
    remedy: str = f"wait for its end, or keep this one's elsewhere: {BY_ANOTHER_NAME}",
) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise UsageError(
            f"{path} is not a regular file: what is kept there cannot be read back",
            remedy=f"name another: {BY_ANOTHER_NAME}",
        )
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise UsageError(
                f"{path}: the results log cannot be locked: {error.strerror}",
                remedy=f"keep it on a file system that has locks: {BY_ANOTHER_NAME}",
            ) from None
        holder = _holder(file)
        who = "another run or sender" if holder is None else f"process {holder}"
        raise InUseError(f"{path}: {who} is at work on it", remedy=remedy) from None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _holder(file: int) -> int | None:
    """The process that holds the lock on a file, where the system tells (Linux's proc_locks(5))."""
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return None
    status = os.fstat(file)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in locks.splitlines():
        words = line.split()
        if words[1:2] == ["FLOCK"] and words[5:6] == [place]:
            return int(words[4]) or None  # 0 is a process outside this container
    return None
