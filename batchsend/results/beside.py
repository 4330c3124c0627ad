"""The files beside a results log: made where nothing else is, kept where still wanted, with names that last."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

from batchsend.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path


def make_anew(path: Path) -> int:
    """Make a file beside a log, and nothing else than that: no file that is there, and none that a link leads to.

    One of this name is what a killed run has left, for the log is locked.

    Returns:
        Its descriptor, for reading and writing.

    Raises:
        OSError: It cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        path.unlink()
        return os.open(path, flags, 0o600)


def sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on the disk: a file that is synced may still have none.

    Raises:
        RunError: The disk does not take them.
    """
    try:
        file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise RunError(
            f"{directory}: the disk does not keep the account: {error.strerror}", remedy="see what is wrong with it"
        ) from None


def set_aside_file(path: Path) -> None:
    """Keep a file that is about to be replaced under another name, too: nobody else knows what it says.

    Raises:
        OSError: There is no room for the name.
    """
    for number in count(1):
        try:
            os.link(path, path.with_name(f"{path.name}.{number}"), follow_symlinks=False)
        except FileExistsError:
            continue
        except FileNotFoundError:
            pass  # there is none
        return


def write_all(file: int, data: bytes) -> None:
    """Write octets at a file's beginning.

    Raises:
        OSError: There is no room for them, or something is wrong with the disk.
    """
    written = 0
    while written < len(data):
        written += os.pwrite(file, data[written:], written)
