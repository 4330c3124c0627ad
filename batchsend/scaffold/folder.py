"""Writes a new campaign's folder, and never over a file that is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchsend.errors import UsageError
from batchsend.scaffold.draft import CAMPAIGN

if TYPE_CHECKING:
    from pathlib import Path

_MAY_BE_THERE: Final = frozenset({".gitignore", ".env.example"})


def write(directory: Path, files: dict[str, str]) -> list[str]:
    """Write files into a directory, which is made where it does not exist.

    Args:
        directory: Where.
        files: Content by name.

    Returns:
        The names of what was written: of all but a ``.gitignore`` and an ``.env.example`` that are there already.

    Raises:
        UsageError: Another one of them is there already, and nothing was written; or they cannot be written.
    """
    there = {name for name in files if (directory / name).exists() or (directory / name).is_symlink()}
    if in_the_way := sorted(there - _MAY_BE_THERE):
        raise UsageError(
            f"{directory} has {', '.join(in_the_way)} already",
            remedy=f"nothing is overwritten: name another folder, or edit {CAMPAIGN} there",
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if name not in there:
                with (directory / name).open("x", encoding="utf-8", newline="\n") as file:
                    file.write(content)
    except OSError as error:
        raise UsageError(
            f"{error.filename or directory} cannot be written: {error.strerror}", remedy="name another folder"
        ) from None
    return [name for name in files if name not in there]
