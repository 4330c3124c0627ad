"""What a record may name: files of the campaign's folder that are not its own, not hidden, and nowhere else as well.

An attachment, an image and a file that a template takes in may be chosen by a record, which is somebody else's. So all
three go by these rules.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from batchsend.errors import RecordError

if TYPE_CHECKING:
    from batchsend.campaign.own import OwnFiles

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def below(folder: str, path: str) -> str | None:
    """A path from a folder on, which may be the path itself; None for one that leads elsewhere; both are absolute."""
    if path == folder:
        return ""
    begins = folder.rstrip("/") + "/"
    return path[len(begins) :] if path.startswith(begins) else None


def require_no_secret(rest: str, path: str, own: OwnFiles, where: str) -> None:
    """Refuse a file that is none of a record's business.

    Args:
        rest: Its path from the campaign's folder on.
        path: The same from the root on, symbolic links resolved.
        own: The campaign's own files.
        where: What it is, as errors call it.

    Raises:
        RecordError: It is the campaign's own, or hidden: its name, or that of one of its folders, begins with a dot.
    """
    if own.has(path) or rest.startswith(".") or "/." in rest:
        raise RecordError(f"{where} is the campaign's own, or hidden: no record may name it")


def open_inside(inside: str, path: str, flags: int) -> int:
    """Go to a file one folder after the other: one that was put in the place of another meanwhile is not entered.

    Args:
        inside: The campaign's folder.
        path: The file, symbolic links resolved.
        flags: As `os.open` takes them. Opening does not wait, as for the writer of a FIFO.

    Raises:
        OSError: It is not there any more, or there is a symbolic link on the way.
    """
    *folders, name = (below(inside, path) or ".").split("/")
    here = os.open(inside, _FOLDER)
    try:
        for folder in folders:
            there = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = there
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


def open_named(inside: str, where: str, path: str, flags: int) -> int:
    """Open a file that a record has named, as `open_inside` does; with ``inside`` and ``where`` given, an opener.

    Where somebody else may write in the folder, a file there may be one of elsewhere, by a hard link.

    Args:
        inside: The campaign's folder.
        where: What the file is, as errors call it.
        path: The file, symbolic links resolved.
        flags: As `os.open` takes them.

    Raises:
        RecordError: The file has another name.
        OSError: It is not there any more, or there is a symbolic link on the way.
    """
    file = open_inside(inside, path, flags)
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        os.close(file)
        raise RecordError(f"{where} has another name, perhaps elsewhere (a hard link): a record may name a copy of it")
    return file
