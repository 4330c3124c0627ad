"""The files that a campaign names, looked for without an exception.

What has a name that no file can have, or stands behind a folder that may not be entered, is a file that is not there:
`no_file` says which it is.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from batchsend.errors import is_path


def is_file(path: Path) -> bool:
    """Whether there is a regular file, or a link to one."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for some of them before Python 3.14


def is_folder(path: Path) -> bool:
    """Whether there is a folder, or a link to one."""
    return os.path.isdir(path)  # noqa: PTH112 - likewise


def exists(path: Path) -> bool:
    """Whether there is anything of this name."""
    return os.path.exists(path)  # noqa: PTH110 - likewise


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, by their names with links resolved or as hard links."""
    if resolved(one) == resolved(other):
        return True
    return exists(one) and exists(other) and os.path.samefile(one, other)  # noqa: PTH121 - as above


def resolved(path: Path) -> Path:
    """The path without symbolic links; what ``Path.resolve`` fails at, such as links in a circle, stays as it is."""
    return Path(os.path.realpath(path)) if is_path(str(path)) else path


def no_file(expected: str, path: Path) -> str:
    """What to do where no regular file is: what is expected, and what there is instead."""
    try:
        found = "is not a regular file" if not stat.S_ISREG(path.stat().st_mode) else "cannot be used"
    except (FileNotFoundError, NotADirectoryError):
        found = "does not exist"
    except OSError as error:
        found = f"cannot be opened: {error.strerror}"
    except ValueError:
        return f"expected {expected}; no file can have this name: {str(path)!r}"
    return f"expected {expected}; {path} {found}"
